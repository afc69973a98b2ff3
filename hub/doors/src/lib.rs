//! The doors through which data comes in and answers go out: the HTTP API under mutual TLS, and the operations port.
//!
//! A door authenticates, limits, writes the audit record and translates; it decides nothing about data. What a
//! principal sees is decided by `policy` and enforced by `query` alone (invariants `SEC-*` in `hub/ARCHITECTURE.md`).
//! Flight SQL, the PostgreSQL wire and the console are doors of later work and will stand beside [`http`].
//!
//! Reading order: [`tls`] and [`serve`] accept connections, [`identity`] says who is there, [`http`] lists every route,
//! the `*_routes` modules answer them ([`feeds`] is what departments read), [`problem`] says no, [`operations`] is the port for probes and Prometheus.

pub mod access;
mod batch_routes;
pub mod catalogue_routes;
mod chinese;
pub mod evidence;
mod feed_routes;
pub mod feeds;
pub mod http;
pub mod identity;
mod key_routes;
pub mod metrics;
pub mod openapi;
pub mod operations;
pub mod problem;
mod request_id;
pub mod serve;
mod sql_format;
mod sql_routes;
pub mod state;
pub mod tls;
pub mod verification;
mod verify_routes;
mod welcome;
