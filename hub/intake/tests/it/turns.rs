//! Several hubs take batches of one item: every version once on the bus, whoever is asked and whoever is taken for dead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use minqiao_bus::{Bus, BusError, Call, Intercepted, Interceptor, MemoryBus};
use minqiao_intake::{Format, IntakeError, IntakeOptions};
use minqiao_store::{Membership, Store, StoreOptions};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use crate::support::{Deposit, Hub, ITEM, arrow, arrow_body, deposits};

async fn store(dir: &Path) -> Store {
    Store::open(StoreOptions::at(dir.join("store.db"))).await.expect("a store")
}

async fn hub(dir: &Path, name: &str, bus: Arc<dyn Bus>) -> (Hub, Arc<Membership>) {
    let membership = Arc::new(Membership::enter(store(dir).await, "gateway").await.expect("entered"));
    let others = Some(Arc::clone(&membership));
    let hub = Hub::open_on(dir, &dir.join(name), IntakeOptions::default(), bus, others).await;
    (hub, membership)
}

/// Sends until it is taken, as a connector does.
async fn send(hub: &Hub, batch: &str, rows: &[Deposit]) -> minqiao_core::Receipt {
    let body = arrow_body(&arrow(rows));
    for _ in 0..100 {
        match hub.send(batch, body.clone(), Format::Arrow).await {
            Ok(receipt) => return receipt,
            Err(IntakeError::ItemBusy { retry_after } | IntakeError::TurnLost { retry_after }) => {
                tokio::time::sleep(retry_after).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("`{batch}` is not taken");
}

fn once(on_bus: &[(String, String)], rows: &[Deposit]) {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for (account, _) in on_bus {
        *counted.entry(account).or_default() += 1;
    }
    let doubled: Vec<_> = counted.values().filter(|count| **count > 1).collect();
    assert!(doubled.is_empty(), "{} rows are on the bus more than once", doubled.len());
    let sent: BTreeSet<&str> = rows.iter().map(|row| row.account.as_str()).collect();
    assert_eq!(counted.keys().copied().collect::<BTreeSet<_>>(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hubs_take_turns_and_know_each_others_rows() {
    let dir = TempDir::new().expect("a directory");
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let (one, first) = hub(dir.path(), "one", Arc::clone(&bus)).await;
    let (two, _second) = hub(dir.path(), "two", Arc::clone(&bus)).await;
    let rows = deposits(0..900);
    // Every row is in two batches; each hub gets batches with rows that the other one has.
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..6usize {
        let (hub, rows) = (Arc::clone(if sender % 2 == 0 { &one } else { &two }), rows.clone());
        senders.spawn(async move {
            let mut accepted = 0;
            for batch in 0..6usize {
                let begin = (sender * 150 + batch * 50) % 900;
                let receipt = send(&hub, &format!("s{sender}-b{batch}"), &rows[begin..begin + 50]).await;
                assert_eq!(receipt.accepted + receipt.duplicate, 50);
                accepted += receipt.accepted;
            }
            accepted
        });
    }
    let accepted: u32 = senders.join_all().await.into_iter().sum();
    assert_eq!(accepted, 900, "each version is accepted once, wherever it came in");
    once(&one.on_bus(ITEM).await, &rows);
    // Back and forth: each finds what the other one took a moment ago.
    for (turn, hub) in [&one, &two, &one, &two].into_iter().enumerate() {
        let receipt = send(hub, &format!("turn-{turn}"), &deposits(890 + turn * 10..910 + turn * 10)).await;
        assert_eq!((receipt.accepted, receipt.duplicate), (10, 10));
    }
    let turns = one.metric("minqiao_intake_turns_total", &[("outcome", "taken")]);
    assert!(turns >= 2.0, "they did take turns: {turns}");
    // One leaves: the other need not wait for anything.
    one.intake.close().await.expect("closed");
    first.leave().await.expect("left");
    assert_eq!(send(&two, "last", &deposits(940..990)).await.accepted, 50);
}

/// A way to the log on which messages with rows stay until they are let go.
#[derive(Debug)]
struct Slow {
    arrived: Notify,
    go: Semaphore,
}

#[async_trait]
impl Interceptor for Slow {
    async fn before(&self, call: Call<'_>) -> Result<(), BusError> {
        let Call::Append(messages) = call else { return Ok(()) };
        if messages.iter().any(|message| message.headers.span.rows > 0) {
            self.arrived.notify_one();
            let _go = self.go.acquire().await.map_err(|_| BusError::Closed)?;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_taken_for_dead_gets_nothing_in_behind_the_next_one() {
    let dir = TempDir::new().expect("a directory");
    let bus: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let way = Arc::new(Slow { arrived: Notify::new(), go: Semaphore::new(0) });
    let behind = Intercepted::new(Arc::clone(&bus), Arc::clone(&way) as Arc<dyn Interceptor>);
    let (slow, membership) = hub(dir.path(), "slow", Arc::new(behind)).await;
    let (next, _beating) = hub(dir.path(), "next", Arc::clone(&bus)).await;
    let slow = Arc::new(slow);
    let rows = deposits(0..40);
    let sending = tokio::spawn({
        let (slow, rows) = (Arc::clone(&slow), rows.clone());
        async move { slow.send_rows("b1", &rows).await }
    });
    way.arrived.notified().await;
    // Everybody believes that it died; the sender turns to the other hub, which takes the same rows.
    store(dir.path()).await.remove_hub(&membership.view().id, None).await.expect("taken out");
    assert_eq!(send(&next, "b2", &rows[..30]).await.accepted, 30);
    // Its messages land only now.
    way.go.add_permits(1000);
    let outcome = sending.await.expect("no panic");
    assert!(matches!(outcome, Err(IntakeError::TurnLost { .. })), "{outcome:?}");
    once(&next.on_bus(ITEM).await, &rows[..30]);
    assert_eq!(slow.metric("minqiao_intake_turns_total", &[("outcome", "lost")]), 1.0);
    // The sender asks again: what the other hub has is a duplicate, the rest is accepted, and all of it counts.
    let receipt = send(&slow, "b1", &rows).await;
    assert_eq!((receipt.accepted, receipt.duplicate), (10, 30));
    once(&next.on_bus(ITEM).await, &rows);
    // Also for one that comes later and reads it all from the bus, and for one that is alone.
    let (third, _beating) = hub(dir.path(), "third", Arc::clone(&bus)).await;
    assert_eq!(send(&third, "b3", &rows).await.duplicate, 40);
    let alone = Hub::open_on(dir.path(), &dir.path().join("alone"), IntakeOptions::default(), bus, None).await;
    let receipt = alone.send_rows("b4", &deposits(30..50)).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.duplicate), (10, 10));
    once(&alone.on_bus(ITEM).await, &deposits(0..50));
}
