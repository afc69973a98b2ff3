//! Who may see what, and how: Cedar policies as data, decided per field (architecture D6).
//!
//! The crate is pure. It reads policy text once, validates it, and answers [`Policy::decide`] with a
//! [`TableDecision`]: access to the table, reach of rows, and one [`Show`] per field. Enforcing the decision is the
//! work of `minqiao-query`, in one place.
//!
//! Invariants: no policy, an unknown attribute, an evaluation error or an unknown purpose means denied (SEC-1); a
//! forbid outweighs every permit, and rails hold against any policy set (SEC-2); the same inputs and policy version give the same decision (SEC-3); a mask
//! is a total function and cannot fail on any value (SEC-4).
//!
//! Reading order: [`decision`] (the words), [`engine`] (the deciding), [`obligations`] (shapes and masks of fields),
//! [`mask`] (the masks), [`scope`] (which county a row belongs to), [`source`] (where policies come from), [`check`]
//! (what `minqiao policy check` does), [`explain`] (what `minqiao policy explain` prints).

pub mod check;
pub mod decision;
pub mod engine;
pub mod error;
pub mod explain;
mod facts;
pub mod mask;
pub mod obligations;
mod rails;
pub mod scope;
pub mod source;

pub use decision::{Access, CountyBy, FieldDecision, Reach, RowScope, Show, TableDecision};
pub use engine::Policy;
pub use error::PolicyError;
pub use mask::Mask;
pub use source::PolicySource;
