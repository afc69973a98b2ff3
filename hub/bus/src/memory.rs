//! A bus that forgets: for tests of other crates and as the contract's plainest reading.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use crate::api::{check_sizes, check_topic};
use crate::{Bus, BusError, Capabilities, Expiry, Limits, Message, Record, TopicInfo};

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryBus {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug)]
struct Topic {
    info: TopicInfo,
    partitions: Vec<Partition>,
}

#[derive(Debug)]
struct Partition {
    /// The first position that is kept; everything before has expired.
    first: u64,
    records: VecDeque<Record>,
    positions: HashMap<Vec<u8>, u64>,
    end: watch::Sender<u64>,
}

impl Partition {
    fn new() -> Self {
        Self { first: 0, records: VecDeque::new(), positions: HashMap::new(), end: watch::Sender::new(0) }
    }

    fn end(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

impl MemoryBus {
    /// An empty bus with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    fn with_partition<T>(
        &self,
        topic: &str,
        partition: u32,
        act: impl FnOnce(&mut Partition) -> Result<T, BusError>,
    ) -> Result<T, BusError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        let found = state.topics.get_mut(topic).ok_or_else(|| BusError::UnknownTopic { topic: topic.to_owned() })?;
        let partitions = found.info.partitions;
        let partition = found.partitions.get_mut(partition as usize).ok_or_else(|| BusError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
            partitions,
        })?;
        act(partition)
    }
}

#[async_trait]
impl Bus for MemoryBus {
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        check_topic(topic, partitions)?;
        let mut state = self.state.lock();
        if state.closed {
            return Err(BusError::Closed);
        }
        let found = state.topics.entry(topic.to_owned()).or_insert_with(|| Topic {
            info: TopicInfo { name: topic.to_owned(), id: Uuid::new_v4(), partitions },
            partitions: (0..partitions).map(|_| Partition::new()).collect(),
        });
        let actual = found.info.partitions;
        if actual == partitions {
            Ok(found.info.clone())
        } else {
            Err(BusError::PartitionCountDiffers { topic: topic.to_owned(), actual, wanted: partitions })
        }
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        Ok(self.state.lock().topics.values().map(|topic| topic.info.clone()).collect())
    }

    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError> {
        check_sizes(&messages, self.limits)?;
        self.with_partition(topic, partition, |partition| {
            let mut positions = Vec::with_capacity(messages.len());
            for message in messages {
                let next = partition.end();
                let offset = *partition.positions.entry(message.identity()).or_insert(next);
                if offset == next {
                    let Message { headers, payload } = message;
                    partition.records.push_back(Record { offset, headers, payload });
                }
                positions.push(offset);
            }
            partition.end.send_replace(partition.end());
            Ok(positions)
        })
    }

    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        self.with_partition(topic, partition, |partition| {
            let (first, end) = (partition.first, partition.end());
            if from > end {
                return Err(BusError::OffsetOutOfRange { from, end });
            }
            if from < first {
                return Err(BusError::Expired { from, first });
            }
            let mut bytes = 0;
            let start = usize::try_from(from - first).unwrap_or(usize::MAX);
            let mut records = Vec::new();
            for record in partition.records.range(start..) {
                bytes += record.payload.len();
                if !records.is_empty() && bytes > max_bytes {
                    break;
                }
                records.push(record.clone());
            }
            Ok(records)
        })
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.with_partition(topic, partition, |partition| Ok(partition.first))
    }

    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        self.with_partition(topic, partition, |partition| Ok(partition.end()))
    }

    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
        let end = self.with_partition(topic, partition, |partition| Ok(partition.end.subscribe()))?;
        wait_beyond(end, beyond, timeout).await
    }

    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError> {
        let expire = |each: &Expiry| {
            self.with_partition(&each.topic, each.partition, |partition| {
                while partition.first < each.before && partition.records.len() > 1 {
                    partition.records.pop_front();
                    partition.first += 1;
                }
                Ok(partition.first)
            })
        };
        what.iter().map(expire).collect()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: false, idempotent_forever: true }
    }

    async fn close(&self) -> Result<(), BusError> {
        let mut state = self.state.lock();
        state.closed = true;
        // Dropping the senders wakes whoever waits.
        state.topics.clear();
        Ok(())
    }
}

/// Waits on a partition's end; for engines.
pub async fn wait_beyond(mut end: watch::Receiver<u64>, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
    let reached =
        tokio::time::timeout(timeout, async { end.wait_for(|end| *end > beyond).await.map(|end| *end) }).await;
    match reached {
        Ok(Ok(end)) => Ok(end),
        Ok(Err(_)) => Err(BusError::Closed),
        Err(_) => Ok(*end.borrow()),
    }
}
