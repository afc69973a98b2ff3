//! Several hubs on one lake: turns that are fenced, items that change hands, readers that follow.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::{Bus, Headers, MemoryBus, Message, Span};
use minqiao_lake::Lake;

use crate::place::{Place, on_every_store};
use crate::support::{
    Fixture, ITEM, PERSON, Row, TOPIC, append, batch, fold, ingest, message, person, read, seen, start,
};

on_every_store! {
    what_lands_after_the_next_turn_began_is_left_out_also_after_a_restart,
    an_item_changes_hands_while_rows_arrive,
    a_reader_follows_commits_folds_and_deletions,
}

fn rows(keys: std::ops::Range<u8>) -> Vec<Row> {
    keys.map(|key| Row::new(key, 5, 1)).collect()
}

/// A message of one row for its partition, in an epoch.
fn of_epoch(row: &Row, epoch: u64) -> (u32, Message) {
    let mut message = message(&batch(std::slice::from_ref(row)));
    message.headers.epoch = epoch;
    (u32::from(person(row.person).0[0]) % 2, message)
}

async fn put(bus: &MemoryBus, (partition, message): (u32, Message)) {
    bus.append(TOPIC, partition, vec![message]).await.unwrap();
}

/// What a hub appends when its turn begins.
async fn mark(bus: &MemoryBus, epoch: u64) {
    for partition in 0..2 {
        let headers = Headers {
            item: ITEM.to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            batch_id: "turn".to_owned(),
            provider: String::new(),
            span: Span { first_row: 0, rows: 0 },
            epoch,
        };
        bus.append(TOPIC, partition, vec![Message { headers, payload: bytes::Bytes::new() }]).await.unwrap();
    }
}

async fn what_lands_after_the_next_turn_began_is_left_out_also_after_a_restart(place: Place) {
    let fixture = Fixture::at(place).await;
    let all = rows(0..40);
    for row in &all[..10] {
        put(&fixture.bus, of_epoch(row, 1)).await;
    }
    mark(&fixture.bus, 2).await;
    ingest(&fixture.open("one").await, &fixture.bus).await;
    // A restart must not forget that epoch 2 has begun, even if only marks told so.
    for row in &all[10..20] {
        put(&fixture.bus, of_epoch(row, 1)).await;
    }
    ingest(&fixture.open("two").await, &fixture.bus).await;
    for row in &all[20..30] {
        put(&fixture.bus, of_epoch(row, 2)).await;
    }
    for row in &all[30..40] {
        put(&fixture.bus, of_epoch(row, 1)).await;
    }
    let lake = fixture.open("three").await;
    ingest(&lake, &fixture.bus).await;
    let counted: Vec<Row> = all[..10].iter().chain(&all[20..30]).cloned().collect();
    assert_eq!(read(lake.changes(ITEM).unwrap()).await.len(), counted.len());
    assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&counted));
    for (partition, (position, _)) in
        (0..).zip(lake.reached(ITEM, &fixture.bus.topics().await.unwrap()[0]).await.unwrap())
    {
        assert_eq!(position, fixture.bus.end_offset(TOPIC, partition).await.unwrap(), "nothing is waited for");
    }
}

fn share(lake: &Lake, items: &[&str]) {
    lake.set_share(Some(items.iter().map(|item| (*item).to_owned()).collect::<BTreeSet<_>>()));
}

/// Waits until the current rows are these.
async fn comes_to(lake: &Arc<Lake>, follow: bool, rows: &[Row]) {
    let expected = fold(rows);
    for _ in 0..1000 {
        if follow {
            lake.follow().await.unwrap();
        }
        if read(lake.current(ITEM).unwrap()).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the lake does not come to what was sent");
}

async fn an_item_changes_hands_while_rows_arrive(place: Place) {
    let fixture = Fixture::at(place).await;
    let (one, two) = (fixture.open("one").await, fixture.open("two").await);
    share(&one, &[ITEM]);
    share(&two, &[]);
    let (first, second) = (start(&one, &fixture.bus), start(&two, &fixture.bus));
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    comes_to(&one, false, &rows(0..10)).await;
    for turn in 1..6u8 {
        let (old, new) = if turn % 2 == 1 { (&one, &two) } else { (&two, &one) };
        append(fixture.bus.as_ref(), &rows(turn * 10..turn * 10 + 5)).await;
        // Both for a while, and nobody for a while: neither may double or lose.
        share(new, &[ITEM]);
        append(fixture.bus.as_ref(), &rows(turn * 10 + 5..turn * 10 + 10)).await;
        share(old, &[]);
        comes_to(new, false, &rows(0..turn * 10 + 10)).await;
        comes_to(old, true, &rows(0..turn * 10 + 10)).await;
    }
    first.stop().await.unwrap();
    second.stop().await.unwrap();
    let lake = fixture.open("three").await;
    assert_eq!(read(lake.changes(ITEM).unwrap()).await.len(), 60, "each row is stored once");
}

async fn a_reader_follows_commits_folds_and_deletions(place: Place) {
    let fixture = Fixture::at(place).await;
    let (writer, reader) = (fixture.open("writer").await, fixture.open("reader").await);
    share(&reader, &[]);
    for part in 0..3u8 {
        append(fixture.bus.as_ref(), &rows(part * 10..part * 10 + 10)).await;
        ingest(&writer, &fixture.bus).await;
        writer.compact(ITEM).await.unwrap();
        reader.follow().await.unwrap();
        assert_eq!(read(reader.current(ITEM).unwrap()).await, fold(&rows(0..part * 10 + 10)));
        let found = reader.scan_tokens(ITEM, None, PERSON, &[person(part * 10)], None).await;
        assert_eq!(seen(&found.unwrap()).len(), 1, "its index knows the new files");
    }
    // A reader has nothing to keep up: it must leave the writer's files alone.
    let cancel = tokio_util::sync::CancellationToken::new();
    let upkeep = tokio::spawn({
        let (reader, cancel) = (Arc::clone(&reader), cancel.clone());
        async move { reader.run_upkeep(cancel).await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cancel.cancel();
    upkeep.await.unwrap();
    assert_eq!(read(writer.current(ITEM).unwrap()).await, fold(&rows(0..30)));
}
