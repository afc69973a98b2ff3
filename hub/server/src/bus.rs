//! The log that the configuration asks for.

use std::sync::Arc;

use anyhow::Context;
use minqiao_bus::{Bus, EmbeddedBus, EmbeddedOptions, Namespaced};
use minqiao_bus_kafka::{KafkaBus, KafkaFigures, KafkaOptions};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntGauge, Registry};

use crate::config::Config;

/// Opens the bus; a cluster's figures appear in `registry`.
pub async fn open(config: &Config, registry: &Registry) -> anyhow::Result<Arc<dyn Bus>> {
    let bus: Arc<dyn Bus> = match &config.bus.kafka {
        None => {
            let folder = config.below_data("bus");
            let bus = tokio::task::spawn_blocking(move || EmbeddedBus::open(EmbeddedOptions::at(folder)))
                .await
                .context("the bus panicked while opening")?
                .context("cannot open the bus; is another hub running on this data folder?")?;
            Arc::new(bus)
        }
        Some(options) => {
            let bus = KafkaBus::open(within(options, &config.bus.namespace)).await;
            let bus = Arc::new(bus.context("cannot open the bus on Kafka")?);
            registry.register(Box::new(Figures::new(Arc::clone(&bus))?))?;
            bus
        }
    };
    Ok(if config.bus.namespace.is_empty() { bus } else { Arc::new(Namespaced::new(bus, &config.bus.namespace)) })
}

/// The options of a hub that sees the topics of its namespace only.
fn within(options: &KafkaOptions, namespace: &str) -> KafkaOptions {
    KafkaOptions { topic_prefix: format!("{namespace}{}", options.topic_prefix), ..options.clone() }
}

/// Copies and their minimum as a cluster allows: three and two, or what it has brokers for.
pub async fn fitted(mut options: KafkaOptions) -> anyhow::Result<KafkaOptions> {
    let bus = KafkaBus::open(options.clone()).await.context("cannot reach Kafka")?;
    let brokers = u16::try_from(bus.brokers().await?).unwrap_or(u16::MAX).max(1);
    bus.close().await?;
    options.replication = options.replication.min(brokers);
    options.min_insync = options.min_insync.min(options.replication);
    Ok(options)
}

/// Removes every topic of the configuration's namespace from the cluster: what a demo leaves behind.
pub async fn remove_namespace(config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(!config.bus.namespace.is_empty(), "only the topics of a namespace are removed");
    if let Some(options) = &config.bus.kafka {
        let bus = KafkaBus::open(within(options, &config.bus.namespace)).await?;
        bus.delete_topics().await?;
        bus.close().await?;
    }
    Ok(())
}

/// Picks one.
type Figure = fn(&KafkaFigures) -> u64;

/// librdkafka's figures as metrics.
struct Figures {
    bus: Arc<KafkaBus>,
    gauges: [(IntGauge, Figure); 4],
    counters: [(IntCounter, Figure); 6],
}

impl Figures {
    fn new(bus: Arc<KafkaBus>) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| IntGauge::new(name, help);
        let counter = |name: &str, help: &str| IntCounter::new(name, help);
        Ok(Self {
            bus,
            gauges: [
                (gauge("minqiao_kafka_queued_messages", "Messages waiting for acknowledgement")?, |f| {
                    f.queued_messages
                }),
                (gauge("minqiao_kafka_queued_bytes", "Bytes waiting for acknowledgement")?, |f| f.queued_bytes),
                (
                    gauge("minqiao_kafka_round_trip_p50_microseconds", "Round trip to the slowest broker, median")?,
                    |f| f.round_trip_p50_us,
                ),
                (
                    gauge(
                        "minqiao_kafka_round_trip_p99_microseconds",
                        "Round trip to the slowest broker, 99th percentile",
                    )?,
                    |f| f.round_trip_p99_us,
                ),
            ],
            counters: [
                (counter("minqiao_kafka_requests_total", "Requests sent to brokers")?, |f| f.requests),
                (counter("minqiao_kafka_request_retries_total", "Requests sent again")?, |f| f.request_retries),
                (counter("minqiao_kafka_request_timeouts_total", "Requests not answered in time")?, |f| {
                    f.request_timeouts
                }),
                (counter("minqiao_kafka_request_errors_total", "Requests that could not be sent")?, |f| {
                    f.request_errors
                }),
                (counter("minqiao_kafka_disconnects_total", "Connections to brokers that ended")?, |f| f.disconnects),
                (counter("minqiao_kafka_producers_replaced_total", "Producers replaced after a fatal error")?, |f| {
                    f.producers_replaced
                }),
            ],
        })
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.desc());
        gauges.chain(self.counters.iter().flat_map(|(counter, _)| counter.desc())).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let figures = self.bus.figures();
        for (gauge, figure) in &self.gauges {
            gauge.set(i64::try_from(figure(&figures)).unwrap_or(i64::MAX));
        }
        for (counter, figure) in &self.counters {
            // What counts only grows, over replaced producers too.
            counter.inc_by(figure(&figures).saturating_sub(counter.get()));
        }
        let gauges = self.gauges.iter().flat_map(|(gauge, _)| gauge.collect());
        gauges.chain(self.counters.iter().flat_map(|(counter, _)| counter.collect())).collect()
    }
}
