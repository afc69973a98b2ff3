//! `items/{item}`: the log of an item's topic, shown as SQL shows its rows.
//!
//! A page takes messages partition by partition, beginning with the position's turn, until it has its rows. Rows of one
//! subject are in one partition and keep their order; between partitions there is none. Inside a message a page ends at
//! any row.

use std::collections::HashMap;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::future::select_all;
use minqiao_bus::api::topic_of;
use minqiao_bus::{Bus, BusError, Fence, Record, TopicInfo};
use minqiao_query::ItemChanges;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Ask, FeedError, Feeds, Page, Position, Rows};

/// A reader whose rows are all hidden is woken by others' rows: at most this often.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Topics as the engine named them; a topic that was made anew is asked for again.
#[derive(Debug, Default)]
pub(crate) struct Topics(Mutex<HashMap<String, TopicInfo>>);

impl Topics {
    async fn of(&self, bus: &dyn Bus, item: &str) -> Result<TopicInfo, FeedError> {
        let name = topic_of(item);
        if let Some(known) = self.0.lock().get(&name) {
            return Ok(known.clone());
        }
        let found = bus.topics().await.map_err(FeedError::Bus)?;
        let mut known = self.0.lock();
        known.extend(found.into_iter().map(|topic| (topic.name.clone(), topic)));
        known.get(&name).cloned().ok_or(FeedError::Bus(BusError::UnknownTopic { topic: name }))
    }

    fn forget(&self) {
        self.0.lock().clear();
    }
}

/// A page while it is made.
struct Draft {
    position: Position,
    shown: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
    until: Instant,
}

/// What messages hold.
struct Opened {
    rows: Vec<RecordBatch>,
    /// Where each message ends among the rows.
    ends: Vec<usize>,
    /// The fence after each message.
    fences: Vec<Fence>,
}

impl Feeds {
    /// The one function through which feeds read the log.
    async fn read_log(&self, item: &str, partition: u32, from: u64) -> Result<Vec<Record>, FeedError> {
        let topic = topic_of(item);
        let records = self.inner.bus.fetch(&topic, partition, from, self.inner.limits.fetch_bytes).await;
        let records = records.map_err(|error| self.of_log(error))?;
        let dense = records.iter().zip(from..).all(|(record, offset)| record.offset == offset);
        if dense { Ok(records) } else { Err(FeedError::LogBroken) }
    }

    fn of_log(&self, error: BusError) -> FeedError {
        match error {
            BusError::Expired { .. } | BusError::OffsetOutOfRange { .. } => FeedError::PositionGone,
            BusError::TopicReplaced { .. } | BusError::UnknownPartition { .. } => {
                self.inner.topics.forget();
                FeedError::PositionOfAnotherLog
            }
            error => FeedError::Bus(error),
        }
    }

    /// The first position that is kept, or the one behind everything.
    pub(super) async fn item_edge(&self, item: &str, now: bool) -> Result<Position, FeedError> {
        let topic = self.inner.topics.of(&*self.inner.bus, item).await?;
        // Asked before any end, so that it is ahead of none.
        let reached = if now { self.inner.lake.reached(item, &topic).await? } else { Vec::new() };
        let mut next = Vec::new();
        for partition in 0..topic.partitions {
            let (offset, fence) = if now {
                let reached = reached.get(partition as usize).copied().unwrap_or_default();
                self.end_of(item, &topic, partition, reached).await?
            } else {
                let first = self.inner.bus.first_offset(&topic.name, partition).await;
                (first.map_err(|error| self.of_log(error))?, Fence::default())
            };
            next.push((offset, 0, fence.epoch()));
        }
        Ok(Position { feed: format!("items/{item}"), log: topic.id.to_string(), next, turn: 0 })
    }

    /// The end of a partition and the fence there: what the lake noted at the position that it `reached`, and what came
    /// after that.
    async fn end_of(
        &self,
        item: &str,
        topic: &TopicInfo,
        partition: u32,
        reached: (u64, Fence),
    ) -> Result<(u64, Fence), FeedError> {
        let (mut next, mut fence) = reached;
        let end = self.inner.bus.end_offset(&topic.name, partition).await.map_err(|error| self.of_log(error))?;
        while next < end {
            let records = self.read_log(item, partition, next).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            for record in records.iter().filter(|record| record.offset < end) {
                fence.admits(&record.headers);
            }
        }
        Ok((end, fence))
    }

    pub(super) async fn check_item(&self, item: &str, position: &Position) -> Result<(), FeedError> {
        let topic = self.inner.topics.of(&*self.inner.bus, item).await?;
        if position.log != topic.id.to_string() || position.next.len() != topic.partitions as usize {
            return Err(FeedError::PositionOfAnotherLog);
        }
        for ((offset, row, _), partition) in position.next.iter().zip(0..) {
            let end = self.inner.bus.end_offset(&topic.name, partition).await.map_err(|error| self.of_log(error))?;
            if *offset > end || (*offset == end && *row > 0) {
                return Err(FeedError::PositionGone);
            }
        }
        Ok(())
    }

    pub(super) async fn item_page(&self, ask: &Ask, item: &str, position: Position) -> Result<Page, FeedError> {
        let changes = self.changes_of(ask, item)?;
        let until = Instant::now() + self.inner.limits.search;
        let mut draft = Draft { position, shown: Vec::new(), rows: 0, bytes: 0, until };
        let partitions = u32::try_from(draft.position.next.len()).unwrap_or(u32::MAX).max(1);
        let first = draft.position.turn;
        let mut more = false;
        for step in 0..partitions {
            let partition = (first + step) % partitions;
            if self.take(ask, &changes, partition, &mut draft).await? {
                draft.position.turn = (partition + 1) % partitions;
                more = true;
                break;
            }
        }
        let rows = concat_batches(&changes.schema(), &draft.shown)
            .map_err(|_| FeedError::Query(minqiao_query::QueryError::Internal))?;
        Ok(Page {
            feed: ask.feed.as_text(),
            position: draft.position,
            more,
            policy_version: changes.policy_version().to_owned(),
            read: Some(changes.read()),
            rows: Rows::Changes { rows, columns: changes.columns() },
        })
    }

    /// Takes what one partition has; true when the page is full before the partition is at its end.
    async fn take(
        &self,
        ask: &Ask,
        changes: &ItemChanges,
        partition: u32,
        draft: &mut Draft,
    ) -> Result<bool, FeedError> {
        let item = &changes.item().code;
        loop {
            let (offset, passed, epoch) = draft.position.next[partition as usize];
            if draft.rows >= ask.limit || draft.bytes >= self.inner.limits.page_bytes || Instant::now() >= draft.until {
                return Ok(true);
            }
            let records = self.read_log(item, partition, offset).await?;
            let Some(last) = records.last().map(|record| record.offset) else { return Ok(false) };
            // Opening and showing takes processor time: a few at once, whoever asks.
            let worker = self.inner.workers.acquire().await.map_err(|_| FeedError::LogBroken)?;
            let Opened { rows: stored, ends, fences } =
                self.opened(item, partition, &records, passed, Fence::at(epoch))?;
            let wanted = ask.limit - draft.rows;
            let shown = changes.show(&stored, wanted).await?;
            drop(worker);
            let count = shown.rows.num_rows();
            draft.rows += count;
            draft.bytes += shown.rows.get_array_memory_size();
            if count > 0 {
                draft.shown.push(shown.rows);
            }
            let (next, row) = match shown.last {
                Some(place) if count == wanted => after(place, &ends, offset, passed),
                _ => (last + 1, 0),
            };
            // A message of which rows are left counts again, in its own epoch.
            let read = usize::try_from(next - offset).unwrap_or(usize::MAX) + usize::from(row > 0);
            let fence = read.checked_sub(1).and_then(|at| fences.get(at)).map_or(epoch, |fence| fence.epoch());
            draft.position.next[partition as usize] = (next, row, fence);
        }
    }

    /// Rows of the messages that count (BUS-7), without the ones that were passed.
    fn opened(
        &self,
        item: &str,
        partition: u32,
        records: &[Record],
        passed: u32,
        mut fence: Fence,
    ) -> Result<Opened, FeedError> {
        let (mut rows, mut ends, mut fences, mut skip) = (Vec::new(), Vec::new(), Vec::new(), passed as usize);
        let mut count = 0;
        for record in records {
            let counts = fence.admits(&record.headers) && record.headers.span.rows > 0;
            fences.push(fence);
            let batches = if counts { self.inner.lake.open_message(item, partition, record)? } else { Vec::new() };
            for batch in batches {
                let passed = skip.min(batch.num_rows());
                skip -= passed;
                count += batch.num_rows() - passed;
                rows.push(batch.slice(passed, batch.num_rows() - passed));
            }
            // What was passed of the first message must be in the first message.
            if skip > 0 {
                return Err(FeedError::PositionGone);
            }
            ends.push(count);
        }
        Ok(Opened { rows, ends, fences })
    }

    /// Returns when a partition has grown beyond the position.
    pub(super) async fn item_grew(&self, item: &str, at: &Position, until: Instant) -> Result<(), FeedError> {
        let topic = topic_of(item);
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::sleep(AGAIN_AFTER.min(left)).await;
        let left = until.saturating_duration_since(Instant::now());
        let waits = at
            .next
            .iter()
            .zip(0..)
            .map(|((offset, ..), partition)| self.inner.bus.wait(&topic, partition, *offset, left));
        let (grown, _, _) = select_all(waits).await;
        grown.map(drop).map_err(|error| self.of_log(error))
    }
}

/// The position behind row `place` of messages that begin with `first`, of which `passed` rows were left out.
fn after(place: usize, ends: &[usize], first: u64, passed: u32) -> (u64, u32) {
    let message = ends.partition_point(|end| *end <= place);
    let begin = message.checked_sub(1).map_or(0, |before| ends[before]);
    let rows = ends.get(message).map_or(0, |end| end - begin);
    let within = place + 1 - begin;
    let offset = first + message as u64;
    if within == rows {
        return (offset + 1, 0);
    }
    let before = if message == 0 { passed } else { 0 };
    (offset, before + u32::try_from(within).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_behind_any_row_of_any_message() {
        // Messages of 3 (of which one was passed before), 2 and 4 rows, from offset 10 on.
        let ends = [2, 4, 8];
        let all: Vec<_> = (0..8).map(|place| after(place, &ends, 10, 1)).collect();
        let expected = [(10, 2), (11, 0), (11, 1), (12, 0), (12, 1), (12, 2), (12, 3), (13, 0)];
        assert_eq!(all, expected);
    }
}
