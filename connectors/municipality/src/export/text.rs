//! Rows of text files, as bytes.
//!
//! This is the hot loop of the simulation: one pass over the columns, straight into the block's buffer. Digits are ASCII
//! in every charset and need no quotes; only free text, codes and amounts with separators are looked at again.

use crate::row::{Row, Value};

use super::block::{Around, Dirt};
use super::format::{Form, Kind, Source};
use super::pen::Pen;
use super::shape::{self, Money};

/// Appends one line.
pub(super) fn line(around: Around<'_>, row: &Row, out: &mut Vec<u8>) {
    let format = &around.item.format;
    let Kind::Csv { separator, newline, .. } = &format.kind else { return };
    let pen = around.item.pen;
    for (at, column) in format.columns.iter().enumerate() {
        if at > 0 {
            out.push(*separator);
        }
        let start = out.len();
        let looked_at = match around.dirt {
            Some((dirty, Dirt::Text(text))) if dirty == at => {
                pen.write(out, text);
                true
            }
            _ => content(around, pen, &column.source, row, out),
        };
        if looked_at {
            pen.close_cell(out, start, *separator);
        }
    }
    out.extend_from_slice(newline.as_bytes());
}

/// Appends a column's content; true when it may need quotes.
pub(super) fn content(around: Around<'_>, pen: Pen, source: &Source, row: &Row, out: &mut Vec<u8>) -> bool {
    match source {
        Source::Field(field, form) => match row.values.get(*field) {
            Some(value) => value_in(pen, form, value, out),
            None => false,
        },
        Source::RowNumber => false,
        Source::RecordId => {
            shape::int(out, 100_000_000_000 + (around.dice % 900_000_000_000).cast_signed());
            false
        }
        Source::Updated(shape) => {
            let (date, millis) = shape::local(row.source_updated_at);
            shape.write(pen, out, shape::civil(date), millis);
            false
        }
        Source::DataDate(shape) => {
            shape.write(pen, out, shape::civil(around.plan.data_date(&around.item.format, around.key)));
            false
        }
        Source::Op(upsert, delete) => {
            let word = if row.delete { delete } else { &upsert[choice(around.dice, 8, upsert.len())] };
            pen.write(out, word);
            true
        }
        Source::AnyOf(words) => {
            pen.write(out, &words[choice(around.dice, 24, words.len())]);
            true
        }
    }
}

/// A choice among `n` by some bits of the dice.
pub(super) fn choice(dice: u64, shift: u32, n: usize) -> usize {
    ((dice >> shift) & 0xffff) as usize % n.max(1)
}

fn value_in(pen: Pen, form: &Form, value: &Value, out: &mut Vec<u8>) -> bool {
    match (form, value) {
        (_, Value::Null) => false,
        (Form::Codes(words), Value::Text(code)) => {
            // A code without a word is written as it is: the hub will say that it is unknown.
            pen.write(out, words.get(&**code).map_or(&**code, String::as_str));
            true
        }
        (_, Value::Text(text)) => {
            pen.write(out, text);
            true
        }
        (Form::Bool([yes, no]), Value::Bool(truth)) => {
            pen.write(out, if *truth { yes } else { no });
            false
        }
        (Form::Date(shape) | Form::Month(shape), Value::Date(date)) => {
            shape.write(pen, out, shape::civil(*date));
            false
        }
        (Form::Time(shape), Value::Time(moment)) => {
            let (date, millis) = shape::local(*moment);
            shape.write(pen, out, shape::civil(date), millis);
            false
        }
        (Form::Decimal { scale, unit, money }, Value::Decimal(amount)) => {
            shape::decimal(pen, out, *amount, *scale, *unit, *money);
            *money != Money::Plain
        }
        (_, Value::Int(number)) => {
            shape::int(out, *number);
            false
        }
        // A value of another type than its field is a mistake of the simulation; the truth will disagree loudly.
        _ => false,
    }
}
