//! From the tree to a [`Mapping`], collecting every mistake on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::DataType;
use minqiao_schemas::{Catalogue, Item};
use regex::Regex;
use serde_norway::Value;
use sm3::{Digest, Sm3};

use super::tree::{Walk, join, scalar};
use super::{
    As, DataDate, EnvelopeSpec, FieldSpec, From, Glob, Mapping, Mistakes, Sheet, SourceKind, SourceSpec, TextEncoding,
};
use crate::convert::Canonical;
use crate::convert::date::DateFormat;
use crate::convert::number::Unit;

/// A department's code lists by name (`codes.yaml`), and the text they were read from.
#[derive(Debug, Clone, Default)]
pub struct CodeLists {
    lists: BTreeMap<String, Arc<BTreeMap<String, String>>>,
    text: String,
}

/// Reads a department's `codes.yaml`: list name → the department's code → canonical code.
pub fn read_code_lists(file: &str, text: &str) -> Result<CodeLists, Mistakes> {
    let mut walk = Walk::new(file);
    let mut lists = BTreeMap::new();
    if let Some(tree) = walk.parse(text) {
        for (name, value) in walk.entries("", &tree, &[]) {
            if let Some(list) = code_list(&mut walk, &name, value) {
                lists.insert(name, Arc::new(list));
            }
        }
    }
    if walk.mistakes.is_empty() { Ok(CodeLists { lists, text: text.to_owned() }) } else { Err(Mistakes(walk.mistakes)) }
}

fn code_list(walk: &mut Walk, path: &str, value: &Value) -> Option<BTreeMap<String, String>> {
    let mut list = BTreeMap::new();
    for (from, to) in walk.entries(path, value, &[]) {
        let to = walk.text(&join(path, &from), to)?;
        list.insert(from.trim().to_owned(), to);
    }
    if list.is_empty() {
        walk.mistake(path, "代码表不能为空", "a code list must not be empty");
        return None;
    }
    Some(list)
}

struct Resolver<'a> {
    walk: Walk,
    lists: &'a CodeLists,
}

/// Reads and resolves one mapping against a catalogue.
pub(super) fn mapping(
    catalogue: &'static Catalogue,
    file: &str,
    text: &str,
    lists: &CodeLists,
) -> Result<Mapping, Mistakes> {
    let mut resolver = Resolver { walk: Walk::new(file), lists };
    let mapping = resolver.walk.parse(text).and_then(|tree| resolver.root(catalogue, file, text, &tree));
    match mapping {
        Some(mapping) if resolver.walk.mistakes.is_empty() => Ok(mapping),
        _ => Err(Mistakes(resolver.walk.mistakes)),
    }
}

impl Resolver<'_> {
    fn root(&mut self, catalogue: &'static Catalogue, file: &str, text: &str, tree: &Value) -> Option<Mapping> {
        const KEYS: [&str; 5] = ["item", "source", "ignore", "envelope", "fields"];
        let entries: BTreeMap<String, &Value> = self.walk.entries("", tree, &KEYS).into_iter().collect();
        for key in ["item", "source", "fields"] {
            if !entries.contains_key(key) {
                self.walk.mistake(key, "缺少此项", "is missing");
            }
        }
        let item = entries.get("item").and_then(|value| {
            let code = self.walk.text("item", value)?;
            let item = catalogue.item(&code);
            if item.is_none() {
                self.walk.mistake("item", "目录中没有该信息项", "the catalogue has no such item");
            }
            item
        });
        let source = entries.get("source").and_then(|value| self.source(value));
        let ignore = entries.get("ignore").map(|value| self.ignore(value)).unwrap_or_default();
        let envelope = entries.get("envelope").map(|value| self.envelope(value)).unwrap_or_default();
        let fields = match (item, entries.get("fields")) {
            (Some(item), Some(value)) => self.fields(item, value),
            _ => Vec::new(),
        };
        for (at, column) in ignore.iter().enumerate() {
            let mapped = fields.iter().any(|f| matches!(&f.from, From::Column { column: c, .. } if c == column));
            if mapped {
                let (zh, en) = ("该列已被映射", "this column is mapped");
                self.walk.mistake(&format!("ignore[{at}]"), zh, en);
            }
        }
        let item = item?;
        Some(Mapping {
            item,
            file: file.to_owned(),
            source: source?,
            ignore,
            envelope,
            fields,
            digest: self.digest(text),
            schema: item.submission_schema(),
        })
    }

    fn digest(&self, text: &str) -> String {
        let mut hash = Sm3::new();
        hash.update(text.as_bytes());
        hash.update([0x1f]);
        hash.update(self.lists.text.as_bytes());
        hex::encode(&hash.finalize()[..8])
    }

    fn source(&mut self, value: &Value) -> Option<SourceSpec> {
        const KEYS: [&str; 9] =
            ["kind", "files", "encoding", "separator", "header_rows", "skip_rows", "sheet", "total_row", "data_date"];
        let entries: BTreeMap<String, &Value> = self.walk.entries("source", value, &KEYS).into_iter().collect();
        let kind = match entries.get("kind").and_then(|v| scalar(v)).as_deref() {
            Some("csv") => Some(SourceKind::Csv),
            Some("xlsx") => Some(SourceKind::Xlsx),
            _ => {
                self.walk.mistake("source.kind", "应为 csv 或 xlsx", "must be `csv` or `xlsx`");
                None
            }
        };
        let files = entries.get("files").and_then(|v| scalar(v)).and_then(|text| Glob::new(&text));
        if files.is_none() {
            let (zh, en) =
                ("应为相对路径的文件名模式，如 银行存款_*.csv", "must be a relative pattern such as `name_*.csv`");
            self.walk.mistake("source.files", zh, en);
        }
        let encoding = self.encoding(kind, entries.get("encoding").copied());
        let separator = match entries.get("separator").map(|v| scalar(v).unwrap_or_default()).as_deref() {
            None | Some(",") => b',',
            Some(";") => b';',
            Some("\t" | "\\t" | "tab") => b'\t',
            Some("|") => b'|',
            Some("^") => b'^',
            _ => {
                self.walk.mistake("source.separator", "可用 , ; | ^ 或 tab", "must be one of `,` `;` `|` `^` or `tab`");
                b','
            }
        };
        let mut count = |key: &str, default: u32, max: u32| match entries.get(key) {
            Some(value) => self.walk.count(&join("source", key), value, max).unwrap_or(default),
            None => default,
        };
        let (header_rows, skip_rows) = (count("header_rows", 1, 4), count("skip_rows", 0, 64));
        if header_rows == 0 {
            let (zh, en) = ("至少一行表头：列按名称识别", "needs a header row: columns are known by name");
            self.walk.mistake("source.header_rows", zh, en);
        }
        let sheet = match entries.get("sheet") {
            None => Sheet::Number(1),
            Some(Value::String(name)) => Sheet::Name(name.clone()),
            Some(value) => match self.walk.count("source.sheet", value, 1000) {
                Some(0) | None => {
                    self.walk.mistake("source.sheet", "工作表从 1 数起", "sheets are counted from 1");
                    Sheet::Number(1)
                }
                Some(number) => Sheet::Number(number),
            },
        };
        let total_row = entries.get("total_row").and_then(|v| self.walk.text("source.total_row", v)).map(Arc::from);
        let data_date = entries.get("data_date").and_then(|v| self.data_date(v));
        Some(SourceSpec {
            kind: kind?,
            files: files?,
            encoding: encoding?,
            separator,
            skip_rows,
            header_rows,
            sheet,
            total_row,
            data_date,
        })
    }

    fn encoding(&mut self, kind: Option<SourceKind>, value: Option<&Value>) -> Option<TextEncoding> {
        match value.and_then(scalar).map(|t| t.to_ascii_lowercase()).as_deref() {
            Some("gbk" | "cp936") => Some(TextEncoding::Gbk),
            Some("gb18030") => Some(TextEncoding::Gb18030),
            Some("utf-8" | "utf8") => Some(TextEncoding::Utf8),
            None if kind == Some(SourceKind::Xlsx) => Some(TextEncoding::Utf8),
            _ => {
                let (zh, en) = ("应为 gbk、gb18030 或 utf-8", "must be `gbk`, `gb18030` or `utf-8`");
                self.walk.mistake("source.encoding", zh, en);
                None
            }
        }
    }

    fn data_date(&mut self, value: &Value) -> Option<DataDate> {
        let path = "source.data_date";
        let entries: BTreeMap<String, &Value> =
            self.walk.entries(path, value, &["from", "pattern", "column", "format"]).into_iter().collect();
        let format = self.format(path, entries.get("format").copied(), "yyyyMMdd");
        match entries.get("from").and_then(|v| scalar(v)).as_deref() {
            Some(from @ ("file_name" | "title")) => {
                let pattern =
                    self.walk.text(&join(path, "pattern"), entries.get("pattern").unwrap_or(&&Value::Null))?;
                let pattern = Regex::new(&pattern).ok().filter(|p| p.captures_len() >= 2);
                if pattern.is_none() {
                    let (zh, en) = ("应为带一个分组的正则表达式", "must be a regular expression with one group");
                    self.walk.mistake(&join(path, "pattern"), zh, en);
                }
                let (pattern, format) = (pattern?, format?);
                Some(if from == "title" {
                    DataDate::Title { pattern, format }
                } else {
                    DataDate::FileName { pattern, format }
                })
            }
            Some("column") => {
                let column = self.walk.text(&join(path, "column"), entries.get("column").unwrap_or(&&Value::Null))?;
                Some(DataDate::Column { column, format: format? })
            }
            _ => {
                let (zh, en) = ("应为 file_name、title 或 column", "must be `file_name`, `title` or `column`");
                self.walk.mistake(&join(path, "from"), zh, en);
                None
            }
        }
    }

    fn ignore(&mut self, value: &Value) -> Vec<String> {
        let Value::Sequence(list) = value else {
            self.walk.mistake("ignore", "应为列名列表", "must be a list of columns");
            return Vec::new();
        };
        list.iter().enumerate().filter_map(|(at, v)| self.walk.text(&format!("ignore[{at}]"), v)).collect()
    }

    fn envelope(&mut self, value: &Value) -> EnvelopeSpec {
        let mut spec = EnvelopeSpec::default();
        const KEYS: [&str; 3] = ["source_updated_at", "source_record_id", "op"];
        for (key, value) in self.walk.entries("envelope", value, &KEYS) {
            let path = join("envelope", &key);
            let allowed: &[&str] = match key.as_str() {
                "source_updated_at" => &["column", "format"],
                "op" => &["column", "codes"],
                _ => &["column"],
            };
            let entries: BTreeMap<String, &Value> = self.walk.entries(&path, value, allowed).into_iter().collect();
            let Some(column) = self.walk.text(&join(&path, "column"), entries.get("column").unwrap_or(&&Value::Null))
            else {
                continue;
            };
            match key.as_str() {
                "source_updated_at" => {
                    let format = self.format(&path, entries.get("format").copied(), "yyyy-MM-dd HH:mm:ss");
                    spec.source_updated_at = format.map(|format| (column, format));
                }
                "op" => {
                    let codes = self.codes(&join(&path, "codes"), entries.get("codes").copied());
                    if let Some(codes) = codes {
                        if codes.values().any(|op| op != "upsert" && op != "delete") {
                            let (zh, en) = ("只能译为 upsert 或 delete", "must translate to `upsert` or `delete`");
                            self.walk.mistake(&join(&path, "codes"), zh, en);
                        }
                        spec.op = Some((column, codes));
                    }
                }
                _ => spec.source_record_id = Some(column),
            }
        }
        spec
    }

    fn fields(&mut self, item: &'static Item, value: &Value) -> Vec<FieldSpec> {
        let schema = item.submission_schema();
        let mut specs = Vec::new();
        for (name, value) in self.walk.entries("fields", value, &[]) {
            let path = join("fields", &name);
            let Some(field) = item.field_index(&name) else {
                self.walk.mistake(&path, "该信息项没有此字段", "the item has no such field");
                continue;
            };
            let ty = schema.field(field).data_type();
            if let Some(from) = self.field(item, field, ty, &path, value) {
                specs.push(FieldSpec { field, from });
            }
        }
        specs.sort_by_key(|spec| spec.field);
        let named: BTreeSet<usize> = match value {
            Value::Mapping(map) => map.keys().filter_map(scalar).filter_map(|name| item.field_index(&name)).collect(),
            _ => BTreeSet::new(),
        };
        for (at, field) in item.fields.iter().enumerate() {
            if field.required && !named.contains(&at) {
                let (zh, en) = ("必填字段没有对应的列", "a required field needs a column or a constant");
                self.walk.mistake(&join("fields", &field.name), zh, en);
            }
        }
        specs
    }

    fn field(&mut self, item: &Item, field: usize, ty: &DataType, path: &str, value: &Value) -> Option<From> {
        const KEYS: [&str; 6] = ["column", "as", "format", "unit", "codes", "constant"];
        let entries: BTreeMap<String, &Value> = self.walk.entries(path, value, &KEYS).into_iter().collect();
        if let Some(constant) = entries.get("constant") {
            if entries.len() > 1 {
                self.walk.mistake(path, "常量不能再带其他键", "a constant takes no other key");
            }
            let text = self.walk.text(&join(path, "constant"), constant)?;
            self.canonical(item, field, ty, &join(path, "constant"), &text);
            return Some(From::Constant(text));
        }
        let column = self.walk.text(&join(path, "column"), entries.get("column").unwrap_or(&&Value::Null))?;
        let word = entries.get("as").and_then(|v| scalar(v));
        let kind = self.kind(item, field, ty, path, word.as_deref())?;
        for (key, fits) in [("format", matches!(kind, "date" | "month" | "timestamp")), ("unit", kind == "decimal")] {
            if entries.contains_key(key) && !fits {
                let (zh, en) = (format!("{kind} 不用此键"), format!("`{kind}` takes no such key"));
                self.walk.mistake(&join(path, key), zh, en);
            }
        }
        if let Some(codes) = entries.get("codes") {
            let at = join(path, "codes");
            let codes = self.codes(&at, Some(codes))?;
            for (from, to) in codes.iter() {
                self.canonical(item, field, ty, &join(&at, from), to);
            }
            return Some(From::Column { column, how: As::Codes(codes) });
        }
        let format = entries.get("format").copied();
        let how = match kind {
            "text" => As::Text,
            "citizen_id" => As::CitizenId,
            "uscc" => As::Uscc,
            "integer" => As::Integer,
            "boolean" => As::Boolean,
            "date" => As::Date(self.format(path, format, "yyyy-MM-dd")?),
            "month" => As::Month(self.format(path, format, "yyyyMM")?),
            "timestamp" => As::Timestamp(self.format(path, format, "yyyy-MM-dd HH:mm:ss")?),
            _ => As::Decimal(self.unit(path, entries.get("unit").copied())?),
        };
        Some(From::Column { column, how })
    }

    /// The conversion: as written, or the one that the field's type asks for.
    fn kind(
        &mut self,
        item: &Item,
        field: usize,
        ty: &DataType,
        path: &str,
        word: Option<&str>,
    ) -> Option<&'static str> {
        let allowed: &[&'static str] = match ty {
            DataType::Utf8 => match item.fields[field].code_table.as_deref() {
                Some("GB11643") => &["citizen_id", "text"],
                Some("GB32100" | "GB32100_SELF") => &["uscc", "text"],
                _ => &["text", "citizen_id", "uscc"],
            },
            DataType::Int32 | DataType::Int64 => &["integer"],
            DataType::Boolean => &["boolean"],
            DataType::Date32 => &["date", "month"],
            DataType::Timestamp(..) => &["timestamp"],
            _ => &["decimal"],
        };
        let found = match word {
            None => allowed.first(),
            Some(word) => allowed.iter().find(|kind| **kind == word),
        };
        if found.is_none() {
            let list = allowed.join(", ");
            let (zh, en) =
                (format!("与字段类型不符，可用：{list}"), format!("does not fit the field, possible: {list}"));
            self.walk.mistake(&join(path, "as"), zh, en);
        }
        found.copied()
    }

    fn format(&mut self, path: &str, value: Option<&Value>, default: &str) -> Option<DateFormat> {
        let text = value.map_or_else(|| Some(default.to_owned()), scalar).unwrap_or_default();
        let format = DateFormat::parse(&text);
        if format.is_none() {
            let (zh, en) = (
                "应由 yyyy M MM d dd H HH mm ss SSS 和分隔符组成，或为 excel",
                "must be made of yyyy M MM d dd H HH mm ss SSS and separators, or be `excel`",
            );
            self.walk.mistake(&join(path, "format"), zh, en);
        }
        format
    }

    fn unit(&mut self, path: &str, value: Option<&Value>) -> Option<Unit> {
        let Some(value) = value else { return Some(Unit::ONE) };
        let unit = scalar(value).and_then(|name| Unit::named(&name));
        if unit.is_none() {
            let names: Vec<&str> = Unit::NAMES.iter().map(|(name, _)| *name).collect();
            let list = names.join(" ");
            let (zh, en) = (format!("未知的单位，可用：{list}"), format!("unknown unit, known are: {list}"));
            self.walk.mistake(&join(path, "unit"), zh, en);
        }
        unit
    }

    fn codes(&mut self, path: &str, value: Option<&Value>) -> Option<Arc<BTreeMap<String, String>>> {
        match value {
            Some(Value::String(name)) if name.starts_with('$') => {
                let list = self.lists.lists.get(&name[1..]).cloned();
                if list.is_none() {
                    let (zh, en) = (format!("codes.yaml 中没有 {name}"), format!("codes.yaml has no `{name}`"));
                    self.walk.mistake(path, zh, en);
                }
                list
            }
            Some(value) => code_list(&mut self.walk, path, value).map(Arc::new),
            None => {
                self.walk.mistake(path, "缺少此项", "is missing");
                None
            }
        }
    }

    /// A constant or a translated code must be a value of the field's type and, if it has one, of its code table.
    fn canonical(&mut self, item: &Item, field: usize, ty: &DataType, path: &str, text: &str) {
        if Canonical::parse(ty, text).is_none() {
            self.walk.mistake(path, "不是该字段类型的值", "is not a value of the field's type");
        } else if item.fields[field].table().is_some_and(|table| !table.accepts(text)) {
            let table = item.fields[field].code_table.as_deref().unwrap_or_default();
            let (zh, en) = (format!("代码表 {table} 没有此代码"), format!("code table `{table}` has no such code"));
            self.walk.mistake(path, zh, en);
        }
    }
}
