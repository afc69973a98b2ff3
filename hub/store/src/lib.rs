//! Operational store: what the hub must remember besides the city's data.
//!
//! A relational database: SQLite by default (write-ahead log, synced at every commit), PostgreSQL where several hubs
//! share one state. One schema, one set of migrations and one text of every statement serve both. No personal data in clear is stored here: rejected rows and reports are sealed by
//! the vault before they arrive, details of audit records are codes and counts.
//!
//! Reading order: [`options`] and [`store`] (opening), `postgres` (what is asked of a server), `engine` (how every
//! statement runs, what is tried again), `migrations`, [`receipt`] (idempotent answers), [`feed`] (their order),
//! [`quarantine`], [`checkpoint`], [`report`], [`principal`], [`audit`] (the chain of evidence), [`hubs`] and [`membership`]
//! (several hubs on one store).
//!
//! Invariants:
//! - STORE-1 Whatever a method answered `Ok` for is durable.
//! - STORE-2 A receipt and the quarantined rows that it tells of appear together or not at all.
//! - STORE-3 One provider's batch id names one content: another content under it is a conflict.
//! - STORE-4 The audit chain has no gap: record n holds the hash of record n-1 and is hashed itself, however many
//!   hubs append.
//! - STORE-5 A call whose outcome is not known says so and may be repeated; nothing is then stored twice.
//! - STORE-6 The order of receipts is dense, and whoever has read up to a place has been shown every place before it.

pub mod audit;
pub mod checkpoint;
mod engine;
pub mod error;
pub mod feed;
pub mod hubs;
pub mod membership;
mod migrations;
pub mod options;
mod postgres;
pub mod principal;
pub mod quarantine;
pub mod receipt;
pub mod report;
pub mod store;

pub use audit::{AuditEntry, AuditError, AuditLog, AuditOptions, AuditRecord, AuditSummary, CheckpointSigner};
pub use error::StoreError;
pub use feed::{ConfirmedPosition, PlacedReceipt, Providers};
pub use hubs::Hub;
pub use membership::{Membership, View};
pub use options::{PostgresOptions, PostgresTls, SqliteOptions, StoreOptions};
pub use principal::StoredPrincipal;
pub use quarantine::{NewQuarantined, QuarantineCount, QuarantineFilter, QuarantineStatus, Quarantined};
pub use receipt::{BatchKind, Finished, IngestCount, NewReceipt, StoredReceipt};
pub use report::{NewReport, StoredReport};
pub use store::Store;
