//! Making one data file: rows in order, statistics and index entries taken on the way.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::interleave;
use arrow::compute::kernels::cmp::eq;
use chrono::NaiveDate;
use minqiao_core::Timestamp;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::LakeError;
use crate::files::{FileEncoder, upload};
use crate::index::{ColumnEntries, FileEntries};
use crate::layout::{BUCKET, INGEST_DATE, ItemLayout};
use crate::order::{OrderKey, VersionColumns, Versions};
use crate::snapshot::ItemTables;
use crate::table::{DataFile, Table};

/// Rows that are put in order at a time.
const CHUNK_ROWS: usize = 8192;

/// A file that is stored and not yet committed.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) file: DataFile,
    pub(crate) entries: FileEntries,
}

/// Which table a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Changes(NaiveDate),
    Current {
        bucket: u64,
        /// Version of `changes` that the rows are folded up to.
        folded: i64,
    },
}

impl Target {
    fn partition(self) -> (&'static str, String) {
        match self {
            Self::Changes(date) => (INGEST_DATE, date.to_string()),
            Self::Current { bucket, .. } => (BUCKET, bucket.to_string()),
        }
    }

    fn table(self, tables: &ItemTables) -> &Table {
        match self {
            Self::Changes(_) => &tables.changes,
            Self::Current { .. } => &tables.current,
        }
    }
}

/// Stores a file of batches of the whole sealed schema, in order-key order over all of them. `rows` runs on a blocking
/// thread.
pub(crate) async fn create_file<I, F>(
    tables: &Arc<ItemTables>,
    target: Target,
    now: Timestamp,
    sync: bool,
    rows: F,
) -> Result<NewFile, LakeError>
where
    I: Iterator<Item = Result<RecordBatch, LakeError>>,
    F: FnOnce() -> Result<I, LakeError> + Send + 'static,
{
    let (column, partition) = target.partition();
    // Names ascend with time, so that the point index, which begins its keys with them, grows at its end.
    let path = format!("{column}={partition}/{}.parquet", Uuid::now_v7());
    let table = target.table(tables);
    let directory = tables.directories.as_ref().map(|(changes, current)| match target {
        Target::Changes(_) => changes,
        Target::Current { .. } => current,
    });
    let durable = directory.filter(|_| sync).map(|directory| (directory.clone(), path.clone()));
    let (tx, rx) = mpsc::channel(2);
    let layout = Arc::clone(&tables.layout);
    table.begin_file(&path);
    let encoding = tokio::task::spawn_blocking(move || encode(&layout, rows()?, tx));
    let stored = upload(Arc::clone(table.store()), path.clone(), rx, durable).await;
    let encoded = encoding.await.map_err(|_| LakeError::Task).flatten();
    let (encoded, ()) = match (encoded, stored) {
        (Ok(encoded), Ok(())) => (encoded, ()),
        (Err(error), _) | (_, Err(error)) => {
            table.end_file(&path);
            return Err(error);
        }
    };
    let file = DataFile {
        path,
        bytes: encoded.bytes,
        rows: encoded.rows,
        deletes: encoded.deletes,
        received: encoded.received,
        partition,
        since: -1,
        folded: if let Target::Current { folded, .. } = target { folded } else { -1 },
        written_at: now.0,
    };
    Ok(NewFile { file, entries: encoded.entries })
}

#[derive(Debug)]
struct Encoded {
    bytes: u64,
    rows: u64,
    deletes: u64,
    received: (i64, i64),
    entries: FileEntries,
}

fn encode(
    layout: &ItemLayout,
    rows: impl Iterator<Item = Result<RecordBatch, LakeError>>,
    out: mpsc::Sender<bytes::Bytes>,
) -> Result<Encoded, LakeError> {
    let mut encoder = FileEncoder::new(&layout.schema, out)?;
    let mut encoded =
        Encoded { bytes: 0, rows: 0, deletes: 0, received: (i64::MAX, i64::MIN), entries: FileEntries::default() };
    encoded.entries.columns.resize_with(layout.indexed.len(), ColumnEntries::default);
    for batch in rows {
        let batch = batch?;
        encoder.write(&batch)?;
        let versions = Versions::of(&batch, VersionColumns::whole(layout))?;
        for row in 0..versions.len() {
            let received = versions.received_at(row);
            encoded.received = (encoded.received.0.min(received), encoded.received.1.max(received));
            encoded.deletes += u64::from(versions.is_delete(row));
        }
        for (entries, column) in encoded.entries.columns.iter_mut().zip(&layout.indexed) {
            if let Some(column) = batch.column(*column).as_fixed_size_binary_opt() {
                entries.extend(column);
            }
        }
        encoded.rows += batch.num_rows() as u64;
    }
    encoded.bytes = encoder.finish()?;
    Ok(encoded)
}

/// Rows of a micro-batch in order, chunk by chunk.
pub(crate) struct Sorted {
    batches: Vec<RecordBatch>,
    /// By column: a chunk's worth of the value that all rows share. They need no gathering.
    shared: Vec<Option<ArrayRef>>,
    rows: Vec<(OrderKey, u32, u32)>,
    next: usize,
}

impl Sorted {
    /// Blocking: sorts.
    pub(crate) fn new(layout: &ItemLayout, batches: Vec<RecordBatch>) -> Result<Self, LakeError> {
        let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
        for (index, batch) in batches.iter().enumerate() {
            let versions = Versions::of(batch, VersionColumns::whole(layout))?;
            let index = u32::try_from(index).map_err(|_| LakeError::Task)?;
            for row in 0..versions.len() {
                rows.push((versions.order_key(row), index, u32::try_from(row).map_err(|_| LakeError::Task)?));
            }
        }
        rows.sort_unstable();
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        let shared = (0..columns).map(|column| shared_value(&batches, column)).collect::<Result<_, _>>()?;
        Ok(Self { batches, shared, rows, next: 0 })
    }
}

/// A chunk of the one value of a text column, or of nulls, if there is no other in any batch.
fn shared_value(batches: &[RecordBatch], column: usize) -> Result<Option<ArrayRef>, LakeError> {
    let mut columns = batches.iter().map(|batch| batch.column(column)).filter(|values| !values.is_empty());
    let Some(first) = columns.next() else { return Ok(None) };
    if batches.iter().all(|batch| batch.column(column).null_count() == batch.num_rows()) {
        return Ok(Some(new_null_array(first.data_type(), CHUNK_ROWS)));
    }
    let Some(text) = first.as_string_opt::<i32>().filter(|text| text.is_valid(0)).map(|text| text.value(0)) else {
        return Ok(None);
    };
    let (value, repeated) = (StringArray::new_scalar(text), StringArray::new_repeated(text, CHUNK_ROWS));
    for batch in batches {
        let same = batch.column(column).as_string_opt::<i32>().is_some_and(|values| {
            // A look at the first rows spares most columns the comparison of all.
            let begins = values.iter().take(8).all(|one| one == Some(text));
            begins
                && values.null_count() == 0
                && eq(&values, &value).is_ok_and(|equal| equal.true_count() == values.len())
        });
        if !same {
            return Ok(None);
        }
    }
    Ok(Some(Arc::new(repeated)))
}

impl std::fmt::Debug for Sorted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sorted").field("rows", &self.rows.len()).finish()
    }
}

impl Iterator for Sorted {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = self.rows.len().min(self.next + CHUNK_ROWS);
        let chunk = &self.rows[self.next..end];
        if chunk.is_empty() {
            return None;
        }
        self.next = end;
        let indices: Vec<(usize, usize)> =
            chunk.iter().map(|(_, batch, row)| (*batch as usize, *row as usize)).collect();
        let schema = self.batches.first()?.schema();
        let columns = self.shared.iter().enumerate().map(|(column, shared)| match shared {
            Some(values) => Ok(values.slice(0, indices.len())),
            None => {
                let arrays: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
                interleave(&arrays, &indices)
            }
        });
        let columns = columns.collect::<Result<Vec<_>, _>>();
        Some(columns.and_then(|columns| RecordBatch::try_new(schema, columns)).map_err(LakeError::from))
    }
}

/// Parts a batch by the day its rows were received; almost always one part. Null counts as the epoch.
pub(crate) fn by_ingest_date(
    layout: &ItemLayout,
    batch: RecordBatch,
) -> Result<Vec<(NaiveDate, RecordBatch)>, LakeError> {
    let versions = Versions::of(&batch, VersionColumns::whole(layout))?;
    let day = |row: usize| Timestamp(versions.received_at(row).max(0)).date();
    let mut parts = Vec::new();
    let mut start = 0;
    for row in 1..=versions.len() {
        if row == versions.len() || versions.received_at(row) != versions.received_at(start) && day(row) != day(start) {
            parts.push((day(start), batch.slice(start, row - start)));
            start = row;
        }
    }
    Ok(parts)
}
