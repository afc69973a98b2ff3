//! Income (computation section 3): wages by precedence, business, property, transfers, deductions, maintenance.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;

use crate::{
    calendar::{date, month_first, month_index, month_last},
    items::{
        Item,
        agriculture_rural_affairs::{AgriSubsidyPayment, FishingVessel, LandContractRight},
        housing_provident_fund::{ProvidentFundAccount, ProvidentFundWithdrawal},
        human_resources_social_security::{
            EmployeePensionBenefit, EmploymentRegistration, PensionContribution, PublicWelfarePost,
            ResidentPensionBenefit, UnemploymentBenefit, WorkInjuryBenefit,
        },
        medical_insurance::MedicalInsuranceEnrolment,
        taxation::IndividualIncomeTax,
    },
    row::Text,
};

use super::{
    Exact,
    kinship::{Family, Id, QUERY, recorded},
    property::Money,
};

/// Lump sums are spread over this many months (R-INC-08).
const LUMP_MONTHS: i32 = 12;
/// The central basic pension is left out up to this month (R-INC-06).
const CENTRAL_UNTIL: NaiveDate = date(2025, 12, 31);

/// Months of the income window: `months` full months before the base date's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) first: i32,
    pub(crate) last: i32,
}

impl Window {
    /// The window of `months` before `base`.
    pub(crate) fn before(base: NaiveDate, months: i32) -> Window {
        Window { first: month_index(base) - months, last: month_index(base) - 1 }
    }

    /// The month lies in the window.
    pub(crate) fn holds(&self, month: i32) -> bool {
        (self.first..=self.last).contains(&month)
    }

    fn has(&self, day: NaiveDate) -> bool {
        self.holds(month_index(day))
    }

    fn months(&self) -> i32 {
        self.last - self.first + 1
    }

    /// How many of the `count` months that end with `last` lie in the window.
    fn overlap_back(&self, last: i32, count: i32) -> i32 {
        (self.last.min(last) - self.first.max(last - count + 1) + 1).max(0)
    }

    /// How many of the lump-sum months from `first` lie in the window.
    fn overlap_lump(&self, first: i32) -> i32 {
        (self.last.min(first + LUMP_MONTHS - 1) - self.first.max(first) + 1).max(0)
    }
}

/// Income of one person by kind, fen.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) wage: Exact,
    pub(crate) business: Exact,
    pub(crate) property: Exact,
    pub(crate) transfer: Exact,
    pub(crate) deductions: Exact,
    /// The central basic pension that was left out.
    pub(crate) central: Exact,
    wage_fact: bool,
    business_fact: bool,
    property_fact: bool,
}

impl Default for Parts {
    fn default() -> Parts {
        let zero = Exact::from_integer(0);
        Parts {
            wage: zero,
            business: zero,
            property: zero,
            transfer: zero,
            deductions: zero,
            central: zero,
            wage_fact: false,
            business_fact: false,
            property_fact: false,
        }
    }
}

fn fen(amount: i64) -> Exact {
    Exact::from_integer(i128::from(amount))
}

fn share(amount: i64, months: i32, of: i32) -> Exact {
    Exact::new(i128::from(amount) * i128::from(months), i128::from(of.max(1)))
}

/// A spell with an exclusive end covers the month.
fn spell(start: NaiveDate, end: Option<NaiveDate>, month: i32) -> bool {
    start <= month_last(month) && end.is_none_or(|e| e > month_first(month) && e > start)
}

/// HUB_PAY_STATUS that counts.
fn paid(code: &Text) -> bool {
    matches!(&**code, "1" | "5")
}

/// The rows of one item by person.
fn by_person<T: Item>(family: &Family<'_>, subject: impl Fn(&T) -> &Text) -> HashMap<Id, Vec<T>> {
    let mut map: HashMap<Id, Vec<T>> = HashMap::new();
    for row in family.view.all::<T>() {
        let p = family.view.person(subject(&row));
        map.entry(p).or_default().push(row);
    }
    map
}

/// All income rows of the family, sorted by person once.
#[derive(Debug)]
pub(crate) struct Ledgers {
    tax: HashMap<Id, Vec<IndividualIncomeTax>>,
    posts: HashMap<Id, Vec<PublicWelfarePost>>,
    contributions: HashMap<Id, Vec<PensionContribution>>,
    funds: HashMap<Id, Vec<ProvidentFundAccount>>,
    jobs: HashMap<Id, Vec<EmploymentRegistration>>,
    pensions: HashMap<Id, Vec<EmployeePensionBenefit>>,
    resident: HashMap<Id, Vec<ResidentPensionBenefit>>,
    unemployment: HashMap<Id, Vec<UnemploymentBenefit>>,
    injury: HashMap<Id, Vec<WorkInjuryBenefit>>,
    withdrawals: HashMap<Id, Vec<ProvidentFundWithdrawal>>,
    land: HashMap<Id, Vec<LandContractRight>>,
    vessels: HashMap<Id, Vec<FishingVessel>>,
    subsidies: HashMap<Id, Vec<AgriSubsidyPayment>>,
    enrolments: HashMap<Id, Vec<MedicalInsuranceEnrolment>>,
}

impl Ledgers {
    /// Sorts the rows.
    pub(crate) fn of(family: &Family<'_>) -> Ledgers {
        Ledgers {
            tax: by_person(family, |r: &IndividualIncomeTax| &r.citizen_id),
            posts: by_person(family, |r: &PublicWelfarePost| &r.citizen_id),
            contributions: by_person(family, |r: &PensionContribution| &r.citizen_id),
            funds: by_person(family, |r: &ProvidentFundAccount| &r.citizen_id),
            jobs: by_person(family, |r: &EmploymentRegistration| &r.citizen_id),
            pensions: by_person(family, |r: &EmployeePensionBenefit| &r.citizen_id),
            resident: by_person(family, |r: &ResidentPensionBenefit| &r.citizen_id),
            unemployment: by_person(family, |r: &UnemploymentBenefit| &r.citizen_id),
            injury: by_person(family, |r: &WorkInjuryBenefit| &r.citizen_id),
            withdrawals: by_person(family, |r: &ProvidentFundWithdrawal| &r.citizen_id),
            land: by_person(family, |r: &LandContractRight| &r.contractor_citizen_id),
            vessels: by_person(family, |r: &FishingVessel| &r.owner_citizen_id),
            subsidies: by_person(family, |r: &AgriSubsidyPayment| &r.citizen_id),
            enrolments: by_person(family, |r: &MedicalInsuranceEnrolment| &r.citizen_id),
        }
    }
}

/// Reckons income for one application.
#[derive(Debug)]
pub(crate) struct Reckoner<'a> {
    pub(crate) family: &'a Family<'a>,
    pub(crate) window: Window,
    ledgers: Ledgers,
}

impl<'a> Reckoner<'a> {
    /// For the application's window.
    pub(crate) fn new(family: &'a Family<'a>) -> Reckoner<'a> {
        let window = Window::before(family.base, family.parameters.window);
        Reckoner { family, window, ledgers: Ledgers::of(family) }
    }

    /// Rows of an item for `p`, none when the person's authorisation does not cover it.
    fn rows<'b, T: Item>(&self, map: &'b HashMap<Id, Vec<T>>, p: &str) -> &'b [T] {
        match map.get(p) {
            Some(rows) if self.family.covered(p, T::CODE) => rows,
            _ => &[],
        }
    }

    fn window_part(&self, yearly: Exact) -> Exact {
        yearly * Exact::new(i128::from(self.window.months()), 12)
    }

    /// Income of `p`, with the interest that `money` leaves to the person.
    pub(crate) fn person(&self, p: &str, money: &Money) -> Parts {
        let mut parts = Parts::default();
        self.wages(p, &mut parts);
        self.business(p, &mut parts);
        self.property(p, &mut parts);
        self.transfers(p, &mut parts);
        self.deductions(p, &mut parts);
        for interest in money.interest.iter().filter(|i| i.owner == p) {
            parts.property += self.window_part(interest.yearly);
            parts.property_fact |= interest.fact;
        }
        parts
    }

    fn wages(&self, p: &str, parts: &mut Parts) {
        let taxed = self.rows(&self.ledgers.tax, p);
        let mut levels: BTreeMap<i32, Exact> = BTreeMap::new();
        let mut put = |month: i32, amount: Exact| *levels.entry(month).or_insert_with(|| fen(0)) += amount;
        let period = |r: &IndividualIncomeTax| i32::try_from(r.period_months.unwrap_or(1)).unwrap_or(1).max(1);
        let holds = |r: &IndividualIncomeTax, m: i32| {
            let last = month_index(r.tax_period);
            (last - period(r) + 1..=last).contains(&m)
        };
        let net = |r: &IndividualIncomeTax| {
            let zero = |d: Option<crate::items::Dec>| d.map_or(0, |d| d.0);
            (r.income_amount.0 - zero(r.social_insurance_deduction) - zero(r.tax_paid)).max(0)
        };
        for row in taxed.iter().filter(|r| matches!(&*r.income_item_code, "01" | "02" | "03" | "04")) {
            if row.is_severance == Some(true) && &*row.income_item_code == "01" {
                let months = self.window.overlap_lump(month_index(row.tax_period));
                parts.wage += share(net(row), months, LUMP_MONTHS);
                parts.wage_fact |= months > 0;
                continue;
            }
            for m in self.window.first..=self.window.last {
                if holds(row, m) {
                    put(m, share(net(row), 1, period(row)));
                }
            }
        }
        for post in self.rows(&self.ledgers.posts, p) {
            for m in self.window.first..=self.window.last {
                if !spell(post.started_on, post.ended_on, m) {
                    continue;
                }
                let salaried = |r: &&IndividualIncomeTax| {
                    matches!(&*r.income_item_code, "01" | "02") && r.is_severance != Some(true) && holds(r, m)
                };
                let taxed_too = match &post.employer_uscc {
                    Some(uscc) => taxed.iter().filter(salaried).any(|r| r.payer_uscc == *uscc),
                    None => taxed.iter().any(|r| salaried(&r)),
                };
                if !taxed_too {
                    put(m, fen(post.monthly_subsidy.0));
                }
            }
        }
        for m in self.window.first..=self.window.last {
            let level = levels.get(&m).copied().or_else(|| self.evidence(p, m).map(fen));
            if let Some(amount) = level {
                parts.wage += amount;
                parts.wage_fact = true;
            }
        }
    }

    /// Levels 2 to 4 for a month.
    fn evidence(&self, p: &str, m: i32) -> Option<i64> {
        let base = self
            .rows(&self.ledgers.contributions, p)
            .iter()
            .filter(|r| {
                matches!(&*r.scheme_code, "110" | "120")
                    && &*r.payer_kind_code == "1"
                    && &*r.participation_status_code == "1"
                    && month_index(r.contribution_month) == m
            })
            .filter_map(|r| r.contribution_base.map(|b| b.0).filter(|b| *b > 0))
            .max();
        if base.is_some() {
            return base;
        }
        // Per account the last snapshot of the month.
        let mut last: BTreeMap<&str, &ProvidentFundAccount> = BTreeMap::new();
        for row in self.rows(&self.ledgers.funds, p).iter().filter(|r| month_index(r.as_of_date) == m) {
            let slot = last.entry(&row.account_token).or_insert(row);
            if row.as_of_date > slot.as_of_date {
                *slot = row;
            }
        }
        let fund = last
            .values()
            .filter(|r| &*r.account_status_code == "1" && r.paid_until_month.is_some_and(|d| d >= month_first(m)))
            .filter_map(|r| r.contribution_base.map(|b| b.0).filter(|b| *b > 0))
            .max();
        if fund.is_some() {
            return fund;
        }
        self.rows(&self.ledgers.jobs, p)
            .iter()
            .filter(|r| matches!(&*r.employment_form_code, "1" | "2" | "4" | "9") && spell(r.started_on, r.ended_on, m))
            .filter_map(|r| r.declared_monthly_wage.map(|w| w.0).filter(|w| *w > 0))
            .max()
    }

    fn business(&self, p: &str, parts: &mut Parts) {
        let mut returns = fen(0);
        for r in self.rows(&self.ledgers.tax, p).iter().filter(|r| &*r.income_item_code == "05") {
            let count = i32::try_from(r.period_months.unwrap_or(1)).unwrap_or(1).max(1);
            let months = self.window.overlap_back(month_index(r.tax_period), count);
            if months == 0 {
                continue;
            }
            let zero = |d: Option<crate::items::Dec>| d.map_or(0, |d| d.0);
            let net = r.income_amount.0 - zero(r.cost_amount) - zero(r.social_insurance_deduction) - zero(r.tax_paid);
            returns += share(net, months, count);
            parts.business_fact = true;
        }
        parts.business += returns.max(fen(0));
        for r in self.rows(&self.ledgers.land, p).iter().filter(|r| self.contracted(r)) {
            let own = (r.contracted_area_mu.0 - r.transferred_area_mu.map_or(0, |d| d.0)).max(0);
            let yearly = Exact::new(i128::from(own) * i128::from(self.family.parameters.farm_yield), 100);
            parts.business += self.window_part(yearly);
            parts.business_fact |= yearly > fen(0);
        }
        for r in self.rows(&self.ledgers.vessels, p) {
            if matches!(&*r.equipment_status_code, "1" | "4" | "5") && r.registered_on <= QUERY {
                let part = r.share_ratio.map_or(10_000, |s| s.0);
                let yearly = Exact::new(
                    i128::from(r.engine_power_kw.0)
                        * i128::from(part)
                        * i128::from(self.family.parameters.fishing_yield),
                    1_000_000,
                );
                parts.business += self.window_part(yearly);
                parts.business_fact |= yearly > fen(0);
            }
        }
    }

    /// The contract counts and covers a month of the window (both ends inclusive).
    fn contracted(&self, r: &LandContractRight) -> bool {
        recorded(&r.record_status_code)
            && r.term_from.is_none_or(|d| d <= month_last(self.window.last))
            && r.term_to.is_none_or(|d| d >= month_first(self.window.first))
    }

    fn property(&self, p: &str, parts: &mut Parts) {
        for r in self.rows(&self.ledgers.tax, p) {
            let zero = |d: Option<crate::items::Dec>| d.map_or(0, |d| d.0);
            let net = match &*r.income_item_code {
                "06" => r.income_amount.0 - zero(r.tax_paid),
                "07" | "08" => r.income_amount.0 - zero(r.cost_amount) - zero(r.tax_paid),
                _ => continue,
            }
            .max(0);
            let (months, of) = if &*r.income_item_code == "08" {
                (self.window.overlap_lump(month_index(r.tax_period)), LUMP_MONTHS)
            } else {
                let count = i32::try_from(r.period_months.unwrap_or(1)).unwrap_or(1).max(1);
                (self.window.overlap_back(month_index(r.tax_period), count), count)
            };
            parts.property += share(net, months, of);
            parts.property_fact |= months > 0;
        }
        for r in self.rows(&self.ledgers.land, p).iter().filter(|r| self.contracted(r)) {
            if let Some(income) = r.annual_transfer_income {
                parts.property += self.window_part(fen(income.0));
                parts.property_fact = true;
            }
        }
    }

    fn lump(&self, amount: i64, day: NaiveDate) -> Exact {
        share(amount, self.window.overlap_lump(month_index(day)), LUMP_MONTHS)
    }

    fn transfers(&self, p: &str, parts: &mut Parts) {
        let window = self.window;
        for r in self.rows(&self.ledgers.pensions, p).iter().filter(|r| paid(&r.pay_status_code)) {
            if r.is_lump_sum {
                parts.transfer += self.lump(r.monthly_amount.0, r.paid_on.unwrap_or(r.pay_month));
            } else if window.has(r.pay_month) {
                parts.transfer += fen(r.monthly_amount.0);
            }
        }
        for r in self.rows(&self.ledgers.resident, p) {
            if !paid(&r.pay_status_code) || !window.has(r.pay_month) {
                continue;
            }
            let own = r.local_basic_amount.0 + r.personal_account_amount.0 + r.other_amount.map_or(0, |o| o.0);
            parts.transfer += fen(own);
            if month_first(month_index(r.pay_month)) > CENTRAL_UNTIL {
                parts.transfer += fen(r.central_basic_amount.0);
                parts.central += fen(r.central_basic_amount.0);
            }
        }
        for r in self.rows(&self.ledgers.unemployment, p).iter().filter(|r| paid(&r.status_code)) {
            match &*r.benefit_code {
                "05" => {}
                "03" => parts.transfer += self.lump(r.amount.0, r.paid_on.unwrap_or(r.pay_month)),
                _ if window.has(r.pay_month) => parts.transfer += fen(r.amount.0),
                _ => {}
            }
        }
        for r in self.rows(&self.ledgers.injury, p).iter().filter(|r| paid(&r.pay_status_code)) {
            if r.is_lump_sum {
                parts.transfer += self.lump(r.amount.0, r.paid_on.unwrap_or(r.pay_month));
            } else if window.has(r.pay_month) {
                parts.transfer += fen(r.amount.0);
            }
        }
        for r in self.rows(&self.ledgers.subsidies, p) {
            if r.paid_on.is_some_and(|d| window.has(d)) {
                parts.transfer += fen(r.amount.0);
            }
        }
        for r in self.rows(&self.ledgers.withdrawals, p) {
            if matches!(&*r.reason_code, "05" | "06" | "07" | "10") {
                parts.transfer += self.lump(r.amount.0, r.withdrawn_on);
            }
        }
        for r in self.rows(&self.ledgers.tax, p).iter().filter(|r| &*r.income_item_code == "09") {
            let net = (r.income_amount.0 - r.tax_paid.map_or(0, |t| t.0)).max(0);
            parts.transfer += self.lump(net, r.tax_period);
        }
    }

    fn deductions(&self, p: &str, parts: &mut Parts) {
        for r in self.rows(&self.ledgers.contributions, p) {
            if matches!(&*r.payer_kind_code, "2" | "3" | "4")
                && &*r.participation_status_code == "1"
                && self.window.has(r.contribution_month)
            {
                parts.deductions += fen(r.personal_amount.0);
            }
        }
        // Enrolment needs no authorisation.
        for r in self.ledgers.enrolments.get(p).into_iter().flatten() {
            if &*r.enrol_status_code == "1"
                && r.employer_uscc.is_none()
                && matches!(&*r.insurance_type_code, "310" | "390" | "391")
                && self.window.has(r.enrol_from)
            {
                parts.deductions += fen(r.personal_paid_amount.map_or(0, |d| d.0));
            }
        }
    }
}

/// Income of a household.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    pub(crate) wage: Exact,
    pub(crate) business: Exact,
    pub(crate) property: Exact,
    pub(crate) transfer: Exact,
    pub(crate) deductions: Exact,
    pub(crate) maintenance: Exact,
    pub(crate) central: Exact,
}

impl Total {
    /// 3.8.
    pub(crate) fn total(&self) -> Exact {
        (self.wage + self.business + self.property + self.transfer + self.maintenance - self.deductions).max(fen(0))
    }
}

impl Reckoner<'_> {
    /// Sums over `people`; `declared` lets the declaration fill kinds without facts (3.6).
    pub(crate) fn household(&self, people: &BTreeSet<Id>, money: &Money, declared: bool) -> Total {
        let mut sum = Parts::default();
        for p in people {
            let parts = self.person(p, money);
            sum.wage += parts.wage;
            sum.business += parts.business;
            sum.property += parts.property;
            sum.transfer += parts.transfer;
            sum.deductions += parts.deductions;
            sum.central += parts.central;
            sum.wage_fact |= parts.wage_fact;
            sum.business_fact |= parts.business_fact;
            sum.property_fact |= parts.property_fact;
        }
        for interest in money.interest.iter().filter(|i| !people.contains(&i.owner)) {
            // An account of several members belongs to nobody alone.
            sum.property += self.window_part(interest.yearly);
            sum.property_fact |= interest.fact;
        }
        if declared {
            let told = &self.family.application;
            let fill = |value: &mut Exact, fact: bool, amount: i64| {
                if !fact && amount > 0 {
                    *value = self.window_part(fen(amount));
                }
            };
            fill(&mut sum.wage, sum.wage_fact, told.declared_wage_income.0);
            fill(&mut sum.business, sum.business_fact, told.declared_business_income.0);
            fill(&mut sum.property, sum.property_fact, told.declared_property_income.0);
        }
        Total {
            wage: sum.wage,
            business: sum.business,
            property: sum.property,
            transfer: sum.transfer,
            deductions: sum.deductions,
            maintenance: fen(0),
            central: sum.central,
        }
    }

    /// Maintenance from all obligors (3.9).
    pub(crate) fn maintenance(&self, money_of: &dyn Fn(&BTreeSet<Id>) -> Money) -> Exact {
        let family = self.family;
        let w = i128::from(self.window.months());
        let obligors: BTreeSet<&Id> = family.duties.iter().map(|(o, _)| o).collect();
        let mut all = fen(0);
        for o in obligors {
            let declared = self.window_part(fen(family.declared_paid(o)));
            let able = !family.in_custody(o) && family.covered(o, IndividualIncomeTax::CODE) && !family.is_minor(o);
            let mut due = fen(0);
            if able {
                let household = family.household_of(o);
                let income = self.household(&household, &money_of(&household), false).total();
                let n = household.len() as i128;
                let excess = (income / (w * n) - fen(family.parameters.standard)).max(fen(0));
                let k = family.maintained(o, &household) as i128;
                for (_, m) in family.duties.iter().filter(|(x, _)| x == o) {
                    let rate = if family.living_children(m) <= 2 { Exact::new(1, 2) } else { Exact::new(2, 5) };
                    due += rate * excess / k.max(1) * w;
                }
            }
            all += due.max(declared);
        }
        all
    }
}
