//! What the hub adds to every row of a batch (catalogue, `common_envelope`).

use serde::{Deserialize, Serialize};

use crate::{BatchId, ProviderCode, Timestamp};

/// What a row says about its natural key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// The key has this content from now on.
    Upsert,
    /// The key has no row from now on.
    Delete,
}

impl Op {
    /// As stored in `_op`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }
}

/// The envelope values that are the same for all rows of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchEnvelope {
    /// Who sent it.
    pub provider: ProviderCode,
    /// Which batch.
    pub batch_id: BatchId,
    /// When the hub received it.
    pub received_at: Timestamp,
}
