//! The one layer through which every statement goes, so that its text is written once for both engines.
//!
//! A [`Query`] is text with values, a [`Row`] reads columns by name, a [`Transaction`] holds changes together. Below them
//! stand the engines' own drivers. A driver for "any" engine exists and was not taken: it opens databases by URL only,
//! which leaves out what makes SQLite durable, has no name for the type of a `BYTEA` column there, and hides which
//! errors mean that the same call may be tried again.
//!
//! **Isolation.** A transaction of SQLite takes the write lock when it begins (`BEGIN IMMEDIATE`). A transaction of
//! PostgreSQL is READ COMMITTED, whatever the server's default is: every statement sees what others have committed when
//! it starts. What must happen once rests on primary keys (`ON CONFLICT DO NOTHING`, then look), never on what an earlier
//! statement of the transaction saw; the audit chain takes a lock besides ([`Transaction::lock_chain`]).
//!
//! **Again.** What was refused because of another transaction, or because the connection was gone before anything was
//! committed, is tried again a few times ([`Attempts`]). So is a single statement whose outcome is unknown: each of them
//! may be repeated. A transaction whose commit got no answer is [`StoreError::OutcomeUnknown`] for the caller to repeat.
//!
//! **Time.** The server ends statements and waits for locks after their limits. When it does not even answer that, the
//! call ends a little later on this side.

use std::time::Duration;

use sqlx::postgres::{PgPool, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Decode, Row as _, SqlSafeStr, SqlStr, Type};

use crate::error::{lost, timeout};
use crate::{Store, StoreError};

/// Connections to an engine.
#[derive(Debug, Clone)]
pub(crate) enum Pools {
    /// One writer, many readers.
    Sqlite { write: SqlitePool, read: SqlitePool },
    /// One pool for both.
    Postgres {
        pool: PgPool,
        /// Longest time of a call that the server does not answer.
        limit: Duration,
    },
}

/// A value of a statement. `NULL` has a type, because PostgreSQL wants to know it.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Integer(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::from(value.as_str())
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<&Option<String>> for Value {
    fn from(value: &Option<String>) -> Self {
        Self::from(value.as_deref())
    }
}

impl From<&Vec<u8>> for Value {
    fn from(value: &Vec<u8>) -> Self {
        Self::Bytes(value.clone())
    }
}

/// A statement with its values, `$1` being the first.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
    /// Whether the engine keeps the statement prepared: not one whose text varies.
    kept: bool,
}

/// Starts a [`Query`]; the text is of this crate, never from outside.
pub(crate) fn query(sql: impl SqlSafeStr) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new(), kept: true }
}

/// `INSERT INTO {into} VALUES (…), (…)` of rows that have `columns` values each. One statement, because a server is a
/// round trip away.
pub(crate) fn insert_rows(into: &'static str, columns: usize, values: Vec<Value>, end: &'static str) -> Query {
    let mut sql = format!("INSERT INTO {into} VALUES ");
    for at in 0..values.len() {
        sql.push_str(match (at, at % columns) {
            (0, _) => "(",
            (_, 0) => "), (",
            _ => ", ",
        });
        sql.push('$');
        sql.push_str(&(at + 1).to_string());
    }
    sql.push(')');
    sql.push_str(end);
    Query { sql: AssertSqlSafe(sql).into_sql_str(), values, kept: false }
}

impl Query {
    /// The next value.
    pub(crate) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    fn sqlite(self) -> sqlx::query::Query<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
        let query = sqlx::query::<Sqlite>(self.sql).persistent(self.kept);
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }

    fn postgres(self) -> sqlx::query::Query<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
        let query = sqlx::query::<Postgres>(self.sql).persistent(self.kept);
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The column of this name.
    pub(crate) fn get<'r, T>(&'r self, name: &str) -> Result<T, StoreError>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(name)?,
            Self::Postgres(row) => row.try_get(name)?,
        })
    }
}

/// Ends a call that gets no answer. On the heap: the state of a call that may have to connect first is large.
async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(limit, Box::pin(call)).await.unwrap_or_else(|_| Err(timeout()))
}

impl Query {
    /// Runs a statement that changes something and may be repeated; answers the number of rows.
    pub(crate) async fn execute(self, store: &Store) -> Result<u64, StoreError> {
        let mut attempts = Attempts::default();
        loop {
            let outcome = match &store.pools {
                Pools::Sqlite { write, .. } => {
                    Box::pin(self.clone().sqlite().execute(write)).await.map(|done| done.rows_affected())
                }
                Pools::Postgres { pool, limit } => {
                    within(*limit, self.clone().postgres().execute(pool)).await.map(|done| done.rows_affected())
                }
            };
            match outcome.map_err(outcome_of_commit) {
                Err(error) if attempts.again_unless_known(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads every row of an answer.
    pub(crate) async fn fetch_all(self, store: &Store) -> Result<Vec<Row>, StoreError> {
        let mut attempts = Attempts::default();
        loop {
            match self.clone().fetch_once(store).await.map_err(StoreError::from) {
                Err(error) if attempts.again(&error).await => {}
                outcome => return outcome,
            }
        }
    }

    /// Reads the only row of an answer.
    pub(crate) async fn fetch_optional(self, store: &Store) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch_all(store).await?.into_iter().next())
    }

    async fn fetch_once(self, store: &Store) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match &store.pools {
            Pools::Sqlite { read, .. } => {
                Box::pin(self.sqlite().fetch_all(read)).await?.into_iter().map(Row::Sqlite).collect()
            }
            Pools::Postgres { pool, limit } => {
                let rows = within(*limit, self.postgres().fetch_all(pool)).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    /// Runs within a transaction; answers the number of rows changed.
    pub(crate) async fn execute_in(self, transaction: &mut Transaction) -> Result<u64, StoreError> {
        Ok(match transaction {
            Transaction::Sqlite(connection) => self.sqlite().execute(&mut **connection).await?.rows_affected(),
            Transaction::Postgres(connection, limit) => {
                within(*limit, self.postgres().execute(&mut **connection)).await?.rows_affected()
            }
        })
    }

    /// Reads the first row of an answer within a transaction.
    pub(crate) async fn fetch_optional_in(self, transaction: &mut Transaction) -> Result<Option<Row>, StoreError> {
        Ok(match transaction {
            Transaction::Sqlite(connection) => self.sqlite().fetch_optional(&mut **connection).await?.map(Row::Sqlite),
            Transaction::Postgres(connection, limit) => {
                within(*limit, self.postgres().fetch_optional(&mut **connection)).await?.map(Row::Postgres)
            }
        })
    }
}

impl Store {
    /// Begins a transaction; dropped without [`Transaction::commit`], it leaves nothing behind.
    pub(crate) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match &self.pools {
            Pools::Sqlite { write, .. } => Transaction::Sqlite(Box::pin(write.begin_with("BEGIN IMMEDIATE")).await?),
            Pools::Postgres { pool, limit } => {
                let begun = within(*limit, pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")).await?;
                Transaction::Postgres(begun, *limit)
            }
        })
    }
}

/// Changes that appear together or not at all.
#[derive(Debug)]
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    /// With the longest time of a call that the server does not answer.
    Postgres(sqlx::Transaction<'static, Postgres>, Duration),
}

impl Transaction {
    /// Waits until no other hub is appending to the audit chain, and keeps others waiting until the transaction ends.
    ///
    /// In PostgreSQL it is an advisory lock on the number of the table, hence of this database and schema. A lock on the
    /// table itself would stand in the way of its vacuum, and a row to lock would be one more thing to keep true. In
    /// SQLite the transaction already is the only writer.
    pub(crate) async fn lock_chain(&mut self) -> Result<(), StoreError> {
        if matches!(self, Self::Postgres(..)) {
            query("SELECT pg_advisory_xact_lock('audit'::regclass::oid::bigint)").execute_in(self).await?;
        }
        Ok(())
    }

    /// Waits until no other hub is giving places to receipts, and keeps others waiting until the transaction ends: a
    /// lock of its own beside that of the chain, of the same kind.
    pub(crate) async fn lock_order(&mut self) -> Result<(), StoreError> {
        if matches!(self, Self::Postgres(..)) {
            query("SELECT pg_advisory_xact_lock('receipt_place'::regclass::oid::bigint)").execute_in(self).await?;
        }
        Ok(())
    }

    /// Makes the changes durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.commit().await.map_err(StoreError::from),
            Self::Postgres(connection, limit) => within(limit, connection.commit()).await.map_err(outcome_of_commit),
        }
    }
}

/// A connection that is lost while something is committed leaves open whether it was.
fn outcome_of_commit(error: sqlx::Error) -> StoreError {
    if lost(&error) { StoreError::OutcomeUnknown(error) } else { StoreError::Database(error) }
}

/// How often a call was tried.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    contended: u32,
    lost: u32,
}

/// Attempts after losing to another transaction.
const CONTENDED_MAX: u32 = 6;
/// Attempts with a new connection. Waiting for a server that starts again is the pool's, within its own limit.
const LOST_MAX: u32 = 2;

impl Attempts {
    /// Whether to try again after an error that left nothing behind; waits a little before it says yes.
    pub(crate) async fn again(&mut self, error: &StoreError) -> bool {
        let (count, max) = match error {
            error if error.is_contended() => (&mut self.contended, CONTENDED_MAX),
            error if error.is_lost() => (&mut self.lost, LOST_MAX),
            _ => return false,
        };
        Self::count(count, max).await
    }

    /// The same, for a call that may be repeated although its outcome is unknown.
    pub(crate) async fn again_unless_known(&mut self, error: &StoreError) -> bool {
        match error {
            StoreError::OutcomeUnknown(_) => Self::count(&mut self.lost, LOST_MAX).await,
            error => self.again(error).await,
        }
    }

    async fn count(count: &mut u32, max: u32) -> bool {
        *count += 1;
        if *count > max {
            return false;
        }
        // Two that met once must not meet again: a spread that no clock and no seed is needed for.
        let spread = u64::from(uuid::Uuid::new_v4().as_bytes()[0]) % 16;
        tokio::time::sleep(Duration::from_millis((8 << *count) + spread)).await;
        true
    }
}
