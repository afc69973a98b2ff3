//! What the HTTP door counts. Labels are route patterns and status classes, never values from a request (D11).

use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

use crate::state::AppState;

/// Counters of the door.
#[derive(Debug, Clone)]
pub struct DoorMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    pub(crate) queries: IntCounterVec,
    pub(crate) query_rows: prometheus::IntCounter,
    pub(crate) verifications: IntCounterVec,
    pub(crate) verification_seconds: prometheus::Histogram,
}

impl DoorMetrics {
    /// Registers on `registry`; fails when a name is taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            requests: IntCounterVec::new(
                Opts::new("minqiao_http_requests_total", "Requests answered, by route pattern and status class."),
                &["route", "status"],
            )?,
            seconds: HistogramVec::new(
                HistogramOpts::new("minqiao_http_request_seconds", "Time to answer a request, by route pattern.")
                    .buckets(vec![0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0]),
                &["route"],
            )?,
            in_flight: IntGauge::new("minqiao_http_requests_in_flight", "Requests being answered.")?,
            queries: IntCounterVec::new(
                Opts::new("minqiao_query_total", "SQL queries, by outcome: answered, refused or failed."),
                &["outcome"],
            )?,
            query_rows: prometheus::IntCounter::new("minqiao_query_rows_total", "Rows that left through SQL.")?,
            verifications: IntCounterVec::new(
                Opts::new("minqiao_verify_total", "Verifications, by outcome: reported or refused."),
                &["outcome"],
            )?,
            verification_seconds: prometheus::Histogram::with_opts(
                HistogramOpts::new("minqiao_verify_seconds", "Time to verify one household.")
                    .buckets(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]),
            )?,
        };
        registry.register(Box::new(metrics.requests.clone()))?;
        registry.register(Box::new(metrics.seconds.clone()))?;
        registry.register(Box::new(metrics.in_flight.clone()))?;
        registry.register(Box::new(metrics.queries.clone()))?;
        registry.register(Box::new(metrics.query_rows.clone()))?;
        registry.register(Box::new(metrics.verifications.clone()))?;
        registry.register(Box::new(metrics.verification_seconds.clone()))?;
        for outcome in ["answered", "refused", "failed"] {
            metrics.queries.with_label_values(&[outcome]);
        }
        for outcome in ["reported", "refused"] {
            metrics.verifications.with_label_values(&[outcome]);
        }
        Ok(metrics)
    }

    fn answered(&self, route: &str, status: u16, took: Duration) {
        let class = match status {
            200..=299 => "2xx",
            300..=399 => "3xx",
            400..=499 => "4xx",
            _ => "5xx",
        };
        self.requests.with_label_values(&[route, class]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }
}

/// Middleware that counts every request.
pub(crate) async fn count(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    state.metrics.in_flight.inc();
    let start = state.clock.monotonic();
    let response = next.run(request).await;
    state.metrics.answered(&route, response.status().as_u16(), state.clock.monotonic() - start);
    state.metrics.in_flight.dec();
    response
}
