//! The hub's signed answer to a batch (回执). Shared by the hub that writes it and the connector that reads it.

use serde::{Deserialize, Serialize};

/// What became of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Durable on the bus.
    Accepted,
    /// The same version of the same natural key had been accepted before.
    Duplicate,
    /// Rejected with reasons; waits sealed in the quarantine.
    Quarantined,
}

/// Why a row was rejected. Names the rule and the fix, never the value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowReason {
    /// A name of the closed list `minqiao_schemas::Reason` (`invalid_id_number`).
    pub code: String,
    /// Canonical field name; `None` when the whole row is meant.
    pub field: Option<String>,
    /// For department staff.
    pub message_zh: String,
    /// The same in English.
    pub message_en: String,
}

/// One row that was not simply accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowOutcome {
    /// Index in the batch, from 0.
    pub row: u32,
    /// Duplicate or quarantined.
    pub outcome: Outcome,
    /// Empty for duplicates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<RowReason>,
}

/// Signed answer to a batch; `rows = accepted + duplicate + quarantined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The batch, as its provider named it.
    pub batch_id: String,
    /// Item code.
    pub item: String,
    /// Who sent it.
    pub provider: String,
    /// Catalogue version that the rows were checked against.
    pub catalogue_version: String,
    /// RFC 3339, +08:00, milliseconds.
    pub received_at: String,
    /// Rows in the batch.
    pub rows: u32,
    /// Durable rows.
    pub accepted: u32,
    /// Rows known before.
    pub duplicate: u32,
    /// Rejected rows.
    pub quarantined: u32,
    /// SM3 of the request body, hex: binds the receipt to what was sent.
    pub content_digest: String,
    /// Every row that was not accepted, ascending.
    pub outcomes: Vec<RowOutcome>,
    /// Which key signed.
    pub key_id: String,
    /// Signature over [`Receipt::signed_bytes`], base64.
    pub signature: String,
}

impl Receipt {
    /// The bytes that the signature covers: this object as JSON with an empty `signature`.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let unsigned = Self { signature: String::new(), ..self.clone() };
        serde_json::to_vec(&unsigned).expect("a receipt has only strings and numbers")
    }
}
