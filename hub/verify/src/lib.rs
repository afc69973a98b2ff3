//! Verification of a household's economic status: who counts, what they earn, own and spend, which category follows, and
//! what does not fit together (computation.md sections 1 to 8 and 11; rules R-FAM, R-INC, R-PRO, R-CAT, R-AUT, R-VER).
//!
//! The computation is a pure function, [`compute::Engine::run`], from rows in memory, a parameter set and one question to
//! one result object. Everything that reads files or the lake stands around it. Rules are data (D9): table 3.1 is
//! `data/fact_map.yaml`, the parameters and their defaults `data/parameters.yaml`.
//!
//! Invariants:
//! - VER-1 A figure is an exact fraction until it is printed; no floats, no rounding before the last step.
//! - VER-2 The result depends on the set of row versions, never on the order in which they came or stand.
//! - VER-3 Clear identifiers live in memory only; what leaves goes through the caller's `show` ([`lake_source`]).
//! - VER-4 One household and the whole city take the same way; a source that loads on demand gives what one that
//!   holds everything gives.
//!
//! Reading order: [`exact`], [`calendar`], [`number`], [`cell`] (values); [`items`], [`facts`] (rows of the 73 items);
//! [`fact_map`], [`parameters`] (rules as data); [`case`], `names`, `authorisation` (which rows may be seen);
//! `standing`, `registers`, `kinship`, `members`, `obligors` (who); `wage`, `income`, `monetary`, `property`, `expenditure`,
//! `lookback`, `categories` (figures); `discrepancies`, `finding`; [`compute`], `print`, [`result`], [`evidence`] (the whole);
//! [`source`], [`lake_source`], [`folder`], [`sealing`], [`throwaway`] (where rows come from); [`report`], [`rendering`].

mod authorisation;
pub mod calendar;
pub mod case;
mod categories;
pub mod cell;
pub mod compute;
mod discrepancies;
pub mod evidence;
pub mod exact;
mod expenditure;
pub mod fact_map;
pub mod facts;
mod finding;
pub mod folder;
mod income;
pub mod items;
mod kinship;
pub mod lake_source;
mod lookback;
mod members;
mod monetary;
mod names;
pub mod number;
mod obligors;
pub mod parameters;
mod print;
mod property;
mod registers;
pub mod rendering;
pub mod report;
pub mod result;
pub mod sealing;
pub mod source;
mod standing;
pub mod throwaway;
mod wage;

pub use compute::{Engine, Run, RunError, World};
pub use lake_source::LakeSource;
pub use parameters::Parameters;
pub use report::Report;
pub use result::Verification;
pub use source::{Question, RowSource, verify_all, verify_one, verify_runs};
