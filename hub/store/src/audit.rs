//! The chain of evidence (architecture D8).
//!
//! ```text
//! hash n = SM3( "minqiao audit 1" ‖ 0 ‖ hash n-1 (32 bytes) ‖ n u64 ‖ at i64
//!               ‖ length u32 ‖ principal ‖ length ‖ purpose ‖ length ‖ action ‖ length ‖ detail )      big endian
//! hash 0 = 32 zero bytes; records count from 1
//! checkpoint = signature over "minqiao audit checkpoint 1\n" n "\n" at "\n" hash n (hex)
//! ```
//!
//! A changed, removed or inserted record breaks the chain from there on; a chain computed anew from some record on
//! does not fit the signed checkpoints. Cutting records off the end after the last checkpoint leaves no trace in the
//! database: whoever needs that proof keeps checkpoints elsewhere (they are in the log too), and [`verify`] takes one.
//!
//! **Signed in time.** The hash needs no key, so what no checkpoint covers can be computed anew. Every open log therefore
//! looks at half of [`AuditOptions::sign_within`] whether a record has waited that long, whoever wrote it, and signs the end of
//! the chain; of several hubs the first one does, and the others find it done. A log signs only what continues the end that it
//! has seen itself: a chain rewritten below a running hub is not signed by it, but told in its log and by [`verify`],
//! which also counts what is not signed, or was signed late. A log that opens proves the records after the last
//! checkpoint before it signs them. Whoever can write to the database and restarts a hub that left no checkpoint can have
//! a forgery signed; its checkpoint then tells how late it came.
//!
//! **Group commit.** One task appends: it takes what waits, chains it, writes it in one transaction and answers when the
//! transaction is durable. An answer to a query that was recorded can therefore leave at once (SEC: no answer before
//! its evidence), and a hundred queries at a time cost one sync.
//!
//! **Several hubs, one chain.** Each group takes the chain's lock, reads the end of the chain and continues it in the same
//! transaction, so that a record always follows the one before it, whoever wrote that. The lock only spares attempts in
//! vain: should it ever fail, the primary key `seq` lets one of two groups in and refuses the other, which cannot leave
//! a gap or a fork. In SQLite the write lock of the database is the chain's lock.
//!
//! **Lost answers.** When the connection breaks while a group is committed, the next attempt looks whether its last
//! record is in the chain, under the lock, which the broken transaction held until it had ended one way or the other.
//! The group is then answered, or written again; it never stands twice. Only if the database stays away is the caller
//! told that the chain is unavailable; then a record may stand whose answer never left.

use std::sync::Arc;
use std::time::Duration;

use minqiao_core::{Clock, Kind, KindOf, Timestamp};
use minqiao_vault::{Signer, VaultError, sm3};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::engine::{Attempts, Row, Transaction, Value, insert_rows, query};
use crate::{Store, StoreError};

mod proof;

pub use proof::{AuditSummary, UNSIGNED_MAX, Unsigned, verify};

/// Most records that one transaction takes.
const GROUP_RECORDS: usize = 512;

/// Something to record. Codes, counts and names of objects; never personal data.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    /// Who did it.
    pub principal: String,
    /// What for; empty when no purpose applies.
    pub purpose: String,
    /// What was done (`sql.query`, `batch.accept`).
    pub action: String,
    /// On what, with what outcome.
    pub detail: serde_json::Value,
}

/// A record of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Counts from 1.
    pub seq: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who.
    pub principal: String,
    /// What for.
    pub purpose: String,
    /// What.
    pub action: String,
    /// JSON text, exactly as hashed.
    pub detail: String,
    /// Hash of the record before, hex.
    pub prev_hash: String,
    /// Hash of this record, hex.
    pub hash: String,
}

/// Outcomes of the chain that are not success.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain is broken at this record.
    #[error("the audit chain is broken at record {seq}: {what}")]
    Broken {
        /// Where.
        seq: u64,
        /// How.
        what: &'static str,
    },
    /// Records at the end have no signature, and should have one by now.
    #[error(
        "no signature covers {0} at the end of the audit chain: changing them would leave no trace \
         / 审计链末尾的记录未被签名覆盖，如被改动将无法发现"
    )]
    Unsigned(Unsigned),
    /// A checkpoint could not be signed or checked.
    #[error("an audit checkpoint could not be signed or checked")]
    Signature(#[from] VaultError),
    /// The store failed; nothing of the entry counts as recorded.
    #[error("the audit chain could not be written or read")]
    Store(#[from] StoreError),
    /// The log was closed, or its transaction failed.
    #[error("the audit chain does not accept records")]
    Unavailable,
}

impl KindOf for AuditError {
    fn kind(&self) -> Kind {
        match self {
            Self::Broken { .. } | Self::Unsigned(_) => Kind::FailedPrecondition,
            Self::Signature(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Unavailable => Kind::Unavailable { retry_after: Duration::from_secs(5) },
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Broken { .. } => "audit_chain_broken",
            Self::Unsigned(_) => "audit_chain_unsigned",
            Self::Signature(_) => "audit_checkpoint_invalid",
            Self::Store(_) | Self::Unavailable => "audit_unavailable",
        }
    }
}

/// What signs checkpoints.
pub type CheckpointSigner = Signer;

/// How to run an [`AuditLog`].
#[derive(Debug, Clone)]
pub struct AuditOptions {
    /// Records between two signed checkpoints.
    pub checkpoint_every: u64,
    /// Longest time from a record to the checkpoint that covers it.
    pub sign_within: Duration,
    /// Entries that may wait.
    pub queue: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { checkpoint_every: 1000, sign_within: Duration::from_secs(60), queue: 1024 }
    }
}

/// Appends to the chain. A process has one; the logs of several processes on one database take turns.
#[derive(Debug)]
pub struct AuditLog {
    store: Store,
    entries: Mutex<Option<mpsc::Sender<Pending>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Pending {
    entry: AuditEntry,
    answer: oneshot::Sender<Result<u64, AuditError>>,
}

/// The end of the chain.
#[derive(Debug, Clone)]
struct Tail {
    seq: u64,
    hash: [u8; 32],
}

impl Tail {
    /// Before the first record.
    const START: Self = Self { seq: 0, hash: [0; 32] };

    /// The end that this record makes; an error when its content was changed.
    fn of(record: &AuditRecord) -> Result<Self, AuditError> {
        let hash = hash_of(record)?;
        if hex::encode(hash) == record.hash {
            Ok(Self { seq: record.seq, hash })
        } else {
            Err(AuditError::Broken { seq: record.seq, what: "its content does not fit its hash" })
        }
    }

    /// The end after `record`; an error when that does not follow.
    fn then(&self, record: &AuditRecord) -> Result<Self, AuditError> {
        let broken = |what| AuditError::Broken { seq: self.seq + 1, what };
        if record.seq != self.seq + 1 {
            return Err(broken("a record is missing"));
        }
        if record.prev_hash != hex::encode(self.hash) {
            return Err(broken("it does not continue the record before"));
        }
        Self::of(record)
    }
}

impl AuditLog {
    /// Opens the chain at its end, after proving it from the last checkpoint on, signs what has waited for that, and
    /// starts its task on the current runtime.
    pub async fn open(
        store: Store,
        signer: CheckpointSigner,
        clock: Arc<dyn Clock>,
        options: AuditOptions,
    ) -> Result<Self, AuditError> {
        // On the heap, as this call is part of the large one that opens a hub.
        let seen = Box::pin(proof::prove_end(&store, &signer)).await?;
        let mut writer = Writer {
            store: store.clone(),
            signer,
            clock,
            every: options.checkpoint_every.max(1),
            patience: (options.sign_within / 2).max(Duration::from_millis(1)),
            seen,
        };
        Box::pin(writer.sign_waiting()).await?;
        let (entries, queue) = mpsc::channel(options.queue.max(1));
        let task = tokio::spawn(writer.run(queue));
        Ok(Self { store, entries: Mutex::new(Some(entries)), task: Mutex::new(Some(task)) })
    }

    /// Appends; answers the record's number when it is durable.
    pub async fn append(&self, entry: AuditEntry) -> Result<u64, AuditError> {
        let entries = self.entries.lock().await.clone().ok_or(AuditError::Unavailable)?;
        let (answer, answered) = oneshot::channel();
        entries.send(Pending { entry, answer }).await.map_err(|_| AuditError::Unavailable)?;
        drop(entries);
        answered.await.map_err(|_| AuditError::Unavailable)?
    }

    /// Records after `after`, ascending, at most `limit`.
    pub async fn records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, AuditError> {
        Ok(read_records(&self.store, after, i64::from(limit)).await?)
    }

    /// Writes what waits, signs a last checkpoint and refuses more.
    pub async fn close(&self) -> Result<(), AuditError> {
        drop(self.entries.lock().await.take());
        if let Some(task) = self.task.lock().await.take() {
            task.await.map_err(|_| AuditError::Unavailable)?;
        }
        Ok(())
    }
}

struct Writer {
    store: Store,
    signer: CheckpointSigner,
    clock: Arc<dyn Clock>,
    every: u64,
    /// How long a record may wait before the next look signs it; also the time between two looks.
    patience: Duration,
    /// The last record that this log wrote or signed.
    seen: Tail,
}

/// A group whose commit got no answer: the number of its first record, and its end.
struct Unanswered {
    first: u64,
    end: Tail,
}

impl Writer {
    async fn run(mut self, mut queue: mpsc::Receiver<Pending>) {
        let mut group = Vec::new();
        let mut look = interval_at(Instant::now() + self.patience, self.patience);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = look.tick() => {
                    if let Err(error) = self.sign_waiting().await {
                        tracing::error!(error = ?error, "the end of the audit chain could not be signed");
                    }
                }
                taken = queue.recv_many(&mut group, GROUP_RECORDS) => {
                    if taken == 0 {
                        break;
                    }
                    self.answer(&mut group).await;
                }
            }
        }
        if let Err(error) = self.sign().await {
            tracing::error!(error = ?error, "the last audit checkpoint could not be signed");
        }
    }

    /// Writes a group and tells everybody in it.
    async fn answer(&mut self, group: &mut Vec<Pending>) {
        let outcome = self.write(group).await;
        if let Err(error) = &outcome {
            tracing::error!(error = ?error, "the audit chain could not be written");
        }
        let first = outcome.as_ref().ok().copied();
        for (pending, at) in group.drain(..).zip(0..) {
            let answer = first.map(|first| first + at).ok_or(AuditError::Unavailable);
            // The caller may have gone; the record stands all the same.
            pending.answer.send(answer).ok();
        }
    }

    /// Writes a group; answers the number of its first record.
    async fn write(&mut self, group: &[Pending]) -> Result<u64, AuditError> {
        let mut attempts = Attempts::default();
        let mut unanswered = None;
        loop {
            match self.write_once(group, &mut unanswered).await {
                Err(AuditError::Store(error)) if attempts.again_unless_known(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn write_once(&mut self, group: &[Pending], unanswered: &mut Option<Unanswered>) -> Result<u64, AuditError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock_chain().await?;
        if let Some(Unanswered { first, end }) = unanswered
            && stands(&mut transaction, end).await?
        {
            return Ok(*first);
        }
        *unanswered = None;
        let at = self.clock.now();
        let (mut tail, continues) = read_end(&mut transaction, &self.seen).await?;
        let first = tail.seq + 1;
        let mut records = Vec::with_capacity(group.len());
        let mut signed = Vec::new();
        for Pending { entry, .. } in group {
            let record = chain(&tail, at, entry);
            tail = Tail { seq: record.seq, hash: hash_of(&record)? };
            if continues && tail.seq % self.every == 0 {
                signed.push(tail.clone());
            }
            records.push(record);
        }
        insert(&mut transaction, records).await?;
        for tail in &signed {
            insert_checkpoint(&mut transaction, &self.signer, tail, at).await?;
        }
        transaction.commit().await.inspect_err(|error| {
            if matches!(error, StoreError::OutcomeUnknown(_)) {
                *unanswered = Some(Unanswered { first, end: tail.clone() });
            }
        })?;
        if continues {
            self.seen = tail;
        }
        Ok(first)
    }

    /// Signs the end of the chain when a record has waited for it, whoever wrote that.
    async fn sign_waiting(&mut self) -> Result<(), AuditError> {
        let oldest = query(OLDEST_UNSIGNED).fetch_optional(&self.store).await?;
        let Some(at) = oldest.map(|row| row.get("at")).transpose()?.map(Timestamp) else { return Ok(()) };
        // A record from the future waits for nothing.
        if self.clock.now().0.abs_diff(at.0) < millis(self.patience) { Ok(()) } else { self.sign().await }
    }

    /// Signs the end of the chain, wherever it is by now, unless it is signed.
    async fn sign(&mut self) -> Result<(), AuditError> {
        let mut attempts = Attempts::default();
        loop {
            match self.sign_once().await {
                Err(AuditError::Store(error)) if attempts.again_unless_known(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn sign_once(&mut self) -> Result<(), AuditError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock_chain().await?;
        let (tail, continues) = read_end(&mut transaction, &self.seen).await?;
        if !continues {
            let what = "it is gone or another than the one that this hub has seen";
            return Err(AuditError::Broken { seq: self.seen.seq, what });
        }
        let signed = query("SELECT seq FROM audit_checkpoint WHERE seq >= $1 LIMIT 1").bind(number(tail.seq));
        if tail.seq > 0 && signed.fetch_optional_in(&mut transaction).await?.is_none() {
            insert_checkpoint(&mut transaction, &self.signer, &tail, self.clock.now()).await?;
            transaction.commit().await?;
        }
        self.seen = tail;
        Ok(())
    }
}

fn chain(tail: &Tail, at: Timestamp, entry: &AuditEntry) -> AuditRecord {
    let mut record = AuditRecord {
        seq: tail.seq + 1,
        at,
        principal: entry.principal.clone(),
        purpose: entry.purpose.clone(),
        action: entry.action.clone(),
        detail: entry.detail.to_string(),
        prev_hash: hex::encode(tail.hash),
        hash: String::new(),
    };
    record.hash = hex::encode(digest(&tail.hash, &record));
    record
}

fn digest(prev: &[u8; 32], record: &AuditRecord) -> [u8; 32] {
    let texts = [&record.principal, &record.purpose, &record.action, &record.detail];
    let mut input = Vec::with_capacity(96 + texts.iter().map(|text| text.len()).sum::<usize>());
    input.extend_from_slice(b"minqiao audit 1\0");
    input.extend_from_slice(prev);
    input.extend_from_slice(&record.seq.to_be_bytes());
    input.extend_from_slice(&record.at.0.to_be_bytes());
    for text in texts {
        input.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        input.extend_from_slice(text.as_bytes());
    }
    sm3(&input)
}

/// The hash that the record should have.
fn hash_of(record: &AuditRecord) -> Result<[u8; 32], AuditError> {
    let mut prev = [0; 32];
    hex::decode_to_slice(&record.prev_hash, &mut prev)
        .map_err(|_| AuditError::Broken { seq: record.seq, what: "its hash is not one" })?;
    Ok(digest(&prev, record))
}

fn checkpoint_message(seq: u64, at: Timestamp, hash: &str) -> Vec<u8> {
    format!("minqiao audit checkpoint 1\n{seq}\n{}\n{hash}", at.0).into_bytes()
}

async fn insert(transaction: &mut Transaction, records: Vec<AuditRecord>) -> Result<(), StoreError> {
    let values = records.into_iter().flat_map(|record| {
        [
            Value::from(number(record.seq)),
            record.at.0.into(),
            record.principal.into(),
            record.purpose.into(),
            record.action.into(),
            record.detail.into(),
            record.prev_hash.into(),
            record.hash.into(),
        ]
    });
    let into = "audit (seq, at, principal, purpose, action, detail, prev_hash, hash)";
    insert_rows(into, 8, values.collect(), "").execute_in(transaction).await?;
    Ok(())
}

async fn insert_checkpoint(
    transaction: &mut Transaction,
    signer: &CheckpointSigner,
    tail: &Tail,
    at: Timestamp,
) -> Result<(), AuditError> {
    let hash = hex::encode(tail.hash);
    let signed = signer.sign(&checkpoint_message(tail.seq, at, &hash))?;
    tracing::info!(seq = tail.seq, hash, key_id = signed.key_id, "audit checkpoint");
    query(
        "INSERT INTO audit_checkpoint (seq, at, hash, key_id, signature) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (seq) DO NOTHING",
    )
    .bind(number(tail.seq))
    .bind(at.0)
    .bind(hash)
    .bind(&signed.key_id)
    .bind(signed.base64())
    .execute_in(transaction)
    .await?;
    Ok(())
}

/// The end of the chain, for the transaction that continues or signs it, and whether `seen` is still in the chain: the
/// hash of a record binds every record before it.
async fn read_end(transaction: &mut Transaction, seen: &Tail) -> Result<(Tail, bool), AuditError> {
    let row = query(END).bind(number(seen.seq)).fetch_optional_in(transaction).await?;
    let Some(row) = row else { return Ok((Tail::START, seen.seq == 0)) };
    let stands = row.get::<Option<String>>("seen")?.is_some_and(|hash| hash == hex::encode(seen.hash));
    let record = read_record(&row)?;
    Ok((Tail::of(&record)?, seen.seq == 0 || stands))
}

const END: &str =
    "SELECT audit.*, (SELECT hash FROM audit WHERE seq = $1) AS seen FROM audit ORDER BY seq DESC LIMIT 1";

/// The first record that no checkpoint covers.
const OLDEST_UNSIGNED: &str = "SELECT at FROM audit \
    WHERE seq > COALESCE((SELECT MAX(seq) FROM audit_checkpoint), 0) ORDER BY seq LIMIT 1";

/// Whether the chain has this record.
async fn stands(transaction: &mut Transaction, end: &Tail) -> Result<bool, StoreError> {
    let row =
        query("SELECT hash FROM audit WHERE seq = $1").bind(number(end.seq)).fetch_optional_in(transaction).await?;
    row.map_or(Ok(false), |row| Ok(row.get::<String>("hash")? == hex::encode(end.hash)))
}

async fn read_records(store: &Store, after: u64, limit: i64) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = query("SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2")
        .bind(number(after))
        .bind(limit)
        .fetch_all(store)
        .await?;
    rows.iter().map(read_record).collect()
}

fn read_record(row: &Row) -> Result<AuditRecord, StoreError> {
    Ok(AuditRecord {
        seq: unsigned(row, "seq")?,
        at: Timestamp(row.get("at")?),
        principal: row.get("principal")?,
        purpose: row.get("purpose")?,
        action: row.get("action")?,
        detail: row.get("detail")?,
        prev_hash: row.get("prev_hash")?,
        hash: row.get("hash")?,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn unsigned(row: &Row, name: &str) -> Result<u64, StoreError> {
    u64::try_from(row.get::<i64>(name)?).map_err(|_| StoreError::Damaged { what: "audit record" })
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
