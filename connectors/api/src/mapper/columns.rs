//! The loops over one column.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::DataType;
use chrono::NaiveDate;
use minqiao_schemas::normalise;
use minqiao_schemas::reason::Rule;

use super::{How, lost_digits};
use crate::convert::date::{DateFormat, Local, serial};
use crate::convert::text::fold;
use crate::convert::{Canonical, Fault, number, trim};
use crate::rows::{CellKind, Rows};

type Faults<'a> = &'a mut dyn FnMut(usize, Fault);

/// A column of one value.
pub(super) fn constant(value: &Canonical, ty: &DataType, rows: usize) -> ArrayRef {
    let mut column = Column::new(ty, rows, 8);
    for _ in 0..rows {
        column.append(value);
    }
    column.finish()
}

/// A column of converted cells.
pub(super) fn cells(
    rows: &Rows,
    column: usize,
    how: &How,
    ty: &DataType,
    field_bytes: usize,
    faults: Faults<'_>,
) -> ArrayRef {
    match how {
        How::Text => text(rows, column, field_bytes, faults, |cell| Ok(fold(cell))),
        How::CitizenId => text(rows, column, field_bytes, faults, citizen_number),
        How::Uscc => text(rows, column, field_bytes, faults, credit_code),
        How::Date(format) => {
            let mut out = Date32Builder::with_capacity(rows.len());
            dates(rows, column, format, faults, |local| match local {
                Some(local) => out.append_value(local.days),
                None => out.append_null(),
            });
            Arc::new(out.finish())
        }
        How::Month(format) => {
            let mut out = Date32Builder::with_capacity(rows.len());
            dates(rows, column, format, faults, |local| match local {
                Some(local) => out.append_value(local.month()),
                None => out.append_null(),
            });
            Arc::new(out.finish())
        }
        How::Timestamp(format) => {
            let mut out = TimestampMillisecondBuilder::with_capacity(rows.len()).with_data_type(ty.clone());
            dates(rows, column, format, faults, |local| match local {
                Some(local) => out.append_value(local.to_epoch_millis()),
                None => out.append_null(),
            });
            Arc::new(out.finish())
        }
        How::Decimal { unit, precision, scale } => {
            let mut out = Decimal128Builder::with_capacity(rows.len()).with_data_type(ty.clone());
            each(
                rows,
                column,
                faults,
                |cell, _| number::decimal(cell, *unit, *precision, *scale),
                |value| match value {
                    Some(value) => out.append_value(value),
                    None => out.append_null(),
                },
            );
            Arc::new(out.finish())
        }
        How::Integer32 => {
            let mut out = Int32Builder::with_capacity(rows.len());
            let read = |cell: &str, _| i32::try_from(number::integer(cell)?).map_err(|_| Fault::Rule(Rule::NumberSize));
            each(rows, column, faults, read, |value| out.append_option(value));
            Arc::new(out.finish())
        }
        How::Integer64 => {
            let mut out = Int64Builder::with_capacity(rows.len());
            each(rows, column, faults, |cell, _| number::integer(cell), |value| out.append_option(value));
            Arc::new(out.finish())
        }
        How::Boolean => {
            let mut out = BooleanBuilder::with_capacity(rows.len());
            each(rows, column, faults, |cell, _| number::boolean(cell), |value| out.append_option(value));
            Arc::new(out.finish())
        }
        How::Codes(codes) => {
            let mut out = Column::new(ty, rows.len(), 4);
            let read = |cell: &str, _| codes.get(cell).ok_or(Fault::Code);
            each(rows, column, faults, read, |value| match value {
                Some(at) => out.append(codes.value(at)),
                None => out.append_null(),
            });
            out.finish()
        }
    }
}

/// Converts every cell; the value of the cell before is used again when the text is the same.
#[inline]
fn each<T: Copy>(
    rows: &Rows,
    column: usize,
    faults: Faults<'_>,
    read: impl Fn(&str, CellKind) -> Result<T, Fault>,
    mut append: impl FnMut(Option<T>),
) {
    let mut last: Option<(&str, T)> = None;
    for row in 0..rows.len() {
        let cell = trim(rows.cell(row, column));
        if cell.is_empty() {
            append(None);
            continue;
        }
        if let Some((text, value)) = last
            && text == cell
            && rows.text_only()
        {
            append(Some(value));
            continue;
        }
        let kind = rows.kind(row, column);
        let value = if kind == CellKind::Error { Err(Fault::Formula) } else { read(cell, kind) };
        match value {
            Ok(value) => {
                last = Some((cell, value));
                append(Some(value));
            }
            Err(fault) => {
                faults(row, fault);
                append(None);
            }
        }
    }
}

fn dates(rows: &Rows, column: usize, format: &DateFormat, faults: Faults<'_>, append: impl FnMut(Option<Local>)) {
    let read = |cell: &str, kind| match kind {
        CellKind::Date => serial(cell),
        _ => format.read(cell),
    };
    each(rows, column, faults, read, append);
}

fn text(
    rows: &Rows,
    column: usize,
    field_bytes: usize,
    faults: Faults<'_>,
    read: impl for<'a> Fn(&'a str) -> Result<Cow<'a, str>, Fault>,
) -> ArrayRef {
    let mut out = StringBuilder::with_capacity(rows.len(), rows.len() * 12);
    for row in 0..rows.len() {
        let cell = trim(rows.cell(row, column));
        if cell.is_empty() {
            out.append_null();
            continue;
        }
        let kind = rows.kind(row, column);
        let value = if kind == CellKind::Error {
            Err(Fault::Formula)
        } else if lost_digits(kind, cell) {
            Err(Fault::Precision)
        } else if cell.len() > field_bytes {
            Err(Fault::Rule(Rule::TextLength))
        } else {
            read(cell)
        };
        match value.as_deref() {
            Ok("") => out.append_null(),
            Ok(value) => out.append_value(value),
            Err(fault) => {
                faults(row, *fault);
                out.append_null();
            }
        }
    }
    Arc::new(out.finish())
}

/// Repairs what can be repaired. Whether a number of the right form is a person's is the hub's to judge, because that
/// depends on the day; the mapping of a file must not.
fn citizen_number(cell: &str) -> Result<Cow<'_, str>, Fault> {
    if let [digits @ .., last] = cell.as_bytes()
        && digits.len() == 17
        && digits.iter().all(u8::is_ascii_digit)
        && (last.is_ascii_digit() || *last == b'X')
    {
        return Ok(Cow::Borrowed(cell));
    }
    let number = normalise::citizen_number(cell, NaiveDate::MAX).map_err(Fault::Rule)?;
    Ok(number.unwrap_or_default())
}

fn credit_code(cell: &str) -> Result<Cow<'_, str>, Fault> {
    let code = normalise::credit_code(cell).map_err(Fault::Rule);
    // `SELF` and the like stand in columns of credit codes; the code table decides.
    if code.is_err() && cell.len() < 18 { Ok(fold(cell)) } else { Ok(code?.unwrap_or_default()) }
}

/// A builder of any of the catalogue's types, for constants and code lists.
#[derive(Debug)]
enum Column {
    Text(StringBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Boolean(BooleanBuilder),
    Date(Date32Builder),
    Time(TimestampMillisecondBuilder),
    Decimal(Decimal128Builder),
}

impl Column {
    fn new(ty: &DataType, rows: usize, text_bytes: usize) -> Self {
        match ty {
            DataType::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            DataType::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            DataType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            DataType::Date32 => Self::Date(Date32Builder::with_capacity(rows)),
            DataType::Timestamp(..) => {
                Self::Time(TimestampMillisecondBuilder::with_capacity(rows).with_data_type(ty.clone()))
            }
            DataType::Decimal128(..) => {
                Self::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(ty.clone()))
            }
            _ => Self::Text(StringBuilder::with_capacity(rows, rows * text_bytes)),
        }
    }

    /// Appends a value of the column's type; one of another type, which resolving rules out, becomes null.
    #[inline]
    fn append(&mut self, value: &Canonical) {
        match (self, value) {
            (Self::Text(out), Canonical::Text(value)) => out.append_value(value),
            (Self::Int32(out), Canonical::Integer(value)) => out.append_option(i32::try_from(*value).ok()),
            (Self::Int64(out), Canonical::Integer(value)) => out.append_value(*value),
            (Self::Boolean(out), Canonical::Boolean(value)) => out.append_value(*value),
            (Self::Date(out), Canonical::Date(value)) => out.append_value(*value),
            (Self::Time(out), Canonical::Time(value)) => out.append_value(*value),
            (Self::Decimal(out), Canonical::Decimal(value)) => out.append_value(*value),
            (column, _) => column.append_null(),
        }
    }

    #[inline]
    fn append_null(&mut self) {
        match self {
            Self::Text(out) => out.append_null(),
            Self::Int32(out) => out.append_null(),
            Self::Int64(out) => out.append_null(),
            Self::Boolean(out) => out.append_null(),
            Self::Date(out) => out.append_null(),
            Self::Time(out) => out.append_null(),
            Self::Decimal(out) => out.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut out) => Arc::new(out.finish()),
            Self::Int32(mut out) => Arc::new(out.finish()),
            Self::Int64(mut out) => Arc::new(out.finish()),
            Self::Boolean(mut out) => Arc::new(out.finish()),
            Self::Date(mut out) => Arc::new(out.finish()),
            Self::Time(mut out) => Arc::new(out.finish()),
            Self::Decimal(mut out) => Arc::new(out.finish()),
        }
    }
}
