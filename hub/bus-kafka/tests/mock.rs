//! Protocol errors, injected by librdkafka's mock cluster in this process: what a real cluster does once in a year.
//!
//! The mock cluster has no controller, so nothing about topics can be asked of it.

mod support;

use std::sync::Arc;

use minqiao_bus::{Bus, BusError};
use minqiao_bus_kafka::{KafkaBus, KafkaOptions};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use support::{all, insist, message, open, options};

const TOPIC: &str = "contract.mock";

type Mock = MockCluster<'static, DefaultProducerContext>;

async fn start() -> (Mock, Arc<KafkaBus>) {
    let mock = MockCluster::new(3).expect("a mock cluster");
    mock.create_topic(TOPIC, 1, 3).expect("made");
    let options = KafkaOptions { replication: 3, min_insync: 2, ..options(&mock.bootstrap_servers()) };
    let bus = open(&options).await;
    bus.take_into_use(TOPIC, uuid::Uuid::new_v4(), 1);
    assert_eq!(bus.append(TOPIC, 0, vec![message("first", 0, "x")]).await.expect("appended"), [0]);
    (mock, bus)
}

async fn rows(bus: &KafkaBus, batch: &str) -> Vec<u32> {
    let records = all(bus, TOPIC, 0).await;
    records.iter().filter(|r| r.headers.batch_id == batch).map(|r| r.headers.span.first_row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_errors_are_absorbed() {
    use RDKafkaRespErr as E;
    let (mock, bus) = start().await;
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[
            E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            E::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            E::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            E::RD_KAFKA_RESP_ERR__TRANSPORT,
        ],
    );
    let sent: Vec<_> = (0..5).map(|row| message("b", row, "x")).collect();
    assert_eq!(bus.append(TOPIC, 0, sent).await.expect("appended"), [1, 2, 3, 4, 5]);
    assert_eq!(rows(&bus, "b").await, [0, 1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_append_says_why_and_works_later() {
    let (mock, bus) = start().await;
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
    let refused = bus.append(TOPIC, 0, vec![message("b", 0, "x")]).await;
    assert!(matches!(refused, Err(BusError::AccessDenied { .. })), "{refused:?}");
    // librdkafka believes the refusal until it has asked for the topic again.
    let later = async {
        loop {
            match bus.append(TOPIC, 0, vec![message("b", 0, "x")]).await {
                Ok(positions) => break positions,
                Err(BusError::AccessDenied { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    let later = tokio::time::timeout(std::time::Duration::from_secs(60), later).await;
    assert_eq!(later.expect("within a minute"), [1]);
    assert_eq!(rows(&bus, "b").await, [0]);
}

/// The broker says that it has the message, and no longer where: the log is asked, and does not have it. Believing the
/// broker would lose the message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_without_an_offset_is_looked_up() {
    let (mock, bus) = start().await;
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_DUPLICATE_SEQUENCE_NUMBER]);
    let unknown = bus.append(TOPIC, 0, vec![message("b", 0, "x")]).await;
    assert!(matches!(unknown, Err(BusError::Storage(_))), "{unknown:?}");
    insist(&*bus, TOPIC, 0, &[message("b", 0, "x"), message("b", 1, "x")]).await;
    assert_eq!(rows(&bus, "b").await, [0, 1]);
}

/// The producer's numbering is broken for good: another one takes over, and nothing is doubled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fatal_error_brings_a_new_producer() {
    let (mock, bus) = start().await;
    // The error that must not happen to the first of the messages under way is fatal.
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let failed = bus.append(TOPIC, 0, vec![message("b", 0, "x")]).await;
    assert!(failed.is_err(), "the fault did not fire");
    insist(&*bus, TOPIC, 0, &[message("b", 0, "x"), message("b", 1, "x")]).await;
    assert_eq!(rows(&bus, "b").await, [0, 1]);
    assert_eq!(bus.figures().producers_replaced, 1);
}

/// build.md's open question: does the idempotent producer recover when brokers come back?
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_come_back_are_found() {
    let (mock, bus) = start().await;
    for broker in 1..=3 {
        mock.broker_down(broker).expect("down");
    }
    let waiting = tokio::spawn({
        let bus = Arc::clone(&bus);
        async move { insist(&*bus, TOPIC, 0, &[message("b", 0, "x")]).await }
    });
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "the fault did not fire");
    for broker in 1..=3 {
        mock.broker_up(broker).expect("up");
    }
    let back = tokio::time::Instant::now();
    assert_eq!(waiting.await.expect("the sender ends"), [1]);
    eprintln!("acknowledged {:?} after the brokers came back", back.elapsed());
    assert_eq!(rows(&bus, "b").await, [0]);
}
