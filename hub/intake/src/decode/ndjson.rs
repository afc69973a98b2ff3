//! NDJSON: one flat JSON object a line, keys = canonical names; also the form in which connectors hand over rejects.
//!
//! Values are strings, numbers, booleans or null; strings are read like CSV cells. JSON readers keep 15 digits of a number
//! with a fraction, so one that has more is refused as imprecise and must be sent as a string. A nested value is a fault
//! of its cell. Blank lines are skipped. A key that stands twice in an object is refused, as two columns of one name are:
//! which of its values is meant, nobody knows.

use std::fmt;

use bytes::Bytes;
use chrono::NaiveDate;
use minqiao_core::RowReason;
use minqiao_schemas::{Item, Reason, Rule};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::table::Table;
use super::{BYTE_ORDER_MARK, CellFault, Decoded, Format, Raw, check_plain, check_rows, field_too_large};
use crate::IntakeError;
use crate::options::IntakeLimits;

pub(super) fn decode(
    body: &Bytes,
    item: &Item,
    limits: &IntakeLimits,
    today: NaiveDate,
) -> Result<Decoded, IntakeError> {
    let mut table = Table::new(item, today);
    let mut lines = Vec::new();
    for (number, line) in lines_of(body) {
        let object = object(&line, number)?;
        add_row(&mut table, &object, limits, number)?;
        lines.push(line);
        check_rows(table.rows(), limits)?;
    }
    let (batch, faults) = table.finish().map_err(|error| IntakeError::Vault(error.into()))?;
    Ok(Decoded { batch, faults, raw: Raw::Lines(lines) })
}

/// One row from named cells, for replays.
pub(crate) fn cells_to_batch(
    rows: &[Map<String, Value>],
    item: &Item,
    limits: &IntakeLimits,
    today: NaiveDate,
) -> Result<(arrow::array::RecordBatch, Vec<CellFault>), IntakeError> {
    let mut table = Table::new(item, today);
    for (at, row) in rows.iter().enumerate() {
        add_row(&mut table, row, limits, at + 1)?;
    }
    table.finish().map_err(|error| IntakeError::Vault(error.into()))
}

fn add_row(
    table: &mut Table<'_>,
    object: &Map<String, Value>,
    limits: &IntakeLimits,
    line: usize,
) -> Result<(), IntakeError> {
    for (name, value) in object {
        let column = table.column(name)?;
        let set = match value {
            Value::Null => table.set(column, ""),
            Value::String(text) if text.len() > limits.field_bytes_max => {
                return Err(field_too_large(text.len(), limits, line - 1, name));
            }
            Value::String(text) => table.set(column, text),
            Value::Bool(flag) => table.set(column, if *flag { "true" } else { "false" }),
            Value::Number(number) if is_imprecise(number) => {
                table.fault(column, Rule::NumberFraction);
                Ok(())
            }
            Value::Number(number) => table.set(column, &number.to_string()),
            Value::Array(_) | Value::Object(_) => {
                table.fault(column, Rule::TextNormal);
                Ok(())
            }
        };
        // The keys of an object differ, so no cell is set twice.
        set.ok();
    }
    table.end_row();
    Ok(())
}

/// Whether a number has passed through binary floating point with more digits than that keeps.
fn is_imprecise(number: &serde_json::Number) -> bool {
    number.is_f64() && number.to_string().bytes().filter(u8::is_ascii_digit).count() > 15
}

/// Rows that a connector could not express in canonical form.
#[derive(Debug)]
pub(crate) struct Rejects {
    /// Each row's JSON object, as it came.
    pub(crate) lines: Vec<String>,
    /// Each row's reasons, with the hub's own wording: a connector's might quote a value.
    pub(crate) reasons: Vec<Vec<RowReason>>,
}

/// Reads rejects: `{"row", "locator", "source", "reasons": [{"code", "field", …}]}`.
pub(crate) fn rejects(body: &Bytes, item: &Item, limits: &IntakeLimits) -> Result<Rejects, IntakeError> {
    check_plain(body, Format::Ndjson)?;
    let mut rejects = Rejects { lines: Vec::new(), reasons: Vec::new() };
    for (number, line) in lines_of(body) {
        let object = object(&line, number)?;
        let malformed = |what| IntakeError::Malformed { format: Format::Ndjson, what, line: Some(number) };
        if !object.get("source").is_some_and(Value::is_object) {
            return Err(malformed("a rejected row needs an object `source`"));
        }
        let given = object.get("reasons").and_then(Value::as_array).filter(|reasons| !reasons.is_empty());
        let given = given.ok_or_else(|| malformed("a rejected row needs at least one reason"))?;
        let mut reasons: Vec<RowReason> = Vec::with_capacity(given.len().min(64));
        for reason in given.iter().take(64) {
            let code = reason.get("code").and_then(Value::as_str).and_then(|code| code.parse::<Reason>().ok());
            let code = code.ok_or_else(|| malformed("a reason's `code` is not in the closed list"))?;
            let field = reason.get("field").and_then(Value::as_str).and_then(|name| item.field(name));
            reasons.push(crate::judge::reason(code, field));
        }
        reasons.sort();
        reasons.dedup();
        rejects.reasons.push(reasons);
        rejects.lines.push(String::from_utf8_lossy(&line).into_owned());
        check_rows(rejects.lines.len(), limits)?;
    }
    Ok(rejects)
}

fn object(line: &Bytes, number: usize) -> Result<Map<String, Value>, IntakeError> {
    let refused = |what| IntakeError::Malformed { format: Format::Ndjson, what, line: Some(number) };
    let object: Object = serde_json::from_slice(line).map_err(|_| refused("a line is not one JSON object in UTF-8"))?;
    if object.repeats { Err(refused("a key stands twice in an object")) } else { Ok(object.cells) }
}

/// A JSON object, and whether a key stands in it twice, which [`Map`] alone does not tell.
struct Object {
    cells: Map<String, Value>,
    repeats: bool,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object, A::Error> {
                let mut object = Object { cells: Map::new(), repeats: false };
                while let Some((key, value)) = entries.next_entry()? {
                    object.repeats |= object.cells.insert(key, value).is_some();
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

/// Lines that are not blank, with their numbers from 1.
fn lines_of(body: &Bytes) -> impl Iterator<Item = (usize, Bytes)> {
    let mut rest = body.strip_prefix(BYTE_ORDER_MARK).map_or_else(|| body.clone(), |rest| body.slice_ref(rest));
    let mut number = 0;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let line = rest.split_to(end);
            number += 1;
            let text = line.trim_ascii();
            if !text.is_empty() {
                return Some((number, line.slice_ref(text)));
            }
        }
        None
    })
}
