//! Rows that were rejected: an index in clear (codes, counts, places) over blobs that the vault sealed.
//!
//! The rows of one batch share one blob, sealed under kind [`BLOB_KIND`] and the blob's id. A row waits until it is
//! replayed (sent again through the checks, and accepted) or dropped.

use minqiao_core::{Outcome, Receipt, RowReason, Timestamp};
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

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
        let rows = sqlx::query(
            "SELECT q.item, q.provider, q.status, r.code, COUNT(DISTINCT q.id) AS row_count \
             FROM quarantine q JOIN quarantine_reason r ON r.quarantine_id = q.id \
             GROUP BY q.item, q.provider, q.status, r.code ORDER BY q.item, q.provider, r.code, q.status",
        )
        .fetch_all(&self.read)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(QuarantineCount {
                    item: row.try_get("item")?,
                    provider: row.try_get("provider")?,
                    reason: row.try_get("code")?,
                    status: read_status(row)?,
                    rows: row.try_get::<i64, _>("row_count")?.unsigned_abs(),
                })
            })
            .collect()
    }

    /// Rows that fit the filter, in the order they came, at most `limit`.
    pub async fn quarantine_list(&self, filter: &QuarantineFilter, limit: u32) -> Result<Vec<Quarantined>, StoreError> {
        let rows = sqlx::query(
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
        .fetch_all(&self.read)
        .await?;
        rows.iter().map(read_quarantined).collect()
    }

    /// One row.
    pub async fn quarantined(&self, id: &str) -> Result<Quarantined, StoreError> {
        let row = sqlx::query("SELECT * FROM quarantine WHERE id = $1").bind(id).fetch_optional(&self.read).await?;
        read_quarantined(&row.ok_or(StoreError::NotFound { what: "quarantined row" })?)
    }

    /// The sealed rows of a batch.
    pub async fn quarantine_blob(&self, blob_id: &str) -> Result<Vec<u8>, StoreError> {
        let row = sqlx::query("SELECT sealed FROM quarantine_blob WHERE id = $1")
            .bind(blob_id)
            .fetch_optional(&self.read)
            .await?
            .ok_or(StoreError::NotFound { what: "quarantined batch" })?;
        Ok(row.try_get("sealed")?)
    }

    /// Marks waiting rows as dealt with; answers how many were waiting.
    pub async fn quarantine_resolve(
        &self,
        ids: &[String],
        status: QuarantineStatus,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.write.begin().await?;
        let mut changed = 0;
        for id in ids {
            changed +=
                sqlx::query("UPDATE quarantine SET status = $1, resolved_at = $2 WHERE id = $3 AND status = 'waiting'")
                    .bind(status.as_str())
                    .bind(at.0)
                    .bind(id)
                    .execute(&mut *transaction)
                    .await?
                    .rows_affected();
        }
        transaction.commit().await?;
        Ok(changed)
    }
}

/// Stores the quarantined rows of a receipt within its transaction (STORE-2).
pub(crate) async fn insert_quarantined(
    connection: &mut SqliteConnection,
    kind: BatchKind,
    receipt: &Receipt,
    at: Timestamp,
    rejected: &NewQuarantined,
) -> Result<(), StoreError> {
    let rows = receipt.outcomes.iter().filter(|row| row.outcome == Outcome::Quarantined);
    let mut blob_row: i64 = 0;
    for row in rows {
        // Ids sort by time, then by row: list and replay go in the order of arrival.
        let id = format!("{}-{blob_row:08}", rejected.blob_id);
        let reasons = serde_json::to_string(&row.reasons).map_err(|_| StoreError::Damaged { what: "reasons" })?;
        sqlx::query(
            "INSERT INTO quarantine (id, provider, kind, batch_id, item, row_no, reasons, blob_id, blob_row, status, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'waiting', $10)",
        )
        .bind(&id)
        .bind(&receipt.provider)
        .bind(kind.as_str())
        .bind(&receipt.batch_id)
        .bind(&receipt.item)
        .bind(i64::from(row.row))
        .bind(reasons)
        .bind(&rejected.blob_id)
        .bind(blob_row)
        .bind(at.0)
        .execute(&mut *connection)
        .await?;
        for reason in &row.reasons {
            sqlx::query(
                "INSERT INTO quarantine_reason (quarantine_id, code, field) VALUES ($1, $2, $3) \
                 ON CONFLICT (quarantine_id, code, field) DO NOTHING",
            )
            .bind(&id)
            .bind(&reason.code)
            .bind(reason.field.as_deref().unwrap_or_default())
            .execute(&mut *connection)
            .await?;
        }
        blob_row += 1;
    }
    if blob_row > 0 {
        sqlx::query("INSERT INTO quarantine_blob (id, sealed) VALUES ($1, $2)")
            .bind(&rejected.blob_id)
            .bind(&rejected.sealed)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// An id for a blob that sorts by time.
pub fn new_blob_id() -> String {
    format!("q-{}", Uuid::now_v7().simple())
}

fn read_status(row: &SqliteRow) -> Result<QuarantineStatus, StoreError> {
    QuarantineStatus::parse(row.try_get("status")?).ok_or(StoreError::Damaged { what: "quarantined row" })
}

fn read_quarantined(row: &SqliteRow) -> Result<Quarantined, StoreError> {
    let damaged = || StoreError::Damaged { what: "quarantined row" };
    let number =
        |name: &str| -> Result<u32, StoreError> { u32::try_from(row.try_get::<i64, _>(name)?).map_err(|_| damaged()) };
    Ok(Quarantined {
        id: row.try_get("id")?,
        provider: row.try_get("provider")?,
        kind: BatchKind::parse(row.try_get("kind")?).ok_or_else(damaged)?,
        batch_id: row.try_get("batch_id")?,
        item: row.try_get("item")?,
        row: number("row_no")?,
        reasons: serde_json::from_str(row.try_get("reasons")?).map_err(|_| damaged())?,
        blob_id: row.try_get("blob_id")?,
        blob_row: number("blob_row")?,
        status: read_status(row)?,
        at: Timestamp(row.try_get("at")?),
        resolved_at: row.try_get::<Option<i64>, _>("resolved_at")?.map(Timestamp),
    })
}
