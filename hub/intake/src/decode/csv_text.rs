//! CSV: UTF-8, comma, RFC 4180 quotation, first line = canonical names. An empty cell is null.

use bytes::Bytes;
use chrono::NaiveDate;
use csv::{ReaderBuilder, StringRecord};
use minqiao_schemas::Item;
use minqiao_schemas::check::SchemaMismatch;

use super::table::Table;
use super::{BYTE_ORDER_MARK, Decoded, Format, Raw, check_rows, field_too_large};
use crate::IntakeError;
use crate::options::IntakeLimits;

pub(super) fn decode(
    body: &Bytes,
    item: &Item,
    limits: &IntakeLimits,
    today: NaiveDate,
) -> Result<Decoded, IntakeError> {
    let bytes = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    let mut reader = ReaderBuilder::new().has_headers(true).flexible(false).from_reader(bytes);
    let header: Vec<String> = reader.headers().map_err(refused)?.iter().map(|name| name.trim().to_owned()).collect();
    let mut table = Table::new(item, today);
    let mut columns = Vec::with_capacity(header.len());
    for name in &header {
        let column = table.column(name)?;
        if columns.contains(&column) {
            return Err(SchemaMismatch::RepeatedColumn { item: item.code.clone(), column: name.clone() }.into());
        }
        columns.push(column);
    }
    let mut records: Vec<StringRecord> = Vec::new();
    for record in reader.records() {
        let record = record.map_err(refused)?;
        let row = records.len();
        check_rows(row + 1, limits)?;
        for (column, (cell, name)) in columns.iter().zip(record.iter().zip(&header)) {
            if cell.len() > limits.field_bytes_max {
                return Err(field_too_large(cell.len(), limits, row, name));
            }
            // The columns of the header differ, so no cell is set twice.
            table.set(*column, cell).ok();
        }
        table.end_row();
        records.push(record);
    }
    let (batch, faults) = table.finish().map_err(|error| IntakeError::Vault(error.into()))?;
    Ok(Decoded { batch, faults, raw: Raw::Records { header, records } })
}

/// The parser's own messages hold no cells, but its causes might: only the kind and the line go on.
fn refused(error: csv::Error) -> IntakeError {
    let line = error.position().and_then(|position| usize::try_from(position.line()).ok());
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8",
        csv::ErrorKind::UnequalLengths { .. } => "a line has another number of cells than the header",
        _ => "it breaks the rules of CSV",
    };
    IntakeError::Malformed { format: Format::Csv, what, line }
}
