//! The proof of the chain, from its first record on. It reads beside hubs that append: what was signed when it began must
//! be there, what they add meanwhile is proved as far as it is seen.
//!
//! A chain can hold and still prove little: whoever rewrites records and computes the hashes anew is only stopped by a
//! signature. The proof therefore counts the records at the end that no checkpoint covers and those whose checkpoint
//! came late, and [`AuditSummary::check`] refuses the former when a living hub would long have signed them.

use std::fmt;
use std::time::Duration;

use minqiao_core::Timestamp;
use serde::Serialize;

use super::{
    AuditError, AuditRecord, CheckpointSigner, Tail, checkpoint_message, millis, number, read_records, unsigned,
};
use crate::engine::{Row, query};
use crate::{Store, StoreError};

/// Records read at a time.
const PAGE_RECORDS: i64 = 1000;

/// Longest time that records may be without a signature: ample for a hub that signs within a minute.
pub const UNSIGNED_MAX: Duration = Duration::from_secs(10 * 60);

/// What a whole chain looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditSummary {
    /// Records.
    pub records: u64,
    /// Signed checkpoints, all of them valid.
    pub checkpoints: u64,
    /// Last record covered by a checkpoint.
    pub signed_until: u64,
    /// Records at the end that neither a checkpoint nor the known one covers.
    pub unsigned: Option<Unsigned>,
    /// Records that were signed more than [`UNSIGNED_MAX`] after they were written.
    pub signed_late: Option<Unsigned>,
    /// Hash of the last record, hex.
    pub head: String,
}

/// Records that are, or were for long, without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unsigned {
    /// How many.
    pub records: u64,
    /// Time of the oldest.
    pub since: Timestamp,
}

impl fmt::Display for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.records == 1 { "record" } else { "records" };
        write!(f, "{} {noun} (since {})", self.records, self.since)
    }
}

impl Unsigned {
    fn of(times: impl Iterator<Item = Timestamp>) -> Option<Self> {
        times.fold(None, |all, at| Self::and(all, Some(Self { records: 1, since: at })))
    }

    fn and(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(a), Some(b)) => Some(Self { records: a.records + b.records, since: a.since.min(b.since) }),
            (one, other) => one.or(other),
        }
    }
}

impl AuditSummary {
    /// Refuses a chain whose end should be signed at `now` and is not.
    pub fn check(&self, now: Timestamp) -> Result<(), AuditError> {
        match self.unsigned {
            Some(end) if now.0.abs_diff(end.since.0) > millis(UNSIGNED_MAX) => Err(AuditError::Unsigned(end)),
            _ => Ok(()),
        }
    }
}

/// Proves the chain: every record fits its hash and the one before, numbers have no gap, every checkpoint is signed
/// and fits its record. `known` is a checkpoint kept elsewhere: record number and hash (hex).
pub async fn verify(
    store: &Store,
    signer: &CheckpointSigner,
    known: Option<(u64, &str)>,
) -> Result<AuditSummary, AuditError> {
    let mut tail = Tail::START;
    let (mut checkpoints, mut signed_until, mut signed_late) = (0, 0, None);
    // Times of the records after the last checkpoint met so far.
    let mut waiting = Vec::new();
    // What is signed by now must be there; what others append meanwhile may be seen or not.
    let signed = last_signed(store).await?;
    loop {
        let page = read_records(store, tail.seq, PAGE_RECORDS).await?;
        if page.is_empty() {
            break;
        }
        for record in &page {
            tail = tail.then(record)?;
            if known.is_some_and(|(number, hash)| number == tail.seq && hash != record.hash) {
                let what = "it is not the record of the known checkpoint";
                return Err(AuditError::Broken { seq: tail.seq, what });
            }
            waiting.push(record.at);
        }
        for checkpoint in checkpoints_of(store, &page).await? {
            checkpoint.check(signer, page.iter().find(|record| record.seq == checkpoint.seq))?;
            let covered = waiting.drain(..usize::try_from(checkpoint.seq - signed_until).unwrap_or(usize::MAX));
            let late = covered.filter(|at| checkpoint.at.0.saturating_sub(at.0) > UNSIGNED_MAX.as_millis() as i64);
            signed_late = Unsigned::and(signed_late, Unsigned::of(late));
            signed_until = checkpoint.seq;
            checkpoints += 1;
        }
    }
    if known.is_some_and(|(number, _)| number > tail.seq) {
        return Err(AuditError::Broken { seq: tail.seq, what: "the chain ends before the known checkpoint" });
    }
    if signed > tail.seq {
        return Err(AuditError::Broken { seq: tail.seq, what: "the chain ends before a signed checkpoint" });
    }
    let proved = known.map_or(0, |(number, _)| number.saturating_sub(signed_until));
    let waiting = waiting.into_iter().skip(usize::try_from(proved).unwrap_or(usize::MAX));
    Ok(AuditSummary {
        records: tail.seq,
        checkpoints,
        signed_until,
        unsigned: Unsigned::of(waiting),
        signed_late,
        head: hex::encode(tail.hash),
    })
}

/// Proves the chain from its last checkpoint to its end, and answers the end. A hub that opens continues nothing else.
pub(super) async fn prove_end(store: &Store, signer: &CheckpointSigner) -> Result<Tail, AuditError> {
    let row = query("SELECT * FROM audit_checkpoint ORDER BY seq DESC LIMIT 1").fetch_optional(store).await?;
    let mut tail = match row.as_ref().map(Checkpoint::read).transpose()? {
        None => Tail::START,
        Some(checkpoint) => {
            let record = read_records(store, checkpoint.seq.saturating_sub(1), 1).await?;
            let record = record.first().filter(|record| record.seq == checkpoint.seq);
            checkpoint.check(signer, record)?;
            record.map_or(Ok(Tail::START), Tail::of)?
        }
    };
    loop {
        let page = read_records(store, tail.seq, PAGE_RECORDS).await?;
        if page.is_empty() {
            return Ok(tail);
        }
        for record in &page {
            tail = tail.then(record)?;
        }
    }
}

async fn last_signed(store: &Store) -> Result<u64, StoreError> {
    let row = query("SELECT seq FROM audit_checkpoint ORDER BY seq DESC LIMIT 1").fetch_optional(store).await?;
    row.as_ref().map_or(Ok(0), |row| unsigned(row, "seq"))
}

struct Checkpoint {
    seq: u64,
    at: Timestamp,
    hash: String,
    key_id: String,
    signature: String,
}

impl Checkpoint {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: unsigned(row, "seq")?,
            at: Timestamp(row.get("at")?),
            hash: row.get("hash")?,
            key_id: row.get("key_id")?,
            signature: row.get("signature")?,
        })
    }

    /// It is of this record, and signed.
    fn check(&self, signer: &CheckpointSigner, record: Option<&AuditRecord>) -> Result<(), AuditError> {
        let broken = |what| AuditError::Broken { seq: self.seq, what };
        let record = record.ok_or_else(|| broken("it is signed and missing"))?;
        if record.hash != self.hash {
            return Err(broken("its signed checkpoint names another hash"));
        }
        signer
            .verify_base64(&self.key_id, &checkpoint_message(self.seq, self.at, &self.hash), &self.signature)
            .map_err(|_| broken("the signature of its checkpoint does not fit"))
    }
}

/// Checkpoints of these records, ascending.
async fn checkpoints_of(store: &Store, page: &[AuditRecord]) -> Result<Vec<Checkpoint>, StoreError> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(Vec::new()) };
    let rows = query("SELECT * FROM audit_checkpoint WHERE seq BETWEEN $1 AND $2 ORDER BY seq")
        .bind(number(first.seq))
        .bind(number(last.seq))
        .fetch_all(store)
        .await?;
    rows.iter().map(Checkpoint::read).collect()
}
