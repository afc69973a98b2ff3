//! Wages by source precedence per person and month (computation 3.3; R-INC-05) and the conflict of sources (7.3).

use std::collections::BTreeMap;

use crate::calendar::{Month, Window};
use crate::case::Case;
use crate::exact::Exact;
use crate::income::{TaxRow, per};
use crate::items::{EmploymentRegistration, PensionContribution, ProvidentFundAccount, PublicWelfarePost};
use crate::number::Citizen;

/// Wage of one person and month.
#[derive(Debug, Clone)]
pub(crate) struct MonthWage {
    pub(crate) month: Month,
    /// 1-4 of table 3.3.
    pub(crate) level: u8,
    pub(crate) amount: Exact,
}

/// Wages of one person.
#[derive(Debug, Default)]
pub(crate) struct Wages {
    pub(crate) months: Vec<MonthWage>,
    /// (lower item, Σ level 1, Σ lower level) over the months that both state.
    pub(crate) compared: Vec<(u8, Exact, Exact)>,
}

/// Items of levels 2 to 4.
pub(crate) const LOWER: [(u8, &str); 3] =
    [(29, "pension_contribution"), (42, "provident_fund_account"), (34, "employment_registration")];

#[derive(Default)]
struct Level1<'a> {
    net: Exact,
    gross: Exact,
    rows: bool,
    payers: Vec<&'a str>,
}

/// Wages of a person in a window; `taxes` are the person's tax rows.
pub(crate) fn wages<'a>(case: &Case<'a>, person: Citizen, window: Window, taxes: &[TaxRow<'a>]) -> Wages {
    let mut first: BTreeMap<Month, Level1<'a>> = BTreeMap::new();
    for tax in taxes.iter().filter(|t| t.is_wage()) {
        for month in tax.months_in(window) {
            let level = first.entry(month).or_default();
            level.rows = true;
            level.net = &level.net + &per(&tax.amount, tax.period);
            level.gross = &level.gross + &per(&tax.row.income_amount.exact(), tax.period);
            if tax.row.income_item_code.is("01") || tax.row.income_item_code.is("02") {
                level.payers.push(case.text(tax.row.payer_uscc));
            }
        }
    }
    let posts = case.rows::<PublicWelfarePost>(person);
    if !posts.is_empty() {
        let fact = case.rules.of(36).main();
        for month in window.iter() {
            for post in posts.iter().filter(|post| fact.covers(**post, month)) {
                let taxed = first.get(&month).is_some_and(|level| match post.employer_uscc {
                    Some(employer) => level.payers.contains(&case.text(employer)),
                    None => !level.payers.is_empty(),
                });
                if !taxed {
                    let level = first.entry(month).or_default();
                    level.rows = true;
                    level.net = &level.net + &post.monthly_subsidy.exact();
                    level.gross = &level.gross + &post.monthly_subsidy.exact();
                }
            }
        }
    }
    let lower = [bases(case, person, window), funds(case, person, window), jobs(case, person, window)];
    let used = LOWER.map(|(_, code)| case.settings.wage_fallback.iter().any(|item| item == code));
    let mut found = Wages::default();
    for month in window.iter() {
        let choice = match first.get(&month) {
            Some(level) if level.rows => Some((1, level.net.clone())),
            _ => (0..3)
                .filter(|j| used[*j])
                .find_map(|j| lower[j].get(&month).map(|amount| (j as u8 + 2, amount.clone()))),
        };
        if let Some((level, amount)) = choice {
            found.months.push(MonthWage { month, level, amount });
        }
    }
    for (j, (item, _)) in LOWER.into_iter().enumerate() {
        let both: Vec<_> = lower[j]
            .iter()
            .filter_map(|(month, b)| first.get(month).filter(|l| l.rows).map(|l| (&l.gross, b)))
            .collect();
        if !both.is_empty() {
            let a = both.iter().map(|(a, _)| (*a).clone()).sum();
            let b = both.iter().map(|(_, b)| (*b).clone()).sum();
            found.compared.push((item, a, b));
        }
    }
    found
}

fn raise(amounts: &mut BTreeMap<Month, Exact>, month: Month, amount: Exact) {
    let greatest = amounts.entry(month).or_insert_with(|| amount.clone());
    if amount > *greatest {
        *greatest = amount;
    }
}

/// Level 2: the largest contribution base of each month.
fn bases(case: &Case<'_>, person: Citizen, window: Window) -> BTreeMap<Month, Exact> {
    let fact = case.rules.of(29).fact("base");
    let mut amounts = BTreeMap::new();
    for row in case.rows::<PensionContribution>(person) {
        let month = row.contribution_month.month();
        if window.holds(month) && fact.passes(row, &case.settings) {
            raise(&mut amounts, month, fact.amount(row).unwrap_or_default());
        }
    }
    amounts
}

/// Level 3: per account the latest snapshot of the month, if it is open, paid up and has a base.
fn funds(case: &Case<'_>, person: Citizen, window: Window) -> BTreeMap<Month, Exact> {
    let fact = case.rules.of(42).fact("base");
    let mut latest: BTreeMap<(Month, &str), &ProvidentFundAccount> = BTreeMap::new();
    for row in case.rows::<ProvidentFundAccount>(person) {
        let month = row.as_of_date.month();
        if window.holds(month) {
            let entry = latest.entry((month, case.text(row.account_token))).or_insert(row);
            if row.as_of_date > entry.as_of_date {
                *entry = row;
            }
        }
    }
    let mut amounts = BTreeMap::new();
    for ((month, _), row) in latest {
        let paid = row.paid_until_month.is_some_and(|until| until >= month.first());
        if paid && fact.passes(row, &case.settings) {
            raise(&mut amounts, month, fact.amount(row).unwrap_or_default());
        }
    }
    amounts
}

/// Level 4: the largest registered wage of the jobs that cover each month.
fn jobs(case: &Case<'_>, person: Citizen, window: Window) -> BTreeMap<Month, Exact> {
    let fact = case.rules.of(34).main();
    let mut amounts = BTreeMap::new();
    for row in case.passing::<EmploymentRegistration>(person) {
        for month in window.iter().filter(|month| fact.covers(row, *month)) {
            raise(&mut amounts, month, fact.amount(row).unwrap_or_default());
        }
    }
    amounts
}
