//! Upkeep in the background: folding, putting small files together, deleting files, rebuilding what can be rebuilt.
//!
//! A fold rewrites one bucket of `current` from its file and the tail and commits the version of `changes` it reached
//! in the same commit. Nothing is locked: readers keep the picture they have, writers append to `changes` meanwhile,
//! and a second compactor loses the commit by its application transaction. How often buckets are rewritten is chosen:
//! the tail must have grown to a share of what would be rewritten, the item must be quiet and small, or rows must have
//! waited, the longer the more there is to rewrite.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::LakeError;
use crate::create::{Target, create_file};
use crate::files::FilePlace;
use crate::index::{ColumnEntries, FileEntries, PointIndex, file_id};
use crate::lake::Lake;
use crate::layout::{ItemLayout, LeadRange, ROOT_BUCKET};
use crate::merge::{Keep, Merge, MergeSpec, file_mask};
use crate::provider::ScanContext;
use crate::snapshot::{ItemTables, Picture};
use crate::table::{Commit, DataFile};

/// Rows per step of a fold or compaction.
const STEP_ROWS: usize = 8192;
/// A merge reads at most this many files of `changes`: each costs the memory of a page of every column.
const FAN_IN: usize = 12;
/// A quiet item is folded at once when that rewrites at most this many rows …
const LITTLE_ROWS: u64 = 100_000;
/// … or when the tail has at least this share of them:
/// what is rewritten, and kept as old files for a while, is then at most ten times what came.
const WORTH_SHARE: f64 = 0.1;
/// Rows that waited `fold_age` are folded when that rewrites at most this many; with more they wait in proportion. A
/// department that sends a few rows every few seconds does not have a large item rewritten each time.
const AGED_ROWS: u64 = 1_000_000;
/// How often the tables are searched for files of crashed writers.
const ORPHANS_EVERY: Duration = Duration::from_secs(1800);
/// Name of the application transaction of compactions of `changes`.
const COMPACTION: &str = "compaction";

/// When items were last written, and when orphans were last looked for.
#[derive(Debug)]
pub(crate) struct Upkeep {
    touched: Mutex<HashMap<String, Duration>>,
    orphans_at: Mutex<Option<Duration>>,
    /// One fold or compaction at a time in this process: it is the readers' and writers' machine.
    busy: tokio::sync::Mutex<()>,
    /// Files that one fold makes at the same time.
    slots: tokio::sync::Semaphore,
}

impl Upkeep {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            touched: Mutex::default(),
            orphans_at: Mutex::default(),
            busy: tokio::sync::Mutex::default(),
            slots: tokio::sync::Semaphore::new(slots.max(1)),
        }
    }

    pub(crate) fn touched(&self, item: &str, now: Duration) {
        self.touched.lock().insert(item.to_owned(), now);
    }

    fn idle(&self, item: &str, now: Duration) -> Duration {
        self.touched.lock().get(item).map_or(Duration::MAX, |at| now.saturating_sub(*at))
    }
}

impl Lake {
    /// Folds, compacts and deletes where the options say so, until `cancel`. Failures are logged and tried again.
    pub async fn run_upkeep(&self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            for tables in self.items.values().filter(|tables| self.writes(&tables.layout.code)) {
                if cancel.is_cancelled() {
                    return;
                }
                if let Err(error) = self.maintain(tables).await {
                    let item = tables.layout.code.as_str();
                    match error {
                        LakeError::Conflict { .. } => tracing::info!(item, "another compactor was faster"),
                        error => tracing::warn!(item, error = &error as &dyn std::error::Error, "upkeep failed"),
                    }
                }
            }
            if let Err(error) = self.delete_orphans_when_due().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "searching orphans failed");
            }
            tokio::select! {
                () = tokio::time::sleep(self.options.maintain_every) => {}
                () = cancel.cancelled() => {}
            }
        }
    }

    /// Folds every item completely and puts small files together, whatever the options say.
    pub async fn compact_all(&self) -> Result<(), LakeError> {
        for item in self.items.keys() {
            self.compact(item).await?;
        }
        Ok(())
    }

    /// The same for one item.
    pub async fn compact(&self, item: &str) -> Result<(), LakeError> {
        let tables = self.tables(item)?;
        self.fold_narrow(tables).await?;
        while self.compact_changes(tables, 2, false).await? {}
        self.delete_retired(tables).await
    }

    /// Makes `current` of an item anew from `changes` alone.
    pub async fn rebuild(&self, item: &str) -> Result<(), LakeError> {
        let tables = self.tables(item)?;
        self.fold(tables, true).await?;
        self.delete_retired(tables).await
    }

    /// Makes the point index anew.
    pub async fn rebuild_index(&self) -> Result<(), LakeError> {
        let index = Arc::clone(&self.index);
        tokio::task::spawn_blocking(move || index.clear()).await.map_err(|_| LakeError::Task)??;
        self.catch_up_index().await
    }

    /// Adds live files that the index lacks and drops what is not live.
    pub(crate) async fn catch_up_index(&self) -> Result<(), LakeError> {
        for tables in self.items.values() {
            let picture = Picture::take(tables);
            let changes = picture.changes.files.values().cloned().map(|file| picture.place_changes(file));
            let current = picture.current.files.values().cloned().map(|file| picture.place_current(file));
            let places: Vec<FilePlace> = changes.chain(current).collect();
            let (index, scans, layout) = (Arc::clone(&self.index), Arc::clone(&self.scans), Arc::clone(&tables.layout));
            let catching_up = tokio::task::spawn_blocking(move || {
                let live: HashSet<_> = places.iter().filter_map(|place| file_id(&place.file.path)).collect();
                index.retain(layout.no, &live)?;
                add_missing(&index, &layout, &scans, &places)
            });
            catching_up.await.map_err(|_| LakeError::Task)??;
        }
        Ok(())
    }

    /// One look at one item.
    pub(crate) async fn maintain(&self, tables: &Arc<ItemTables>) -> Result<(), LakeError> {
        let picture = Picture::take(tables);
        let tail = picture.tail();
        let tail_rows: u64 = tail.iter().map(|file| file.rows).sum();
        let current_rows: u64 = picture.current.files.values().map(|file| file.rows).sum();
        let share = tail_rows as f64 / (current_rows.max(1)) as f64;
        let idle = self.upkeep.idle(&tables.layout.code, self.clock.monotonic()) >= self.options.fold_idle;
        let rows = tail_rows + current_rows;
        let worth = share >= WORTH_SHARE;
        // An item that never is quiet must not be merged while reading for ever.
        let oldest = tail.iter().map(|file| file.written_at).min().unwrap_or(i64::MAX);
        let age = self.clock.now().0.saturating_sub(oldest);
        let patience = self.options.fold_age.as_secs_f64() * (rows as f64 / AGED_ROWS as f64).max(1.0);
        let aged = age as f64 >= patience * 1000.0;
        let due = aged || (idle && (worth || rows <= LITTLE_ROWS));
        if tail_rows > 0 && due {
            self.fold_narrow(tables).await?;
        } else if tail.len() > self.options.tail_files_max {
            self.compact_changes(tables, self.options.small_files_min, true).await?;
        }
        if idle {
            self.compact_changes(tables, self.options.small_files_min, false).await?;
        }
        self.delete_retired(tables).await
    }

    /// Folds, after putting the tail's files together while there are too many to be merged at once.
    async fn fold_narrow(&self, tables: &Arc<ItemTables>) -> Result<(), LakeError> {
        while Picture::take(tables).tail().len() > FAN_IN && self.compact_changes(tables, 2, true).await? {}
        self.fold(tables, false).await
    }

    /// Brings every bucket up to the newest version of `changes`.
    async fn fold(&self, tables: &Arc<ItemTables>, from_scratch: bool) -> Result<(), LakeError> {
        let _busy = self.upkeep.busy.lock().await;
        let picture = Picture::take(tables);
        if picture.changes.version < 0 || (picture.tail().is_empty() && !from_scratch) {
            return Ok(());
        }
        let started = self.clock.monotonic();
        tables.current.ensure(&[]).await?;
        let mut buckets: BTreeMap<u64, Vec<Arc<DataFile>>> = BTreeMap::new();
        for file in picture.current.files.values() {
            let bucket = file.partition.parse().map_err(|_| LakeError::DamagedTable {
                table: tables.current.name.clone(),
                reason: "a bucket is not a number",
            })?;
            buckets.entry(bucket).or_default().push(Arc::clone(file));
        }
        if from_scratch {
            let all = std::mem::take(&mut buckets).into_values().flatten().collect();
            self.fold_bucket(&picture, ROOT_BUCKET, all, true).await?;
        } else {
            let whole = || BTreeMap::from([(ROOT_BUCKET, Vec::new())]);
            let buckets = if buckets.is_empty() { whole() } else { buckets };
            futures::stream::iter(buckets)
                .map(|(bucket, files)| self.fold_bucket(&picture, bucket, files, false))
                .buffer_unordered(self.options.encoders.max(1))
                .try_collect::<Vec<()>>()
                .await?;
        }
        let elapsed = self.clock.monotonic().saturating_sub(started);
        self.metrics.compaction_seconds.with_label_values(&["fold"]).observe(elapsed.as_secs_f64());
        self.show_files(tables);
        Ok(())
    }

    /// Rewrites a bucket, in children when it has grown too large.
    async fn fold_bucket(
        &self,
        picture: &Picture,
        bucket: u64,
        files: Vec<Arc<DataFile>>,
        from_scratch: bool,
    ) -> Result<(), LakeError> {
        let tables = &picture.tables;
        let folded = if from_scratch { -1 } else { files.iter().map(|file| file.folded).min().unwrap_or(-1) };
        let tail: Vec<_> = picture.changes.files.values().filter(|file| file.since > folded).cloned().collect();
        if tail.is_empty() {
            return Ok(());
        }
        let depth = 63 - bucket.leading_zeros();
        let of_tail = tail.iter().map(|file| file.rows).sum::<u64>() >> depth;
        let of_bucket: u64 = if from_scratch { 0 } else { files.iter().map(|file| file.rows).sum() };
        let mut children = vec![bucket];
        while (of_bucket + of_tail) / (children.len() as u64) > self.options.bucket_rows_max && children.len() < 1 << 12
        {
            children = children.into_iter().flat_map(|child| [2 * child, 2 * child + 1]).collect();
        }
        let kept = files.iter().filter(|_| !from_scratch).cloned().map(|file| picture.place_current(file));
        let sources: Vec<FilePlace> = kept.chain(tail.into_iter().map(|file| picture.place_changes(file))).collect();
        let target = picture.changes.version;
        let mut transactions = Vec::new();
        for child in &children {
            let id = format!("fold/{child}");
            transactions.push((id.clone(), tables.current.transaction(&id).await?, target));
        }
        let made: Vec<Vec<DataFile>> = futures::stream::iter(children)
            .map(|bucket| {
                let place = Target::Current { bucket, folded: target };
                self.merge_into(tables, place, LeadRange::of_bucket(bucket), Keep::Greatest, sources.clone())
            })
            .buffer_unordered(self.options.encoders.max(1))
            .try_collect()
            .await?;
        self.commit_made(&tables.current, made.concat(), files, transactions, true).await
    }

    /// Puts small files of one day together: of the tail, or of what is folded. Answers true when it did.
    async fn compact_changes(&self, tables: &Arc<ItemTables>, files_min: usize, tail: bool) -> Result<bool, LakeError> {
        let _busy = self.upkeep.busy.lock().await;
        let picture = Picture::take(tables);
        let folded = picture.folded();
        let mut days: BTreeMap<&str, Vec<&Arc<DataFile>>> = BTreeMap::new();
        for file in picture.changes.files.values() {
            if file.bytes < self.options.small_file_bytes && (file.since > folded) == tail {
                days.entry(&file.partition).or_default().push(file);
            }
        }
        let Some((day, mut files)) = days.into_iter().find(|(_, files)| files.len() >= files_min.max(2)) else {
            return Ok(false);
        };
        files.sort_by_key(|file| file.bytes);
        files.truncate(FAN_IN);
        let date: NaiveDate = day.parse().map_err(|_| LakeError::DamagedTable {
            table: tables.changes.name.clone(),
            reason: "an ingest date is not a date",
        })?;
        let started = self.clock.monotonic();
        let removed: Vec<Arc<DataFile>> = files.into_iter().cloned().collect();
        let sources = removed.iter().cloned().map(|file| picture.place_changes(file)).collect();
        let made = self.merge_into(tables, Target::Changes(date), LeadRange::ALL, Keep::All, sources).await?;
        let transaction =
            (COMPACTION.to_owned(), tables.changes.transaction(COMPACTION).await?, picture.changes.version);
        self.commit_made(&tables.changes, made, removed, vec![transaction], false).await?;
        let elapsed = self.clock.monotonic().saturating_sub(started);
        self.metrics.compaction_seconds.with_label_values(&["changes"]).observe(elapsed.as_secs_f64());
        self.show_files(tables);
        Ok(true)
    }

    async fn merge_into(
        &self,
        tables: &Arc<ItemTables>,
        target: Target,
        range: LeadRange,
        keep: Keep,
        sources: Vec<FilePlace>,
    ) -> Result<Vec<DataFile>, LakeError> {
        let spec = MergeSpec {
            layout: Arc::clone(&tables.layout),
            columns: (0..tables.layout.schema.fields().len()).collect(),
            range,
            keep,
            received_max: None,
            batch_rows: STEP_ROWS,
        };
        let _slot = self.upkeep.slots.acquire().await.map_err(|_| LakeError::Task)?;
        let scans = Arc::clone(&self.scans);
        let rows = move || Merge::of_files(spec, &sources, &scans.opener);
        let new = create_file(tables, target, self.clock.now(), self.options.sync, rows).await?;
        // Indexed before it is visible, so that no lookup need search it, and at once, so that a fold into many files
        // does not hold the entries of all.
        self.index_files(tables, vec![new]).await
    }

    async fn commit_made(
        &self,
        table: &crate::table::Table,
        added: Vec<DataFile>,
        removed: Vec<Arc<DataFile>>,
        transactions: Vec<(String, Option<i64>, i64)>,
        data_change: bool,
    ) -> Result<(), LakeError> {
        let commit = Commit { added, removed, transactions, data_change, now: self.clock.now().0 };
        let outcome = table.commit(&commit).await;
        if !matches!(outcome, Err(LakeError::Log { .. } | LakeError::Store(_))) {
            commit.added.iter().for_each(|file| table.end_file(&file.path));
        }
        outcome.map(|_| ())
    }

    async fn delete_retired(&self, tables: &Arc<ItemTables>) -> Result<(), LakeError> {
        let now = self.clock.monotonic();
        for table in [&tables.changes, &tables.current] {
            let deleted = table.delete_retired(now, self.options.retention).await?;
            self.metrics.deleted_files.inc_by(deleted.len() as u64);
            if deleted.is_empty() {
                continue;
            }
            let (index, item) = (Arc::clone(&self.index), tables.layout.no);
            let dropping = tokio::task::spawn_blocking(move || {
                deleted.iter().filter_map(|path| file_id(path)).try_for_each(|file| index.remove(item, &file))
            });
            dropping.await.map_err(|_| LakeError::Task)??;
        }
        Ok(())
    }

    async fn delete_orphans_when_due(&self) -> Result<(), LakeError> {
        let now = self.clock.monotonic();
        {
            let mut at = self.upkeep.orphans_at.lock();
            // What the log stopped naming before this process began is unknown to it, and another one may still read it:
            // where several share the lake the first search comes when nobody does any more.
            let begun = at.is_some() || !self.is_shared();
            if !begun || at.is_some_and(|at| now.saturating_sub(at) < ORPHANS_EVERY) {
                at.get_or_insert(now);
                return Ok(());
            }
            *at = Some(now);
        }
        self.delete_orphans().await.map(|_| ())
    }

    /// Deletes data files that no commit has named for long: what crashes left. Answers how many.
    pub async fn delete_orphans(&self) -> Result<usize, LakeError> {
        // A process that is alone knows its own files: all others are of processes that died.
        let age = if self.is_shared() { self.options.orphan_age } else { self.options.retention };
        let mut deleted = 0;
        for tables in self.items.values().filter(|tables| self.writes(&tables.layout.code)) {
            for table in [&tables.changes, &tables.current] {
                deleted += table.delete_orphans(age).await?;
                table.clean_log(chrono::Utc::now() - self.options.log_retention).await?;
            }
        }
        self.metrics.deleted_files.inc_by(deleted as u64);
        Ok(deleted)
    }
}

/// Adds files that the index lacks. Blocking.
pub(crate) fn add_missing(
    index: &PointIndex,
    layout: &ItemLayout,
    scans: &ScanContext,
    places: &[FilePlace],
) -> Result<(), LakeError> {
    for place in places {
        let Some(file) = file_id(&place.file.path) else { continue };
        if !index.has(layout, &file)? {
            index.add(layout, file, read_entries(layout, &scans.opener, place)?)?;
        }
    }
    Ok(())
}

/// Reads the indexed columns of a file. Blocking.
fn read_entries(
    layout: &crate::layout::ItemLayout,
    opener: &crate::files::FileOpener,
    place: &FilePlace,
) -> Result<FileEntries, LakeError> {
    use arrow::array::AsArray;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    let reader = opener.open(place)?;
    let footer = opener.footer(place, &reader)?;
    let mask = file_mask(layout, &footer, &layout.indexed);
    let mut entries = FileEntries::default();
    entries.columns.resize_with(layout.indexed.len(), ColumnEntries::default);
    for batch in ParquetRecordBatchReaderBuilder::new_with_metadata(reader, footer).with_projection(mask).build()? {
        let batch = batch?;
        for (column, entries) in layout.indexed.iter().zip(&mut entries.columns) {
            let name = layout.schema.field(*column).name();
            if let Some(values) = batch.column_by_name(name).and_then(|values| values.as_fixed_size_binary_opt()) {
                entries.extend(values);
            }
        }
    }
    Ok(entries)
}
