//! The lake over a memory bus and object stores whose faults are scripted.

#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod exactly_once;
mod lookups;
mod model;
mod reads;
mod shared;
mod support;
mod upkeep;
