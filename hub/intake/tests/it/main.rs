//! The intake over a real vault, bus and store.

mod batches;
mod crash;
mod support;
mod turns;
