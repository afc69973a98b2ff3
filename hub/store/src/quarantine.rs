//! Rows that were rejected: an index in clear (codes, counts, places) over blobs that the vault sealed.
//!
//! The rows of one batch share one blob, sealed under kind [`BLOB_KIND`] and the blob's id. A row waits until it is
//! replayed (sent again through the checks, and accepted) or dropped.

use minqiao_core::{Outcome, Receipt, RowReason, Timestamp};
use uuid::Uuid;

use crate::engine::{Attempts, Row, Transaction, Value, insert_rows, query};
use crate::receipt::BatchKind;
use crate::{Store, StoreError};

/// Kind under which the vault seals the blobs.
pub const BLOB_KIND: &str = "quarantine";

/// Rows of a batch that go to quarantine with its receipt. The rows and their reasons are those of the receipt's
/// outcomes, in that order; nothing is stored when there are none.
#[derive(Debug, Clone, Default)]
pub struct NewQuarantined {
    /// Drawn by the caller, who sealed the blob under it.
    pub blob_id: String,
    /// The sealed rows.
    pub sealed: Vec<u8>,
}

/// What became of a quarantined row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuarantineStatus {
    /// Nobody has dealt with it.
    Waiting,
    /// It was corrected and accepted.
    Replayed,
    /// It was given up.
    Dropped,
}

impl QuarantineStatus {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Replayed => "replayed",
            Self::Dropped => "dropped",
        }
    }

    /// Reads a stored word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Replayed, Self::Dropped].into_iter().find(|status| status.as_str() == text)
    }
}

/// One row in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Sorts by time.
    pub id: String,
    /// Who sent it.
    pub provider: String,
    /// Which half of a delivery.
    pub kind: BatchKind,
    /// In which batch.
    pub batch_id: String,
    /// Of which item.
    pub item: String,
    /// Index in the batch, from 0.
    pub row: u32,
    /// Why.
    pub reasons: Vec<RowReason>,
    /// Blob that holds it.
    pub blob_id: String,
    /// Index in the blob, from 0.
    pub blob_row: u32,
    /// What became of it.
    pub status: QuarantineStatus,
    /// When it came.
    pub at: Timestamp,
    /// When it was replayed or dropped.
    pub resolved_at: Option<Timestamp>,
}

/// Which rows to list; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct QuarantineFilter {
    /// Item code.
    pub item: Option<String>,
    /// Provider code.
    pub provider: Option<String>,
    /// Batch id.
    pub batch_id: Option<String>,
    /// Reason code.
    pub reason: Option<String>,
    /// Status.
    pub status: Option<QuarantineStatus>,
    /// Only rows after this id, for paging.
    pub after: Option<String>,
}

/// Rows in quarantine per item, provider, reason and status. A row with two reasons counts under both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineCount {
    /// Item code.
    pub item: String,
    /// Provider code.
    pub provider: String,
    /// Reason code.
    pub reason: String,
    /// Status.
    pub status: QuarantineStatus,
    /// Rows.
    pub rows: u64,
}

impl Store {
    /// Counts, by item, provider, reason and status.
    pub async fn quarantine_counts(&self) -> Result<Vec<QuarantineCount>, StoreError> {
        let rows = query(
            "SELECT q.item, q.provider, q.status, r.code, COUNT(DISTINCT q.id) AS row_count \
             FROM quarantine q JOIN quarantine_reason r ON r.quarantine_id = q.id \
             GROUP BY q.item, q.provider, q.status, r.code ORDER BY q.item, q.provider, r.code, q.status",
        )
        .fetch_all(self)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(QuarantineCount {
                    item: row.get("item")?,
                    provider: row.get("provider")?,
                    reason: row.get("code")?,
                    status: read_status(row)?,
                    rows: row.get::<i64>("row_count")?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// Rows that fit the filter, in the order they came, at most `limit`.
    pub async fn quarantine_list(&self, filter: &QuarantineFilter, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        let rows = query(
            "SELECT q.* FROM quarantine q \
             WHERE ($1 IS NULL OR q.item = $1) AND ($2 IS NULL OR q.provider = $2) \
             AND ($3 IS NULL OR q.batch_id = $3) AND ($4 IS NULL OR q.status = $4) AND ($5 IS NULL OR q.id > $5) \
             AND ($6 IS NULL OR EXISTS \
                  (SELECT 1 FROM quarantine_reason r WHERE r.quarantine_id = q.id AND r.code = $6)) \
             ORDER BY q.id LIMIT $7",
        )
        .bind(&filter.item)
        .bind(&filter.provider)
        .bind(&filter.batch_id)
        .bind(filter.status.map(QuarantineStatus::as_str))
        .bind(&filter.after)
        .bind(&filter.reason)
        .bind(i64::from(limit))
        .fetch_all(self)
        .await?;
        rows.iter().map(read_quarantined).collect()
    }

    /// One row.
    pub async fn quarantined(&self, id: &str) -> Result<Quarantined, StoreError> {
        let row = query("SELECT * FROM quarantine WHERE id = $1").bind(id).fetch_optional(self).await?;
        read_quarantined(&row.ok_or(StoreError::NotFound { what: "quarantined row" })?)
    }

    /// The sealed rows of a batch.
    pub async fn quarantine_blob(&self, blob_id: &str) -> Result<Vec<u8>, StoreError> {
        let row = query("SELECT sealed FROM quarantine_blob WHERE id = $1")
            .bind(blob_id)
            .fetch_optional(self)
            .await?
            .ok_or(StoreError::NotFound { what: "quarantined batch" })?;
        row.get("sealed")
    }

    /// Marks waiting rows as dealt with; answers how many were waiting. Repeated after [`StoreError::OutcomeUnknown`] it
    /// finds nothing left to do where the first call was kept.
    pub async fn quarantine_resolve(
        &self,
        ids: &[String],
        status: QuarantineStatus,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        // In one order, so that two hubs that resolve the same rows do not wait for each other in a circle.
        let mut ids: Vec<&String> = ids.iter().collect();
        ids.sort();
        let mut attempts = Attempts::default();
        loop {
            match Box::pin(self.resolve_once(&ids, status, at)).await {
                Err(error) if attempts.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn resolve_once(&self, ids: &[&String], status: QuarantineStatus, at: Timestamp) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let mut changed = 0;
        for id in ids {
            changed +=
                query("UPDATE quarantine SET status = $1, resolved_at = $2 WHERE id = $3 AND status = 'waiting'")
                    .bind(status.as_str())
                    .bind(at.0)
                    .bind(*id)
                    .execute_in(&mut transaction)
                    .await?;
        }
        transaction.commit().await?;
        Ok(changed)
    }
}

/// Rows that one statement stores: eleven values each, of which an engine takes thirty thousand.
const ROWS_PER_STATEMENT: usize = 500;

/// Stores the quarantined rows of a receipt within its transaction (STORE-2).
pub(crate) async fn insert_quarantined(
    transaction: &mut Transaction,
    kind: BatchKind,
    receipt: &Receipt,
    at: Timestamp,
    rejected: &NewQuarantined,
) -> Result<(), StoreError> {
    let rows: Vec<_> = receipt.outcomes.iter().filter(|row| row.outcome == Outcome::Quarantined).collect();
    let mut blob_row: i64 = 0;
    for rows in rows.chunks(ROWS_PER_STATEMENT) {
        let mut index: Vec<Value> = Vec::with_capacity(rows.len() * 11);
        let mut codes: Vec<Value> = Vec::new();
        for row in rows {
            // Ids sort by time, then by row: list and replay go in the order of arrival.
            let id = format!("{}-{blob_row:08}", rejected.blob_id);
            let reasons = serde_json::to_string(&row.reasons).map_err(|_| StoreError::Damaged { what: "reasons" })?;
            for reason in &row.reasons {
                let field = reason.field.as_deref().unwrap_or_default();
                codes.extend([Value::from(&id), Value::from(&reason.code), Value::from(field)]);
            }
            index.extend([
                id.into(),
                (&receipt.provider).into(),
                kind.as_str().into(),
                (&receipt.batch_id).into(),
                (&receipt.item).into(),
                i64::from(row.row).into(),
                reasons.into(),
                (&rejected.blob_id).into(),
                blob_row.into(),
                QuarantineStatus::Waiting.as_str().into(),
                at.0.into(),
            ]);
            blob_row += 1;
        }
        insert_rows(INDEX, 11, index, "").execute_in(transaction).await?;
        for codes in codes.chunks(3 * ROWS_PER_STATEMENT) {
            insert_rows(CODES, 3, codes.to_vec(), " ON CONFLICT (quarantine_id, code, field) DO NOTHING")
                .execute_in(transaction)
                .await?;
        }
    }
    if blob_row > 0 {
        query("INSERT INTO quarantine_blob (id, sealed) VALUES ($1, $2)")
            .bind(&rejected.blob_id)
            .bind(&rejected.sealed)
            .execute_in(transaction)
            .await?;
    }
    Ok(())
}

const INDEX: &str = "quarantine (id, provider, kind, batch_id, item, row_no, reasons, blob_id, blob_row, status, at)";
const CODES: &str = "quarantine_reason (quarantine_id, code, field)";

/// An id for a blob that sorts by time.
pub fn new_blob_id() -> String {
    format!("q-{}", Uuid::now_v7().simple())
}

fn read_status(row: &Row) -> Result<QuarantineStatus, StoreError> {
    QuarantineStatus::parse(row.get("status")?).ok_or(StoreError::Damaged { what: "quarantined row" })
}

fn read_quarantined(row: &Row) -> Result<Quarantined, StoreError> {
    let damaged = || StoreError::Damaged { what: "quarantined row" };
    let number =
        |name: &str| -> Result<u32, StoreError> { u32::try_from(row.get::<i64>(name)?).map_err(|_| damaged()) };
    Ok(Quarantined {
        id: row.get("id")?,
        provider: row.get("provider")?,
        kind: BatchKind::parse(row.get("kind")?).ok_or_else(damaged)?,
        batch_id: row.get("batch_id")?,
        item: row.get("item")?,
        row: number("row_no")?,
        reasons: serde_json::from_str(row.get("reasons")?).map_err(|_| damaged())?,
        blob_id: row.get("blob_id")?,
        blob_row: number("blob_row")?,
        status: read_status(row)?,
        at: Timestamp(row.get("at")?),
        resolved_at: row.get::<Option<i64>>("resolved_at")?.map(Timestamp),
    })
}
