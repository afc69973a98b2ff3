//! Text of one cell to one canonical value: the pure inner loop of every mapping.
//!
//! Everything here works on borrowed text, allocates nothing on the usual path and answers with a [`Fault`] that names
//! no value. Cells are trimmed of white space (also U+3000) first; an empty cell is null and never gets here.

use arrow::datatypes::DataType;
use minqiao_schemas::reason::Rule;

pub mod date;
pub mod number;
pub mod text;

/// Why a cell has no canonical value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Breaks a rule of the catalogue.
    Rule(Rule),
    /// Not a day of the calendar, or not in the declared form.
    Date,
    /// A number cell has kept 15 significant digits of a longer number.
    Precision,
    /// Not in the code list of the column.
    Code,
    /// A cell with a formula error.
    Formula,
}

/// A canonical value, as constants and code lists of a mapping name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canonical {
    /// `Utf8`.
    Text(String),
    /// `Int32` and `Int64`.
    Integer(i64),
    /// `Boolean`.
    Boolean(bool),
    /// `Date32`: days since the epoch.
    Date(i32),
    /// `Timestamp(Millisecond)`: milliseconds since the epoch.
    Time(i64),
    /// `Decimal128`: at the field's scale.
    Decimal(i128),
}

impl Canonical {
    /// Reads canonical text (`2026-03-01`, `true`, `12.50`) of a type; `None` when it is none.
    pub fn parse(ty: &DataType, text: &str) -> Option<Self> {
        let date = |form: &str| date::DateFormat::parse(form).and_then(|form| form.read(text).ok());
        Some(match ty {
            DataType::Utf8 => Self::Text(text.to_owned()),
            DataType::Int32 => Self::Integer(i64::from(text.parse::<i32>().ok()?)),
            DataType::Int64 => Self::Integer(text.parse().ok()?),
            DataType::Boolean => Self::Boolean(text.parse().ok()?),
            DataType::Date32 => Self::Date(date("yyyy-MM-dd")?.days),
            DataType::Timestamp(..) => Self::Time(date("yyyy-MM-dd HH:mm:ss")?.to_epoch_millis()),
            DataType::Decimal128(precision, scale) => {
                Self::Decimal(number::decimal(text, number::Unit::ONE, *precision, *scale).ok()?)
            }
            _ => return None,
        })
    }
}

/// Trims ASCII and ideographic white space; the usual cell has none and is only looked at from both ends.
#[inline]
pub fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(&first), Some(&last)) => {
            // Bytes above 0x7f may begin or end U+3000 (E3 80 80), U+00A0 (C2 A0) and the like.
            let plain = |b: u8| b > b' ' && b < 0x7f;
            let plain_first = plain(first) || (0xe4..=0xe9).contains(&first);
            if plain_first && (plain(last) || is_plain_end(bytes)) { text } else { text.trim() }
        }
        _ => text,
    }
}

/// True when the text ends in a CJK ideograph of the main block.
#[inline]
fn is_plain_end(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && (0xe4..=0xe9).contains(&bytes[bytes.len() - 3])
}

#[cfg(test)]
mod tests {
    use super::trim;

    #[test]
    fn trims_ideographic_space_too() {
        for (dirty, clean) in
            [(" a ", "a"), ("\u{3000}王\u{3000}", "王"), ("王五", "王五"), ("", ""), ("\u{a0}x", "x"), (" \t", "")]
        {
            assert_eq!(trim(dirty), clean);
        }
    }
}
