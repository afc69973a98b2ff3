//! The operations port: `/livez`, `/readyz`, `/startupz`, `/metrics` (D11). Plain HTTP, bound to loopback or the pod
//! network, without personal data. Liveness never depends on a neighbour; readiness does.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};

/// One condition of readiness: its name and whether it holds.
pub type Check = (&'static str, Box<dyn Fn() -> bool + Send + Sync>);

/// What the probes answer from.
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    checks: Vec<Check>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health")
            .field("started", &self.started)
            .field("draining", &self.draining)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// Ready once [`Health::started`] was called, while every check holds and nobody called [`Health::drain`].
    pub fn new(checks: Vec<Check>) -> Arc<Self> {
        Arc::new(Self { started: AtomicBool::new(false), draining: AtomicBool::new(false), checks })
    }

    /// Recovery is over.
    pub fn started(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    /// Shutdown has begun: no new work, please.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Names of the conditions that do not hold.
    pub fn failing(&self) -> Vec<&'static str> {
        let mut failing: Vec<_> = self.checks.iter().filter(|(_, holds)| !holds()).map(|(name, _)| *name).collect();
        if !self.started.load(Ordering::SeqCst) {
            failing.push("started");
        }
        if self.draining.load(Ordering::SeqCst) {
            failing.push("not_draining");
        }
        failing
    }
}

#[derive(Clone, Debug)]
struct Operations {
    health: Arc<Health>,
    registry: Registry,
}

/// The router of the operations port.
pub fn router(health: Arc<Health>, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/startupz", get(startup))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Operations { health, registry })
}

async fn startup(State(operations): State<Operations>) -> Response {
    if operations.health.started.load(Ordering::SeqCst) {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "recovering\n").into_response()
    }
}

async fn ready(State(operations): State<Operations>) -> Response {
    let failing = operations.health.failing();
    if failing.is_empty() {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", failing.join(", "))).into_response()
    }
}

async fn metrics(State(operations): State<Operations>) -> Response {
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&operations.registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be encoded");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
