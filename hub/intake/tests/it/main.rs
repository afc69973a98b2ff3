//! The intake over a real vault, bus and store.

mod batches;
mod crash;
mod identity;
mod places;
mod support;
mod turns;
