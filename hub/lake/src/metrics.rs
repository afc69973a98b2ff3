//! The lake's metrics. Labels are item codes and the names of the two tables: bounded, and never data.

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::LakeError;

/// Handles; registered once per lake.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) committed_rows: IntCounterVec,
    pub(crate) commit_seconds: Histogram,
    pub(crate) lag_messages: IntGaugeVec,
    pub(crate) files: IntGaugeVec,
    pub(crate) compaction_seconds: HistogramVec,
    pub(crate) conflicts: IntCounter,
    pub(crate) fenced_messages: IntCounter,
    pub(crate) expired_messages: IntCounter,
    pub(crate) failures: IntCounterVec,
    pub(crate) deleted_files: IntCounter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, LakeError> {
        let buckets = prometheus::exponential_buckets(0.001, 2.0, 16)?;
        let metrics = Self {
            committed_rows: IntCounterVec::new(
                Opts::new("minqiao_lake_committed_rows_total", "Rows committed to the changes of an item"),
                &["item"],
            )?,
            commit_seconds: Histogram::with_opts(
                HistogramOpts::new("minqiao_lake_commit_seconds", "Time of one commit of changes")
                    .buckets(buckets.clone()),
            )?,
            lag_messages: IntGaugeVec::new(
                Opts::new("minqiao_lake_lag_messages", "Messages on the bus that are not queryable yet"),
                &["item"],
            )?,
            files: IntGaugeVec::new(
                Opts::new("minqiao_lake_files", "Live data files of an item's table"),
                &["item", "table"],
            )?,
            compaction_seconds: HistogramVec::new(
                HistogramOpts::new("minqiao_lake_compaction_seconds", "Time of one fold or compaction of an item")
                    .buckets(buckets),
                &["kind"],
            )?,
            conflicts: IntCounter::new(
                "minqiao_lake_conflicts_total",
                "Commits that were given up because another writer was faster",
            )?,
            fenced_messages: IntCounter::new(
                "minqiao_lake_fenced_messages_total",
                "Messages left out because a hub appended them after another had taken its turn",
            )?,
            expired_messages: IntCounter::new(
                "minqiao_lake_expired_messages_total",
                "Messages removed from the log because they were old and in the lake",
            )?,
            failures: IntCounterVec::new(
                Opts::new("minqiao_lake_failures_total", "Attempts to write an item that failed and are repeated"),
                &["item"],
            )?,
            deleted_files: IntCounter::new("minqiao_lake_deleted_files_total", "Data files deleted after retention")?,
        };
        registry.register(Box::new(metrics.committed_rows.clone()))?;
        registry.register(Box::new(metrics.commit_seconds.clone()))?;
        registry.register(Box::new(metrics.lag_messages.clone()))?;
        registry.register(Box::new(metrics.files.clone()))?;
        registry.register(Box::new(metrics.compaction_seconds.clone()))?;
        registry.register(Box::new(metrics.conflicts.clone()))?;
        registry.register(Box::new(metrics.fenced_messages.clone()))?;
        registry.register(Box::new(metrics.expired_messages.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.deleted_files.clone()))?;
        Ok(metrics)
    }
}
