//! Discrepancies D1 to D8, missing authorisations and unanswered queries (computation 6, 7; R-VER-07).

use std::collections::{BTreeMap, BTreeSet};

use minqiao_core::Timestamp;

use crate::calendar::Day;
use crate::case::{Case, Query};
use crate::exact::Exact;
use crate::expenditure::Rigid;
use crate::income::Income;
use crate::items::{
    ChildWelfareGuarantee, ExtremePovertySupport, HouseholdMigration, HouseholdRegisterMember, SHAPES,
    SubsistenceAllowanceMember,
};
use crate::kinship::{Kin, Verdict};
use crate::members::{Household, related};
use crate::number::Citizen;
use crate::obligors::Obligor;
use crate::property::Property;

/// One discrepancy. Ordered as section 8 sorts them and unique as it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Disc {
    pub(crate) code: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) subject: String,
    pub(crate) item: Option<u8>,
    pub(crate) key: Option<String>,
    pub(crate) pair: Option<&'static str>,
    pub(crate) declared: Option<String>,
    pub(crate) found: Option<String>,
}

impl Disc {
    fn new(code: &'static str, kind: &'static str, subject: String) -> Self {
        Self { code, kind, subject, item: None, key: None, pair: None, declared: None, found: None }
    }
}

/// A query without answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Silent {
    pub(crate) person: Citizen,
    pub(crate) item: u8,
    pub(crate) institution: String,
    pub(crate) deadline: Timestamp,
}

/// What the discrepancies are found in.
pub(crate) struct Found<'f, 'c, 'a> {
    pub(crate) kin: &'f Kin<'c, 'a>,
    pub(crate) household: &'f Household,
    pub(crate) obligors: &'f [Obligor],
    /// WIN(w).
    pub(crate) income: &'f Income,
    /// WIN(12).
    pub(crate) year: &'f Income,
    pub(crate) property: &'f Property,
    pub(crate) rigid: &'f Rigid,
    /// Feeds of cadence daily and monthly: item number and whether it is daily.
    pub(crate) feeds: &'f [(u8, bool)],
}

/// Everything section 7 lists.
#[derive(Debug, Default)]
pub(crate) struct Discrepancies {
    pub(crate) list: BTreeSet<Disc>,
    pub(crate) not_answered: Vec<Silent>,
    pub(crate) pending: Vec<Silent>,
}

struct Finder<'f, 'c, 'a> {
    of: &'f Found<'f, 'c, 'a>,
    case: &'c Case<'a>,
    /// Counted, excluded and declared persons.
    people: BTreeSet<Citizen>,
    /// The same with obligors.
    scope: BTreeSet<Citizen>,
    into: Discrepancies,
}

/// Finds all discrepancies. `single` drops what a single-person application does not need (2.8).
pub(crate) fn find(of: &Found<'_, '_, '_>, single: bool) -> Discrepancies {
    let case = of.kin.case;
    let mut people: BTreeSet<Citizen> = of.household.counted.clone();
    people.extend(of.household.excluded.keys());
    people.extend(&case.declared_order);
    let mut scope = people.clone();
    scope.extend(of.obligors.iter().map(|o| o.person));
    let mut finder = Finder { of, case, people, scope, into: Discrepancies::default() };
    finder.pairs();
    finder.membership(single);
    finder.states();
    finder.sources();
    finder.silence();
    finder.stale();
    finder.identities();
    finder.into
}

impl Finder<'_, '_, '_> {
    fn show(&self, person: Citizen) -> String {
        (self.case.show)(person)
    }

    fn application(&self) -> String {
        self.case.text(self.case.application.application_no).to_owned()
    }

    fn person(&mut self, code: &'static str, kind: &'static str, person: Citizen) {
        let subject = self.show(person);
        self.into.list.insert(Disc::new(code, kind, subject));
    }

    /// Beyond `disc.abs_yuan` and `disc.rel` of a reference.
    fn beyond(&self, a: &Exact, b: &Exact, reference: &Exact) -> bool {
        let s = &self.case.settings;
        (a - b).abs() > s.disc_abs.clone().max(&s.disc_rel * reference)
    }

    fn pair(&mut self, undeclared: bool, pair: &'static str, declared: String, found: String) {
        let (code, kind) = if undeclared { ("D1", "undeclared") } else { ("D2", "difference") };
        let subject = self.application();
        let (declared, found) = (Some(declared), Some(found));
        self.into.list.insert(Disc { pair: Some(pair), declared, found, ..Disc::new(code, kind, subject) });
    }

    fn money_pair(&mut self, pair: &'static str, declared: &Exact, found: &Exact, may_be_undeclared: bool) {
        let undeclared = may_be_undeclared && declared.is_zero() && found.is_positive();
        if undeclared || self.beyond(found, declared, found) {
            self.pair(undeclared, pair, declared.money(), found.money());
        }
    }

    fn count_pair(&mut self, pair: &'static str, declared: i32, found: i64) {
        if i64::from(declared) != found {
            self.pair(declared == 0 && found > 0, pair, declared.to_string(), found.to_string());
        }
    }

    /// 7.1.
    fn pairs(&mut self) {
        let a = self.case.application;
        let (year, property) = (self.of.year, self.of.property);
        self.money_pair("wage", &a.declared_wage_income.exact(), &year.wage(), true);
        self.money_pair("business", &a.declared_business_income.exact(), &year.business(), true);
        self.money_pair("property", &a.declared_property_income.exact(), &year.property(), true);
        self.money_pair("transfer", &a.declared_transfer_income.exact(), &year.transfer(), true);
        self.money_pair("monetary_assets", &a.declared_monetary_assets.exact(), &property.money.total, true);
        self.count_pair("house_count", a.declared_house_count, property.house_count);
        self.count_pair("vehicle_count", a.declared_vehicle_count, property.vehicles.len() as i64);
        if let Some(declared) = a.declared_rigid_expenditure {
            self.money_pair("rigid", &declared.exact(), &self.of.rigid.total, false);
        }
    }

    /// D3.
    fn membership(&mut self, single: bool) {
        let case = self.case;
        let household = self.of.household;
        for person in &household.counted {
            let declared = case.decl(*person);
            let excluded = declared.filter(|d| d.role.is("05")).map(|d| d.reason);
            if excluded.is_some_and(|r| ["2", "3", "4", "5"].iter().any(|c| r.is(c))) {
                self.person("D3", "exclusion_not_confirmed", *person);
            } else if excluded.is_some_and(|r| r.is("6")) {
                self.person("D3", "declared_excluded_but_member", *person);
            } else if !single && !declared.is_some_and(|d| d.is_member()) {
                self.person("D3", "member_not_declared", *person);
            }
        }
        for obligor in self.of.obligors {
            let person = obligor.person;
            if obligor.levels.evidence() != 4 && person != case.applicant && case.decl(person).is_none() {
                self.person("D3", "obligor_not_declared", person);
            }
        }
        for person in &household.not_related {
            self.person("D3", "declared_not_related", *person);
        }
        for person in &case.declared_order {
            let Some(declared) = case.decl(*person) else { continue };
            let obligor = ["02", "03", "04"].iter().any(|role| declared.role.is(role));
            if (obligor || declared.is_member())
                && case.card(*person).identity.is_none()
                && case.rows::<HouseholdRegisterMember>(*person).is_empty()
            {
                self.person("D3", "declared_not_found", *person);
            }
            if obligor && !household.counted.contains(person) && !related(self.of.kin, household, *person) {
                self.person("D3", "declared_not_related", *person);
            }
            for stated in self.of.kin.stated_spouses(*person) {
                let by_application = stated.level == 4 && *person != case.applicant;
                if by_application && self.of.kin.verdict(*person, stated.other) == Verdict::MarriedToOther {
                    self.person("D3", "spouse_conflict", *person);
                }
            }
        }
        for person in &household.counted {
            for row in case.certificates_of_parent(*person) {
                if row.newborn_citizen_id.is_none() && row.born_at <= case.as_of {
                    let subject = format!("certificate:{}", case.text(row.certificate_no));
                    self.into.list.insert(Disc::new("D3", "newborn_without_number", subject));
                }
            }
        }
        let size = i64::from(case.application.household_size);
        if !single && size != household.n() {
            let (declared, found) = (Some(size.to_string()), Some(household.n().to_string()));
            let subject = self.application();
            self.into.list.insert(Disc { declared, found, ..Disc::new("D3", "household_size", subject) });
        }
    }

    /// D4.
    fn states(&mut self) {
        let case = self.case;
        let household = self.of.household;
        for (person, reason) in &household.excluded {
            let states = ["dead", "missing", "emigrated", "prison", "rehab", "supported_extreme"];
            if states.contains(&reason.word) && case.decl(*person).is_some_and(|d| d.is_member()) {
                self.person("D4", reason.word, *person);
            }
        }
        for person in &household.counted {
            let last = case
                .rows::<HouseholdMigration>(*person)
                .into_iter()
                .filter(|row| row.event_date <= case.q)
                .max_by_key(|row| (row.event_date, row.event_code));
            if case.person_status(*person, "3") || last.is_some_and(|row| row.event_code.is("03")) {
                self.person("D4", "moved_out", *person);
            }
            let dibao = case.in_force::<SubsistenceAllowanceMember>(*person);
            let elsewhere = dibao.iter().any(|row| {
                let certificate = case.text(row.certificate_no);
                case.facts
                    .allowance_household(certificate, case.as_of.0)
                    .filter(|household| case.usable(*household))
                    .is_some_and(|h| !household.counted.contains(&case.person(h.head_citizen_id)))
            });
            if elsewhere {
                self.person("D4", "supported_other_dibao", *person);
            }
            let extreme = !case.in_force::<ExtremePovertySupport>(*person).is_empty();
            if extreme && (!dibao.is_empty() || is_orphan(case, *person)) {
                self.person("D4", "duplicate_benefit", *person);
            }
        }
    }

    /// D5.
    fn sources(&mut self) {
        let case = self.case;
        for (person, income) in &self.of.income.by_person {
            for (item, a, b) in &income.compared {
                if self.beyond(a, b, a) {
                    let (declared, found) = (Some(b.money()), Some(a.money()));
                    let subject = self.show(*person);
                    let item = Some(*item);
                    self.into.list.insert(Disc { item, declared, found, ..Disc::new("D5", "wage_source", subject) });
                }
            }
        }
        for person in self.people.clone() {
            for stated in self.of.kin.stated_spouses(person) {
                let rejected = match self.of.kin.verdict(person, stated.other) {
                    Verdict::Ended => true,
                    Verdict::MarriedToOther => stated.level != 4,
                    Verdict::Dead | Verdict::Stands => false,
                };
                if rejected {
                    let subject = self.of_pair(person, stated.other);
                    self.person("D5", "marriage_source", subject);
                }
            }
            if self.of.kin.parents(person).conflict {
                self.person("D5", "parent_source", person);
            }
            if case.card(person).identity.is_some_and(|row| row.birth_date != person.birth()) {
                self.person("D5", "birth_date", person);
            }
            if let Some(Some(day)) = case.death(person)
                && case.alive_after(person, day)
            {
                self.person("D5", "death_alive", person);
            }
        }
    }

    /// The person of the pair who is of the case and not the applicant; if both, the larger number.
    fn of_pair(&self, a: Citizen, b: Citizen) -> Citizen {
        let of_case = |p: &Citizen| self.people.contains(p) && *p != self.case.applicant;
        [a, b].into_iter().filter(of_case).max().unwrap_or(self.case.applicant)
    }

    /// D6 (7.4).
    fn silence(&mut self) {
        let case = self.case;
        if case.inputs.query_log.is_none() {
            return;
        }
        let mut asked = self.of.household.counted.clone();
        asked.extend(self.of.obligors.iter().map(|o| o.person));
        for person in asked {
            let card = case.card(person);
            let mut last: BTreeMap<(u8, &str), &Query> = BTreeMap::new();
            for query in card.numbers.iter().flat_map(|n| case.inputs.queries(*n)) {
                if query.requested_at > case.as_of {
                    continue;
                }
                let entry = last.entry((query.item, &query.institution_code)).or_insert(query);
                if (query.requested_at, &query.query_batch_no) > (entry.requested_at, &entry.query_batch_no) {
                    *entry = query;
                }
            }
            for ((item, institution), query) in last {
                let answered = query.answered_at.is_some_and(|at| at <= case.as_of);
                let withheld = auth_items(case).contains(&item) && !case.covers(person, item);
                if answered || withheld {
                    continue;
                }
                let deadline = query
                    .deadline_at
                    .unwrap_or(Timestamp(query.requested_at.0 + i64::from(case.settings.deadline_days) * 86_400_000));
                let silent = Silent { person, item, institution: institution.to_owned(), deadline };
                if deadline < case.as_of {
                    let subject = self.show(person);
                    let key = Some(institution.to_owned());
                    self.into.list.insert(Disc { item: Some(item), key, ..Disc::new("D6", "not_answered", subject) });
                    self.into.not_answered.push(silent);
                } else {
                    self.into.pending.push(silent);
                }
            }
        }
    }

    /// D7 (7.5).
    fn stale(&mut self) {
        let case = self.case;
        let older = |day: Day, limit: i32| case.q.0 - day.0 > limit;
        for (item, daily) in self.of.feeds {
            let limit = if *daily { case.settings.stale_daily } else { case.settings.stale_monthly };
            if case.facts.feed_date(*item, case.as_of.0).is_some_and(|day| older(day, limit)) {
                let subject = self.application();
                self.into.list.insert(Disc { item: Some(*item), ..Disc::new("D7", "stale", subject) });
            }
        }
        for ((person, item), day) in &self.of.property.money.oldest {
            if older(*day, case.settings.valid_financial) {
                let subject = self.show(*person);
                self.into.list.insert(Disc { item: Some(*item), ..Disc::new("D7", "stale", subject) });
            }
        }
    }

    /// D8.
    fn identities(&mut self) {
        let case = self.case;
        let mut found = Vec::new();
        for mismatch in &case.declared_mismatches {
            found.push((mismatch.person, mismatch.item, mismatch.key.clone()));
        }
        if !case.usable(case.application) {
            found.push((case.applicant, 8, case.key(case.application)));
        }
        for (person, item, key) in found {
            self.identity(person, item, key);
        }
        for shape in SHAPES.iter().filter(|shape| !matches!(shape.no, 8 | 9 | 20)) {
            for person in self.scope.clone() {
                for row in case.any_current(shape.no, person) {
                    if !case.usable(row) {
                        self.identity(person, shape.no, case.key(row));
                    }
                }
            }
        }
    }

    fn identity(&mut self, person: Citizen, item: u8, key: String) {
        let subject = self.show(person);
        self.into.list.insert(Disc { item: Some(item), key: Some(key), ..Disc::new("D8", "identity", subject) });
    }
}

/// Items of table 3.1 that need an authorisation, ascending.
pub(crate) fn auth_items(case: &Case<'_>) -> Vec<u8> {
    SHAPES.iter().map(|shape| shape.no).filter(|no| case.rules.of(*no).auth).collect()
}

/// Item 15 in force with type 1 or 2 (R-IDM-06).
pub(crate) fn is_orphan(case: &Case<'_>, person: Citizen) -> bool {
    let fact = case.rules.of(15).fact("now");
    case.rows::<ChildWelfareGuarantee>(person).into_iter().any(|row| {
        fact.passes(row, &case.settings)
            && fact.in_force(row, case.q)
            && (row.child_type_code.is("1") || row.child_type_code.is("2"))
    })
}

/// (p, i) of section 6: counted members and obligors, every item that needs an authorisation and has none.
pub(crate) fn not_authorised(
    case: &Case<'_>,
    household: &Household,
    obligors: &[Obligor],
) -> BTreeMap<Citizen, Vec<u8>> {
    let items = auth_items(case);
    let mut asked = household.counted.clone();
    asked.extend(obligors.iter().map(|o| o.person));
    asked
        .into_iter()
        .map(|person| (person, items.iter().copied().filter(|item| !case.covers(person, *item)).collect::<Vec<_>>()))
        .filter(|(_, items)| !items.is_empty())
        .collect()
}
