//! LAKE-1 and LAKE-2: every acknowledged row once, whatever breaks in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use minqiao_bus::{Bus, BusError, Call, Intercepted, Interceptor};
use minqiao_core::KindOf;
use minqiao_lake::{LakeError, LakeWriter};
use object_store::ObjectStore;
use tokio_util::sync::CancellationToken;

use crate::place::{Place, on_every_store};
use crate::support::{Fault, Fixture, Row, TOPIC, append, bus, fold, ingest, read, start};

on_every_store! {
    rows_are_queryable_once_and_survive_restarts,
    crash_between_file_and_commit_loses_and_doubles_nothing,
    commit_whose_answer_is_lost_is_found_not_repeated,
    crash_after_commit_continues_behind_it,
    two_writers_share_a_topic_without_doubling,
    a_bus_that_does_not_answer_is_asked_again,
    recreated_topic_is_an_error,
    damaged_message_stops_its_item_and_keeps_what_was_committed,
    orphans_of_a_crash_are_deleted_and_nothing_else,
}

pub(crate) fn rows(keys: std::ops::Range<u8>) -> Vec<Row> {
    keys.map(|key| Row::new(key, 5, 1)).collect()
}

pub(crate) async fn assert_once(fixture: &Fixture, process: &str, rows: &[Row]) {
    let lake = fixture.open(process).await;
    assert_eq!(read(lake.changes("pension").unwrap()).await.len(), rows.len(), "changes hold each row once");
    assert_eq!(read(lake.current("pension").unwrap()).await, fold(rows));
}

async fn rows_are_queryable_once_and_survive_restarts(place: Place) {
    let fixture = Fixture::at(place).await;
    let mut all = Vec::new();
    for part in 0..3u8 {
        let new = rows(part * 20..part * 20 + 20);
        append(fixture.bus.as_ref(), &new).await;
        all.extend(new);
        let lake = fixture.open("one").await;
        ingest(&lake, &fixture.bus).await;
        assert_eq!(read(lake.current("pension").unwrap()).await, fold(&all));
        drop(lake);
    }
    assert_once(&fixture, "two", &all).await;
}

async fn crash_between_file_and_commit_loses_and_doubles_nothing(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    append(fixture.bus.as_ref(), &rows(10..30)).await;
    fixture.store.fail("changes/pension/_delta_log/", Fault::Before);
    let running = start(&lake, &fixture.bus);
    while fixture.store.fired() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The process dies: nothing runs on.
    running.task.abort();
    drop(running);
    let again = fixture.open("two").await;
    ingest(&again, &fixture.bus).await;
    assert_once(&fixture, "three", &rows(0..30)).await;
    assert_eq!(fixture.store.fired(), 1);
}

async fn commit_whose_answer_is_lost_is_found_not_repeated(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    append(fixture.bus.as_ref(), &rows(10..30)).await;
    fixture.store.fail("changes/pension/_delta_log/", Fault::After);
    ingest(&lake, &fixture.bus).await;
    assert_eq!(fixture.store.fired(), 1, "the fault fired");
    assert_once(&fixture, "two", &rows(0..30)).await;
}

async fn crash_after_commit_continues_behind_it(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..30)).await;
    let lake = fixture.open("one").await;
    fixture.store.fail("changes/pension/_delta_log/00000000000000000001.json", Fault::After);
    let running = start(&lake, &fixture.bus);
    while fixture.store.fired() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.task.abort();
    drop(running);
    append(fixture.bus.as_ref(), &rows(30..40)).await;
    let again = fixture.open("two").await;
    ingest(&again, &fixture.bus).await;
    assert_once(&fixture, "three", &rows(0..40)).await;
}

async fn two_writers_share_a_topic_without_doubling(place: Place) {
    let fixture = Fixture::at(place).await;
    let (one, two) = (fixture.open("one").await, fixture.open("two").await);
    let (first, second) = (start(&one, &fixture.bus), start(&two, &fixture.bus));
    for part in 0..20u8 {
        append(fixture.bus.as_ref(), &rows(part * 5..part * 5 + 5)).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    for running in [first, second] {
        let all = running.writer.wait_for_all(fixture.bus.as_ref(), Duration::from_secs(60)).await;
        let outcome = running.stop().await;
        assert!(all.is_ok() && outcome.is_ok(), "{all:?} {outcome:?}");
    }
    assert_once(&fixture, "three", &rows(0..100)).await;
}

/// A log that does not answer for a while: every question fails so many times.
#[derive(Debug)]
struct Faltering(AtomicU32);

#[async_trait]
impl Interceptor for Faltering {
    async fn before(&self, call: Call<'_>) -> Result<(), BusError> {
        if matches!(call, Call::Other | Call::Append(_)) {
            return Ok(());
        }
        let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(BusError::TimedOut { doing: "answer", waited: Duration::ZERO }),
            Err(_) => Ok(()),
        }
    }
}

async fn a_bus_that_does_not_answer_is_asked_again(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    let failures = Arc::new(Faltering(AtomicU32::new(1)));
    let inner: Arc<dyn Bus> = Arc::clone(&fixture.bus) as Arc<dyn Bus>;
    let bus = Arc::new(Intercepted::new(inner, Arc::clone(&failures) as Arc<dyn Interceptor>));
    let (writer, cancel) = (LakeWriter::new(Arc::clone(&lake)), CancellationToken::new());
    let (running, stop, faltering) = (writer.clone(), cancel.clone(), Arc::clone(&bus));
    let task = tokio::spawn(async move { running.run(faltering, stop).await });
    // First the list of topics, then positions and messages: each question fails once or more.
    for part in 1..4u8 {
        writer.wait_for_all(fixture.bus.as_ref(), Duration::from_secs(30)).await.unwrap();
        failures.0.store(3, Ordering::SeqCst);
        append(fixture.bus.as_ref(), &rows(part * 10..part * 10 + 10)).await;
    }
    writer.wait_for_all(fixture.bus.as_ref(), Duration::from_secs(30)).await.unwrap();
    assert_eq!(failures.0.load(Ordering::SeqCst), 0, "the faults fired");
    assert!(!task.is_finished(), "the writer goes on");
    cancel.cancel();
    task.await.unwrap().unwrap();
    assert_once(&fixture, "two", &rows(0..40)).await;
}

async fn recreated_topic_is_an_error(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    let other = bus().await;
    append(other.as_ref(), &rows(10..20)).await;
    let outcome = tokio::time::timeout(Duration::from_secs(30), start(&lake, &other).task).await.unwrap().unwrap();
    let error = outcome.unwrap_err();
    assert!(matches!(&error, LakeError::TopicRecreated { topic } if topic == TOPIC), "{error:?}");
    assert_eq!(error.code(), "topic_recreated");
    assert_eq!(read(lake.changes("pension").unwrap()).await.len(), 10);
}

async fn damaged_message_stops_its_item_and_keeps_what_was_committed(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    let mut cut = crate::support::message(&crate::support::batch(&rows(10..12)));
    cut.payload.truncate(cut.payload.len() / 2);
    fixture.bus.append(TOPIC, 0, vec![cut]).await.unwrap();
    let running = start(&lake, &fixture.bus);
    let waited = running.writer.wait_for_all(fixture.bus.as_ref(), Duration::from_millis(500)).await;
    assert!(matches!(waited, Err(LakeError::Deadline { .. })));
    running.stop().await.unwrap();
    assert_once(&fixture, "two", &rows(0..10)).await;
}

async fn orphans_of_a_crash_are_deleted_and_nothing_else(place: Place) {
    use futures::TryStreamExt;
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    append(fixture.bus.as_ref(), &rows(10..30)).await;
    fixture.store.fail("changes/pension/_delta_log/", Fault::Before);
    let running = start(&lake, &fixture.bus);
    while fixture.store.fired() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    running.task.abort();
    let again = fixture.open("two").await;
    ingest(&again, &fixture.bus).await;
    let files = || async {
        let store: Arc<dyn ObjectStore> = fixture.store.clone();
        let all: Vec<_> = store.list(Some(&fixture.prefix())).try_collect().await.unwrap();
        all.iter().filter(|meta| meta.location.as_ref().ends_with(".parquet")).count()
    };
    let before = files().await;
    let deleted = again.delete_orphans().await.unwrap();
    assert!(deleted >= 1, "the crashed writer left a file");
    assert_eq!(files().await, before - deleted);
    assert_once(&fixture, "three", &rows(0..30)).await;
}
