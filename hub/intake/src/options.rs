//! Limits and settings of the intake; every one has a bound (D12).

/// What one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// Rows of a batch.
    pub rows_max: usize,
    /// Bytes of one field; longer ones refuse the batch. Fields between the catalogue's limit and this one quarantine
    /// their row.
    pub field_bytes_max: usize,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self { body_bytes_max: 32 << 20, rows_max: 100_000, field_bytes_max: 64 << 10 }
    }
}

/// How an intake works.
#[derive(Debug, Clone)]
pub struct IntakeOptions {
    /// What one request may hold.
    pub limits: IntakeLimits,
    /// Four-digit prefecture (GB/T 2260) that the hub serves; providers of other cities are refused. `None` serves all.
    pub city: Option<String>,
    /// Partitions per topic; fixed when a topic is made.
    pub partitions: u32,
    /// Requests per second of one provider; four seconds' worth may come at once.
    pub requests_per_second: u32,
    /// Rows per second of one provider; one batch's worth and four seconds' worth may come at once.
    pub rows_per_second: u32,
    /// Batches that are decoded, checked and sealed at once.
    pub workers: usize,
    /// Bytes of bodies that may be in work or waiting for a worker; more are told to come back.
    pub pending_bytes_max: usize,
}

impl Default for IntakeOptions {
    fn default() -> Self {
        Self {
            limits: IntakeLimits::default(),
            city: None,
            partitions: 2,
            requests_per_second: 200,
            rows_per_second: 500_000,
            workers: 2,
            pending_bytes_max: 256 << 20,
        }
    }
}
