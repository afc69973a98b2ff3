//! Back-pressure: what this hub appended to each item, and which items' batches it sends away.
//!
//! The log takes in what the lake cannot yet, but not without end: whoever watches the lake ([`crate::Intake::appended`],
//! [`crate::Intake::hold`]) sends an item's batches away while too much of it waits. Senders come again after a while;
//! what has a receipt is answered as before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use minqiao_schemas::Item;

use crate::IntakeError;

/// When to come again.
const RETRY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct Flow {
    items: HashMap<&'static str, ItemFlow>,
}

#[derive(Debug, Default)]
struct ItemFlow {
    /// Messages.
    appended: AtomicU64,
    held: AtomicBool,
}

impl Flow {
    pub(crate) fn new(items: &'static [Item]) -> Self {
        Self { items: items.iter().map(|item| (item.code.as_str(), ItemFlow::default())).collect() }
    }

    pub(crate) fn count(&self, item: &Item, messages: usize) {
        if let Some(flow) = self.items.get(item.code.as_str()) {
            flow.appended.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// Messages that were appended by this hub since it started, by item; items without any are left out.
    pub(crate) fn appended(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.items.iter().map(|(item, flow)| (*item, flow.appended.load(Ordering::Relaxed)));
        counts.filter(|(_, messages)| *messages > 0).collect()
    }

    pub(crate) fn hold(&self, items: &BTreeSet<&'static str>) {
        for (item, flow) in &self.items {
            flow.held.store(items.contains(item), Ordering::Relaxed);
        }
    }

    /// Refuses a batch of an item that is held.
    pub(crate) fn check(&self, item: &Item) -> Result<(), IntakeError> {
        let held = self.items.get(item.code.as_str()).is_some_and(|flow| flow.held.load(Ordering::Relaxed));
        if held { Err(IntakeError::LakeBehind { retry_after: RETRY }) } else { Ok(()) }
    }
}
