//! What feeds count. The label `feed` is `receipts` or `items`: neither items nor readers are told.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

/// Counters of feeds.
#[derive(Debug, Clone)]
pub struct FeedMetrics {
    pages: IntCounterVec,
    rows: IntCounterVec,
    seconds: HistogramVec,
    pub(crate) polls: IntGauge,
}

impl FeedMetrics {
    /// Registers on `registry`; fails when a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let pages = Opts::new(
            "minqiao_feed_pages_total",
            "Answers of feeds, by feed and outcome: rows, empty, refused or failed.",
        );
        let seconds = HistogramOpts::new(
            "minqiao_feed_page_seconds",
            "Time to make a page with rows, its audit record included, without waiting.",
        );
        let metrics = Self {
            pages: IntCounterVec::new(pages, &["feed", "outcome"])?,
            rows: IntCounterVec::new(Opts::new("minqiao_feed_rows_total", "Rows that left through feeds."), &["feed"])?,
            seconds: HistogramVec::new(
                seconds.buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
                &["feed"],
            )?,
            polls: IntGauge::new("minqiao_feed_polls_open", "Long polls and event streams that are open.")?,
        };
        registry.register(Box::new(metrics.pages.clone()))?;
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.polls.clone()))?;
        for feed in ["receipts", "items"] {
            metrics.rows.with_label_values(&[feed]);
            for outcome in ["rows", "empty", "refused", "failed"] {
                metrics.pages.with_label_values(&[feed, outcome]);
            }
        }
        Ok(metrics)
    }

    pub(crate) fn answered(&self, feed: &str, rows: usize, took: Duration) {
        self.pages.with_label_values(&[feed, if rows > 0 { "rows" } else { "empty" }]).inc();
        if rows > 0 {
            self.rows.with_label_values(&[feed]).inc_by(rows as u64);
            self.seconds.with_label_values(&[feed]).observe(took.as_secs_f64());
        }
    }

    pub(crate) fn refused(&self, feed: &str, ours: bool) {
        self.pages.with_label_values(&[feed, if ours { "failed" } else { "refused" }]).inc();
    }
}
