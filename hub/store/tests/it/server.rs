//! What a server can do to a store: refuse it, be away, start again, take another's side.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minqiao_core::{Kind, KindOf as _, Timestamp};
use minqiao_store::{AuditError, Finished, PostgresOptions, PostgresTls, QuarantineStatus, Store, StoreError};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::audit::{Audited, entry};
use crate::place::{Place, server_url};
use crate::scenarios::{blob, receipt};

/// User and password, host and port, the rest.
pub(crate) fn parts(url: &str) -> (String, String, String) {
    let rest = url.strip_prefix("postgres://").expect("a URL");
    let (login, rest) = rest.split_once('@').expect("a login");
    let (address, rest) = rest.split_once('/').expect("a database");
    (login.to_owned(), address.to_owned(), rest.to_owned())
}

async fn refused(options: PostgresOptions) -> StoreError {
    let opened = tokio::time::timeout(Duration::from_secs(20), Store::open(options.into())).await;
    opened.expect("it answers in bounded time").expect_err("it does not open")
}

/// The whole error with its causes, as a log would have it.
fn text(error: &StoreError) -> String {
    let mut text = format!("{error} | {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(" | {error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let Some(url) = server_url() else { return };
    let (login, address, rest) = parts(&url);
    let user = login.split(':').next().expect("a user");
    let options = PostgresOptions::parse(&format!("postgres://{user}:geheim@{address}/{rest}")).expect("a URL");
    let error = refused(options).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert_eq!(error.kind(), Kind::FailedPrecondition);
    let text = text(&error);
    assert!(text.contains(&address) && text.contains(user) && text.contains("check user, password"), "{text}");
    assert!(!text.contains("geheim"), "{text}");
}

#[tokio::test]
async fn a_missing_database_is_told() {
    let Some(url) = server_url() else { return };
    let (login, address, _) = parts(&url);
    let options = PostgresOptions::parse(&format!("postgres://{login}@{address}/nowhere")).expect("a URL");
    let error = refused(options).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(text(&error).contains("nowhere"));
}

#[tokio::test]
async fn a_server_that_is_away_is_told_in_bounded_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let mut options = PostgresOptions::parse(&format!("postgres://hub:geheim@127.0.0.1:{port}/m")).expect("a URL");
    options.open_timeout = Duration::from_millis(700);
    // It accepts and never says a word.
    let silent = refused(options.clone()).await;
    drop(listener);
    let nobody = refused(options).await;
    for error in [silent, nobody] {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(matches!(error.kind(), Kind::Unavailable { .. }));
        let text = text(&error);
        assert!(text.contains(&format!("127.0.0.1:{port}/m")) && text.contains("check that it runs"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_wanted() {
    let Some(place) = Place::postgres().await else { return };
    let mut options = place.postgres_options();
    options.tls = PostgresTls::VerifyFull;
    let error = refused(options).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(text(&error).contains("sslmode"));
}

#[tokio::test]
async fn a_server_with_tls_is_believed_when_its_authority_is_known() {
    let Some((_server, url)) = Server::start(&["--tls"]) else { return };
    let store = Store::open(PostgresOptions::parse(&url).expect("a URL").into()).await.expect("it opens");
    store.ping().await.expect("it answers");
    // `hostssl` in the server's rules lets nobody in otherwise; and an unknown authority is not believed.
    let (plain, _) = url.split_once('?').expect("parameters");
    let error = refused(PostgresOptions::parse(&format!("{plain}?sslmode=disable")).expect("a URL")).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    let error = refused(PostgresOptions::parse(&format!("{plain}?sslmode=verify-full")).expect("a URL")).await;
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(text(&error).contains("UnknownIssuer"), "{}", text(&error));
}

#[tokio::test]
async fn what_lost_to_another_transaction_is_tried_again_a_few_times() {
    let Some(place) = Place::postgres().await else { return };
    let store = place.open().await;
    let mut server = PgConnection::connect(&place.name()).await.expect("connected");
    // A sequence counts attempts, also the ones that are taken back. The first three fail.
    let refusing = "CREATE SEQUENCE attempts; CREATE TABLE lasting (until BIGINT); INSERT INTO lasting VALUES (3); \
                    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                    IF nextval('attempts') <= (SELECT until FROM lasting) THEN \
                    RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$; \
                    CREATE TRIGGER refuse BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION refuse(); \
                    CREATE TRIGGER refuse BEFORE INSERT ON receipt FOR EACH ROW EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refusing).execute(&mut server).await.expect("refuses");
    let body = serde_json::Value::Null;
    store.set_checkpoint("c", "p", &body, Timestamp(1)).await.expect("the fourth attempt");
    place.change("UPDATE lasting SET until = 7").await;
    assert_eq!(store.finish_batch(receipt("b", "d", &[]), &blob()).await.expect("the eighth"), Finished::New);
    place.change("UPDATE lasting SET until = 1000000").await;
    let given_up = store.set_checkpoint("c", "p", &body, Timestamp(1)).await.expect_err("it gives up");
    assert!(matches!(given_up.kind(), Kind::Unavailable { .. }), "{given_up:?}");
    let attempts: i64 =
        sqlx::query_scalar("SELECT last_value FROM attempts").fetch_one(&mut server).await.expect("read");
    assert_eq!(attempts, 8 + 7);
}

#[tokio::test]
async fn a_deadlock_with_another_program_is_tried_again() {
    let Some(place) = Place::postgres().await else { return };
    let store = place.open().await;
    store.finish_batch(receipt("b", "d", &[&["range"], &["range"]]), &blob()).await.expect("stored");
    let rows = store.quarantine_list(&Default::default(), 10).await.expect("read");
    let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
    let touch = |id: &str| AssertSqlSafe(format!("UPDATE quarantine SET reasons = reasons WHERE id = '{id}'"));
    let mut other = PgConnection::connect(&place.name()).await.expect("connected");
    sqlx::raw_sql("BEGIN").execute(&mut other).await.expect("begun");
    sqlx::raw_sql(touch(&ids[1])).execute(&mut other).await.expect("the second row is held");
    let resolve = tokio::spawn({
        let (store, ids) = (store.clone(), ids.clone());
        async move { store.quarantine_resolve(&ids, QuarantineStatus::Dropped, Timestamp(9)).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE quarantine SET s%'";
    let mut looking = PgConnection::connect(&place.name()).await.expect("connected");
    let wait = async {
        while sqlx::query_scalar::<_, i64>(waits).fetch_one(&mut looking).await.expect("read") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect("the store waits for the second row");
    // The circle closes. The store has waited longer, so it is the one that the server refuses.
    sqlx::raw_sql(touch(&ids[0])).execute(&mut other).await.expect("the store gave way: the fault fired");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.expect("committed");
    assert_eq!(resolve.await.expect("no panic").expect("tried again"), 2);
}

#[tokio::test]
async fn a_connection_syncs_whatever_the_default_of_its_database_is() {
    let Some(place) = Place::postgres().await else { return };
    let url = place.name().replace("options[", "options[synchronous_commit]=off&options[");
    let mut plain = PgConnection::connect(&url).await.expect("connected");
    let setting: String = sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut plain).await.expect("read");
    assert_eq!(setting, "off", "the fault did not fire");
    let store = Store::open(PostgresOptions::parse(&url).expect("a URL").into()).await.expect("it opens");
    assert_eq!(store.session_setting("synchronous_commit").await.expect("read"), Some("on".to_owned()));
    let limit = store.session_setting("statement_timeout").await.expect("read");
    assert_eq!(limit, Some("30s".to_owned()));
}

/// A server of this test alone, which it may stop.
struct Server {
    dir: TempDir,
}

impl Server {
    fn start(how: &[&str]) -> Option<(Self, String)> {
        server_url()?;
        let server = Self { dir: TempDir::new().expect("a temporary directory") };
        match server.run(&[&["start"], how].concat()) {
            Ok(url) => Some((server, url)),
            Err(why) => {
                minqiao_tests::servers::not_run("postgres", &format!("no server of its own: {why}"));
                None
            }
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/postgres");
        let output = Command::new(script)
            .args(arguments)
            .arg("--dir")
            .arg(self.dir.path())
            .output()
            .map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]).ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_starts_again_loses_nothing_acknowledged() {
    let Some((server, url)) = Server::start(&[]) else { return };
    let server = Arc::new(server);
    let place = Place::postgres_at(&url).await;
    let audited = Arc::new(Audited::at(&place).await);
    let log = Arc::new(audited.log(10).await);
    let stop = Arc::new(AtomicUsize::new(0));
    let appended = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (audited, log, stop, appended) =
                (Arc::clone(&audited), Arc::clone(&log), Arc::clone(&stop), Arc::clone(&appended));
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut n = writer;
                while stop.load(Ordering::Relaxed) == 0 {
                    if log.append(entry(n)).await.is_ok() {
                        acknowledged.push(n);
                        appended.fetch_add(1, Ordering::Relaxed);
                    }
                    // A batch is repeated until it is answered, as a connector does.
                    while let Err(error) =
                        audited.store.finish_batch(receipt(&n.to_string(), "d", &[&["range"]]), &blob()).await
                    {
                        assert!(matches!(error.kind(), Kind::Unavailable { .. }), "{error:?}");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    n += 4;
                }
                (acknowledged, n)
            })
        })
        .collect();
    let reached = |many: usize| {
        let appended = Arc::clone(&appended);
        async move {
            let wait = async {
                while appended.load(Ordering::Relaxed) < many {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), wait).await.expect("records are appended");
        }
    };
    for round in 1..=2 {
        reached(round * 40).await;
        let restarted = Arc::clone(&server);
        let restart = move || (restarted.run(&["stop", "--now"]), restarted.run(&["start"]));
        let (stopped, started) = tokio::task::spawn_blocking(restart).await.expect("no panic");
        stopped.expect("it stops");
        assert_eq!(started.expect("it starts again"), url);
    }
    reached(appended.load(Ordering::Relaxed) + 40).await;
    stop.store(1, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    let mut batches = 0;
    for writer in writers {
        let (numbers, end) = writer.await.expect("no panic");
        acknowledged.extend(numbers);
        batches += end / 4;
    }
    log.close().await.expect("closed");
    audited.verify().await.expect("the chain holds");
    let records = audited.log(10).await.records(0, 1_000_000).await.expect("read");
    for n in acknowledged {
        let detail = entry(n).detail.to_string();
        assert_eq!(records.iter().filter(|record| record.detail == detail).count(), 1, "record of {n}");
    }
    let counts = audited.store.ingest_counts().await.expect("counted");
    let stored: i64 = counts.iter().map(|count| count.batches).sum();
    assert_eq!(stored, batches as i64, "each batch once");
}

#[tokio::test]
async fn a_hub_that_stops_in_the_middle_of_a_group_gives_the_chain_back() {
    let Some(place) = Place::postgres().await else { return };
    let audited = Audited::at(&place).await;
    let mut options = place.postgres_options();
    options.lock_timeout = Duration::from_secs(1);
    let impatient =
        Audited { store: Store::open(options.into()).await.expect("it opens"), vault: audited.vault.clone() };
    // Another hub, which has taken the lock and does not go on.
    let mut stopped = PgConnection::connect(&place.name()).await.expect("connected");
    let hold = "SET idle_in_transaction_session_timeout = 2000; BEGIN; \
                SELECT pg_advisory_xact_lock('audit'::regclass::oid::bigint)";
    sqlx::raw_sql(hold).execute(&mut stopped).await.expect("held");
    let log = impatient.log(10).await;
    let waited = log.append(entry(1)).await;
    assert!(matches!(waited, Err(AuditError::Unavailable)), "{waited:?}");
    let log = audited.log(10).await;
    assert_eq!(log.append(entry(2)).await.expect("the lock is given back"), 1);
}
