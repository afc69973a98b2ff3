//! The hub in one process: configuration, wiring, commands. `main.rs` only parses the command line.
//!
//! Reading order: [`config`] is what an operator writes, [`hub`] wires the parts together and takes them down in
//! order, [`bus`] opens the log, [`lake`] the tables, `cluster` shares the work among several, `back_pressure` holds senders up while the lake is behind, `archive` shows the lake to the intake where the log no longer begins at its beginning, `broken` ends the hub when its disk refused a write, `views` are its tables about itself, [`certificates`] makes the throw-away authority of the demo, [`commands`] holds one module per command.

mod archive;
mod back_pressure;
pub mod broken;
pub mod bus;
pub mod certificates;
mod cluster;
pub mod commands;
pub mod config;
pub mod hub;
pub mod lake;
pub mod units;
mod views;
