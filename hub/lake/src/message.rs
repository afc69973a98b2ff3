//! From a message of the bus to rows in the item's schema: for the writer, and for feeds, which read the log themselves.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamDecoder;
use minqiao_bus::{Headers, Record};
use minqiao_schemas::envelope;

use crate::layout::{ItemLayout, conform};
use crate::{Lake, LakeError};

impl Lake {
    /// The sealed rows of a message of `item`'s topic, as the writer takes them.
    pub fn open_message(&self, item: &str, partition: u32, record: &Record) -> Result<Vec<RecordBatch>, LakeError> {
        decode(&self.tables(item)?.layout, record).map_err(|reason| LakeError::DamagedMessage {
            topic: minqiao_bus::api::topic_of(item),
            partition,
            offset: record.offset,
            reason,
        })
    }
}

/// Reads a message without copying it. A column that a later catalogue added is null in older messages.
pub(crate) fn decode(layout: &ItemLayout, record: &Record) -> Result<Vec<RecordBatch>, &'static str> {
    if record.headers.item != layout.code {
        return Err("it belongs to another item");
    }
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(record.payload.clone());
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        match decoder.decode(&mut buffer) {
            Ok(Some(batch)) => batches.push(checked(layout, &record.headers, &batch)?),
            Ok(None) => {}
            Err(_) => return Err("it is not an Arrow stream"),
        }
    }
    decoder.finish().map_err(|_| "its Arrow stream is cut off")?;
    Ok(batches)
}

/// The batch with every column of the item; what the headers say stands in every row.
fn checked(layout: &ItemLayout, headers: &Headers, batch: &RecordBatch) -> Result<RecordBatch, &'static str> {
    let (mut fields, mut columns) = (batch.schema().fields().to_vec(), batch.columns().to_vec());
    if fields.iter().any(|field| layout.schema.index_of(field.name()).is_err()) {
        return Err("it has a column that the item does not have");
    }
    let values = [&headers.item, &headers.catalogue_version, &headers.provider, &headers.batch_id];
    for (name, value) in envelope::BATCH_COLUMNS.iter().zip(values) {
        if batch.column_by_name(name).is_none() && layout.schema.index_of(name).is_ok() {
            fields.push(Arc::new(Field::new(*name, DataType::Utf8, true)));
            columns.push(Arc::new(StringArray::new_repeated(value.as_str(), batch.num_rows())));
        }
    }
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|_| "its columns do not fit")?;
    conform(&layout.schema, &batch)
}
