//! Bounds of one query and of all (architecture D12).

use std::time::Duration;

/// Every limit of the SQL service. The defaults suit one machine with two cores and 8 GiB.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of a statement.
    pub statement_bytes_max: usize,
    /// Words and signs of a statement.
    pub statement_tokens_max: usize,
    /// Nesting of expressions and of plans.
    pub depth_max: usize,
    /// Nodes of a plan.
    pub plan_nodes_max: usize,
    /// How many times longer than its longest input text may grow by concatenation.
    pub text_growth_max: usize,
    /// Rows of an answer.
    pub rows_max: u64,
    /// Bytes of an answer in Arrow's memory layout.
    pub bytes_max: u64,
    /// Memory that one query may hold.
    pub query_memory_bytes: usize,
    /// From arrival to the last row.
    pub timeout: Duration,
    /// Queries at the same time; one more is told to come back.
    pub concurrent_queries_max: usize,
    /// Cores that one query uses.
    pub partitions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            statement_bytes_max: 64 << 10,
            statement_tokens_max: 4_000,
            depth_max: 128,
            plan_nodes_max: 500,
            text_growth_max: 1_024,
            rows_max: 1_000_000,
            bytes_max: 512 << 20,
            query_memory_bytes: 512 << 20,
            timeout: Duration::from_secs(60),
            concurrent_queries_max: 8,
            partitions: 2,
        }
    }
}
