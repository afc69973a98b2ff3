//! Sealed batches into each engine of the bus and out again, beside Kafka's own performance tools on the same brokers with
//! messages of the same size.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use minqiao_bus::{Bus, EmbeddedBus, EmbeddedOptions, Headers, Message, Span};
use minqiao_bus_kafka::{KafkaBus, KafkaOptions};
use minqiao_tests::{Brokers, Schedule, kafka};
use serde_json::{Value, json};

use crate::figures::{Meter, rounded};

const PARTITIONS: u32 = 2;
/// Bytes under way at once: as many as Kafka's own producer keeps (`buffer.memory`).
const BYTES_UNDER_WAY: usize = 32 << 20;
/// Brokers are Java programs that run faster after a while: the figures are those of the last round.
const ROUNDS: usize = 2;
const FETCH_BYTES: usize = 4 << 20;
const MIB: f64 = (1 << 20) as f64;

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Load {
    fn appends_at_once(self) -> usize {
        (BYTES_UNDER_WAY / self.bytes.max(1)).max(1)
    }

    fn mib(self) -> f64 {
        (self.messages * self.bytes) as f64 / MIB
    }
}

pub(crate) async fn run(work: &Path, load: Load) -> anyhow::Result<Value> {
    let folder = tempfile::Builder::new().prefix("bus-").tempdir_in(work)?;
    let embedded: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(EmbeddedOptions::at(folder.path().join("bus")))?);
    let embedded = measure(&embedded, load, 0).await?;

    let brokers = Brokers::start(&folder.path().join("kafka"))?;
    let (mut on_kafka, mut peer) = (json!({}), json!({}));
    // Gateways that take turns append in an epoch of their own; one that does not knows of no company and looks.
    let gateways = [
        ("one gateway", true, 0),
        ("several gateways", false, 1),
        ("one gateway that looks before it appends", false, 0),
    ];
    for round in 0..ROUNDS {
        for (number, (name, only_writer, epoch)) in gateways.into_iter().enumerate() {
            let topic_prefix = format!("bench{round}{number}.");
            let options = KafkaOptions { only_writer, topic_prefix, ..KafkaOptions::at(brokers.bootstrap()) };
            let kafka = KafkaBus::open(options.clone()).await?;
            let kafka = Arc::new(minqiao_bus::Namespaced::new(Arc::new(kafka), options.topic_prefix.clone()));
            let bus: Arc<dyn Bus> = kafka;
            on_kafka[name] = measure(&bus, load, epoch).await?;
            bus.close().await?;
        }
        peer = tools(brokers.bootstrap(), &format!("peer{round}"), load)?;
    }
    let share = |ours: &str, what: &str| {
        let (ours, theirs) = (on_kafka[ours][what].as_f64(), peer[what].as_f64());
        ours.zip(theirs).map(|(ours, theirs)| rounded(ours / theirs))
    };
    Ok(json!({
        "benchmark": "bus", "messages": load.messages, "message_bytes": load.bytes, "partitions": PARTITIONS,
        "appends_at_once": load.appends_at_once(), "embedded": embedded, "kafka": on_kafka, "peer": peer,
        "share_of_the_peer": {
            "in, one gateway": share("one gateway", "in_mib_per_second"),
            "in, several gateways": share("several gateways", "in_mib_per_second"),
            "out": share("one gateway", "out_mib_per_second"),
        },
    }))
}

async fn measure(bus: &Arc<dyn Bus>, load: Load, epoch: u64) -> anyhow::Result<Value> {
    let topic = "minqiao.bench";
    bus.ensure_topic(topic, PARTITIONS).await?;
    let payload = noise(load.bytes);
    let message = |number: usize| Message {
        headers: Headers {
            item: "bench".to_owned(),
            catalogue_version: "1.0.0".to_owned(),
            batch_id: format!("b{number}"),
            provider: "taxation.371000".to_owned(),
            span: Span { first_row: 0, rows: 1 },
            epoch,
        },
        payload: payload.clone(),
    };
    let meter = Meter::start();
    stream::iter(0..load.messages)
        .map(|number| {
            let partition = u32::try_from(number).unwrap_or(0) % PARTITIONS;
            bus.append(topic, partition, vec![message(number)])
        })
        .buffer_unordered(load.appends_at_once())
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let sent = meter.cost();
    let meter = Meter::start();
    let read = |partition: u32| async move {
        let (mut next, mut bytes) = (0, 0);
        let end = bus.end_offset(topic, partition).await?;
        while next < end {
            let records = bus.fetch(topic, partition, next, FETCH_BYTES).await?;
            let last = records.last().context("a message before the end")?;
            next = last.offset + 1;
            bytes += records.iter().map(|record| record.payload.len()).sum::<usize>();
        }
        anyhow::Ok(bytes)
    };
    let (one, other) = futures::try_join!(read(0), read(1))?;
    ensure!(one + other == load.messages * load.bytes, "other bytes came out than went in");
    let got = meter.cost();
    Ok(json!({
        "in_messages_per_second": (load.messages as f64 / sent.seconds).round(),
        "in_mib_per_second": rounded(load.mib() / sent.seconds), "in_cpu_seconds": rounded(sent.cpu_seconds),
        "out_mib_per_second": rounded(load.mib() / got.seconds), "out_cpu_seconds": rounded(got.cpu_seconds),
    }))
}

/// Bytes that do not compress, as sealed ones do not.
fn noise(bytes: usize) -> Bytes {
    let mut schedule = Schedule::new(1);
    (0..bytes).map(|_| schedule.draw() as u8).collect()
}

/// Kafka's own producer and consumer: acknowledged by all, idempotent, no compression, batches as large as ours.
fn tools(bootstrap: &str, topic: &str, load: Load) -> anyhow::Result<Value> {
    let libraries = format!("{}/*", kafka::libraries()?);
    let java = |class: &str, arguments: &[&str]| {
        kafka::run(Command::new("java").args(["-Xmx512m", "-cp", &libraries, class]).args(arguments))
    };
    let servers = format!("bootstrap.servers={}", bootstrap);
    let (records, size) = (load.messages.to_string(), load.bytes.to_string());
    java(
        "org.apache.kafka.tools.TopicCommand",
        &[
            "--bootstrap-server",
            bootstrap,
            "--create",
            "--topic",
            topic,
            "--partitions",
            &PARTITIONS.to_string(),
            "--replication-factor",
            "3",
            "--config",
            "min.insync.replicas=2",
        ],
    )?;
    let produced = java(
        "org.apache.kafka.tools.ProducerPerformance",
        &[
            "--topic",
            topic,
            "--num-records",
            &records,
            "--record-size",
            &size,
            "--throughput",
            "-1",
            "--producer-props",
            &servers,
            "acks=all",
            "enable.idempotence=true",
            "batch.size=1048576",
            "compression.type=none",
        ],
    )?;
    // `… records/sec (12.34 MB/sec), …`; a megabyte of theirs is 2^20 bytes.
    let rate = produced.lines().last().and_then(|line| line.split('(').nth(1)?.split(' ').next()?.parse::<f64>().ok());
    let consumed = java(
        "org.apache.kafka.tools.ConsumerPerformance",
        &["--bootstrap-server", bootstrap, "--topic", topic, "--messages", &records, "--timeout", "60000"],
    )?;
    // start, end, MB, MB/s, messages, messages/s, rebalance ms, fetch ms, fetch MB/s, fetch messages/s
    let fetch = consumed.lines().last().and_then(|line| line.split(", ").nth(8)?.trim().parse::<f64>().ok());
    Ok(json!({
        "name": "Apache Kafka's ProducerPerformance and ConsumerPerformance",
        "in_mib_per_second": rate.with_context(|| format!("the producer's figures: {produced}"))?,
        "out_mib_per_second": fetch.with_context(|| format!("the consumer's figures: {consumed}"))?,
    }))
}
