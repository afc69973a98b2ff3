//! The bus of one machine, on an embedded log-structured store.
//!
//! Why fjall and not files of our own: torn tails, checksums, journals and compaction are solved there and tested.
//! One keyspace holds the messages under keys that sort by topic, partition and offset, with the payloads in blob
//! files; two small ones hold the topics and the identities of messages.
//!
//! ```text
//! keyspace `topics`      name                                   -> JSON {info, number}
//! keyspace `messages`    number u32 ‖ partition u32 ‖ offset u64 -> 1 ‖ header length u32 ‖ headers JSON ‖ payload
//! keyspace `identities`  number u32 ‖ partition u32 ‖ provider 0 batch 0 first row u32 rows u32 -> offset u64
//! (all integers big endian)
//! ```
//!
//! **Durability (BUS-1).** One committer thread takes what waits, up to [`GROUP_BYTES`], writes it as one fjall batch
//! and syncs the journal; only then are the callers answered and the ends of the partitions moved. Appends that run
//! at the same time share one sync. A batch is in the journal whole or not at all (it carries a checksum), so a crash
//! leaves no half of a call. What a crashed process wrote but did not acknowledge may be there after opening; opening
//! syncs it before showing it (BUS-4), and its sender, who must send again, gets its position (BUS-3).
//!
//! **Damage.** A log that lacks what was acknowledged does not open (`noted`).
//!
//! **A failed write or sync** poisons the store: every later append fails until the process is started again, because
//! what the disk holds is unknown from then on. [`Bus::check`] tells.
//!
//! **Memory** is the queue ([`Limits::queued_bytes_max`]), up to five memtables of [`EmbeddedOptions::memtable_bytes`]
//! and the block cache.

mod committer;
mod layout;
mod noted;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

use crate::api::{check_sizes, check_topic};
use crate::memory::wait_beyond;
use crate::{Bus, BusError, Capabilities, Expiry, Limits, Message, Record, TopicInfo};
use committer::Append;
use noted::Noted;

/// Bytes that one journal sync takes together at most.
pub const GROUP_BYTES: usize = 8 << 20;
/// Appends that may wait at once; their bytes are bounded by [`Limits::queued_bytes_max`].
const QUEUE_APPENDS: usize = 1024;
/// One permit of the queue stands for this many bytes.
const PERMIT_BYTES: usize = 1024;

/// Messages that one write removes.
const EXPIRED_AT_ONCE: u64 = 10_000;

/// What a log is called that lost messages.
const MISSING: &str = "log, which lacks acknowledged messages,";

/// How to open an [`EmbeddedBus`].
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// Directory; made when missing, with its parents.
    pub dir: PathBuf,
    /// What to accept.
    pub limits: Limits,
    /// Size at which the messages' memtable is written out.
    pub memtable_bytes: u64,
    /// Block cache.
    pub cache_bytes: u64,
}

impl EmbeddedOptions {
    /// Defaults: 32 MiB memtables, 16 MiB cache.
    pub fn at(dir: impl AsRef<Path>) -> Self {
        Self {
            dir: dir.as_ref().to_owned(),
            limits: Limits::default(),
            memtable_bytes: 32 << 20,
            cache_bytes: 16 << 20,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct EmbeddedBus {
    log: Arc<Log>,
    limits: Limits,
    queued: Arc<Semaphore>,
    appends: Mutex<Option<mpsc::Sender<Append>>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// What the committer, the readers and the handle share.
pub(crate) struct Log {
    db: Database,
    messages: Keyspace,
    identities: Keyspace,
    topics_stored: Keyspace,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    /// Held while a topic is made.
    making: Mutex<()>,
    /// Held while messages are removed.
    expiring: Mutex<()>,
    noted: Noted,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("topics", &self.topics.read().len()).finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Topic {
    info: TopicInfo,
    number: u32,
    /// Per partition: the first offset that is kept.
    firsts: Vec<AtomicU64>,
    /// Per partition: the next offset, never ahead of durability.
    ends: Vec<watch::Sender<u64>>,
}

impl Topic {
    fn first(&self, partition: u32) -> u64 {
        self.firsts[partition as usize].load(Ordering::Acquire)
    }
}

impl EmbeddedBus {
    /// Opens or makes the bus. Fails with [`BusError::Locked`] when another process has it open. Blocks for the time
    /// that replaying the journal takes (at most 128 MiB of it).
    pub fn open(options: EmbeddedOptions) -> Result<Self, BusError> {
        std::fs::create_dir_all(&options.dir).map_err(|error| BusError::Storage(Box::new(error)))?;
        let log = Arc::new(Log::open(&options)?);
        let (appends, queue) = mpsc::channel(QUEUE_APPENDS);
        let committer = std::thread::Builder::new()
            .name("bus-commit".to_owned())
            .spawn({
                let log = Arc::clone(&log);
                move || committer::run(&log, queue)
            })
            .map_err(|error| BusError::Storage(Box::new(error)))?;
        let permits = options.limits.queued_bytes_max.div_ceil(PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            log,
            limits: options.limits,
            queued: Arc::new(Semaphore::new(permits)),
            appends: Mutex::new(Some(appends)),
            committer: Mutex::new(Some(committer)),
        })
    }

    fn permits(&self, messages: &[Message]) -> u32 {
        let bytes: usize = messages.iter().map(|message| message.len() + PERMIT_BYTES).sum();
        let all = self.limits.queued_bytes_max.div_ceil(PERMIT_BYTES);
        u32::try_from(bytes.div_ceil(PERMIT_BYTES).min(all)).unwrap_or(u32::MAX)
    }
}

impl Log {
    fn open(options: &EmbeddedOptions) -> Result<Self, BusError> {
        let db = Database::builder(&options.dir)
            .cache_size(options.cache_bytes)
            .journal_compression(CompressionType::None)
            .max_journaling_size(128 << 20)
            .worker_threads(2)
            .open()
            .map_err(storage)?;
        let messages = db
            .keyspace("messages", || {
                KeyspaceCreateOptions::default()
                    .max_memtable_size(options.memtable_bytes)
                    // Half of a payload is ciphertext: compressing it costs more than it saves.
                    .with_kv_separation(Some(KvSeparationOptions::default().compression(CompressionType::None)))
            })
            .map_err(storage)?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(4 << 20);
        let identities = db.keyspace("identities", small).map_err(storage)?;
        let topics_stored = db.keyspace("topics", small).map_err(storage)?;
        // What a crashed process left in the journal may still be only in the system's cache.
        db.persist(PersistMode::SyncAll).map_err(storage)?;

        let (noted, mut acknowledged) = Noted::open(&options.dir)?;
        let mut topics = BTreeMap::new();
        for entry in topics_stored.iter() {
            let (_, value) = entry.into_inner().map_err(storage)?;
            let (info, number) = layout::read_topic(&value)?;
            let mut ends = Vec::with_capacity(info.partitions as usize);
            let mut firsts = Vec::with_capacity(info.partitions as usize);
            for partition in 0..info.partitions {
                let mut kept = messages.prefix(layout::partition_prefix(number, partition));
                let offset = |entry: fjall::Guard| layout::offset_of(&entry.key().map_err(storage)?);
                let first = kept.next().map(offset).transpose()?;
                // The last message never expires, so it tells the end.
                let last = kept.next_back().map(offset).transpose()?.or(first);
                let end = last.map_or(0, |last| last + 1);
                firsts.push(AtomicU64::new(first.unwrap_or(0)));
                let place = (number, partition);
                if acknowledged.remove(&place).is_some_and(|acknowledged| acknowledged > end) {
                    return Err(BusError::Damaged { what: MISSING });
                }
                // What is shown from now on must not disappear either.
                noted.note(place, end);
                ends.push(watch::Sender::new(end));
            }
            topics.insert(info.name.clone(), Arc::new(Topic { info, number, firsts, ends }));
        }
        if !acknowledged.is_empty() {
            return Err(BusError::Damaged { what: MISSING });
        }
        let (making, expiring) = (Mutex::new(()), Mutex::new(()));
        Ok(Self { db, messages, identities, topics_stored, topics: RwLock::new(topics), making, expiring, noted })
    }

    fn topic(&self, name: &str, partition: u32) -> Result<Arc<Topic>, BusError> {
        let topics = self.topics.read();
        let topic = topics.get(name).ok_or_else(|| BusError::UnknownTopic { topic: name.to_owned() })?;
        let partitions = topic.info.partitions;
        if partition < partitions {
            Ok(Arc::clone(topic))
        } else {
            Err(BusError::UnknownPartition { topic: name.to_owned(), partition, partitions })
        }
    }

    fn make_topic(&self, name: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        let _making = self.making.lock();
        if let Some(topic) = self.topics.read().get(name) {
            let actual = topic.info.partitions;
            return if actual == partitions {
                Ok(topic.info.clone())
            } else {
                Err(BusError::PartitionCountDiffers { topic: name.to_owned(), actual, wanted: partitions })
            };
        }
        let number = self.topics.read().values().map(|topic| topic.number + 1).max().unwrap_or(0);
        let info = TopicInfo { name: name.to_owned(), id: Uuid::new_v4(), partitions };
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.topics_stored, name, layout::write_topic(&info, number));
        batch.commit().map_err(storage)?;
        let firsts = (0..partitions).map(|_| AtomicU64::new(0)).collect();
        let ends = (0..partitions).map(|_| watch::Sender::new(0)).collect();
        self.topics.write().insert(name.to_owned(), Arc::new(Topic { info: info.clone(), number, firsts, ends }));
        Ok(info)
    }

    fn read(&self, topic: &Topic, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        let end = *topic.ends[partition as usize].borrow();
        if from > end {
            return Err(BusError::OffsetOutOfRange { from, end });
        }
        // Asked again when something is missing: it may have expired meanwhile.
        let missing = || match topic.first(partition) {
            first if from < first => BusError::Expired { from, first },
            _ => BusError::Damaged { what: "sequence of offsets" },
        };
        if from < topic.first(partition) {
            return Err(missing());
        }
        let mut records: Vec<Record> = Vec::new();
        let mut bytes = 0;
        let range =
            layout::message_key(topic.number, partition, from)..layout::message_key(topic.number, partition, end);
        for (expected, entry) in (from..end).zip(self.messages.range(range)) {
            let (key, value) = entry.into_inner().map_err(storage)?;
            let record = layout::read_message(&key, value)?;
            if record.offset != expected {
                return Err(missing());
            }
            bytes += record.payload.len();
            if !records.is_empty() && bytes > max_bytes {
                break;
            }
            records.push(record);
            if bytes >= max_bytes {
                break;
            }
        }
        if records.is_empty() && from < end {
            return Err(missing());
        }
        Ok(records)
    }

    /// Removes from the front on: what a crash leaves of it is a log that begins later.
    fn remove(&self, topic: &Topic, partition: u32, before: u64) -> Result<u64, BusError> {
        let (first, end) = (&topic.firsts[partition as usize], *topic.ends[partition as usize].borrow());
        let mut next = topic.first(partition);
        let kept = before.min(end.saturating_sub(1)).max(next);
        // A reader who comes now is told, and does not find a hole.
        first.store(kept, Ordering::Release);
        while next < kept {
            // The last one by itself: a merge does not yet give back what the very last write removed.
            let until = (kept - 1).min(next + EXPIRED_AT_ONCE).max(next + 1);
            let mut batch = self.db.batch();
            for offset in next..until {
                batch.remove(&self.messages, layout::message_key(topic.number, partition, offset));
            }
            batch.commit().map_err(storage)?;
            next = until;
        }
        Ok(kept)
    }

    /// Merges the tables, which hold positions only; payloads are in files of their own. A file that nothing names any more
    /// is found by one merge, left out by the next, and deleted when what was read before is gone: over a few rounds.
    fn reclaim(&self) -> Result<(), BusError> {
        self.messages.rotate_memtable_and_wait().map_err(storage)?;
        self.messages.major_compact().map_err(storage)
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn ensure_topic(&self, topic: &str, partitions: u32) -> Result<TopicInfo, BusError> {
        check_topic(topic, partitions)?;
        if self.appends.lock().is_none() {
            return Err(BusError::Closed);
        }
        let (log, name) = (Arc::clone(&self.log), topic.to_owned());
        blocking(move || log.make_topic(&name, partitions)).await
    }

    async fn topics(&self) -> Result<Vec<TopicInfo>, BusError> {
        Ok(self.log.topics.read().values().map(|topic| topic.info.clone()).collect())
    }

    async fn append(&self, topic: &str, partition: u32, messages: Vec<Message>) -> Result<Vec<u64>, BusError> {
        let topic = self.log.topic(topic, partition)?;
        check_sizes(&messages, self.limits)?;
        let permits = self.permits(&messages);
        let queued = Arc::clone(&self.queued).acquire_many_owned(permits).await.map_err(|_| BusError::Closed)?;
        let appends = self.appends.lock().clone().ok_or(BusError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let append = Append { topic, partition, messages, answer, _queued: queued };
        appends.send(append).await.map_err(|_| BusError::Closed)?;
        drop(appends);
        answered.await.map_err(|_| BusError::Closed)?
    }

    async fn fetch(&self, topic: &str, partition: u32, from: u64, max_bytes: usize) -> Result<Vec<Record>, BusError> {
        let topic = self.log.topic(topic, partition)?;
        let log = Arc::clone(&self.log);
        blocking(move || log.read(&topic, partition, from, max_bytes)).await
    }

    async fn first_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        Ok(self.log.topic(topic, partition)?.first(partition))
    }

    async fn end_offset(&self, topic: &str, partition: u32) -> Result<u64, BusError> {
        let topic = self.log.topic(topic, partition)?;
        Ok(*topic.ends[partition as usize].borrow())
    }

    async fn wait(&self, topic: &str, partition: u32, beyond: u64, timeout: Duration) -> Result<u64, BusError> {
        let end = self.log.topic(topic, partition)?.ends[partition as usize].subscribe();
        wait_beyond(end, beyond, timeout).await
    }

    async fn expire(&self, what: &[Expiry]) -> Result<Vec<u64>, BusError> {
        let (log, what) = (Arc::clone(&self.log), what.to_vec());
        blocking(move || {
            let _expiring = log.expiring.lock();
            let (mut kept, mut removed) = (Vec::with_capacity(what.len()), false);
            for Expiry { topic, partition, before } in what {
                let topic = log.topic(&topic, partition)?;
                let first = topic.first(partition);
                kept.push(log.remove(&topic, partition, before)?);
                removed |= kept.last() != Some(&first);
            }
            if removed {
                log.reclaim()?;
            }
            Ok(kept)
        })
        .await
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, idempotent_forever: true }
    }

    async fn check(&self) -> Result<(), BusError> {
        let log = Arc::clone(&self.log);
        // Writes nothing that would not be written anyway; a store that a failed write has poisoned says so.
        blocking(move || log.db.persist(PersistMode::Buffer).map_err(storage)).await
    }

    async fn close(&self) -> Result<(), BusError> {
        drop(self.appends.lock().take());
        let committer = self.committer.lock().take();
        blocking(move || {
            if let Some(committer) = committer {
                committer.join().map_err(|_| BusError::Damaged { what: "committer" })?;
            }
            Ok(())
        })
        .await
    }
}

impl Drop for EmbeddedBus {
    /// Waits for the group being committed, so that the directory can be opened again at once.
    fn drop(&mut self) {
        drop(self.appends.lock().take());
        if let Some(committer) = self.committer.lock().take()
            && committer.join().is_err()
        {
            tracing::error!("the bus committer had panicked");
        }
    }
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(act).await.map_err(|error| BusError::Storage(Box::new(error)))?
}

/// An error of the store below as one of the bus.
pub(crate) fn storage(error: fjall::Error) -> BusError {
    match error {
        fjall::Error::Locked => BusError::Locked,
        error => BusError::Storage(Box::new(error)),
    }
}
