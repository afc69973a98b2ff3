//! The contract suite over a real cluster, and what several processes on one topic may expect.

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use minqiao_bus::contract::Harness;
use minqiao_bus::{Bus, BusError};
use minqiao_bus_kafka::{KafkaBus, KafkaOptions};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use support::{Names, admin, all, bootstrap, delete, message, open, options};

#[derive(Debug)]
struct Kafka(Option<(KafkaOptions, Names)>);

impl Kafka {
    fn new() -> Self {
        Self(bootstrap().map(|bootstrap| (options(&bootstrap), Names::new(&bootstrap))))
    }
}

#[async_trait]
impl Harness for Kafka {
    async fn open(&self) -> Arc<dyn Bus> {
        let (options, _) = self.0.as_ref().expect("asked only when available");
        open(options).await
    }

    fn suffix(&self) -> String {
        self.0.as_ref().map(|(_, names)| names.suffix.clone()).unwrap_or_default()
    }

    fn is_available(&self) -> bool {
        self.0.is_some()
    }
}

minqiao_bus::contract_tests!(kafka, Kafka::new());

/// BUS-3 between processes, one after the other: what one stored, another recognises, in its window.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_recognises_what_was_stored() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("two-processes");
    let (left, right) = (open(&options).await, open(&options).await);
    left.ensure_topic(&topic, 1).await.expect("made");
    for row in 0..30 {
        let (first, second) = if row % 2 == 0 { (&left, &right) } else { (&right, &left) };
        let sent = vec![message("b", row, "x")];
        assert_eq!(first.append(&topic, 0, sent.clone()).await.expect("appended"), [u64::from(row)]);
        assert_eq!(second.append(&topic, 0, sent).await.expect("appended again"), [u64::from(row)]);
    }
    assert_eq!(all(&*left, &topic, 0).await.len(), 30);
}

/// The window is what is promised, no more: the suite's claim about it can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_window_a_message_is_new() {
    let Some(bootstrap) = bootstrap() else { return };
    let names = Names::new(&bootstrap);
    let options = KafkaOptions { window_messages: 10, ..options(&bootstrap) };
    let topic = names.topic("window");
    let bus = open(&options).await;
    bus.ensure_topic(&topic, 1).await.expect("made");
    for row in 0..20 {
        bus.append(&topic, 0, vec![message("b", row, "x")]).await.expect("appended");
    }
    let again = vec![message("b", 10, "x"), message("b", 9, "x")];
    assert_eq!(bus.append(&topic, 0, again.clone()).await.expect("appended"), [10, 20]);
    drop(bus);
    let bus = open(&options).await;
    assert_eq!(bus.append(&topic, 0, vec![message("b", 19, "x")]).await.expect("appended"), [19]);
    assert_eq!(bus.append(&topic, 0, vec![message("b", 9, "x")]).await.expect("appended"), [20]);
}

/// A waiter is woken by what another process stores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_hears_of_another_process() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("wake");
    let (reader, writer) = (open(&options).await, open(&options).await);
    reader.ensure_topic(&topic, 2).await.expect("made");
    let waiter = tokio::spawn({
        let (reader, topic) = (Arc::clone(&reader), topic.clone());
        async move { reader.wait(&topic, 1, 0, Duration::from_secs(60)).await }
    });
    tokio::task::yield_now().await;
    writer.append(&topic, 1, vec![message("b", 0, "x")]).await.expect("appended");
    assert_eq!(waiter.await.expect("the waiter ends").expect("waited"), 1);
    assert_eq!(reader.fetch(&topic, 1, 0, 1).await.expect("read").len(), 1);
}

/// BUS-5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_is_another_one() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("anew");
    let (bus, other) = (open(&options).await, open(&options).await);
    let first = bus.ensure_topic(&topic, 1).await.expect("made");
    let sent: Vec<_> = (0..3).map(|row| message("b", row, "x")).collect();
    bus.append(&topic, 0, sent.clone()).await.expect("appended");
    assert_eq!(other.append(&topic, 0, sent.clone()).await.expect("appended again"), [0, 1, 2]);
    delete(&bootstrap, &[&topic]).await;
    let second = loop {
        // The old one is still being taken away for a moment.
        match other.ensure_topic(&topic, 1).await {
            Ok(info) if info.id != first.id => break info,
            Ok(_) | Err(BusError::Storage(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_ne!(first.id, second.id);
    // The first process still holds positions of the old topic: it must not answer them for the new one.
    let repeated = bus.append(&topic, 0, sent.clone()).await;
    assert!(repeated.is_err(), "positions of the old log were answered: {repeated:?}");
    let refused = bus.append(&topic, 0, sent.clone()).await;
    assert!(matches!(refused, Err(BusError::TopicReplaced { .. })), "{refused:?}");
    assert!(matches!(bus.fetch(&topic, 0, 3, 1).await, Err(BusError::TopicReplaced { .. })));
    // Whoever asks for the topic again knows its new identity, and works.
    assert_eq!(bus.ensure_topic(&topic, 1).await.expect("accepted"), second);
    let end = bus.end_offset(&topic, 0).await.expect("end");
    assert_eq!(bus.append(&topic, 0, vec![message("c", 0, "x")]).await.expect("appended"), [end]);
}

/// A topic that somebody made by hand is refused with what to change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_topic_is_refused_with_what_to_change() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("wrong");
    let replication = i32::from(options.replication);
    let made = NewTopic::new(&topic, 2, TopicReplication::Fixed(replication))
        .set("min.insync.replicas", "1")
        .set("cleanup.policy", "compact")
        .set("max.message.bytes", "1000")
        .set("retention.ms", "1000");
    for result in admin(&bootstrap).create_topics([&made], &AdminOptions::new()).await.expect("asked") {
        result.expect("made");
    }
    let bus = open(&options).await;
    let refused = loop {
        match bus.ensure_topic(&topic, 2).await {
            Err(BusError::TopicDiffers { differences, .. }) => break differences,
            // Not every broker knows it yet.
            Err(BusError::Storage(_)) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    };
    let settings: Vec<_> = refused.iter().map(|difference| difference.setting).collect();
    for setting in ["cleanup.policy", "max.message.bytes", "retention.ms"] {
        assert!(settings.contains(&setting), "{setting} is missing in {settings:?}");
    }
    assert_eq!(settings.contains(&"min.insync.replicas"), options.min_insync > 1, "{settings:?}");
    let told = BusError::TopicDiffers { topic: topic.clone(), differences: refused }.to_string();
    assert!(told.contains("`cleanup.policy` is compact, it must be delete"), "{told}");
    let count = bus.ensure_topic(&topic, 3).await;
    assert!(matches!(count, Err(BusError::PartitionCountDiffers { actual: 2, wanted: 3, .. })), "{count:?}");
}

/// Retention took messages away: a reader from before is told, it does not skip them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_that_retention_removed_is_an_error() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("expired");
    let bus = open(&options).await;
    bus.ensure_topic(&topic, 1).await.expect("made");
    bus.append(&topic, 0, (0..10).map(|row| message("b", row, "x")).collect()).await.expect("appended");
    let mut before = rdkafka::TopicPartitionList::new();
    before.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(6)).expect("listed");
    admin(&bootstrap).delete_records(&before, &AdminOptions::new()).await.expect("removed");
    let gone = bus.fetch(&topic, 0, 2, 1000).await;
    assert!(matches!(gone, Err(BusError::Expired { from: 2, first: 6 })), "{gone:?}");
    assert_eq!(bus.fetch(&topic, 0, 6, 1000).await.expect("read").len(), 4);
    // A process that starts now looks back only as far as there is something.
    drop(bus);
    let bus = open(&options).await;
    let again = vec![message("b", 7, "x"), message("c", 0, "x")];
    assert_eq!(bus.append(&topic, 0, again).await.expect("appended"), [7, 10]);
}

/// A record that the bus did not write is not passed over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_record_is_damage() {
    let Some(bootstrap) = bootstrap() else { return };
    let (options, names) = (options(&bootstrap), Names::new(&bootstrap));
    let topic = names.topic("foreign");
    let bus = open(&options).await;
    bus.ensure_topic(&topic, 1).await.expect("made");
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    let foreign: rdkafka::producer::FutureProducer = support::client(&bootstrap).create().expect("a client");
    let record = rdkafka::producer::FutureRecord::<(), str>::to(&topic).partition(0).payload("hello");
    foreign.send(record, Duration::from_secs(60)).await.expect("sent");
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 2);
    let read = bus.fetch(&topic, 0, 1, 1000).await;
    assert!(matches!(read, Err(BusError::Damaged { .. })), "{read:?}");
}

/// The only process on its partitions saves the question per append, and is as exact.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_only_writer_recognises_its_own() {
    let Some(bootstrap) = bootstrap() else { return };
    let names = Names::new(&bootstrap);
    let options = KafkaOptions { only_writer: true, ..options(&bootstrap) };
    let topic = names.topic("only");
    let bus = open(&options).await;
    bus.ensure_topic(&topic, 1).await.expect("made");
    for _ in 0..2 {
        let bus: &KafkaBus = &bus;
        for row in 0..20 {
            let positions = bus.append(&topic, 0, vec![message("b", row, "x")]).await.expect("appended");
            assert_eq!(positions, [u64::from(row)]);
        }
    }
    drop(bus);
    let bus = open(&options).await;
    assert_eq!(bus.append(&topic, 0, vec![message("b", 19, "x")]).await.expect("appended"), [19]);
}

/// Figures come, and count what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_are_taken() {
    let Some(bootstrap) = bootstrap() else { return };
    let names = Names::new(&bootstrap);
    let options = KafkaOptions { statistics_interval_ms: 50, ..options(&bootstrap) };
    let topic = names.topic("figures");
    let bus = open(&options).await;
    bus.ensure_topic(&topic, 1).await.expect("made");
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    let taken = async {
        while bus.figures().requests == 0 || bus.figures().round_trip_p99_us == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("figures within a minute");
    assert_eq!(bus.figures().producers_replaced, 0);
}
