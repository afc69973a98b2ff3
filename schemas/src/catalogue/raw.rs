//! Catalogue files as they are written. Vocabulary words stay text here, so that one unknown word does not hide the
//! file's other mistakes; unknown keys are refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Mistake;
use super::files::Files;

pub(super) const HEAD: &str = "catalogue.yaml";
const TABLES: &str = "code_tables/";

/// A file's content with the name it came from.
#[derive(Debug)]
pub(super) struct Named<T> {
    pub(super) file: String,
    pub(super) is: T,
}

#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) head: Head,
    pub(super) tables: Vec<Named<Table>>,
    pub(super) items: Vec<Named<RawItem>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) version: String,
    pub(super) language: String,
    pub(super) title_zh: String,
    pub(super) title_en: String,
    pub(super) basis: String,
    pub(super) counts: Counts,
    #[allow(dead_code, reason = "prose is checked for presence, not read")]
    pub(super) conventions: Conventions,
    pub(super) levels: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, RawTag>,
    pub(super) kinds: Vec<String>,
    pub(super) cadences: Vec<String>,
    pub(super) exchange_modes: Vec<String>,
    pub(super) provenance_values: BTreeMap<String, String>,
    pub(super) envelope: Vec<EnvelopeColumn>,
    pub(super) alert_signals: serde_norway::Mapping,
    pub(super) departments: Vec<RawDepartment>,
    pub(super) sources: BTreeMap<String, RawSource>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counts {
    pub(super) departments: usize,
    pub(super) classes: usize,
    pub(super) items: usize,
    pub(super) fields: usize,
}

/// Prose for readers; read so that a missing convention is noticed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "prose is checked for presence, not read")]
pub(super) struct Conventions {
    department_code: String,
    class_code: String,
    item_code: String,
    field_name: String,
    required: String,
    natural_key: String,
    subject_fields: String,
    authorization: String,
    level_basis: String,
    types: BTreeMap<String, String>,
    level_rules: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTag {
    pub(super) meaning: String,
    pub(super) level_min: Option<String>,
    #[serde(default)]
    pub(super) reserved: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EnvelopeColumn {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) label_zh: String,
    #[allow(dead_code, reason = "prose")]
    pub(super) note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSignal {
    pub(super) name_zh: String,
    pub(super) name_en: String,
    pub(super) polarity: String,
    pub(super) default_points: String,
    #[allow(dead_code, reason = "prose")]
    pub(super) basis: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "prose is checked for presence, not read")]
pub(super) struct RawSource {
    title: String,
    address: Option<String>,
    used_for: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDepartment {
    pub(super) code: String,
    pub(super) name_zh: String,
    pub(super) name_en: String,
    pub(super) note: Option<String>,
    pub(super) classes: Vec<RawClass>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClass {
    pub(super) code: String,
    pub(super) name_zh: String,
    pub(super) name_en: String,
    pub(super) note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    pub(super) id: String,
    pub(super) standard: String,
    pub(super) name_zh: String,
    pub(super) name_en: String,
    pub(super) verification: String,
    pub(super) pattern: Option<String>,
    pub(super) note: Option<String>,
    #[serde(default)]
    pub(super) values: Vec<RawCode>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCode {
    pub(super) code: String,
    pub(super) zh: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawItem {
    pub(super) number: u16,
    pub(super) code: String,
    pub(super) name_zh: String,
    pub(super) name_en: String,
    pub(super) department: String,
    pub(super) class: String,
    pub(super) grain: String,
    pub(super) note: Option<String>,
    pub(super) natural_key: Vec<String>,
    pub(super) subject_fields: Vec<String>,
    pub(super) update_cadence: String,
    pub(super) exchange_mode: String,
    pub(super) kind: String,
    pub(super) dataset_level: String,
    pub(super) contains_minors: bool,
    pub(super) authorization_required: bool,
    pub(super) source_channel: String,
    pub(super) matching: RawMatching,
    pub(super) provenance: RawProvenance,
    pub(super) fields: Vec<RawField>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMatching {
    pub(super) income_category: Option<String>,
    pub(super) income_treatment: String,
    pub(super) asset_category: Option<String>,
    pub(super) expenditure_category: Option<String>,
    pub(super) alert_signals: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvenance {
    pub(super) status: String,
    pub(super) refs: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawField {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) label_zh: String,
    pub(super) required: bool,
    pub(super) code_table: Option<String>,
    pub(super) level: String,
    pub(super) tags: Vec<String>,
    pub(super) seal: Option<String>,
}

/// Reads every file. `None` only when the head is missing or unreadable, without which nothing can be judged.
pub(super) fn parse(files: &Files, mistakes: &mut Vec<Mistake>) -> Option<Parsed> {
    let mut head = None;
    let mut tables = Vec::new();
    let mut items = Vec::new();
    for (file, text) in files {
        if file == HEAD {
            head = read::<Head>(file, text, mistakes);
        } else if file.starts_with(TABLES) {
            tables.extend(read(file, text, mistakes).map(|is| Named { file: file.clone(), is }));
        } else {
            items.extend(read(file, text, mistakes).map(|is| Named { file: file.clone(), is }));
        }
    }
    if head.is_none() && !files.iter().any(|(file, _)| file == HEAD) {
        mistakes.push(Mistake {
            file: HEAD.to_owned(),
            path: String::new(),
            problem: "the file is missing".to_owned(),
        });
    }
    Some(Parsed { head: head?, tables, items })
}

fn read<T: DeserializeOwned>(file: &str, text: &str, mistakes: &mut Vec<Mistake>) -> Option<T> {
    match serde_norway::from_str(text) {
        Ok(value) => Some(value),
        Err(e) => {
            mistakes.push(Mistake { file: file.to_owned(), path: String::new(), problem: e.to_string() });
            None
        }
    }
}
