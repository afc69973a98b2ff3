//! What librdkafka tells us on its own: log lines, errors of connections, statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;

use crate::failure::{code_of, denied};

/// librdkafka's figures, summed over brokers, as of its last report. The hub exports them as metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KafkaFigures {
    /// Messages that wait for acknowledgement.
    pub queued_messages: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Requests sent to brokers.
    pub requests: u64,
    /// Requests sent again.
    pub request_retries: u64,
    /// Requests that were not answered in time.
    pub request_timeouts: u64,
    /// Requests that could not be sent.
    pub request_errors: u64,
    /// Connections that ended.
    pub disconnects: u64,
    /// Round trip to the slowest broker, median, microseconds.
    pub round_trip_p50_us: u64,
    /// Round trip to the slowest broker, 99th percentile, microseconds.
    pub round_trip_p99_us: u64,
    /// Times that a producer had to be replaced after a fatal error.
    pub producers_replaced: u64,
}

/// Shared by the clients of one bus.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    figures: Mutex<KafkaFigures>,
    /// Code of the last refusal of access, 0 for none.
    refusal: AtomicI32,
    /// The producer has said that it will not go on.
    fatal: AtomicBool,
}

impl Heard {
    pub(crate) fn figures(&self) -> KafkaFigures {
        self.figures.lock().clone()
    }

    /// Why brokers keep us out, when they did so since the last time somebody forgot it.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let heard = self.refusal.load(Ordering::Relaxed);
        [
            RDKafkaErrorCode::Authentication,
            RDKafkaErrorCode::SaslAuthenticationFailed,
            RDKafkaErrorCode::UnsupportedSASLMechanism,
            RDKafkaErrorCode::SSL,
        ]
        .into_iter()
        .find(|code| *code as i32 == heard)
        .and_then(denied)
    }

    pub(crate) fn forget_refusal(&self) {
        self.refusal.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Acquire)
    }

    pub(crate) fn say_fatal(&self) {
        self.fatal.store(true, Ordering::Release);
    }

    /// A new producer is in place.
    pub(crate) fn replaced(&self) {
        self.fatal.store(false, Ordering::Release);
        self.figures.lock().producers_replaced += 1;
    }

    fn take(&self, statistics: &Statistics) {
        let brokers = || statistics.brokers.values();
        let slowest = |which: fn(&rdkafka::statistics::Window) -> i64| {
            let figures = brokers().filter_map(|broker| broker.rtt.as_ref()).map(which);
            figures.max().and_then(|us| u64::try_from(us).ok()).unwrap_or(0)
        };
        let mut figures = self.figures.lock();
        *figures = KafkaFigures {
            queued_messages: statistics.msg_cnt,
            queued_bytes: statistics.msg_size,
            requests: brokers().map(|broker| broker.tx).sum(),
            request_retries: brokers().map(|broker| broker.txretries).sum(),
            request_timeouts: brokers().map(|broker| broker.req_timeouts).sum(),
            request_errors: brokers().map(|broker| broker.txerrs).sum(),
            disconnects: brokers().filter_map(|broker| broker.disconnects).map(|n| u64::try_from(n).unwrap_or(0)).sum(),
            round_trip_p50_us: slowest(|window| window.p50),
            round_trip_p99_us: slowest(|window| window.p99),
            producers_replaced: figures.producers_replaced,
        };
    }
}

/// Context of every client.
#[derive(Debug, Clone)]
pub(crate) struct Listener(pub(crate) Arc<Heard>);

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, "{line}");
            }
            RDKafkaLogLevel::Warning => tracing::info!(target: "librdkafka", facility, "{line}"),
            _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        self.0.take(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = code_of(&error);
        tracing::warn!(target: "librdkafka", ?code, "{reason}");
        match code {
            RDKafkaErrorCode::Fatal => self.0.say_fatal(),
            code if denied(code).is_some() => self.0.refusal.store(code as i32, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl ConsumerContext for Listener {}
