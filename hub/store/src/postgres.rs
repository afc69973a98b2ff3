//! Opening a PostgreSQL server that several hubs share.
//!
//! **Durability (STORE-1).** A server whose `fsync` is off is refused. Every connection says `synchronous_commit = on`
//! for itself unless it already means that or more (`remote_apply`), so that no default of a role or database takes it
//! away; the answer is read back.
//!
//! **Bounds.** Each connection carries its own limits for statements, locks and idle transactions: a hub that is stopped
//! in the middle of a transaction gives its locks back. The settings are made after connecting, not in the startup
//! message, which some proxies between a hub and its server refuse. A proxy must keep a connection to one client for
//! its whole session: prepared statements and these settings belong to the session.
//!
//! **Recovery.** A connection is tried before it is handed out, and a server that starts again is waited for within
//! `acquire_timeout`. Only opening is stricter: it tells what is wrong within `open_timeout`.
//!
//! Migrations run on a connection of their own, one hub at a time (the driver takes an advisory lock).

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::engine::Pools;
use crate::error::{code, timeout};
use crate::options::PostgresOptions;
use crate::{StoreError, migrations};

/// Time for one change of the schema, and for waiting until another hub has made its own.
const MIGRATION_LIMIT: Duration = Duration::from_secs(600);
/// A call may take this much longer here than at the server.
const MARGIN: Duration = Duration::from_secs(5);

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
struct Session {
    statement: Duration,
    lock: Duration,
}

pub(crate) async fn open(options: PostgresOptions) -> Result<Pools, StoreError> {
    let connect = options.connect().disable_statement_logging();
    let mut first = reach(&options, &connect).await?;
    let session = Session { statement: MIGRATION_LIMIT, lock: MIGRATION_LIMIT };
    prepare(&mut first, session).await?;
    check(&mut first, &options).await?;
    migrations::postgres().run_direct(None, &mut first, false).await?;
    first.close().await?;

    let session = Session { statement: options.statement_timeout, lock: options.lock_timeout };
    let pool = PgPoolOptions::new()
        .max_connections(options.connections_max.max(1))
        .acquire_timeout(options.acquire_timeout)
        .after_connect(move |connection, _| Box::pin(prepare(connection, session)))
        .connect_lazy_with(connect);
    let limit = options.acquire_timeout + options.statement_timeout + MARGIN;
    Ok(Pools::Postgres { pool, limit })
}

/// Connects, waiting for a server that is starting, and tells what is wrong with one that does not let the hub in.
async fn reach(options: &PostgresOptions, connect: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let mut last = None;
    let reached = tokio::time::timeout(options.open_timeout, async {
        loop {
            match connect.connect().await {
                Err(error) if is_starting(&error) => last = Some(error),
                outcome => return outcome,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let error = match reached.await {
        Ok(Ok(connection)) => return Ok(connection),
        Ok(Err(error)) => error,
        Err(_) => last.unwrap_or_else(timeout),
    };
    let server = options.server();
    // Authorisation, password, no such database, not allowed to connect.
    Err(match code(&error).as_deref() {
        Some("28000" | "28P01" | "3D000" | "42501") => {
            StoreError::Refused { server, user: options.user().to_owned(), source: error }
        }
        _ => StoreError::Unreachable { server, source: error },
    })
}

/// Nobody listens yet, or it says that it is starting or full.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        error => matches!(code(error).as_deref(), Some("57P03" | "53300")),
    }
}

/// Gives a new connection its settings.
async fn prepare(connection: &mut PgConnection, session: Session) -> Result<(), sqlx::Error> {
    let milliseconds = |time: Duration| time.as_millis().to_string();
    sqlx::query(
        "SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') \
         WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false), \
         set_config('statement_timeout', $1, false), set_config('lock_timeout', $2, false), \
         set_config('idle_in_transaction_session_timeout', $2, false), \
         set_config('client_min_messages', 'warning', false)",
    )
    .bind(milliseconds(session.statement))
    .bind(milliseconds(session.lock))
    .execute(connection)
    .await?;
    Ok(())
}

/// Refuses a server that cannot hold the store.
async fn check(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT current_setting('server_version_num')::bigint AS version, \
         current_setting('server_encoding') AS encoding, current_setting('fsync') AS fsync, \
         current_setting('synchronous_commit') AS commits, \
         pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' AS read_only",
    )
    .fetch_one(connection)
    .await?;
    let word = |name: &str| row.try_get::<String, _>(name);
    let what = if row.try_get::<i64, _>("version")? < 130_000 {
        "it must be version 13 or later"
    } else if word("encoding")? != "UTF8" {
        "the database must be made with `ENCODING 'UTF8'`"
    } else if word("fsync")? != "on" {
        "`fsync` is off, so it may lose what it acknowledged; switch it on"
    } else if !matches!(word("commits")?.as_str(), "on" | "remote_apply") {
        "`synchronous_commit` cannot be switched on, so it may lose what it acknowledged"
    } else if row.try_get::<bool, _>("read_only")? {
        "it is read only (a standby); the store's URL must name the primary"
    } else {
        return Ok(());
    };
    Err(StoreError::Unsuitable { server: options.server(), what })
}
