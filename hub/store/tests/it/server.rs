//! What a server can do to a store: refuse it, be away, start again, lose the answer to a commit.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use minqiao_core::{Kind, KindOf as _};
use minqiao_store::{AuditError, Finished, PostgresOptions, PostgresTls, Store, StoreError};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::audit::{Audited, entry};
use crate::place::{Place, not_run, server_url};
use crate::scenarios::{blob, receipt};

/// User and password, host and port, the rest.
fn parts(url: &str) -> (String, String, String) {
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
    fn start() -> Option<(Self, String)> {
        server_url()?;
        let server = Self { dir: TempDir::new().expect("a temporary directory") };
        match server.run(&["start"]) {
            Ok(url) => Some((server, url)),
            Err(why) => {
                not_run(&format!("no server of its own: {why}"));
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
    let Some((server, url)) = Server::start() else { return };
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

/// Stands between store and server, and cuts one connection when it commits.
struct Cutter {
    address: String,
    /// What is left to cut.
    armed: Arc<AtomicUsize>,
}

/// When the connection is cut.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    /// The server never hears of the commit.
    Before,
    /// The server has committed; its answer is lost.
    After,
}

impl Cutter {
    async fn start(server: String, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let armed = Arc::new(AtomicUsize::new(0));
        let cuts = Arc::clone(&armed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&server).await.expect("the server answers");
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let cuts = Arc::clone(&cuts);
                tokio::spawn(async move {
                    let back = tokio::spawn(forward(from_server, to_client));
                    // Dropping both directions closes both connections.
                    if let Some(from_server) = watch(from_client, to_server, cuts, cut).await {
                        back.abort();
                        drop(from_server);
                    }
                });
            }
        });
        Self { address, armed }
    }

    async fn place(cut: Cut) -> Option<(Self, Place, PostgresOptions)> {
        let place = Place::postgres().await?;
        let (login, address, rest) = parts(&place.name());
        let cutter = Self::start(address, cut).await;
        let options = PostgresOptions::parse(&format!("postgres://{login}@{}/{rest}", cutter.address)).expect("a URL");
        Some((cutter, place, options))
    }

    fn arm(&self, cuts: usize) {
        self.armed.store(cuts, Ordering::SeqCst);
    }

    fn fired(&self) -> bool {
        self.armed.load(Ordering::SeqCst) == 0
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Forwards until a commit passes that is to be cut.
async fn watch(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    cuts: Arc<AtomicUsize>,
    cut: Cut,
) -> Option<OwnedWriteHalf> {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        let commits = bytes.windows(7).any(|window| window == b"COMMIT\0");
        let take = |left: usize| left.checked_sub(1);
        if commits && cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            if cut == Cut::After {
                to.write_all(bytes).await.ok();
            }
            return Some(to);
        }
        if to.write_all(bytes).await.is_err() {
            return None;
        }
    }
    None
}

async fn cut_batch(cut: Cut, expected: fn(&Finished) -> bool) {
    let Some((cutter, _place, options)) = Cutter::place(cut).await else { return };
    let store = Store::open(options.into()).await.expect("it opens");
    let new = receipt("b", "d", &[&["range"]]);
    cutter.arm(1);
    let unknown = store.finish_batch(new.clone(), &blob()).await.expect_err("the answer is lost");
    assert!(cutter.fired(), "the fault did not fire");
    assert!(matches!(unknown, StoreError::OutcomeUnknown(_)), "{unknown:?}");
    assert!(matches!(unknown.kind(), Kind::Unavailable { .. }));
    let again = store.finish_batch(new.clone(), &blob()).await.expect("repeated");
    assert!(expected(&again), "{again:?}");
    let stored = store.receipts("b", None).await.expect("read");
    assert_eq!(stored.iter().map(|stored| &stored.receipt).collect::<Vec<_>>(), [&new.receipt]);
    assert_eq!(store.quarantine_list(&Default::default(), 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn a_batch_whose_commit_lost_its_answer_is_finished_once() {
    // Whether the server still heard the whole commit is a race that either side may win; the batch stands once.
    cut_batch(Cut::After, |_| true).await;
}

#[tokio::test]
async fn a_batch_whose_commit_never_arrived_is_finished_when_repeated() {
    cut_batch(Cut::Before, |again| *again == Finished::New).await;
}

async fn cut_chain(cut: Cut) {
    let Some((cutter, place, options)) = Cutter::place(cut).await else { return };
    let mut audited = Audited::at(&place).await;
    audited.store = Store::open(options.into()).await.expect("it opens");
    let log = audited.log(1000).await;
    assert_eq!(log.append(entry(1)).await.expect("appended"), 1);
    cutter.arm(1);
    assert_eq!(log.append(entry(2)).await.expect("looked up or written again"), 2);
    assert!(cutter.fired(), "the fault did not fire");
    assert_eq!(log.append(entry(3)).await.expect("appended"), 3);
    // More losses than the log is willing to sit out: an error, and the next record continues what stands.
    cutter.arm(3);
    let lost = log.append(entry(4)).await;
    assert!(matches!(lost, Err(AuditError::Unavailable)) || cut == Cut::After, "{lost:?}");
    cutter.arm(0);
    log.append(entry(5)).await.expect("appended");
    audited.verify().await.expect("the chain holds");
    let records = log.records(0, 100).await.expect("read");
    for n in [1, 2, 3, 5] {
        let detail = entry(n).detail.to_string();
        assert_eq!(records.iter().filter(|record| record.detail == detail).count(), 1, "record of {n}");
    }
}

#[tokio::test]
async fn a_record_whose_commit_lost_its_answer_stands_once() {
    cut_chain(Cut::After).await;
}

#[tokio::test]
async fn a_record_whose_commit_never_arrived_is_written_again() {
    cut_chain(Cut::Before).await;
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
