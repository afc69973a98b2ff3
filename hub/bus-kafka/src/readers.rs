//! Reading by position: a few consumers, each on one partition at a time, without a group.
//!
//! A consumer that is asked to go on where it stopped has the next messages already; asked for anything else it is
//! assigned anew. Offsets are never committed: positions are the lake's (architecture D3).

use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::{BusError, Record};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::KafkaOptions;
use crate::context::Listener;
use crate::failure::{code_of, denied, failure, unusable};
use crate::partition::Partition;
use crate::topics::blocking;
use crate::wire::record_of;

const DOING: &str = "read a partition";
/// Readers that nobody used for so long are closed: they hold connections and memory.
const IDLE: Duration = Duration::from_secs(60);
/// By then a partition that was just assigned is being fetched, or its broker has to be woken.
const STARTS_WITHIN: Duration = Duration::from_millis(5);
const WAKES_WITHIN: Duration = Duration::from_millis(500);

/// Why a read did not go on.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The broker does not have the position.
    NotThere,
    /// Anything else.
    Failed(BusError),
}

impl From<BusError> for Stop {
    fn from(error: BusError) -> Self {
        Self::Failed(error)
    }
}

/// See the module.
pub(crate) struct Readers {
    options: KafkaOptions,
    listener: Listener,
    busy: Arc<Semaphore>,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Reader>,
    made: usize,
}

struct Reader {
    consumer: BaseConsumer<Listener>,
    topic: String,
    partition: i32,
    /// The offset that comes next.
    next: u64,
    /// Read, but there was no room for it in the answer.
    waiting: Option<Record>,
    /// Assigned, and nothing has come yet.
    fresh: bool,
    used: Instant,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").field("made", &self.pool.lock().made).finish_non_exhaustive()
    }
}

impl Readers {
    pub(crate) fn new(options: &KafkaOptions, listener: Listener) -> Self {
        let busy = Arc::new(Semaphore::new(options.readers_max));
        Self { options: options.clone(), listener, busy, pool: Mutex::default() }
    }

    /// Messages from `from` on until their payloads reach `max_bytes` or `end` is reached; at least one. `from` must be
    /// less than `end`, and `end` known to exist.
    pub(crate) async fn read(
        self: &Arc<Self>,
        partition: &Arc<Partition>,
        from: u64,
        end: u64,
        max_bytes: usize,
    ) -> Result<Vec<Record>, Stop> {
        let within = self.options.request_timeout();
        let late = BusError::TimedOut { doing: DOING, waited: within };
        let busy = tokio::time::timeout(within, Arc::clone(&self.busy).acquire_owned()).await;
        let busy = busy.map_err(|_| late)?.map_err(|_| BusError::Closed)?;
        let (readers, partition) = (Arc::clone(self), Arc::clone(partition));
        let read = blocking(move || {
            let mut reader = readers.take(&partition, from)?;
            let read = reader.read(from, end, max_bytes, within);
            reader.used = Instant::now();
            match read {
                Ok(_) => readers.give_back(reader),
                // Whatever state it is in: the next one starts clean.
                Err(_) => readers.forget(reader),
            }
            drop(busy);
            Ok(read)
        });
        read.await?
    }

    fn take(&self, partition: &Partition, from: u64) -> Result<Reader, BusError> {
        let found = {
            let mut pool = self.pool.lock();
            let fits = |reader: &Reader| {
                reader.next == from && reader.partition == partition.number && reader.topic == partition.topic
            };
            let oldest = || pool.idle.iter().enumerate().min_by_key(|(_, reader)| reader.used).map(|(at, _)| at);
            let at = pool.idle.iter().position(fits);
            let at = at.or_else(|| if pool.made >= self.options.readers_max { oldest() } else { None });
            let found = at.map(|at| pool.idle.swap_remove(at));
            if found.is_none() {
                pool.made += 1;
            }
            found
        };
        let mut reader = match found {
            Some(reader) if reader.is_at(partition, from) => return Ok(reader),
            Some(reader) => reader,
            None => self.make().inspect_err(|_| self.pool.lock().made -= 1)?,
        };
        match reader.go_to(partition, from) {
            Ok(()) => Ok(reader),
            Err(error) => {
                self.forget(reader);
                Err(error)
            }
        }
    }

    fn make(&self) -> Result<Reader, BusError> {
        let config = self.options.reader()?;
        let consumer =
            BaseConsumer::from_config_and_context(&config, self.listener.clone()).map_err(|error| unusable(&error))?;
        Ok(Reader {
            consumer,
            topic: String::new(),
            partition: -1,
            next: 0,
            waiting: None,
            fresh: true,
            used: Instant::now(),
        })
    }

    fn give_back(&self, reader: Reader) {
        self.pool.lock().idle.push(reader);
    }

    fn forget(&self, reader: Reader) {
        self.pool.lock().made -= 1;
        drop(reader);
    }

    /// Closes readers that nobody uses; blocks while they close.
    pub(crate) fn close_idle(&self, all: bool) {
        let gone: Vec<Reader> = {
            let mut pool = self.pool.lock();
            let (gone, kept) = std::mem::take(&mut pool.idle).into_iter().partition(|r| all || r.used.elapsed() > IDLE);
            pool.idle = kept;
            gone
        };
        self.pool.lock().made -= gone.len();
    }
}

impl Reader {
    fn is_at(&self, partition: &Partition, from: u64) -> bool {
        self.next == from && self.partition == partition.number && self.topic == partition.topic
    }

    fn go_to(&mut self, partition: &Partition, from: u64) -> Result<(), BusError> {
        let wrong = || BusError::Storage(Box::new(crate::Failure { doing: DOING, code: RDKafkaErrorCode::Fail }));
        let offset = i64::try_from(from).map_err(|_| wrong())?;
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(offset)).map_err(|_| wrong())?;
        self.consumer.assign(&list).map_err(|_| wrong())?;
        (self.topic, self.partition, self.next) = (partition.topic.clone(), partition.number, from);
        (self.waiting, self.fresh) = (None, true);
        Ok(())
    }

    fn read(&mut self, from: u64, end: u64, max_bytes: usize, within: Duration) -> Result<Vec<Record>, Stop> {
        let deadline = Instant::now() + within;
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let mut next = from;
        while next < end && (records.is_empty() || bytes < max_bytes) {
            let record = self.record(deadline, within)?;
            // A hole would mean lost messages: transactions and compaction, which leave holes, are not used here.
            if record.offset != next {
                return Err(Stop::Failed(BusError::Damaged { what: "sequence of offsets" }));
            }
            if !records.is_empty() && bytes + record.payload.len() > max_bytes {
                self.waiting = Some(record);
                break;
            }
            bytes += record.payload.len();
            next += 1;
            records.push(record);
        }
        self.next = next;
        Ok(records)
    }

    /// The next record, waited for.
    fn record(&mut self, deadline: Instant, within: Duration) -> Result<Record, Stop> {
        if let Some(record) = self.waiting.take() {
            return Ok(record);
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Failed(BusError::TimedOut { doing: DOING, waited: within }));
            }
            let pause = if self.fresh { left.min(STARTS_WITHIN) } else { left };
            match self.consumer.poll(pause) {
                Some(Ok(message)) if message.topic() == self.topic && message.partition() == self.partition => {
                    self.fresh = false;
                    return Ok(record_of(&message)?);
                }
                // What an earlier assignment had fetched is dropped by librdkafka; this is for certainty.
                Some(Ok(_)) => {}
                Some(Err(error)) => self.heard(&error, within)?,
                None => self.wake_broker(),
            }
        }
    }

    /// A thread of librdkafka that had nothing to fetch looks for new partitions once a second; a request to its broker
    /// makes it look now.
    fn wake_broker(&self) {
        if self.fresh {
            let _answer_is_of_no_use =
                self.consumer.fetch_watermarks(&self.topic, self.partition, WAKES_WITHIN).is_ok();
        }
    }

    /// Whether reading can go on after an error; librdkafka repairs connections by itself.
    fn heard(&self, error: &KafkaError, within: Duration) -> Result<(), Stop> {
        let code = code_of(error);
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => Err(Stop::NotThere),
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                Err(Stop::Failed(BusError::UnknownTopic { topic: self.topic.clone() }))
            }
            code if denied(code).is_some() => Err(Stop::Failed(failure(DOING, within, code))),
            // A record fails its checksum or cannot be decompressed.
            RDKafkaErrorCode::BadMessage | RDKafkaErrorCode::InvalidMessage | RDKafkaErrorCode::BadCompression => {
                Err(Stop::Failed(BusError::Damaged { what: "record" }))
            }
            code => {
                tracing::debug!(?code, "a reader goes on after an error");
                Ok(())
            }
        }
    }
}
