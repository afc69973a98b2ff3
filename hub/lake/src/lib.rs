//! The lake: Delta tables per item, exactly once from the bus, current state, reads as of a moment, point lookups.
//!
//! `changes` is the truth: every version of every row, appended by one commit per micro-batch that also stores the bus
//! positions (LAKE-1). `current` is a fold of it, made in the background; a read is `current` merged with what was not
//! folded yet. The point index finds one person's rows. `current` and the index can be made again from `changes` at any
//! time.
//!
//! Reading order: [`layout`] (how rows lie in files), [`order`] (which version wins), [`table`] (the transaction log),
//! [`files`] and [`create`] (data files), [`merge`] (reading many as one), [`snapshot`] (which files answer what),
//! [`provider`] (tables for the query engine), [`index`] and [`lookup`] (one person), [`message`] and [`writer`] (bus to lake),
//! [`compact`] (folds, compactions, deletion), [`expiry`] (old messages leave the log), [`follow`] (what other processes commit), [`lake`] (the whole), [`s3`] and
//! [`blocks`] (the lake on an object store).
//!
//! Invariants, cited by tests and assertions:
//!
//! - LAKE-1 Rows and the positions they came from are in the same commit; a position is committed once.
//! - LAKE-2 A commit of unknown outcome is looked up, never repeated blindly, and its files are not deleted.
//! - LAKE-3 The state of a key depends on the set of its versions, not on the order in which they arrived.
//! - LAKE-4 Files are sorted by order key, and all versions of a natural key have one order key.
//! - LAKE-5 A file is deleted only after retention and when no reader of this process holds it.
//! - LAKE-6 Folding is idempotent: merging a file that was folded already changes nothing.
//! - LAKE-7 Everything except `changes` can be made anew from `changes`.
//! - LAKE-8 A topic with another identity than the one recorded is an error, never a fresh start.
//! - LAKE-9 An object store is used only after it proved that of several writers of one object exactly one succeeds.
//! - LAKE-10 A message leaves the log only when `changes` holds its rows.

mod blocks;
mod compact;
mod create;
mod error;
mod expiry;
mod files;
mod follow;
mod index;
mod lake;
mod latest;
mod layout;
mod lookup;
mod merge;
mod message;
mod metrics;
mod options;
mod order;
mod provider;
mod s3;
mod snapshot;
mod table;
mod writer;

pub use error::LakeError;
pub use lake::{ItemSnapshot, Lake, RowCounts};
pub use layout::ItemLayout;
pub use options::{LakeOptions, Location};
pub use s3::{S3Credentials, S3Error, S3Options};
pub use writer::{LakeWriter, Position};
