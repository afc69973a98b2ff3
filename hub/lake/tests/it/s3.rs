//! What only a real server can show: rivals for one object, a server that dies, wrong keys, large files.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use minqiao_core::{Kind, KindOf};
use minqiao_lake::{Lake, LakeError, Location, S3Credentials, S3Options};
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::exactly_once::{assert_once, rows};
use crate::place::{Place, on_every_server, options_of};
use crate::support::{Fixture, PERSON, ScriptedStore, append, bus, fold, ingest, person, read, seen, start};

on_every_server! {
    of_many_rivals_one_creates_the_object,
    a_server_killed_while_rows_stream_in_costs_no_row,
    wrong_keys_and_missing_buckets_are_told_without_the_keys,
    a_throw_away_lake_leaves_nothing_behind,
}

async fn of_many_rivals_one_creates_the_object(place: Place) {
    let (store, url) = place.store().await;
    let prefix = Location::on(Arc::clone(&store), &url).prefix().unwrap();
    for round in 0..100 {
        let path = StorePath::from(format!("{prefix}/{round:020}.json"));
        let rivals = (0..8_u8).map(|rival| {
            let (store, path) = (Arc::clone(&store), path.clone());
            tokio::spawn(async move {
                let outcome = store.put_opts(&path, vec![rival; 2000].into(), PutOptions::from(PutMode::Create)).await;
                (rival, outcome.is_ok())
            })
        });
        let outcomes = futures::future::try_join_all(rivals).await.unwrap();
        let winners: Vec<u8> = outcomes.iter().filter(|(_, won)| *won).map(|(rival, _)| *rival).collect();
        let stored = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert_eq!(stored.as_ref(), vec![winners[0]; 2000], "the winner's object is the one that stays");
    }
}

/// `tests/servers/s3`.
fn server(arguments: &[&str], folder: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/s3");
    let done = Command::new(script).args(arguments).arg("--dir").arg(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A server of one test, which may kill it.
struct Own {
    folder: tempfile::TempDir,
    engine: &'static str,
}

impl Own {
    fn start(place: Place) -> Self {
        let own = Self { folder: tempfile::tempdir().unwrap(), engine: place.engine() };
        own.revive();
        own
    }

    fn revive(&self) {
        server(&["start", self.engine], &self.folder.path().join("server"));
    }

    fn kill(&self) {
        server(&["kill"], &self.folder.path().join("server"));
    }

    fn options(&self) -> S3Options {
        let options = options_of(&self.folder.path().join("server"));
        S3Options { retry_for: Duration::from_millis(300), ..options }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn a_server_killed_while_rows_stream_in_costs_no_row(place: Place) {
    let own = Own::start(place);
    let location = Location::s3(&own.options()).await.unwrap();
    let url = own.options().url();
    let store = Arc::new(ScriptedStore::new(Arc::clone(location.store())));
    let location = Location::on(Arc::clone(&store) as Arc<dyn ObjectStore>, &url);
    let fixture = Fixture { location, store, directory: tempfile::tempdir().unwrap(), bus: bus().await };
    let lake = fixture.open("one").await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    ingest(&lake, &fixture.bus).await;
    let running = start(&lake, &fixture.bus);
    let mut all = 10_u8;
    for kill in 0..3_u64 {
        for _ in 0..10 {
            append(fixture.bus.as_ref(), &rows(all..all + 3)).await;
            all += 3;
            tokio::time::sleep(Duration::from_millis(5 + kill)).await;
        }
        own.kill();
        append(fixture.bus.as_ref(), &rows(all..all + 3)).await;
        all += 3;
        let waited = running.writer.wait_for_all(fixture.bus.as_ref(), Duration::from_millis(800)).await;
        assert!(matches!(waited, Err(LakeError::Deadline { .. })), "the server was away: {waited:?}");
        assert!(lake.refresh().await.is_err(), "readers are told");
        own.revive();
        running.writer.wait_for_all(fixture.bus.as_ref(), Duration::from_secs(60)).await.unwrap();
        assert!(!running.task.is_finished(), "the writer goes on");
    }
    running.stop().await.unwrap();
    // Readers that have nothing in memory yet are told what it is, and read on afterwards.
    let reader = fixture.open("reader").await;
    reader.compact("pension").await.unwrap();
    own.kill();
    let error = look_up(&reader).await.unwrap_err();
    assert_eq!((error.code(), matches!(error.kind(), Kind::Unavailable { .. })), ("lake_unavailable", true));
    own.revive();
    assert_eq!(seen(&look_up(&reader).await.unwrap()), fold(&rows(7..8)));
    lake.refresh().await.unwrap();
    assert_eq!(read(lake.current("pension").unwrap()).await, fold(&rows(0..all)));
    assert_once(&fixture, "two", &rows(0..all)).await;
}

async fn look_up(lake: &Lake) -> Result<Vec<RecordBatch>, LakeError> {
    lake.scan_tokens("pension", None, PERSON, &[person(7)], None).await
}

async fn wrong_keys_and_missing_buckets_are_told_without_the_keys(place: Place) {
    let own = Own::start(place);
    let right = own.options();
    let wrong = S3Credentials { secret_access_key: "geheim".to_owned(), ..right.credentials.clone() };
    let wrong_key = S3Options { credentials: wrong, ..right.clone() };
    let no_bucket = S3Options { bucket: "no-such-bucket".to_owned(), ..right };
    for options in [wrong_key, no_bucket] {
        let error = Location::s3(&options).await.unwrap_err();
        let (mut told, mut next) = (String::new(), Some(&error as &dyn std::error::Error));
        while let Some(error) = next {
            told.push_str(&format!("{error}\n"));
            next = error.source();
        }
        assert!(told.contains("cannot be written and read") && told.contains(&options.bucket), "{told}");
        assert!(!told.contains("geheim") && !told.contains(&options.credentials.secret_access_key), "{told}");
    }
}

async fn a_throw_away_lake_leaves_nothing_behind(place: Place) {
    let fixture = Fixture::at(place).await;
    append(fixture.bus.as_ref(), &rows(0..10)).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    let prefix = fixture.prefix();
    let store: Arc<dyn ObjectStore> = fixture.store.clone();
    let listed = || async { store.list(Some(&prefix)).try_collect::<Vec<_>>().await.unwrap().len() };
    assert!(listed().await >= 3, "a file, two log entries");
    fixture.location.delete_all().await.unwrap();
    assert_eq!(listed().await, 0);
}
