//! The information catalogue: 73 items, their Arrow schemas, code tables and field checks.
//!
//! The catalogue is data (`catalogue/`, one YAML file per item and per code table) that this crate embeds, checks
//! as a whole and gives out as types. A catalogue that breaks its own rules does not load. Everything here is pure:
//! no clock, no files besides [`Catalogue::load_dir`], and no function that sees a value ever puts it into an error.
//!
//! Modules in reading order: [`model`] (what an item is), [`catalogue`] (loading and the rules of the whole),
//! [`code_table`] and [`division`] (what a code may be), [`envelope`] and [`arrow_schema`] (what a batch looks
//! like), [`reason`] (why a row is refused), [`normalise`] (one value), [`check`] (a batch), [`compat`] (two versions).

pub mod arrow_schema;
pub mod catalogue;
pub mod check;
pub mod code_table;
pub mod compat;
pub mod division;
pub mod envelope;
mod field_type;
pub mod model;
pub mod normalise;
pub mod reason;
mod vocabulary;

pub use catalogue::{Catalogue, CatalogueError, Mistake, Summary};
pub use code_table::{CodeTable, Membership};
pub use model::{
    Cadence, Class, Department, ExchangeMode, Field, FieldType, Item, ItemKind, Level, Matching, Provenance, Seal,
    SourceChannel, Tag,
};
pub use reason::{Reason, Rule};
pub use vocabulary::UnknownWord;
