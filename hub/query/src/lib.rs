//! SQL over the lake for people: the only crate that plans SQL (architecture D6, D7).
//!
//! A user never reaches a stored table. [`SqlService::query`] decides by policy, builds a catalog of secure tables for
//! this principal and purpose, plans against it, lets nothing but allow-listed statements through, writes the audit
//! record, and only then releases the first row.
//!
//! ```text
//! statement ─► parse, allow-list ─► plan over the session's catalog ─► allow-list, guard ─► audit ─► rows
//!                                          │
//!    stored rows ─► row scope ─► leak-proof predicates ─► SecurityBarrierExec: unseal, mask, pseudonym ─► user's plan
//! ```
//!
//! Invariants: what the user wrote is evaluated above the barrier only, except comparisons that cannot fail on any
//! stored value (SEC-5); values leave the seal only after all filters below the barrier and only for columns asked
//! for (SEC-6); answers and errors depend on visible rows only (SEC-7); no answer leaves before its audit record is
//! durable (SEC-8); errors are classes, never engine text or data (SEC-9).
//!
//! What it leaves out: noise and a privacy budget for aggregates ([`guard`] refuses what it cannot protect and says
//! what remains), spilling to disk (spill files would hold clear text, so a query that outgrows its memory fails).
//!
//! Reading order: [`service`] (the way of a query), [`request`] (what comes in), [`statement`] and [`gate`] (what is
//! let in), [`names`] (what the audit keeps of it), [`catalog`], [`secure_table`], [`barrier`], [`reveal`] and [`late`] (what is seen), [`predicate`] and [`scope`]
//! (which rows), [`guard`] and [`suppress`] (aggregates), [`held`] (memory), [`stream`] and [`audit`] (the way out), [`changes`] (the same rows for feeds),
//! [`system`] (the hub's tables about itself).

pub mod audit;
pub mod barrier;
pub mod base;
pub mod catalog;
pub mod changes;
pub mod error;
pub mod functions;
pub mod gate;
pub mod guard;
mod held;
mod late;
pub mod limits;
pub mod names;
mod predicate;
pub mod request;
mod reveal;
mod scope;
mod secure_table;
pub mod service;
pub mod statement;
pub mod stream;
mod suppress;
pub mod system;

pub use audit::{AuditSink, AuditUnavailable, QueryClosed, QueryOpened, TableRead};
pub use base::{BaseTables, Sealing};
pub use catalog::{ColumnInfo, TableInfo};
pub use changes::{ItemChanges, Shown};
pub use error::QueryError;
pub use limits::Limits;
pub use request::{Parameter, QueryRequest};
pub use service::{QueryParts, SqlService};
pub use stream::QueryStream;
pub use system::{SystemError, SystemRows, SystemTable};
