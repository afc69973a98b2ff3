//! What operations see of the intake. Labels are bounded: 17 departments, 73 items, 14 reasons, 3 outcomes, partitions.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, exponential_buckets,
};

/// Counters of one intake.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) rows: IntCounterVec,
    pub(crate) quarantined: IntCounterVec,
    pub(crate) batches: IntCounterVec,
    pub(crate) turns: IntCounterVec,
    pub(crate) batch_seconds: Histogram,
    pub(crate) bytes: IntCounter,
    pub(crate) messages: IntCounter,
    pub(crate) append_seconds: Histogram,
    pub(crate) end_offset: IntGaugeVec,
}

impl Metrics {
    /// Makes and registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let seconds = |name: &str, help: &str| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(exponential_buckets(0.001, 2.0, 15)?))
        };
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let metrics = Self {
            rows: counters(
                "minqiao_intake_rows_total",
                "Rows answered by a receipt, by outcome.",
                &["department", "item", "outcome"],
            )?,
            quarantined: counters(
                "minqiao_intake_quarantined_total",
                "Reasons of rows that went to quarantine.",
                &["department", "reason"],
            )?,
            batches: counters(
                "minqiao_intake_batches_total",
                "Batches, by the code of their outcome: accepted, repeated or the error's.",
                &["outcome"],
            )?,
            turns: counters(
                "minqiao_intake_turns_total",
                "Turns at items that several hubs share: taken, given, lost, waited_in_vain.",
                &["outcome"],
            )?,
            batch_seconds: seconds(
                "minqiao_intake_batch_seconds",
                "From a batch's arrival to its receipt, batches with a new receipt only.",
            )?,
            bytes: IntCounter::new("minqiao_intake_bytes_total", "Bytes of bodies that were looked at.")?,
            messages: IntCounter::new("minqiao_bus_appended_messages_total", "Messages appended to the bus.")?,
            append_seconds: seconds(
                "minqiao_bus_append_seconds",
                "From handing messages to the bus to their durability.",
            )?,
            end_offset: IntGaugeVec::new(
                Opts::new("minqiao_bus_end_offset", "Next position of a partition."),
                &["topic", "partition"],
            )?,
        };
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.quarantined.clone()))?;
        registry.register(Box::new(metrics.batches.clone()))?;
        registry.register(Box::new(metrics.turns.clone()))?;
        registry.register(Box::new(metrics.batch_seconds.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.messages.clone()))?;
        registry.register(Box::new(metrics.append_seconds.clone()))?;
        registry.register(Box::new(metrics.end_offset.clone()))?;
        Ok(metrics)
    }
}
