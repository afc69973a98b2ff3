//! The rules of the catalogue as a whole, each reported with the file and path that breaks it.
//!
//! Works on the raw files: a word that no vocabulary knows is reported by [`super::resolve`], and the rules here skip it.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::code_table::CITIZEN_NUMBER;
use crate::envelope;
use crate::model::{Cadence, ExchangeMode, ItemKind, Level, ProvenanceStatus, TIME_ZONE, Tag};

use super::Mistake;
use super::raw::{HEAD, Head, Named, Parsed, RawField, RawItem, Table};

const INCOME_CATEGORIES: [&str; 4] = ["wage", "business", "property", "transfer"];
const ASSET_CATEGORIES: [&str; 5] = ["monetary", "real_estate", "vehicle", "machinery_vessel", "business_equity"];
const EXPENDITURE_CATEGORIES: [&str; 5] = ["medical", "education", "housing", "living", "disability_rehab"];

/// Collects mistakes of one file.
struct Report<'a> {
    file: &'a str,
    mistakes: &'a mut Vec<Mistake>,
}

impl Report<'_> {
    fn add(&mut self, path: impl Into<String>, problem: impl Into<String>) {
        self.mistakes.push(Mistake { file: self.file.to_owned(), path: path.into(), problem: problem.into() });
    }
}

pub(super) fn check(parsed: &Parsed, mistakes: &mut Vec<Mistake>) {
    // Counts of files that could not be read would only repeat that mistake.
    let complete = mistakes.is_empty();
    let mut report = Report { file: HEAD, mistakes };
    head(&parsed.head, &mut report);
    departments(&parsed.head, &mut report);
    if complete {
        counts(parsed, &mut report);
    }
    tables(&parsed.tables, mistakes);
    items(parsed, mistakes);
}

fn counts(parsed: &Parsed, report: &mut Report<'_>) {
    let wanted = &parsed.head.counts;
    let found = [
        ("departments", wanted.departments, parsed.head.departments.len()),
        ("classes", wanted.classes, parsed.head.departments.iter().map(|d| d.classes.len()).sum()),
        ("items", wanted.items, parsed.items.len()),
        ("fields", wanted.fields, parsed.items.iter().map(|i| i.is.fields.len()).sum()),
    ];
    for (what, wanted, found) in found {
        if wanted != found {
            report.add(format!("counts.{what}"), format!("says {wanted}, the files hold {found}"));
        }
    }
}

fn same_words<'a>(
    report: &mut Report<'_>,
    path: &str,
    written: impl Iterator<Item = &'a str>,
    known: impl Iterator<Item = &'a str>,
) {
    let written: BTreeSet<&str> = written.collect();
    let known: BTreeSet<&str> = known.collect();
    for word in written.difference(&known) {
        report.add(path, format!("`{word}` is unknown to this version of the hub"));
    }
    for word in known.difference(&written) {
        report.add(path, format!("`{word}` is missing"));
    }
}

fn head(head: &Head, report: &mut Report<'_>) {
    let words = [
        ("id", &head.id),
        ("version", &head.version),
        ("language", &head.language),
        ("title_zh", &head.title_zh),
        ("title_en", &head.title_en),
        ("basis", &head.basis),
    ];
    for (path, text) in words {
        if text.trim().is_empty() {
            report.add(path, "is empty");
        }
    }
    let numeric = head.version.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
    if head.version.split('.').count() != 3 || !numeric {
        report.add("version", "is not of the form 1.2.3");
    }
    same_words(report, "levels", head.levels.keys().map(String::as_str), Level::ALL.iter().map(|l| l.as_str()));
    same_words(report, "tags", head.tags.keys().map(String::as_str), Tag::ALL.iter().map(|t| t.as_str()));
    same_words(report, "kinds", head.kinds.iter().map(String::as_str), ItemKind::ALL.iter().map(|k| k.as_str()));
    same_words(report, "cadences", head.cadences.iter().map(String::as_str), Cadence::ALL.iter().map(|k| k.as_str()));
    let modes = ExchangeMode::ALL.iter().map(|k| k.as_str());
    same_words(report, "exchange_modes", head.exchange_modes.iter().map(String::as_str), modes);
    let statuses = ProvenanceStatus::ALL.iter().map(|k| k.as_str());
    same_words(report, "provenance_values", head.provenance_values.keys().map(String::as_str), statuses);
    for (name, tag) in &head.tags {
        if tag.meaning.trim().is_empty() {
            report.add(format!("tags.{name}.meaning"), "is empty");
        }
        if tag.level_min.as_ref().is_some_and(|l| l.parse::<Level>().is_err()) {
            report.add(format!("tags.{name}.level_min"), "is no level");
        }
    }
    envelope_columns(head, report);
}

fn envelope_columns(head: &Head, report: &mut Report<'_>) {
    let written: Vec<&str> = head.envelope.iter().map(|c| c.name.as_str()).collect();
    if written != envelope::SEALED_COLUMNS {
        report.add("envelope", format!("columns must be {}, in this order", envelope::SEALED_COLUMNS.join(", ")));
    }
    for column in &head.envelope {
        let Some(ty) = envelope::data_type(&column.name) else { continue };
        let spelled = match ty {
            arrow::datatypes::DataType::Timestamp(..) => format!("Timestamp(Millisecond,{TIME_ZONE})"),
            other => other.to_string(),
        };
        if column.ty != spelled {
            report.add(format!("envelope.{}.type", column.name), format!("must be {spelled}"));
        }
        if column.label_zh.is_empty() {
            report.add(format!("envelope.{}.label_zh", column.name), "is empty");
        }
    }
}

fn departments(head: &Head, report: &mut Report<'_>) {
    let mut codes = HashSet::new();
    let mut prefixes: HashMap<&str, &str> = HashMap::new();
    for department in &head.departments {
        let path = format!("departments.{}", department.code);
        if !is_kebab_case(&department.code) {
            report.add(&path, "the code is not kebab-case");
        }
        if !codes.insert(department.code.as_str()) {
            report.add(&path, "the code is used twice");
        }
        if department.classes.is_empty() {
            report.add(&path, "has no class");
        }
        for class in &department.classes {
            let path = format!("{path}.classes.{}", class.code);
            let prefix = class.code.split('-').next().unwrap_or_default();
            if !is_kebab_case(&class.code) || prefix == class.code {
                report.add(&path, "the code is not kebab-case with a department prefix");
            }
            if !codes.insert(class.code.as_str()) {
                report.add(&path, "the code is used twice");
            }
            let owner = prefixes.entry(prefix).or_insert(&department.code);
            if *owner != department.code {
                report.add(&path, format!("the prefix belongs to `{owner}`"));
            }
        }
    }
}

fn tables(tables: &[Named<Table>], mistakes: &mut Vec<Mistake>) {
    let mut ids = HashSet::new();
    for Named { file, is: table } in tables {
        let mut report = Report { file, mistakes };
        if *file != format!("code_tables/{}.yaml", table.id) {
            report.add("id", "the file must be named after the id");
        }
        if !ids.insert(table.id.as_str()) {
            report.add("id", "the id is used twice");
        }
        if table.values.is_empty() && table.pattern.is_none() {
            report.add("values", "a table needs values or a pattern");
        }
        if table.pattern.as_ref().is_some_and(|p| !(p.starts_with('^') && p.ends_with('$'))) {
            report.add("pattern", "must start with ^ and end with $");
        }
        let mut codes = HashSet::new();
        for value in &table.values {
            let path = format!("values.{}", value.code);
            if value.code.is_empty() || value.code.contains(char::is_whitespace) {
                report.add(&path, "a code is empty or has blanks");
            }
            if value.zh.trim().is_empty() {
                report.add(&path, "the meaning is empty");
            }
            if !codes.insert(value.code.as_str()) {
                report.add(&path, "the code is used twice");
            }
        }
    }
}

fn items(parsed: &Parsed, mistakes: &mut Vec<Mistake>) {
    let head = &parsed.head;
    let class_owner: HashMap<&str, &str> = head
        .departments
        .iter()
        .flat_map(|d| d.classes.iter().map(move |c| (c.code.as_str(), d.code.as_str())))
        .collect();
    let known = Known {
        tables: parsed.tables.iter().map(|t| t.is.id.as_str()).collect(),
        level_min: head
            .tags
            .iter()
            .filter_map(|(name, tag)| Some((name.as_str(), tag.level_min.as_ref()?.parse().ok()?)))
            .collect(),
        reserved: head.tags.iter().filter(|(_, t)| t.reserved).map(|(name, _)| name.as_str()).collect(),
    };
    let mut codes = HashMap::new();
    let mut numbers = HashMap::new();
    let mut used_classes = HashSet::new();
    for Named { file, is: item } in &parsed.items {
        let mut report = Report { file, mistakes };
        if *file != format!("{}/{}.yaml", item.department, item.code) {
            report.add("code", "the file must be named <department>/<code>.yaml");
        }
        if let Some(other) = codes.insert(item.code.as_str(), file.as_str()) {
            report.add("code", format!("is used by {other} too"));
        }
        if let Some(other) = numbers.insert(item.number, file.as_str()) {
            report.add("number", format!("is used by {other} too"));
        }
        if item.number == 0 || usize::from(item.number) > head.counts.items {
            report.add("number", format!("is not between 1 and {}", head.counts.items));
        }
        used_classes.insert(item.class.as_str());
        match class_owner.get(item.class.as_str()) {
            None => report.add("class", format!("`{}` is no class", item.class)),
            Some(owner) if *owner != item.department => {
                report.add("department", format!("class `{}` belongs to `{owner}`", item.class));
            }
            Some(_) => {}
        }
        one_item(item, &mut report);
        matching(item, head, &mut report);
        for field in &item.fields {
            one_field(field, &known, &mut report);
        }
    }
    let mut report = Report { file: HEAD, mistakes };
    for class in class_owner.keys().filter(|c| !used_classes.contains(*c)) {
        report.add(format!("classes.{class}"), "has no item");
    }
}

struct Known<'a> {
    tables: HashSet<&'a str>,
    level_min: HashMap<&'a str, Level>,
    reserved: HashSet<&'a str>,
}

fn one_item(item: &RawItem, report: &mut Report<'_>) {
    if !is_snake_case(&item.code) {
        report.add("code", "is not snake_case");
    }
    for (path, text) in [("name_zh", &item.name_zh), ("name_en", &item.name_en), ("grain", &item.grain)] {
        if text.trim().is_empty() {
            report.add(path, "is empty");
        }
    }
    let mut names = HashSet::new();
    for field in &item.fields {
        if !names.insert(field.name.as_str()) {
            report.add(format!("fields.{}", field.name), "the name is used twice");
        }
    }
    let field = |name: &str| item.fields.iter().find(|f| f.name == name);
    listed_once(&item.natural_key, "natural_key", report);
    for name in &item.natural_key {
        match field(name) {
            None => report.add(format!("natural_key.{name}"), "is no field of the item"),
            Some(f) if !f.required => {
                report.add(format!("fields.{name}.required"), "a natural key field must be required");
            }
            Some(_) => {}
        }
    }
    listed_once(&item.subject_fields, "subject_fields", report);
    for name in &item.subject_fields {
        match field(name) {
            None => report.add(format!("subject_fields.{name}"), "is no field of the item"),
            Some(f) if f.code_table.as_deref() != Some(CITIZEN_NUMBER) => {
                report.add(format!("fields.{name}.code_table"), format!("a subject field must be {CITIZEN_NUMBER}"));
            }
            Some(_) => {}
        }
    }
    for f in item.fields.iter().filter(|f| f.code_table.as_deref() == Some(CITIZEN_NUMBER)) {
        if !item.subject_fields.contains(&f.name) {
            report.add(format!("fields.{}", f.name), "holds citizen numbers but is not among the subject fields");
        }
    }
    let highest = item.fields.iter().filter_map(|f| f.level.parse::<Level>().ok()).max();
    if let (Ok(stated), Some(highest)) = (item.dataset_level.parse::<Level>(), highest)
        && stated != highest
    {
        report.add("dataset_level", format!("is {stated}, the highest field level is {highest}"));
    }
}

fn listed_once(names: &[String], path: &str, report: &mut Report<'_>) {
    if names.is_empty() {
        report.add(path, "is empty");
    }
    let mut seen = HashSet::new();
    for name in names.iter().filter(|name| !seen.insert(name.as_str())) {
        report.add(format!("{path}.{name}"), "is listed twice");
    }
}

fn matching(item: &RawItem, head: &Head, report: &mut Report<'_>) {
    let m = &item.matching;
    let categories: [(&str, &Option<String>, &[&str]); 3] = [
        ("income_category", &m.income_category, &INCOME_CATEGORIES),
        ("asset_category", &m.asset_category, &ASSET_CATEGORIES),
        ("expenditure_category", &m.expenditure_category, &EXPENDITURE_CATEGORIES),
    ];
    for (name, value, known) in categories {
        if let Some(word) = value.as_deref().filter(|word| !known.contains(word)) {
            report.add(format!("matching.{name}"), format!("`{word}` is unknown"));
        }
    }
    for signal in m.alert_signals.iter().filter(|s| !head.alert_signals.contains_key(s.as_str())) {
        report.add("matching.alert_signals", format!("`{signal}` is no alert signal"));
    }
    if item.provenance.refs.is_empty() && item.provenance.status != "designed" {
        report.add("provenance.refs", "is empty");
    }
    for source in item.provenance.refs.iter().filter(|s| !head.sources.contains_key(s.as_str())) {
        report.add("provenance.refs", format!("`{source}` is no source"));
    }
}

fn one_field(field: &RawField, known: &Known<'_>, report: &mut Report<'_>) {
    let path = format!("fields.{}", field.name);
    if !is_snake_case(&field.name) {
        report.add(&path, "the name is not snake_case");
    }
    if field.name.starts_with('_') || field.name.contains("__") {
        report.add(&path, "the name clashes with the hub's own columns");
    }
    if field.label_zh.trim().is_empty() {
        report.add(format!("{path}.label_zh"), "is empty");
    }
    if let Some(table) = &field.code_table {
        if !known.tables.contains(table.as_str()) {
            report.add(format!("{path}.code_table"), format!("`{table}` is no code table"));
        }
        if field.ty != "Utf8" {
            report.add(format!("{path}.type"), "a coded field must be Utf8");
        }
    }
    if field.tags.is_empty() {
        report.add(format!("{path}.tags"), "is empty");
    }
    let mut seen = HashSet::new();
    for tag in &field.tags {
        if !seen.insert(tag.as_str()) {
            report.add(format!("{path}.tags"), format!("`{tag}` is listed twice"));
        }
        if known.reserved.contains(tag.as_str()) {
            report.add(format!("{path}.tags"), format!("`{tag}` is reserved, no field may carry it"));
        }
        if let (Some(min), Ok(level)) = (known.level_min.get(tag.as_str()), field.level.parse::<Level>())
            && level < *min
        {
            report.add(format!("{path}.level"), format!("{level} is below {min}, which tag `{tag}` demands"));
        }
    }
    if let Some(word) = field.seal.as_deref().filter(|word| *word != "token") {
        report.add(format!("{path}.seal"), format!("`{word}` is unknown; `token` is the only word"));
    }
}

fn is_word(text: &str, separator: u8) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == separator)
}

fn is_snake_case(text: &str) -> bool {
    is_word(text, b'_')
}

fn is_kebab_case(text: &str) -> bool {
    is_word(text, b'-')
}
