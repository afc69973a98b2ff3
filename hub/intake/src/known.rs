//! Which versions have been accepted: the memory behind `duplicate`.
//!
//! A version is (item, natural key, op, content, update time). Its fingerprint mixes the record key and the content hash,
//! which are keyed hashes already, with op and update time; 128 bits, so two versions of ten billion meet with a chance
//! below 10^-18. Beside it stands the tag of the batch that brought it.
//!
//! ```text
//! keyspace `versions`   fingerprint u128 -> batch tag u64
//! keyspace `positions`  item             -> topic id (16) ‖ (next offset u64 ‖ epoch u64) per partition  (big endian)
//! memory                per item: fingerprints since its last flush, next offset and fence per partition
//! ```
//!
//! **Never ahead of the bus, always able to catch up (INT-2).** A fingerprint is remembered after its message is durable
//! on the bus. The stored positions say up to where the stored fingerprints are complete; everything after them is read
//! again from the bus ([`KnownVersions::catch_up`]) before the item is asked about, after a start as well as after an
//! append whose outcome is unknown. So this index may lose anything at any time, up to being deleted, and only costs
//! reading the bus. Messages that do not count (BUS-7) bring no versions. What was removed from the bus is in an
//! [`Archive`], the lake, and is read there.
//!
//! **Speed.** Fingerprints are random, the worst key order for a log-structured tree. They are collected in memory and
//! written as sorted tables of their own ([`fjall`]'s ingestion), which costs a tenth of inserting them one by one; look-ups
//! ask the memory, then the tables through their bloom filters. Positions are written after the tables they stand for.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMillisecondType;
use arrow::ipc::reader::StreamReader;
use fjall::config::{CompressionPolicy, PinningPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};
use futures::StreamExt;
use minqiao_bus::api::item_of;
use minqiao_bus::{Bus, BusError, Fence, Headers, TopicInfo};
use minqiao_core::Op;
use minqiao_schemas::envelope;
use minqiao_vault::sm3;
use parking_lot::Mutex;

use crate::IntakeError;
use crate::archive::{Archive, tags};

/// Bytes read from the bus at a time while catching up.
const CATCH_UP_BYTES: usize = 8 << 20;

/// How to open [`KnownVersions`].
#[derive(Debug, Clone)]
pub struct KnownOptions {
    /// Directory; may be deleted while the hub is down.
    pub dir: PathBuf,
    /// Fingerprints of one item in memory at which they are written out.
    pub item_entries_max: usize,
    /// Fingerprints of all items in memory above which smaller collections are written out too.
    pub entries_max: usize,
}

impl KnownOptions {
    /// A million in all (about 50 MiB), of one item or of many. Fewer and larger tables are merged less often.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), item_entries_max: 1 << 20, entries_max: 1 << 20 }
    }
}

/// A version, as far as it must be told apart.
pub type Fingerprint = u128;

/// Names the batch that brought a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchTag(u64);

impl BatchTag {
    /// The tag of a provider's batch.
    pub fn of(provider: &str, batch_id: &str) -> Self {
        let digest = sm3(format!("{provider}\u{1f}{batch_id}").as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(tag))
    }

    /// One of `count` locks.
    pub(crate) fn lock(self, count: usize) -> usize {
        (self.0 % count.max(1) as u64) as usize
    }
}

/// The index; one per hub.
pub struct KnownVersions {
    options: KnownOptions,
    archive: Option<Arc<dyn Archive>>,
    db: Database,
    versions: Keyspace,
    positions: Keyspace,
    /// Fingerprints in memory, over all items.
    entries: AtomicUsize,
    /// Held while a table is made; tables are few and short.
    flushing: Mutex<()>,
}

impl std::fmt::Debug for KnownVersions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownVersions").field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// What is known of one item; its owner serialises access.
#[derive(Debug)]
pub struct KnownItem {
    topic: TopicInfo,
    recent: HashMap<Fingerprint, BatchTag, BuildHasherDefault<Uniform>>,
    partitions: Vec<Reached>,
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// Everything before is in `recent` or stored.
    next: u64,
    fence: Fence,
}

impl KnownVersions {
    /// Opens or makes the index. Without an archive it cannot begin when the beginning of the bus was removed.
    pub fn open(options: KnownOptions, archive: Option<Arc<dyn Archive>>) -> Result<Self, IntakeError> {
        std::fs::create_dir_all(&options.dir)
            .map_err(|error| IntakeError::Known { what: "its directory", source: Some(Box::new(error)) })?;
        let db = Database::builder(&options.dir)
            .cache_size(32 << 20)
            .max_journaling_size(64 << 20)
            .worker_threads(1)
            .open()?;
        // Keys are random: nothing to compress, and every look-up of a new version asks the filter of every table.
        let versions = db.keyspace("versions", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(4 << 20)
                .filter_block_pinning_policy(PinningPolicy::all(true))
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        })?;
        let positions = db.keyspace("positions", || KeyspaceCreateOptions::default().max_memtable_size(1 << 20))?;
        Ok(Self { options, archive, db, versions, positions, entries: AtomicUsize::new(0), flushing: Mutex::new(()) })
    }

    /// The stored state of an item. A topic made anew since then starts from the beginning (BUS-5).
    pub fn item(&self, topic: TopicInfo) -> Result<KnownItem, IntakeError> {
        let mut partitions = vec![Reached::default(); topic.partitions as usize];
        if let Some(stored) = self.positions.get(&topic.name)? {
            let (id, reached) = stored.split_at_checked(16).unwrap_or_default();
            if id == topic.id.as_bytes() && reached.len() == partitions.len() * 16 {
                for (partition, stored) in partitions.iter_mut().zip(reached.chunks_exact(16)) {
                    let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
                    let (next, epoch) = stored.split_at(8);
                    *partition = Reached { next: number(next), fence: Fence::at(number(epoch)) };
                }
            }
        }
        Ok(KnownItem { topic, recent: HashMap::default(), partitions })
    }

    /// Reads what the bus has and the item has not; afterwards the item knows every durable version. The item's owner
    /// must let nobody append meanwhile.
    pub async fn catch_up(&self, item: &mut KnownItem, bus: &dyn Bus) -> Result<(), IntakeError> {
        for partition in 0..item.topic.partitions {
            let end = bus.end_offset(&item.topic.name, partition).await?;
            loop {
                let Reached { next: from, mut fence } = item.partitions[partition as usize];
                if from >= end {
                    break;
                }
                let records = match bus.fetch(&item.topic.name, partition, from, CATCH_UP_BYTES).await {
                    Err(BusError::Expired { first, .. }) => {
                        self.restore(item, partition, first).await?;
                        continue;
                    }
                    answer => answer?,
                };
                let Some(last) = records.last() else { break };
                let next = last.offset + 1;
                for record in &records {
                    if !fence.admits(&record.headers) || record.headers.span.rows == 0 {
                        continue;
                    }
                    let tag = tag_of(&record.headers);
                    for batch in StreamReader::try_new(&*record.payload, None).map_err(unreadable)? {
                        let batch = batch.map_err(unreadable)?;
                        let added = fingerprints(&batch)?.map(|fingerprint| (fingerprint, tag));
                        self.remember(item, added);
                    }
                }
                item.partitions[partition as usize] = Reached { next, fence };
                self.flush_if_large(item)?;
            }
        }
        Ok(())
    }

    /// Reads what was removed from the bus out of the archive, up to where the archive is; `first` is the first position
    /// of the partition that the bus kept.
    async fn restore(&self, item: &mut KnownItem, partition: u32, first: u64) -> Result<(), IntakeError> {
        let failed = |what, source| IntakeError::Known { what, source };
        let unread = |source| failed("the versions of removed messages cannot be read in the lake", Some(source));
        let lacking = || failed("the lake lacks messages that were removed from the log", None);
        let archive = self.archive.as_ref().ok_or_else(lacking)?;
        let code = item_of(&item.topic.name).unwrap_or_default();
        let reached = archive.reached(code, &item.topic).await.map_err(unread)?;
        if reached.get(partition as usize).is_none_or(|(next, _)| *next < first) {
            return Err(lacking());
        }
        let mut versions = archive.versions(code).await.map_err(unread)?;
        while let Some(batch) = versions.next().await {
            let batch = batch.map_err(unread)?;
            let added: Vec<_> = fingerprints(&batch)?.zip(tags(&batch)?).collect();
            self.remember(item, added.into_iter());
            self.flush_if_large(item)?;
        }
        for (partition, (next, fence)) in item.partitions.iter_mut().zip(reached) {
            if next > partition.next {
                *partition = Reached { next, fence };
            }
        }
        Ok(())
    }

    /// The batch that brought a version, if it is known.
    pub fn find(&self, item: &KnownItem, fingerprint: Fingerprint) -> Result<Option<BatchTag>, IntakeError> {
        if let Some(tag) = item.recent.get(&fingerprint) {
            return Ok(Some(*tag));
        }
        let stored = self.versions.get(fingerprint.to_be_bytes())?;
        Ok(stored.map(|tag| BatchTag(tag.as_ref().try_into().map(u64::from_be_bytes).unwrap_or_default())))
    }

    /// Remembers versions that are durable on the bus now: `positions` are those of the messages that hold all of
    /// `added`, per partition. Positions that do not continue what is known leave a gap, which the next
    /// [`KnownVersions::catch_up`] reads.
    pub fn appended(
        &self,
        item: &mut KnownItem,
        added: impl Iterator<Item = (Fingerprint, BatchTag)>,
        positions: &[(u32, Vec<u64>)],
    ) -> Result<(), IntakeError> {
        self.remember(item, added);
        for (partition, offsets) in positions {
            for offset in offsets {
                if let Some(reached) = item.partitions.get_mut(*partition as usize)
                    && reached.next == *offset
                {
                    reached.next += 1;
                }
            }
        }
        self.flush_if_large(item)
    }

    fn remember(&self, item: &mut KnownItem, added: impl Iterator<Item = (Fingerprint, BatchTag)>) {
        let before = item.recent.len();
        for (fingerprint, tag) in added {
            // The first batch that brought a version stays its owner.
            item.recent.entry(fingerprint).or_insert(tag);
        }
        self.entries.fetch_add(item.recent.len() - before, Ordering::Relaxed);
    }

    fn flush_if_large(&self, item: &mut KnownItem) -> Result<(), IntakeError> {
        let (own, all) = (item.recent.len(), self.entries.load(Ordering::Relaxed));
        let large = own >= self.options.item_entries_max;
        let crowded = all >= self.options.entries_max && own >= self.options.item_entries_max / 256;
        if large || crowded { self.flush(item) } else { Ok(()) }
    }

    /// Writes an item's fingerprints as one sorted table, then its positions.
    pub fn flush(&self, item: &mut KnownItem) -> Result<(), IntakeError> {
        let _flushing = self.flushing.lock();
        if !item.recent.is_empty() {
            let mut sorted: Vec<(Fingerprint, BatchTag)> = item.recent.iter().map(|(f, tag)| (*f, *tag)).collect();
            sorted.sort_unstable_by_key(|(fingerprint, _)| *fingerprint);
            let mut table = self.versions.start_ingestion()?;
            for (fingerprint, tag) in sorted {
                table.write(fingerprint.to_be_bytes(), tag.0.to_be_bytes())?;
            }
            table.finish()?;
            self.entries.fetch_sub(item.recent.len(), Ordering::Relaxed);
            item.recent.clear();
        }
        let mut value = item.topic.id.as_bytes().to_vec();
        for Reached { next, fence } in &item.partitions {
            value.extend_from_slice(&next.to_be_bytes());
            value.extend_from_slice(&fence.epoch().to_be_bytes());
        }
        self.positions.insert(&item.topic.name, value)?;
        Ok(())
    }

    /// Fails when a write that the disk refused has ended the index until it is opened again. Blocking.
    pub fn check(&self) -> Result<(), IntakeError> {
        Ok(self.db.persist(fjall::PersistMode::Buffer)?)
    }

    /// Makes what was flushed durable; for an orderly end.
    pub fn sync(&self) -> Result<(), IntakeError> {
        Ok(self.db.persist(fjall::PersistMode::SyncAll)?)
    }
}

impl KnownItem {
    /// Whether messages at these positions were on the bus before: everything before [`KnownVersions::catch_up`]'s end is
    /// known, so a message of unknown rows cannot be there.
    pub fn is_old(&self, positions: &[(u32, Vec<u64>)]) -> bool {
        positions.iter().any(|(partition, offsets)| {
            let next = self.partitions.get(*partition as usize).map_or(0, |reached| reached.next);
            offsets.iter().any(|offset| *offset < next)
        })
    }

    /// Whether the messages at these positions stand right behind what is known, with nothing of others in between.
    pub(crate) fn continues(&self, positions: &[(u32, Vec<u64>)]) -> bool {
        positions.iter().all(|(partition, offsets)| {
            let next = self.partitions.get(*partition as usize).map_or(0, |reached| reached.next);
            offsets.iter().zip(next..).all(|(offset, expected)| *offset == expected)
        })
    }

    /// The greatest epoch that was read.
    pub(crate) fn epoch(&self) -> u64 {
        self.partitions.iter().map(|reached| reached.fence.epoch()).max().unwrap_or_default()
    }

    /// The topic it follows.
    pub fn topic(&self) -> &TopicInfo {
        &self.topic
    }
}

/// Fingerprints of a sealed batch, row by row.
pub fn fingerprints(sealed: &RecordBatch) -> Result<impl Iterator<Item = Fingerprint>, IntakeError> {
    let damaged = || IntakeError::Known { what: "a message lacks its envelope", source: None };
    let column = |name: &str| sealed.column_by_name(name).map(Arc::clone).ok_or_else(damaged);
    let keys = column(envelope::KEY)?.as_fixed_size_binary_opt().ok_or_else(damaged)?.clone();
    let hashes = column(envelope::CONTENT_HASH)?.as_string_opt::<i32>().ok_or_else(damaged)?.clone();
    let ops = column(envelope::OP)?.as_string_opt::<i32>().ok_or_else(damaged)?.clone();
    let updated = column(envelope::SOURCE_UPDATED_AT)?
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(damaged)?
        .clone();
    if keys.value_length() != 16 || hashes.iter().any(|hash| hash.is_none_or(|hash| hash.len() < 32)) {
        return Err(damaged());
    }
    Ok((0..sealed.num_rows()).map(move |row| {
        let key = keys.value(row).try_into().map(u128::from_be_bytes).unwrap_or_default();
        let content = half_hash(&hashes.value(row).as_bytes()[..32]);
        let time = if updated.is_null(row) { 0 } else { updated.value(row).cast_unsigned() };
        let flags = u64::from(updated.is_null(row)) << 1 | u64::from(ops.value(row) == Op::Delete.as_str());
        let version = u128::from(scatter(time)) << 64 | u128::from(scatter(time ^ scatter(flags)));
        content ^ key.rotate_left(37) ^ version
    }))
}

fn tag_of(headers: &Headers) -> BatchTag {
    BatchTag::of(&headers.provider, &headers.batch_id)
}

/// The first 32 hex digits as a number.
fn half_hash(digits: &[u8]) -> u128 {
    digits.iter().fold(0, |number, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 32).wrapping_sub(b'a').wrapping_add(10) & 15,
        };
        number << 4 | u128::from(nibble)
    })
}

/// Spreads near numbers over 64 bits (the finaliser of splitmix64).
fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

fn unreadable(error: arrow::error::ArrowError) -> IntakeError {
    IntakeError::Known { what: "a message on the bus cannot be read", source: Some(Box::new(error)) }
}

/// Fingerprints are uniform already: hashing them again would only cost.
#[derive(Debug, Default)]
pub struct Uniform(u64);

impl Hasher for Uniform {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64 ^ (number >> 64) as u64;
    }
}
