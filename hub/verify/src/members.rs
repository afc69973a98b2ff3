//! Who belongs to the household (computation 2.5, 2.6; R-FAM-01 … 04): the page's pseudo-code, line by line.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::kinship::Kin;
use crate::number::Citizen;

/// Why a person does not count: HUB_EXCLUDE_REASON and word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    pub(crate) code: String,
    pub(crate) word: &'static str,
}

impl Reason {
    fn new(code: impl Into<String>, word: &'static str) -> Self {
        Self { code: code.into(), word }
    }
}

/// The outcome of 2.5.
#[derive(Debug, Default)]
pub(crate) struct Household {
    pub(crate) counted: BTreeSet<Citizen>,
    pub(crate) excluded: BTreeMap<Citizen, Reason>,
    /// Step 3: declared members without any edge (D3 `declared_not_related`).
    pub(crate) not_related: Vec<Citizen>,
    /// Added by step 2 themselves, on the ground of an edge.
    by_edge: BTreeSet<Citizen>,
}

impl Household {
    /// Neither counted nor excluded yet.
    fn undecided(&self, person: Citizen) -> bool {
        !self.counted.contains(&person) && !self.excluded.contains_key(&person)
    }

    /// `n`.
    pub(crate) fn n(&self) -> i64 {
        self.counted.len() as i64
    }
}

/// Computes counted and excluded persons.
pub(crate) fn household(kin: &Kin<'_, '_>) -> Household {
    let case = kin.case;
    let mut walk = Walk { kin, found: Household::default() };
    walk.add(case.applicant);
    if walk.found.excluded.contains_key(&case.applicant) {
        walk.expand(case.applicant);
    }
    walk.by_edges();
    let mut found = walk.found;
    for person in &case.declared_order {
        if case.decl(*person).is_some_and(|d| d.is_member()) && found.undecided(*person) {
            match case.state(*person) {
                Some(state) => {
                    let (code, word) = state.reason();
                    found.excluded.insert(*person, Reason::new(code, word));
                }
                None => {
                    found.excluded.insert(*person, Reason::new("6", "no_duty"));
                    found.not_related.push(*person);
                }
            }
        }
    }
    same_booklet(kin, &mut found);
    for person in &case.declared_order {
        let Some(declared) = case.decl(*person).filter(|d| d.role.is("05")) else { continue };
        if !found.undecided(*person) {
            continue;
        }
        let reason = if let Some(state) = case.state(*person) {
            let (code, word) = state.reason();
            Reason::new(code, word)
        } else if declared.reason.is("9") && case.settings.declared_other {
            Reason::new("9", "local_declared")
        } else {
            Reason::new(declared.reason.to_string(), "declared")
        };
        found.excluded.insert(*person, reason);
    }
    found
}

struct Walk<'k, 'c, 'a> {
    kin: &'k Kin<'c, 'a>,
    found: Household,
}

impl<'a> Walk<'_, '_, 'a> {
    fn case(&self) -> &Case<'a> {
        self.kin.case
    }

    fn add(&mut self, person: Citizen) {
        if !self.found.undecided(person) {
            return;
        }
        if let Some(reason) = self.barred(person) {
            self.found.excluded.insert(person, reason);
            return;
        }
        self.found.counted.insert(person);
        self.expand(person);
    }

    fn barred(&self, person: Citizen) -> Option<Reason> {
        let case = self.case();
        if let Some(state) = case.state(person) {
            let (code, word) = state.reason();
            return Some(Reason::new(code, word));
        }
        if person == case.applicant {
            return None;
        }
        let other = case.decl(person).is_some_and(|d| d.role.is("05") && d.reason.is("9"));
        if other && case.settings.declared_other {
            let spouse = self.kin.spouse(person).map(|e| e.other);
            if !spouse.is_some_and(|s| self.found.counted.contains(&s)) {
                return Some(Reason::new("9", "local_declared"));
            }
        }
        let of_member = |parent: Citizen| {
            parent == case.applicant
                || self.found.counted.contains(&parent)
                || case.decl(parent).is_some_and(|d| d.is_member())
        };
        if case.non_dependent_student(person) && self.kin.parents(person).edges.iter().any(|e| of_member(e.other)) {
            return Some(Reason::new("9", "student_not_dependent"));
        }
        None
    }

    fn expand(&mut self, person: Citizen) {
        let kin = self.kin;
        let case = kin.case;
        let mut next: BTreeSet<Citizen> = kin.spouse(person).map(|e| e.other).into_iter().collect();
        for child in kin.children(person) {
            if kin.dependent(child.other) && kin.attributed(child.other, person) {
                next.insert(child.other);
            }
        }
        if person == case.applicant && kin.dependent(person) {
            for parent in &kin.parents(person).edges {
                let declared = case.decl(parent.other).is_some_and(|d| d.is_member());
                if declared || case.same_household(parent.other, person) {
                    next.insert(parent.other);
                }
            }
        }
        for other in next {
            self.add(other);
        }
    }

    /// Step 2: declared persons with an edge to somebody counted, until a whole pass adds nothing.
    fn by_edges(&mut self) {
        loop {
            let mut added = false;
            for person in self.case().declared_order.clone() {
                let case = self.case();
                let Some(declared) = case.decl(person) else { continue };
                let unconfirmed = declared.role.is("05")
                    && ["2", "3", "4", "5"].iter().any(|r| declared.reason.is(r))
                    && case.state(person).is_none();
                if !(declared.is_member() || unconfirmed) || !self.found.undecided(person) {
                    continue;
                }
                if related(self.kin, &self.found, person) {
                    self.add(person);
                    if self.found.counted.contains(&person) {
                        self.found.by_edge.insert(person);
                    }
                    added = true;
                }
            }
            if !added {
                break;
            }
        }
    }
}

/// Whom an edge must reach: somebody counted, or the applicant even if excluded.
pub(crate) fn anchors(kin: &Kin<'_, '_>, found: &Household, person: Citizen) -> BTreeSet<Citizen> {
    let mut anchors = found.counted.clone();
    anchors.insert(kin.case.applicant);
    anchors.remove(&person);
    anchors
}

/// The person has an edge of any type to somebody counted, or to the applicant.
pub(crate) fn related(kin: &Kin<'_, '_>, found: &Household, person: Citizen) -> bool {
    anchors(kin, found, person).into_iter().any(|other| !kin.edges_between(person, other).is_empty())
}

/// 2.6 `same_booklet_no_duty`: all step-2 persons are judged against the same set and leave together.
fn same_booklet(kin: &Kin<'_, '_>, found: &mut Household) {
    let case = kin.case;
    if !case.settings.same_booklet_no_duty {
        return;
    }
    let leave: Vec<Citizen> = found
        .by_edge
        .iter()
        .copied()
        .filter(|person| found.counted.contains(person) && case.same_household(*person, case.applicant))
        .filter(|person| {
            anchors(kin, found, *person)
                .into_iter()
                .flat_map(|other| kin.edges_between(*person, other))
                .all(|levels| levels.declared_only())
        })
        .collect();
    for person in leave {
        found.counted.remove(&person);
        found.excluded.insert(person, Reason::new("6", "local_same_booklet"));
    }
}
