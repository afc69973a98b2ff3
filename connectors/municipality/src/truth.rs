//! The truth of every application, reckoned from the simulated lives and not from the hub's code.
//!
//! This is an implementation of its own of the verification computation, sections 1 to 6 and 11, over the rows that the
//! lives told of one family; it shares nothing with the hub but the catalogue. It is reckoned twice: over the rows that
//! reach the hub, which is what the hub can know and must answer, and over all rows, which is what is really so. Where
//! the two differ, dirt in the exports changed somebody's case.
//!
//! In reading order: `view` (which rows are seen), `kinship` (states, edges, members, obligors), `income`, `property`,
//! `outcome` (expenditure, category, benefit).

mod income;
mod kinship;
mod outcome;
mod property;
mod view;

use num_rational::Ratio;
use serde::Serialize;

use crate::{row::Text, scribe::Entry};

use self::{kinship::Family, outcome::Outcome, view::View};

pub(crate) use self::kinship::as_of;

/// Exact numbers; money is in fen.
pub(crate) type Exact = Ratio<i128>;

/// Income by kind, yuan with two decimals, rounded separately.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Income {
    /// Wages.
    pub(crate) wage: String,
    /// Business, with estimates.
    pub(crate) business: String,
    /// Property.
    pub(crate) property: String,
    /// Transfers.
    pub(crate) transfer: String,
    /// Maintenance from obligors.
    pub(crate) maintenance: String,
    /// Own contributions.
    pub(crate) deductions: String,
    /// What is compared with the standard.
    pub(crate) total: String,
}

/// What is true of one application.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub(crate) struct Household {
    /// Application number.
    pub(crate) application_no: String,
    /// As-of time of the run.
    pub(crate) as_of: String,
    /// Counted members.
    pub(crate) member_count: usize,
    /// Their numbers, ascending.
    pub(crate) members: Vec<String>,
    /// Persons not counted, ascending.
    pub(crate) excluded: Vec<String>,
    /// Obligors, ascending, each once.
    pub(crate) obligors: Vec<String>,
    /// Income of the window.
    pub(crate) income: Income,
    /// Per person and month; null without members.
    pub(crate) per_capita_monthly: Option<String>,
    /// Monetary property.
    pub(crate) monetary_total: String,
    /// Houses.
    pub(crate) house_count: usize,
    /// Vehicles before exemptions.
    pub(crate) vehicle_count: usize,
    /// Vehicles after exemptions.
    pub(crate) vehicle_counted: usize,
    /// Rigid expenditure.
    pub(crate) rigid_total: String,
    /// `extreme`, `dibao`, `dibao_single`, `marginal`, `rigid` or `none`.
    pub(crate) category: &'static str,
    /// Whole yuan, null where the category has none.
    pub(crate) benefit_monthly: Option<i64>,
    /// Members who are paid for.
    pub(crate) covered_count: usize,
}

/// The truth of `application` over the rows of its family; `lost_too` reads also what never reached the hub.
pub(crate) fn judge(application: &Text, seat: usize, rows: &[Entry], lost_too: bool) -> Option<Household> {
    let view = View::new(rows, lost_too);
    let family = Family::new(&view, application, seat)?;
    let outcome = Outcome::of(&family);
    Some(outcome.print(&family))
}

/// Two decimals, half away from zero.
fn money(fen: &Exact) -> String {
    let doubled = *fen * 2;
    let rounded = if *fen.numer() < 0 { (doubled - 1) / 2 } else { (doubled + 1) / 2 };
    let fen = rounded.trunc().to_integer();
    format!("{}{}.{:02}", if fen < 0 { "-" } else { "" }, fen.abs() / 100, fen.abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_half_away_from_zero() {
        assert_eq!(money(&Exact::new(1, 2)), "0.01");
        assert_eq!(money(&Exact::new(-1, 2)), "-0.01");
        assert_eq!(money(&Exact::new(6_380_000, 3)), "21266.67");
        assert_eq!(money(&Exact::new(149, 100)), "0.01");
        assert_eq!(money(&Exact::from_integer(0)), "0.00");
    }
}
