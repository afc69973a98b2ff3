//! Expenditure, category and benefit (computation section 5).

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::{
    calendar::{date, day_of, month_index, print_ts},
    items::{
        Item,
        civil_affairs::{AssistancePayment, ChildWelfareGuarantee, SubsistenceAllowanceMember, TemporaryAssistance},
        disabled_persons_federation::{DisabilityCertificate, DisabilityRehabilitationAid},
        education::{StudentEnrolment, StudentFinancialAid},
        human_resources_social_security::UnemploymentRegistration,
        judicial_administration::{CompulsoryIsolationRehab, PrisonInmate},
        medical_insurance::{ChronicDiseaseQualification, MedicalSettlement},
        taxation::IndividualIncomeTax,
    },
};

use super::{
    Exact, Household, Income,
    income::{Reckoner, Total, Window},
    kinship::{Family, Id, QUERY, academic_year, as_of, certified, in_force, recorded, years},
    money,
    property::{self, Money},
};

/// What the figures come to.
#[derive(Debug)]
pub(crate) struct Outcome {
    income: Total,
    monetary: Exact,
    houses: usize,
    vehicles: (usize, usize),
    rigid: Exact,
    category: &'static str,
    benefit: Option<i64>,
    covered: usize,
}

fn whole(n: i64) -> Exact {
    Exact::from_integer(i128::from(n))
}

fn ceil_yuan(fen: Exact) -> i64 {
    let yuan = (fen / 100).ceil().to_integer();
    i64::try_from(yuan.max(0)).unwrap_or(i64::MAX)
}

impl Outcome {
    /// Reckons everything for `family`.
    pub(crate) fn of(family: &Family<'_>) -> Outcome {
        let reckoner = Reckoner::new(family);
        let members = &family.counted;
        let n = members.len() as i64;
        let w = i64::from(family.parameters.window);
        let standard = family.parameters.standard;
        let money = property::money(family, members);
        let money_of = |people: &BTreeSet<Id>| property::money(family, people);
        let mut income = reckoner.household(members, &money, true);
        income.maintenance = reckoner.maintenance(&money_of);
        let total = income.total();
        let rigid = rigid(family);
        let line = whole(standard * n * w);
        let passes = |multiple| property::passes(family, members, &money, multiple);
        let extreme = n > 0 && Extreme { family, reckoner: &reckoner }.holds(&income, line, passes(2));
        let mut category = if n == 0 {
            "none"
        } else if extreme {
            "extreme"
        } else if total < line && passes(2) {
            "dibao"
        } else if total < line * Exact::new(3, 2) && passes(3) {
            "marginal"
        } else if total * 12 < whole(family.parameters.pcdi * n * w)
            && rigid > Exact::new(3, 4) * total * 12 / i128::from(w)
            && passes(3)
        {
            "rigid"
        } else {
            "none"
        };
        let covered = members.len() - members.iter().filter(|p| refuses(family, p)).count();
        let mut benefit = None;
        if category == "dibao" {
            benefit = Some(ceil_yuan((whole(standard * covered as i64 * w) - total) / i128::from(w)));
        }
        let told = &family.application;
        let alone = &*told.apply_type_code == "01" && told.is_single_person;
        if alone
            && category == "marginal"
            && members.contains(&family.applicant)
            && eligible_alone(family, &family.applicant)
        {
            category = "dibao_single";
            let parts = reckoner.person(&family.applicant, &money);
            let own = (parts.wage + parts.business + parts.property + parts.transfer - parts.deductions).max(whole(0));
            benefit = Some(ceil_yuan((whole(standard * w) - own) / i128::from(w)));
        }
        Outcome {
            income,
            monetary: money.total,
            houses: property::houses(family, members).count,
            vehicles: property::vehicles(family, members),
            rigid,
            category,
            benefit,
            covered,
        }
    }

    /// As it is written to the truth.
    pub(crate) fn print(&self, family: &Family<'_>) -> Household {
        let n = family.counted.len();
        let total = self.income.total();
        let w = i128::from(family.parameters.window);
        Household {
            application_no: family.application.application_no.to_string(),
            as_of: print_ts(as_of()),
            member_count: n,
            members: family.counted.iter().cloned().collect(),
            excluded: family.excluded.iter().cloned().collect(),
            obligors: family.duties.iter().map(|(o, _)| o.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
            income: Income {
                wage: money(&self.income.wage),
                business: money(&self.income.business),
                property: money(&self.income.property),
                transfer: money(&self.income.transfer),
                maintenance: money(&self.income.maintenance),
                deductions: money(&self.income.deductions),
                total: money(&total),
            },
            per_capita_monthly: (n > 0).then(|| money(&(total / (w * n as i128)))),
            monetary_total: money(&self.monetary),
            house_count: self.houses,
            vehicle_count: self.vehicles.0,
            vehicle_counted: self.vehicles.1,
            rigid_total: money(&self.rigid),
            category: self.category,
            benefit_monthly: self.benefit,
            covered_count: self.covered,
        }
    }
}

/// Three refusals of work (R-CAT-09).
fn refuses(family: &Family<'_>, p: &str) -> bool {
    family.view.all::<UnemploymentRegistration>().iter().any(|r| {
        family.view.person(&r.citizen_id) == p
            && recorded(&r.status_code)
            && in_force(r.registered_on, r.cancelled_on)
            && r.job_refusal_count.unwrap_or(0) >= 3
    })
}

/// 5.4.
fn eligible_alone(family: &Family<'_>, p: &str) -> bool {
    family.is_severe(p)
        || family.view.all::<ChronicDiseaseQualification>().iter().any(|r| {
            family.view.person(&r.citizen_id) == p
                && recorded(&r.record_status_code)
                && r.valid_from <= QUERY
                && r.valid_until.is_none_or(|d| d >= QUERY)
                && (&*r.class_code == "3" || (&*r.class_code == "4" && family.parameters.rare_alone))
        })
}

/// Rigid expenditure of the counted members (5.1).
fn rigid(family: &Family<'_>) -> Exact {
    let window = Window::before(family.base, 12);
    let counted = |number: &str| family.counted.contains(&family.view.person(number));
    let shown = |number: &str, item: &str| counted(number) && family.covered(&family.view.person(number), item);
    let has = |day: NaiveDate| window.holds(month_index(day));
    let medical: i64 = family
        .view
        .all::<MedicalSettlement>()
        .iter()
        .filter(|r| has(day_of(r.settled_at)) && shown(&r.citizen_id, MedicalSettlement::CODE))
        .map(|r| r.personal_paid_amount.0)
        .sum();
    let school_year = |text: &str| academic_year(text).filter(|y| has(date(*y, 9, 1)));
    let mut education: BTreeMap<(Id, i32), i64> = BTreeMap::new();
    for r in family.view.all::<StudentEnrolment>() {
        if let Some(year) = school_year(&r.academic_year).filter(|_| counted(&r.citizen_id))
            && matches!(&*r.enrol_status_code, "1" | "2" | "4")
            && &*r.stage_code != "8"
        {
            *education.entry((family.view.person(&r.citizen_id), year)).or_default() +=
                r.annual_tuition.map_or(0, |t| t.0);
        }
    }
    for r in family.view.all::<StudentFinancialAid>() {
        if let Some(year) = school_year(&r.academic_year).filter(|_| counted(&r.citizen_id))
            && matches!(&*r.pay_status_code, "1" | "5")
        {
            *education.entry((family.view.person(&r.citizen_id), year)).or_default() -= r.amount.0;
        }
    }
    let education: i64 = education.values().map(|e| (*e).max(0)).sum();
    let rehab: i64 = family
        .view
        .all::<DisabilityRehabilitationAid>()
        .iter()
        .filter(|r| {
            recorded(&r.record_status_code)
                && has(r.service_from)
                && shown(&r.citizen_id, DisabilityRehabilitationAid::CODE)
        })
        .map(|r| r.personal_amount.0)
        .sum();
    let living = family.parameters.standard * family.counted.len() as i64 * 12;
    let mut aid: i64 = family
        .view
        .all::<TemporaryAssistance>()
        .iter()
        .filter(|r| counted(&r.citizen_id) && &*r.aid_mode_code != "2" && has(r.paid_on.unwrap_or(r.approved_on)))
        .map(|r| r.amount.0)
        .sum();
    aid += family
        .view
        .all::<AssistancePayment>()
        .iter()
        .filter(|r| {
            counted(&r.citizen_id)
                && &*r.benefit_code == "16"
                && &*r.channel_code != "5"
                && matches!(&*r.pay_status_code, "1" | "5")
                && has(r.pay_month)
        })
        .map(|r| r.amount.0)
        .sum::<i64>();
    whole((medical.max(0) + education + rehab + living - aid).max(0))
}

/// The test for extreme poverty (5.2).
struct Extreme<'a, 'b> {
    family: &'a Family<'b>,
    reckoner: &'a Reckoner<'a>,
}

impl Extreme<'_, '_> {
    fn holds(&self, income: &Total, line: Exact, property_ok: bool) -> bool {
        let family = self.family;
        let without = Total { maintenance: whole(0), transfer: income.transfer - income.central, ..income.clone() };
        family.counted.iter().all(|m| self.incapable(m))
            && without.total() < line
            && property_ok
            && !self.guaranteed_child()
            && family.duties.iter().all(|(o, _)| self.without_capacity(o))
    }

    fn guaranteed_child(&self) -> bool {
        self.family.view.all::<ChildWelfareGuarantee>().iter().any(|r| {
            self.family.counted.contains(&self.family.view.person(&r.citizen_id))
                && matches!(&*r.child_type_code, "1" | "2")
                && matches!(&*r.status_code, "1" | "4")
                && in_force(r.approved_on, r.terminated_on)
        })
    }

    fn incapable(&self, m: &str) -> bool {
        let age = years(m, QUERY);
        !(16..60).contains(&age)
            || self
                .family
                .view
                .all::<DisabilityCertificate>()
                .iter()
                .any(|r| self.family.view.person(&r.citizen_id) == m && certified(r) && disabling_certificate(r))
    }

    fn without_capacity(&self, o: &Id) -> bool {
        let family = self.family;
        let age = years(o, QUERY);
        let severe = family.is_severe(o);
        if family.extreme.contains(o) || family.is_minor(o) {
            return true;
        }
        let guaranteed = family.view.all::<SubsistenceAllowanceMember>().iter().any(|r| {
            family.view.person(&r.citizen_id) == *o
                && r.is_guaranteed
                && matches!(&*r.status_code, "1" | "4")
                && in_force(r.joined_on, r.left_on)
        });
        if guaranteed && (age >= 60 || severe) {
            return true;
        }
        let household = family.household_of(o);
        let held = property::money(family, &household);
        let w = i128::from(family.parameters.window);
        let n = household.len() as i64;
        let old = age >= 70 || severe;
        if old && family.covered(o, IndividualIncomeTax::CODE) {
            let income = self.reckoner.household(&household, &held, false).total();
            if income < Exact::new(i128::from(family.parameters.pcdi * n) * w, 12)
                && self.owns_little(&household, &held)
            {
                return true;
            }
        }
        let custody = family.in_custody(o)
            && (family.covered(o, PrisonInmate::CODE) || family.covered(o, CompulsoryIsolationRehab::CODE));
        custody && self.owns_little(&household, &held)
    }

    fn owns_little(&self, household: &BTreeSet<Id>, held: &Money) -> bool {
        property::passes(self.family, household, held, 2)
    }
}

/// 5.2 (a), with the parts of a multiple disability.
fn disabling_certificate(r: &DisabilityCertificate) -> bool {
    let grade = |g: &str| g.trim().parse::<u32>().unwrap_or(9);
    let one = |kind: &str, g: u32| match kind.trim() {
        "5" | "6" => (1..=3).contains(&g),
        "4" => (1..=2).contains(&g),
        "1" => g == 1,
        _ => false,
    };
    if &*r.disability_type_code != "7" {
        return one(&r.disability_type_code, grade(&r.disability_grade_code));
    }
    match &r.multi_detail {
        Some(parts) => parts.split(';').any(|part| part.split_once(':').is_some_and(|(kind, g)| one(kind, grade(g)))),
        None => (1..=2).contains(&grade(&r.disability_grade_code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benefit_is_rounded_up_to_whole_yuan() {
        assert_eq!(ceil_yuan(Exact::new(1, 12)), 1);
        assert_eq!(ceil_yuan(whole(13_400)), 134);
        assert_eq!(ceil_yuan(whole(-5)), 0);
    }
}
