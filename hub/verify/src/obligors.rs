//! Who must maintain the members from outside, and with how much (computation 2.7, 3.9; R-FAM-06, R-INC-11).

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::exact::Exact;
use crate::income::{self, Income};
use crate::kinship::{Edge, Kin, Levels};
use crate::members::Household;
use crate::number::Citizen;
use crate::standing::State;

/// Duty of an obligor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duty {
    /// 抚养
    Raise,
    /// 赡养
    Support,
    /// 扶养
    Mutual,
}

impl Duty {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Raise => "raise",
            Self::Support => "support",
            Self::Mutual => "mutual",
        }
    }
}

/// One obligor of one member.
#[derive(Debug, Clone)]
pub(crate) struct Obligor {
    pub(crate) person: Citizen,
    pub(crate) of: Citizen,
    pub(crate) duty: Duty,
    pub(crate) levels: Levels,
}

/// The obligor list, by (obligor, member).
pub(crate) fn obligors(kin: &Kin<'_, '_>, household: &Household) -> Vec<Obligor> {
    let case = kin.case;
    let mut found: Vec<Obligor> = Vec::new();
    for member in &household.counted {
        let mut of_member: BTreeMap<Citizen, Obligor> = BTreeMap::new();
        let mut add = |edges: Vec<Edge>, duty: Duty| {
            for edge in edges {
                let gone = || matches!(case.state(edge.other), Some(State::Dead | State::Missing | State::Emigrated));
                if !household.counted.contains(&edge.other) && !gone() {
                    let entry = Obligor { person: edge.other, of: *member, duty, levels: edge.levels };
                    of_member.entry(edge.other).or_insert(entry);
                }
            }
        };
        let adults = |edges: Vec<Edge>| edges.into_iter().filter(|e| case.age(e.other) >= 18).collect::<Vec<_>>();
        let parents = kin.parents(*member);
        if kin.dependent(*member) {
            add(parents.edges.clone(), Duty::Raise);
        }
        let children = kin.children(*member);
        let orphaned = case.minor(*member) && all_dead(case, &parents.edges);
        let bereaved = all_dead(case, &children);
        add(adults(children), Duty::Support);
        if orphaned {
            add(kin.grandparents(*member), Duty::Raise);
        }
        if bereaved {
            add(adults(kin.grandchildren(*member)), Duty::Support);
        }
        if orphaned {
            let elder = |e: &Edge| e.other.birth() < member.birth();
            add(adults(kin.siblings(*member)).into_iter().filter(elder).collect(), Duty::Mutual);
        }
        found.extend(of_member.into_values());
    }
    found.sort_by_key(|o| (o.person, o.of));
    found
}

/// At least one is known and all are dead.
fn all_dead(case: &Case<'_>, edges: &[Edge]) -> bool {
    !edges.is_empty() && edges.iter().all(|e| case.dead(e.other))
}

/// What an obligor can pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    Custody,
    Unknown,
    Minor,
    Below,
    Able,
}

impl Capacity {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Custody => "none_custody",
            Self::Unknown => "unknown",
            Self::Minor => "none_minor",
            Self::Below => "none_below",
            Self::Able => "able",
        }
    }
}

/// An obligor's own household and what follows from it.
#[derive(Debug)]
pub(crate) struct Means {
    pub(crate) capacity: Capacity,
    /// H(o).
    pub(crate) household: BTreeSet<Citizen>,
    pub(crate) income: Exact,
    pub(crate) excess: Exact,
    pub(crate) maintained: i64,
    /// By member, in the order of the obligor list.
    pub(crate) pays: Vec<(Citizen, Exact, Exact)>,
    pub(crate) paid: Exact,
}

impl Means {
    fn due(&self) -> Exact {
        self.pays.iter().map(|(_, _, pay)| pay.clone()).sum()
    }

    /// What counts: an actually higher payment counts as paid.
    pub(crate) fn counts(&self, count_computed: bool) -> Exact {
        if count_computed { self.due().max(self.paid.clone()) } else { self.paid.clone() }
    }
}

/// H(o): the person closed by spouse and attributed dependent children on registers alone.
fn own_household(kin: &Kin<'_, '_>, household: &Household, person: Citizen) -> BTreeSet<Citizen> {
    let case = kin.case;
    let mut own = BTreeSet::from([person]);
    let mut open = vec![person];
    while let Some(p) = open.pop() {
        let children = kin.children(p).into_iter().map(|e| e.other);
        let next: Vec<Citizen> = kin
            .spouse(p)
            .map(|e| e.other)
            .into_iter()
            .chain(children.filter(|c| kin.dependent(*c) && kin.attributed(*c, p)))
            .collect();
        for other in next {
            if !own.contains(&other) && !household.counted.contains(&other) && case.state_of_register(other).is_none() {
                own.insert(other);
                open.push(other);
            }
        }
    }
    own
}

/// Everyone whose facts the figures will need, having walked all kinship that they will ask about.
pub(crate) fn reach(
    kin: &Kin<'_, '_>,
    registers: &Kin<'_, '_>,
    household: &Household,
    obligors: &[Obligor],
) -> BTreeSet<Citizen> {
    let case = kin.case;
    let mut asked: BTreeSet<Citizen> = household.counted.clone();
    asked.extend(household.excluded.keys());
    asked.extend(&case.declared_order);
    for person in asked.clone() {
        kin.spouse(person);
        for parent in &kin.parents(person).edges {
            kin.parents(parent.other);
        }
    }
    for obligor in obligors {
        asked.extend(own_household(registers, household, obligor.person));
        case.dead(obligor.of);
        for parent in &kin.parents(obligor.person).edges {
            case.dead(parent.other);
        }
        for child in kin.children(obligor.person).iter().chain(&kin.children(obligor.of)) {
            case.dead(child.other);
            kin.dependent(child.other);
        }
    }
    asked
}

/// Means of every distinct obligor.
pub(crate) fn means(
    kin: &Kin<'_, '_>,
    registers: &Kin<'_, '_>,
    household: &Household,
    obligors: &[Obligor],
) -> BTreeMap<Citizen, Means> {
    let mut found = BTreeMap::new();
    for of_person in obligors.chunk_by(|a, b| a.person == b.person) {
        found.insert(of_person[0].person, one(kin, registers, household, of_person));
    }
    found
}

fn one(kin: &Kin<'_, '_>, registers: &Kin<'_, '_>, household: &Household, entries: &[Obligor]) -> Means {
    let case = kin.case;
    let settings = &case.settings;
    let person = entries[0].person;
    let window = case.window();
    let w = i64::from(window.months());
    let own = own_household(registers, household, person);
    let income = Income::of(case, &own.iter().copied().collect::<Vec<_>>(), window);
    let total = income.before_maintenance().floor_zero();
    let n = own.len() as i64;
    let threshold = &settings.capacity_multiple * &settings.standard;
    let excess = (income::per(&total, w * n) - threshold).floor_zero();
    let capacity = if case.in_custody(person) {
        Capacity::Custody
    } else if !case.covers(person, 65) {
        Capacity::Unknown
    } else if case.minor(person) {
        Capacity::Minor
    } else if excess.is_zero() {
        Capacity::Below
    } else {
        Capacity::Able
    };
    let mut owed: BTreeSet<Citizen> = kin.parents(person).edges.iter().map(|e| e.other).collect();
    owed.extend(kin.children(person).iter().map(|e| e.other).filter(|c| kin.dependent(*c)));
    owed.extend(entries.iter().map(|e| e.of));
    let k = owed.iter().filter(|p| !case.dead(**p) && !own.contains(p)).count() as i64;
    let pays = entries
        .iter()
        .map(|entry| {
            let living = kin.children(entry.of).iter().filter(|e| !case.dead(e.other)).count();
            let rate = if living <= 2 { &settings.rate_le2 } else { &settings.rate_ge3 };
            let pay =
                if capacity == Capacity::Able && k > 0 { income::per(&(rate * &excess), k) * w } else { Exact::ZERO };
            (entry.of, rate.clone(), pay)
        })
        .collect();
    let paid = case
        .decl(person)
        .and_then(|d| d.row)
        .map_or(Exact::ZERO, |row| crate::cell::or_zero(row.declared_maintenance_paid));
    let paid = income::per(&(paid * w), 12);
    Means { capacity, household: own, income: total, excess, maintained: k, pays, paid }
}
