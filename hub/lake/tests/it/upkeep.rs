//! Folding, compaction and deletion while others read and write.

use std::sync::Arc;
use std::time::Duration;

use datafusion::prelude::SessionContext;
use minqiao_core::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::place::{Place, on_every_store};
use crate::support::{Fixture, ITEM, PERSON, Row, append, fold, ingest, open, options, person, read, seen, start};

on_every_store! {
    folding_splits_buckets_and_changes_no_answer,
    readers_see_whole_states_while_everything_moves,
    files_of_a_running_query_outlive_their_replacement,
    log_survives_checkpoints_with_everything_the_lake_needs,
}

async fn folding_splits_buckets_and_changes_no_answer(place: Place) {
    let fixture = Fixture::at(place).await;
    let small = minqiao_lake::LakeOptions { bucket_rows_max: 40, ..options() };
    let lake = open(&fixture.location, &fixture.directory.path().join("one"), small).await;
    let mut all = Vec::new();
    for round in 0..4u8 {
        let rows: Vec<Row> =
            (0..150u8).filter(|key| key % 4 >= round).map(|key| Row::new(key, i64::from(round), round)).collect();
        append(fixture.bus.as_ref(), &rows).await;
        all.extend(rows);
        ingest(&lake, &fixture.bus).await;
        lake.compact(ITEM).await.unwrap();
        assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&all), "round {round}");
        let counts = lake.row_counts()[ITEM];
        assert_eq!((counts.changes, counts.folded, counts.tail), (all.len() as u64, 150, 0));
    }
    // Another process reads the same, with nothing but the log.
    let other = fixture.open("two").await;
    assert_eq!(other.row_counts()[ITEM], lake.row_counts()[ITEM]);
    assert_eq!(read(other.current(ITEM).unwrap()).await, fold(&all));
    other.rebuild(ITEM).await.unwrap();
    assert_eq!(read(other.current(ITEM).unwrap()).await, fold(&all), "rebuilt equals incremental");
    lake.refresh().await.unwrap();
    assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&all));
}

async fn readers_see_whole_states_while_everything_moves(place: Place) {
    let fixture = Fixture::at(place).await;
    let busy = minqiao_lake::LakeOptions {
        small_files_min: 2,
        bucket_rows_max: 30,
        maintain_every: Duration::from_millis(1),
        ..options()
    };
    let lake = open(&fixture.location, &fixture.directory.path().join("one"), busy).await;
    let stop = CancellationToken::new();
    let upkeep = {
        let (lake, stop) = (Arc::clone(&lake), stop.clone());
        tokio::spawn(async move { lake.run_upkeep(stop).await })
    };
    let running = start(&lake, &fixture.bus);
    let mut all: Vec<Row> = Vec::new();
    for round in 0..30i64 {
        let hash = u8::try_from(round).unwrap();
        let rows: Vec<Row> =
            (0..60u8).map(|key| Row { received: 1000 + round, ..Row::new(key, round, hash) }).collect();
        append(fixture.bus.as_ref(), &rows).await;
        all.extend(rows);
        // A plan made now is read while files are replaced and deleted under it.
        let pinned = lake.snapshot(ITEM).unwrap();
        let table = read(lake.current(ITEM).unwrap()).await;
        // Each commit may hold some rounds of each partition: keys are never missing, doubled or older than before.
        let keys: Vec<u8> = table.iter().map(|row| row.0).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "no key twice");
        running.writer.wait_for_all(fixture.bus.as_ref(), Duration::from_secs(30)).await.unwrap();
        assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&all), "round {round}");
        let before: Vec<&Row> = all.iter().filter(|row| row.received < 1000 + round).collect();
        let as_of = Timestamp(1000 + round - 1);
        assert_eq!(read(lake.as_of(ITEM, as_of).unwrap()).await, fold(before), "round {round}");
        assert_eq!(read(pinned.current()).await, table_of(&pinned).await);
        let found = lake.scan_tokens(ITEM, None, PERSON, &[person(13)], None).await.unwrap();
        assert_eq!(seen(&found), fold(all.iter().filter(|row| row.person == 13)));
    }
    running.stop().await.unwrap();
    stop.cancel();
    upkeep.await.unwrap();
    assert_eq!(read(lake.changes(ITEM).unwrap()).await.len(), all.len());
    assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&all));
}

async fn table_of(snapshot: &minqiao_lake::ItemSnapshot) -> crate::support::Seen {
    seen(&SessionContext::new().read_table(snapshot.current()).unwrap().collect().await.unwrap())
}

async fn files_of_a_running_query_outlive_their_replacement(place: Place) {
    let fixture = Fixture::at(place).await;
    let lake = fixture.open("one").await;
    let rows: Vec<Row> = (0..50u8).map(|key| Row::new(key, 1, 1)).collect();
    append(fixture.bus.as_ref(), &rows).await;
    ingest(&lake, &fixture.bus).await;
    lake.compact(ITEM).await.unwrap();
    let context = SessionContext::new();
    let plan = context.read_table(lake.current(ITEM).unwrap()).unwrap().create_physical_plan().await.unwrap();
    for round in 2..5 {
        let newer: Vec<Row> = rows.iter().map(|row| Row { updated: Some(round), hash: 2, ..row.clone() }).collect();
        append(fixture.bus.as_ref(), &newer).await;
        ingest(&lake, &fixture.bus).await;
        lake.compact(ITEM).await.unwrap();
    }
    let batches = datafusion::physical_plan::collect(plan, context.task_ctx()).await.unwrap();
    assert_eq!(seen(&batches), fold(&rows), "the plan answers the state it was made for");
}

async fn log_survives_checkpoints_with_everything_the_lake_needs(place: Place) {
    let fixture = Fixture::at(place).await;
    let lake = fixture.open("one").await;
    let mut all = Vec::new();
    for round in 0..70u8 {
        let row = Row { received: 1000 + i64::from(round), ..Row::new(round % 9, i64::from(round), round) };
        append(fixture.bus.as_ref(), std::slice::from_ref(&row)).await;
        all.push(row);
        ingest(&lake, &fixture.bus).await;
        if round % 7 == 0 {
            lake.compact(ITEM).await.unwrap();
        }
    }
    assert!(lake.version(ITEM).unwrap() > 64, "a checkpoint was written");
    let other = fixture.open("two").await;
    assert_eq!(other.row_counts()[ITEM], lake.row_counts()[ITEM]);
    assert_eq!(other.version(ITEM).unwrap(), lake.version(ITEM).unwrap());
    append(fixture.bus.as_ref(), &[Row::new(200, 1, 1)]).await;
    all.push(Row::new(200, 1, 1));
    ingest(&other, &fixture.bus).await;
    assert_eq!(read(other.current(ITEM).unwrap()).await, fold(&all));
    assert_eq!(read(other.changes(ITEM).unwrap()).await.len(), all.len());
}
