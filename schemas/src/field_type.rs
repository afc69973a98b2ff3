//! Canonical types of fields, their spelling in catalogue files and their Arrow types.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, TimeUnit};

use crate::vocabulary::UnknownWord;

/// Offset of every timestamp of the catalogue: China Standard Time, no daylight saving.
pub const TIME_ZONE: &str = "+08:00";

/// Canonical type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldType {
    /// Text: NFC, trimmed, half-width digits and letters, never empty.
    Utf8,
    /// 32-bit count or year.
    Int32,
    /// 64-bit count.
    Int64,
    /// Yes or no.
    Boolean,
    /// Day; a month is its first day.
    Date32,
    /// Milliseconds since 1970-01-01 UTC, shown at +08:00.
    TimestampMs,
    /// Exact decimal.
    Decimal {
        /// Digits in all, 1–38.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
}

impl FieldType {
    /// The Arrow type of a submitted column.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Utf8 => DataType::Utf8,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Boolean => DataType::Boolean,
            Self::Date32 => DataType::Date32,
            Self::TimestampMs => DataType::Timestamp(TimeUnit::Millisecond, Some(TIME_ZONE.into())),
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        }
    }
}

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf8 => f.write_str("Utf8"),
            Self::Int32 => f.write_str("Int32"),
            Self::Int64 => f.write_str("Int64"),
            Self::Boolean => f.write_str("Boolean"),
            Self::Date32 => f.write_str("Date32"),
            Self::TimestampMs => write!(f, "Timestamp(Millisecond,{TIME_ZONE})"),
            Self::Decimal { precision, scale } => write!(f, "Decimal128({precision},{scale})"),
        }
    }
}

impl FromStr for FieldType {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Ok(match word {
            "Utf8" => Self::Utf8,
            "Int32" => Self::Int32,
            "Int64" => Self::Int64,
            "Boolean" => Self::Boolean,
            "Date32" => Self::Date32,
            "Timestamp(Millisecond,+08:00)" => Self::TimestampMs,
            _ => {
                let inner = word.strip_prefix("Decimal128(").and_then(|w| w.strip_suffix(')')).ok_or(UnknownWord)?;
                let (precision, scale) = inner.split_once(',').ok_or(UnknownWord)?;
                let precision: u8 = precision.parse().map_err(|_| UnknownWord)?;
                let scale: i8 = scale.parse().map_err(|_| UnknownWord)?;
                if !(1..=38).contains(&precision) || scale < 0 || scale as u8 > precision {
                    return Err(UnknownWord);
                }
                Self::Decimal { precision, scale }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_as_it_is_written() {
        for word in ["Utf8", "Int32", "Int64", "Boolean", "Date32", "Timestamp(Millisecond,+08:00)", "Decimal128(18,2)"]
        {
            assert_eq!(word.parse::<FieldType>().map(|ty| ty.to_string()), Ok(word.to_owned()));
        }
        for word in ["utf8", "Decimal128(39,2)", "Decimal128(2,3)", "Decimal128(2,-1)", "Decimal128(2)", "Timestamp"] {
            assert_eq!(word.parse::<FieldType>(), Err(UnknownWord), "{word}");
        }
    }
}
