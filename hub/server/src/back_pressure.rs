//! Back-pressure from the lake through the log to the connectors.
//!
//! A gateway compares where the log of an item ends with where the item's table is, and sends the item's batches away
//! with `lake_behind` while more messages lie between than `limits.lake_behind_messages_max`; it takes them again when
//! half of that has gone into the table. Connectors wait and come again, so what is not yet acknowledged stays with its
//! department, and neither the log nor the time until a row can be queried grows without end.
//!
//! Each gateway asks log and table itself, and only for items that it appends to: it need not know which hub writes
//! them, nor whether one does. While the table cannot be read, what it last held counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::api::topic_of;
use minqiao_bus::{Bus, TopicInfo};
use minqiao_intake::Intake;
use minqiao_lake::Lake;
use prometheus::{IntGauge, Registry};
use tokio_util::sync::CancellationToken;

/// How often a gateway looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct BackPressure {
    intake: Arc<Intake>,
    lake: Arc<Lake>,
    bus: Arc<dyn Bus>,
    /// Messages of an item that may wait for the lake.
    limit: u64,
    items: BTreeMap<&'static str, Watched>,
    /// Items whose batches are sent away.
    held: BTreeSet<&'static str>,
    held_items: IntGauge,
}

struct Watched {
    topic: TopicInfo,
    /// Messages of this gateway at the last look.
    appended: u64,
    /// The table's position in each partition when it was last read.
    reached: Option<Vec<u64>>,
}

impl BackPressure {
    pub(crate) fn new(
        intake: Arc<Intake>,
        lake: Arc<Lake>,
        bus: Arc<dyn Bus>,
        limit: u64,
        registry: &Registry,
    ) -> anyhow::Result<Self> {
        let held_items = IntGauge::new(
            "minqiao_intake_held_items",
            "Items whose batches are sent away because the lake is behind with them",
        )?;
        registry.register(Box::new(held_items.clone()))?;
        Ok(Self { intake, lake, bus, limit, items: BTreeMap::new(), held: BTreeSet::new(), held_items })
    }

    /// Looks until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => self.look().await,
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&mut self) {
        let appended = self.intake.appended();
        let new: Vec<&'static str> = appended.keys().copied().filter(|item| !self.items.contains_key(item)).collect();
        // Topics were made before anything was appended to them. A bus that does not answer is asked again.
        let topics = if new.is_empty() { Vec::new() } else { self.bus.topics().await.unwrap_or_default() };
        for item in new {
            if let Some(topic) = topics.iter().find(|topic| topic.name == topic_of(item)) {
                let watched = Watched { topic: topic.clone(), appended: 0, reached: None };
                self.items.insert(item, watched);
            }
        }
        for (item, appended) in appended {
            let Some(watched) = self.items.get_mut(item) else { continue };
            let was_held = self.held.contains(item);
            if appended == watched.appended && !was_held {
                continue;
            }
            watched.appended = appended;
            match self.lake.reached(item, &watched.topic).await {
                Ok(reached) => watched.reached = Some(reached.into_iter().map(|(position, _)| position).collect()),
                Err(error) => tracing::warn!(item, error = &error as &dyn std::error::Error, "the table is not read"),
            }
            let Some(behind) = behind(&*self.bus, watched).await else { continue };
            let is_held = behind > if was_held { self.limit / 2 } else { self.limit };
            if is_held != was_held {
                let what = if is_held { "its batches are sent away" } else { "its batches are taken again" };
                tracing::warn!(item, behind, what, "the lake is behind with an item");
                if is_held {
                    self.held.insert(item)
                } else {
                    self.held.remove(item)
                };
            }
        }
        self.intake.hold(&self.held);
        self.held_items.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
    }
}

/// Messages between table and end of the log; nothing when one of them is not known.
async fn behind(bus: &dyn Bus, watched: &Watched) -> Option<u64> {
    let mut behind = 0;
    for (partition, reached) in (0..).zip(watched.reached.as_ref()?) {
        let end = bus.end_offset(&watched.topic.name, partition).await.ok()?;
        behind += end.saturating_sub(*reached);
    }
    Some(behind)
}
