//! Merging sorted files: the heart of reads, folds and compactions.
//!
//! Every file is sorted by order key and all versions of a natural key have one order key, so a k-way merge sees them
//! side by side and needs memory for one batch per file, however large the item. [`Merge`] either keeps the greatest
//! version of each key (a fold) or every row (a compaction of `changes`). Runs of one file between two keys of the
//! others pass without a heap operation, and an output that is one run of one batch is a slice, not a copy: with a
//! small tail most rows are never touched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use crate::LakeError;
use crate::files::{FileOpener, FilePlace, FileReader};
use crate::layout::{ItemLayout, LeadRange, conform, project};
use crate::order::{OrderKey, VersionColumns, Versions};

/// Rows of all files together that a merge holds at a time.
const HELD_ROWS: usize = 64 * 1024;

/// Which rows a merge answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The greatest version of each key; keys whose greatest version is a delete are left out.
    Current,
    /// The greatest version of each key, deletes too: what `current` stores.
    Greatest,
    /// Every row.
    All,
}

/// What to read.
#[derive(Debug, Clone)]
pub(crate) struct MergeSpec {
    pub(crate) layout: Arc<ItemLayout>,
    /// Columns of the sealed schema to answer, in this order.
    pub(crate) columns: Vec<usize>,
    pub(crate) range: LeadRange,
    pub(crate) keep: Keep,
    /// Only rows received at this moment or before, milliseconds.
    pub(crate) received_max: Option<i64>,
    /// Rows of an output batch.
    pub(crate) batch_rows: usize,
}

/// An iterator of batches in order-key order. Blocking.
pub(crate) struct Merge {
    spec: MergeSpec,
    /// Positions of the answered columns in what is read.
    output: Vec<usize>,
    schema: SchemaRef,
    /// Schema of what is read.
    read: SchemaRef,
    at: VersionColumns,
    sources: Vec<Source>,
    heap: BinaryHeap<Reverse<(OrderKey, usize)>>,
    /// Batches that rows of the next output lie in.
    held: Vec<Arc<Loaded>>,
    rows: Vec<(usize, usize)>,
    /// The greatest version so far of the key at hand.
    best: Option<Best>,
}

struct Best {
    key: OrderKey,
    batch: Arc<Loaded>,
    row: usize,
}

/// A batch with its version columns and its order keys.
struct Loaded {
    batch: RecordBatch,
    versions: Versions,
    keys: Vec<OrderKey>,
}

struct Source {
    reader: BatchReader,
    batch: Arc<Loaded>,
    row: usize,
}

enum BatchReader {
    File(Box<ParquetRecordBatchReader>),
    Memory(std::vec::IntoIter<RecordBatch>),
}

impl std::fmt::Debug for Merge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Merge").field("item", &self.spec.layout.code).field("sources", &self.sources.len()).finish()
    }
}

impl Merge {
    /// Opens the files.
    pub(crate) fn of_files(spec: MergeSpec, files: &[FilePlace], opener: &FileOpener) -> Result<Self, LakeError> {
        let read = read_columns(&spec);
        // Many files share the memory of eight.
        let batch_rows = spec.batch_rows.min((HELD_ROWS / files.len().max(1)).max(256));
        let mut readers = Vec::with_capacity(files.len());
        for place in files {
            let reader = opener.open(place)?;
            let footer = opener.footer(place, &reader)?;
            if let Some(reader) = open_range(&spec, &read, reader, footer, batch_rows)? {
                readers.push(BatchReader::File(Box::new(reader)));
            }
        }
        Self::new(spec, &read, readers)
    }

    /// Merges batches in memory, each sorted by order key, all of the whole sealed schema.
    pub(crate) fn of_batches(spec: MergeSpec, batches: Vec<Vec<RecordBatch>>) -> Result<Self, LakeError> {
        let read: Vec<usize> = (0..spec.layout.schema.fields().len()).collect();
        let readers = batches.into_iter().map(|batches| BatchReader::Memory(batches.into_iter())).collect();
        Self::new(spec, &read, readers)
    }

    fn new(spec: MergeSpec, read: &[usize], readers: Vec<BatchReader>) -> Result<Self, LakeError> {
        let at = VersionColumns::within(&spec.layout, read).ok_or(LakeError::DamagedTable {
            table: spec.layout.code.clone(),
            reason: "a version column is missing",
        })?;
        let output = spec.columns.iter().filter_map(|column| read.iter().position(|c| c == column)).collect();
        let schema = project(&spec.layout.schema, &spec.columns);
        let mut merge = Self {
            read: project(&spec.layout.schema, read),
            output,
            schema,
            at,
            sources: Vec::new(),
            heap: BinaryHeap::new(),
            held: Vec::new(),
            rows: Vec::new(),
            best: None,
            spec,
        };
        for mut reader in readers {
            if let Some(batch) = merge.load(&mut reader)? {
                let index = merge.sources.len();
                merge.heap.push(Reverse((batch.keys[0], index)));
                merge.sources.push(Source { reader, batch, row: 0 });
            }
        }
        Ok(merge)
    }

    /// The next batch that has rows in range; rows outside are cut off at both ends.
    fn load(&self, reader: &mut BatchReader) -> Result<Option<Arc<Loaded>>, LakeError> {
        loop {
            let next = match reader {
                BatchReader::File(reader) => reader.next().transpose()?,
                BatchReader::Memory(batches) => batches.next(),
            };
            let Some(batch) = next else { return Ok(None) };
            let mut batch = conform(&self.read, &batch)
                .map_err(|reason| LakeError::DamagedTable { table: self.spec.layout.code.clone(), reason })?;
            let mut versions = Versions::of(&batch, self.at)?;
            let mut keys: Vec<OrderKey> = (0..versions.len()).map(|row| versions.order_key(row)).collect();
            debug_assert!(keys.is_sorted(), "LAKE-4: files are sorted by order key");
            if !self.spec.range.is_all() {
                let start = keys.partition_point(|key| key.lead < self.spec.range.first);
                let end = keys.partition_point(|key| key.lead <= self.spec.range.last);
                if start > 0 || end < keys.len() {
                    batch = batch.slice(start, end - start);
                    keys = keys[start..end].to_vec();
                    versions = Versions::of(&batch, self.at)?;
                }
            }
            if !keys.is_empty() {
                return Ok(Some(Arc::new(Loaded { batch, versions, keys })));
            }
        }
    }

    /// Fills `rows` until a batch is full or everything was read. Answers false at the end.
    fn advance(&mut self) -> Result<bool, LakeError> {
        while self.rows.len() < self.spec.batch_rows {
            let Some(Reverse((_, index))) = self.heap.pop() else {
                self.settle();
                return Ok(false);
            };
            let limit = self.heap.peek().map(|Reverse((key, _))| *key);
            self.take_run(index, limit);
            let source = &mut self.sources[index];
            if source.row >= source.batch.keys.len() {
                let mut reader = std::mem::replace(&mut source.reader, BatchReader::Memory(Vec::new().into_iter()));
                match self.load(&mut reader)? {
                    Some(batch) => {
                        let source = &mut self.sources[index];
                        (source.reader, source.batch, source.row) = (reader, batch, 0);
                    }
                    None => continue,
                }
            }
            let source = &self.sources[index];
            self.heap.push(Reverse((source.batch.keys[source.row], index)));
        }
        Ok(true)
    }

    /// Takes rows of one source until another source's key is due.
    fn take_run(&mut self, index: usize, limit: Option<OrderKey>) {
        let batch = Arc::clone(&self.sources[index].batch);
        let mut row = self.sources[index].row;
        while row < batch.keys.len() && self.rows.len() < self.spec.batch_rows {
            let key = batch.keys[row];
            if limit.is_some_and(|limit| key > limit) {
                break;
            }
            if self.spec.received_max.is_none_or(|max| batch.versions.received_at(row) <= max) {
                self.offer(key, &batch, row);
            }
            row += 1;
        }
        self.sources[index].row = row;
    }

    fn offer(&mut self, key: OrderKey, batch: &Arc<Loaded>, row: usize) {
        if self.spec.keep == Keep::All {
            self.emit(batch, row);
            return;
        }
        match &mut self.best {
            Some(best) if best.key == key => {
                if batch.versions.cmp(row, &best.batch.versions, best.row).is_gt() {
                    (best.batch, best.row) = (Arc::clone(batch), row);
                }
            }
            _ => {
                self.settle();
                self.best = Some(Best { key, batch: Arc::clone(batch), row });
            }
        }
    }

    /// Puts out the winner of the key at hand.
    fn settle(&mut self) {
        if let Some(best) = self.best.take()
            && !(self.spec.keep == Keep::Current && best.batch.versions.is_delete(best.row))
        {
            self.emit(&best.batch, best.row);
        }
    }

    fn emit(&mut self, batch: &Arc<Loaded>, row: usize) {
        let held = match self.held.iter().rposition(|held| Arc::ptr_eq(held, batch)) {
            Some(held) => held,
            None => {
                self.held.push(Arc::clone(batch));
                self.held.len() - 1
            }
        };
        self.rows.push((held, row));
    }

    /// Makes the output batch of `rows`.
    fn build(&mut self) -> Result<RecordBatch, LakeError> {
        let rows = std::mem::take(&mut self.rows);
        let held = std::mem::take(&mut self.held);
        if self.output.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            return Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), Vec::new(), &options)?);
        }
        let (first, last) = (rows[0], rows[rows.len() - 1]);
        let one_run = first.0 == last.0
            && last.1 - first.1 + 1 == rows.len()
            && rows.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1);
        if one_run {
            let batch = held[first.0].batch.project(&self.output)?;
            return Ok(batch.slice(first.1, rows.len()));
        }
        let batches = held.iter().map(|held| held.batch.project(&self.output)).collect::<Result<Vec<_>, _>>()?;
        Ok(interleave_record_batch(&batches.iter().collect::<Vec<_>>(), &rows)?)
    }
}

impl Iterator for Merge {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(_) if self.rows.is_empty() => None,
            Ok(_) => Some(self.build()),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The answered columns and the version columns, ascending.
fn read_columns(spec: &MergeSpec) -> Vec<usize> {
    let mut columns: Vec<usize> = spec.columns.iter().copied().chain(spec.layout.version_columns()).collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Opens the part of a file that may hold leads of the range; `None` when there is none.
fn open_range(
    spec: &MergeSpec,
    read: &[usize],
    reader: FileReader,
    footer: ArrowReaderMetadata,
    batch_rows: usize,
) -> Result<Option<ParquetRecordBatchReader>, LakeError> {
    let layout = &spec.layout;
    let mask = file_mask(layout, &footer, read);
    let selection = (!spec.range.is_all()).then(|| select_range(layout, &footer, spec.range)).flatten();
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer)
        .with_batch_size(batch_rows)
        .with_projection(mask);
    if let Some(selection) = selection {
        if !selection.selects_any() {
            return Ok(None);
        }
        builder = builder.with_row_selection(selection);
    }
    Ok(Some(builder.build()?))
}

/// Columns of a file by name; a file written before a column existed does not have it.
pub(crate) fn file_mask(layout: &ItemLayout, footer: &ArrowReaderMetadata, columns: &[usize]) -> ProjectionMask {
    let names = columns.iter().map(|column| layout.schema.field(*column).name());
    ProjectionMask::roots(footer.parquet_schema(), names.filter_map(|name| footer.schema().index_of(name).ok()))
}

/// Rows of the pages whose leads may lie in the range.
fn select_range(layout: &ItemLayout, footer: &ArrowReaderMetadata, range: LeadRange) -> Option<RowSelection> {
    let metadata = footer.metadata();
    let mut selectors = Vec::new();
    let lead = footer.schema().index_of(layout.schema.field(layout.lead).name()).ok()?;
    for group in 0..metadata.num_row_groups() {
        let rows = usize::try_from(metadata.row_group(group).num_rows()).ok()?;
        let ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) = &metadata.column_index()?.get(group)?.get(lead)? else {
            return None;
        };
        let pages = metadata.offset_index()?.get(group)?.get(lead)?.page_locations();
        for (page, location) in pages.iter().enumerate() {
            let first = usize::try_from(location.first_row_index).ok()?;
            let next = pages.get(page + 1).and_then(|next| usize::try_from(next.first_row_index).ok()).unwrap_or(rows);
            let bound = |bytes: Option<&[u8]>| bytes.and_then(|b| b.try_into().ok()).map_or(0, u128::from_be_bytes);
            let nulls = index.null_count(page).is_none_or(|nulls| nulls > 0);
            let least = if nulls { 0 } else { bound(index.min_value(page)) };
            let greatest = bound(index.max_value(page));
            let outside = greatest < range.first || least > range.last;
            let count = next.saturating_sub(first);
            selectors.push(if outside { RowSelector::skip(count) } else { RowSelector::select(count) });
        }
    }
    Some(RowSelection::from(selectors))
}
