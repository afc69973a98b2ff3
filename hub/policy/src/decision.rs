//! The answer of the policies for one principal, purpose and item.

use std::fmt;

use serde::Serialize;

use crate::Mask;

/// How one field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// As it is.
    Raw,
    /// Through a named mask; the column keeps its type.
    Masked(Mask),
    /// As a stand-in that is equal for equal values within one purpose and unrelated across purposes; text.
    Pseudonym,
    /// Only inside COUNT, SUM and AVG over at least `k` people.
    AggregateOnly,
    /// The column does not exist for this principal.
    Absent,
}

impl fmt::Display for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("raw"),
            Self::Masked(mask) => write!(f, "masked({mask})"),
            Self::Pseudonym => f.write_str("pseudonym"),
            Self::AggregateOnly => f.write_str("aggregate_only"),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// Access to a table as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Row by row.
    Rows,
    /// Aggregates over at least [`TableDecision::k`] people; fields shown raw or masked are dimensions.
    Aggregates,
    /// The table does not exist for this principal.
    None,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rows => "rows",
            Self::Aggregates => "aggregates",
            Self::None => "none",
        })
    }
}

/// What ties a row to a county.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CountyBy {
    /// The first six digits of this division or town field.
    Field(String),
    /// The county where the subject is registered.
    Subject,
}

/// How far the rows reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Every row of the city.
    City,
    /// Rows of one county.
    County {
        /// Six digits.
        county: String,
        /// How a row says so.
        by: CountyBy,
    },
    /// Rows whose subject belongs to the household of one case.
    Case {
        /// Application number.
        case: String,
        /// The county that must have accepted the application, if the principal is confined to one.
        county: Option<String>,
    },
    /// No row.
    Nothing,
}

/// Which rows exist for the principal; all parts hold together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RowScope {
    /// Where.
    pub reach: Reach,
    /// Only people with a valid authorisation for the item (computation section 6).
    pub authorised_only: bool,
    /// Rows of subjects under fourteen are left out (catalogue, level rules).
    pub without_minors: bool,
}

/// How one field is shown, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDecision {
    /// Canonical field name, or an envelope column (`_data_date`).
    pub field: String,
    /// How.
    pub show: Show,
    /// Ids of the policies that decided, sorted.
    pub reasons: Vec<String>,
}

/// The whole answer for one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableDecision {
    /// Item code.
    pub item: String,
    /// Version of the policies, hex.
    pub policy_version: String,
    /// The table as a whole.
    pub access: Access,
    /// People per published cell, at least.
    pub k: u32,
    /// Rows.
    pub rows: RowScope,
    /// Every field of the item in catalogue order, then the envelope columns.
    pub fields: Vec<FieldDecision>,
    /// Ids of the policies that decided about the table and its rows, sorted.
    pub reasons: Vec<String>,
}

impl TableDecision {
    /// The decision for a field; `Absent` for a field that the item does not have.
    pub fn show(&self, field: &str) -> Show {
        self.fields.iter().find(|f| f.field == field).map_or(Show::Absent, |f| f.show)
    }

    /// Whether anything at all can be asked of the table.
    pub fn is_visible(&self) -> bool {
        self.access != Access::None
            && self.rows.reach != Reach::Nothing
            && self.fields.iter().any(|f| f.show != Show::Absent && !f.field.starts_with('_'))
    }
}
