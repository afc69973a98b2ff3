//! Opening the store.
//!
//! SQLite has one writer at a time. Writers queue for the one connection of the write pool, where waiting is fair and
//! costs no busy loop; readers have their own pool and, thanks to the write-ahead log, never wait for a writer.
//! `synchronous = FULL` syncs the log at every commit (STORE-1).

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};

use crate::StoreError;

/// How to open a [`Store`].
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Database file; made when missing, with its directory.
    pub path: PathBuf,
    /// Connections for reading.
    pub readers: u32,
}

impl StoreOptions {
    /// Four readers.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), readers: 4 }
    }
}

/// The operational store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) write: SqlitePool,
    pub(crate) read: SqlitePool,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        if let Some(dir) = options.path.parent() {
            tokio::fs::create_dir_all(dir).await.map_err(StoreError::Io)?;
        }
        let connect = SqliteConnectOptions::new()
            .filename(&options.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true)
            .disable_statement_logging();
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(60))
            .connect_with(connect.clone())
            .await?;
        sqlx::migrate!("./migrations").run(&write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(Duration::from_secs(30))
            .connect_with(connect.read_only(true).create_if_missing(false))
            .await?;
        Ok(Self { write, read })
    }

    /// Answers when the database does; for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Finishes running statements and closes every connection.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}
