//! From a sealed batch to messages on the bus: split by partition, cut to size, append.
//!
//! The partition is the first byte of the subject's token modulo the number of partitions, so one person's records keep
//! their order; a row without a subject takes the record key instead. Rows keep their order within a message and
//! messages theirs within a partition. What is the same in all rows of a batch travels in the headers only.

use arrow::array::{Array, AsArray, FixedSizeBinaryArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use minqiao_bus::{Headers, Message, Span};
use minqiao_core::BatchEnvelope;
use minqiao_schemas::{Item, envelope};

use crate::IntakeError;

/// Messages for one partition.
pub type ForPartition = (u32, Vec<Message>);

/// How rows become messages.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Of the topic.
    pub partitions: u32,
    /// What the messages are appended in.
    pub epoch: u64,
    /// Largest payload.
    pub bytes_max: usize,
}

/// Encodes the rows of `sealed` at `rows` (ascending) as messages. `origin[i]` is the row of the batch as it was sent
/// that became row `i` of `sealed`; spans speak of those.
pub fn messages(
    item: &Item,
    sealed: &RecordBatch,
    rows: &[u32],
    origin: &[u32],
    envelope: &BatchEnvelope,
    cut: Cut,
) -> Result<Vec<ForPartition>, IntakeError> {
    let Cut { partitions, bytes_max, .. } = cut;
    let subjects =
        sealed.column_by_name(&item.subject_field().token_column()).and_then(|c| c.as_fixed_size_binary_opt());
    let keys = sealed.column_by_name(envelope::KEY).and_then(|c| c.as_fixed_size_binary_opt());
    let (Some(subjects), Some(keys)) = (subjects, keys) else {
        return Err(IntakeError::Known { what: "a sealed batch lacks its tokens", source: None });
    };
    let mut split: Vec<Vec<u32>> = vec![Vec::new(); partitions as usize];
    for row in rows {
        split[partition_of(subjects, keys, *row as usize, partitions)].push(*row);
    }
    let sealed = &without_batch_columns(sealed)?;
    let row_bytes = (sealed.get_array_memory_size() / sealed.num_rows().max(1)).max(1);
    // A little below the limit: schema, padding and rows above the average.
    let rows_per_message = (bytes_max * 4 / 5 / row_bytes).max(1);
    let mut out = Vec::new();
    for (partition, rows) in (0..partitions).zip(&split) {
        let mut messages = Vec::new();
        for chunk in rows.chunks(rows_per_message) {
            encode(item, sealed, chunk, origin, envelope, cut, &mut messages)?;
        }
        if !messages.is_empty() {
            out.push((partition, messages));
        }
    }
    Ok(out)
}

fn without_batch_columns(sealed: &RecordBatch) -> Result<RecordBatch, IntakeError> {
    let schema = sealed.schema_ref();
    let of_rows = |name: &str| !envelope::BATCH_COLUMNS.contains(&name);
    let kept: Vec<usize> =
        schema.fields().iter().enumerate().filter(|(_, f)| of_rows(f.name())).map(|(at, _)| at).collect();
    sealed.project(&kept).map_err(failed)
}

fn partition_of(subjects: &FixedSizeBinaryArray, keys: &FixedSizeBinaryArray, row: usize, partitions: u32) -> usize {
    let token = if subjects.is_valid(row) { subjects.value(row) } else { keys.value(row) };
    (u32::from(token[0]) % partitions) as usize
}

/// Encodes rows as one message, or as two halves when it comes out too large.
fn encode(
    item: &Item,
    sealed: &RecordBatch,
    rows: &[u32],
    origin: &[u32],
    envelope: &BatchEnvelope,
    cut: Cut,
    out: &mut Vec<Message>,
) -> Result<(), IntakeError> {
    let all = rows.len() == sealed.num_rows();
    let taken = if all {
        sealed.clone()
    } else {
        take_record_batch(sealed, &UInt32Array::from(rows.to_vec())).map_err(failed)?
    };
    let payload = to_ipc(&taken)?;
    if payload.len() > cut.bytes_max && rows.len() > 1 {
        let (left, right) = rows.split_at(rows.len() / 2);
        encode(item, sealed, left, origin, envelope, cut, out)?;
        return encode(item, sealed, right, origin, envelope, cut, out);
    }
    let first = rows.first().and_then(|row| origin.get(*row as usize)).copied().unwrap_or_default();
    let span = Span { first_row: first, rows: u32::try_from(rows.len()).unwrap_or(u32::MAX) };
    let headers = Headers {
        item: item.code.clone(),
        catalogue_version: item.catalogue_version.clone(),
        batch_id: envelope.batch_id.to_string(),
        provider: envelope.provider.to_string(),
        span,
        epoch: cut.epoch,
    };
    out.push(Message { headers, payload });
    Ok(())
}

/// A batch as one Arrow IPC stream.
pub(crate) fn to_ipc(batch: &RecordBatch) -> Result<Bytes, IntakeError> {
    let mut out = Vec::with_capacity(batch.get_array_memory_size() + 16_384);
    let mut writer = StreamWriter::try_new(&mut out, batch.schema_ref()).map_err(failed)?;
    writer.write(batch).and_then(|()| writer.finish()).map_err(failed)?;
    drop(writer);
    Ok(out.into())
}

fn failed(error: arrow::error::ArrowError) -> IntakeError {
    IntakeError::Vault(error.into())
}
