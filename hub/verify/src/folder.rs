//! Case folders (case-folder.md): rows, parameters, operational inputs and runs of one computation, as files.
//!
//! Reading is strict, because a folder stands for data that the hub has accepted: a line that is not one valid,
//! normalised row of its item is an error that names file, line and field and never the value. The rows come out as
//! Arrow batches under the canonical names with the envelope columns that the folder gives, ready for the direct
//! path ([`CaseFolder::facts`]) or for sealing into a throw-away lake.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, TimeUnit};
use chrono::NaiveDate;
use minqiao_core::{Kind, KindOf, Timestamp};
use minqiao_schemas::{Catalogue, FieldType, Item, check::Checker, envelope};
use serde_json::{Map, Value as Json};

use crate::calendar::Day;
use crate::case::{Inputs, Query};
use crate::compute::Run;
use crate::facts::{ByNumber, Facts, LoadError, Versions};
use crate::items::item_no;
use crate::number::Citizen;
use crate::parameters::{Parameters, ParametersError};

/// Rows of one batch at most: bounds memory while sealing.
const BATCH_ROWS_MAX: usize = 8192;

/// Why a folder cannot be read. Values are never told.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder is not there.
    #[error("there is no folder `{0}`")]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("`{file}` cannot be read")]
    File {
        /// Name inside the folder.
        file: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A file is not JSON of the expected form.
    #[error("`{file}`{}: not a JSON {expected}", place(*.line))]
    Json {
        /// Name inside the folder.
        file: String,
        /// From 1; 0 for the file as a whole.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// A field is missing, unknown, or not of its type or table.
    #[error("`{file}` line {line}: field `{field}`: {problem}")]
    Field {
        /// Name inside the folder.
        file: String,
        /// From 1.
        line: usize,
        /// Field or envelope field.
        field: String,
        /// What is wrong.
        problem: String,
    },
    /// Parameters.
    #[error("`parameters.json` was refused")]
    Parameters(#[from] ParametersError),
    /// Rows that were read do not load; the line above was checked, so this is a defect.
    #[error("rows do not load")]
    Load(#[from] LoadError),
}

fn place(line: usize) -> String {
    if line == 0 { String::new() } else { format!(" line {line}") }
}

impl KindOf for FolderError {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) => Kind::NotFound,
            Self::File { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => Kind::NotFound,
                io::ErrorKind::PermissionDenied => Kind::Forbidden,
                _ => Kind::InvalidArgument,
            },
            Self::Json { .. } | Self::Field { .. } => Kind::InvalidArgument,
            Self::Parameters(error) => error.kind(),
            Self::Load(error) => error.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "folder_missing",
            Self::File { .. } => "file_unreadable",
            Self::Json { .. } | Self::Field { .. } => "case_malformed",
            Self::Parameters(error) => error.code(),
            Self::Load(error) => error.code(),
        }
    }
}

/// Rows of one item, clear, with their envelope.
#[derive(Debug, Clone)]
pub struct ItemRows {
    /// The item.
    pub item: &'static Item,
    /// All fields in catalogue order, then `_source_updated_at, _received_at, _data_date, _op, _content_hash`.
    pub batches: Vec<RecordBatch>,
}

/// A folder in memory.
#[derive(Debug)]
pub struct CaseFolder {
    /// Rows by item, in catalogue order; items without file are left out.
    pub rows: Vec<ItemRows>,
    /// Parameter set.
    pub parameters: Parameters,
    /// Query log and operator's aliases.
    pub inputs: Inputs,
    /// What is to be computed, in order.
    pub runs: Vec<Run>,
}

impl CaseFolder {
    /// Reads a folder.
    pub fn read(folder: &Path) -> Result<Self, FolderError> {
        if !folder.is_dir() {
            return Err(FolderError::Missing(folder.to_owned()));
        }
        let mut rows = Vec::new();
        for item in Catalogue::embedded().items() {
            let file = format!("{}.ndjson", item.code);
            if let Some(text) = optional(folder, &file)? {
                rows.push(item_rows(item, &file, &text)?);
            }
        }
        let version =
            optional(folder, "parameters_version.txt")?.map_or_else(|| "v1".to_owned(), |v| v.trim().to_owned());
        let parameters = optional(folder, "parameters.json")?.unwrap_or_else(|| "[]".to_owned());
        Ok(Self {
            rows,
            parameters: Parameters::from_json(&parameters, &version)?,
            inputs: Inputs::new(aliases(folder)?, query_log(folder)?),
            runs: runs(folder)?,
        })
    }

    /// The rows as facts, directly.
    pub fn facts(&self) -> Result<Facts, FolderError> {
        let mut facts = Facts::new();
        for rows in &self.rows {
            facts.load(&rows.item.code, &rows.batches, Versions::All)?;
        }
        facts.finish();
        Ok(facts)
    }
}

fn optional(folder: &Path, file: &str) -> Result<Option<String>, FolderError> {
    match fs::read_to_string(folder.join(file)) {
        Ok(text) => Ok(Some(text)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FolderError::File { file: file.to_owned(), source }),
    }
}

/// The envelope columns that a folder gives.
const ENVELOPE: [&str; 5] =
    [envelope::SOURCE_UPDATED_AT, envelope::RECEIVED_AT, envelope::DATA_DATE, envelope::OP, envelope::CONTENT_HASH];

fn item_rows(item: &'static Item, file: &str, text: &str) -> Result<ItemRows, FolderError> {
    let checker = Checker::for_item(item);
    let lines: Vec<(usize, &str)> =
        text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim().is_empty()).collect();
    let mut batches = Vec::new();
    for lines in lines.chunks(BATCH_ROWS_MAX) {
        let batch = batch(item, file, lines)?;
        check(item, &checker, file, lines, &batch)?;
        batches.push(batch);
    }
    Ok(ItemRows { item, batches })
}

/// Lines of one item as batches, by type and name only: what scenarios of tests leave open is not checked.
pub fn batch_of(item: &'static Item, text: &str) -> Result<Vec<RecordBatch>, FolderError> {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().map(|(at, line)| (at + 1, line)).collect();
    Ok(vec![batch(item, &item.code, &lines)?])
}

/// The catalogue's own checks. Business dates may lie anywhere in the calendar, so the day that bounds birth dates is
/// the calendar's end.
fn check(
    item: &Item,
    checker: &Checker,
    file: &str,
    lines: &[(usize, &str)],
    batch: &RecordBatch,
) -> Result<(), FolderError> {
    let bad = |line: usize, field: &str, problem: String| FolderError::Field {
        file: file.to_owned(),
        line,
        field: field.to_owned(),
        problem,
    };
    let provided: Vec<usize> = (0..batch.num_columns())
        .filter(|at| {
            let name = batch.schema_ref().field(*at).name().as_str();
            name != envelope::RECEIVED_AT && name != envelope::CONTENT_HASH
        })
        .collect();
    let submitted = batch.project(&provided).map_err(|_| bad(0, "", "columns do not fit".to_owned()))?;
    let problems =
        checker.check_batch(&submitted, NaiveDate::MAX).map_err(|mismatch| bad(0, "", mismatch.to_string()))?;
    if let Some(problem) = problems.first() {
        let line = lines.get(problem.row).map_or(0, |(line, _)| *line);
        let field = problem.field_of(item).map_or("", |f| f.name.as_str());
        return Err(bad(line, field, problem.message_en(item)));
    }
    Ok(())
}

fn batch(item: &Item, file: &str, lines: &[(usize, &str)]) -> Result<RecordBatch, FolderError> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, Some("+08:00".into()));
    let mut columns: Vec<(String, Builder)> = item.fields.iter().map(|f| (f.name.clone(), Builder::of(f.ty))).collect();
    for name in ENVELOPE {
        let ty = match name {
            envelope::DATA_DATE => FieldType::Date32,
            envelope::OP | envelope::CONTENT_HASH => FieldType::Utf8,
            _ => FieldType::TimestampMs,
        };
        columns.push((name.to_owned(), Builder::of(ty)));
    }
    for (line, text) in lines {
        let json = |expected| FolderError::Json { file: file.to_owned(), line: *line, expected };
        let row: Map<String, Json> = serde_json::from_str(text).map_err(|_| json("object"))?;
        let bad = |field: &str, problem: &str| FolderError::Field {
            file: file.to_owned(),
            line: *line,
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        if let Some(unknown) = row.keys().find(|key| !columns.iter().any(|(name, _)| name == *key)) {
            return Err(bad(unknown, "the item has no such field"));
        }
        for (name, builder) in &mut columns {
            let value = row.get(name.as_str()).unwrap_or(&Json::Null);
            if value.is_null() && name == envelope::RECEIVED_AT {
                return Err(bad(name, "must not be null"));
            }
            if name == envelope::OP && !value.is_null() && value != "upsert" && value != "delete" {
                return Err(bad(name, "must be `upsert` or `delete`"));
            }
            builder.push(value).map_err(|expected| bad(name, expected))?;
        }
    }
    let (fields, arrays): (Vec<ArrowField>, Vec<ArrayRef>) = columns
        .into_iter()
        .map(|(name, builder)| {
            let array = builder.finish(&time);
            (ArrowField::new(name, array.data_type().clone(), true), array)
        })
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|_| FolderError::Json {
        file: file.to_owned(),
        line: 0,
        expected: "list of rows",
    })
}

enum Builder {
    Text(StringBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Bool(BooleanBuilder),
    Day(Date32Builder),
    Moment(TimestampMillisecondBuilder),
    Decimal(Decimal128Builder, u8, i8),
}

impl Builder {
    fn of(ty: FieldType) -> Self {
        match ty {
            FieldType::Utf8 => Self::Text(StringBuilder::new()),
            FieldType::Int32 => Self::Int(Int32Builder::new()),
            FieldType::Int64 => Self::Long(Int64Builder::new()),
            FieldType::Boolean => Self::Bool(BooleanBuilder::new()),
            FieldType::Date32 => Self::Day(Date32Builder::new()),
            FieldType::TimestampMs => Self::Moment(TimestampMillisecondBuilder::new()),
            FieldType::Decimal { precision, scale } => Self::Decimal(Decimal128Builder::new(), precision, scale),
        }
    }

    /// Adds a value, or says what was expected.
    fn push(&mut self, json: &Json) -> Result<(), &'static str> {
        fn one<T>(
            json: &Json,
            read: impl Fn(&Json) -> Option<T>,
            what: &'static str,
        ) -> Result<Option<T>, &'static str> {
            if json.is_null() { Ok(None) } else { read(json).map(Some).ok_or(what) }
        }
        match self {
            Self::Text(b) => b.append_option(one(json, |j| j.as_str().map(str::to_owned), "must be a text")?),
            Self::Int(b) => b.append_option(one(json, |j| i32::try_from(j.as_i64()?).ok(), "must be an integer")?),
            Self::Long(b) => b.append_option(one(json, Json::as_i64, "must be an integer")?),
            Self::Bool(b) => b.append_option(one(json, Json::as_bool, "must be true or false")?),
            Self::Day(b) => {
                b.append_option(one(json, |j| Day::parse(j.as_str()?).map(|d| d.0), "must be a date `YYYY-MM-DD`")?);
            }
            Self::Moment(b) => b.append_option(one(json, moment, "must be a time with `+08:00`")?),
            Self::Decimal(b, precision, scale) => {
                let read = |j: &Json| decimal(j.as_str()?, *precision, *scale);
                b.append_option(one(json, read, "must be a decimal number as text")?);
            }
        }
        Ok(())
    }

    fn finish(self, time: &DataType) -> ArrayRef {
        match self {
            Self::Text(mut b) => Arc::new(b.finish()),
            Self::Int(mut b) => Arc::new(b.finish()),
            Self::Long(mut b) => Arc::new(b.finish()),
            Self::Bool(mut b) => Arc::new(b.finish()),
            Self::Day(mut b) => Arc::new(b.finish()),
            Self::Moment(mut b) => Arc::new(b.finish().with_data_type(time.clone())),
            Self::Decimal(mut b, precision, scale) => {
                Arc::new(b.finish().with_data_type(DataType::Decimal128(precision, scale)))
            }
        }
    }
}

fn moment(json: &Json) -> Option<i64> {
    let text = json.as_str().filter(|text| text.ends_with("+08:00"))?;
    Timestamp::parse(text).map(|t| t.0)
}

fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::try_from(scale).ok()?;
    if whole.is_empty() || fraction.len() > scale || digits.ends_with('.') || whole.len() > 30 {
        return None;
    }
    let mut value = 0i128;
    for c in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', scale - fraction.len())) {
        value = value * 10 + i128::from(c.is_ascii_digit().then(|| c - b'0')?);
    }
    (value < 10i128.pow(u32::from(precision))).then_some(if negative { -value } else { value })
}

fn aliases(folder: &Path) -> Result<ByNumber<Citizen>, FolderError> {
    let file = "aliases.json";
    let Some(text) = optional(folder, file)? else { return Ok(ByNumber::default()) };
    let map: HashMap<String, String> = serde_json::from_str(&text).map_err(|_| FolderError::Json {
        file: file.to_owned(),
        line: 0,
        expected: "object of numbers",
    })?;
    map.iter()
        .map(|(old, new)| Some((Citizen::parse(old)?, Citizen::parse(new)?)))
        .collect::<Option<_>>()
        .ok_or(FolderError::Json { file: file.to_owned(), line: 0, expected: "object of citizen numbers" })
}

fn runs(folder: &Path) -> Result<Vec<Run>, FolderError> {
    let file = "runs.json";
    let bad = |line, expected| FolderError::Json { file: file.to_owned(), line, expected };
    let text =
        fs::read_to_string(folder.join(file)).map_err(|source| FolderError::File { file: file.to_owned(), source })?;
    let list: Vec<Json> = serde_json::from_str(&text).map_err(|_| bad(0, "list of runs"))?;
    list.iter()
        .enumerate()
        .map(|(at, run)| {
            let field = |name: &str| run.get(name).filter(|v| !v.is_null()).and_then(Json::as_str);
            let reverify_on = match field("reverify_on") {
                Some(text) => Some(Day::parse(text).ok_or(bad(at + 1, "run with a date in `reverify_on`"))?),
                None => None,
            };
            Ok(Run {
                application_no: field("application_no").ok_or(bad(at + 1, "run with `application_no`"))?.to_owned(),
                as_of: field("as_of").and_then(Timestamp::parse).ok_or(bad(at + 1, "run with a time in `as_of`"))?,
                reverify_on,
            })
        })
        .collect()
}

fn query_log(folder: &Path) -> Result<Option<Vec<Query>>, FolderError> {
    let file = "query_log.ndjson";
    let Some(text) = optional(folder, file)? else { return Ok(None) };
    let mut log = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let line_no = at + 1;
        let row: Map<String, Json> = serde_json::from_str(line).map_err(|_| FolderError::Json {
            file: file.to_owned(),
            line: line_no,
            expected: "object",
        })?;
        let bad = |field: &str, problem: &str| FolderError::Field {
            file: file.to_owned(),
            line: line_no,
            field: field.to_owned(),
            problem: problem.to_owned(),
        };
        let text = |name: &str| row.get(name).and_then(Json::as_str).ok_or_else(|| bad(name, "must be a text"));
        let time = |name: &str| match row.get(name).filter(|v| !v.is_null()) {
            None => Ok(None),
            Some(json) => {
                moment(json).map(|t| Some(Timestamp(t))).ok_or_else(|| bad(name, "must be a time with `+08:00`"))
            }
        };
        let item = item_no(text("item")?);
        if item == 0 {
            return Err(bad("item", "must be an item of the catalogue"));
        }
        log.push(Query {
            person: Citizen::parse(text("person")?).ok_or_else(|| bad("person", "must be a citizen number"))?,
            item,
            institution_code: text("institution_code")?.to_owned(),
            query_batch_no: text("query_batch_no")?.to_owned(),
            requested_at: time("requested_at")?.ok_or_else(|| bad("requested_at", "must not be null"))?,
            deadline_at: time("deadline_at")?,
            answered_at: time("answered_at")?,
            row_count: row.get("row_count").and_then(Json::as_i64),
        });
    }
    Ok(Some(log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_a_cause_is_not_said_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let gone = CaseFolder::read(&folder.path().join("gone")).expect_err("no folder");
        assert!(gone.to_string().starts_with("there is no folder `") && gone.kind() == Kind::NotFound, "{gone}");
        let runs = CaseFolder::read(folder.path()).expect_err("no runs");
        assert_eq!((runs.to_string().as_str(), runs.kind()), ("`runs.json` cannot be read", Kind::NotFound));
        fs::write(folder.path().join("runs.json"), "{}").expect("written");
        let runs = CaseFolder::read(folder.path()).expect_err("no list");
        assert_eq!(
            (runs.to_string().as_str(), runs.kind()),
            ("`runs.json`: not a JSON list of runs", Kind::InvalidArgument)
        );
        fs::write(folder.path().join("parameters.json"), "{}").expect("written");
        let parameters = CaseFolder::read(folder.path()).expect_err("no list");
        let cause = std::error::Error::source(&parameters).expect("a cause").to_string();
        assert!(!parameters.to_string().contains(&cause), "{parameters}");
        assert_eq!(parameters.kind(), Kind::FailedPrecondition);
    }
}
