//! What end-to-end tests, fault schedules and benchmarks share. The tests themselves are in `it/`.

pub mod balancer;
pub mod hub;
pub mod kafka;
pub mod postgres;
pub mod s3;
pub mod schedule;
pub mod servers;

pub use balancer::Balancer;
pub use kafka::Brokers;
pub use postgres::Postgres;
pub use s3::ObjectStore;
pub use schedule::Schedule;
