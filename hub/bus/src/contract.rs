//! What every engine of the bus must do, as scenarios.
//!
//! An engine's tests say `minqiao_bus::contract_tests!(name, harness)` and get one test per scenario. Differences are
//! the engine's [`crate::Capabilities`], never its name. A scenario panics with what it saw. What ran is written into
//! the target folder, one file per engine and scenario; `tests/run` prints the table.

mod expiry;
mod pressure;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use expiry::*;
pub use pressure::*;

use crate::{Bus, BusError, Headers, Message, Record, Span};

/// Opens the engine under test.
#[async_trait]
pub trait Harness: Send + Sync {
    /// Opens the bus; the one opened before has been dropped. A durable engine finds what it held.
    async fn open(&self) -> Arc<dyn Bus>;

    /// Appended to topic names, so that scenarios on a shared cluster do not meet.
    fn suffix(&self) -> String {
        String::new()
    }

    /// False when the engine's servers are not there; whoever says so has told the reader.
    fn is_available(&self) -> bool {
        true
    }
}

/// How a scenario went; one that fails panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The engine does it.
    Held,
    /// The engine does not promise it ([`crate::Capabilities`]).
    DoesNotApply,
}

/// Runs a scenario and notes how it went in `folder`.
pub async fn run<H, S>(engine: &str, scenario: &str, folder: &str, harness: H, act: S)
where
    H: Harness,
    S: AsyncFnOnce(&dyn Harness) -> Verdict,
{
    let verdict = if harness.is_available() { Some(act(&harness).await) } else { None };
    let line = match verdict {
        Some(Verdict::Held) => "held",
        Some(Verdict::DoesNotApply) => "does not apply",
        None => "NOT RUN",
    };
    let folder = std::path::Path::new(folder).join("bus-contract").join(engine);
    let noted = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(folder.join(scenario), line));
    noted.expect("the target folder is writable");
}

/// Makes one `#[tokio::test]` per scenario in a module of the given name; `$harness` is an expression that makes a
/// fresh [`Harness`]. For integration tests: they know the target folder.
#[macro_export]
macro_rules! contract_tests {
    ($module:ident, $harness:expr) => {
        mod $module {
            use super::*;
            $crate::contract_tests!(@each $module, $harness;
                positions_are_dense_from_zero,
                what_was_appended_comes_back,
                partitions_are_independent,
                acknowledged_append_survives_reopen,
                the_same_message_is_stored_once,
                the_same_message_is_stored_once_after_reopen,
                another_span_is_another_message,
                a_fetch_is_bounded_but_never_stuck,
                an_oversized_message_is_refused_with_its_call,
                a_slow_consumer_misses_nothing,
                concurrent_writers_keep_their_order,
                each_key_keeps_its_order_over_repeated_calls,
                concurrent_repetitions_agree,
                old_messages_are_recognised_for_ever,
                an_abandoned_append_is_stored_once,
                reading_resumes_at_any_position,
                a_call_larger_than_the_queue_goes_through,
                more_than_the_queue_holds_waits_and_arrives,
                everything_before_the_end_can_be_read,
                headers_survive_whatever_they_hold,
                a_waiter_hears_of_its_own_partition_only,
                an_end_is_known_after_reopen,
                a_waiter_wakes_when_data_comes,
                a_waiter_gives_up_at_its_deadline,
                what_expires_is_told_and_the_rest_stays,
                the_last_message_never_expires,
                a_topic_keeps_its_identity,
                another_partition_count_is_refused,
                what_does_not_exist_is_an_error,
                a_closed_bus_refuses,
            );
        }
    };
    (@each $module:ident, $harness:expr; $($name:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (engine, scenario) = (stringify!($module), stringify!($name));
                let act = async |harness: &dyn $crate::contract::Harness| $crate::contract::$name(harness).await;
                $crate::contract::run(engine, scenario, env!("CARGO_TARGET_TMPDIR"), $harness, act).await;
            }
        )+
    };
}

fn message(batch: &str, first_row: u32, payload: impl Into<Bytes>) -> Message {
    Message {
        headers: Headers {
            item: "house_property".to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            batch_id: batch.to_owned(),
            provider: "housing-urban-rural.371002".to_owned(),
            span: Span { first_row, rows: 10 },
            epoch: 0,
        },
        payload: payload.into(),
    }
}

async fn topic(bus: &dyn Bus, harness: &dyn Harness, name: &str, partitions: u32) -> String {
    let topic = format!("contract.{name}{}", harness.suffix());
    bus.ensure_topic(&topic, partitions).await.expect("a topic is made");
    topic
}

async fn all(bus: &dyn Bus, topic: &str, partition: u32) -> Vec<Record> {
    let end = bus.end_offset(topic, partition).await.expect("the end is known");
    let mut records: Vec<Record> = Vec::new();
    while (records.len() as u64) < end {
        let next = bus.fetch(topic, partition, records.len() as u64, 1 << 20).await.expect("records are read");
        assert!(!next.is_empty(), "a fetch before the end was empty");
        records.extend(next);
    }
    for (expected, record) in records.iter().enumerate() {
        assert_eq!(record.offset, expected as u64, "offsets are dense");
    }
    records
}

/// BUS-2.
pub async fn positions_are_dense_from_zero(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "dense", 2).await;
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 0);
    for call in 0..4u32 {
        let messages = (0..3).map(|n| message("b", call * 3 + n, "x")).collect();
        let positions = bus.append(&topic, 0, messages).await.expect("appended");
        let first = u64::from(call) * 3;
        assert_eq!(positions, [first, first + 1, first + 2]);
    }
    assert_eq!(bus.append(&topic, 0, Vec::new()).await.expect("nothing to do"), Vec::<u64>::new());
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 12);
    assert_eq!(all(&*bus, &topic, 0).await.len(), 12);
    Verdict::Held
}

/// Headers and payload survive the way, also empty and binary ones.
pub async fn what_was_appended_comes_back(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "content", 1).await;
    let payloads = [Bytes::new(), Bytes::from_static(&[0, 255, 0, 10]), Bytes::from(vec![7; 300_000])];
    let mut messages: Vec<Message> =
        payloads.iter().zip(0..).map(|(payload, row)| message("b", row, payload.clone())).collect();
    messages[1].headers.epoch = u64::MAX;
    bus.append(&topic, 0, messages.clone()).await.expect("appended");
    let records = all(&*bus, &topic, 0).await;
    assert_eq!(records.len(), 3);
    for (record, message) in records.iter().zip(&messages) {
        assert_eq!(record.headers, message.headers);
        assert!(record.payload == message.payload, "the payload changed");
    }
    Verdict::Held
}

/// A partition counts for itself.
pub async fn partitions_are_independent(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "partitions", 3).await;
    for partition in [2, 0, 2] {
        let row = bus.end_offset(&topic, partition).await.expect("end") as u32;
        bus.append(&topic, partition, vec![message("b", row, format!("p{partition}"))]).await.expect("appended");
    }
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 1);
    assert_eq!(bus.end_offset(&topic, 1).await.expect("end"), 0);
    assert_eq!(bus.end_offset(&topic, 2).await.expect("end"), 2);
    assert_eq!(all(&*bus, &topic, 0).await[0].payload, "p0");
    assert!(bus.fetch(&topic, 1, 0, 1000).await.expect("an empty partition is read").is_empty());
    Verdict::Held
}

/// BUS-1.
pub async fn acknowledged_append_survives_reopen(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    if !bus.capabilities().durable {
        return Verdict::DoesNotApply;
    }
    let topic = topic(&*bus, harness, "durable", 2).await;
    for row in 0..20 {
        bus.append(&topic, row % 2, vec![message("b", row, vec![row as u8; 20_000])]).await.expect("appended");
    }
    // No `close`: durability must not depend on it.
    drop(bus);
    let bus = harness.open().await;
    for partition in 0..2 {
        let records = all(&*bus, &topic, partition).await;
        assert_eq!(records.len(), 10);
        for (at, record) in records.iter().enumerate() {
            assert!(record.payload == vec![at as u8 * 2 + partition as u8; 20_000], "the payload changed");
        }
    }
    let next = bus.append(&topic, 0, vec![message("c", 0, "next")]).await.expect("appended");
    assert_eq!(next, [10], "numbering goes on");
    Verdict::Held
}

/// BUS-3.
pub async fn the_same_message_is_stored_once(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "once", 1).await;
    let messages: Vec<Message> = (0..3).map(|row| message("b", row, "x")).collect();
    let first = bus.append(&topic, 0, messages.clone()).await.expect("appended");
    let again = bus.append(&topic, 0, messages.clone()).await.expect("appended again");
    assert_eq!(first, again);
    let twice = vec![message("c", 0, "y"), message("b", 1, "x"), message("c", 0, "y")];
    assert_eq!(bus.append(&topic, 0, twice).await.expect("appended"), [3, 1, 3]);
    let (left, right) = tokio::join!(
        bus.append(&topic, 0, vec![message("d", 0, "z")]),
        bus.append(&topic, 0, vec![message("d", 0, "z")])
    );
    assert_eq!(left.expect("appended"), right.expect("appended"));
    assert_eq!(all(&*bus, &topic, 0).await.len(), 5);
    Verdict::Held
}

/// BUS-3 over a restart, which every durable engine keeps for its last messages.
pub async fn the_same_message_is_stored_once_after_reopen(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    if !bus.capabilities().durable {
        return Verdict::DoesNotApply;
    }
    let topic = topic(&*bus, harness, "once-reopened", 1).await;
    let messages: Vec<Message> = (0..3).map(|row| message("b", row, "x")).collect();
    let first = bus.append(&topic, 0, messages.clone()).await.expect("appended");
    drop(bus);
    let bus = harness.open().await;
    assert_eq!(bus.append(&topic, 0, messages).await.expect("appended again"), first);
    assert_eq!(all(&*bus, &topic, 0).await.len(), 3);
    Verdict::Held
}

/// The same batch id from another provider, or another part of the batch, is not the same message.
pub async fn another_span_is_another_message(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "span", 1).await;
    let mut other_provider = message("b", 0, "x");
    other_provider.headers.provider = "housing-urban-rural.371003".to_owned();
    let mut other_rows = message("b", 0, "x");
    other_rows.headers.span.rows = 11;
    let mut other_epoch = message("b", 0, "x");
    other_epoch.headers.epoch = 1;
    let messages = vec![message("b", 0, "x"), message("b", 10, "x"), other_provider, other_rows, other_epoch];
    assert_eq!(bus.append(&topic, 0, messages).await.expect("appended"), [0, 1, 2, 3, 4]);
    Verdict::Held
}

/// Truncated reads: a fetch stops at its byte limit, and one message always comes.
pub async fn a_fetch_is_bounded_but_never_stuck(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "fetch", 1).await;
    let messages = (0..10).map(|row| message("b", row, vec![1; 1000])).collect();
    bus.append(&topic, 0, messages).await.expect("appended");
    let few = bus.fetch(&topic, 0, 4, 2500).await.expect("read");
    assert!((1..=3).contains(&few.len()), "2500 bytes are at most three messages, got {}", few.len());
    assert_eq!(few[0].offset, 4);
    let tiny = bus.fetch(&topic, 0, 9, 1).await.expect("read");
    assert_eq!(tiny.iter().map(|record| record.offset).collect::<Vec<_>>(), [9]);
    assert!(bus.fetch(&topic, 0, 10, 1000).await.expect("the end is read").is_empty());
    Verdict::Held
}

/// BUS-6.
pub async fn an_oversized_message_is_refused_with_its_call(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "oversized", 1).await;
    let max = bus.limits().message_bytes_max;
    let messages = vec![message("b", 0, "small"), message("b", 1, vec![0; max + 1])];
    let refused = bus.append(&topic, 0, messages).await;
    assert!(matches!(refused, Err(BusError::Oversized { bytes, max: limit }) if bytes == max + 1 && limit == max));
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 0);
    let full = bus.append(&topic, 0, vec![message("b", 2, vec![0; max])]).await.expect("the limit itself is accepted");
    assert_eq!(full, [0]);
    Verdict::Held
}

/// Readers and writers do not wait for each other.
pub async fn a_slow_consumer_misses_nothing(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "slow", 1).await;
    let writer = tokio::spawn({
        let (bus, topic) = (Arc::clone(&bus), topic.clone());
        async move {
            for row in 0..60 {
                bus.append(&topic, 0, vec![message("b", row, vec![0; 30_000])]).await.expect("appended");
            }
        }
    });
    let mut rows = Vec::new();
    while rows.len() < 60 {
        let from = rows.len() as u64;
        bus.wait(&topic, 0, from, Duration::from_secs(30)).await.expect("waited");
        let records = bus.fetch(&topic, 0, from, 1).await.expect("read");
        assert!(!records.is_empty(), "no data within 30 s after {from}");
        rows.extend(records.iter().map(|record| record.headers.span.first_row));
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer ends");
    assert_eq!(rows, (0..60).collect::<Vec<_>>());
    Verdict::Held
}

/// BUS-2 under concurrency: nobody's messages are lost or swapped.
pub async fn concurrent_writers_keep_their_order(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "writers", 1).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (bus, topic) = (Arc::clone(&bus), topic.clone());
            tokio::spawn(async move {
                let batch = format!("w{writer}");
                for call in 0..10 {
                    let pair = vec![message(&batch, call * 2, "x"), message(&batch, call * 2 + 1, "x")];
                    let positions = bus.append(&topic, 0, pair).await.expect("appended");
                    assert_eq!(positions[1], positions[0] + 1, "messages of one call stay together");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer ends");
    }
    let records = all(&*bus, &topic, 0).await;
    assert_eq!(records.len(), 160);
    for writer in 0..8 {
        let batch = format!("w{writer}");
        let rows: Vec<u32> =
            records.iter().filter(|r| r.headers.batch_id == batch).map(|r| r.headers.span.first_row).collect();
        assert_eq!(rows, (0..20).collect::<Vec<_>>());
    }
    Verdict::Held
}

/// A reader at the end is told.
pub async fn a_waiter_wakes_when_data_comes(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "wait", 1).await;
    let waiter = tokio::spawn({
        let (bus, topic) = (Arc::clone(&bus), topic.clone());
        async move { bus.wait(&topic, 0, 0, Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    assert_eq!(waiter.await.expect("the waiter ends").expect("waited"), 1);
    assert_eq!(bus.wait(&topic, 0, 0, Duration::ZERO).await.expect("already there"), 1);
    Verdict::Held
}

/// Waiting ends.
pub async fn a_waiter_gives_up_at_its_deadline(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "deadline", 1).await;
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    assert_eq!(bus.wait(&topic, 0, 1, Duration::from_millis(20)).await.expect("waited"), 1);
    Verdict::Held
}

/// BUS-5.
pub async fn a_topic_keeps_its_identity(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let name = topic(&*bus, harness, "identity", 2).await;
    let other = topic(&*bus, harness, "identity-other", 1).await;
    let made = bus.ensure_topic(&name, 2).await.expect("it exists");
    let listed = bus.topics().await.expect("listed");
    assert!(listed.contains(&made));
    let other = listed.iter().find(|info| info.name == other).expect("the other is listed");
    assert_ne!(made.id, other.id);
    if bus.capabilities().durable {
        drop(bus);
        let bus = harness.open().await;
        assert_eq!(bus.ensure_topic(&name, 2).await.expect("it exists"), made);
    }
    Verdict::Held
}

/// Rows of one person must not change their partition.
pub async fn another_partition_count_is_refused(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "count", 2).await;
    let refused = bus.ensure_topic(&topic, 3).await;
    assert!(matches!(refused, Err(BusError::PartitionCountDiffers { actual: 2, wanted: 3, .. })), "{refused:?}");
    assert!(matches!(bus.ensure_topic("no spaces", 1).await, Err(BusError::InvalidTopic)));
    assert!(matches!(bus.ensure_topic("none", 0).await, Err(BusError::InvalidTopic)));
    Verdict::Held
}

/// Unknown topics, partitions and positions.
pub async fn what_does_not_exist_is_an_error(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "unknown", 1).await;
    let missing = format!("{topic}.missing");
    assert!(matches!(bus.end_offset(&missing, 0).await, Err(BusError::UnknownTopic { .. })));
    assert!(matches!(bus.append(&missing, 0, Vec::new()).await, Err(BusError::UnknownTopic { .. })));
    let refused = bus.append(&topic, 1, vec![message("b", 0, "x")]).await;
    assert!(matches!(refused, Err(BusError::UnknownPartition { partition: 1, partitions: 1, .. })));
    let beyond = bus.fetch(&topic, 0, 1, 1000).await;
    assert!(matches!(beyond, Err(BusError::OffsetOutOfRange { from: 1, end: 0 })));
    Verdict::Held
}

/// After closing, nothing is accepted that could be lost.
pub async fn a_closed_bus_refuses(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "closed", 1).await;
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    bus.close().await.expect("closed");
    bus.close().await.expect("closing twice is fine");
    let refused = bus.append(&topic, 0, vec![message("b", 1, "x")]).await;
    assert!(matches!(refused, Err(BusError::Closed)), "{refused:?}");
    Verdict::Held
}
