//! Appending to a partition: look, send, wait, and look again where the outcome is unknown.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use minqiao_bus::{BusError, Message};
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::KafkaOptions;
use crate::context::Heard;
use crate::ends::Ends;
use crate::failure::failure;
use crate::partition::Partition;
use crate::producer::{Delivery, Producer, send};
use crate::readers::{Readers, Stop};
use crate::window::{Ending, Place};

const DOING: &str = "acknowledge an append";
/// One permit of the queue stands for this many bytes.
const PERMIT_BYTES: usize = 1024;
/// Bytes that one look into the log takes at a time.
const LOOK_BYTES: usize = 8 << 20;
/// How long a look waits for acknowledgements that would spare it the reading.
const SPARE: Duration = Duration::from_millis(500);

/// The part of the bus that appends.
#[derive(Debug)]
pub(crate) struct Appender {
    pub(crate) options: KafkaOptions,
    pub(crate) producer: Producer,
    pub(crate) heard: Arc<Heard>,
    pub(crate) ends: Arc<Ends>,
    pub(crate) readers: Arc<Readers>,
    queued: Arc<Semaphore>,
}

/// Positions of a call's messages, and whether any was in the log before.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) positions: Vec<u64>,
    pub(crate) repeated: bool,
}

impl Appender {
    pub(crate) fn new(
        options: &KafkaOptions,
        heard: &Arc<Heard>,
        ends: &Arc<Ends>,
        readers: &Arc<Readers>,
    ) -> Result<Self, BusError> {
        let permits = options.queued_bytes_max.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            options: options.clone(),
            producer: Producer::new(options, heard)?,
            heard: Arc::clone(heard),
            ends: Arc::clone(ends),
            readers: Arc::clone(readers),
            queued: Arc::new(Semaphore::new(permits)),
        })
    }

    pub(crate) async fn append(&self, partition: &Arc<Partition>, messages: &[Message]) -> Result<Appended, BusError> {
        let deadline = Instant::now() + self.options.append_timeout();
        let queued = timeout_at(deadline, self.room_for(messages)).await.map_err(|_| self.late())??;
        // An epoch is one process's own: nobody else can have sent one of its messages, nor this process before it began.
        let own = messages.iter().all(|message| message.headers.epoch > 0);
        let look = !(own || self.options.only_writer) || partition.window.lock().is_uncertain();
        if look {
            let remember = if own { 0 } else { self.window() };
            timeout_at(deadline, self.look(partition, remember)).await.map_err(|_| self.late())??;
        }
        let places = self.place(partition, messages, Arc::new(queued)).await?;
        let repeated = places.iter().any(|place| matches!(place, Place::Stored(_)));
        let mut endings = Vec::with_capacity(places.len());
        for place in places {
            endings.push(timeout_at(deadline, ending(place)).await.map_err(|_| self.late())?);
        }
        let positions = match endings.iter().copied().collect::<Result<Vec<_>, _>>() {
            Ok(positions) => positions,
            Err(code) => {
                timeout_at(deadline, self.look(partition, self.window())).await.map_err(|_| self.late())??;
                self.found(partition, messages, code)?
            }
        };
        Ok(Appended { positions, repeated })
    }

    /// The error of an append that was not answered in time.
    fn late(&self) -> BusError {
        match self.heard.refusal() {
            Some(reason) => BusError::AccessDenied { reason },
            None => BusError::TimedOut { doing: DOING, waited: self.options.append_timeout() },
        }
    }

    /// BUS-6: waits while too much is on its way.
    async fn room_for(&self, messages: &[Message]) -> Result<OwnedSemaphorePermit, BusError> {
        let bytes: usize = messages.iter().map(|message| message.len() + PERMIT_BYTES).sum();
        let all = self.options.queued_bytes_max.div_ceil(PERMIT_BYTES);
        let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES).min(all)).unwrap_or(u32::MAX);
        Arc::clone(&self.queued).acquire_many_owned(permits).await.map_err(|_| BusError::Closed)
    }

    /// Sends what is not in the log and not on its way; answers where each message is.
    async fn place(
        &self,
        partition: &Arc<Partition>,
        messages: &[Message],
        queued: Arc<OwnedSemaphorePermit>,
    ) -> Result<Vec<Place>, BusError> {
        let native = self.producer.current().await?;
        // The lock keeps the messages of a call together: librdkafka keeps a partition's order.
        let mut window = partition.window.lock();
        let after = window.known().unwrap_or(0);
        let mut places = Vec::with_capacity(messages.len());
        for message in messages {
            let identity = message.headers.identity();
            if let Some(place) = window.place(&identity) {
                places.push(place.clone());
                continue;
            }
            let (ending, ended) = watch::channel(None);
            let delivery = Delivery {
                partition: Arc::clone(partition),
                identity: identity.clone(),
                after,
                ending,
                _queued: Arc::clone(&queued),
            };
            match send(&native, message, Box::new(delivery)) {
                Ok(()) => {
                    window.sent(identity, ended.clone());
                    places.push(Place::OnItsWay(ended));
                }
                Err((code, _delivery)) => {
                    drop(window);
                    return Err(self.refused(message, code));
                }
            }
        }
        Ok(places)
    }

    /// librdkafka did not take a message.
    fn refused(&self, message: &Message, code: RDKafkaErrorCode) -> BusError {
        match code {
            RDKafkaErrorCode::Fatal => {
                self.heard.say_fatal();
                BusError::Storage(Box::new(crate::Failure { doing: DOING, code }))
            }
            // Its headers are beyond all measure.
            RDKafkaErrorCode::MessageSizeTooLarge => {
                BusError::Oversized { bytes: message.len(), max: self.options.message_bytes_max }
            }
            code => failure(DOING, Duration::ZERO, code),
        }
    }

    /// Positions of messages whose outcome was unknown, from the log.
    fn found(&self, partition: &Partition, messages: &[Message], code: RDKafkaErrorCode) -> Result<Vec<u64>, BusError> {
        let window = partition.window.lock();
        let position = |message: &Message| match window.place(&message.headers.identity()) {
            Some(Place::Stored(offset)) => Some(*offset),
            _ => None,
        };
        let positions: Option<Vec<u64>> = messages.iter().map(position).collect();
        positions.ok_or_else(|| match code {
            RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition => {
                BusError::UnknownTopic { topic: partition.topic.clone() }
            }
            code => failure(DOING, self.options.append_timeout(), code),
        })
    }

    fn window(&self) -> u64 {
        u64::try_from(self.options.window_messages).unwrap_or(u64::MAX)
    }

    /// Reads what the log got since the last look, so that the window knows every message that was stored before the
    /// call; the first time the last `remember` messages. Callers that come while one looks are served together by the next
    /// look.
    async fn look(&self, partition: &Arc<Partition>, remember: u64) -> Result<(), BusError> {
        let arrival = partition.arrivals.fetch_add(1, Ordering::AcqRel) + 1;
        let mut served = partition.looking.lock().await;
        if *served >= arrival && !partition.window.lock().is_uncertain() {
            return Ok(());
        }
        let serves = partition.arrivals.load(Ordering::Acquire);
        let doubts = self.catch_up(partition, remember).await?;
        partition.window.lock().settle(doubts);
        *served = serves;
        Ok(())
    }

    /// Reads to the end that the log has now; answers what that settles. May be given up at any point.
    async fn catch_up(&self, partition: &Arc<Partition>, remember: u64) -> Result<u64, BusError> {
        let known = partition.window.lock().known();
        let (doubts, end) = match known {
            Some(known) => {
                let doubts = partition.window.lock().begin(known);
                let end = self.ends.ask(partition).await?;
                // What others appended long before is forgotten anyway.
                partition.window.lock().skip_to(end.saturating_sub(self.window()));
                (doubts, end)
            }
            None => {
                let (first, end) = self.ends.range(partition).await?;
                (partition.window.lock().begin(first.max(end.saturating_sub(remember))), end)
            }
        };
        if known.is_some_and(|known| end < known) {
            return Err(lost_its_end(partition));
        }
        self.spare(partition, end).await;
        loop {
            let from = partition.window.lock().known().unwrap_or(end);
            if from >= end {
                return Ok(doubts);
            }
            match self.readers.read(partition, from, end, LOOK_BYTES).await {
                Ok(records) => {
                    let mut window = partition.window.lock();
                    for record in records {
                        window.read(record.headers.identity(), record.offset);
                    }
                }
                Err(Stop::Failed(error)) => return Err(error),
                Err(Stop::NotThere) => {
                    let (first, _) = self.ends.range(partition).await?;
                    if from >= first {
                        return Err(lost_its_end(partition));
                    }
                    partition.window.lock().skip_to(first);
                }
            }
        }
    }

    /// What lies before `end` may be this process's own, about to be acknowledged: reading it back would be waste.
    async fn spare(&self, partition: &Partition, end: u64) {
        let until = Instant::now() + SPARE;
        loop {
            let changed = partition.changed.notified();
            {
                let window = partition.window.lock();
                if !window.is_waiting() || window.known().is_none_or(|known| known >= end) {
                    return;
                }
            }
            if timeout_at(until, changed).await.is_err() {
                return;
            }
        }
    }
}

/// The log ends before what was acknowledged: the topic is another one, which the caller then finds out, or a leader
/// without all messages was elected.
fn lost_its_end(partition: &Partition) -> BusError {
    partition.suspect.store(true, Ordering::Release);
    let (topic, number) = (&partition.topic, partition.number);
    tracing::error!(topic, partition = number, "the partition ends before messages that it had acknowledged");
    BusError::Storage(Box::new(crate::Failure { doing: DOING, code: RDKafkaErrorCode::LogTruncation }))
}

/// How a message ended.
async fn ending(place: Place) -> Ending {
    match place {
        Place::Stored(offset) => Ok(offset),
        Place::OnItsWay(mut ended) => match ended.wait_for(Option::is_some).await {
            Ok(ending) => ending.unwrap_or(Err(RDKafkaErrorCode::Fail)),
            // The producer is gone.
            Err(_) => Err(RDKafkaErrorCode::PurgeInflight),
        },
    }
}
