//! Category, benefit, single persons and grace (computation 3.6-3.10, 5.2-5.7; R-CAT-01 … 09).

use std::collections::BTreeMap;

use crate::calendar::{Day, Month};
use crate::case::Case;
use crate::discrepancies::is_orphan;
use crate::exact::Exact;
use crate::income::{Income, PersonIncome, per};
use crate::items::{
    ChronicDiseaseQualification, DisabilityCertificate, EmploymentRegistration, ExtremePovertySupport,
    PublicWelfarePost, SubsistenceAllowanceMember, UnemploymentRegistration,
};
use crate::members::Household;
use crate::monetary::Monetary;
use crate::number::Citizen;
use crate::obligors::{Means, Obligor};
use crate::parameters::Missing;
use crate::property::{Property, Tests};

/// HUB_ASSIST_TYPE words of 5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Extreme,
    Dibao,
    DibaoSingle,
    Marginal,
    Rigid,
    None,
}

impl Category {
    /// Word and code.
    pub(crate) fn words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Extreme => ("extreme", Some("02")),
            Self::Dibao => ("dibao", Some("01")),
            Self::DibaoSingle => ("dibao_single", Some("01")),
            Self::Marginal => ("marginal", Some("03")),
            Self::Rigid => ("rigid", Some("04")),
            Self::None => ("none", None),
        }
    }
}

/// Household income by kind (3.8).
#[derive(Debug, Clone, Default)]
pub(crate) struct Totals {
    pub(crate) wage: Exact,
    pub(crate) business: Exact,
    pub(crate) property: Exact,
    pub(crate) transfer: Exact,
    pub(crate) maintenance: Exact,
    pub(crate) deductions: Exact,
    pub(crate) disregard: Exact,
    pub(crate) total: Exact,
    /// Kinds taken from the declaration: wage, business, property.
    pub(crate) declared: [bool; 3],
}

impl Totals {
    /// Sums the household; `maintenance` is of 3.9.
    pub(crate) fn of(case: &Case<'_>, income: &Income, maintenance: Exact) -> Result<Self, Missing> {
        let a = case.application;
        let w = i64::from(income.window.months());
        let declared = [
            ("wage", income.has_wage, a.declared_wage_income),
            ("business", income.has_business, a.declared_business_income),
            ("property", income.has_property, a.declared_property_income),
        ]
        .map(|(kind, has, amount)| {
            let counts = case.settings.declared_counts_for.iter().any(|k| k == kind);
            (counts && !has && amount.0 > 0).then(|| per(&(amount.exact() * w), 12))
        });
        let used = declared.clone().map(|d| d.is_some());
        let [wage, business, property] = declared;
        let mut disregard = Exact::ZERO;
        for (person, of) in &income.by_person {
            disregard = disregard + self::disregard(case, *person, of)?;
        }
        let mut totals = Self {
            wage: wage.unwrap_or_else(|| income.wage()),
            business: business.unwrap_or_else(|| income.business()),
            property: property.unwrap_or_else(|| income.property()),
            transfer: income.transfer(),
            maintenance,
            deductions: income.deductions(),
            disregard,
            total: Exact::ZERO,
            declared: used,
        };
        totals.total = totals.sum(&totals.transfer, &totals.maintenance);
        Ok(totals)
    }

    fn sum(&self, transfer: &Exact, maintenance: &Exact) -> Exact {
        let plus = &(&(&self.wage + &self.business) + &self.property) + transfer + maintenance;
        (plus - &self.deductions - &self.disregard).floor_zero()
    }

    /// `total_x` of 5.2: without maintenance, the central basic pension excluded in every month (S22).
    fn extreme(&self, income: &Income) -> Exact {
        self.sum(&(&self.transfer - &income.central_counted()), &Exact::ZERO)
    }
}

/// Earned-income disregard of one person (3.10; R-INC-09).
pub(crate) fn disregard(case: &Case<'_>, person: Citizen, income: &PersonIncome) -> Result<Exact, Missing> {
    let s = &case.settings;
    match s.disregard.as_str() {
        "fixed" => {
            let min = s.need(&s.disregard_min_wage, "disregard.min_wage")?;
            let amount = s.need(&s.disregard_amount, "disregard.amount")?;
            // A month without any level has a wage of 0, which a minimum of 0 would admit: min(amount, 0) adds nothing
            // unless the amount is negative, and then the page takes it as it stands.
            Ok(income.months.iter().filter(|m| m.amount >= *min).map(|m| m.amount.clone().min(amount.clone())).sum())
        }
        "new_job" => {
            let joined = case.in_force::<SubsistenceAllowanceMember>(person).into_iter().map(|r| r.joined_on).min();
            let Some(joined) = joined else { return Ok(Exact::ZERO) };
            let job = case.rules.of(34).fact("job");
            let jobs = case.rows::<EmploymentRegistration>(person);
            let jobs = jobs.into_iter().filter(|r| job.passes(*r, s)).map(|r| r.started_on);
            let posts = case.rows::<PublicWelfarePost>(person);
            let started = jobs.chain(posts.into_iter().map(|r| r.started_on)).filter(|day| *day > joined).min();
            let Some(from) = started.map(Day::month) else { return Ok(Exact::ZERO) };
            let cap = &s.disregard_multiple * &s.standard;
            let inside = |m: Month| from <= m && m.0 < from.0 + s.disregard_months;
            Ok(income.months.iter().filter(|m| inside(m.month)).map(|m| m.amount.clone().min(cap.clone())).sum())
        }
        _ => Ok(Exact::ZERO),
    }
}

/// What the category is decided from.
pub(crate) struct Grounds<'g, 'a> {
    pub(crate) case: &'g Case<'a>,
    pub(crate) household: &'g Household,
    pub(crate) income: &'g Income,
    pub(crate) totals: &'g Totals,
    pub(crate) tests: &'g Tests,
    pub(crate) rigid: &'g Exact,
    pub(crate) obligors: &'g [Obligor],
    pub(crate) means: &'g BTreeMap<Citizen, Means>,
}

impl Grounds<'_, '_> {
    fn months(&self) -> i32 {
        self.income.window.months()
    }

    fn line(&self) -> Exact {
        self.case.settings.line(self.household.n(), self.months())
    }

    /// 5.3: the first that holds.
    pub(crate) fn category(&self) -> Result<Category, Missing> {
        let s = &self.case.settings;
        let (n, w) = (self.household.n(), i64::from(self.months()));
        if n == 0 {
            return Ok(Category::None);
        }
        let (total, rest) = (&self.totals.total, self.tests.rest());
        if self.extreme()? {
            return Ok(Category::Extreme);
        }
        if *total < self.line() && self.tests.dibao && rest {
            return Ok(Category::Dibao);
        }
        let marginal = &s.marginal_multiple * &self.line();
        let below = if s.marginal_inclusive { *total <= marginal } else { *total < marginal };
        if below && self.tests.marginal && rest {
            return Ok(Category::Marginal);
        }
        let pcdi = s.need(&s.pcdi, "pcdi.previous_year")?;
        if total * 12 < pcdi * (n * w) {
            let share = per(&(&s.rigid_ratio * &(total * 12)), w);
            let over = if s.rigid_inclusive { *self.rigid >= share } else { *self.rigid > share };
            if over && self.tests.rigid && rest {
                return Ok(Category::Rigid);
            }
        }
        Ok(Category::None)
    }

    /// 5.2, in the order (b), (a), item 15, (c).
    fn extreme(&self) -> Result<bool, Missing> {
        let case = self.case;
        if self.totals.extreme(self.income) >= self.line() || !self.tests.dibao || !self.tests.rest() {
            return Ok(false);
        }
        let counted = &self.household.counted;
        if counted.iter().any(|p| !no_labour_capacity(case, *p)) || counted.iter().any(|p| is_orphan(case, *p)) {
            return Ok(false);
        }
        for obligor in self.obligors {
            if !self.without_capacity(obligor.person)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// 5.2 (c) for one obligor.
    fn without_capacity(&self, person: Citizen) -> Result<bool, Missing> {
        let case = self.case;
        let s = &case.settings;
        let age = case.age(person);
        let severe = case.severe(person);
        if !case.in_force::<ExtremePovertySupport>(person).is_empty() {
            return Ok(true);
        }
        if !case.in_force::<SubsistenceAllowanceMember>(person).is_empty() && (age >= 60 || severe) {
            return Ok(true);
        }
        let Some(means) = self.means.get(&person) else { return Ok(false) };
        let own: Vec<Citizen> = means.household.iter().copied().collect();
        let property_ok = || -> Result<bool, Missing> {
            let property = Property::of(case, &own, Monetary::of(case, &own));
            let tests = property.tests(case, own.len() as i64)?;
            Ok(tests.dibao && tests.rest())
        };
        if (age >= 70 || severe) && case.covers(person, 65) {
            let pcdi = s.need(&s.pcdi, "pcdi.previous_year")?;
            let limit = per(&(pcdi * (own.len() as i64 * i64::from(self.months()))), 12);
            if means.income < limit && property_ok()? {
                return Ok(true);
            }
        }
        if case.minor(person) {
            return Ok(true);
        }
        Ok(case.in_custody(person) && property_ok()?)
    }

    /// 5.4: who may apply alone; empty unless the household is marginal.
    pub(crate) fn eligible(&self, category: Category) -> Vec<Citizen> {
        if category != Category::Marginal {
            return Vec::new();
        }
        let case = self.case;
        let group = |word: &str| case.settings.single_groups.iter().any(|g| g == word);
        self.household
            .counted
            .iter()
            .copied()
            .filter(|p| {
                let illness = |codes: &[&str]| {
                    let rows = case.in_force::<ChronicDiseaseQualification>(*p);
                    rows.iter().any(|row| codes.iter().any(|code| row.class_code.is(code)))
                };
                case.severe(*p)
                    || illness(&["3"])
                    || (group("rare") && illness(&["4"]))
                    || (group("chronic") && illness(&["1", "2"]))
                    || (group("minor16") && case.age(*p) < 16)
                    || (group("aged70") && case.age(*p) >= 70)
                    || (group("student") && case.student(*p))
            })
            .collect()
    }

    /// Income of a single applicant: own, no maintenance, no declared fallback, no joint interest.
    fn own_total(&self, person: Citizen) -> Result<Exact, Missing> {
        let Some(p) = self.income.by_person.get(&person) else { return Ok(Exact::ZERO) };
        let property = p.all_property() - &p.interest_shared;
        let plus = p.wage() + &p.business + property + &p.transfer;
        Ok((plus - &p.deductions - disregard(self.case, person, p)?).floor_zero())
    }

    /// 5.5, whole yuan.
    pub(crate) fn benefit(&self, category: Category, covered: i64) -> Result<Option<i64>, Missing> {
        let s = &self.case.settings;
        let w = i64::from(self.months());
        let monthly = |persons: i64, total: &Exact| per(&(s.line(persons, self.months()) - total), w).ceil().max(0);
        match category {
            Category::Dibao if s.benefit_mode == "band" => {
                let bands = s.need(&s.bands, "benefit.bands")?;
                let gap = &s.standard - &per(&self.totals.total, w * self.household.n());
                let band = bands.iter().filter(|(from, _)| *from <= gap).max_by(|a, b| a.0.cmp(&b.0));
                Ok(Some(band.map_or(0, |(_, amount)| (amount * covered).ceil())))
            }
            Category::Dibao => Ok(Some(monthly(covered, &self.totals.total))),
            Category::DibaoSingle => Ok(Some(monthly(1, &self.own_total(self.case.applicant)?))),
            _ => Ok(None),
        }
    }

    /// 5.7. `None` when the household receives no dibao or does not come into question.
    pub(crate) fn grace(&self, category: Category) -> Option<Grace> {
        let case = self.case;
        if matches!(category, Category::Dibao | Category::DibaoSingle | Category::Extreme) {
            return None;
        }
        let earned = (&self.totals.wage + &self.totals.business).is_positive();
        let (total, line) = (&self.totals.total, self.line());
        let between = *total >= line && *total < &case.settings.marginal_multiple * &line;
        if !(earned && between && self.tests.dibao && self.tests.rest()) {
            return None;
        }
        let fact = case.rules.of(1).main();
        let household = self
            .household
            .counted
            .iter()
            .flat_map(|p| case.in_force::<SubsistenceAllowanceMember>(*p))
            .filter_map(|row| case.facts.allowance_household(case.text(row.certificate_no), case.as_of.0))
            .filter(|h| case.usable(*h) && fact.passes(*h, &case.settings) && fact.in_force(*h, case.q))
            .min_by_key(|h| case.text(h.certificate_no))?;
        let months = case.settings.grace_months;
        let until = |from: Month| Month(from.0 + months - 1).last();
        Some(if household.status_code.is("1") {
            let from = Month(case.q.month().0 + 1);
            let (from, until) = (Some(from.first()), Some(until(from)));
            Grace { eligible: true, from, until, amount: Some(household.monthly_amount.exact()), overdue: None }
        } else {
            let until = household.grace_from.map(|from| until(from.month()));
            let overdue = until.is_some_and(|until| case.q > until).then(|| case.key(household));
            Grace { eligible: false, from: household.grace_from, until, amount: None, overdue }
        })
    }

    /// Counted members whose allowance goes on (R-CAT-09).
    pub(crate) fn guaranteed(&self, person: Citizen) -> bool {
        guaranteed(self.case, person)
    }
}

pub(crate) fn guaranteed(case: &Case<'_>, person: Citizen) -> bool {
    // A count that is not stated reaches no limit, not even 0.
    let reached = |count: i32| i64::from(count) >= case.settings.max_refusals;
    let refused = |row: &&UnemploymentRegistration| row.job_refusal_count.is_some_and(reached);
    !(case.settings.refusal_stops && case.in_force::<UnemploymentRegistration>(person).iter().any(refused))
}

/// Grace of a household that receives dibao.
#[derive(Debug)]
pub(crate) struct Grace {
    pub(crate) eligible: bool,
    pub(crate) from: Option<Day>,
    pub(crate) until: Option<Day>,
    pub(crate) amount: Option<Exact>,
    /// Certificate whose grace is over.
    pub(crate) overdue: Option<String>,
}

/// 5.2 (a).
fn no_labour_capacity(case: &Case<'_>, person: Citizen) -> bool {
    let age = case.age(person);
    age >= case.settings.extreme_elderly_age
        || age < case.settings.extreme_minor_age
        || case.in_force::<DisabilityCertificate>(person).into_iter().any(|row| {
            let ty = row.disability_type_code.to_string();
            let grade = row.disability_grade_code.to_string();
            match row.multi_detail.map(|text| case.text(text)).filter(|_| ty == "7") {
                Some(detail) => detail
                    .split(';')
                    .any(|part| part.split_once(':').is_some_and(|(ty, grade)| incapable(ty.trim(), grade.trim()))),
                None if ty == "7" => grade == "1" || grade == "2",
                None => incapable(&ty, &grade),
            }
        })
}

fn incapable(ty: &str, grade: &str) -> bool {
    matches!((ty, grade), ("5" | "6", "1" | "2" | "3") | ("4", "1" | "2") | ("1", "1"))
}
