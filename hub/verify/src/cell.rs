//! The typed values rows are made of, how each is read from an Arrow column, and how a natural key prints it.
//!
//! Codes are packed into 64 bits and texts are slices of one arena per item, so that a row is a small `Copy` struct
//! and the computation compares integers wherever it can.

use std::fmt;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Int32Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int32Type, TimeUnit, TimestampMillisecondType};
use minqiao_core::Timestamp;

use crate::calendar::Day;
use crate::exact::Exact;
use crate::number::Citizen;

/// A code of at most eight ASCII characters, packed so that it orders as its text does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u64);

impl Code {
    /// Packs a code; `None` above eight bytes.
    pub const fn new(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() > 8 {
            return None;
        }
        let (mut packed, mut i) = (0u64, 0);
        while i < 8 {
            packed = packed << 8 | if i < b.len() { b[i] as u64 } else { 0 };
            i += 1;
        }
        Some(Self(packed))
    }

    /// Whether it is this text.
    pub fn is(self, text: &str) -> bool {
        Self::new(text) == Some(self)
    }

    /// First character, 0 for an empty code.
    pub fn first(self) -> u8 {
        (self.0 >> 56) as u8
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.to_be_bytes();
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(8);
        f.write_str(std::str::from_utf8(&bytes[..end]).unwrap_or(""))
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text in an item's arena; [`crate::facts::Facts::text`] gives the characters.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) item: u8,
}

/// An amount in hundredths: yuan, square metres, mu or kilowatts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cents(pub i64);

impl Cents {
    /// As an exact figure.
    pub fn exact(self) -> Exact {
        Exact::cents(self.0)
    }
}

/// Null money is 0 (computation 1.4).
pub fn or_zero(amount: Option<Cents>) -> Exact {
    amount.map_or(Exact::ZERO, Cents::exact)
}

/// A share in ten-thousandths.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Share(pub i64);

impl Share {
    /// As an exact figure.
    pub fn exact(self) -> Exact {
        Exact::ten_thousandths(self.0)
    }
}

/// Any value, for rules that are data.
#[derive(Clone, Copy, Debug)]
pub enum Cell {
    /// Null.
    Null,
    /// A code.
    Code(Code),
    /// A text.
    Text(Text),
    /// A day.
    Day(Day),
    /// Hundredths.
    Cents(Cents),
    /// Ten-thousandths.
    Share(Share),
    /// A yes or no.
    Bool(bool),
    /// A count.
    Int(i32),
    /// A moment.
    Moment(Timestamp),
    /// A citizen number.
    Citizen(Citizen),
}

impl Cell {
    /// The day of a date or moment.
    pub fn day(self) -> Option<Day> {
        match self {
            Self::Day(day) => Some(day),
            Self::Moment(at) => Some(Day::of(at)),
            _ => None,
        }
    }

    /// The code, if it is one.
    pub fn code(self) -> Option<Code> {
        if let Self::Code(code) = self { Some(code) } else { None }
    }

    /// The amount; `None` when null.
    pub fn amount(self) -> Option<Exact> {
        match self {
            Self::Cents(c) => Some(c.exact()),
            Self::Share(s) => Some(s.exact()),
            _ => None,
        }
    }
}

/// Why a cell could not be read. The reader adds item, field and row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// The column is missing and the field is required, or the cell is null.
    Null,
    /// The column has another type.
    Type,
    /// The value is not one of its type (a citizen number that is none, a code of more than eight characters).
    Value,
}

/// One column of a batch under its canonical type.
#[derive(Debug)]
pub enum Column {
    /// Not in the batch: all null.
    Absent,
    /// Texts and codes.
    Text(StringArray),
    /// Dates.
    Day(Date32Array),
    /// Moments.
    Moment(TimestampMillisecondArray),
    /// Decimals and their scale.
    Decimal(Decimal128Array, i8),
    /// Yes or no.
    Bool(BooleanArray),
    /// Counts.
    Int(Int32Array),
}

impl Column {
    /// The named column of a batch; text views, large texts and other time zones are cast.
    pub fn of(batch: &RecordBatch, name: &str) -> Result<Self, Unreadable> {
        let Some(array) = batch.column_by_name(name) else { return Ok(Self::Absent) };
        let to = |ty: DataType| -> Result<ArrayRef, Unreadable> { cast(array, &ty).map_err(|_| Unreadable::Type) };
        Ok(match array.data_type() {
            DataType::Null => Self::Absent,
            DataType::Utf8 => Self::Text(array.as_string::<i32>().clone()),
            DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..) => {
                Self::Text(to(DataType::Utf8)?.as_string::<i32>().clone())
            }
            DataType::Date32 => Self::Day(array.as_primitive::<Date32Type>().clone()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Moment(array.as_primitive::<TimestampMillisecondType>().clone())
            }
            DataType::Timestamp(_, zone) => Self::Moment(
                to(DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?
                    .as_primitive::<TimestampMillisecondType>()
                    .clone(),
            ),
            DataType::Decimal128(_, scale) => Self::Decimal(array.as_primitive::<Decimal128Type>().clone(), *scale),
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int32 => Self::Int(array.as_primitive::<Int32Type>().clone()),
            DataType::Int64 => Self::Int(to(DataType::Int32)?.as_primitive::<Int32Type>().clone()),
            _ => return Err(Unreadable::Type),
        })
    }

    /// The text of a row.
    pub fn text(&self, row: usize) -> Result<Option<&str>, Unreadable> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(a) => Ok((!a.is_null(row)).then(|| a.value(row))),
            _ => Err(Unreadable::Type),
        }
    }

    /// The moment of a row.
    pub fn moment(&self, row: usize) -> Result<Option<Timestamp>, Unreadable> {
        match self {
            Self::Absent => Ok(None),
            Self::Moment(a) => Ok((!a.is_null(row)).then(|| Timestamp(a.value(row)))),
            _ => Err(Unreadable::Type),
        }
    }

    /// The day of a row.
    pub fn day(&self, row: usize) -> Result<Option<Day>, Unreadable> {
        match self {
            Self::Absent => Ok(None),
            Self::Day(a) => Ok((!a.is_null(row)).then(|| Day(a.value(row)))),
            _ => Err(Unreadable::Type),
        }
    }

    fn scaled(&self, row: usize, scale: i8) -> Result<Option<i64>, Unreadable> {
        match self {
            Self::Absent => Ok(None),
            Self::Decimal(a, s) if *s == scale => {
                if a.is_null(row) {
                    return Ok(None);
                }
                i64::try_from(a.value(row)).map(Some).map_err(|_| Unreadable::Value)
            }
            _ => Err(Unreadable::Type),
        }
    }
}

/// What prints a citizen number: clear for the case folder, pseudonymous for most readers.
pub type Show<'a> = dyn Fn(Citizen) -> String + Send + Sync + 'a;

/// A value that can stand in a row.
pub trait Value: Copy {
    /// Reads one cell. Texts go to the arena.
    fn read(column: &Column, row: usize, arena: &mut Arena) -> Result<Self, Unreadable>;
    /// For rules that are data.
    fn cell(self) -> Cell;
}

/// Where the texts of one item are kept.
#[derive(Debug, Default)]
pub struct Arena {
    pub(crate) item: u8,
    pub(crate) bytes: String,
}

impl Arena {
    /// Keeps a text; `Value` when the item holds more than 4 GiB of texts.
    pub fn keep(&mut self, text: &str) -> Result<Text, Unreadable> {
        let offset = u32::try_from(self.bytes.len()).map_err(|_| Unreadable::Value)?;
        let len = u32::try_from(text.len()).map_err(|_| Unreadable::Value)?;
        self.bytes.push_str(text);
        Ok(Text { offset, len, item: self.item })
    }
}

macro_rules! values {
    ($($type:ty => $cell:ident, |$column:ident, $row:ident, $arena:ident| $read:expr;)*) => {
        $(
            impl Value for Option<$type> {
                fn read($column: &Column, $row: usize, $arena: &mut Arena) -> Result<Self, Unreadable> { $read }
                fn cell(self) -> Cell { self.map_or(Cell::Null, Cell::$cell) }
            }
            impl Value for $type {
                fn read(column: &Column, row: usize, arena: &mut Arena) -> Result<Self, Unreadable> {
                    <Option<$type>>::read(column, row, arena)?.ok_or(Unreadable::Null)
                }
                fn cell(self) -> Cell { Cell::$cell(self) }
            }
        )*
    };
}

values! {
    Day => Day, |column, row, _arena| column.day(row);
    Timestamp => Moment, |column, row, _arena| column.moment(row);
    Cents => Cents, |column, row, _arena| Ok(column.scaled(row, 2)?.map(Cents));
    Share => Share, |column, row, _arena| Ok(column.scaled(row, 4)?.map(Share));
    Code => Code, |column, row, _arena| column.text(row)?.map(|t| Code::new(t).ok_or(Unreadable::Value)).transpose();
    Citizen => Citizen, |column, row, _arena|
        column.text(row)?.map(|t| Citizen::parse(t).ok_or(Unreadable::Value)).transpose();
    Text => Text, |column, row, arena| column.text(row)?.map(|t| arena.keep(t)).transpose();
    bool => Bool, |column, row, _arena| match column {
        Column::Absent => Ok(None),
        Column::Bool(a) => Ok((!a.is_null(row)).then(|| a.value(row))),
        _ => Err(Unreadable::Type),
    };
    i32 => Int, |column, row, _arena| match column {
        Column::Absent => Ok(None),
        Column::Int(a) => Ok((!a.is_null(row)).then(|| a.value(row))),
        _ => Err(Unreadable::Type),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_order_as_their_texts() {
        let code = |t: &str| Code::new(t).unwrap();
        assert!(code("1") < code("10") && code("10") < code("2") && code("") < code("0"));
        assert_eq!(code("371002").to_string(), "371002");
        assert!(code("M21").first() == b'M' && code("01").is("01") && !code("01").is("1"));
        assert_eq!(Code::new("123456789"), None);
    }
}
