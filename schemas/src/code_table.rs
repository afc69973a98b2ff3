//! Code tables: which values a coded field may hold.
//!
//! A table either lists its codes, or gives a pattern for a standard that is too large to carry, or both (an extract
//! with a pattern accepts the pattern). Four tables are more than that: citizen numbers and credit codes have check
//! characters, division codes must exist. Those are decided by [`crate::normalise`] and [`crate::division`].

use std::collections::HashMap;

use regex::Regex;

use crate::division::{self, Standing};
use crate::normalise;

/// Citizen identification numbers (GB 11643).
pub const CITIZEN_NUMBER: &str = "GB11643";
/// Unified social credit codes (GB 32100).
pub const CREDIT_CODE: &str = "GB32100";
/// A credit code, or `SELF` when employer and person are the same.
pub const CREDIT_CODE_OR_SELF: &str = "GB32100_SELF";
/// Divisions of county level and above.
pub const DIVISION: &str = "GBT2260";
/// Towns (9 digits) and villages (12 digits).
pub const TOWN_OR_VILLAGE: &str = "GBT10114";

/// What a table says about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// One of its codes.
    Member,
    /// Was a code once; rows that were written then keep it.
    Retired,
    /// Has not the shape of its codes.
    Malformed,
    /// Has the shape, is none.
    Unknown,
}

/// How membership is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableKind {
    Values,
    Pattern,
    CitizenNumber,
    CreditCode,
    CreditCodeOrSelf,
    Division,
    TownOrVillage,
}

/// One value of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// As it travels.
    pub code: String,
    /// What it means.
    pub zh: String,
}

/// One code table.
#[derive(Debug, Clone)]
pub struct CodeTable {
    /// For example `GBT2261_1`.
    pub id: String,
    /// The standard behind it.
    pub standard: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// How its content was confirmed.
    pub verification: String,
    /// Remarks for readers.
    pub note: Option<String>,
    /// Its codes in table order; empty for pattern tables.
    pub values: Vec<Code>,
    /// Shape of its codes.
    pub pattern: Option<String>,
    pub(crate) regex: Option<Regex>,
    pub(crate) index: HashMap<String, usize>,
    pub(crate) kind: TableKind,
}

impl CodeTable {
    /// What the table says about a normalised value. Never allocates.
    pub fn membership(&self, value: &str) -> Membership {
        match self.kind {
            TableKind::Values => {
                if self.index.contains_key(value) {
                    Membership::Member
                } else {
                    Membership::Unknown
                }
            }
            TableKind::Pattern => {
                if self.index.contains_key(value) || self.regex.as_ref().is_some_and(|r| r.is_match(value)) {
                    Membership::Member
                } else {
                    Membership::Malformed
                }
            }
            TableKind::CitizenNumber => valid(normalise::citizen_id::is_canonical(value)),
            TableKind::CreditCode => valid(normalise::uscc::is_canonical(value)),
            TableKind::CreditCodeOrSelf => valid(value == "SELF" || normalise::uscc::is_canonical(value)),
            TableKind::Division => division_membership(value),
            TableKind::TownOrVillage => {
                let shape = matches!(value.len(), 9 | 12) && value.bytes().all(|b| b.is_ascii_digit());
                if shape { division_membership(&value[..6]) } else { Membership::Malformed }
            }
        }
    }

    /// Whether a row may hold the value: a code in force, or one that was.
    pub fn accepts(&self, value: &str) -> bool {
        matches!(self.membership(value), Membership::Member | Membership::Retired)
    }

    /// What a code means; also the division's name for division codes.
    pub fn name_zh_of(&self, code: &str) -> Option<&str> {
        if let Some(value) = self.index.get(code).and_then(|at| self.values.get(*at)) {
            return Some(&value.zh);
        }
        if self.kind == TableKind::Division { division::find(code).map(|d| d.name) } else { None }
    }
}

fn valid(yes: bool) -> Membership {
    if yes { Membership::Member } else { Membership::Malformed }
}

fn division_membership(code: &str) -> Membership {
    match division::find(code).map(|d| d.standing) {
        Some(Standing::Retired { .. }) => Membership::Retired,
        Some(_) => Membership::Member,
        None if code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()) => Membership::Unknown,
        None => Membership::Malformed,
    }
}
