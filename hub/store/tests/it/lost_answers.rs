//! Connections that break while something is committed: whether it was kept is not known, and nothing stands twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minqiao_core::{Kind, KindOf as _};
use minqiao_store::{AuditError, Finished, PostgresOptions, Store, StoreError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::audit::{Audited, entry};
use crate::place::Place;
use crate::scenarios::{blob, receipt};
use crate::server::parts;

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
