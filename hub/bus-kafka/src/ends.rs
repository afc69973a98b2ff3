//! Where logs end and begin, and who waits for that to change.
//!
//! The end is what a reader with `read_committed` may see: messages that every in-sync replica has. Whoever waits is
//! woken by this process's own acknowledgements at once; for other processes' messages one question per broker and
//! interval asks for all awaited partitions together, so that a hundred waiters cost what one does.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::BusError;
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::KafkaOptions;
use crate::context::Listener;
use crate::failure::{code_of, denied, failure, unusable};
use crate::partition::Partition;
use crate::topics::blocking;

const DOING: &str = "tell the end of a partition";
/// Pause before asking again while a partition has no leader.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// How long one question may take; callers ask again.
const ONE_TRY: Duration = Duration::from_secs(2);
/// How long a topic may be unknown to brokers after it was made.
const UNKNOWN: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Ends {
    client: Arc<BaseConsumer<Listener>>,
    within: Duration,
    interval: Duration,
    awaited: Mutex<HashMap<(String, i32), Awaited>>,
    wake: Notify,
}

/// A partition and how many wait for it.
type Awaited = (Arc<Partition>, usize);

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").field("awaited", &self.awaited.lock().len()).finish_non_exhaustive()
    }
}

impl Ends {
    pub(crate) fn new(options: &KafkaOptions, listener: Listener) -> Result<Self, BusError> {
        let client = BaseConsumer::from_config_and_context(&options.reader()?, listener).map_err(|e| unusable(&e))?;
        Ok(Self {
            client: Arc::new(client),
            within: options.request_timeout(),
            interval: options.poll_interval(),
            awaited: Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// The end of a partition, asked freshly. Waits for a leader while there is none, and less long for a topic that
    /// brokers do not know: they may not have heard of it yet.
    pub(crate) async fn ask(&self, partition: &Arc<Partition>) -> Result<u64, BusError> {
        let began = Instant::now();
        let mut only_unknown = true;
        loop {
            let answer = self.ask_all(vec![Arc::clone(partition)]).await?.pop();
            let code = match answer {
                Some((_, Ok(end))) => return Ok(end),
                Some((_, Err(code))) => code,
                None => RDKafkaErrorCode::Fail,
            };
            tracing::debug!(topic = partition.topic, partition = partition.number, ?code, "the end is not known");
            // During an outage librdkafka says now this, now that.
            only_unknown &= is_unknown(code);
            let patience = if only_unknown { self.within.min(UNKNOWN) } else { self.within };
            if only_unknown && began.elapsed() >= patience {
                return Err(BusError::UnknownTopic { topic: partition.topic.clone() });
            }
            if denied(code).is_some() {
                return Err(failure(DOING, self.within, code));
            }
            if began.elapsed() >= patience {
                return Err(BusError::TimedOut { doing: DOING, waited: self.within });
            }
            sleep(ASK_AGAIN).await;
        }
    }

    /// The first offset that is kept, and the end.
    pub(crate) async fn range(&self, partition: &Arc<Partition>) -> Result<(u64, u64), BusError> {
        let end = self.ask(partition).await?;
        let (client, within, asked) = (Arc::clone(&self.client), self.within, Arc::clone(partition));
        let (low, _) = blocking(move || {
            let answer = client.fetch_watermarks(&asked.topic, asked.number, within);
            answer.map_err(|error| failure(DOING, within, code_of(&error)))
        })
        .await?;
        Ok((u64::try_from(low).unwrap_or(0), end))
    }

    /// One question per broker; partitions hear their ends.
    async fn ask_all(
        &self,
        partitions: Vec<Arc<Partition>>,
    ) -> Result<Vec<(Arc<Partition>, Result<u64, RDKafkaErrorCode>)>, BusError> {
        // A partition without a leader makes the whole question wait: not as long as the caller would.
        let (client, within) = (Arc::clone(&self.client), self.within.min(ONE_TRY));
        blocking(move || {
            let mut list = TopicPartitionList::with_capacity(partitions.len());
            for partition in &partitions {
                // Where a time stamp belongs, `End` asks for the end.
                let added = list.add_partition_offset(&partition.topic, partition.number, Offset::End);
                added.map_err(|error| failure(DOING, within, code_of(&error)))?;
            }
            let answer = client.offsets_for_times(list, within);
            let all_known = answer.as_ref().is_ok_and(|list| list.elements().iter().all(|each| each.error().is_ok()));
            if !all_known {
                // This client has no topics of its own, so librdkafka would believe in a dead leader for minutes.
                for topic in partitions.iter().map(|partition| &partition.topic).collect::<BTreeSet<_>>() {
                    if let Err(error) = client.fetch_metadata(Some(topic), within) {
                        tracing::debug!(code = ?code_of(&error), "leaders are not known");
                        break;
                    }
                }
            }
            // Errors of connections wait here; their listener hears them.
            while client.poll(Duration::ZERO).is_some() {}
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    let code = code_of(&error);
                    return Ok(partitions.into_iter().map(|partition| (partition, Err(code))).collect());
                }
            };
            let end_of = |partition: &Partition| {
                let found = answer.find_partition(&partition.topic, partition.number);
                let found = found.ok_or(RDKafkaErrorCode::UnknownPartition)?;
                found.error().map_err(|error| code_of(&error))?;
                let Offset::Offset(end) = found.offset() else { return Err(RDKafkaErrorCode::NoOffset) };
                u64::try_from(end).map_err(|_| RDKafkaErrorCode::NoOffset)
            };
            let heard = partitions.into_iter().map(|partition| {
                let end = end_of(&partition);
                if let Ok(end) = end {
                    partition.reaches(end);
                }
                (partition, end)
            });
            Ok(heard.collect())
        })
        .await
    }

    /// Keeps asking for a partition's end until the answer is dropped.
    pub(crate) fn attend(self: &Arc<Self>, partition: &Arc<Partition>) -> Attended {
        let key = (partition.topic.clone(), partition.number);
        self.awaited.lock().entry(key.clone()).or_insert_with(|| (Arc::clone(partition), 0)).1 += 1;
        self.wake.notify_one();
        Attended { ends: Arc::clone(self), key }
    }

    /// Asks for awaited partitions until `open` is gone.
    pub(crate) async fn keep_asking(self: Arc<Self>, mut open: watch::Receiver<bool>) {
        loop {
            let awaited: Vec<_> = self.awaited.lock().values().map(|(partition, _)| Arc::clone(partition)).collect();
            let round = async {
                if awaited.is_empty() {
                    self.wake.notified().await;
                } else {
                    if let Err(error) = self.ask_all(awaited).await {
                        tracing::debug!(%error, "ends of partitions are not known");
                    }
                    sleep(self.interval).await;
                }
            };
            tokio::select! {
                () = round => {}
                changed = open.wait_for(|open| !*open) => { drop(changed); return }
            }
        }
    }
}

/// Somebody waits for a partition.
#[derive(Debug)]
pub(crate) struct Attended {
    ends: Arc<Ends>,
    key: (String, i32),
}

impl Drop for Attended {
    fn drop(&mut self) {
        let mut awaited = self.ends.awaited.lock();
        if let Some((_, waiters)) = awaited.get_mut(&self.key) {
            *waiters -= 1;
            if *waiters == 0 {
                awaited.remove(&self.key);
            }
        }
    }
}

/// A broker's own word. librdkafka's `UnknownPartition` only says that it has no leader for it in mind.
fn is_unknown(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
}
