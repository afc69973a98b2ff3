//! Why a batch as a whole was not taken. Single rows are not errors but outcomes in the receipt.

use std::time::Duration;

use minqiao_bus::BusError;
use minqiao_core::{Kind, KindOf};
use minqiao_schemas::check::SchemaMismatch;
use minqiao_store::StoreError;
use minqiao_vault::VaultError;

use crate::decode::Format;

/// Outcome of a submission that has no receipt. Messages name items, columns and lines, never values.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// The catalogue has no such item.
    #[error("there is no item `{item}` in the catalogue")]
    UnknownItem {
        /// As asked, shortened.
        item: String,
    },
    /// The item belongs to another department.
    #[error("`{provider}` may not deliver `{item}`: it belongs to department `{department}`")]
    PolicyForbidden {
        /// Who asked.
        provider: String,
        /// Item code.
        item: String,
        /// Who owns it.
        department: String,
    },
    /// The provider code names no division in force, or one of another city.
    #[error("`{provider}` is not of a division that this hub serves")]
    ForeignCounty {
        /// Who asked.
        provider: String,
    },
    /// A limit of the request was passed.
    #[error("{what} is {actual}, the limit is {max}{}", place(.line, .column))]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// How much came.
        actual: usize,
        /// How much may come.
        max: usize,
        /// Line or row, from 1, if one is to blame.
        line: Option<usize>,
        /// Column, if one is to blame.
        column: Option<String>,
    },
    /// The body is not what its content type says.
    #[error("the body is not readable as {format}: {what}{}", place(.line, &None))]
    Malformed {
        /// Declared format.
        format: Format,
        /// What is wrong.
        what: &'static str,
        /// Line, from 1, if one is to blame.
        line: Option<usize>,
    },
    /// The columns do not fit the item.
    #[error(transparent)]
    Schema(#[from] SchemaMismatch),
    /// The provider sends faster than it may, or every worker has enough waiting.
    #[error("too much at once, try again in {} ms", .retry_after.as_millis())]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
    },
    /// The batch that it is to follow has not been taken.
    #[error("batch `{after}`, which this one follows, has not been taken yet: send it first")]
    TooEarly {
        /// The id of the batch before.
        after: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Too much of the item waits for the lake.
    #[error("the lake is behind with this item, try again in {} s", .retry_after.as_secs())]
    LakeBehind {
        /// When to try again.
        retry_after: Duration,
    },
    /// Another hub is appending to the item and did not give it up in time.
    #[error("another hub is taking batches of this item, try again in {} ms", .retry_after.as_millis())]
    ItemBusy {
        /// When to try again.
        retry_after: Duration,
    },
    /// Another hub took the item over while this one was appending; the batch is to be sent again.
    #[error("another hub took this item over while the batch was stored: send the batch again")]
    TurnLost {
        /// When to try again.
        retry_after: Duration,
    },
    /// The batch id was used for another content.
    #[error("batch `{batch_id}` was sent before with another content")]
    BatchConflict {
        /// The id.
        batch_id: String,
    },
    /// A batch id holds a citizen number.
    #[error("the batch id in `{header}` holds a citizen number: name batches by something else")]
    IdentityInBatchId {
        /// Header that gives the id.
        header: &'static str,
    },
    /// A quarantined row cannot be replayed as asked.
    #[error("the row cannot be replayed: {what}")]
    NotReplayable {
        /// Why.
        what: &'static str,
    },
    /// The index of known versions failed.
    #[error("the index of known versions failed: {what}")]
    Known {
        /// What it was doing.
        what: &'static str,
        /// Cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A worker died; the batch was not taken.
    #[error("the batch could not be processed")]
    Worker,
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The operational store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Sealing or signing failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

fn place(line: &Option<usize>, column: &Option<String>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(" (row {line}, column `{column}`)"),
        (Some(line), None) => format!(" (line {line})"),
        (None, Some(column)) => format!(" (column `{column}`)"),
        (None, None) => String::new(),
    }
}

impl From<StoreError> for IntakeError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::BatchConflict { batch_id } => Self::BatchConflict { batch_id },
            error => Self::Store(error),
        }
    }
}

impl From<fjall::Error> for IntakeError {
    fn from(error: fjall::Error) -> Self {
        Self::Known { what: "its storage", source: Some(Box::new(error)) }
    }
}

impl KindOf for IntakeError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownItem { .. } => Kind::NotFound,
            Self::PolicyForbidden { .. } | Self::ForeignCounty { .. } => Kind::Forbidden,
            Self::TooLarge { .. } | Self::Malformed { .. } | Self::Schema(_) | Self::IdentityInBatchId { .. } => {
                Kind::InvalidArgument
            }
            Self::RateLimited { retry_after } => Kind::RateLimited { retry_after: *retry_after },
            Self::TooEarly { retry_after, .. }
            | Self::LakeBehind { retry_after }
            | Self::ItemBusy { retry_after }
            | Self::TurnLost { retry_after } => Kind::Unavailable { retry_after: *retry_after },
            Self::BatchConflict { .. } => Kind::Conflict,
            Self::NotReplayable { .. } => Kind::FailedPrecondition,
            Self::Known { .. } => Kind::Unavailable { retry_after: Duration::from_secs(5) },
            Self::Worker => Kind::Internal,
            Self::Bus(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Vault(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownItem { .. } => "unknown_item",
            Self::PolicyForbidden { .. } => "policy_forbidden",
            Self::ForeignCounty { .. } => "foreign_county",
            Self::TooLarge { .. } => "oversize",
            Self::Malformed { .. } => "malformed_body",
            Self::Schema(_) => "schema_drift",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooEarly { .. } => "batch_too_early",
            Self::LakeBehind { .. } => "lake_behind",
            Self::ItemBusy { .. } => "item_busy",
            Self::TurnLost { .. } => "turn_lost",
            Self::BatchConflict { .. } => "batch_conflict",
            Self::IdentityInBatchId { .. } => "identity_in_batch_id",
            Self::NotReplayable { .. } => "not_replayable",
            Self::Known { .. } | Self::Worker => "internal",
            Self::Bus(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Vault(error) => error.code(),
        }
    }
}
