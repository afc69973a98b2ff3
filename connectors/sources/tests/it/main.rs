//! Connectors from file to receipt: against the simulated city's truth, against a hub that fails at random, and
//! against hostile files.

#![allow(clippy::unwrap_used, reason = "in a test, a step that fails is the failure")]

mod city;
mod hostile;
mod resume;
mod support;
mod text_files;
mod workbooks;
