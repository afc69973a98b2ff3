//! Arrow IPC streams.
//!
//! The decoder works on the body's own memory (aligned columns are not copied). It must see the end-of-stream marker:
//! without that rule a connection cut between two batches would look like a complete body. Columns are compared with
//! the item's before the first batch is read, so dictionaries and other foreign types never allocate.
//!
//! The format allows bytes behind a null cell. Nobody judges them, so they are dropped here; otherwise a column that
//! travels as it came would carry them to the bus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Schema};
use arrow::ipc::convert::try_schema_from_ipc_buffer;
use arrow::ipc::reader::StreamDecoder;
use bytes::Bytes;
use minqiao_schemas::check::SchemaMismatch;
use minqiao_schemas::{Item, envelope};

use super::{Decoded, Format, Raw, check_rows, field_too_large};
use crate::IntakeError;
use crate::admission::echo;
use crate::options::IntakeLimits;

/// Continuation marker and a length of zero.
const END_OF_STREAM: [u8; 8] = [0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];

/// Decodes a stream. The reader below indexes by what the body says in places; should it ever panic over a forged body,
/// that is the body's fault and no defect to be alarmed by.
pub(super) fn decode(body: &Bytes, item: &Item, limits: &IntakeLimits) -> Result<Decoded, IntakeError> {
    catch_unwind(AssertUnwindSafe(|| read(body, item, limits))).unwrap_or_else(|_| Err(malformed("it is forged")))
}

fn malformed(what: &'static str) -> IntakeError {
    IntakeError::Malformed { format: Format::Arrow, what, line: None }
}

fn read(body: &Bytes, item: &Item, limits: &IntakeLimits) -> Result<Decoded, IntakeError> {
    if !body.ends_with(&END_OF_STREAM) {
        return Err(malformed("the stream is truncated, it has no end-of-stream marker"));
    }
    let mut rest = Buffer::from(body.clone());
    let mut decoder = StreamDecoder::new();
    let mut batches: Vec<RecordBatch> = Vec::new();
    // The schema is the first message: it is looked at before any data is decoded.
    let first = schema_message(body).ok_or_else(|| malformed("it does not begin with a schema"))?;
    check_schema(&try_schema_from_ipc_buffer(first).map_err(|_| malformed("its schema cannot be read"))?, item)?;
    let mut rows: usize = 0;
    while !rest.is_empty() {
        match decoder.decode(&mut rest) {
            Ok(Some(batch)) => {
                rows = rows.saturating_add(batch.num_rows());
                check_rows(rows, limits)?;
                batches.push(batch);
            }
            Ok(None) => break,
            Err(_) => return Err(malformed("a record batch cannot be read")),
        }
    }
    if !rest.is_empty() || decoder.finish().is_err() {
        return Err(malformed("there are bytes after the end of the stream, or it is truncated"));
    }
    let schema = decoder.schema().ok_or_else(|| malformed("it does not begin with a schema"))?;
    let batch = match <[RecordBatch; 1]>::try_from(batches) {
        Ok([single]) => single,
        Err(batches) => {
            concat_batches(&schema, &batches).map_err(|_| malformed("its record batches do not fit together"))?
        }
    };
    check_lengths(&batch, limits)?;
    let batch = without_hidden_text(batch)?;
    Ok(Decoded { batch, faults: Vec::new(), raw: Raw::Columns })
}

/// The first message of the stream: marker, length, metadata. A schema message has no body.
fn schema_message(stream: &[u8]) -> Option<&[u8]> {
    let at = if stream.starts_with(&END_OF_STREAM[..4]) { 4 } else { 0 };
    let length = stream.get(at..at + 4).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes)?;
    let end = at.checked_add(4)?.checked_add(usize::try_from(length).ok()?)?;
    stream.get(..end).filter(|_| length > 0)
}

/// Every column is the item's, once, with its type. The check repeats what [`minqiao_schemas::check::Checker`] does on
/// a batch, before there is one.
fn check_schema(schema: &Schema, item: &Item) -> Result<(), IntakeError> {
    for (at, field) in schema.fields().iter().enumerate() {
        let name = field.name().as_str();
        let provider = || envelope::SUBMISSION_COLUMNS.contains(&name).then(|| envelope::data_type(name)).flatten();
        let Some(expected) = item.field(name).map(|field| field.ty.arrow()).or_else(provider) else {
            return Err(SchemaMismatch::UnknownColumn { item: item.code.clone(), column: echo(name) }.into());
        };
        if schema.fields()[..at].iter().any(|earlier| earlier.name() == name) {
            return Err(SchemaMismatch::RepeatedColumn { item: item.code.clone(), column: name.to_owned() }.into());
        }
        if *field.data_type() != expected {
            return Err(SchemaMismatch::WrongType {
                item: item.code.clone(),
                column: name.to_owned(),
                found: type_name(field.data_type()),
                expected: expected.to_string(),
            }
            .into());
        }
    }
    Ok(())
}

/// A type as an error names it: nested types carry names of the caller's choice and are named by kind only.
fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Dictionary(_, _) => "Dictionary".to_owned(),
        DataType::Timestamp(unit, None) => format!("Timestamp({unit:?})"),
        DataType::Timestamp(unit, Some(_)) => format!("Timestamp({unit:?}, another zone)"),
        ty if ty.is_nested() => "a nested type".to_owned(),
        ty => ty.to_string(),
    }
}

/// The batch without the bytes of null cells.
fn without_hidden_text(batch: RecordBatch) -> Result<RecordBatch, IntakeError> {
    let hidden = |cells: &StringArray| {
        let null = |row: &usize| cells.is_null(*row);
        cells.null_count() > 0 && (0..cells.len()).filter(null).any(|row| cells.value_length(row) > 0)
    };
    if !batch.columns().iter().filter_map(|column| column.as_string_opt()).any(hidden) {
        return Ok(batch);
    }
    let columns = batch.columns().iter().map(|column| match column.as_string_opt::<i32>() {
        Some(cells) => Arc::new(cells.iter().collect::<StringArray>()) as ArrayRef,
        None => Arc::clone(column),
    });
    RecordBatch::try_new(batch.schema(), columns.collect())
        .map_err(|_| malformed("its record batches do not fit together"))
}

fn check_lengths(batch: &RecordBatch, limits: &IntakeLimits) -> Result<(), IntakeError> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if *field.data_type() != DataType::Utf8 {
            continue;
        }
        let offsets = column.as_string::<i32>().value_offsets();
        // The total bounds the longest: most columns are done here.
        let total = offsets.last().zip(offsets.first()).map_or(0, |(end, start)| (end - start).unsigned_abs() as usize);
        if total <= limits.field_bytes_max {
            continue;
        }
        for (row, pair) in offsets.windows(2).enumerate() {
            let length = (pair[1] - pair[0]).unsigned_abs() as usize;
            if length > limits.field_bytes_max {
                return Err(field_too_large(length, limits, row, field.name()));
            }
        }
    }
    Ok(())
}
