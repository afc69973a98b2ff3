//! Evidence of every query (architecture D8): one record before the first row leaves, one when it is over.

use async_trait::async_trait;
use minqiao_core::{Principal, Purpose, Timestamp};
use serde::Serialize;

/// Where audit records go. A record counts as written when the future is ready; the implementation makes it durable.
#[async_trait]
pub trait AuditSink: Send + Sync + std::fmt::Debug {
    /// A query was accepted or refused. Awaited before anything is answered.
    async fn opened(&self, record: &QueryOpened) -> Result<(), AuditUnavailable>;

    /// An accepted query is over. Awaited before the stream ends.
    async fn closed(&self, record: &QueryClosed) -> Result<(), AuditUnavailable>;
}

/// The record could not be made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit record could not be written")]
pub struct AuditUnavailable;

/// What was asked, and what the policies said.
#[derive(Debug, Clone, Serialize)]
pub struct QueryOpened {
    /// Unique.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Through which door.
    pub door: String,
    /// Who.
    pub principal: Principal,
    /// What for, with the case.
    pub purpose: Purpose,
    /// SM3 of `statement`, hex. A digest over the literals too would let a reader test guesses of them.
    pub statement_digest: String,
    /// The statement with every literal and every unknown name replaced; empty when it could not be parsed.
    pub statement: String,
    /// Bytes of the statement as it came.
    pub statement_bytes: usize,
    /// Tables it reads.
    pub tables: Vec<TableRead>,
    /// Version of the policies that decided.
    pub policy_version: String,
    /// `allowed`, or the code of the refusal.
    pub outcome: String,
}

/// One table of a query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct TableRead {
    /// Item code, or the name of one of the hub's own tables.
    pub item: String,
    /// Columns read, `name:how` (`full_name:masked(name)`), sorted.
    pub columns: Vec<String>,
    /// `rows` or `aggregates`.
    pub access: String,
    /// Which rows (`city`, `county 371002`, `case`), with `authorised` and `without minors` where they hold.
    pub rows: String,
}

/// How it ended.
#[derive(Debug, Clone, Serialize)]
pub struct QueryClosed {
    /// As opened.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
    /// Rows that left.
    pub rows: u64,
    /// Bytes that left, in Arrow's memory layout.
    pub bytes: u64,
    /// `complete`, or the code of the error.
    pub outcome: String,
}
