//! What this process knows of a topic and its partitions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use minqiao_bus::{BusError, TopicInfo};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::describe::Description;
use crate::window::Window;

/// A topic in use.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) info: TopicInfo,
    pub(crate) partitions: Vec<Arc<Partition>>,
    /// When the cluster last said that it is still this one.
    confirmed: Mutex<Instant>,
    replaced: AtomicBool,
}

/// A partition in use.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: i32,
    pub(crate) window: Mutex<Window>,
    /// The end of the log as last heard, never beyond what every replica that counts has.
    pub(crate) end: watch::Sender<u64>,
    /// Something sent has ended.
    pub(crate) changed: Notify,
    /// Held by whoever looks into the log; the last arrival that the look serves.
    pub(crate) looking: tokio::sync::Mutex<u64>,
    pub(crate) arrivals: AtomicU64,
    /// An acknowledgement named an offset that was taken: the topic may be another one.
    pub(crate) suspect: AtomicBool,
}

impl Topic {
    pub(crate) fn new(description: &Description, window_messages: usize) -> Self {
        let info = info(description);
        let partitions = (0..description.partitions.len())
            .map(|number| {
                Arc::new(Partition {
                    topic: info.name.clone(),
                    number: i32::try_from(number).unwrap_or(i32::MAX),
                    window: Mutex::new(Window::new(window_messages)),
                    end: watch::Sender::new(0),
                    changed: Notify::new(),
                    looking: tokio::sync::Mutex::new(0),
                    arrivals: AtomicU64::new(0),
                    suspect: AtomicBool::new(false),
                })
            })
            .collect();
        Self { info, partitions, confirmed: Mutex::new(Instant::now()), replaced: AtomicBool::new(false) }
    }

    pub(crate) fn partition(&self, number: u32) -> Result<Arc<Partition>, BusError> {
        self.partitions.get(number as usize).cloned().ok_or_else(|| BusError::UnknownPartition {
            topic: self.info.name.clone(),
            partition: number,
            partitions: self.info.partitions,
        })
    }

    /// Refuses a topic that is known to be another one.
    pub(crate) fn usable(&self) -> Result<(), BusError> {
        if self.replaced.load(Ordering::Acquire) {
            Err(BusError::TopicReplaced { topic: self.info.name.clone() })
        } else {
            Ok(())
        }
    }

    pub(crate) fn is_confirmed_within(&self, age: Duration) -> bool {
        self.confirmed.lock().elapsed() < age
    }

    /// Takes what the cluster says now.
    pub(crate) fn confirm(&self, found: Option<&Description>) -> Result<(), BusError> {
        match found {
            Some(found) if found.id == self.info.id => {
                *self.confirmed.lock() = Instant::now();
                self.usable()
            }
            Some(_) => {
                self.replaced.store(true, Ordering::Release);
                self.usable()
            }
            None => Err(BusError::UnknownTopic { topic: self.info.name.clone() }),
        }
    }
}

impl Partition {
    /// Hears of an end; it never goes back.
    pub(crate) fn reaches(&self, end: u64) {
        self.end.send_if_modified(|known| {
            let further = end > *known;
            if further {
                *known = end;
            }
            further
        });
    }
}

pub(crate) fn info(description: &Description) -> TopicInfo {
    TopicInfo {
        name: description.name.clone(),
        id: description.id,
        partitions: u32::try_from(description.partitions.len()).unwrap_or(u32::MAX),
    }
}
