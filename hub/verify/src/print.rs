//! From computed parts to the result object: strings, rounding and the sort orders of section 8.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Case;
use crate::categories::{Category, Grace, Totals, guaranteed};
use crate::discrepancies::{Discrepancies, Silent};
use crate::exact::Exact;
use crate::expenditure::Rigid;
use crate::finding::Finding;
use crate::income::{Income, per};
use crate::kinship::{Kin, Levels};
use crate::lookback::Lookback;
use crate::members::Household;
use crate::number::Citizen;
use crate::obligors::{Capacity, Means, Obligor};
use crate::property::{Property, Tests};
use crate::result::{
    BusinessOf, Dates, Discrepancy, Excluded, ExcludedIncome, FindingOf, HouseOf, Kinds, LookbackOf, Member,
    MemberIncome, NotAuthorised, ObligorOf, PropertyOf, PropertyTests, RigidOf, SinglePerson, Sources, Unanswered,
    VehicleOf, Verification, WageLevel, WindowOf,
};

/// Everything a run has computed.
pub(crate) struct Parts<'p, 'c, 'a> {
    pub(crate) kin: &'p Kin<'c, 'a>,
    pub(crate) household: &'p Household,
    pub(crate) obligors: &'p [Obligor],
    pub(crate) means: &'p BTreeMap<Citizen, Means>,
    pub(crate) income: &'p Income,
    pub(crate) totals: &'p Totals,
    pub(crate) property: &'p Property,
    pub(crate) tests: &'p Tests,
    pub(crate) rigid: &'p Rigid,
    pub(crate) category: Category,
    pub(crate) requested: bool,
    pub(crate) eligible: &'p [Citizen],
    pub(crate) covered: i64,
    pub(crate) benefit: Option<i64>,
    pub(crate) grace: Option<&'p Grace>,
    pub(crate) discrepancies: &'p Discrepancies,
    pub(crate) not_authorised: &'p BTreeMap<Citizen, Vec<u8>>,
    pub(crate) findings: &'p BTreeSet<Finding>,
    pub(crate) lookback: &'p BTreeSet<Lookback>,
}

impl<'a> Parts<'_, '_, 'a> {
    fn case(&self) -> &Case<'a> {
        self.kin.case
    }

    fn show(&self, person: Citizen) -> String {
        (self.case().show)(person)
    }

    /// Lists are sorted by what is printed.
    fn by_person<T>(&self, mut list: Vec<T>, key: impl Fn(&T) -> (&str, &str)) -> Vec<T> {
        list.sort_by(|a, b| key(a).cmp(&key(b)));
        list
    }

    pub(crate) fn print(&self, county: &str, scheme: &str, version: &str) -> Verification {
        let case = self.case();
        let n = self.household.n();
        let window = self.income.window;
        let w = i64::from(window.months());
        let per_capita = (n > 0).then(|| per(&self.totals.total, w * n));
        let (category, code) = self.category.words();
        let blocking = |code: &str| case.settings.blocking.iter().any(|b| b == code);
        let automatic = self.category != Category::None
            && !self.discrepancies.list.iter().any(|d| blocking(d.code))
            && !self.not_authorised.keys().any(|p| self.household.counted.contains(p));
        let unstable = self
            .household
            .counted
            .iter()
            .any(|p| (18..=59).contains(&case.age(*p)) && !case.severe(*p) && !case.student(*p));
        let reverify = if unstable { case.settings.reverify_unstable } else { case.settings.reverify_stable };
        Verification {
            application_no: case.text(case.application.application_no).to_owned(),
            as_of: case.as_of.to_string(),
            base_date: case.base.to_string(),
            query_date: case.q.to_string(),
            county: county.to_owned(),
            scheme: scheme.to_owned(),
            standard_monthly: case.settings.standard.money(),
            window: WindowOf { from: window.from.first().to_string(), to: window.to.last().to_string(), months: w },
            parameters_version: version.to_owned(),
            members: self.members(),
            excluded: self.excluded(),
            obligors: self.obligors(),
            member_count: n,
            income: self.kinds(Exact::money),
            income_exact: self.kinds(Exact::to_string),
            income_sources: self.sources(),
            income_by_member: self.income_by_member(),
            wage_levels: self.wage_levels(),
            excluded_income: self
                .income
                .excluded
                .iter()
                .filter(|(_, amount)| !amount.is_zero())
                .map(|(item, amount)| ExcludedIncome { item: case.item(*item).to_owned(), amount: amount.money() })
                .collect(),
            per_capita_monthly_exact: per_capita.as_ref().map(Exact::to_string),
            per_capita_monthly: per_capita.as_ref().map(Exact::money),
            property: self.property(),
            property_tests: PropertyTests {
                monetary_dibao: self.tests.dibao,
                monetary_marginal: self.tests.marginal,
                monetary_rigid: self.tests.rigid,
                house: self.tests.house,
                vehicle: self.tests.vehicle,
                capital: self.tests.capital,
                non_residential: self.tests.non_residential,
                machinery: self.tests.machinery,
            },
            houses: self.houses(),
            vehicles: self
                .property
                .vehicles
                .iter()
                .map(|(vin, exempt)| VehicleOf { vin: vin.clone(), exempt: exempt.map(str::to_owned) })
                .collect(),
            businesses: self.businesses(),
            lookback: self.lookback(),
            rigid: self.rigid(),
            category: category.to_owned(),
            category_code: code.map(str::to_owned),
            single_person: SinglePerson { requested: self.requested, eligible: self.eligible() },
            covered_count: self.covered,
            benefit_monthly: self.benefit,
            grace: self.grace(),
            automatic_positive: automatic,
            discrepancies: self
                .discrepancies
                .list
                .iter()
                .map(|d| Discrepancy {
                    code: d.code.to_owned(),
                    kind: d.kind.to_owned(),
                    subject: d.subject.clone(),
                    item: d.item.map(|no| case.item(no).to_owned()),
                    key: d.key.clone(),
                    pair: d.pair.map(str::to_owned),
                    declared: d.declared.clone(),
                    found: d.found.clone(),
                    blocking: blocking(d.code),
                })
                .collect(),
            not_authorised: self.not_authorised(),
            not_answered: self.unanswered(&self.discrepancies.not_answered),
            pending: self.unanswered(&self.discrepancies.pending),
            findings: self.findings(),
            report: Dates {
                valid_until: case.q.add_days(case.settings.valid_general).to_string(),
                reverify_due: case.q.add_months(reverify).to_string(),
            },
        }
    }

    fn members(&self) -> Vec<Member> {
        let case = self.case();
        let list = self
            .household
            .counted
            .iter()
            .map(|person| {
                let edges: Vec<Levels> = self
                    .household
                    .counted
                    .iter()
                    .filter(|other| *other != person)
                    .flat_map(|other| self.kin.edges_between(*person, *other))
                    .collect();
                Member {
                    citizen_id: self.show(*person),
                    role: self.role(*person).to_owned(),
                    evidence: edges.iter().map(|l| l.evidence()).min(),
                    declared: case.decl(*person).is_some_and(|d| d.is_member()),
                    declared_only: !edges.is_empty() && edges.iter().all(|l| l.declared_only()),
                    age: i64::from(case.age(*person)),
                    identity: self.identity(*person).to_owned(),
                    minor: case.minor(*person),
                    student: case.student(*person),
                    severe: case.severe(*person),
                    guaranteed: guaranteed(case, *person),
                }
            })
            .collect();
        self.by_person(list, |m| (&m.citizen_id, ""))
    }

    fn role(&self, person: Citizen) -> &'static str {
        let applicant = self.case().applicant;
        if person == applicant {
            "applicant"
        } else if self.kin.spouse(applicant).is_some_and(|e| e.other == person) {
            "spouse"
        } else if self.kin.parent_levels(applicant, person).any() {
            "child"
        } else if self.kin.parent_levels(person, applicant).any() {
            "parent"
        } else {
            "other"
        }
    }

    fn identity(&self, person: Citizen) -> &'static str {
        let case = self.case();
        match case.decl(person) {
            Some(declared) => declared.identity.word(),
            None if case.declared_mismatched.contains(&person) => "mismatched",
            None if case.card(person).identity.is_some() => "registered",
            None => "not_found",
        }
    }

    fn excluded(&self) -> Vec<Excluded> {
        let list = self
            .household
            .excluded
            .iter()
            .map(|(person, reason)| Excluded {
                citizen_id: self.show(*person),
                reason_code: reason.code.clone(),
                reason: reason.word.to_owned(),
                declared_only: matches!(reason.word, "religious" | "declared" | "local_declared"),
            })
            .collect();
        self.by_person(list, |e| (&e.citizen_id, ""))
    }

    fn obligors(&self) -> Vec<ObligorOf> {
        let list = self
            .obligors
            .iter()
            .filter_map(|o| {
                let means = self.means.get(&o.person)?;
                let (_, rate, pay) = means.pays.iter().find(|(of, ..)| *of == o.of)?;
                let known = means.capacity != Capacity::Unknown;
                let exact = |x: &Exact| known.then(|| x.to_string());
                Some(ObligorOf {
                    citizen_id: self.show(o.person),
                    of: self.show(o.of),
                    duty: o.duty.word().to_owned(),
                    evidence: o.levels.evidence(),
                    declared_only: o.levels.declared_only(),
                    capacity: means.capacity.word().to_owned(),
                    household_size: known.then_some(means.household.len() as i64),
                    household_income: known.then(|| means.income.money()),
                    excess_monthly_exact: exact(&means.excess),
                    maintained: known.then_some(means.maintained),
                    rate: exact(rate),
                    pay_exact: exact(pay),
                    pay: pay.money(),
                    declared_paid: means.paid.money(),
                })
            })
            .collect();
        self.by_person(list, |o| (&o.citizen_id, &o.of))
    }

    fn kinds(&self, print: impl Fn(&Exact) -> String) -> Kinds {
        let t = self.totals;
        Kinds {
            wage: print(&t.wage),
            business: print(&t.business),
            property: print(&t.property),
            transfer: print(&t.transfer),
            maintenance: print(&t.maintenance),
            deductions: print(&t.deductions),
            disregard: print(&t.disregard),
            total: print(&t.total),
        }
    }

    fn sources(&self) -> Sources {
        let [wage, business, property] =
            self.totals.declared.map(|declared| if declared { "declared" } else { "registers" }.to_owned());
        Sources { wage, business, property }
    }

    fn income_by_member(&self) -> Vec<MemberIncome> {
        let list = self
            .income
            .by_person
            .iter()
            .map(|(person, p)| MemberIncome {
                citizen_id: self.show(*person),
                wage: p.wage().to_string(),
                business: p.business.to_string(),
                property: p.all_property().to_string(),
                transfer: p.transfer.to_string(),
                deductions: p.deductions.to_string(),
            })
            .collect();
        self.by_person(list, |m| (&m.citizen_id, ""))
    }

    fn wage_levels(&self) -> Vec<WageLevel> {
        let months = self.income.by_person.iter().flat_map(|(person, p)| {
            let citizen_id = self.show(*person);
            p.months.iter().map(move |m| WageLevel {
                citizen_id: citizen_id.clone(),
                month: m.month.to_string(),
                level: m.level,
            })
        });
        self.by_person(months.collect(), |l| (&l.citizen_id, &l.month))
    }

    fn property(&self) -> PropertyOf {
        let p = self.property;
        PropertyOf {
            monetary_total: p.money.total.money(),
            deposits: p.money.deposits.money(),
            securities: p.money.securities.money(),
            insurance: p.money.insurance.money(),
            payment: p.money.payment.money(),
            provident_fund: p.money.provident_fund.money(),
            debts: p.money.debts.money(),
            monetary_limit_dibao: {
                let settings = &self.case().settings;
                (&settings.monetary_dibao * &settings.line(self.household.n(), 12)).money()
            },
            house_count: p.house_count,
            house_area_exact: p.house_area.to_string(),
            non_residential_count: p.non_residential_count,
            vehicle_count: p.vehicles.len() as i64,
            vehicle_counted: p.vehicle_counted(),
            machinery_count: p.machinery_count,
            subscribed_capital: p.capital.money(),
        }
    }

    fn houses(&self) -> Vec<HouseOf> {
        let houses = self.property.houses.iter().map(|h| HouseOf {
            source: h.source.to_owned(),
            unit: h.unit.clone(),
            share_exact: h.share.to_string(),
            area: h.area.money(),
            dropped_by: h.dropped_by.clone(),
        });
        houses.collect()
    }

    fn businesses(&self) -> Vec<BusinessOf> {
        let mut list: Vec<(u8, BusinessOf)> = self
            .property
            .businesses
            .iter()
            .map(|b| {
                let citizen_id = self.show(b.person);
                let item = self.case().item(b.item).to_owned();
                let (to_explain, exempt_candidate) = (b.to_explain, b.exempt_candidate);
                (b.item, BusinessOf { uscc: b.uscc.clone(), item, citizen_id, to_explain, exempt_candidate })
            })
            .collect();
        list.sort_by(|(i, a), (j, b)| (&a.uscc, i, &a.citizen_id).cmp(&(&b.uscc, j, &b.citizen_id)));
        list.into_iter().map(|(_, b)| b).collect()
    }

    fn lookback(&self) -> Vec<LookbackOf> {
        let mut list: Vec<_> = self.lookback.iter().map(|l| (l, self.show(l.person))).collect();
        list.sort_by(|(a, p), (b, q)| (a.date, a.code, a.item, &a.key, p).cmp(&(b.date, b.code, b.item, &b.key, q)));
        let print = |(l, citizen_id): (&Lookback, String)| LookbackOf {
            code: l.code.to_owned(),
            item: self.case().item(l.item).to_owned(),
            key: l.key.clone(),
            citizen_id,
            date: l.date.to_string(),
        };
        list.into_iter().map(print).collect()
    }

    fn rigid(&self) -> RigidOf {
        let r = self.rigid;
        let total = &self.totals.total;
        let w = i64::from(self.income.window.months());
        RigidOf {
            medical: r.medical.money(),
            education: r.education.money(),
            rehab: r.rehab.money(),
            living: r.living.money(),
            aid: r.aid.money(),
            total: r.total.money(),
            ratio_exact: (!total.is_zero()).then(|| (&(&r.total * w) / &(total * 12)).to_string()),
        }
    }

    fn eligible(&self) -> Vec<String> {
        let mut list: Vec<String> = self.eligible.iter().map(|p| self.show(*p)).collect();
        list.sort();
        list
    }

    fn grace(&self) -> crate::result::Grace {
        let none = crate::result::Grace { eligible: false, reason: None, from: None, until: None, amount: None };
        self.grace.map_or(none, |g| crate::result::Grace {
            eligible: g.eligible,
            reason: (!g.eligible).then(|| "already_in_grace".to_owned()),
            from: g.from.map(|d| d.to_string()),
            until: g.until.map(|d| d.to_string()),
            amount: g.amount.as_ref().map(Exact::money),
        })
    }

    fn not_authorised(&self) -> Vec<NotAuthorised> {
        let list = self
            .not_authorised
            .iter()
            .map(|(person, items)| NotAuthorised {
                citizen_id: self.show(*person),
                items: items.iter().map(|no| self.case().item(*no).to_owned()).collect(),
            })
            .collect();
        self.by_person(list, |n| (&n.citizen_id, ""))
    }

    fn unanswered(&self, silent: &[Silent]) -> Vec<Unanswered> {
        let mut list: Vec<_> = silent.iter().map(|s| (self.show(s.person), s)).collect();
        list.sort_by(|(p, a), (q, b)| (p, a.item, &a.institution).cmp(&(q, b.item, &b.institution)));
        let print = |(citizen_id, s): (String, &Silent)| Unanswered {
            citizen_id,
            item: self.case().item(s.item).to_owned(),
            institution_code: s.institution.clone(),
            deadline_at: s.deadline.to_string(),
        };
        list.into_iter().map(print).collect()
    }

    fn findings(&self) -> Vec<FindingOf> {
        let mut list: Vec<_> = self.findings.iter().map(|f| (f, f.person.map(|p| self.show(p)))).collect();
        list.sort_by(|(a, p), (b, q)| (a.code, a.item, &a.key, p).cmp(&(b.code, b.item, &b.key, q)));
        let print = |(f, citizen_id): (&Finding, Option<String>)| FindingOf {
            code: f.code.to_owned(),
            item: f.item.map(|no| self.case().item(no).to_owned()),
            key: f.key.clone(),
            citizen_id,
        };
        list.into_iter().map(print).collect()
    }
}
