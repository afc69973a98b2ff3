//! What a department's YAML says about one item: where its rows are and which column becomes which field.
//!
//! Parsed, then resolved: the text is read into a tree, the tree is walked once, and every mistake (unknown key,
//! wrong type, unknown field, missing code list, impossible date format, required field without a column) is reported
//! with its file and key path, all at once. A [`Mapping`] that exists is right; nothing re-checks it.
//!
//! ```yaml
//! item: bank_deposit
//! source: { kind: csv, files: "银行存款_*.csv", encoding: gbk, separator: ",", header_rows: 1, skip_rows: 0,
//!           total_row: 合计, data_date: { from: file_name, pattern: "_(\\d{6})\\.", format: yyyyMM } }
//! ignore: [序号, 备注]
//! envelope: { source_updated_at: { column: 更新时间, format: yyyyMMddHHmmss }, source_record_id: { column: 流水号 },
//!             op: { column: 操作类型, codes: { 新增: upsert, 删除: delete } } }
//! fields:
//!   citizen_id: { column: 证件号码, as: citizen_id }
//!   sex_code: { column: 性别, codes: { 男: "1", 女: "2" } }
//!   monthly_amount: { column: "发放金额(万元)", as: decimal, unit: 万元 }
//!   scheme_code: { constant: "110" }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use minqiao_schemas::{Catalogue, Item};
use regex::Regex;

use crate::convert::date::DateFormat;
use crate::convert::number::Unit;

mod glob;
mod resolve;
mod tree;

pub use glob::Glob;
pub use resolve::{CodeLists, read_code_lists};

/// One mistake in a mapping.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// File, as the loader names it (`civil-affairs/bank_deposit.yaml`).
    pub file: String,
    /// Key path (`fields.paid_on.format`).
    pub path: String,
    /// What is wrong and what would be right.
    pub message_zh: String,
    /// The same in English.
    pub message_en: String,
}

/// All mistakes of one or several files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} mistake(s) in the mappings", self.0.len())?;
        for m in &self.0 {
            write!(f, "\n{}: `{}`: {} / {}", m.file, m.path, m.message_zh, m.message_en)?;
        }
        Ok(())
    }
}

/// Kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// Delimited text.
    Csv,
    /// Office Open XML workbook.
    Xlsx,
}

/// Encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// GBK (code page 936).
    Gbk,
    /// GB 18030.
    Gb18030,
    /// UTF-8; a byte order mark is skipped.
    Utf8,
}

impl TextEncoding {
    /// Name in mappings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gbk => "gbk",
            Self::Gb18030 => "gb18030",
            Self::Utf8 => "utf-8",
        }
    }
}

/// Which sheet of a workbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sheet {
    /// From 1.
    Number(u32),
    /// By name.
    Name(String),
}

/// Where the day that the data describes is written.
#[derive(Debug, Clone)]
pub enum DataDate {
    /// In the file's name; the first group of the pattern, in that form.
    FileName {
        /// With one group.
        pattern: Regex,
        /// Of the group.
        format: DateFormat,
    },
    /// In a title row.
    Title {
        /// With one group.
        pattern: Regex,
        /// Of the group.
        format: DateFormat,
    },
    /// In a column.
    Column {
        /// Header.
        column: String,
        /// Of the cell.
        format: DateFormat,
    },
}

/// Where the rows are.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Kind of file.
    pub kind: SourceKind,
    /// Names of the files, relative to the department's directory.
    pub files: Glob,
    /// Of text files.
    pub encoding: TextEncoding,
    /// Between the cells of text files.
    pub separator: u8,
    /// Rows above the header.
    pub skip_rows: u32,
    /// Rows of the header.
    pub header_rows: u32,
    /// Of workbooks.
    pub sheet: Sheet,
    /// First word of a row that holds totals and no data.
    pub total_row: Option<Arc<str>>,
    /// Where the data date is.
    pub data_date: Option<DataDate>,
}

/// How a cell becomes a value.
#[derive(Debug, Clone)]
pub enum As {
    /// Text, normalised.
    Text,
    /// Citizen number (GB 11643): 15 digits are extended, `x` and full-width digits repaired.
    CitizenId,
    /// Unified social credit code (GB 32100).
    Uscc,
    /// Day.
    Date(DateFormat),
    /// Month, its first day.
    Month(DateFormat),
    /// Date and time in +08:00.
    Timestamp(DateFormat),
    /// Exact decimal times the unit.
    Decimal(Unit),
    /// Whole number.
    Integer,
    /// Truth value.
    Boolean,
    /// One of the department's own codes; the value is canonical text of the field's type.
    Codes(Arc<BTreeMap<String, String>>),
}

/// One field of the item.
#[derive(Debug, Clone)]
pub struct FieldSpec {
    /// Canonical name; index into the item's fields.
    pub field: usize,
    /// Where its value comes from.
    pub from: From,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum From {
    /// A column.
    Column {
        /// Header.
        column: String,
        /// How.
        how: As,
    },
    /// The same for every row: canonical text of the field's type.
    Constant(String),
}

/// Provider columns of the envelope.
#[derive(Debug, Clone, Default)]
pub struct EnvelopeSpec {
    /// Orders versions.
    pub source_updated_at: Option<(String, DateFormat)>,
    /// The source's own row number.
    pub source_record_id: Option<String>,
    /// `upsert` or `delete`.
    pub op: Option<(String, Arc<BTreeMap<String, String>>)>,
}

/// A validated mapping of one item.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The item.
    pub item: &'static Item,
    /// File the mapping was read from.
    pub file: String,
    /// Where the rows are.
    pub source: SourceSpec,
    /// Known columns that carry nothing.
    pub ignore: Vec<String>,
    /// Envelope.
    pub envelope: EnvelopeSpec,
    /// Fields, in catalogue order.
    pub fields: Vec<FieldSpec>,
    /// Digest of the mapping and its code lists, 16 hex digits: batches made by another mapping have other ids.
    pub digest: String,
    schema: SchemaRef,
}

impl Mapping {
    /// Reads and resolves one mapping. `file` is what mistakes call it; `lists` are the department's `codes.yaml`.
    pub fn parse(file: &str, text: &str, lists: &CodeLists) -> Result<Self, Mistakes> {
        resolve::mapping(Catalogue::embedded(), file, text, lists)
    }

    /// Schema of the batches that it makes: the item's submission schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Arrow type of a field.
    pub fn data_type(&self, field: usize) -> &DataType {
        self.schema.field(field).data_type()
    }

    /// Header of the column that a canonical field or envelope column comes from.
    pub fn column_of(&self, field: &str) -> Option<&str> {
        match field {
            "_source_updated_at" => self.envelope.source_updated_at.as_ref().map(|(c, _)| c.as_str()),
            "_source_record_id" => self.envelope.source_record_id.as_deref(),
            "_op" => self.envelope.op.as_ref().map(|(c, _)| c.as_str()),
            "_data_date" => match &self.source.data_date {
                Some(DataDate::Column { column, .. }) => Some(column),
                _ => None,
            },
            _ => self.fields.iter().find_map(|spec| match &spec.from {
                From::Column { column, .. } if self.item.fields[spec.field].name == field => Some(column.as_str()),
                _ => None,
            }),
        }
    }

    /// Headers of all columns that the mapping reads.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.iter().filter_map(|spec| match &spec.from {
            From::Column { column, .. } => Some(column.as_str()),
            From::Constant(_) => None,
        });
        let envelope = ["_source_updated_at", "_source_record_id", "_op", "_data_date"];
        fields.chain(envelope.into_iter().filter_map(|name| self.column_of(name)))
    }
}
