//! Edges between persons (computation 2.3): SPOUSE, PARENT and what follows from them.
//!
//! Nothing is built for the city: every question (“who is p's spouse?”, “who are c's parents?”) is answered from the
//! rows of the persons it concerns and remembered for the run. A [`Kin`] with declarations is the full graph, one
//! without is the graph of obligors' households (3.9). An edge carries every level that states it, as bits:
//! 1 marriage register, 2 household register, 3 birth certificate, 4 declaration, 5 relation to the head.

use std::cell::RefCell;
use std::rc::Rc;

use crate::case::Case;
use crate::facts::{ByNumber, Link};
use crate::items::BirthCertificate;
use crate::number::Citizen;
use crate::registers::{Relation, relation};

/// Levels of evidence that state an edge, bit n for level n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Levels(pub(crate) u8);

impl Levels {
    pub(crate) fn of(level: u8) -> Self {
        Self(1 << level)
    }
    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }
    /// The smallest level.
    pub(crate) fn evidence(self) -> u8 {
        self.0.trailing_zeros() as u8
    }
    pub(crate) fn declared_only(self) -> bool {
        self == Self::of(4)
    }
}

/// An edge to another person.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    pub(crate) other: Citizen,
    pub(crate) levels: Levels,
}

/// Why a statement of marriage is not an edge: the first of (a), (b), (c).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stands,
    Ended,
    MarriedToOther,
    Dead,
}

/// A statement of marriage by the household register (2), the application (4) or relations to a head (5).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stated {
    pub(crate) other: Citizen,
    pub(crate) level: u8,
}

#[derive(Debug, Default)]
pub(crate) struct Parents {
    pub(crate) edges: Vec<Edge>,
    /// D5 `parent_source`: a statement was dropped for a better one.
    pub(crate) conflict: bool,
}

/// The graph of one run.
#[derive(Debug)]
pub(crate) struct Kin<'c, 'a> {
    pub(crate) case: &'c Case<'a>,
    declared: bool,
    parents: RefCell<ByNumber<Rc<Parents>>>,
    spouses: RefCell<ByNumber<Option<Edge>>>,
}

impl<'c, 'a> Kin<'c, 'a> {
    /// The full graph.
    pub(crate) fn full(case: &'c Case<'a>) -> Self {
        Self { case, declared: true, parents: RefCell::default(), spouses: RefCell::default() }
    }

    /// Levels 1, 2, 3 and 5 only.
    pub(crate) fn of_registers(case: &'c Case<'a>) -> Self {
        Self { declared: false, ..Self::full(case) }
    }

    /// Declared relations as (other, relation of the declared one), seen from either end: `true` when the person asked
    /// about is the applicant.
    fn declarations(&self, person: Citizen) -> Vec<(Citizen, Relation, bool)> {
        let case = self.case;
        if !self.declared {
            return Vec::new();
        }
        if person == case.applicant {
            let others = case.declared_order.iter().filter(|x| **x != person);
            return others.filter_map(|x| Some((*x, relation(case.decl(*x)?.relation), true))).collect();
        }
        case.decl(person).map(|d| vec![(case.applicant, relation(d.relation), false)]).unwrap_or_default()
    }

    /// Every statement of marriage about a person at levels 2, 4 and 5.
    pub(crate) fn stated_spouses(&self, person: Citizen) -> Vec<Stated> {
        let case = self.case;
        let mut stated = Vec::new();
        let mut say = |other: Citizen, level: u8| {
            if other != person {
                stated.push(Stated { other, level });
            }
        };
        if let Some(spouse) = case.register(person).and_then(|row| row.spouse_citizen_id) {
            say(case.person(spouse), 2);
        }
        for (other, _) in case.named_in_register(Link::RegisterSpouse, person) {
            say(other, 2);
        }
        for (other, relation, _) in self.declarations(person) {
            if relation == Relation::Spouse {
                say(other, 4);
            }
        }
        if let Some((head, Relation::Spouse)) = case.head(person) {
            say(head, 5);
        }
        for (of, relation) in case.headed(person) {
            if relation == Relation::Spouse {
                say(of, 5);
            }
        }
        stated
    }

    /// Whether a statement of marriage stands.
    pub(crate) fn verdict(&self, a: Citizen, b: Citizen) -> Verdict {
        let case = self.case;
        let ended = case.pairs(a).iter().any(|p| p.other == b && !p.married);
        let third = |x: Citizen, y: Citizen| case.married_to(x).is_some_and(|other| other != y);
        if ended {
            Verdict::Ended
        } else if third(a, b) || third(b, a) {
            Verdict::MarriedToOther
        } else if case.dead(a) || case.dead(b) {
            Verdict::Dead
        } else {
            Verdict::Stands
        }
    }

    fn candidates(&self, person: Citizen) -> Vec<Edge> {
        let mut edges: Vec<Edge> = Vec::new();
        let mut add = |other: Citizen, level: u8| match edges.iter_mut().find(|e| e.other == other) {
            Some(edge) => edge.levels = edge.levels.with(Levels::of(level)),
            None => edges.push(Edge { other, levels: Levels::of(level) }),
        };
        if let Some(other) = self.case.married_to(person) {
            add(other, 1);
        }
        for stated in self.stated_spouses(person) {
            if self.verdict(person, stated.other) == Verdict::Stands {
                add(stated.other, stated.level);
            }
        }
        edges
    }

    /// The one spouse. Candidates that touch each other are settled together, best evidence and smallest numbers first.
    pub(crate) fn spouse(&self, person: Citizen) -> Option<Edge> {
        if let Some(known) = self.spouses.borrow().get(&person) {
            return *known;
        }
        let mut members = vec![person];
        let mut edges: Vec<(u8, Citizen, Citizen, Levels)> = Vec::new();
        let mut at = 0;
        while let Some(p) = members.get(at).copied() {
            at += 1;
            for edge in self.candidates(p) {
                if !members.contains(&edge.other) {
                    members.push(edge.other);
                }
                if p < edge.other {
                    edges.push((edge.levels.evidence(), p, edge.other, edge.levels));
                }
            }
        }
        edges.sort_unstable_by_key(|(level, a, b, _)| (*level, *a, *b));
        let mut spouses = self.spouses.borrow_mut();
        members.iter().for_each(|p| {
            spouses.insert(*p, None);
        });
        for (_, a, b, levels) in edges {
            let free = |p: &Citizen| spouses.get(p).is_none_or(Option::is_none);
            if free(&a) && free(&b) {
                spouses.insert(a, Some(Edge { other: b, levels }));
                spouses.insert(b, Some(Edge { other: a, levels }));
            }
        }
        spouses.get(&person).copied().flatten()
    }

    /// PARENT edges of a child, slots first.
    pub(crate) fn parents(&self, child: Citizen) -> Rc<Parents> {
        if let Some(known) = self.parents.borrow().get(&child) {
            return Rc::clone(known);
        }
        let found = Rc::new(self.find_parents(child));
        self.parents.borrow_mut().insert(child, Rc::clone(&found));
        found
    }

    fn find_parents(&self, child: Citizen) -> Parents {
        let case = self.case;
        // (slot: 0 father, 1 mother; level; parent)
        let mut slots: Vec<(usize, u8, Citizen)> = Vec::new();
        let mut outside: Vec<(Citizen, u8)> = Vec::new();
        let mut name = |slot: usize, level: u8, number: Option<Citizen>| {
            if let Some(parent) = number.map(|n| case.person(n)).filter(|p| *p != child) {
                slots.push((slot, level, parent));
            }
        };
        if let Some(row) = case.register(child) {
            name(0, 2, row.father_citizen_id);
            name(1, 2, row.mother_citizen_id);
        }
        for row in case.passing::<BirthCertificate>(child) {
            name(0, 3, row.father_citizen_id);
            name(1, 3, Some(row.mother_citizen_id));
        }
        let mut state = |parent: Citizen, in_slot: bool, level: u8| {
            if parent == child {
            } else if in_slot {
                slots.push((usize::from(!parent.is_male()), level, parent));
            } else {
                outside.push((parent, level));
            }
        };
        for (other, relation, from_applicant) in self.declarations(child) {
            match (relation, from_applicant) {
                (Relation::Parent(in_slot), true) | (Relation::Child(in_slot), false) => state(other, in_slot, 4),
                _ => {}
            }
        }
        if let Some((head, Relation::Child(in_slot))) = case.head(child) {
            state(head, in_slot, 5);
        }
        for (of, relation) in case.headed(child) {
            if let Relation::Parent(in_slot) = relation {
                state(of, in_slot, 5);
            }
        }
        let mut parents = Parents::default();
        for slot in 0..2 {
            let mut holder: Option<(Citizen, u8, Levels)> = None;
            for level in 2..=5 {
                let mut named: Vec<Citizen> =
                    slots.iter().filter(|(s, l, _)| *s == slot && *l == level).map(|(_, _, p)| *p).collect();
                named.sort_unstable();
                named.dedup();
                for parent in named {
                    match &mut holder {
                        None => holder = Some((parent, level, Levels::of(level))),
                        Some((held, _, levels)) if *held == parent => *levels = levels.with(Levels::of(level)),
                        Some((_, since, _)) if *since < level => parents.conflict = true,
                        Some(_) => {}
                    }
                }
            }
            if let Some((other, _, levels)) = holder {
                add_edge(&mut parents.edges, other, levels);
            }
        }
        for (other, level) in outside {
            add_edge(&mut parents.edges, other, Levels::of(level));
        }
        parents
    }

    /// Children of a person, ascending.
    pub(crate) fn children(&self, person: Citizen) -> Vec<Edge> {
        let case = self.case;
        let mut candidates: Vec<Citizen> = Vec::new();
        for link in [Link::RegisterFather, Link::RegisterMother] {
            candidates.extend(case.named_in_register(link, person).into_iter().map(|(of, _)| of));
        }
        for row in case.certificates_of_parent(person) {
            candidates.extend(row.newborn_citizen_id.map(|n| case.person(n)));
        }
        for (other, relation, from_applicant) in self.declarations(person) {
            if matches!((relation, from_applicant), (Relation::Child(_), true) | (Relation::Parent(_), false)) {
                candidates.push(other);
            }
        }
        if let Some((head, Relation::Parent(_))) = case.head(person) {
            candidates.push(head);
        }
        for (of, relation) in case.headed(person) {
            if matches!(relation, Relation::Child(_)) {
                candidates.push(of);
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
            .into_iter()
            .filter_map(|child| {
                let parents = self.parents(child);
                let edge = parents.edges.iter().find(|e| e.other == person)?;
                Some(Edge { other: child, levels: edge.levels })
            })
            .collect()
    }

    /// Levels of a relation stated directly between two persons, by declaration or head; `of_a` is what b is to a.
    fn direct(&self, a: Citizen, b: Citizen, of_a: Relation, of_b: Relation) -> Levels {
        let mut levels = Levels::default();
        for (other, relation, from_applicant) in self.declarations(a) {
            if other == b && relation == if from_applicant { of_a } else { of_b } {
                levels = levels.with(Levels::of(4));
            }
        }
        let stated = |person: Citizen, head: Citizen, expected: Relation| {
            self.case.head(person).is_some_and(|(h, relation)| h == head && relation == expected)
        };
        if stated(b, a, of_a) || stated(a, b, of_b) {
            levels = levels.with(Levels::of(5));
        }
        levels
    }

    /// Levels of SIBLING between two persons.
    pub(crate) fn sibling_levels(&self, a: Citizen, b: Citizen) -> Levels {
        let mut levels = self.direct(a, b, Relation::Sibling, Relation::Sibling);
        let (of_a, of_b) = (self.parents(a), self.parents(b));
        for x in &of_a.edges {
            for y in of_b.edges.iter().filter(|y| y.other == x.other) {
                levels = levels.with(Levels::of(x.levels.evidence().max(y.levels.evidence())));
            }
        }
        levels
    }

    /// Levels of GRANDPARENT: `elder` is a grandparent of `younger`.
    pub(crate) fn grandparent_levels(&self, elder: Citizen, younger: Citizen) -> Levels {
        let mut levels = self.direct(younger, elder, Relation::Grandparent, Relation::Grandchild);
        for x in &self.parents(younger).edges {
            for y in self.parents(x.other).edges.iter().filter(|y| y.other == elder) {
                levels = levels.with(Levels::of(x.levels.evidence().max(y.levels.evidence())));
            }
        }
        levels
    }

    fn directly_stated(&self, person: Citizen, to_them: &[Relation], from_head: &[Relation]) -> Vec<Citizen> {
        let case = self.case;
        let mut found = Vec::new();
        for (other, relation, from_applicant) in self.declarations(person) {
            if if from_applicant { to_them } else { from_head }.contains(&relation) {
                found.push(other);
            }
        }
        if let Some((head, relation)) = case.head(person)
            && from_head.contains(&relation)
        {
            found.push(head);
        }
        found.extend(case.headed(person).into_iter().filter(|(_, r)| to_them.contains(r)).map(|(of, _)| of));
        found
    }

    fn with_levels(mut found: Vec<Citizen>, person: Citizen, levels: impl Fn(Citizen) -> Levels) -> Vec<Edge> {
        found.sort_unstable();
        found.dedup();
        found
            .into_iter()
            .filter(|other| *other != person)
            .map(|other| Edge { other, levels: levels(other) })
            .filter(|edge| edge.levels.any())
            .collect()
    }

    /// Siblings, ascending.
    pub(crate) fn siblings(&self, person: Citizen) -> Vec<Edge> {
        let mut found = self.directly_stated(person, &[Relation::Sibling], &[Relation::Sibling]);
        for parent in &self.parents(person).edges {
            found.extend(self.children(parent.other).into_iter().map(|e| e.other));
        }
        Self::with_levels(found, person, |other| self.sibling_levels(person, other))
    }

    /// Grandparents, ascending.
    pub(crate) fn grandparents(&self, person: Citizen) -> Vec<Edge> {
        let mut found = self.directly_stated(person, &[Relation::Grandparent], &[Relation::Grandchild]);
        for parent in &self.parents(person).edges {
            found.extend(self.parents(parent.other).edges.iter().map(|e| e.other));
        }
        Self::with_levels(found, person, |other| self.grandparent_levels(other, person))
    }

    /// Grandchildren, ascending.
    pub(crate) fn grandchildren(&self, person: Citizen) -> Vec<Edge> {
        let mut found = self.directly_stated(person, &[Relation::Grandchild], &[Relation::Grandparent]);
        for child in self.children(person) {
            found.extend(self.children(child.other).into_iter().map(|e| e.other));
        }
        Self::with_levels(found, person, |other| self.grandparent_levels(person, other))
    }

    /// Levels of the PARENT edge, if `parent` is a parent of `child`.
    pub(crate) fn parent_levels(&self, parent: Citizen, child: Citizen) -> Levels {
        self.parents(child).edges.iter().find(|e| e.other == parent).map_or(Levels::default(), |e| e.levels)
    }

    /// Levels of every edge of any type between two persons.
    pub(crate) fn edges_between(&self, a: Citizen, b: Citizen) -> Vec<Levels> {
        let spouse = self.spouse(a).filter(|e| e.other == b).map_or(Levels::default(), |e| e.levels);
        [
            spouse,
            self.parent_levels(a, b),
            self.parent_levels(b, a),
            self.sibling_levels(a, b),
            self.grandparent_levels(a, b),
            self.grandparent_levels(b, a),
        ]
        .into_iter()
        .filter(|levels| levels.any())
        .collect()
    }

    /// `dependent(p)`.
    pub(crate) fn dependent(&self, person: Citizen) -> bool {
        let case = self.case;
        case.minor(person) || (self.spouse(person).is_none() && (case.student(person) || case.severe(person)))
    }

    /// Child c is attributed to parent p (2.4).
    pub(crate) fn attributed(&self, child: Citizen, parent: Citizen) -> bool {
        let case = self.case;
        if case.dead(child) || case.dead(parent) {
            return false;
        }
        if self.declared && case.decl(child).is_some_and(|d| d.is_member()) {
            return true;
        }
        let parents = self.parents(child);
        let others: Vec<Citizen> = parents.edges.iter().map(|e| e.other).filter(|p| *p != parent).collect();
        let spouse = self.spouse(parent).map(|e| e.other);
        others.iter().all(|other| case.dead(*other) || spouse == Some(*other))
            || (case.same_household(child, parent)
                && others.iter().filter(|other| !case.dead(**other)).all(|other| !case.same_household(child, *other)))
    }
}

fn add_edge(edges: &mut Vec<Edge>, other: Citizen, levels: Levels) {
    match edges.iter_mut().find(|e| e.other == other) {
        Some(edge) => edge.levels = edge.levels.with(levels),
        None => edges.push(Edge { other, levels }),
    }
}
