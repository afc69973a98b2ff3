//! How departments write their files: `formats/<department>.yaml`, read and compiled once.
//!
//! The text is parsed into plain structs, then every column is resolved against the catalogue: a format that names an
//! unknown field, forgets one, translates only half of a code table or puts a date cell into a text file does not load.
//! What comes out is ready to be rendered: indexes instead of names, code translations by canonical code.

use std::collections::{BTreeMap, HashMap};

use include_dir::{Dir, include_dir};
use minqiao_schemas::{Catalogue, Field, FieldType, Item};
use serde::Deserialize;

use super::ExportError;
use super::shape::{DateShape, Money, TimeShape};

static FORMATS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/formats");

/// Encoding of a text file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Charset {
    /// GBK; characters outside it are written in the four-byte form of GB 18030, as decoders of GBK accept.
    #[serde(rename = "gbk")]
    Gbk,
    /// GB 18030.
    #[serde(rename = "gb18030")]
    Gb18030,
    /// UTF-8.
    #[serde(rename = "utf-8")]
    Utf8,
    /// UTF-8 behind a byte order mark.
    #[serde(rename = "utf-8-bom")]
    Utf8Bom,
}

/// Kind of file with what it needs.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Delimited text.
    Csv {
        /// Encoding.
        charset: Charset,
        /// Between cells.
        separator: u8,
        /// After a row.
        newline: &'static str,
    },
    /// Workbook with one sheet.
    Xlsx {
        /// Name of the sheet.
        sheet: String,
        /// One, or two with groups merged above the columns.
        header_rows: u32,
        /// Merged rows above the header; `{city}`, `{county}`, `{cndate}` … are filled in.
        titles: Vec<String>,
        /// Last row: label of the first cell and columns that are summed.
        total: Option<(String, Vec<usize>)>,
    },
}

/// Which rows share a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// All.
    None,
    /// Half a year of data dates.
    HalfYear,
    /// A year of data dates.
    Year,
}

/// How a canonical value is written.
#[derive(Debug, Clone)]
pub enum Form {
    /// As it is.
    Text,
    /// The department's own code per canonical code.
    Codes(BTreeMap<String, String>),
    /// Digits.
    Int,
    /// Words for true and false.
    Bool([String; 2]),
    /// Day.
    Date(DateShape),
    /// Month.
    Month(DateShape),
    /// Moment.
    Time(TimeShape),
    /// Amount: scale of the field, powers of ten by which the written unit is larger, dress.
    Decimal {
        /// Decimal places of the canonical value.
        scale: u32,
        /// 4 for 万元, -2 for %.
        unit: i32,
        /// Separators and signs.
        money: Money,
    },
}

/// Where a column's text comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A canonical field (index) in a form.
    Field(usize, Form),
    /// Running number of the row in its file.
    RowNumber,
    /// An opaque number of the source system.
    RecordId,
    /// `_source_updated_at`.
    Updated(TimeShape),
    /// `_data_date` of the file.
    DataDate(DateShape),
    /// Operation: words for new or changed, word for deleted.
    Op(Vec<String>, String),
    /// Noise that the hub ignores.
    AnyOf(Vec<String>),
}

/// One column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Header.
    pub header: String,
    /// Merged header above it.
    pub group: Option<String>,
    /// Content.
    pub source: Source,
    /// In workbooks: a text cell although the value is a number.
    pub text_cell: bool,
}

/// One item's file format.
#[derive(Debug, Clone)]
pub struct Format {
    /// The item.
    pub item: &'static Item,
    /// Name with `{date}`, `{month}`, `{county}` …
    pub file: String,
    /// Kind.
    pub kind: Kind,
    /// One file per county.
    pub by_county: bool,
    /// Split by data date.
    pub period: Period,
    /// Columns in file order.
    pub columns: Vec<Column>,
    /// Fields that the file lacks because they always have this value.
    pub always: Vec<(usize, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDepartment {
    department: String,
    #[serde(rename = "name")]
    _name: String,
    style: RawStyle,
    #[serde(default)]
    codes: HashMap<String, BTreeMap<String, String>>,
    items: HashMap<String, RawItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStyle {
    date: String,
    month: String,
    time: String,
    boolean: [String; 2],
    money: Money,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawItem {
    file: String,
    csv: Option<RawCsv>,
    xlsx: Option<RawXlsx>,
    #[serde(default)]
    titles: Vec<String>,
    total: Option<RawTotal>,
    split: RawSplit,
    #[serde(default)]
    always: BTreeMap<String, String>,
    columns: Vec<BTreeMap<String, RawColumn>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCsv {
    encoding: Charset,
    separator: char,
    newline: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawXlsx {
    sheet: String,
    header_rows: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTotal {
    label: String,
    sum: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSplit {
    by: String,
    period: Period,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawColumn {
    Field(String),
    Spec(Box<RawSpec>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawSpec {
    field: Option<String>,
    codes: Option<String>,
    date: Option<String>,
    month: Option<String>,
    time: Option<String>,
    boolean: Option<[String; 2]>,
    unit: Option<String>,
    money: Option<Money>,
    cell: Option<String>,
    fill: Option<String>,
    op: Option<RawOp>,
    any_of: Option<Vec<String>>,
    group: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOp {
    upsert: Vec<String>,
    delete: String,
}

/// The formats of all items, in catalogue order.
///
/// # Errors
/// A format file is wrong: [`ExportError::Format`] names it and the mistake.
pub fn load(catalogue: &'static Catalogue) -> Result<Vec<Format>, ExportError> {
    let mut found: HashMap<String, Format> = HashMap::new();
    for file in FORMATS.files() {
        let name = file.path().display().to_string();
        if name == "errors.yaml" || !name.ends_with(".yaml") {
            continue;
        }
        let wrong = |what: String| ExportError::Format { file: name.clone(), what };
        let text = file.contents_utf8().ok_or_else(|| wrong("not UTF-8".into()))?;
        let raw: RawDepartment = serde_norway::from_str(text).map_err(|e| wrong(e.to_string()))?;
        for (code, item) in &raw.items {
            let meta = catalogue
                .item(code)
                .filter(|i| i.department == raw.department)
                .ok_or_else(|| wrong(format!("`{code}` is no item of `{}`", raw.department)))?;
            let format = compile(meta, item, &raw).map_err(|what| wrong(format!("`{code}`: {what}")))?;
            found.insert(code.clone(), format);
        }
    }
    let missing = |i: &Item| ExportError::Format {
        file: format!("{}.yaml", i.department),
        what: format!("item `{}` has no format", i.code),
    };
    catalogue.items().iter().map(|i| found.remove(&i.code).ok_or_else(|| missing(i))).collect()
}

/// The list of injected errors as text.
///
/// # Errors
/// The list is not embedded.
pub(super) fn error_list() -> Result<&'static str, ExportError> {
    FORMATS
        .get_file("errors.yaml")
        .and_then(|f| f.contents_utf8())
        .ok_or_else(|| ExportError::Format { file: "errors.yaml".into(), what: "missing".into() })
}

fn compile(item: &'static Item, raw: &RawItem, department: &RawDepartment) -> Result<Format, String> {
    let mut columns = Vec::with_capacity(raw.columns.len());
    for entry in &raw.columns {
        let mut pairs = entry.iter();
        let (Some((header, raw)), None) = (pairs.next(), pairs.next()) else {
            return Err("a column is one `header: content`".into());
        };
        if columns.iter().any(|c: &Column| c.header == *header) {
            return Err(format!("two columns `{header}`"));
        }
        let plain;
        let spec = match raw {
            RawColumn::Field(name) => {
                plain = RawSpec { field: Some(name.clone()), ..RawSpec::default() };
                &plain
            }
            RawColumn::Spec(spec) => &**spec,
        };
        let source = source(item, spec, department).map_err(|what| format!("column `{header}`: {what}"))?;
        columns.push(Column {
            header: header.clone(),
            group: spec.group.clone(),
            source,
            text_cell: spec.cell.as_deref() == Some("text"),
        });
    }
    let mut always = Vec::new();
    for (name, value) in &raw.always {
        always.push((field_index(item, name)?, value.clone()));
    }
    for (i, field) in item.fields.iter().enumerate() {
        let times = columns.iter().filter(|c| matches!(c.source, Source::Field(at, _) if at == i)).count()
            + always.iter().filter(|(at, _)| *at == i).count();
        if times != 1 {
            return Err(format!("field `{}` appears {times} times", field.name));
        }
    }
    let kind = kind(raw, &columns)?;
    let by_county = match raw.split.by.as_str() {
        "county" => true,
        "city" => false,
        other => return Err(format!("split by `{other}`")),
    };
    Ok(Format { item, file: raw.file.clone(), kind, by_county, period: raw.split.period, columns, always })
}

fn kind(raw: &RawItem, columns: &[Column]) -> Result<Kind, String> {
    match (&raw.csv, &raw.xlsx) {
        (Some(csv), None) => {
            let cell_only = |c: &Column| match &c.source {
                Source::RowNumber => true,
                Source::Field(_, Form::Date(s) | Form::Month(s)) | Source::DataDate(s) => *s == DateShape::Excel,
                Source::Field(_, Form::Time(s)) | Source::Updated(s) => *s == TimeShape::Excel,
                _ => false,
            };
            if let Some(column) = columns.iter().find(|c| cell_only(c) || c.group.is_some()) {
                return Err(format!("column `{}` needs a workbook", column.header));
            }
            let newline = match csv.newline.as_str() {
                "crlf" => "\r\n",
                "lf" => "\n",
                other => return Err(format!("newline `{other}`")),
            };
            let separator = u8::try_from(csv.separator).map_err(|_| "separator is not ASCII".to_owned())?;
            Ok(Kind::Csv { charset: csv.encoding, separator, newline })
        }
        (None, Some(xlsx)) => {
            let sums = |total: &RawTotal| {
                let at =
                    |h: &String| columns.iter().position(|c| c.header == *h).ok_or(format!("no column `{h}` to sum"));
                Ok::<_, String>((total.label.clone(), total.sum.iter().map(at).collect::<Result<_, _>>()?))
            };
            Ok(Kind::Xlsx {
                sheet: xlsx.sheet.clone(),
                header_rows: xlsx.header_rows,
                titles: raw.titles.clone(),
                total: raw.total.as_ref().map(sums).transpose()?,
            })
        }
        _ => Err("either `csv` or `xlsx`".into()),
    }
}

fn field_index(item: &Item, name: &str) -> Result<usize, String> {
    item.fields.iter().position(|f| f.name == name).ok_or_else(|| format!("no field `{name}`"))
}

fn source(item: &Item, spec: &RawSpec, department: &RawDepartment) -> Result<Source, String> {
    let style = &department.style;
    if let Some(name) = &spec.field {
        let at = field_index(item, name)?;
        return Ok(Source::Field(at, form(&item.fields[at], spec, department)?));
    }
    if let Some(op) = &spec.op {
        return Ok(Source::Op(op.upsert.clone(), op.delete.clone()));
    }
    if let Some(words) = &spec.any_of {
        return if words.is_empty() { Err("nothing to choose from".into()) } else { Ok(Source::AnyOf(words.clone())) };
    }
    match spec.fill.as_deref() {
        Some("row_number") => Ok(Source::RowNumber),
        Some("record_id") => Ok(Source::RecordId),
        Some("source_updated_at") => TimeShape::parse(spec.time.as_ref().unwrap_or(&style.time)).map(Source::Updated),
        Some("data_date") => DateShape::parse(spec.date.as_ref().unwrap_or(&style.date)).map(Source::DataDate),
        _ => Err("neither field nor filling".into()),
    }
}

fn form(field: &Field, spec: &RawSpec, department: &RawDepartment) -> Result<Form, String> {
    let style = &department.style;
    if let Some(name) = &spec.codes {
        let words = department.codes.get(name).ok_or_else(|| format!("no codes `{name}`"))?;
        let table = field.table().ok_or("codes for a field without a code table")?;
        let complete = table.values.iter().all(|v| words.contains_key(&v.code)) && words.len() == table.values.len();
        if !complete {
            return Err(format!("codes `{name}` and table `{}` differ", table.id));
        }
        return Ok(Form::Codes(words.clone()));
    }
    Ok(match field.ty {
        FieldType::Utf8 => Form::Text,
        FieldType::Int32 | FieldType::Int64 => Form::Int,
        FieldType::Boolean => Form::Bool(spec.boolean.as_ref().unwrap_or(&style.boolean).clone()),
        FieldType::Date32 => match (&spec.month, &spec.date) {
            (Some(month), _) => Form::Month(DateShape::parse(month)?),
            (None, Some(date)) => Form::Date(DateShape::parse(date)?),
            (None, None) if field.name.ends_with("_month") => Form::Month(DateShape::parse(&style.month)?),
            (None, None) => Form::Date(DateShape::parse(&style.date)?),
        },
        FieldType::TimestampMs => Form::Time(TimeShape::parse(spec.time.as_ref().unwrap_or(&style.time))?),
        FieldType::Decimal { scale, .. } => {
            let unit = match spec.unit.as_deref() {
                None => 0,
                Some("万元") => 4,
                Some("%") => -2,
                Some(other) => return Err(format!("unit `{other}`")),
            };
            let scale = u32::try_from(scale).map_err(|_| "negative scale".to_owned())?;
            let plain = unit != 0 || scale != 2;
            let money = spec.money.unwrap_or(if plain { Money::Plain } else { style.money });
            Form::Decimal { scale, unit, money }
        }
    })
}
