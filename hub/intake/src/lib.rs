//! Intake: validate, seal, publish, answer.
//!
//! A batch of one item by one provider comes in clear (over mutual TLS) and leaves as sealed messages on the bus, a
//! signed receipt, and, for rows that break a rule, sealed rows in the quarantine. Clear text lives in memory only,
//! between [`decode`] and [`judge`].
//!
//! ```text
//! body ─► decode ─► judge ─► seal ─► [item's lane: known versions ─► split ─► bus ─► known versions] ─► receipt
//!          │ clear rows │ bad rows ─► sealed ──────────────────────────────────────────────────────────► quarantine
//! ```
//!
//! Reading order: [`intake`] (the path of a batch and why a crash at any point is harmless), [`admission`] (who may send
//! what, how much), [`decode`], [`judge`] (with `jurisdiction` and `clear_text`), [`known`] (which versions exist), `turn` (whose batch is
//! next), `claims` (which hub's item it is), `flow` (what waits for the lake), [`publish`], [`quarantine`], [`metrics`].
//!
//! Invariants:
//! - INT-1 A receipt is given only for rows that are durable on the bus or in the quarantine.
//! - INT-2 A version (item, key, op, content, update time) is on the bus once, whatever is sent again and whenever the
//!   hub dies. Known versions are never ahead of the bus and catch up with it before they are asked.
//! - INT-3 A batch id with the same body has one receipt, with another body a conflict.
//! - INT-4 No error, log line, metric or stored text outside a ciphertext holds a value of a row.
//! - INT-5 One bad row costs no other row anything.
//! - INT-6 A batch that names another enters the bus after that one.
//! - INT-7 While too much of an item waits for the lake, its new batches are sent away.

pub mod admission;
mod archive;
mod claims;
mod clear_text;
pub mod decode;
pub mod error;
mod flow;
pub mod intake;
pub mod judge;
mod jurisdiction;
pub mod known;
mod lane;
pub mod metrics;
pub mod options;
pub mod publish;
pub mod quarantine;
mod turn;

pub use archive::{Archive, ArchiveError};
pub use decode::Format;
pub use error::IntakeError;
pub use intake::{Intake, IntakeParts};
pub use known::{KnownOptions, KnownVersions};
pub use options::{IntakeLimits, IntakeOptions};
pub use quarantine::{Correction, ReplaySummary, ShownRow};
