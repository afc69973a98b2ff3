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
    /// The id of a report is taken by another report.
    #[error("report `{id}` exists with another content")]
    ReportConflict {
        /// The id.
        id: String,
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
    /// The text is not the URL of a PostgreSQL database. It is not quoted: it holds a password.
    #[error("the store's URL is not one: {what}; write `postgres://USER:PASSWORD@HOST:PORT/DATABASE`")]
    Url {
        /// What is wrong with it.
        what: String,
    },
    /// The server does not answer.
    #[error(
        "PostgreSQL at `{server}` cannot be reached: check that it runs, that host and port in the store's URL are \
         right, and that the network and TLS (`sslmode`, `sslrootcert`) let this machine in"
    )]
    Unreachable {
        /// Host, port, database.
        server: String,
        /// Cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server does not let the hub in.
    #[error(
        "PostgreSQL at `{server}` refuses the user `{user}`: check user, password and database in the store's URL, and \
         the server's `pg_hba.conf`"
    )]
    Refused {
        /// Host, port, database.
        server: String,
        /// User.
        user: String,
        /// Cause.
        #[source]
        source: sqlx::Error,
    },
    /// The server is set up so that it may lose what it acknowledged, or cannot hold what the hub stores.
    #[error("PostgreSQL at `{server}` cannot be the store: {what}")]
    Unsuitable {
        /// Host, port, database.
        server: String,
        /// What to change.
        what: &'static str,
    },
    /// The connection was lost while a change was made durable: it may have been kept or not. The same call may be
    /// repeated.
    #[error("it is not known whether the store kept the change; the same call may be repeated")]
    OutcomeUnknown(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the store's schema could not be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database failed; a change that was asked for was not made.
    #[error("the store's database failed, code {}", code(.0).unwrap_or_else(|| "none".to_owned()))]
    Database(#[from] sqlx::Error),
}

/// SQLite (whose codes have up to four digits): no space, a read or write that failed, a file that cannot be opened.
/// Nothing was kept.
fn disk_is_in_the_way(error: &sqlx::Error) -> bool {
    let code = code(error).filter(|code| code.len() < 5).and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 10 | 13 | 14))
}

impl StoreError {
    /// Nothing was changed because another transaction was in the way; the next attempt may succeed.
    pub(crate) fn is_contended(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(code(error).as_deref(), Some("40001" | "40P01")))
    }

    /// Nothing was changed because the connection was gone; a new one may do.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Database(error) if !is_timeout(error) && lost(error))
    }

    fn is_passing(&self) -> bool {
        match self {
            Self::Database(error) => {
                lost(error)
                    || self.is_contended()
                    || matches!(
                        error,
                        sqlx::Error::PoolTimedOut
                            | sqlx::Error::PoolClosed
                            | sqlx::Error::BeginFailed
                            | sqlx::Error::InvalidSavePointStatement
                    )
                    || disk_is_in_the_way(error)
                    // Standby, lock not given in time, statement out of time, no resources; SQLite is busy.
                    || code(error).is_some_and(|code| {
                        matches!(code.as_str(), "25006" | "55P03" | "57014" | "5" | "261" | "517") || code.starts_with("53")
                    })
            }
            Self::OutcomeUnknown(_) | Self::Unreachable { .. } => true,
            _ => false,
        }
    }
}

/// Whether the connection is gone, so that nothing is known of what was under way on it.
pub(crate) fn lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // Shut down, crashed, starting; broken connection; cut off because it idled in a transaction.
        _ => code(error).is_some_and(|code| {
            code.starts_with("57P") || (code.len() == 5 && code.starts_with("08")) || code == "25P03"
        }),
    }
}

/// A call that did not come back in time.
pub(crate) fn timeout() -> sqlx::Error {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())
}

fn is_timeout(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// SQLSTATE in PostgreSQL, the extended result code in SQLite.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

impl KindOf for StoreError {
    fn kind(&self) -> Kind {
        match self {
            Self::BatchConflict { .. } | Self::ReportConflict { .. } => Kind::Conflict,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Url { .. } => Kind::InvalidArgument,
            Self::Refused { .. } | Self::Unsuitable { .. } => Kind::FailedPrecondition,
            _ if self.is_passing() => Kind::Unavailable { retry_after: Duration::from_secs(5) },
            _ => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::BatchConflict { .. } => "batch_conflict",
            Self::ReportConflict { .. } => "report_conflict",
            Self::NotFound { .. } => "not_found",
            Self::Damaged { .. } => "store_damaged",
            Self::Url { .. } | Self::Refused { .. } | Self::Unsuitable { .. } => "store_misconfigured",
            Self::Unreachable { .. } => "store_unreachable",
            Self::OutcomeUnknown(_) => "store_outcome_unknown",
            Self::Io(_) | Self::Migrate(_) | Self::Database(_) => "store_failed",
        }
    }
}
