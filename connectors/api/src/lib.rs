//! Connector framework: how a department's files become batches of the hub's 73 items.
//!
//! ```text
//!  Source ──pieces──► Mapper (rayon) ──batches + rejects, in order──► Gateway ──receipts──► journal, checkpoint
//! ```
//!
//! In reading order: [`rows`] (the cells of a piece of a file), [`source`] (the seam to files, databases, …), [`mapping`]
//! (what a department's YAML says), [`departments`] (the 17 departments' mappings), [`layout`] (titles, headers, drift),
//! [`convert`] (text to canonical values), [`mapper`] (rows to Arrow), [`reason`] (why a row is refused, in two languages),
//! [`gateway`] (the seam to the hub), [`http`] (its HTTPS client), [`feed`] (reading what the hub has for a department), [`checkpoint`] and [`journal`] (what survives an
//! interruption), [`progress`], [`runner`] (all of it together), [`report`], [`preview`].
//!
//! Invariants:
//! - `CON-1` every physical row that carries data ends as exactly one of accepted, duplicate, quarantined;
//! - `CON-2` batches are a function of (file content, mapping, rows per batch): sent again, they carry the same id;
//! - `CON-3` batches of one item leave in file order;
//! - `CON-4` a checkpoint never runs ahead of a receipt;
//! - `CON-5` no message, log line, progress event or report holds a value of a row;
//! - `CON-6` a feed's state never runs ahead of what was written of it.

pub mod checkpoint;
pub mod convert;
pub mod departments;
pub mod feed;
pub mod gateway;
pub mod http;
pub mod journal;
pub mod layout;
pub mod mapper;
pub mod mapping;
pub mod preview;
pub mod progress;
pub mod reason;
pub mod report;
pub mod rows;
pub mod runner;
pub mod source;

pub use departments::Department;
pub use gateway::{Gateway, GatewayError, Rejection, Submission};
pub use http::{HttpGateway, HttpOptions};
pub use mapper::Mapper;
pub use mapping::{Mapping, Mistakes};
pub use progress::{Bars, JsonLines, Progress, ProgressEvent, Silent};
pub use report::RunReport;
pub use runner::{ConnectorRun, RunError, RunOptions};
pub use source::{Source, SourceError, Sources};
