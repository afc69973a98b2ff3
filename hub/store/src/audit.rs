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

use minqiao_core::{Clock, Kind, KindOf, Timestamp};
use minqiao_vault::{Signer, VaultError, sm3};
use serde::Serialize;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::engine::{Attempts, Row, Transaction, Value, insert_rows, query};
use crate::{Store, StoreError};

mod proof;

pub use proof::{AuditSummary, verify};

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
            Self::Broken { .. } => Kind::FailedPrecondition,
            Self::Signature(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Unavailable => Kind::Unavailable { retry_after: std::time::Duration::from_secs(5) },
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Broken { .. } => "audit_chain_broken",
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
    /// Entries that may wait.
    pub queue: usize,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { checkpoint_every: 1000, queue: 1024 }
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

impl AuditLog {
    /// Opens the chain at its end, after checking that the last record fits its hash, and starts its task on the
    /// current runtime.
    pub async fn open(
        store: Store,
        signer: CheckpointSigner,
        clock: Arc<dyn Clock>,
        options: AuditOptions,
    ) -> Result<Self, AuditError> {
        check_tail(&store).await?;
        let (entries, queue) = mpsc::channel(options.queue.max(1));
        let writer = Writer { store: store.clone(), signer, clock, every: options.checkpoint_every.max(1) };
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
}

/// A group whose commit got no answer: the number of its first record, and its end.
struct Unanswered {
    first: u64,
    end: Tail,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Pending>) {
        let mut group = Vec::new();
        while queue.recv_many(&mut group, GROUP_RECORDS).await > 0 {
            let outcome = self.write(&group).await;
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
        if let Err(error) = self.sign_off().await {
            tracing::error!(error = ?error, "the last audit checkpoint could not be signed");
        }
    }

    /// Writes a group; answers the number of its first record.
    async fn write(&self, group: &[Pending]) -> Result<u64, AuditError> {
        let mut attempts = Attempts::default();
        let mut unanswered = None;
        loop {
            match self.write_once(group, &mut unanswered).await {
                Err(AuditError::Store(error)) if attempts.again_unless_known(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn write_once(&self, group: &[Pending], unanswered: &mut Option<Unanswered>) -> Result<u64, AuditError> {
        let mut transaction = self.store.begin().await?;
        transaction.lock_chain().await?;
        if let Some(Unanswered { first, end }) = unanswered
            && stands(&mut transaction, end).await?
        {
            return Ok(*first);
        }
        *unanswered = None;
        let at = self.clock.now();
        let mut tail = read_tail(&mut transaction).await?;
        let first = tail.seq + 1;
        let mut records = Vec::with_capacity(group.len());
        let mut signed = Vec::new();
        for Pending { entry, .. } in group {
            let record = chain(&tail, at, entry);
            tail = Tail { seq: record.seq, hash: hash_of(&record)? };
            if tail.seq % self.every == 0 {
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
                *unanswered = Some(Unanswered { first, end: tail });
            }
        })?;
        Ok(first)
    }

    /// Signs the end of the chain, wherever it is by now.
    async fn sign_off(&self) -> Result<(), AuditError> {
        let mut transaction = self.store.begin().await?;
        let tail = read_tail(&mut transaction).await?;
        let signed = query("SELECT seq FROM audit_checkpoint WHERE seq >= $1 LIMIT 1").bind(number(tail.seq));
        if tail.seq == 0 || signed.fetch_optional_in(&mut transaction).await?.is_some() {
            return Ok(());
        }
        insert_checkpoint(&mut transaction, &self.signer, &tail, self.clock.now()).await?;
        transaction.commit().await?;
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

/// The end of the chain, for the transaction that continues it.
async fn read_tail(transaction: &mut Transaction) -> Result<Tail, AuditError> {
    tail_of(query(LAST).fetch_optional_in(transaction).await?)
}

/// Refuses a chain whose last record was changed.
async fn check_tail(store: &Store) -> Result<(), AuditError> {
    tail_of(query(LAST).fetch_optional(store).await?).map(drop)
}

const LAST: &str = "SELECT * FROM audit ORDER BY seq DESC LIMIT 1";

fn tail_of(last: Option<Row>) -> Result<Tail, AuditError> {
    let Some(row) = last else { return Ok(Tail { seq: 0, hash: [0; 32] }) };
    let record = read_record(&row)?;
    let hash = hash_of(&record)?;
    if hex::encode(hash) == record.hash {
        Ok(Tail { seq: record.seq, hash })
    } else {
        Err(AuditError::Broken { seq: record.seq, what: "its content does not fit its hash" })
    }
}

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

fn unsigned(row: &Row, name: &str) -> Result<u64, StoreError> {
    u64::try_from(row.get::<i64>(name)?).map_err(|_| StoreError::Damaged { what: "audit record" })
}

fn number(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
