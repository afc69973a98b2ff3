//! Opening the store.
//!
//! SQLite has one writer at a time. Writers queue for the one connection of the write pool, where waiting is fair and
//! costs no busy loop; readers have their own pool and, thanks to the write-ahead log, never wait for a writer.
//! `synchronous = FULL` syncs the log at every commit (STORE-1). PostgreSQL is in the module `postgres`.

use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::watch;

use crate::engine::{Pools, query};
use crate::options::{SqliteOptions, StoreOptions};
use crate::{StoreError, migrations, postgres};

/// The operational store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pools: Pools,
    /// Counts receipts that this process stored.
    pub(crate) stored: Arc<watch::Sender<u64>>,
}

impl Store {
    /// Opens the database and brings its schema up to date.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        // On the heap: connecting is a large state, which every future that opens a store would carry.
        let pools = match options {
            StoreOptions::Sqlite(options) => Box::pin(sqlite(options)).await?,
            StoreOptions::Postgres(options) => Box::pin(postgres::open(options)).await?,
        };
        Ok(Self { pools, stored: Arc::new(watch::Sender::new(0)) })
    }

    /// Answers when the database does; for readiness.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("SELECT 1").fetch_all(self).await?;
        Ok(())
    }

    /// A setting of the connections to a PostgreSQL server, as in force; nothing on SQLite.
    pub async fn session_setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        if matches!(self.pools, Pools::Sqlite { .. }) {
            return Ok(None);
        }
        let row = query("SELECT current_setting($1) AS setting").bind(name).fetch_optional(self).await?;
        row.map(|row| row.get("setting")).transpose()
    }

    /// Finishes running statements and closes every connection.
    pub async fn close(&self) {
        match &self.pools {
            Pools::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Pools::Postgres { pool, .. } => pool.close().await,
        }
    }
}

async fn sqlite(options: SqliteOptions) -> Result<Pools, StoreError> {
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
        // SQLite ends a transaction by itself when the disk is full. The driver goes on counting it and refuses every
        // further one on this connection; another connection starts at zero.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(connect.clone())
        .await?;
    migrations::sqlite().run(&write).await?;
    let read = SqlitePoolOptions::new()
        .max_connections(options.readers.max(1))
        .acquire_timeout(Duration::from_secs(30))
        .connect_with(connect.read_only(true).create_if_missing(false))
        .await?;
    Ok(Pools::Sqlite { write, read })
}
