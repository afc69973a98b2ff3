//! Words shared by every part of the hub: ids, clock, error kinds, the envelope of a batch, who asks and what for.
//!
//! Nothing here does I/O. Time is read through [`Clock`] only, so that tests and as-of computations can hold it.

pub mod clock;
pub mod envelope;
pub mod error;
pub mod id;
pub mod principal;
pub mod receipt;

pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use envelope::{BatchEnvelope, Op};
pub use error::{Kind, KindOf, Problem};
pub use id::{BatchId, ProviderCode, Token};
pub use principal::{Principal, Purpose, Role};
pub use receipt::{Outcome, Receipt, RowOutcome, RowReason};
