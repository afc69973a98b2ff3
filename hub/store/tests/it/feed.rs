//! The order of receipts (STORE-6) and the positions of subscribers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use minqiao_core::{Receipt, Timestamp};
use minqiao_store::{BatchKind, NewQuarantined, NewReceipt, Providers, Store};
use sqlx::{Connection as _, PgConnection};

use crate::place::{Place, on_every_engine};
use crate::scenarios::receipt;

on_every_engine!(
    receipts_have_one_dense_order_and_each_provider_sees_its_own,
    who_follows_the_order_while_others_write_misses_nothing,
    receipts_of_before_the_order_are_in_it,
    a_subscriber_has_one_position_per_feed,
);

fn of(provider: &str, batch: &str) -> NewReceipt {
    let new = receipt(batch, "d", &[]);
    NewReceipt { receipt: Receipt { provider: provider.to_owned(), ..new.receipt }, ..new }
}

async fn finish(store: &Store, provider: &str, batch: &str) {
    store.finish_batch(of(provider, batch), &NewQuarantined::default()).await.expect("stored");
}

fn one(provider: &str) -> Providers {
    Providers::One(provider.to_owned())
}

async fn receipts_have_one_dense_order_and_each_provider_sees_its_own(place: Place) {
    let store = place.open().await;
    let mut stored = store.receipts_stored();
    for (provider, batch) in
        [("health.371002", "a"), ("education.371002", "a"), ("education.371083", "b"), ("education-x.371002", "c")]
    {
        finish(&store, provider, batch).await;
    }
    assert!(stored.has_changed().expect("open"));
    stored.mark_unchanged();
    finish(&store, "health.371002", "a").await;
    assert!(!stored.has_changed().expect("open"), "a repeated batch is no new receipt");
    let rejects = NewReceipt { kind: BatchKind::Rejects, ..of("health.371002", "a") };
    store.finish_batch(rejects, &NewQuarantined::default()).await.expect("stored");

    let health = store.receipts_after(&one("health.371002"), 0, 10).await.expect("read");
    assert_eq!(health.len(), 2);
    assert_eq!(health[1].receipt.kind, BatchKind::Rejects);
    assert!(health.iter().all(|placed| placed.receipt.receipt.provider == "health.371002"));
    let education = store.receipts_after(&Providers::Department("education".into()), 0, 10).await.expect("read");
    let providers: BTreeSet<&str> = education.iter().map(|p| p.receipt.receipt.provider.as_str()).collect();
    assert_eq!(providers, BTreeSet::from(["education.371002", "education.371083"]), "not education-x");
    assert_eq!(store.receipts_after(&one("nobody.371002"), 0, 10).await.expect("read"), []);

    assert_eq!(store.last_receipt_place().await.expect("read"), 5);
    let rest = store.receipts_after(&one("health.371002"), health[0].place, 10).await.expect("read");
    assert_eq!(rest, health[1..]);
    assert_eq!(store.receipts_after(&one("health.371002"), health[0].place - 1, 1).await.expect("read"), health[..1]);
    let order = store.receipt_order().await.expect("named");
    store.close().await;
    assert_eq!(place.open().await.receipt_order().await.expect("named"), order);
}

async fn who_follows_the_order_while_others_write_misses_nothing(place: Place) {
    const WRITERS: usize = 6;
    const BATCHES: usize = 40;
    let provider = "education.371002";
    let writing = Arc::new(AtomicBool::new(true));
    // Two stores as of two hubs; three readers who each place what they find.
    let (here, there) = (place.open().await, place.open().await);
    let readers: Vec<_> = (0..3)
        .map(|n| {
            let (store, writing) = (if n % 2 == 0 { here.clone() } else { there.clone() }, Arc::clone(&writing));
            tokio::spawn(async move {
                let (mut seen, mut at) = (Vec::new(), 0);
                loop {
                    let over = !writing.load(Ordering::SeqCst);
                    let page = store.receipts_after(&one(provider), at, 7).await.expect("read");
                    for placed in &page {
                        assert!(placed.place > at, "ascending");
                        at = placed.place;
                        seen.push((placed.place, placed.receipt.receipt.batch_id.clone()));
                    }
                    if over && page.is_empty() {
                        return seen;
                    }
                }
            })
        })
        .collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = if writer % 2 == 0 { here.clone() } else { there.clone() };
            tokio::spawn(async move {
                for batch in 0..BATCHES {
                    finish(&store, provider, &format!("{writer}-{batch}")).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("it wrote");
    }
    writing.store(false, Ordering::SeqCst);
    let mut orders = Vec::new();
    for reader in readers {
        orders.push(tokio::time::timeout(Duration::from_secs(60), reader).await.expect("in time").expect("it read"));
    }
    for order in &orders {
        assert_eq!(order, &orders[0], "every reader sees one order");
        let places: Vec<u64> = order.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, (1..=(WRITERS * BATCHES) as u64).collect::<Vec<_>>(), "dense, none lost");
        assert_eq!(
            order.iter().map(|(_, batch)| batch).collect::<BTreeSet<_>>().len(),
            WRITERS * BATCHES,
            "none twice"
        );
    }
}

async fn receipts_of_before_the_order_are_in_it(place: Place) {
    let store = place.open().await;
    for batch in 0..5 {
        finish(&store, "education.371002", &format!("{batch}")).await;
    }
    store.close().await;
    // As the database was before the migration.
    for table in ["receipt_unplaced", "receipt_place", "receipt_order", "feed_position"] {
        place.change(&format!("DROP TABLE {table}")).await;
    }
    place.change("DELETE FROM _sqlx_migrations WHERE version = 3").await;
    let store = place.open().await;
    assert_eq!(store.receipts_after(&one("education.371002"), 0, 10).await.expect("read").len(), 5);
}

async fn a_subscriber_has_one_position_per_feed(place: Place) {
    let store = place.open().await;
    for (subscriber, feed, position) in
        [("a", "receipts", "p1"), ("a", "items/x", "p2"), ("b", "receipts", "p3"), ("a", "receipts", "p4")]
    {
        store.confirm_position(subscriber, feed, position, Timestamp(7)).await.expect("kept");
    }
    store.close().await;
    let kept = place.open().await.confirmed_positions("a").await.expect("read");
    let kept: Vec<_> = kept.iter().map(|p| (p.feed.as_str(), p.position.as_str(), p.updated_at)).collect();
    assert_eq!(kept, [("items/x", "p2", Timestamp(7)), ("receipts", "p4", Timestamp(7))]);
}

/// The very case that a number drawn while storing loses: an earlier transaction that commits after a later one was read.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_passed_over() {
    let Some(place) = Place::postgres().await else { return };
    let store = place.open().await;
    let mut slow = PgConnection::connect(&place.name()).await.expect("connected");
    let body = serde_json::to_string(&of("education.371002", "slow").receipt).expect("JSON");
    sqlx::raw_sql("BEGIN").execute(&mut slow).await.expect("begun");
    sqlx::query(
        "INSERT INTO receipt (provider, kind, batch_id, item, digest, received_at, accepted, duplicate, quarantined, body) \
         VALUES ('education.371002', 'batch', 'slow', 'bank_deposit', 'd', 0, 0, 0, 0, $1)",
    )
    .bind(body)
    .execute(&mut slow)
    .await
    .expect("inserted");
    sqlx::raw_sql("INSERT INTO receipt_unplaced VALUES ('education.371002', 'batch', 'slow', 0)")
        .execute(&mut slow)
        .await
        .expect("inserted");

    finish(&store, "education.371002", "quick").await;
    let education = Providers::Department("education".into());
    let read = |after| store.receipts_after(&education, after, 10);
    let first = tokio::time::timeout(Duration::from_secs(5), read(0)).await.expect("nobody waits").expect("read");
    assert_eq!(first.len(), 1, "what is not committed is not there and holds nobody up");
    sqlx::raw_sql("COMMIT").execute(&mut slow).await.expect("committed");
    let then = read(first[0].place).await.expect("read");
    assert_eq!(then.iter().map(|p| p.receipt.receipt.batch_id.as_str()).collect::<Vec<_>>(), ["slow"]);
}
