//! [`KafkaBus`]: the trait's methods over the parts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use minqiao_bus::api::{check_sizes, check_topic};
use minqiao_bus::memory::wait_beyond;
use minqiao_bus::{Bus, BusError, Capabilities, Expiry, Limits, Message, Record, TopicInfo};
use parking_lot::RwLock;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::KafkaOptions;
use crate::append::Appender;
use crate::context::{Heard, KafkaFigures, Listener};
use crate::describe::{Description, PartitionDescription};
use crate::ends::Ends;
use crate::failure::failure;
use crate::partition::{Partition, Topic, info};
use crate::producer::flush;
use crate::readers::{Readers, Stop};
use crate::topics::{Topics, blocking};

/// A topic that is read or waited for is looked at so often, whether it is still the same one (BUS-5).
const CONFIRM_EVERY: Duration = Duration::from_secs(10);
/// How often idle readers are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// The bus on Apache Kafka; see the crate.
#[derive(Debug)]
pub struct KafkaBus {
    options: KafkaOptions,
    heard: Arc<Heard>,
    topics: Topics,
    ends: Arc<Ends>,
    readers: Arc<Readers>,
    appender: Appender,
    in_use: RwLock<HashMap<String, Arc<Topic>>>,
    open: watch::Sender<bool>,
}

impl KafkaBus {
    /// Opens the bus: answers when a broker has answered, and says why when none does or when they refuse.
    pub async fn open(options: KafkaOptions) -> Result<Self, BusError> {
        options.check()?;
        let heard = Arc::new(Heard::default());
        let listener = Listener(Arc::clone(&heard));
        let ends = Arc::new(Ends::new(&options, listener.clone())?);
        let readers = Arc::new(Readers::new(&options, listener.clone()));
        // Its errors of connecting are what `connect` listens for.
        let appender = Appender::new(&options, &heard, &ends, &readers)?;
        let topics = Topics::new(&options, listener)?;
        topics.connect(&heard).await?;
        let (open, is_open) = watch::channel(true);
        tokio::spawn(Arc::clone(&ends).keep_asking(is_open.clone()));
        tokio::spawn(tidy(Arc::clone(&readers), is_open));
        Ok(Self { options, heard, topics, ends, readers, appender, in_use: RwLock::default(), open })
    }

    /// librdkafka's figures of the producer, at most `statistics_interval_ms` old.
    pub fn figures(&self) -> KafkaFigures {
        self.heard.figures()
    }

    /// How many brokers the cluster has: more copies than that cannot be.
    pub async fn brokers(&self) -> Result<usize, BusError> {
        self.topics.brokers().await
    }

    /// Removes every topic with the prefix of the options, with all it holds: for demonstrations and tests, whose prefix is
    /// theirs alone.
    pub async fn delete_topics(&self) -> Result<(), BusError> {
        let names: Vec<String> = self.topics().await?.into_iter().map(|topic| topic.name).collect();
        self.in_use.write().clear();
        self.topics.delete(&names).await
    }

    /// Takes a topic into use without asking for its id, which librdkafka's mock cluster cannot tell. For tests.
    #[doc(hidden)]
    pub fn take_into_use(&self, name: &str, id: uuid::Uuid, partitions: u32) {
        let partitions = (0..partitions).map(|_| PartitionDescription { has_leader: true, replicas: 1 }).collect();
        let description = Description { name: name.to_owned(), id, partitions };
        let topic = Arc::new(Topic::new(&description, self.options.window_messages));
        self.in_use.write().insert(name.to_owned(), topic);
    }

    fn check_open(&self) -> Result<(), BusError> {
        if *self.open.borrow() { Ok(()) } else { Err(BusError::Closed) }
    }

    /// The topic in use, or taken into use when the cluster has it.
    async fn topic(&self, name: &str) -> Result<Arc<Topic>, BusError> {
        let known = self.in_use.read().get(name).cloned();
        if let Some(topic) = known {
            topic.usable()?;
            return Ok(topic);
        }
        check_topic(name, 1)?;
        let unknown = || BusError::UnknownTopic { topic: name.to_owned() };
        let found = self.topics.describe(name).await?.ok_or_else(unknown)?;
        let mut in_use = self.in_use.write();
        let made = || Arc::new(Topic::new(&found, self.options.window_messages));
        Ok(Arc::clone(in_use.entry(name.to_owned()).or_insert_with(made)))
    }

    async fn partition(&self, topic: &str, partition: u32) -> Result<(Arc<Topic>, Arc<Partition>), BusError> {
        let topic = self.topic(topic).await?;
        let partition = topic.partition(partition)?;
        Ok((topic, partition))
    }

    /// Asks the cluster whether a topic is the one that is in use.
    async fn confirm(&self, topic: &Topic) -> Result<(), BusError> {
        let found = self.topics.describe(&topic.info.name).await?;
        if found.is_none() && topic.is_confirmed_within(CONFIRM_EVERY) {
            // More likely a broker that has not heard of it yet than one that is gone already.
            return topic.usable();
        }
        let confirmed = topic.confirm(found.as_ref());
        if matches!(confirmed, Err(BusError::UnknownTopic { .. })) {
            self.in_use.write().remove(&topic.info.name);
        }
        confirmed
    }

    async fn confirm_now_and_then(&self, topic: &Topic) -> Result<(), BusError> {
        if topic.is_confirmed_within(CONFIRM_EVERY) { Ok(()) } else { self.confirm(topic).await }
    }

    /// What to say when the broker does not have a position that should be there.
    async fn not_there(&self, topic: &Topic, partition: &Arc<Partition>, from: u64) -> BusError {
        let looked = async {
            self.confirm(topic).await?;
            self.ends.range(partition).await
        };
        match looked.await {
            Ok((first, _)) if from < first => BusError::Expired { from, first },
            Ok((_, end)) => BusError::OffsetOutOfRange { from, end },
            Err(error) => error,
        }
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        check_topic(topic, partitions)?;
        self.check_open()?;
        let found = self.topics.ensure(topic, partitions).await?;
        let mut in_use = self.in_use.write();
        match in_use.get(topic) {
            Some(known) if known.confirm(Some(&found)).is_ok() => {}
            // Asking for it by name is how a replaced topic is accepted.
            _ => {
                in_use.insert(topic.to_owned(), Arc::new(Topic::new(&found, self.options.window_messages)));
            }
        }
        Ok(info(&found))
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        // A broker that has not heard of a topic made here a moment ago is no reason to hide it.
        let fresh: BTreeMap<String, TopicInfo> = {
            let in_use = self.in_use.read();
            let fresh = in_use.values().filter(|topic| topic.is_confirmed_within(CONFIRM_EVERY));
            fresh.map(|topic| (topic.info.name.clone(), topic.info.clone())).collect()
        };
        let found = self.topics.list(fresh.keys().cloned().collect()).await?;
        let mut all = fresh;
        all.extend(found.iter().map(|topic| (topic.name.clone(), info(topic))));
        Ok(all.into_values().collect())
    }

    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError> {
        self.check_open()?;
        let (topic, partition) = self.partition(topic, partition).await?;
        check_sizes(&messages, self.options.limits())?;
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.appender.append(&partition, &messages).await;
        // "You have it already" and "you have it at an offset that is taken" are said only of the topic that it is true
        // of.
        let doubtful = partition.suspect.swap(false, Ordering::AcqRel) || appended.as_ref().is_ok_and(|a| a.repeated);
        if doubtful {
            self.confirm(&topic).await?;
        }
        Ok(appended?.positions)
    }

    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        let (topic, partition) = self.partition(topic, partition).await?;
        self.confirm_now_and_then(&topic).await?;
        let mut end = *partition.end.borrow();
        if from >= end {
            end = self.ends.ask(&partition).await?;
        }
        if from > end {
            self.confirm(&topic).await?;
            return Err(BusError::OffsetOutOfRange { from, end });
        }
        if from == end {
            return Ok(Vec::new());
        }
        match self.readers.read(&partition, from, end, max_bytes).await {
            Ok(records) => Ok(records),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::NotThere) => Err(self.not_there(&topic, &partition, from).await),
        }
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        let (_, partition) = self.partition(topic, partition).await?;
        Ok(self.ends.range(&partition).await?.0)
    }

    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        let (_, partition) = self.partition(topic, partition).await?;
        self.ends.ask(&partition).await
    }

    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
        let (topic, partition) = self.partition(topic, partition).await?;
        let known = *partition.end.borrow();
        if known > beyond {
            return Ok(known);
        }
        self.confirm_now_and_then(&topic).await?;
        let end = self.ends.ask(&partition).await?;
        if end > beyond || timeout.is_zero() {
            return Ok(end);
        }
        let _attended = self.ends.attend(&partition);
        let mut open = self.open.subscribe();
        tokio::select! {
            end = wait_beyond(partition.end.subscribe(), beyond, timeout) => end,
            closed = open.wait_for(|open| !*open) => { drop(closed); Err(BusError::Closed) }
        }
    }

    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError> {
        let (mut partitions, mut wanted) = (Vec::new(), Vec::new());
        for Expiry { topic, partition, before } in what {
            let (_, partition) = self.partition(topic, *partition).await?;
            let (first, end) = self.ends.range(&partition).await?;
            let kept = (*before).min(end.saturating_sub(1)).max(first);
            if kept > first {
                wanted.push((Arc::clone(&partition), kept));
            }
            partitions.push(kept);
        }
        self.topics.remove_before(&wanted).await?;
        Ok(partitions)
    }

    fn limits(&self) -> Limits {
        self.options.limits()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, idempotent_forever: false }
    }

    async fn close(&self) -> Result<(), BusError> {
        self.open.send_replace(false);
        let within = self.options.append_timeout();
        let (producer, readers) = (self.appender.producer.take(), Arc::clone(&self.readers));
        blocking(move || {
            readers.close_idle(true);
            let Some(native) = producer else { return Ok(()) };
            flush(&native, within).map_err(|code| failure("acknowledge what was sent", within, code))
        })
        .await
    }
}

/// Closes idle readers now and then, until the bus is closed.
async fn tidy(readers: Arc<Readers>, mut open: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = sleep(TIDY_EVERY) => {}
            closed = open.wait_for(|open| !*open) => { drop(closed); return }
        }
        let readers = Arc::clone(&readers);
        if let Err(error) = blocking(move || {
            readers.close_idle(false);
            Ok(())
        })
        .await
        {
            tracing::debug!(%error, "idle readers were not closed");
        }
    }
}
