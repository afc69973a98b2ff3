//! The lake over a memory bus and object stores whose faults are scripted.
//!
//! Every scenario runs on a store in memory, and on each S3-compatible server that runs (`place`).

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod exactly_once;
mod lookups;
mod model;
mod place;
mod reads;
mod s3;
mod shared;
mod support;
mod upkeep;
