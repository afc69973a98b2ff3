//! One value: from what a department wrote to the canonical form, or to the rule it breaks.
//!
//! Every function here is total: any text gives a value, nothing, or a [`Rule`]; none panics, none reads a clock, and
//! normalising a canonical value gives it back. Values that are canonical already are the common case by far, so that
//! path compares bytes and borrows its input. Nothing is guessed: what has two readings is refused.
//!
//! [`value`] is the door for a whole field. Whether a code is in its table is not asked here but in [`crate::check`],
//! where it is asked once for whatever brought the row.

use std::borrow::Cow;

use chrono::NaiveDate;

use crate::code_table;
use crate::model::{Field, FieldType};
use crate::reason::Rule;

pub mod citizen_id;
pub mod date;
pub mod flag;
pub mod number;
pub mod text;
pub mod uscc;

pub use citizen_id::citizen_number;
pub use date::{date, month, timestamp};
pub use flag::boolean;
pub use number::{decimal, decimal_from_f64, integer};
pub use text::text;
pub use uscc::credit_code;

/// A canonical value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `Utf8`.
    Text(Cow<'a, str>),
    /// `Int32`.
    Int32(i32),
    /// `Int64`.
    Int64(i64),
    /// `Boolean`.
    Boolean(bool),
    /// `Date32`: days since 1970-01-01.
    Date32(i32),
    /// Milliseconds since 1970-01-01 UTC.
    TimestampMs(i64),
    /// Unscaled value at the field's scale.
    Decimal(i128),
}

/// Reads one value of a field; empty text is `None`.
///
/// Dates in the form of a month are taken by month fields only (as their first day). `today` bounds birth dates in
/// citizen numbers.
///
/// # Errors
/// The rule that the text breaks.
pub fn value<'a>(field: &Field, raw: &'a str, today: NaiveDate) -> Result<Option<Value<'a>>, Rule> {
    Ok(match field.ty {
        FieldType::Utf8 => coded_text(field, raw, today)?.map(Value::Text),
        FieldType::Int32 => match whole(field, raw)? {
            Some(n) => Some(Value::Int32(i32::try_from(n).map_err(|_| Rule::NumberSize)?)),
            None => None,
        },
        FieldType::Int64 => whole(field, raw)?.map(Value::Int64),
        FieldType::Boolean => boolean(raw)?.map(Value::Boolean),
        FieldType::Date32 if field.is_month() => month(raw)?.map(|d| Value::Date32(date::days(d))),
        FieldType::Date32 => date(raw)?.map(|d| Value::Date32(date::days(d))),
        FieldType::TimestampMs => timestamp(raw)?.map(Value::TimestampMs),
        FieldType::Decimal { precision, scale } => decimal(raw, precision, scale)?.map(Value::Decimal),
    })
}

fn whole(field: &Field, raw: &str) -> Result<Option<i64>, Rule> {
    // Years are often written 2026年 or 2026年度.
    let raw = if field.name.ends_with("_year") {
        let trimmed = raw.trim_end();
        trimmed.strip_suffix("年度").or_else(|| trimmed.strip_suffix('年')).unwrap_or(raw)
    } else {
        raw
    };
    integer(raw)
}

fn coded_text<'a>(field: &Field, raw: &'a str, today: NaiveDate) -> Result<Option<Cow<'a, str>>, Rule> {
    match field.code_table.as_deref() {
        Some(code_table::CITIZEN_NUMBER) => citizen_number(raw, today),
        Some(code_table::CREDIT_CODE) => credit_code(raw),
        Some(code_table::CREDIT_CODE_OR_SELF) => match text(raw) {
            Some(word) if word.eq_ignore_ascii_case("SELF") => Ok(Some(Cow::Borrowed("SELF"))),
            _ => credit_code(raw),
        },
        // Real-estate unit numbers are printed in groups.
        Some("GBT37346") => Ok(text(raw).map(text::without_blanks)),
        _ => Ok(text(raw)),
    }
}
