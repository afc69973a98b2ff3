//! Rows of workbooks, as cells.
//!
//! Identifiers and codes are text cells, as departments that have been bitten once keep them; amounts and counts are
//! number cells unless the format dresses them up; days are text or true date cells, as the format says.

use crate::row::{Row, Value};

use super::block::{Around, Dirt};
use super::format::{Column, Form, Source};
use super::shape::{self, DateShape, Money, TimeShape};
use super::text::content;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Blank,
    Text(Box<str>),
    Number(f64),
    /// Serial day.
    Day(f64),
    /// Serial day with a fraction.
    Moment(f64),
    /// Filled in when the row has found its place.
    RowNumber,
}

/// Integers up to here are exact in a cell.
const EXACT_MAX: u128 = 1 << 53;

/// Appends one row of cells.
pub(super) fn cells(around: Around<'_>, row: &Row, out: &mut Vec<Cell>) {
    let mut scratch = Vec::with_capacity(64);
    for (at, column) in around.item.format.columns.iter().enumerate() {
        out.push(match around.dirt {
            Some((dirty, Dirt::Text(text))) if dirty == at => {
                if text.is_empty() {
                    Cell::Blank
                } else {
                    Cell::Text(text.as_str().into())
                }
            }
            Some((dirty, Dirt::Number(number))) if dirty == at => Cell::Number(*number),
            _ => cell(around, column, row, &mut scratch),
        });
    }
}

fn cell(around: Around<'_>, column: &Column, row: &Row, scratch: &mut Vec<u8>) -> Cell {
    match &column.source {
        Source::RowNumber => return Cell::RowNumber,
        Source::Updated(TimeShape::Excel) => return moment(row.source_updated_at),
        Source::DataDate(DateShape::Excel) => {
            return Cell::Day(shape::serial(around.plan.data_date(&around.item.format, around.key)));
        }
        Source::Field(field, form) if !column.text_cell => {
            let exact = |n: u128| n < EXACT_MAX;
            match (form, &row.values[*field]) {
                (Form::Date(DateShape::Excel), Value::Date(date)) => return Cell::Day(shape::serial(*date)),
                (Form::Time(TimeShape::Excel), Value::Time(at)) => return moment(*at),
                (Form::Int, Value::Int(number)) if exact(number.unsigned_abs().into()) => {
                    return Cell::Number(*number as f64);
                }
                (Form::Decimal { scale, unit, money: Money::Plain }, Value::Decimal(amount))
                    if exact(amount.unsigned_abs()) =>
                {
                    // Both parts are exact, so the quotient is the double nearest to the decimal.
                    let places = i32::try_from(*scale).unwrap_or(0) + unit;
                    return Cell::Number(*amount as f64 / 10f64.powi(places));
                }
                _ => {}
            }
        }
        _ => {}
    }
    scratch.clear();
    content(around, around.item.pen, &column.source, row, scratch);
    if scratch.is_empty() { Cell::Blank } else { Cell::Text(String::from_utf8_lossy(scratch).into()) }
}

/// To the second: spreadsheets show no less, and a fraction of a day holds no more with confidence.
fn moment(epoch_millis: i64) -> Cell {
    let (date, millis) = shape::local(epoch_millis);
    Cell::Moment(shape::serial(date) + f64::from(millis / 1000) / 86_400.0)
}
