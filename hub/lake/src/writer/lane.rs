//! An item's way from messages to a micro-batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use minqiao_bus::{Fence, Record, TopicInfo};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{GATHER, PERMIT_BYTES};
use crate::LakeError;
use crate::message::decode;
use crate::snapshot::ItemTables;

/// Rows on their way into one commit.
#[derive(Debug)]
pub(super) struct MicroBatch {
    pub(super) batches: Vec<RecordBatch>,
    /// What it takes from each partition.
    pub(super) taken: BTreeMap<u32, Taken>,
    pub(super) rows: usize,
    bytes: usize,
    pub(super) since: Duration,
    pub(super) permits: Vec<OwnedSemaphorePermit>,
}

/// The part of a partition that a micro-batch takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The fence before and after it.
    pub(super) before: Fence,
    pub(super) after: Fence,
}

/// An item's way into the lake.
pub(super) struct Lane {
    pub(super) tables: Arc<ItemTables>,
    pub(super) topic: TopicInfo,
    /// Next offset to fetch, by partition.
    pub(super) next: Vec<u64>,
    /// Which messages count, by partition.
    pub(super) fences: Vec<Fence>,
    pub(super) open: Option<MicroBatch>,
    /// When the last micro-batch was handed over.
    pub(super) sent_at: Option<Duration>,
    pub(super) out: mpsc::Sender<MicroBatch>,
    /// Ends with the lane: a writer that is dropped leaves nothing running.
    pub(super) task: AbortOnDropHandle<Result<(), LakeError>>,
    pub(super) failures: u32,
    /// A message that cannot be written is tried again then; nothing behind it is fetched before.
    pub(super) blocked_until: Option<Duration>,
}

impl Lane {
    pub(super) fn is_full(&self, options: &crate::LakeOptions) -> bool {
        self.open.as_ref().is_some_and(|open| open.rows >= options.batch_rows || open.bytes >= options.batch_bytes)
    }

    /// When the open micro-batch is to be handed over: what comes after a pause soon, what keeps coming once per delay.
    pub(super) fn due_at(&self, delay: Duration) -> Option<Duration> {
        let gathered = self.open.as_ref()?.since + delay.min(GATHER);
        Some(self.sent_at.map_or(gathered, |sent| gathered.max(sent + delay)))
    }

    /// Whether it may be fetched for.
    pub(super) fn is_clear(&self, now: Duration) -> bool {
        self.blocked_until.is_none_or(|until| now >= until)
    }

    /// Takes a fetch into the open micro-batch. Answers how many messages do not count (BUS-7).
    pub(super) fn add(
        &mut self,
        partition: u32,
        records: Vec<Record>,
        permits: OwnedSemaphorePermit,
        now: Duration,
    ) -> Result<u64, LakeError> {
        let mut fenced = 0;
        if records.is_empty() {
            return Ok(fenced);
        }
        let open = self.open.get_or_insert_with(|| MicroBatch {
            batches: Vec::new(),
            taken: BTreeMap::new(),
            rows: 0,
            bytes: 0,
            since: now,
            permits: Vec::new(),
        });
        let mut permits = permits;
        let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        // Give back what the fetch did not use.
        let used = bytes.div_ceil(PERMIT_BYTES).min(permits.num_permits());
        drop(permits.split(permits.num_permits() - used));
        open.permits.push(permits);
        for record in records {
            let damaged = |reason| LakeError::DamagedMessage {
                topic: self.topic.name.clone(),
                partition,
                offset: record.offset,
                reason,
            };
            let next = &mut self.next[partition as usize];
            if record.offset != *next {
                return Err(damaged("a message before it is missing"));
            }
            let before = self.fences[partition as usize];
            let mut after = before;
            if !after.admits(&record.headers) {
                fenced += 1;
            } else if record.headers.span.rows > 0 {
                let batches = decode(&self.tables.layout, &record).map_err(damaged)?;
                open.bytes += record.payload.len();
                open.rows += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
                open.batches.extend(batches);
            }
            *next += 1;
            self.fences[partition as usize] = after;
            let taken = Taken { first: record.offset, last: record.offset, before, after };
            let taken = open.taken.entry(partition).or_insert(taken);
            (taken.last, taken.after) = (record.offset, after);
        }
        Ok(fenced)
    }
}
