//! What librdkafka tells us on its own: log lines, errors of connections, statistics.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::{Broker, Statistics};

use crate::failure::{code_of, denied};

/// librdkafka's figures, summed over brokers, as of its last report. The hub exports them as metrics: what counts (requests
/// to disconnects) covers every producer since the bus was opened and only grows.
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

/// Figures with what the last report counted. librdkafka counts for each producer from zero, and forgets brokers that
/// leave the cluster, so only what a report adds to the one before it is taken over.
#[derive(Debug, Default)]
struct Counted {
    figures: KafkaFigures,
    /// librdkafka's name of the producer that reported, which no other has.
    producer: String,
    brokers: HashMap<String, [u64; 5]>,
}

impl Counted {
    /// What the brokers' counts have grown by since the last report.
    fn growth(&mut self, statistics: &Statistics) -> [u64; 5] {
        if self.producer != statistics.name {
            self.producer.clone_from(&statistics.name);
            self.brokers.clear();
        }
        let mut growth = [0; 5];
        for (name, broker) in &statistics.brokers {
            let counts = counts(broker);
            let before = self.brokers.insert(name.clone(), counts).unwrap_or_default();
            for (grown, (now, before)) in growth.iter_mut().zip(counts.into_iter().zip(before)) {
                *grown += now.checked_sub(before).unwrap_or(now);
            }
        }
        growth
    }
}

/// Requests, repetitions, timeouts, errors, disconnects.
fn counts(broker: &Broker) -> [u64; 5] {
    let disconnects = broker.disconnects.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    [broker.tx, broker.txretries, broker.req_timeouts, broker.txerrs, disconnects]
}

/// Shared by the clients of one bus.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    counted: Mutex<Counted>,
    /// Code of the last refusal of access, 0 for none.
    refusal: AtomicI32,
    /// The producer has said that it will not go on.
    fatal: AtomicBool,
}

impl Heard {
    pub(crate) fn figures(&self) -> KafkaFigures {
        self.counted.lock().figures.clone()
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
        self.counted.lock().figures.producers_replaced += 1;
    }

    fn take(&self, statistics: &Statistics) {
        let brokers = || statistics.brokers.values();
        let slowest = |which: fn(&rdkafka::statistics::Window) -> i64| {
            let figures = brokers().filter_map(|broker| broker.rtt.as_ref()).map(which);
            figures.max().and_then(|us| u64::try_from(us).ok()).unwrap_or(0)
        };
        let mut counted = self.counted.lock();
        let [requests, retries, timeouts, errors, disconnects] = counted.growth(statistics);
        let figures = &mut counted.figures;
        figures.queued_messages = statistics.msg_cnt;
        figures.queued_bytes = statistics.msg_size;
        figures.requests += requests;
        figures.request_retries += retries;
        figures.request_timeouts += timeouts;
        figures.request_errors += errors;
        figures.disconnects += disconnects;
        figures.round_trip_p50_us = slowest(|window| window.p50);
        figures.round_trip_p99_us = slowest(|window| window.p99);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of this producer on brokers that were sent so many requests and lost so many connections.
    fn report(producer: &str, brokers: &[(&str, u64, i64)]) -> Statistics {
        let broker = |&(name, tx, disconnects): &(&str, u64, i64)| {
            (name.to_owned(), Broker { tx, disconnects: Some(disconnects), ..Broker::default() })
        };
        Statistics {
            name: producer.to_owned(),
            msg_cnt: 7,
            brokers: brokers.iter().map(broker).collect(),
            ..Statistics::default()
        }
    }

    #[test]
    fn counts_go_on_when_a_producer_is_replaced() {
        let heard = Heard::default();
        let counts = |report: Statistics| {
            heard.take(&report);
            let figures = heard.figures();
            (figures.requests, figures.disconnects)
        };
        assert_eq!(counts(report("one", &[("a", 100, 1), ("b", 50, 0)])), (150, 1));
        assert_eq!(counts(report("one", &[("a", 110, 1), ("b", 50, 2)])), (160, 3));
        heard.replaced();
        assert_eq!(counts(report("two", &[("a", 3, 0)])), (163, 3));
        assert_eq!(counts(report("two", &[("a", 5, 1)])), (165, 4));
        // A first report that is above the last one of the producer before.
        heard.replaced();
        assert_eq!(counts(report("three", &[("a", 200, 0)])), (365, 4));
        assert_eq!((heard.figures().producers_replaced, heard.figures().queued_messages), (2, 7));
    }

    #[test]
    fn counts_do_not_shrink_with_the_cluster() {
        let heard = Heard::default();
        heard.take(&report("one", &[("a", 100, 0), ("b", 50, 0)]));
        heard.take(&report("one", &[("a", 101, 0)]));
        assert_eq!(heard.figures().requests, 151);
        heard.take(&report("one", &[("a", 101, 0), ("b", 4, 0)]));
        assert_eq!(heard.figures().requests, 155);
    }
}
