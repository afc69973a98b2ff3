//! Removes from the log what the lake holds and what is old enough.
//!
//! The log is where the lake comes from, and where feeds read. Whoever keeps it for ever can make the lake anew from it at
//! any time; whoever cannot afford the space says how long messages stay (`bus.retention_hours`). A message goes when both
//! hold (LAKE-10): its rows are in `changes`, and the hub received them longer ago than that. So no writer that stands still, however
//! long, loses a message. What a gateway must still know of it, the versions that exist, it finds in the lake
//! ([`Lake::envelopes`]).
//!
//! Messages hold the time at which the hub received them and come in about this order, so the position is found by halves.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMillisecondType;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use minqiao_bus::api::item_of;
use minqiao_bus::{Bus, Expiry};
use minqiao_core::Timestamp;
use minqiao_schemas::envelope;
use tokio_util::sync::CancellationToken;

use crate::{Lake, LakeError};

/// How often old messages are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(600);

impl Lake {
    /// Removes old messages now and every ten minutes, until `cancel`. Failures are logged and tried again.
    pub async fn run_expiry(&self, bus: Arc<dyn Bus>, keep: Duration, cancel: CancellationToken) {
        loop {
            match self.expire(&*bus, keep).await {
                Ok(0) => {}
                Ok(messages) => tracing::info!(messages, "old messages were removed from the log"),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "old messages were not removed from the log"
                    );
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = cancel.cancelled() => return,
            }
        }
    }

    /// Removes the messages of the items that this process writes which the lake holds and which the hub received longer
    /// ago than `keep`; answers how many.
    pub async fn expire(&self, bus: &dyn Bus, keep: Duration) -> Result<u64, LakeError> {
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(self.clock.now().0.saturating_sub(keep));
        let (mut what, mut messages) = (Vec::new(), 0);
        for topic in bus.topics().await? {
            let Some(item) = item_of(&topic.name).filter(|item| self.items.contains_key(*item) && self.writes(item))
            else {
                continue;
            };
            let reached = self.reached(item, &topic).await?;
            for (partition, (position, _)) in (0..).zip(reached) {
                let first = bus.first_offset(&topic.name, partition).await?;
                let old = OldUntil { lake: self, bus, item, topic: &topic.name, partition, before, end: position };
                let kept = old.find(first).await?;
                if kept > first {
                    messages += kept - first;
                    what.push(Expiry { topic: topic.name.clone(), partition, before: kept });
                }
            }
        }
        if !what.is_empty() {
            bus.expire(&what).await?;
            self.metrics.expired_messages.inc_by(messages);
        }
        Ok(messages)
    }

    /// What tells versions apart and who brought them, of every version of an item: columns and types as on the bus.
    pub async fn envelopes(&self, item: &str) -> datafusion::error::Result<SendableRecordBatchStream> {
        let columns = [
            envelope::KEY,
            envelope::CONTENT_HASH,
            envelope::OP,
            envelope::SOURCE_UPDATED_AT,
            envelope::PROVIDER_CODE,
            envelope::BATCH_ID,
        ];
        SessionContext::new().read_table(self.changes(item)?)?.select_columns(&columns)?.execute_stream().await
    }
}

/// Looks for the end of what is old in a partition.
struct OldUntil<'a> {
    lake: &'a Lake,
    bus: &'a dyn Bus,
    item: &'a str,
    topic: &'a str,
    partition: u32,
    before: Timestamp,
    /// What the lake holds ends here.
    end: u64,
}

impl OldUntil<'_> {
    async fn find(&self, first: u64) -> Result<u64, LakeError> {
        let (mut low, mut high) = (first, self.end);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.is_old(middle).await? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Whether the message at a position, or the next one that has rows, was received before.
    async fn is_old(&self, mut at: u64) -> Result<bool, LakeError> {
        while at < self.end {
            let records = self.bus.fetch(self.topic, self.partition, at, 1).await?;
            let Some(record) = records.first() else { return Ok(false) };
            if record.headers.span.rows > 0 {
                let rows = self.lake.open_message(self.item, self.partition, record)?;
                let times = rows.first().and_then(|rows| rows.column_by_name(envelope::RECEIVED_AT));
                let times = times.and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
                // One that does not say it is never old.
                let received = times.and_then(|times| times.iter().flatten().next());
                return Ok(received.is_some_and(|received| received < self.before.0));
            }
            at += 1;
        }
        Ok(false)
    }
}
