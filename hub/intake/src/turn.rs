//! Whose turn it is: a batch that names the one before it enters the lane after that one.
//!
//! A sender may have several batches of an item under way; what takes long (reading, judging, sealing) runs side by side,
//! and the lane still sees them in the sender's order. The one before counts as passed when it left the lane, with or
//! without its receipt: its rows are on the bus then, and whether it is sent again changes nothing for its followers.
//! Which batches passed is remembered in memory for the newest ones and in the receipts for all, so that a follower may
//! come to another process, or after a restart.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use minqiao_core::{BatchId, ProviderCode};
use minqiao_store::{BatchKind, Store};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at};

use crate::IntakeError;
use crate::known::BatchTag;

/// Batches remembered in memory.
const REMEMBERED: usize = 4096;
/// How long a follower waits for its turn before it is sent away.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a follower looks for a receipt that another process wrote.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// When to come again.
const RETRY: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    passed: Mutex<Recent>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<BatchTag>,
    tags: HashSet<BatchTag>,
}

impl Turns {
    /// The batch left its lane.
    pub(crate) fn pass(&self, tag: BatchTag) {
        let mut recent = self.passed.lock();
        if recent.tags.insert(tag) {
            recent.order.push_back(tag);
        }
        if recent.order.len() > REMEMBERED
            && let Some(oldest) = recent.order.pop_front()
        {
            recent.tags.remove(&oldest);
        }
        drop(recent);
        self.changed.notify_waiters();
    }

    /// Waits until the provider's batch `after` has passed.
    pub(crate) async fn after(
        &self,
        store: &Store,
        provider: &ProviderCode,
        after: Option<&BatchId>,
    ) -> Result<(), IntakeError> {
        let Some(after) = after else { return Ok(()) };
        let tag = BatchTag::of(provider.as_str(), after.as_str());
        let waited = tokio::time::timeout(PATIENCE, async {
            // The one before is usually at work here: the store is asked only when it takes long.
            let mut look = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
            loop {
                let mut changed = std::pin::pin!(self.changed.notified());
                // From here on no call of `pass` is missed.
                changed.as_mut().enable();
                if self.passed.lock().tags.contains(&tag) {
                    return Ok(());
                }
                tokio::select! {
                    () = changed => {}
                    _at = look.tick() => {
                        let receipt = store.receipt(provider.as_str(), BatchKind::Batch, after.as_str()).await?;
                        if receipt.is_some() {
                            return Ok(());
                        }
                    }
                }
            }
        });
        waited.await.unwrap_or_else(|_| Err(IntakeError::TooEarly { after: after.to_string(), retry_after: RETRY }))
    }
}
