//! What end-to-end tests, fault schedules and benchmarks share. The tests themselves are in `it/`.

pub mod kafka;
pub mod schedule;

pub use kafka::Brokers;
pub use schedule::Schedule;
