//! Outcomes of the store that are not success.

use std::time::Duration;

use minqiao_core::{Kind, KindOf};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The provider has used this batch id for another content or item (STORE-3).
    #[error("batch `{batch_id}` exists with another content")]
    BatchConflict {
        /// The id.
        batch_id: String,
    },
    /// There is nothing under this id.
    #[error("there is no such {what}")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
    },
    /// A stored value cannot be read back as what it must be.
    #[error("stored {what} is damaged")]
    Damaged {
        /// Kind of thing.
        what: &'static str,
    },
    /// The store's directory could not be made.
    #[error("the store's directory could not be made")]
    Io(#[source] std::io::Error),
    /// The schema could not be brought up to date.
    #[error("the store's schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database failed.
    #[error("the store's database failed")]
    Database(#[from] sqlx::Error),
}

/// SQLite: no space, a read or write that failed, a file that cannot be opened. Nothing was kept, and it may pass.
fn disk_is_in_the_way(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 10 | 13 | 14))
}

impl KindOf for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::BatchConflict { .. } => Kind::Conflict,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Database(sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
                Kind::Unavailable { retry_after: Duration::from_secs(5) }
            }
            Self::Database(error) if disk_is_in_the_way(error) => {
                Kind::Unavailable { retry_after: Duration::from_secs(5) }
            }
            Self::Damaged { .. } | Self::Io(_) | Self::Migrate(_) | Self::Database(_) => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BatchConflict { .. } => "batch_conflict",
            Self::NotFound { .. } => "not_found",
            Self::Damaged { .. } => "store_damaged",
            Self::Io(_) | Self::Migrate(_) | Self::Database(_) => "store_failed",
        }
    }
}
