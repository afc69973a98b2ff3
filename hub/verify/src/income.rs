//! Income of a set of persons in a window (computation 3; R-INC-02, 04, 06, 08, 10).
//!
//! Simple items are summed as the fact map says; tax rows, resident pensions, land and vessels, whose amounts are
//! composed, are spelled out here, wages and money in their own modules.

use std::collections::{BTreeMap, BTreeSet};

use crate::calendar::{Day, Month, Window};
use crate::case::Case;
use crate::cell::or_zero;
use crate::exact::Exact;
use crate::fact_map::{Fact, FactKind, Treatment};
use crate::finding::Finding;
use crate::items::{
    AgriSubsidyPayment, AnyRow, FishingVessel, IndividualIncomeTax, LandContractRight, MedicalInsuranceEnrolment,
    PensionContribution, ResidentPensionBenefit, SHAPES,
};
use crate::monetary::Monetary;
use crate::number::Citizen;
use crate::wage::{LOWER, MonthWage, Wages, wages};

/// `x / n`; 0 for n = 0, which no rule reaches.
pub(crate) fn per(x: &Exact, n: i64) -> Exact {
    if n == 0 { Exact::ZERO } else { x / &Exact::from(n) }
}

/// A tax row with its net amount and period (3.2).
#[derive(Debug)]
pub(crate) struct TaxRow<'a> {
    pub(crate) row: &'a IndividualIncomeTax,
    pub(crate) amount: Exact,
    /// P ≥ 1.
    pub(crate) period: i64,
    end: Month,
}

impl<'a> TaxRow<'a> {
    fn new(row: &'a IndividualIncomeTax) -> Self {
        let income = row.income_amount.exact();
        let [cost, social, tax] = [row.cost_amount, row.social_insurance_deduction, row.tax_paid].map(or_zero);
        let code = row.income_item_code.to_string();
        let amount = match code.as_str() {
            "01" | "02" | "03" | "04" => (income - social - tax).floor_zero(),
            "05" => income - cost - social - tax,
            "06" | "09" => (income - tax).floor_zero(),
            _ => (income - cost - tax).floor_zero(),
        };
        let period = i64::from(row.period_months.unwrap_or(1).max(1));
        Self { row, amount, period, end: row.tax_period.month() }
    }

    fn code(&self, code: &str) -> bool {
        self.row.income_item_code.is(code)
    }

    fn is_severance(&self) -> bool {
        self.code("01") && self.row.is_severance == Some(true)
    }

    /// Wage inside the levels of 3.3.
    pub(crate) fn is_wage(&self) -> bool {
        ["01", "02", "03", "04"].iter().any(|c| self.code(c)) && !self.is_severance()
    }

    fn first(&self) -> Month {
        Month(self.end.0.saturating_sub(i32::try_from(self.period - 1).unwrap_or(i32::MAX)))
    }

    /// Months of the window in the row's period.
    pub(crate) fn months_in(&self, window: Window) -> impl Iterator<Item = Month> {
        (window.from.0.max(self.first().0)..=window.to.0.min(self.end.0)).map(Month)
    }

    fn overlap(&self, window: Window) -> i64 {
        i64::from(window.overlap(self.first(), self.end))
    }

    /// The part of the amount that falls into the window.
    fn part(&self, window: Window) -> Exact {
        per(&(&self.amount * self.overlap(window)), self.period)
    }
}

/// Income of one person, before declarations.
#[derive(Debug, Default)]
pub(crate) struct PersonIncome {
    pub(crate) months: Vec<MonthWage>,
    pub(crate) compared: Vec<(u8, Exact, Exact)>,
    pub(crate) severance: Exact,
    pub(crate) business: Exact,
    /// Without interest.
    pub(crate) property: Exact,
    /// Interest of accounts reported under this person.
    pub(crate) interest: Exact,
    /// The part of it from accounts that several counted members own.
    pub(crate) interest_shared: Exact,
    pub(crate) transfer: Exact,
    /// Central basic pension inside `transfer`.
    pub(crate) central_counted: Exact,
    pub(crate) deductions: Exact,
    /// Any 05 row in the window.
    pub(crate) has_business_row: bool,
}

impl PersonIncome {
    pub(crate) fn wage(&self) -> Exact {
        self.months.iter().map(|m| m.amount.clone()).sum::<Exact>() + &self.severance
    }

    pub(crate) fn all_property(&self) -> Exact {
        &self.property + &self.interest
    }
}

/// Income of a set of persons.
#[derive(Debug)]
pub(crate) struct Income {
    pub(crate) window: Window,
    pub(crate) by_person: BTreeMap<Citizen, PersonIncome>,
    /// Any fact row of wage, business, property in the window (3.6).
    pub(crate) has_wage: bool,
    pub(crate) has_business: bool,
    pub(crate) has_property: bool,
    /// By item number.
    pub(crate) excluded: BTreeMap<u8, Exact>,
    pub(crate) findings: BTreeSet<Finding>,
}

impl Income {
    /// Income of these persons in a window.
    pub(crate) fn of(case: &Case<'_>, persons: &[Citizen], window: Window) -> Self {
        Self::with_money(case, persons, window, &Monetary::of(case, persons))
    }

    /// The same with their money at hand, for the interest.
    pub(crate) fn with_money(case: &Case<'_>, persons: &[Citizen], window: Window, money: &Monetary) -> Self {
        let mut found = Self {
            window,
            by_person: BTreeMap::new(),
            has_wage: false,
            has_business: false,
            has_property: false,
            excluded: BTreeMap::new(),
            findings: BTreeSet::new(),
        };
        for person in persons {
            let mut sum = Sum { case, person: *person, window, of: PersonIncome::default(), into: &mut found };
            sum.taxes();
            sum.resident_pension();
            sum.land();
            sum.vessels();
            sum.excluded_subsidies();
            sum.deductions();
            sum.simple_items();
            let of = sum.of;
            found.by_person.insert(*person, of);
        }
        let w = i64::from(window.months());
        for interest in &money.interest {
            let amount = per(&(&interest.yearly * w), 12);
            found.has_property |= interest.fact;
            if interest.estimated && !amount.is_zero() {
                found.findings.insert(Finding::estimated(11, interest.owner));
            }
            if let Some(person) = found.by_person.get_mut(&interest.owner) {
                if interest.shared {
                    person.interest_shared = &person.interest_shared + &amount;
                }
                person.interest = &person.interest + &amount;
            }
        }
        found
    }

    fn total(&self, part: impl Fn(&PersonIncome) -> Exact) -> Exact {
        self.by_person.values().map(part).sum()
    }

    pub(crate) fn wage(&self) -> Exact {
        self.total(PersonIncome::wage)
    }
    pub(crate) fn business(&self) -> Exact {
        self.total(|p| p.business.clone())
    }
    pub(crate) fn property(&self) -> Exact {
        self.total(PersonIncome::all_property)
    }
    pub(crate) fn transfer(&self) -> Exact {
        self.total(|p| p.transfer.clone())
    }
    pub(crate) fn deductions(&self) -> Exact {
        self.total(|p| p.deductions.clone())
    }
    pub(crate) fn central_counted(&self) -> Exact {
        self.total(|p| p.central_counted.clone())
    }

    /// wage + business + property + transfer − deductions (3.9).
    pub(crate) fn before_maintenance(&self) -> Exact {
        self.wage() + self.business() + self.property() + self.transfer() - self.deductions()
    }
}

struct Sum<'s, 'c, 'a> {
    case: &'c Case<'a>,
    person: Citizen,
    window: Window,
    of: PersonIncome,
    into: &'s mut Income,
}

impl Sum<'_, '_, '_> {
    fn w(&self) -> i64 {
        i64::from(self.window.months())
    }

    /// A lump sum spread forward (3.4), and whether it is a fact.
    fn lump(&self, amount: &Exact, from: Month) -> (Exact, bool) {
        let months = self.case.settings.lump_months;
        if self.case.settings.lump_as_property || months <= 0 {
            return (Exact::ZERO, false);
        }
        let inside = i64::from(self.window.overlap(from, Month(from.0 + months - 1)));
        (per(&(amount * inside), i64::from(months)), inside > 0)
    }

    fn undated(&mut self, row: &dyn AnyRow) {
        let key = self.case.key(row);
        self.into.findings.insert(Finding::of_row("undated", row.no(), key, self.person));
    }

    fn taxes(&mut self) {
        let rows = self.case.rows::<IndividualIncomeTax>(self.person);
        let taxes: Vec<TaxRow<'_>> = rows.into_iter().map(TaxRow::new).collect();
        let Wages { months, compared } = wages(self.case, self.person, self.window, &taxes);
        self.into.has_wage |= !months.is_empty();
        for (level, (item, _)) in (2..).zip(LOWER) {
            if months.iter().any(|m| m.level == level) {
                self.into.findings.insert(Finding::estimated(item, self.person));
            }
        }
        (self.of.months, self.of.compared) = (months, compared);
        let mut business = Exact::ZERO;
        for tax in &taxes {
            let inside = tax.overlap(self.window) > 0;
            if tax.is_severance() {
                let (amount, fact) = self.lump(&tax.amount, tax.end);
                self.of.severance = &self.of.severance + &amount;
                self.into.has_wage |= fact;
            } else if tax.code("05") {
                business = business + tax.part(self.window);
                self.of.has_business_row |= inside;
                self.into.has_business |= inside;
            } else if tax.code("06") || tax.code("07") {
                self.of.property = &self.of.property + &tax.part(self.window);
                self.into.has_property |= inside;
            } else if tax.code("08") {
                let (amount, fact) = self.lump(&tax.amount, tax.end);
                self.of.property = &self.of.property + &amount;
                self.into.has_property |= fact;
            } else if tax.code("09") {
                let (amount, _) = self.lump(&tax.amount, tax.end);
                self.of.transfer = &self.of.transfer + &amount;
            }
        }
        self.of.business = business.floor_zero();
    }

    /// Local, personal and other parts; the central part while it is not excluded (R-INC-06).
    fn resident_pension(&mut self) {
        for row in self.case.passing::<ResidentPensionBenefit>(self.person) {
            let month = row.pay_month.month();
            if !self.window.holds(month) {
                continue;
            }
            let central = row.central_basic_amount.exact();
            let parts =
                row.local_basic_amount.exact() + row.personal_account_amount.exact() + or_zero(row.other_amount);
            if row.total_amount.exact() != &central + &parts {
                let key = self.case.key(row);
                self.into.findings.insert(Finding::of_row("sum_mismatch", 31, key, self.person));
            }
            self.of.transfer = &self.of.transfer + &parts;
            if self.case.settings.central_until.is_none_or(|until| month.first() <= until) {
                exclude(self.into, 31, &central);
            } else {
                self.of.transfer = &self.of.transfer + &central;
                self.of.central_counted = &self.of.central_counted + &central;
            }
        }
    }

    fn estimate(&mut self, item: u8, amount: Exact) {
        if amount.is_zero() {
            return;
        }
        self.of.business = &self.of.business + &per(&(amount * self.w()), 12);
        self.into.has_business = true;
        self.into.findings.insert(Finding::estimated(item, self.person));
    }

    fn land(&mut self) {
        let fact = self.case.rules.of(45).main();
        for row in self.case.passing::<LandContractRight>(self.person) {
            if fact.covered(row, self.window) == 0 {
                continue;
            }
            if let Some(yearly) = fact.amount(row) {
                self.of.property = &self.of.property + &per(&(yearly * self.w()), 12);
                self.into.has_property = true;
            }
            let own = (row.contracted_area_mu.exact() - or_zero(row.transferred_area_mu)).floor_zero();
            self.estimate(45, own * &self.case.settings.farm_yield);
        }
    }

    fn vessels(&mut self) {
        for row in self.case.in_force::<FishingVessel>(self.person) {
            let share = row.share_ratio.map_or(Exact::ONE, |s| s.exact());
            self.estimate(48, row.engine_power_kw.exact() * &share * &self.case.settings.fishing_yield);
        }
    }

    /// Rows of item 46 whose code a parameter excludes.
    fn excluded_subsidies(&mut self) {
        let rule = self.case.rules.of(46);
        for row in self.case.rows::<AgriSubsidyPayment>(self.person) {
            if rule.main().passes(row, &self.case.settings) {
                continue;
            }
            let fact = rule.fact("excluded");
            match (fact.amount(row), fact.day(row)) {
                (Some(amount), Some(day)) if self.window.holds(day.month()) => exclude(self.into, 46, &amount),
                (Some(_), None) => self.undated(row),
                _ => {}
            }
        }
    }

    /// Own contributions (3.7).
    fn deductions(&mut self) {
        if !self.case.settings.deduct_own {
            return;
        }
        let pension = self.case.rules.of(29).fact("deduction");
        let mut sum = Exact::ZERO;
        for row in self.case.rows::<PensionContribution>(self.person) {
            if self.window.holds(row.contribution_month.month()) && pension.passes(row, &self.case.settings) {
                sum = sum + pension.amount(row).unwrap_or_default();
            }
        }
        let medical = self.case.rules.of(59).main();
        for row in self.case.passing::<MedicalInsuranceEnrolment>(self.person) {
            if medical.day(row).map(Day::month).is_some_and(|month| self.window.holds(month)) {
                sum = sum + medical.amount(row).unwrap_or_default();
            }
        }
        self.of.deductions = sum;
    }
}

fn exclude(into: &mut Income, item: u8, amount: &Exact) {
    let sum = into.excluded.entry(item).or_default();
    *sum = &*sum + amount;
}

/// Items that the fact map describes wholly: excluded benefits, and transfers with one amount.
impl Sum<'_, '_, '_> {
    fn simple_items(&mut self) {
        for shape in &SHAPES {
            let rule = self.case.rules.of(shape.no);
            if !rule.has("main") {
                continue;
            }
            let fact = rule.main();
            let excluded = fact.treatment == Treatment::Excluded;
            if excluded || (rule.kinds == [FactKind::Transfer] && fact.has_amount()) {
                self.simple_item(shape.no, fact, excluded);
            }
        }
    }

    fn simple_item(&mut self, item: u8, fact: &Fact, excluded: bool) {
        let settings = &self.case.settings;
        for row in self.case.any_current(item, self.person) {
            if !fact.passes(row, settings) || !self.case.usable(row) {
                continue;
            }
            let Some(amount) = fact.amount(row) else { continue };
            let counted = if fact.is_spell() {
                &amount * fact.covered(row, self.window)
            } else if let Some(month) = fact.lump(row, settings) {
                match month {
                    Some(month) => self.lump(&amount, month).0,
                    None => {
                        self.undated(row);
                        continue;
                    }
                }
            } else {
                match fact.day(row) {
                    Some(day) if self.window.holds(day.month()) => amount,
                    Some(_) => continue,
                    None => {
                        self.undated(row);
                        continue;
                    }
                }
            };
            if excluded {
                exclude(self.into, item, &counted);
            } else {
                self.of.transfer = &self.of.transfer + &counted;
            }
        }
    }
}
