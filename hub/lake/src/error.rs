//! What can go wrong in the lake, as outcomes for the caller. No variant holds a data value.

use std::time::Duration;

use arrow::error::ArrowError;
use minqiao_bus::BusError;
use minqiao_core::{Kind, KindOf};
use parquet::errors::ParquetError;

/// Why the lake did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// The catalogue has no such item.
    #[error("there is no item `{item}`")]
    UnknownItem {
        /// The code asked for.
        item: String,
    },
    /// The item has no such column, or it holds no tokens.
    #[error("item `{item}` has no column `{column}` of the kind asked for")]
    UnknownColumn {
        /// The item.
        item: String,
        /// The column asked for.
        column: String,
    },
    /// The bus topic is not the one whose positions the lake holds: it was made anew, its offsets mean other rows.
    #[error("topic `{topic}` was recreated: the lake holds positions of another topic of that name")]
    TopicRecreated {
        /// The topic.
        topic: String,
    },
    /// Another writer committed the same positions first; nothing of this commit is visible.
    #[error("another writer advanced `{table}` at the same time")]
    Conflict {
        /// The table, e.g. `changes/bank_deposit`.
        table: String,
    },
    /// A message does not hold what its topic promises.
    #[error("message {offset} of `{topic}` partition {partition} is not a sealed batch of the item: {reason}")]
    DamagedMessage {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The message.
        offset: u64,
        /// What is wrong, without values.
        reason: &'static str,
    },
    /// A table holds something that the lake never writes.
    #[error("table `{table}` is damaged: {reason}")]
    DamagedTable {
        /// The table.
        table: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Not everything was queryable in time.
    #[error("not everything was queryable within {waited:?}")]
    Deadline {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The lake's location cannot be used.
    #[error("the lake's location cannot be used")]
    Location(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The bus failed.
    #[error("the bus failed")]
    Bus(#[from] BusError),
    /// The transaction log failed.
    #[error("the transaction log of `{table}` failed")]
    Log {
        /// The table.
        table: String,
        /// The engine's error.
        #[source]
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// Object storage failed.
    #[error("object storage failed")]
    Store(#[from] object_store::Error),
    /// A file could not be read or written.
    #[error("a data file could not be read or written")]
    Parquet(#[source] ParquetError),
    /// Columns could not be put together.
    #[error("columns could not be put together")]
    Arrow(#[source] ArrowError),
    /// The point index failed; it can be rebuilt.
    #[error("the point index failed")]
    Index(#[from] fjall::Error),
    /// A background task of the lake died.
    #[error("a task of the lake ended unexpectedly")]
    Task,
    /// A metric could not be registered.
    #[error("a metric could not be registered")]
    Metric(#[from] prometheus::Error),
}

impl KindOf for LakeError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownItem { .. } | Self::UnknownColumn { .. } => Kind::NotFound,
            Self::Conflict { .. } => Kind::Conflict,
            Self::TopicRecreated { .. } => Kind::FailedPrecondition,
            Self::Deadline { .. } | Self::Log { .. } | Self::Store(_) => {
                Kind::Unavailable { retry_after: Duration::from_secs(5) }
            }
            Self::Bus(error) => error.kind(),
            Self::DamagedMessage { .. }
            | Self::DamagedTable { .. }
            | Self::Location(_)
            | Self::Parquet(_)
            | Self::Arrow(_)
            | Self::Index(_)
            | Self::Task
            | Self::Metric(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnknownItem { .. } => "unknown_item",
            Self::UnknownColumn { .. } => "unknown_column",
            Self::TopicRecreated { .. } => "topic_recreated",
            Self::Conflict { .. } => "lake_conflict",
            Self::DamagedMessage { .. } => "damaged_message",
            Self::DamagedTable { .. } => "damaged_table",
            Self::Deadline { .. } => "not_queryable_in_time",
            Self::Bus(error) => error.code(),
            Self::Log { .. } | Self::Store(_) => "lake_unavailable",
            Self::Location(_) | Self::Parquet(_) | Self::Arrow(_) | Self::Index(_) | Self::Task | Self::Metric(_) => {
                "lake_failed"
            }
        }
    }
}

/// How a read is called that the object store failed.
const STORE_FAILED: &str = "the object store failed while a file was read";

/// A failed read from an object store, for the reader of Parquet files.
pub(crate) fn read_failed(error: object_store::Error) -> ParquetError {
    match error {
        // A file that is gone will not come back: that is damage.
        error @ object_store::Error::NotFound { .. } => ParquetError::External(Box::new(error)),
        error => ParquetError::General(format!("{STORE_FAILED}: {error}")),
    }
}

/// The readers of Parquet and Arrow wrap an error, or keep of it its text alone: the text tells that the store is away.
fn of_store(error: &impl std::error::Error) -> Option<LakeError> {
    let text = error.to_string();
    let failed = text.contains(STORE_FAILED);
    failed.then(|| LakeError::Store(object_store::Error::Generic { store: "lake", source: text.into() }))
}

impl From<ParquetError> for LakeError {
    fn from(error: ParquetError) -> Self {
        of_store(&error).unwrap_or(Self::Parquet(error))
    }
}

impl From<ArrowError> for LakeError {
    fn from(error: ArrowError) -> Self {
        of_store(&error).unwrap_or(Self::Arrow(error))
    }
}

/// For the engine, which has its own error type.
impl From<LakeError> for datafusion::error::DataFusionError {
    fn from(error: LakeError) -> Self {
        Self::External(Box::new(error))
    }
}
