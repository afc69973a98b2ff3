//! The seam between the connectors and the hub.
//!
//! A gateway takes batches of canonical rows and rows that have no canonical form, and answers a receipt once they are
//! durable. It may be the HTTPS client ([`crate::http`]) or the intake of the same process; the runner cannot tell.
//!
//! Contract: the same submission sent twice is stored once and answered by the same receipt (the batch id is the
//! idempotency key). A submission that names another in `after` is handled after that one, however many are under way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use minqiao_core::{BatchId, Receipt, RowReason};
use serde::{Deserialize, Serialize};

/// Rows of one item in canonical form.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Item code.
    pub item: Arc<str>,
    /// Idempotency key.
    pub batch_id: BatchId,
    /// The submission of this item that the hub must take before this one; `None` when all before were answered.
    pub after: Option<BatchId>,
    /// The item's submission schema; at least one row.
    pub batch: RecordBatch,
}

/// A row that has no canonical form, as `POST /v1/items/{item}/rejects` takes it, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRow {
    /// Index in the request, from 0.
    pub row: u32,
    /// `file#sheet!row`.
    pub locator: String,
    /// The row as it stands in the source: header → text. Sealed by the hub before anything is stored.
    pub source: serde_json::Map<String, serde_json::Value>,
    /// Why; at least one.
    pub reasons: Vec<RowReason>,
}

/// Rows of one item that have no canonical form.
#[derive(Debug, Clone)]
pub struct Rejection {
    /// Item code.
    pub item: Arc<str>,
    /// Idempotency key.
    pub batch_id: BatchId,
    /// The rows; at least one.
    pub rows: Vec<RejectedRow>,
}

/// Why the hub did not take something.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The hub refuses it for good: it says why with a stable code.
    #[error("the hub refuses with status {status}, `{code}`: {detail}")]
    Refused {
        /// HTTP status, or what it would be.
        status: u16,
        /// Stable code of the problem.
        code: String,
        /// The hub's explanation; holds no data values.
        detail: String,
    },
    /// The hub cannot be reached, or is overloaded, for longer than the retries last.
    #[error("the hub is not available after {attempts} attempts over {} s", elapsed.as_secs())]
    Unavailable {
        /// How often it was tried.
        attempts: u32,
        /// How long.
        elapsed: Duration,
        /// The last failure.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The hub's answer is no receipt for what was sent.
    #[error("the receipt does not fit what was sent: {0}")]
    BadReceipt(&'static str),
    /// The client itself could not make the request.
    #[error("cannot make the request: {what}")]
    Client {
        /// What failed.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Takes rows for the hub; see the module for the contract.
#[async_trait]
pub trait Gateway: Send + Sync + fmt::Debug {
    /// Submits a batch; answers once it is durable.
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError>;

    /// Hands over rows without canonical form; answers once they wait in the quarantine.
    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError>;

    /// How many submissions of one item may be under way at once.
    fn window(&self) -> usize {
        1
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: Gateway + ?Sized> Gateway for Arc<T> {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        (**self).submit(submission).await
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        (**self).reject(rejection).await
    }

    fn window(&self) -> usize {
        (**self).window()
    }
}

/// Checks that a receipt answers a submission: same batch, same item, every row counted once.
pub fn check_receipt(receipt: &Receipt, item: &str, batch_id: &BatchId, rows: usize) -> Result<(), GatewayError> {
    use minqiao_core::Outcome;
    if receipt.batch_id != batch_id.as_str() {
        return Err(GatewayError::BadReceipt("another batch id"));
    }
    if receipt.item != item {
        return Err(GatewayError::BadReceipt("another item"));
    }
    let sum = u64::from(receipt.accepted) + u64::from(receipt.duplicate) + u64::from(receipt.quarantined);
    if receipt.rows as usize != rows || sum != u64::from(receipt.rows) {
        return Err(GatewayError::BadReceipt("counts do not add up to the rows sent"));
    }
    let count = |wanted| receipt.outcomes.iter().filter(|o| o.outcome == wanted).count();
    if count(Outcome::Duplicate) != receipt.duplicate as usize
        || count(Outcome::Quarantined) != receipt.quarantined as usize
    {
        return Err(GatewayError::BadReceipt("outcomes do not add up to the counts"));
    }
    let ascending = receipt.outcomes.windows(2).all(|pair| pair[0].row < pair[1].row);
    if !ascending || receipt.outcomes.iter().any(|o| o.row >= receipt.rows) {
        return Err(GatewayError::BadReceipt("outcomes name rows that were not sent, or twice"));
    }
    Ok(())
}
