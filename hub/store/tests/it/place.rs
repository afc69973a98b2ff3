//! Where a test has its store.

use std::path::Path;

use minqiao_store::{PostgresOptions, Store, StoreOptions};
use minqiao_tests::servers::named;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A database of one test.
pub(crate) struct Place {
    dir: TempDir,
    /// URL with the schema of this test; SQLite in `dir` without.
    url: Option<String>,
}

/// Runs every scenario on every engine, as a test of its own.
macro_rules! on_every_engine {
    ($($scenario:ident),* $(,)?) => {
        mod sqlite {
            use crate::place::Place;
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(Place::sqlite()).await;
            })*
        }
        mod postgres {
            use crate::place::Place;
            $(#[tokio::test]
            async fn $scenario() {
                let Some(place) = Place::postgres().await else { return };
                super::$scenario(place).await;
            })*
        }
    };
}
pub(crate) use on_every_engine;

/// The server that the tests may use.
pub(crate) fn server_url() -> Option<String> {
    named("MINQIAO_POSTGRES_URL", "postgres")
}

impl Place {
    /// An empty SQLite database.
    pub(crate) fn sqlite() -> Self {
        Self { dir: TempDir::new().expect("a temporary directory"), url: None }
    }

    /// An empty schema, when there is a server.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self::postgres_at(&server_url()?).await)
    }

    /// An empty schema at this server.
    pub(crate) async fn postgres_at(server: &str) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(server).await.expect("the server answers");
        run(&mut connection, format!("CREATE SCHEMA {schema}")).await;
        let and = if server.contains('?') { '&' } else { '?' };
        Self { dir, url: Some(format!("{server}{and}options[search_path]={schema}")) }
    }

    /// A folder of this test.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// For another process, which opens it with [`options_of`].
    pub(crate) fn name(&self) -> String {
        self.url.clone().unwrap_or_else(|| self.dir.path().join("store/minqiao.db").display().to_string())
    }

    /// How to open PostgreSQL here.
    pub(crate) fn postgres_options(&self) -> PostgresOptions {
        PostgresOptions::parse(self.url.as_deref().expect("a place on PostgreSQL")).expect("a URL")
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(options_of(&self.name())).await.expect("the store opens")
    }

    /// Changes the database behind the hub's back; answers how many rows.
    pub(crate) async fn change(&self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        match &self.url {
            Some(url) => {
                let mut connection = PgConnection::connect(url).await.expect("connected");
                sqlx::query(sql).execute(&mut connection).await.expect("changed").rows_affected()
            }
            None => {
                let mut connection = SqliteConnection::connect(&self.name()).await.expect("opened");
                sqlx::query(sql).execute(&mut connection).await.expect("changed").rows_affected()
            }
        }
    }

    /// Takes every audit record away, with the checkpoints.
    pub(crate) async fn empty(&self) {
        drop(self.open().await);
        for table in ["audit", "audit_checkpoint"] {
            self.change(&format!("DELETE FROM {table}")).await;
        }
    }
}

/// How to open a [`Place`] by its name.
pub(crate) fn options_of(name: &str) -> StoreOptions {
    if name.starts_with("postgres://") {
        let mut options = PostgresOptions::parse(name).expect("a URL");
        options.connections_max = 4;
        options.into()
    } else {
        StoreOptions::at(name)
    }
}

async fn run(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.expect("the server did it");
}

impl Drop for Place {
    /// Drops the schema, best effort: a server that a test has taken down keeps it.
    fn drop(&mut self) {
        let Some(url) = self.url.take() else { return };
        let schema = url.rsplit('=').next().unwrap_or_default().to_owned();
        let drop_schema = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&url).await {
                    let sql = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
                    sqlx::raw_sql(sql).execute(&mut connection).await.ok();
                }
            });
        };
        std::thread::spawn(drop_schema).join().ok();
    }
}
