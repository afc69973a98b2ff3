//! The contract over both engines of the crate, and what only the embedded one can be asked.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use minqiao_bus::contract::Harness;
use minqiao_bus::{Bus, BusError, EmbeddedBus, EmbeddedOptions, Expiry, Headers, MemoryBus, Message, Namespaced, Span};
use tempfile::TempDir;

struct Memory;

#[async_trait]
impl Harness for Memory {
    async fn open(&self) -> Arc<dyn Bus> {
        Arc::new(MemoryBus::new())
    }
}

struct Embedded(TempDir);

impl Embedded {
    fn new() -> Self {
        Self(TempDir::new().expect("a temporary directory"))
    }
}

#[async_trait]
impl Harness for Embedded {
    async fn open(&self) -> Arc<dyn Bus> {
        Arc::new(EmbeddedBus::open(EmbeddedOptions::at(self.0.path())).expect("the bus opens"))
    }
}

minqiao_bus::contract_tests!(memory, Memory);
minqiao_bus::contract_tests!(embedded, Embedded::new());

/// Two hubs on one log do not see each other's topics.
#[tokio::test]
async fn a_namespace_is_a_log_of_its_own() {
    let shared: Arc<dyn Bus> = Arc::new(MemoryBus::new());
    let [one, two] = ["one.", "two."].map(|name| Namespaced::new(Arc::clone(&shared), name));
    let made = one.ensure_topic("t", 1).await.expect("made");
    assert_eq!(made.name, "t");
    one.append("t", 0, vec![message(0, Bytes::from_static(b"x"))]).await.expect("appended");
    assert_eq!(one.topics().await.expect("listed"), [made]);
    assert!(two.topics().await.expect("listed").is_empty());
    let strange = two.end_offset("t", 0).await.expect_err("not there");
    assert!(matches!(strange, BusError::UnknownTopic { .. }));
    assert_eq!(two.ensure_topic("t", 3).await.expect("another topic").partitions, 3);
    assert_eq!(one.end_offset("t", 0).await.expect("there"), 1);
    assert_eq!(shared.topics().await.expect("listed").len(), 2);
}

fn message(first_row: u32, payload: Bytes) -> Message {
    Message {
        headers: Headers {
            item: "house_property".to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            batch_id: "b".to_owned(),
            provider: "housing-urban-rural.371002".to_owned(),
            span: Span { first_row, rows: 1 },
            epoch: 0,
        },
        payload,
    }
}

#[test]
fn a_directory_is_open_once() {
    let dir = TempDir::new().expect("a temporary directory");
    let first = EmbeddedBus::open(EmbeddedOptions::at(dir.path())).expect("the bus opens");
    assert!(matches!(EmbeddedBus::open(EmbeddedOptions::at(dir.path())), Err(BusError::Locked)));
    drop(first);
    EmbeddedBus::open(EmbeddedOptions::at(dir.path())).expect("the lock went with its owner");
}

/// A journal whose last record is cut before anybody heard of it, as after the loss of power, opens with everything
/// before it. Had somebody heard of it, it does not open.
#[tokio::test]
async fn a_torn_tail_costs_only_what_was_torn() {
    let dir = TempDir::new().expect("a temporary directory");
    let torn = TempDir::new().expect("a temporary directory");
    let bus = EmbeddedBus::open(EmbeddedOptions::at(dir.path())).expect("the bus opens");
    bus.ensure_topic("t", 1).await.expect("made");
    for row in 0..5 {
        bus.append("t", 0, vec![message(row, Bytes::from(vec![row as u8; 50_000]))]).await.expect("appended");
    }
    copy_tree(dir.path(), torn.path());
    let journal = std::fs::read_dir(torn.path())
        .expect("readable")
        .map(|entry| entry.expect("readable").path())
        .find(|path| path.extension().is_some_and(|ext| ext == "jnl"))
        .expect("there is a journal");
    // The journal is preallocated: cut after its last byte that is not zero, less some.
    let bytes = std::fs::read(&journal).expect("readable");
    let used = bytes.iter().rposition(|byte| *byte != 0).expect("something was written");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&journal)
        .and_then(|file| file.set_len(used as u64 - 20_000))
        .expect("cut");
    let refused = EmbeddedBus::open(EmbeddedOptions::at(torn.path())).expect_err("an acknowledged record is gone");
    assert!(refused.to_string().contains("acknowledged"), "{refused}");
    std::fs::remove_file(torn.path().join("acknowledged")).expect("nobody heard of it");
    let bus = EmbeddedBus::open(EmbeddedOptions::at(torn.path())).expect("the torn bus opens");
    assert_eq!(bus.end_offset("t", 0).await.expect("end"), 4, "the torn record is gone, no other");
    let records = bus.fetch("t", 0, 0, 1 << 20).await.expect("read");
    assert!(records.iter().enumerate().all(|(at, record)| record.payload == vec![at as u8; 50_000]));
    let again = bus.append("t", 0, vec![message(4, Bytes::from(vec![4; 50_000]))]).await.expect("sent again");
    assert_eq!(again, [4]);
}

fn copy_tree(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("typed").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// What expired takes no space any more.
#[tokio::test(flavor = "multi_thread")]
async fn space_of_what_expired_is_given_back() {
    const MESSAGES: u32 = 200;
    const PAYLOADS: u64 = MESSAGES as u64 * (512 << 10);
    let dir = TempDir::new().expect("a temporary directory");
    let bus = EmbeddedBus::open(EmbeddedOptions::at(dir.path())).expect("the bus opens");
    bus.ensure_topic("t", 1).await.expect("made");
    let mut noise = 1_u64;
    for row in 0..MESSAGES {
        let mut payload = vec![0_u8; 512 << 10];
        for byte in &mut payload {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (noise >> 56) as u8;
        }
        bus.append("t", 0, vec![message(row, payload.into())]).await.expect("appended");
    }
    let before = bytes_below(dir.path());
    // Files go over a few rounds, and with what the store does beside them.
    let (mut after, mut round) = (before, 0);
    while before - after < PAYLOADS / 10 * 9 {
        assert!(round < 600, "{before} bytes before, {after} after");
        let kept = MESSAGES - 10 + round;
        bus.append("t", 0, vec![message(MESSAGES + round, Bytes::from_static(b"x"))]).await.expect("appended");
        let what = Expiry { topic: "t".to_owned(), partition: 0, before: kept.into() };
        assert_eq!(bus.expire(&[what]).await.expect("expired"), [u64::from(kept)]);
        after = before.min(bytes_below(dir.path()));
        round += 1;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    drop(bus);
    let bus = EmbeddedBus::open(EmbeddedOptions::at(dir.path())).expect("the bus opens");
    assert_eq!(bus.first_offset("t", 0).await.expect("kept"), u64::from(MESSAGES - 11 + round));
}

fn bytes_below(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes_below(&entry.path()),
            // It may have gone.
            about => about.map_or(0, |about| about.len()),
        })
        .sum()
}
