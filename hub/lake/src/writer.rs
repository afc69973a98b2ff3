//! From the bus to the lake, exactly once.
//!
//! One loop asks all partitions where they end, fetches from a few at once and collects a micro-batch per item (`lane`);
//! one `committer` per item encodes up to two micro-batches at a time and commits them in order. A commit carries the rows and, per topic partition, the
//! position they end at (LAKE-1). A lane begins by reading those positions from the lake; nothing else remembers them.
//!
//! ```text
//! bus ──fetch──► micro-batch ──channel(1)──► encode (blocking, ×2) ──in order──► commit ──► index, progress
//!                     └────── bytes held by permits until the commit ─────┘
//! ```
//!
//! When a lane fails it is dropped with all it holds and a new one begins at the lake's positions: rows that were not
//! committed are fetched again. A bus or a lake that does not answer is asked again for as long as it takes. Only a
//! recreated topic ends the writer, because going on would lose rows in silence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use minqiao_bus::api::item_of;
use minqiao_bus::{Bus, BusError, TopicInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::committer::Committer;
pub(crate) use self::committer::reached;
use self::lane::Lane;
use crate::LakeError;
use crate::lake::Lake;
use crate::snapshot::ItemTables;

mod committer;
mod lane;

/// Prefix of the topics that belong to items.
/// Name of the property that ties a table to its topic.
const TOPIC_PROPERTY: &str = "minqiao.topic";
/// Bytes asked for in one fetch.
const FETCH_BYTES: usize = 4 << 20;
/// Fetches under way at once: a log in a cluster takes its time to answer.
const FETCHES_AT_ONCE: usize = 4;
/// Questions for the ends of partitions under way at once.
const LOOKS_AT_ONCE: usize = 32;
/// How long the loop may sleep before it looks for new topics.
const TOPICS_EVERY: Duration = Duration::from_millis(250);
/// The shortest sleep, when a micro-batch is due and its lane is busy.
const PAUSE_MIN: Duration = Duration::from_millis(2);
/// Pauses between attempts.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Pause after the bus did not answer, which itself takes a while to tell.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How long a micro-batch waits for the other messages of its batch.
const GATHER: Duration = Duration::from_millis(50);
/// Permits are counted in KiB.
const PERMIT_BYTES: usize = 1024;

/// A place in a topic partition: everything before `end` is meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Topic name.
    pub topic: String,
    /// Partition number.
    pub partition: u32,
    /// First offset that is not meant.
    pub end: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct LakeWriter {
    lake: Arc<Lake>,
}

/// A topic, a partition, and the offset to go on from.
type Place = (String, u32, u64);

impl LakeWriter {
    /// A writer of the lake. Several may run, in one process or in many: whoever commits a position first wins.
    pub fn new(lake: Arc<Lake>) -> Self {
        Self { lake }
    }

    /// Writes until `cancel`, then commits what was fetched and returns.
    pub async fn run(&self, bus: Arc<dyn Bus>, cancel: CancellationToken) -> Result<(), LakeError> {
        let mut run = Run {
            lake: Arc::clone(&self.lake),
            budget: Arc::new(Semaphore::new(self.lake.options.buffered_bytes_max / PERMIT_BYTES)),
            encoders: Arc::new(Semaphore::new(self.lake.options.encoders.max(1))),
            bus,
            cancel,
            lanes: BTreeMap::new(),
        };
        run.run().await
    }

    /// Waits until the positions are queryable.
    pub async fn wait_until(&self, positions: &[Position], deadline: Duration) -> Result<(), LakeError> {
        self.lake.progress.wait(positions, deadline).await
    }

    /// Waits until everything that is on the bus now is queryable.
    pub async fn wait_for_all(&self, bus: &dyn Bus, deadline: Duration) -> Result<(), LakeError> {
        let mut positions = Vec::new();
        for topic in bus.topics().await? {
            if item_of(&topic.name).is_some_and(|item| self.lake.items.contains_key(item)) {
                for partition in 0..topic.partitions {
                    let end = bus.end_offset(&topic.name, partition).await?;
                    positions.push(Position { topic: topic.name.clone(), partition, end });
                }
            }
        }
        self.wait_until(&positions, deadline).await
    }
}

struct Run {
    lake: Arc<Lake>,
    bus: Arc<dyn Bus>,
    cancel: CancellationToken,
    budget: Arc<Semaphore>,
    encoders: Arc<Semaphore>,
    lanes: BTreeMap<String, Lane>,
}

impl Run {
    async fn run(&mut self) -> Result<(), LakeError> {
        let mut topics_at = None;
        while !self.cancel.is_cancelled() {
            let now = self.lake.clock.monotonic();
            if topics_at.is_none_or(|at| now.saturating_sub(at) >= TOPICS_EVERY) {
                self.leave_lanes();
                let found = self.find_topics().await;
                self.survive(found).await?;
                topics_at = Some(now);
            }
            let replaced = self.replace_failed().await;
            self.survive(replaced).await?;
            let wanted = self.look().await?;
            let mut moved = false;
            for some in wanted.chunks(FETCHES_AT_ONCE) {
                moved |= self.fetch(some).await?;
            }
            moved |= self.send_due(false).await;
            if !moved {
                self.sleep().await;
            }
        }
        self.drain().await
    }

    /// Goes on after what may pass; a lane that could not be opened is opened again with the next look for topics.
    async fn survive(&self, outcome: Result<(), LakeError>) -> Result<(), LakeError> {
        let Err(error) = outcome else { return Ok(()) };
        if ends_the_writer(&error) {
            return Err(error);
        }
        tracing::error!(error = &error as &dyn std::error::Error, "bus or lake does not answer, trying again");
        self.pause(AGAIN_AFTER).await;
        Ok(())
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Leaves a topic alone for a while: its part of the bus does not answer.
    fn set_back(&mut self, topic: &str, error: LakeError) -> Result<(), LakeError> {
        if ends_the_writer(&error) {
            return Err(error);
        }
        let again = self.lake.clock.monotonic() + AGAIN_AFTER;
        if let Some(lane) = self.lanes.get_mut(topic) {
            self.lake.metrics.failures.with_label_values(&[lane.tables.layout.code.as_str()]).inc();
            lane.blocked_until = Some(again);
        }
        tracing::error!(topic, error = &error as &dyn std::error::Error, "the bus cannot be read, trying again");
        Ok(())
    }

    /// Opens lanes for topics that appeared.
    async fn find_topics(&mut self) -> Result<(), LakeError> {
        for topic in self.bus.topics().await? {
            let Some(tables) = item_of(&topic.name).and_then(|item| self.lake.items.get(item)) else {
                continue;
            };
            if self.lake.writes(&tables.layout.code) && !self.lanes.contains_key(&topic.name) {
                let lane = self.open_lane(Arc::clone(tables), topic.clone(), 0).await?;
                self.lanes.insert(topic.name, lane);
            }
        }
        Ok(())
    }

    /// Leaves items that are another process's now; what was handed to their committers is still committed.
    fn leave_lanes(&mut self) {
        let lake = &self.lake;
        for (_, lane) in self.lanes.extract_if(.., |_, lane| !lake.writes(&lane.tables.layout.code)) {
            let item = lane.tables.layout.code.as_str();
            tracing::info!(item, "another process writes this item now");
            // It may not have been counted yet: that is no failure.
            let _removed = lake.metrics.lag_messages.remove_label_values(&[item]);
            drop(lane.task.detach());
        }
    }

    /// Begins at the lake's positions.
    async fn open_lane(&self, tables: Arc<ItemTables>, topic: TopicInfo, failures: u32) -> Result<Lane, LakeError> {
        tables.changes.ensure(&[(TOPIC_PROPERTY, topic.id.to_string())]).await?;
        if tables.changes.property(TOPIC_PROPERTY).await != Some(topic.id.to_string()) {
            return Err(LakeError::TopicRecreated { topic: topic.name });
        }
        tables.changes.refresh().await?;
        let (next, fences): (Vec<u64>, Vec<_>) = reached(&tables, &topic).await?.into_iter().unzip();
        for (partition, position) in (0..).zip(&next) {
            self.lake.progress.set(&topic.name, partition, *position);
        }
        self.lake.progress.announce();
        let (out, batches) = mpsc::channel(1);
        let committer = Committer {
            lake: Arc::clone(&self.lake),
            tables: Arc::clone(&tables),
            topic: topic.clone(),
            encoders: Arc::clone(&self.encoders),
            cancel: self.cancel.clone(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(committer.run(batches)));
        Ok(Lane { tables, topic, next, fences, open: None, sent_at: None, out, task, failures, blocked_until: None })
    }

    /// Reopens lanes whose task ended.
    async fn replace_failed(&mut self) -> Result<(), LakeError> {
        let failed: Vec<String> =
            self.lanes.iter().filter(|(_, lane)| lane.task.is_finished()).map(|(topic, _)| topic.clone()).collect();
        for topic in failed {
            let Some(lane) = self.lanes.remove(&topic) else { continue };
            let item = lane.tables.layout.code.clone();
            let failures = match lane.task.await {
                Ok(Err(LakeError::Conflict { .. })) => {
                    self.lake.metrics.conflicts.inc();
                    tracing::info!(item, "another writer was faster, reading its positions");
                    0
                }
                Ok(Err(error)) => {
                    self.lake.metrics.failures.with_label_values(&[item.as_str()]).inc();
                    tracing::error!(item, error = &error as &dyn std::error::Error, "writing failed, beginning again");
                    lane.failures + 1
                }
                Ok(Ok(())) => 0,
                Err(_) => lane.failures + 1,
            };
            if failures > 0 {
                self.pause(RETRY_MIN.saturating_mul(1 << failures.min(8)).min(RETRY_MAX)).await;
            }
            let lane = self.open_lane(lane.tables, lane.topic, failures).await?;
            self.lanes.insert(topic, lane);
        }
        Ok(())
    }

    /// Asks all partitions at once where they end; answers those that have something new, with the position to read from.
    async fn look(&mut self) -> Result<Vec<Place>, LakeError> {
        let now = self.lake.clock.monotonic();
        let lanes = self.lanes.iter().filter(|(_, lane)| lane.is_clear(now));
        let places: Vec<Place> = lanes
            .flat_map(|(topic, lane)| (0..).zip(&lane.next).map(|(partition, next)| (topic.clone(), partition, *next)))
            .collect();
        let bus = &self.bus;
        let ends = futures::stream::iter(places)
            .map(|place| async move {
                let end = bus.end_offset(&place.0, place.1).await;
                (place, end)
            })
            .buffered(LOOKS_AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut lags: BTreeMap<String, u64> = BTreeMap::new();
        let mut wanted = Vec::new();
        for (place, end) in ends {
            let (topic, partition, next) = &place;
            let end = match end {
                Ok(end) => end,
                Err(error) => {
                    self.set_back(topic, error.into())?;
                    continue;
                }
            };
            if end < *next {
                return Err(LakeError::TopicRecreated { topic: topic.clone() });
            }
            let behind = end.saturating_sub(self.lake.progress.committed(topic, *partition));
            *lags.entry(topic.clone()).or_default() += behind;
            if end > *next {
                wanted.push(place);
            }
        }
        for (topic, lag) in lags {
            if let Some(lane) = self.lanes.get(&topic) {
                let lag = i64::try_from(lag).unwrap_or(i64::MAX);
                self.lake.metrics.lag_messages.with_label_values(&[lane.tables.layout.code.as_str()]).set(lag);
            }
        }
        Ok(wanted)
    }

    /// Fetches once from each of a few partitions, at the same time. Answers true when something came.
    async fn fetch(&mut self, wanted: &[Place]) -> Result<bool, LakeError> {
        let mut fetches = Vec::with_capacity(wanted.len());
        for (topic, partition, next) in wanted {
            let now = self.lake.clock.monotonic();
            let open = |lane: &Lane| !lane.is_full(&self.lake.options) && lane.is_clear(now);
            if !self.lanes.get(topic).is_some_and(open) {
                continue;
            }
            let Some(permits) = self.take_budget().await else { break };
            let bus = Arc::clone(&self.bus);
            fetches.push(async move {
                (topic, *partition, permits, bus.fetch(topic, *partition, *next, FETCH_BYTES).await)
            });
        }
        let mut moved = false;
        for (topic, partition, permits, records) in futures::future::join_all(fetches).await {
            let now = self.lake.clock.monotonic();
            let records = match records {
                Ok(records) => records,
                Err(error) => {
                    self.set_back(topic, error.into())?;
                    continue;
                }
            };
            moved |= !records.is_empty();
            let Some(lane) = self.lanes.get_mut(topic) else { continue };
            match lane.add(partition, records, permits, now) {
                Ok(fenced) => self.lake.metrics.fenced_messages.inc_by(fenced),
                Err(error) => {
                    // It stops its item, loudly, and no other; what came before it is committed.
                    self.lake.metrics.failures.with_label_values(&[lane.tables.layout.code.as_str()]).inc();
                    tracing::error!(topic, error = &error as &dyn std::error::Error, "a message cannot be written");
                    lane.blocked_until = Some(now + RETRY_MAX);
                }
            }
        }
        Ok(moved)
    }

    /// Permits for one fetch. When there are none, everything collected is sent off first.
    async fn take_budget(&mut self) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(FETCH_BYTES / PERMIT_BYTES).unwrap_or(u32::MAX);
        if let Ok(permits) = Arc::clone(&self.budget).try_acquire_many_owned(wanted) {
            return Some(permits);
        }
        self.send_due(true).await;
        tokio::select! {
            permits = Arc::clone(&self.budget).acquire_many_owned(wanted) => permits.ok(),
            // A lane that failed gives its permits back when it is replaced.
            () = tokio::time::sleep(TOPICS_EVERY) => None,
            () = self.cancel.cancelled() => None,
        }
    }

    /// Hands full or old micro-batches, or all of them, to their lanes.
    async fn send_due(&mut self, all: bool) -> bool {
        let now = self.lake.clock.monotonic();
        let mut sent = false;
        for lane in self.lanes.values_mut() {
            let options = &self.lake.options;
            let due = lane.open.as_ref().is_some_and(|open| !open.taken.is_empty())
                && (all || lane.is_full(options) || lane.due_at(options.batch_delay).is_some_and(|at| now >= at));
            if due && let Some(open) = lane.open.take() {
                match lane.out.try_send(open) {
                    Ok(()) => {
                        lane.sent_at = Some(now);
                        sent = true;
                    }
                    Err(mpsc::error::TrySendError::Full(open)) => lane.open = Some(open),
                    // The task ended; the lane will be replaced and the rows fetched again.
                    Err(mpsc::error::TrySendError::Closed(_)) => {}
                }
            }
        }
        sent
    }

    /// Sleeps until a message, a commit or the next micro-batch is due.
    async fn sleep(&self) {
        let now = self.lake.clock.monotonic();
        let delay = self.lake.options.batch_delay;
        let due = self.lanes.values().filter_map(|lane| lane.due_at(delay)).map(|at| at.saturating_sub(now)).min();
        let pause = due.unwrap_or(TOPICS_EVERY).clamp(PAUSE_MIN, TOPICS_EVERY);
        let mut committed = self.lake.progress.subscribe();
        let waits: FuturesUnordered<_> = self
            .lanes
            .values()
            .filter(|lane| !lane.is_full(&self.lake.options) && lane.is_clear(now))
            .flat_map(|lane| lane.next.iter().enumerate().map(move |(partition, next)| (lane, partition, *next)))
            .map(|(lane, partition, next)| {
                let partition = u32::try_from(partition).unwrap_or(u32::MAX);
                async move {
                    match self.bus.wait(&lane.topic.name, partition, next, pause).await {
                        Ok(end) if end > next => {}
                        _ => futures::future::pending().await,
                    }
                }
            })
            .collect();
        let mut waits = waits;
        tokio::select! {
            Some(()) = waits.next() => {}
            _ = committed.changed() => {}
            () = tokio::time::sleep(pause) => {}
            () = self.cancel.cancelled() => {}
        }
    }

    /// Commits what was fetched.
    async fn drain(&mut self) -> Result<(), LakeError> {
        let mut outcome = Ok(());
        for (_, lane) in std::mem::take(&mut self.lanes) {
            if let Some(open) = lane.open.filter(|open| !open.taken.is_empty())
                && lane.out.send(open).await.is_err()
            {
                tracing::warn!(item = lane.tables.layout.code, "rows stay on the bus: their lane had failed");
            }
            drop(lane.out);
            match lane.task.await {
                Ok(Ok(()) | Err(LakeError::Conflict { .. })) => {}
                Ok(Err(error)) => outcome = Err(error),
                Err(_) => outcome = Err(LakeError::Task),
            }
        }
        outcome
    }
}

/// Going on would lose rows in silence, or somebody wants an end.
fn ends_the_writer(error: &LakeError) -> bool {
    let of_bus = |error: &BusError| matches!(error, BusError::Closed | BusError::TopicReplaced { .. });
    match error {
        LakeError::TopicRecreated { .. } => true,
        LakeError::Bus(error) => of_bus(error),
        _ => false,
    }
}
