//! A batch.
/// Longest text, bytes.
pub const TEXT_BYTES_MAX: usize = 4096;
