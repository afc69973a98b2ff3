//! From a micro-batch to a commit: the rows and the positions after them, or nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::NaiveDate;
use futures::{StreamExt, TryStreamExt};
use minqiao_bus::{Fence, TopicInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::lane::{MicroBatch, Taken};
use super::{RETRY_MAX, RETRY_MIN};
use crate::LakeError;
use crate::create::{NewFile, Sorted, Target, by_ingest_date, create_file};
use crate::index::file_id;
use crate::lake::Lake;
use crate::snapshot::ItemTables;
use crate::table::{Commit, DataFile};

/// Encodes and commits the micro-batches of one item.
pub(super) struct Committer {
    pub(super) lake: Arc<Lake>,
    pub(super) tables: Arc<ItemTables>,
    pub(super) topic: TopicInfo,
    pub(super) encoders: Arc<Semaphore>,
    pub(super) cancel: CancellationToken,
}

/// Files of a micro-batch that wait for their commit.
struct Encoded {
    files: Vec<NewFile>,
    taken: BTreeMap<u32, Taken>,
    rows: usize,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Committer {
    /// Commits in the order of arrival, until the channel closes or a commit fails.
    pub(super) async fn run(self, batches: mpsc::Receiver<MicroBatch>) -> Result<(), LakeError> {
        let batches = futures::stream::unfold(batches, |mut batches| async move {
            batches.recv().await.map(|batch| (batch, batches))
        });
        let encoded = batches.map(|batch| self.encode(batch)).buffered(self.lake.options.encoders.max(1));
        let mut encoded = std::pin::pin!(encoded);
        while let Some(next) = encoded.try_next().await? {
            self.commit(next).await?;
        }
        Ok(())
    }

    async fn encode(&self, batch: MicroBatch) -> Result<Encoded, LakeError> {
        let _encoder = self.encoders.acquire().await.map_err(|_| LakeError::Task)?;
        let mut by_date: BTreeMap<NaiveDate, Vec<RecordBatch>> = BTreeMap::new();
        for rows in batch.batches {
            for (date, part) in by_ingest_date(&self.tables.layout, rows)? {
                by_date.entry(date).or_default().push(part);
            }
        }
        let mut files = Vec::new();
        for (date, rows) in by_date {
            let layout = Arc::clone(&self.tables.layout);
            let now = self.lake.clock.now();
            let sync = self.lake.options.sync;
            let file = create_file(&self.tables, Target::Changes(date), now, sync, move || Sorted::new(&layout, rows));
            files.push(file.await?);
        }
        Ok(Encoded { files, taken: batch.taken, rows: batch.rows, _permits: batch.permits })
    }

    async fn commit(&self, encoded: Encoded) -> Result<(), LakeError> {
        let started = self.lake.clock.monotonic();
        let transactions = encoded.taken.iter().flat_map(|(partition, taken)| {
            let position = app_id(&self.topic, *partition);
            let fence = (fence_id(&position), stored(taken.before), signed(taken.after.epoch()));
            let position = (position, taken.first.checked_sub(1).map(signed), signed(taken.last));
            [Some(position), (taken.before != taken.after).then_some(fence)]
        });
        let commit = Commit {
            added: encoded.files.iter().map(|new| new.file.clone()).collect(),
            removed: Vec::new(),
            transactions: transactions.flatten().collect(),
            data_change: true,
            now: self.lake.clock.now().0,
        };
        let outcome = self.commit_until_known(&commit).await;
        if !matches!(outcome, Err(LakeError::Log { .. } | LakeError::Store(_))) {
            // Known to be committed, or known to be given up: then the files are orphans that upkeep deletes.
            commit.added.iter().for_each(|file| self.tables.changes.end_file(&file.path));
        }
        outcome?;
        let elapsed = self.lake.clock.monotonic().saturating_sub(started);
        self.lake.metrics.commit_seconds.observe(elapsed.as_secs_f64());
        let item = self.tables.layout.code.as_str();
        self.lake.metrics.committed_rows.with_label_values(&[item]).inc_by(encoded.rows as u64);
        self.lake.show_files(&self.tables);
        for (partition, taken) in &encoded.taken {
            self.lake.progress.set(&self.topic.name, *partition, taken.last + 1);
        }
        self.lake.upkeep.touched(item, self.lake.clock.monotonic());
        self.lake.progress.announce();
        self.lake.index_files(&self.tables, encoded.files).await.map(|_| ())
    }

    /// Repeats a commit whose outcome is unknown until it is known (LAKE-2): each attempt first reads the log and
    /// finds the commit if it happened.
    async fn commit_until_known(&self, commit: &Commit) -> Result<(), LakeError> {
        let mut pause = RETRY_MIN;
        loop {
            match self.tables.changes.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(error @ (LakeError::Log { .. } | LakeError::Store(_))) => {
                    let item = self.tables.layout.code.as_str();
                    self.lake.metrics.failures.with_label_values(&[item]).inc();
                    tracing::warn!(item, error = &error as &dyn std::error::Error, "outcome of a commit is unknown");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.cancel.cancelled() => return Err(error),
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Lake {
    /// Adds files to the point index; answers them without their entries.
    pub(crate) async fn index_files(
        &self,
        tables: &ItemTables,
        files: Vec<NewFile>,
    ) -> Result<Vec<DataFile>, LakeError> {
        let (index, layout) = (Arc::clone(&self.index), Arc::clone(&tables.layout));
        let indexing = tokio::task::spawn_blocking(move || {
            files
                .into_iter()
                .map(|new| {
                    if let Some(file) = file_id(&new.file.path) {
                        index.add(&layout, file, new.entries)?;
                    }
                    Ok(new.file)
                })
                .collect()
        });
        indexing.await.map_err(|_| LakeError::Task)?
    }
}

/// Where each partition goes on after what the table holds, and the fence there: both of one version of the table.
pub(crate) async fn reached(tables: &ItemTables, topic: &TopicInfo) -> Result<Vec<(u64, Fence)>, LakeError> {
    let ids = (0..topic.partitions).map(|partition| {
        let position = app_id(topic, partition);
        (fence_id(&position), position)
    });
    let ids: Vec<(String, String)> = ids.collect();
    for (fence, position) in &ids {
        // The state then holds what only the log's older part tells.
        tables.changes.transaction(position).await?;
        tables.changes.transaction(fence).await?;
    }
    let state = tables.changes.state();
    let stored = |id: &String| state.transactions.get(id).and_then(|version| u64::try_from(*version).ok());
    let of = |(fence, position): &(String, String)| {
        (stored(position).map_or(0, |last| last + 1), Fence::at(stored(fence).unwrap_or_default()))
    };
    Ok(ids.iter().map(of).collect())
}

/// Names the fence of a partition in the log.
fn fence_id(position: &str) -> String {
    format!("{position}/epoch")
}

/// What the log says of a fence: nothing while one hub is alone.
fn stored(fence: Fence) -> Option<i64> {
    (fence.epoch() > 0).then(|| signed(fence.epoch()))
}

/// Names a partition of a topic in the log, for this life of the topic.
fn app_id(topic: &TopicInfo, partition: u32) -> String {
    format!("{}/{}/{partition}", topic.name, topic.id)
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}
