//! From a body to clear columns.
//!
//! Three formats, one result: a batch of the item's submission columns, the faults of cells that have no canonical
//! value (their cell is null in the batch, their row goes to quarantine), and the rows as they came for the quarantine.
//! What is wrong with the body as a whole (not the declared format, a foreign column, a limit) is an error: there is no
//! row to blame.
//!
//! Text formats are read generously where nothing can be lost: cells go through [`minqiao_schemas::normalise`], which
//! repairs 15-digit numbers, full-width characters and the like, and a byte order mark in front is skipped. Arrow columns
//! must be canonical already.

mod arrow_stream;
mod csv_text;
mod ndjson;
mod table;

use std::fmt;

use arrow::array::RecordBatch;
use bytes::Bytes;
use chrono::NaiveDate;
use minqiao_schemas::{Item, Rule};

use crate::IntakeError;
use crate::options::IntakeLimits;

pub(crate) use ndjson::{cells_to_batch, rejects};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// What bytes compressed with gzip begin with (RFC 1952).
const GZIP: &[u8] = &[0x1F, 0x8B];

/// Declared format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Arrow IPC stream.
    Arrow,
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated, UTF-8, first line = canonical names.
    Csv,
}

impl Format {
    /// Reads a content type; parameters other than `charset=utf-8` are nobody's business.
    pub fn from_content_type(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        let format = match parts.next()?.to_ascii_lowercase().as_str() {
            "application/vnd.apache.arrow.stream" => Self::Arrow,
            "application/x-ndjson" => Self::Ndjson,
            "text/csv" => Self::Csv,
            _ => return None,
        };
        let utf8 = parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        });
        utf8.then_some(format)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Arrow => "an Arrow stream",
            Self::Ndjson => "NDJSON",
            Self::Csv => "CSV",
        })
    }
}

/// A cell without a canonical value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellFault {
    /// Row, from 0.
    pub row: usize,
    /// Position of the field in the item; `None` for provider columns.
    pub field: Option<usize>,
    /// What it breaks.
    pub rule: Rule,
}

/// A decoded body.
#[derive(Debug)]
pub struct Decoded {
    /// Submission columns, some or all.
    pub batch: RecordBatch,
    /// Cells without a canonical value, by row.
    pub faults: Vec<CellFault>,
    /// How rows look as they came.
    pub raw: Raw,
}

/// Rows as they came, kept until it is known which are quarantined.
#[derive(Debug)]
pub enum Raw {
    /// The batch says it all.
    Columns,
    /// One JSON object per row.
    Lines(Vec<Bytes>),
    /// Header and records.
    Records {
        /// Canonical names.
        header: Vec<String>,
        /// Cells.
        records: Vec<csv::StringRecord>,
    },
}

impl Raw {
    /// A row as one JSON object, `None` when the batch says it all.
    pub fn row(&self, row: usize) -> Option<String> {
        match self {
            Self::Columns => None,
            Self::Lines(lines) => lines.get(row).map(|line| String::from_utf8_lossy(line).into_owned()),
            Self::Records { header, records } => records.get(row).map(|record| {
                let cells = header.iter().zip(record).map(|(name, cell)| (name.clone(), cell.into()));
                serde_json::Value::Object(cells.collect()).to_string()
            }),
        }
    }
}

/// Decodes a body. `today` bounds birth dates in citizen numbers.
pub fn decode(
    format: Format,
    body: &Bytes,
    item: &Item,
    limits: &IntakeLimits,
    today: NaiveDate,
) -> Result<Decoded, IntakeError> {
    check_plain(body, format)?;
    match format {
        Format::Arrow => arrow_stream::decode(body, item, limits),
        Format::Ndjson => ndjson::decode(body, item, limits, today),
        Format::Csv => csv_text::decode(body, item, limits, today),
    }
}

/// No text and no stream begins like a compressed body, so its sender is told what it is.
fn check_plain(body: &[u8], format: Format) -> Result<(), IntakeError> {
    if body.starts_with(GZIP) {
        let what = "it is compressed with gzip, send it uncompressed and without `Content-Encoding`";
        return Err(IntakeError::Malformed { format, what, line: None });
    }
    Ok(())
}

fn check_rows(rows: usize, limits: &IntakeLimits) -> Result<(), IntakeError> {
    if rows <= limits.rows_max {
        return Ok(());
    }
    Err(IntakeError::TooLarge {
        what: "the number of rows",
        actual: rows,
        max: limits.rows_max,
        line: None,
        column: None,
    })
}

fn field_too_large(actual: usize, limits: &IntakeLimits, row: usize, column: &str) -> IntakeError {
    IntakeError::TooLarge {
        what: "a field's length in bytes",
        actual,
        max: limits.field_bytes_max,
        line: Some(row + 1),
        column: Some(crate::admission::echo(column)),
    }
}
