//! Raw files to types: words to vocabularies, patterns to automata, fields to their seal, items to their schemas.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use arrow::datatypes::Schema;
use regex::Regex;

use crate::arrow_schema;
use crate::code_table::{self, Code, CodeTable, TableKind};
use crate::model::{
    Class, Department, Field, FieldType, Item, Level, Matching, Provenance, Seal, TOKEN_DOMAIN_ACCOUNT,
    TOKEN_DOMAIN_PERSON, Tag,
};

use super::raw::{HEAD, Head, Named, Parsed, RawField, RawItem, RawSignal, Table};
use super::{AlertSignal, Catalogue, Mistake};

/// Automata of the pattern tables stay small; a pattern that needs more is a mistake.
const PATTERN_BYTES_MAX: usize = 1 << 18;

pub(super) fn resolve(parsed: &Parsed, mistakes: &mut Vec<Mistake>) -> Option<Catalogue> {
    let before = mistakes.len();
    let tables: Vec<Arc<CodeTable>> = parsed.tables.iter().filter_map(|t| table(t, mistakes)).map(Arc::new).collect();
    let table_index: HashMap<String, usize> = tables.iter().enumerate().map(|(at, t)| (t.id.clone(), at)).collect();
    let find = |id: &str| table_index.get(id).and_then(|at| tables.get(*at)).cloned();

    let version = &parsed.head.version;
    let mut items: Vec<Item> = parsed.items.iter().filter_map(|i| item(i, version, &find, mistakes)).collect();
    items.sort_by_key(|i| i.no);
    let item_index = items.iter().enumerate().map(|(at, i)| (i.code.clone(), at)).collect();
    let signals = signals(&parsed.head, mistakes);
    (mistakes.len() == before).then(|| Catalogue {
        version: version.clone(),
        departments: departments(&parsed.head),
        items,
        item_index,
        tables,
        table_index,
        signals,
    })
}

fn departments(head: &Head) -> Vec<Department> {
    let class = |c: &super::raw::RawClass| Class {
        code: c.code.clone(),
        name_zh: c.name_zh.clone(),
        name_en: c.name_en.clone(),
        note: c.note.clone(),
    };
    head.departments
        .iter()
        .map(|d| Department {
            code: d.code.clone(),
            name_zh: d.name_zh.clone(),
            name_en: d.name_en.clone(),
            note: d.note.clone(),
            classes: d.classes.iter().map(class).collect(),
        })
        .collect()
}

fn signals(head: &Head, mistakes: &mut Vec<Mistake>) -> Vec<AlertSignal> {
    let mut signals = Vec::with_capacity(head.alert_signals.len());
    for (code, body) in &head.alert_signals {
        let code = code.as_str().unwrap_or_default().to_owned();
        match serde_norway::from_value::<RawSignal>(body.clone()) {
            Ok(RawSignal { name_zh, name_en, polarity, default_points, .. }) => {
                if !["need", "integrity", "data"].contains(&polarity.as_str()) {
                    mistakes.push(Mistake {
                        file: HEAD.to_owned(),
                        path: format!("alert_signals.{code}.polarity"),
                        problem: format!("`{polarity}` is unknown"),
                    });
                }
                signals.push(AlertSignal { code, name_zh, name_en, polarity, default_points });
            }
            Err(e) => mistakes.push(Mistake {
                file: HEAD.to_owned(),
                path: format!("alert_signals.{code}"),
                problem: e.to_string(),
            }),
        }
    }
    signals
}

fn table(Named { file, is: raw }: &Named<Table>, mistakes: &mut Vec<Mistake>) -> Option<CodeTable> {
    let kind = match raw.id.as_str() {
        code_table::CITIZEN_NUMBER => TableKind::CitizenNumber,
        code_table::CREDIT_CODE => TableKind::CreditCode,
        code_table::CREDIT_CODE_OR_SELF => TableKind::CreditCodeOrSelf,
        code_table::DIVISION => TableKind::Division,
        code_table::TOWN_OR_VILLAGE => TableKind::TownOrVillage,
        _ if raw.pattern.is_some() => TableKind::Pattern,
        _ => TableKind::Values,
    };
    let mut mistake = |path: String, problem: String| mistakes.push(Mistake { file: file.clone(), path, problem });
    let mut regex = None;
    // Tables that are decided by code keep their pattern as documentation and need no automaton.
    if let (TableKind::Pattern, Some(pattern)) = (kind, &raw.pattern) {
        match regex::RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).unicode(false).build() {
            Ok(built) => regex = Some(built),
            Err(e) => {
                mistake("pattern".to_owned(), e.to_string());
                return None;
            }
        }
        let built: Option<&Regex> = regex.as_ref();
        for value in raw.values.iter().filter(|v| built.is_some_and(|r| !r.is_match(&v.code))) {
            mistake(format!("values.{}", value.code), "does not fit the table's pattern".to_owned());
        }
    }
    let values = raw.values.iter().map(|v| Code { code: v.code.clone(), zh: v.zh.clone() }).collect();
    let index = raw.values.iter().enumerate().map(|(at, v)| (v.code.clone(), at)).collect();
    Some(CodeTable {
        id: raw.id.clone(),
        standard: raw.standard.clone(),
        name_zh: raw.name_zh.clone(),
        name_en: raw.name_en.clone(),
        verification: raw.verification.clone(),
        note: raw.note.clone(),
        values,
        pattern: raw.pattern.clone(),
        regex,
        index,
        kind,
    })
}

/// Turns words of one file into vocabulary members; an unknown word is a mistake.
struct Words<'a> {
    file: &'a str,
    mistakes: &'a mut Vec<Mistake>,
}

impl Words<'_> {
    fn read<T: FromStr>(&mut self, path: impl FnOnce() -> String, word: &str) -> Option<T> {
        let read = word.parse().ok();
        if read.is_none() {
            let problem = format!("`{word}` is unknown");
            self.mistakes.push(Mistake { file: self.file.to_owned(), path: path(), problem });
        }
        read
    }
}

fn item(
    Named { file, is: raw }: &Named<RawItem>,
    version: &str,
    find: &dyn Fn(&str) -> Option<Arc<CodeTable>>,
    mistakes: &mut Vec<Mistake>,
) -> Option<Item> {
    let mut words = Words { file, mistakes };
    let fields: Vec<Option<Field>> = raw.fields.iter().map(|f| field(raw, f, find, &mut words)).collect();
    let cadence = words.read(|| "update_cadence".to_owned(), &raw.update_cadence);
    let exchange_mode = words.read(|| "exchange_mode".to_owned(), &raw.exchange_mode);
    let kind = words.read(|| "kind".to_owned(), &raw.kind);
    let level = words.read(|| "dataset_level".to_owned(), &raw.dataset_level);
    let source_channel = words.read(|| "source_channel".to_owned(), &raw.source_channel);
    let income_treatment = words.read(|| "matching.income_treatment".to_owned(), &raw.matching.income_treatment);
    let status = words.read(|| "provenance.status".to_owned(), &raw.provenance.status);
    let empty = Arc::new(Schema::empty());
    let mut item = Item {
        no: raw.number,
        code: raw.code.clone(),
        name_zh: raw.name_zh.clone(),
        name_en: raw.name_en.clone(),
        department: raw.department.clone(),
        class: raw.class.clone(),
        grain: raw.grain.clone(),
        note: raw.note.clone(),
        natural_key: raw.natural_key.clone(),
        subject_fields: raw.subject_fields.clone(),
        cadence: cadence?,
        exchange_mode: exchange_mode?,
        kind: kind?,
        level: level?,
        contains_minors: raw.contains_minors,
        authorization_required: raw.authorization_required,
        source_channel: source_channel?,
        matching: Matching {
            income_category: raw.matching.income_category.clone(),
            income_treatment: income_treatment?,
            asset_category: raw.matching.asset_category.clone(),
            expenditure_category: raw.matching.expenditure_category.clone(),
            alert_signals: raw.matching.alert_signals.clone(),
        },
        provenance: Provenance { status: status?, refs: raw.provenance.refs.clone() },
        fields: fields.into_iter().collect::<Option<_>>()?,
        catalogue_version: version.to_owned(),
        submission: Arc::clone(&empty),
        sealed: empty,
    };
    item.submission = arrow_schema::submission(&item);
    item.sealed = arrow_schema::sealed(&item);
    Some(item)
}

fn field(
    item: &RawItem,
    raw: &RawField,
    find: &dyn Fn(&str) -> Option<Arc<CodeTable>>,
    words: &mut Words<'_>,
) -> Option<Field> {
    let path = |end: &str| format!("fields.{}.{end}", raw.name);
    let ty: Option<FieldType> = words.read(|| path("type"), &raw.ty);
    let level: Option<Level> = words.read(|| path("level"), &raw.level);
    let tags: Vec<Option<Tag>> = raw.tags.iter().map(|word| words.read(|| path("tags"), word)).collect();
    let mut field = Field {
        name: raw.name.clone(),
        label_zh: raw.label_zh.clone(),
        ty: ty?,
        required: raw.required,
        code_table: raw.code_table.clone(),
        level: level?,
        tags: tags.into_iter().collect::<Option<_>>()?,
        seal: Seal::Clear,
        table: raw.code_table.as_deref().and_then(find),
        token_domain: String::new(),
    };
    let forced = raw.seal.is_some();
    field.seal = seal(&field, item.natural_key.contains(&raw.name), forced);
    field.token_domain = if field.is_citizen_number() {
        TOKEN_DOMAIN_PERSON.to_owned()
    } else if field.is_account_number() {
        TOKEN_DOMAIN_ACCOUNT.to_owned()
    } else {
        format!("field:{}", field.name)
    };
    Some(field)
}

/// The rule of [`Field::seal`].
fn seal(field: &Field, in_key: bool, forced: bool) -> Seal {
    let address = field.has_tag(Tag::Location) && field.ty == FieldType::Utf8 && field.code_table.is_none();
    let sealed = forced || field.has_tag(Tag::DirectIdentifier) || field.has_tag(Tag::Contact) || address;
    if !sealed {
        Seal::Clear
    } else if forced || in_key || field.is_citizen_number() || field.is_account_number() {
        Seal::CipherAndToken
    } else {
        Seal::Cipher
    }
}
