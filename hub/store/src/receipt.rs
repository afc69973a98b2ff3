//! Receipts, and with them idempotency: a batch is finished exactly once.

use minqiao_core::{Receipt, Timestamp};

use crate::engine::{Attempts, Transaction, query};
use crate::feed::await_place;
use crate::quarantine::insert_quarantined;
use crate::{NewQuarantined, Store, StoreError};

/// The two halves of a delivery, each with its own batch ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// Rows in canonical form.
    Batch,
    /// Rows that the connector could not express in canonical form.
    Rejects,
}

impl BatchKind {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Rejects => "rejects",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Batch, Self::Rejects].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A receipt to store.
#[derive(Debug, Clone)]
pub struct NewReceipt {
    /// Which half.
    pub kind: BatchKind,
    /// The signed receipt; provider, batch id, item and digest are taken from it.
    pub receipt: Receipt,
    /// When the batch was received.
    pub received_at: Timestamp,
}

/// A receipt as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReceipt {
    /// Which half.
    pub kind: BatchKind,
    /// The signed receipt.
    pub receipt: Receipt,
}

/// What a provider delivered of an item on a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IngestCount {
    /// Days since 1970-01-01, of the calendar in +08:00.
    pub day: i32,
    /// Who sent it.
    pub provider: String,
    /// Item code.
    pub item: String,
    /// Finished deliveries, of either kind.
    pub batches: i64,
    /// Durable rows.
    pub accepted: i64,
    /// Rows known before.
    pub duplicate: i64,
    /// Rejected rows.
    pub quarantined: i64,
}

/// What [`Store::finish_batch`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// The receipt is stored now.
    New,
    /// The batch was finished before; this is its receipt.
    Before(Box<Receipt>),
}

impl Store {
    /// The receipt of a provider's batch.
    pub async fn receipt(
        &self,
        provider: &str,
        kind: BatchKind,
        batch_id: &str,
    ) -> Result<Option<StoredReceipt>, StoreError> {
        let row = query("SELECT body FROM receipt WHERE provider = $1 AND kind = $2 AND batch_id = $3")
            .bind(provider)
            .bind(kind.as_str())
            .bind(batch_id)
            .fetch_optional(self)
            .await?;
        row.map(|row| Ok(StoredReceipt { kind, receipt: read_receipt(row.get("body")?)? })).transpose()
    }

    /// Every receipt under a batch id, for `GET /v1/receipts/{batch_id}`: of one provider, or of all for operators.
    pub async fn receipts(&self, batch_id: &str, provider: Option<&str>) -> Result<Vec<StoredReceipt>, StoreError> {
        let rows = query(
            "SELECT kind, body FROM receipt WHERE batch_id = $1 AND ($2 IS NULL OR provider = $2) \
             ORDER BY provider, kind LIMIT 100",
        )
        .bind(batch_id)
        .bind(provider)
        .fetch_all(self)
        .await?;
        rows.into_iter()
            .map(|row| {
                let kind = BatchKind::parse(row.get("kind")?).ok_or(StoreError::Damaged { what: "receipt" })?;
                Ok(StoredReceipt { kind, receipt: read_receipt(row.get("body")?)? })
            })
            .collect()
    }

    /// Deliveries by day, provider and item, ascending; for operators.
    pub async fn ingest_counts(&self) -> Result<Vec<IngestCount>, StoreError> {
        let rows = query(
            "SELECT (received_at + 28800000) / 86400000 AS day, provider, item, COUNT(*) AS batches, \
             CAST(SUM(accepted) AS BIGINT) AS accepted, CAST(SUM(duplicate) AS BIGINT) AS duplicate, \
             CAST(SUM(quarantined) AS BIGINT) AS quarantined \
             FROM receipt GROUP BY 1, provider, item ORDER BY 1, provider, item",
        )
        .fetch_all(self)
        .await?;
        rows.into_iter()
            .map(|row| {
                let day = i32::try_from(row.get::<i64>("day")?);
                Ok(IngestCount {
                    day: day.map_err(|_| StoreError::Damaged { what: "receipt" })?,
                    provider: row.get("provider")?,
                    item: row.get("item")?,
                    batches: row.get("batches")?,
                    accepted: row.get("accepted")?,
                    duplicate: row.get("duplicate")?,
                    quarantined: row.get("quarantined")?,
                })
            })
            .collect()
    }

    /// Stores a receipt together with the rows that it quarantines (STORE-2). When the batch was finished before with
    /// the same digest and item nothing is stored and the earlier receipt is answered; with another it is a
    /// [`StoreError::BatchConflict`]. Of two hubs that finish one batch at once, the second waits for the first.
    ///
    /// After [`StoreError::OutcomeUnknown`] the same call may be repeated: it answers what stands.
    pub async fn finish_batch(&self, new: NewReceipt, rejected: &NewQuarantined) -> Result<Finished, StoreError> {
        let body = serde_json::to_string(&new.receipt).map_err(|_| StoreError::Damaged { what: "receipt" })?;
        let mut attempts = Attempts::default();
        loop {
            match Box::pin(self.finish_once(&new, &body, rejected)).await {
                Err(error) if attempts.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    async fn finish_once(
        &self,
        new: &NewReceipt,
        body: &str,
        rejected: &NewQuarantined,
    ) -> Result<Finished, StoreError> {
        let NewReceipt { kind, receipt, received_at } = new;
        let mut transaction = self.begin().await?;
        // The primary key decides (STORE-3): whoever comes second waits here until the first has committed or given up.
        let stored = query(
            "INSERT INTO receipt (provider, kind, batch_id, item, digest, received_at, accepted, duplicate, \
             quarantined, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (provider, kind, batch_id) DO NOTHING",
        )
        .bind(&receipt.provider)
        .bind(kind.as_str())
        .bind(&receipt.batch_id)
        .bind(&receipt.item)
        .bind(&receipt.content_digest)
        .bind(received_at.0)
        .bind(i64::from(receipt.accepted))
        .bind(i64::from(receipt.duplicate))
        .bind(i64::from(receipt.quarantined))
        .bind(body)
        .execute_in(&mut transaction)
        .await?;
        if stored == 0 {
            return standing(&mut transaction, *kind, receipt).await;
        }
        insert_quarantined(&mut transaction, *kind, receipt, *received_at, rejected).await?;
        await_place(&mut transaction, *kind, receipt, *received_at).await?;
        transaction.commit().await?;
        self.stored.send_modify(|count| *count = count.wrapping_add(1));
        Ok(Finished::New)
    }
}

/// The receipt that the batch has already.
async fn standing(transaction: &mut Transaction, kind: BatchKind, receipt: &Receipt) -> Result<Finished, StoreError> {
    let row = query("SELECT body FROM receipt WHERE provider = $1 AND kind = $2 AND batch_id = $3")
        .bind(&receipt.provider)
        .bind(kind.as_str())
        .bind(&receipt.batch_id)
        .fetch_optional_in(transaction)
        .await?;
    let earlier = read_receipt(row.ok_or(StoreError::NotFound { what: "receipt" })?.get("body")?)?;
    if earlier.content_digest == receipt.content_digest && earlier.item == receipt.item {
        Ok(Finished::Before(Box::new(earlier)))
    } else {
        Err(StoreError::BatchConflict { batch_id: receipt.batch_id.clone() })
    }
}

pub(crate) fn read_receipt(body: &str) -> Result<Receipt, StoreError> {
    serde_json::from_str(body).map_err(|_| StoreError::Damaged { what: "receipt" })
}
