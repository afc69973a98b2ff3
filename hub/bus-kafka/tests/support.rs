//! The cluster under test, as the environment names it.
//!
//! `MINQIAO_KAFKA_BOOTSTRAP` is its address; `MINQIAO_KAFKA_DIR` the folder of a cluster that `tests/servers/kafka`
//! started and may be asked to kill brokers of. Without them tests say that they did not run, and fail when
//! `MINQIAO_TEST_REQUIRE` names kafka.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use minqiao_bus::{Bus, BusError, Headers, Message, Record, Span};
use minqiao_bus_kafka::{KafkaBus, KafkaOptions};
use minqiao_tests::servers::named;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn bootstrap() -> Option<String> {
    named("MINQIAO_KAFKA_BOOTSTRAP", "kafka")
}

/// Replication that suits a cluster: one address is one broker.
pub(crate) fn options(bootstrap: &str) -> KafkaOptions {
    let brokers = u16::try_from(bootstrap.split(',').count().min(3)).expect("at most three");
    KafkaOptions {
        client_id: "minqiao-test".to_owned(),
        topic_prefix: "contract.".to_owned(),
        replication: brokers,
        min_insync: if brokers == 3 { 2 } else { 1 },
        // Loopback cluster, shared machine.
        request_timeout_ms: 60_000,
        append_timeout_ms: 120_000,
        ..KafkaOptions::at(bootstrap)
    }
}

pub(crate) async fn open(options: &KafkaOptions) -> Arc<KafkaBus> {
    Arc::new(KafkaBus::open(options.clone()).await.expect("the bus opens"))
}

/// A name of topics that no other test has; they are deleted with it.
#[derive(Debug)]
pub(crate) struct Names {
    bootstrap: String,
    pub(crate) suffix: String,
}

impl Names {
    pub(crate) fn new(bootstrap: &str) -> Self {
        Self { bootstrap: bootstrap.to_owned(), suffix: format!("-{}", Uuid::new_v4().simple()) }
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("contract.{name}{}", self.suffix)
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let (bootstrap, suffix) = (self.bootstrap.clone(), self.suffix.clone());
        // A runtime of its own: the test's is busy dropping this.
        let swept = std::thread::spawn(move || {
            let config = client(&bootstrap);
            let consumer: BaseConsumer = config.create().expect("a client");
            let Ok(metadata) = consumer.fetch_metadata(None, PATIENCE) else { return };
            let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
            let names: Vec<String> = names.filter(|name| name.ends_with(&suffix)).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(delete(&bootstrap, &names.iter().map(String::as_str).collect::<Vec<_>>()));
        });
        if swept.join().is_err() {
            eprintln!("the topics of a test were not deleted");
        }
    }
}

pub(crate) fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "minqiao-test").set("reconnect.backoff.max.ms", "1000");
    config
}

pub(crate) fn admin(bootstrap: &str) -> AdminClient<DefaultClientContext> {
    client(bootstrap).create().expect("a client")
}

pub(crate) async fn delete(bootstrap: &str, topics: &[&str]) {
    if topics.is_empty() {
        return;
    }
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let deleted = admin(bootstrap).delete_topics(topics, &options).await.expect("asked");
    for topic in deleted {
        topic.expect("deleted");
    }
}

pub(crate) fn message(batch: &str, first_row: u32, payload: impl Into<Bytes>) -> Message {
    Message {
        headers: Headers {
            item: "house_property".to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            batch_id: batch.to_owned(),
            provider: "housing-urban-rural.371002".to_owned(),
            span: Span { first_row, rows: 1 },
            epoch: 0,
        },
        payload: payload.into(),
    }
}

/// Everything in a partition, in order.
pub(crate) async fn all(bus: &dyn Bus, topic: &str, partition: u32) -> Vec<Record> {
    let end = bus.end_offset(topic, partition).await.expect("the end is known");
    let mut records: Vec<Record> = Vec::new();
    while (records.len() as u64) < end {
        records.extend(bus.fetch(topic, partition, records.len() as u64, 4 << 20).await.expect("records are read"));
    }
    for (expected, record) in records.iter().enumerate() {
        assert_eq!(record.offset, expected as u64, "offsets are dense");
    }
    records
}

/// Appends until it is acknowledged, as a gateway does.
pub(crate) async fn insist(bus: &dyn Bus, topic: &str, partition: u32, messages: &[Message]) -> Vec<u64> {
    let until = tokio::time::Instant::now() + Duration::from_secs(180);
    loop {
        match bus.append(topic, partition, messages.to_vec()).await {
            Ok(positions) => return positions,
            Err(error @ (BusError::TimedOut { .. } | BusError::Storage(_))) => {
                assert!(tokio::time::Instant::now() < until, "not acknowledged in three minutes: {error}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

/// A cluster whose brokers may be killed.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) bootstrap: String,
    pub(crate) dir: PathBuf,
}

impl Cluster {
    /// The cluster of the environment, when it is ours.
    pub(crate) fn of_three() -> Option<Self> {
        let bootstrap = bootstrap()?;
        let dir = named("MINQIAO_KAFKA_DIR", "kafka")?;
        assert_eq!(bootstrap.split(',').count(), 3, "the fault tests need three brokers");
        Some(Self { bootstrap, dir: dir.into() })
    }

    /// Asks the script, which answers when it is done.
    pub(crate) fn ask(&self, command: &str, broker: Option<i32>) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/kafka");
        let mut asked = Command::new(script);
        asked.arg(command).args(broker.map(|number| number.to_string())).arg("--dir").arg(&self.dir);
        let output = asked.output().expect("the script runs");
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The broker that leads a partition, and those that are in sync.
    pub(crate) fn leader(&self, topic: &str, partition: u32) -> (i32, Vec<i32>) {
        let consumer: BaseConsumer = client(&self.bootstrap).create().expect("a client");
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
        let found = &metadata.topics()[0].partitions()[partition as usize];
        (found.leader(), found.isr().to_vec())
    }
}
