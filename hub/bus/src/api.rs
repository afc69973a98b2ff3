//! The seam between the hub and its log.
//!
//! Promises of every engine, each with a scenario in [`crate::contract`]:
//!
//! - BUS-1 *Acknowledged is durable.* `append` answers after the messages would survive a crash of the machine.
//! - BUS-2 *Dense order.* Offsets of a partition are 0, 1, 2 … in the order of acknowledgement; messages of one call
//!   stay together and in order.
//! - BUS-3 *Stored once.* A message with the provider, batch and span of one that the partition holds already is
//!   answered with the position of that one. Engines that can only promise it for a window say so in
//!   [`Capabilities`].
//! - BUS-4 *Nothing unacknowledged is shown.* `fetch` and `end_offset` never run ahead of durability.
//! - BUS-5 *A topic has an identity.* [`TopicInfo::id`] changes when a topic is made anew, so that positions stored
//!   elsewhere cannot silently refer to another log.
//! - BUS-7 *Turns are fenced.* Engines carry a message's epoch; readers leave out what [`crate::Fence`] does not admit.
//! - BUS-6 *Bounded.* Messages above the limit are refused; when the log cannot keep up, `append` waits.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use minqiao_core::{Kind, KindOf};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Message, Record};

/// A topic as its engine knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicInfo {
    /// e.g. `minqiao.bank_deposit`.
    pub name: String,
    /// Drawn when the topic was made; store it beside positions (BUS-5).
    pub id: Uuid,
    /// Partitions are numbered from 0 to `partitions - 1`.
    pub partitions: u32,
}

/// What an engine accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload of one message, bytes.
    pub message_bytes_max: usize,
    /// Bytes that may wait for durability before `append` makes its callers wait.
    pub queued_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 20, queued_bytes_max: 32 << 20 }
    }
}

/// Where engines differ; the contract suite takes it as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Messages survive closing and opening.
    pub durable: bool,
    /// BUS-3 holds for the whole log; otherwise for the last messages of each partition only.
    pub idempotent_forever: bool,
}

/// A setting of an existing topic that has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The engine's name of the setting, e.g. `min.insync.replicas`.
    pub setting: &'static str,
    /// What it is.
    pub actual: String,
    /// What it must be.
    pub wanted: String,
}

fn list(differences: &[Difference]) -> String {
    let each = differences.iter().map(|d| format!("`{}` is {}, it must be {}", d.setting, d.actual, d.wanted));
    each.collect::<Vec<_>>().join("; ")
}

/// Why the bus did not do what it was asked. No variant holds payload.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody made this topic.
    #[error("there is no topic `{topic}`")]
    UnknownTopic {
        /// The name asked for.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has {partitions} partitions, there is no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The number asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A name or a number of partitions that no engine takes.
    #[error("a topic name has 1 to 200 characters of `A-Z a-z 0-9 . _ -` and 1 to 1024 partitions")]
    InvalidTopic,
    /// The topic exists with another number of partitions: rows of one person would change partition.
    #[error("topic `{topic}` exists with {actual} partitions, {wanted} were asked for")]
    PartitionCountDiffers {
        /// The topic.
        topic: String,
        /// What exists.
        actual: u32,
        /// What was asked for.
        wanted: u32,
    },
    /// Larger than [`Limits::message_bytes_max`]; nothing of the call was stored.
    #[error("a message has {bytes} bytes, the limit is {max}")]
    Oversized {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The position lies beyond the end.
    #[error("offset {from} lies beyond the end {end}")]
    OffsetOutOfRange {
        /// The position asked for.
        from: u64,
        /// The first position that is not there yet.
        end: u64,
    },
    /// [`Bus::expire`] removed the position; a reader that comes from there has missed messages.
    #[error("offset {from} was removed by retention, the first one kept is {first}")]
    Expired {
        /// The position asked for.
        from: u64,
        /// The first position that is still there.
        first: u64,
    },
    /// The topic exists with settings under which the promises would not hold.
    #[error("topic `{topic}` exists with other settings: {}", list(.differences))]
    TopicDiffers {
        /// The topic.
        topic: String,
        /// What to change.
        differences: Vec<Difference>,
    },
    /// The topic was deleted and made anew under this process; positions of the old one mean nothing (BUS-5).
    #[error("topic `{topic}` was deleted and made anew: its positions belong to another log")]
    TopicReplaced {
        /// The topic.
        topic: String,
    },
    /// An engine cannot be opened as configured.
    #[error("the bus is configured wrongly: `{key}` {problem}")]
    Misconfigured {
        /// The setting.
        key: &'static str,
        /// What is wrong with it, without its value.
        problem: &'static str,
    },
    /// The servers of the log do not accept this process.
    #[error("the log's servers refused access: {reason}")]
    AccessDenied {
        /// Which step failed.
        reason: &'static str,
    },
    /// Nothing was heard in time; whether an append landed is unknown, repeating it is safe (BUS-3).
    #[error("the log did not answer within {waited:?} while it should {doing}")]
    TimedOut {
        /// What was asked.
        doing: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// Another process has the directory open.
    #[error("the bus directory is open in another process")]
    Locked,
    /// The bus was closed.
    #[error("the bus is closed")]
    Closed,
    /// A stored record cannot be read back as what it must be.
    #[error("stored {what} is damaged")]
    Damaged {
        /// Kind of record.
        what: &'static str,
    },
    /// The engine below failed; whether an append landed is unknown, repeating it is safe (BUS-3).
    #[error("the log's storage failed")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl KindOf for BusError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownTopic { .. } | Self::UnknownPartition { .. } => Kind::NotFound,
            Self::InvalidTopic | Self::Oversized { .. } | Self::OffsetOutOfRange { .. } => Kind::InvalidArgument,
            Self::PartitionCountDiffers { .. } | Self::TopicReplaced { .. } => Kind::Conflict,
            Self::Expired { .. } | Self::TopicDiffers { .. } | Self::Misconfigured { .. } => Kind::FailedPrecondition,
            // The other process may end.
            Self::Locked | Self::Closed | Self::Storage(_) | Self::TimedOut { .. } => {
                Kind::Unavailable { retry_after: Duration::from_secs(5) }
            }
            // An operator has to act: whoever sends waits longer.
            Self::AccessDenied { .. } => Kind::Unavailable { retry_after: Duration::from_secs(60) },
            Self::Damaged { .. } => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownTopic { .. } => "unknown_topic",
            Self::UnknownPartition { .. } => "unknown_partition",
            Self::InvalidTopic => "invalid_topic",
            Self::PartitionCountDiffers { .. } => "partition_count_differs",
            Self::Oversized { .. } => "oversized_message",
            Self::OffsetOutOfRange { .. } => "offset_out_of_range",
            Self::Expired { .. } => "offset_expired",
            Self::TopicDiffers { .. } => "topic_differs",
            Self::TopicReplaced { .. } => "topic_replaced",
            Self::Misconfigured { .. } => "bus_misconfigured",
            Self::AccessDenied { .. } => "bus_access_denied",
            Self::TimedOut { .. } => "bus_timed_out",
            Self::Locked => "bus_locked",
            Self::Closed => "bus_closed",
            Self::Damaged { .. } => "bus_damaged",
            Self::Storage(_) => "bus_unavailable",
        }
    }
}

/// What [`Bus::expire`] removes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// Messages before this position go.
    pub before: u64,
}

/// The durable log.
#[async_trait]
pub trait Bus: Send + Sync + fmt::Debug {
    /// Makes the topic, or answers what exists when it has the same number of partitions.
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError>;

    /// Every topic, by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError>;

    /// Appends to one partition; answers one position per message, in order, after all are durable. All or nothing
    /// for refusals; after [`BusError::Storage`] some may have landed, and appending again is safe.
    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError>;

    /// Messages from `from` on, in order, until their payloads reach `max_bytes`; at least one when there is one.
    /// Empty at the end of the log.
    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError>;

    /// The first position that is kept; 0 while nothing was removed.
    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError>;

    /// The position that the next message will get.
    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError>;

    /// Waits until the partition's end is greater than `beyond`, at most `timeout`; answers the end either way.
    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError>;

    /// Removes messages, except the last one of each partition, and answers the first position that is kept, for each.
    /// Whoever reads from before it gets [`BusError::Expired`]; positions and repetitions stay what they are. Removing what
    /// was removed before changes nothing.
    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError>;

    /// What this engine accepts.
    fn limits(&self) -> Limits;

    /// Where this engine differs.
    fn capabilities(&self) -> Capabilities;

    /// Fails when nothing can be appended any more until the log is opened again, as after a write that the disk refused.
    async fn check(&self) -> Result<(), BusError> {
        Ok(())
    }

    /// Finishes what was accepted and refuses more. Calling it is polite; durability does not depend on it.
    async fn close(&self) -> Result<(), BusError>;
}

const TOPIC_PREFIX: &str = "minqiao.";

/// Topic of an item.
pub fn topic_of(item: &str) -> String {
    format!("{TOPIC_PREFIX}{item}")
}

/// The item of a topic, if it is one's.
pub fn item_of(topic: &str) -> Option<&str> {
    topic.strip_prefix(TOPIC_PREFIX)
}

/// Checks a topic's name and number of partitions; for engines.
pub fn check_topic(topic: &str, partitions: u32) -> Result<(), BusError> {
    let named =
        (1..=200).contains(&topic.len()) && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if named && (1..=1024).contains(&partitions) { Ok(()) } else { Err(BusError::InvalidTopic) }
}

/// Checks the sizes of messages; for engines.
pub fn check_sizes(messages: &[Message], limits: Limits) -> Result<(), BusError> {
    match messages.iter().map(Message::len).find(|bytes| *bytes > limits.message_bytes_max) {
        Some(bytes) => Err(BusError::Oversized { bytes, max: limits.message_bytes_max }),
        None => Ok(()),
    }
}
