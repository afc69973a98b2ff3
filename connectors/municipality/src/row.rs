//! The seam between the lives and the exports: canonical rows in memory.
//!
//! The lives emit one [`Row`] per catalogue row, block by block; an [`Exporter`] turns them into department files and
//! decides, deterministically, which rows it damages. Its answer ([`Delivery`]) flows back at once, because the truth
//! must say what the hub *can* know: a row that was lost on the way is unknown to the hub, however true it is.
//!
//! Invariants: `values` is in catalogue field order and has exactly as many entries as the item has fields; a value has
//! the variant of its field's type; codes are canonical (catalogue) codes. Rows of one natural key always come from one
//! block. Blocks share nothing, so they may be rendered in parallel; [`Exporter::append`] sees them in ascending order.

use std::{fmt, io, ops::Deref, sync::Arc};

use chrono::NaiveDate;

/// A text value: codes and constants are `Static`, what a person shares over many rows (number, name) is `Shared`.
#[derive(Clone)]
pub enum Text {
    /// A code or a constant of the programme.
    Static(&'static str),
    /// Text made at run time; cloning shares it.
    Shared(Arc<str>),
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Text::Static(s) => s,
            Text::Shared(s) => s,
        }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Default for Text {
    fn default() -> Text {
        Text::Static("")
    }
}

impl From<&'static str> for Text {
    fn from(s: &'static str) -> Text {
        Text::Static(s)
    }
}

impl From<String> for Text {
    fn from(s: String) -> Text {
        Text::Shared(s.into())
    }
}

impl From<Arc<str>> for Text {
    fn from(s: Arc<str>) -> Text {
        Text::Shared(s)
    }
}

/// One canonical value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Absent.
    Null,
    /// `Utf8`.
    Text(Text),
    /// `Int32` and `Int64`.
    Int(i64),
    /// `Boolean`.
    Bool(bool),
    /// `Date32`; a month is its first day.
    Date(NaiveDate),
    /// `Timestamp(Millisecond, +08:00)`: milliseconds since the epoch.
    Time(i64),
    /// `Decimal128(p, s)`: the unscaled number at the field's scale.
    Decimal(i128),
}

impl Value {
    /// True when the field is absent.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }
}

/// One version of one catalogue row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// In catalogue field order.
    pub values: Vec<Value>,
    /// GB/T 2260 code of the county whose department delivers the row (accepting or registering county), e.g. `371002`.
    pub county: u32,
    /// `_source_updated_at`, milliseconds since the epoch.
    pub source_updated_at: i64,
    /// `_data_date`.
    pub data_date: NaiveDate,
    /// `_op` = `delete`: all values are still those of the deleted row.
    pub delete: bool,
    /// Nothing may be injected that loses the row or makes its name wrong (it may still be written dirty and repairable).
    pub critical: bool,
}

/// What the hub will hold of an emitted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Accepted with exactly the emitted values (perhaps after repair).
    Accepted,
    /// Accepted, but the name beside the subject number is another person's: unusable in verification (D8).
    Misnamed,
    /// Lost to the quarantine: unknown to the hub.
    Quarantined,
}

/// Takes the rows of one block.
pub trait RowSink {
    /// Takes a row of item number `item_no` (1 to 73) and says what will become of it.
    fn emit(&mut self, item_no: usize, row: Row) -> Delivery;
}

/// Makes files of blocks. Blocks are filled in parallel and appended in ascending order.
pub trait Exporter: Sync {
    /// The sink of one block; everything it decides depends on (seed, block, rows so far) only.
    type Block: RowSink + Send;

    /// Opens block `block` (0 …).
    fn open_block(&self, block: u64) -> Self::Block;

    /// Writes a filled block; called once per block in ascending order.
    ///
    /// # Errors
    /// Writing failed.
    fn append(&mut self, block: Self::Block) -> io::Result<()>;
}
