//! The proof of the chain, from its first record on. It reads beside hubs that append: what was signed when it began must
//! be there, what they add meanwhile is proved as far as it is seen.

use minqiao_core::Timestamp;
use serde::Serialize;

use super::{
    AuditError, AuditRecord, CheckpointSigner, Tail, checkpoint_message, hash_of, number, read_records, unsigned,
};
use crate::engine::query;
use crate::{Store, StoreError};

/// Records read at a time.
const PAGE_RECORDS: i64 = 1000;

/// What a whole chain looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditSummary {
    /// Records.
    pub records: u64,
    /// Signed checkpoints, all of them valid.
    pub checkpoints: u64,
    /// Last record covered by a checkpoint.
    pub signed_until: u64,
    /// Hash of the last record, hex.
    pub head: String,
}

/// Proves the chain: every record fits its hash and the one before, numbers have no gap, every checkpoint is signed
/// and fits its record. `known` is a checkpoint kept elsewhere: record number and hash (hex).
pub async fn verify(
    store: &Store,
    signer: &CheckpointSigner,
    known: Option<(u64, &str)>,
) -> Result<AuditSummary, AuditError> {
    let mut tail = Tail { seq: 0, hash: [0; 32] };
    let mut summary = AuditSummary { records: 0, checkpoints: 0, signed_until: 0, head: hex::encode(tail.hash) };
    let mut known_seen = known.is_none();
    // What is signed by now must be there; what others append meanwhile may be seen or not.
    let signed = last_signed(store).await?;
    loop {
        let page = read_records(store, tail.seq, PAGE_RECORDS).await?;
        let Some(last) = page.last().map(|record| record.seq) else { break };
        for record in &page {
            let seq = tail.seq + 1;
            let broken = |what| AuditError::Broken { seq, what };
            if record.seq != seq {
                return Err(broken("a record is missing"));
            }
            if record.prev_hash != hex::encode(tail.hash) {
                return Err(broken("it does not continue the record before"));
            }
            let hash = hash_of(record)?;
            if record.hash != hex::encode(hash) {
                return Err(broken("its content does not fit its hash"));
            }
            if known.is_some_and(|(number, _)| number == seq) {
                known_seen = true;
                if known.is_some_and(|(_, hash)| hash != record.hash) {
                    return Err(broken("it is not the record of the known checkpoint"));
                }
            }
            tail = Tail { seq, hash };
        }
        summary.checkpoints += check_checkpoints(store, signer, &page, &mut summary.signed_until).await?;
        tail.seq = last;
    }
    if !known_seen {
        return Err(AuditError::Broken { seq: tail.seq, what: "the chain ends before the known checkpoint" });
    }
    if signed > tail.seq {
        return Err(AuditError::Broken { seq: tail.seq, what: "the chain ends before a signed checkpoint" });
    }
    summary.records = tail.seq;
    summary.head = hex::encode(tail.hash);
    Ok(summary)
}

async fn last_signed(store: &Store) -> Result<u64, StoreError> {
    let row = query("SELECT seq FROM audit_checkpoint ORDER BY seq DESC LIMIT 1").fetch_optional(store).await?;
    row.as_ref().map_or(Ok(0), |row| unsigned(row, "seq"))
}

async fn check_checkpoints(
    store: &Store,
    signer: &CheckpointSigner,
    page: &[AuditRecord],
    signed_until: &mut u64,
) -> Result<u64, AuditError> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else { return Ok(0) };
    let rows = query("SELECT * FROM audit_checkpoint WHERE seq BETWEEN $1 AND $2 ORDER BY seq")
        .bind(number(first.seq))
        .bind(number(last.seq))
        .fetch_all(store)
        .await?;
    for row in &rows {
        let read = |name: &str| row.get::<String>(name);
        let seq = unsigned(row, "seq")?;
        let at = Timestamp(row.get("at")?);
        let record = page.iter().find(|record| record.seq == seq);
        let hash = read("hash")?;
        if record.is_none_or(|record| record.hash != hash) {
            return Err(AuditError::Broken { seq, what: "its signed checkpoint names another hash" });
        }
        signer
            .verify_base64(&read("key_id")?, &checkpoint_message(seq, at, &hash), &read("signature")?)
            .map_err(|_| AuditError::Broken { seq, what: "the signature of its checkpoint does not fit" })?;
        *signed_until = seq;
    }
    Ok(rows.len() as u64)
}
