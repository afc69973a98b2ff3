//! The 17 departments' mappings: data, embedded in the program and loadable from a folder.
//!
//! ```text
//! <department>/connector.yaml   who delivers what: department, names, provider code, schedule, items
//! <department>/codes.yaml       the department's own codes → catalogue codes (optional)
//! <department>/<item>.yaml      one mapping per item; see [`crate::mapping`]
//! ```
//!
//! A folder loads as a whole or not at all: every mistake in every file is reported at once. `connector.yaml` lists
//! exactly the items that have a mapping file, so that a mapping cannot be forgotten silently.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::mapping::{CodeLists, Mapping, Mistake, Mistakes, read_code_lists};

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../departments");

/// Bytes of one mapping file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// When a department's files are ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// `day`, `week`, `month`.
    pub every: String,
    /// Day of the week or month.
    #[serde(default)]
    pub day: Option<u32>,
    /// Time of day, `HH:MM`.
    #[serde(default)]
    pub at: Option<String>,
    /// When reading is allowed: from, to.
    #[serde(default)]
    pub window: Option<(String, String)>,
}

/// A department's `connector.yaml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectorFile {
    department: String,
    name_zh: String,
    name_en: String,
    provider_code: String,
    #[serde(default)]
    schedule: Option<Schedule>,
    items: Vec<String>,
}

/// One department and its mappings.
#[derive(Debug, Clone)]
pub struct Department {
    /// Code (`civil-affairs`).
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// When its files are ready.
    pub schedule: Option<Schedule>,
    /// In the order of `connector.yaml`.
    pub mappings: Vec<Mapping>,
}

/// Why a department could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such department.
    #[error("no department `{0}`")]
    Unknown(String),
    /// A file cannot be read.
    #[error("cannot read `{file}`")]
    Io {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its files have mistakes.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl Department {
    /// Codes of the embedded departments, by name.
    pub fn embedded_codes() -> Vec<&'static str> {
        let mut codes: Vec<&str> = EMBEDDED.dirs().filter_map(|dir| dir.path().to_str()).collect();
        codes.sort_unstable();
        codes
    }

    /// An embedded department.
    pub fn embedded(code: &str) -> Result<Self, LoadError> {
        let folder = EMBEDDED.get_dir(code).ok_or_else(|| LoadError::Unknown(code.to_owned()))?;
        let files = folder.files().filter_map(|file| {
            let name = file.path().file_name()?.to_str()?;
            Some((name.to_owned(), file.contents_utf8()?.to_owned()))
        });
        Ok(Self::from_files(code, files.collect())?)
    }

    /// All embedded departments; the mistakes of all of them at once.
    pub fn embedded_all() -> Result<Vec<Self>, LoadError> {
        let mut mistakes = Vec::new();
        let mut all = Vec::new();
        for code in Self::embedded_codes() {
            match Self::embedded(code) {
                Ok(department) => all.push(department),
                Err(LoadError::Mistakes(Mistakes(mut found))) => mistakes.append(&mut found),
                Err(other) => return Err(other),
            }
        }
        if mistakes.is_empty() { Ok(all) } else { Err(Mistakes(mistakes).into()) }
    }

    /// A department from a folder of its own (`DIR/connector.yaml`, …).
    pub fn load(folder: &Path) -> Result<Self, LoadError> {
        let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let fail = |file: &Path, source| LoadError::Io { file: file.display().to_string(), source };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(|e| fail(folder, e))? {
            let path = entry.map_err(|e| fail(folder, e))?.path();
            let Some(file) = path.file_name().and_then(|n| n.to_str()).filter(|n| n.ends_with(".yaml")) else {
                continue;
            };
            let bytes = std::fs::metadata(&path).map_err(|e| fail(&path, e))?.len();
            if bytes > FILE_BYTES_MAX {
                return Err(fail(&path, std::io::Error::other("a mapping file is at most 1 MiB")));
            }
            files.insert(file.to_owned(), std::fs::read_to_string(&path).map_err(|e| fail(&path, e))?);
        }
        Ok(Self::from_files(&name, files)?)
    }

    /// Resolves a department's files (name → text). `folder` is what mistakes call it.
    pub fn from_files(folder: &str, files: BTreeMap<String, String>) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let named = |file: &str| format!("{folder}/{file}");
        let head = files.get("connector.yaml").map(|text| serde_norway::from_str::<ConnectorFile>(text));
        let head = match head {
            Some(Ok(head)) => Some(head),
            Some(Err(error)) => {
                mistakes.push(mistake(&named("connector.yaml"), "", format!("无法读取：{error}"), error.to_string()));
                None
            }
            None => {
                mistakes.push(mistake(&named("connector.yaml"), "", "缺少此文件".into(), "is missing".into()));
                None
            }
        };
        let lists = match files.get("codes.yaml").map(|text| read_code_lists(&named("codes.yaml"), text)) {
            Some(Ok(lists)) => lists,
            Some(Err(Mistakes(mut found))) => {
                mistakes.append(&mut found);
                CodeLists::default()
            }
            None => CodeLists::default(),
        };
        let mut mappings: BTreeMap<String, Mapping> = BTreeMap::new();
        let mut present = BTreeSet::new();
        for (file, text) in &files {
            let Some(stem) = file.strip_suffix(".yaml").filter(|s| !matches!(*s, "connector" | "codes")) else {
                continue;
            };
            present.insert(stem.to_owned());
            match Mapping::parse(&named(file), text, &lists) {
                Ok(mapping) if mapping.item.code == stem => {
                    mappings.insert(stem.to_owned(), mapping);
                }
                Ok(_) => {
                    let (zh, en) = ("文件名应与信息项代码一致", "the file must be named after its item");
                    mistakes.push(mistake(&named(file), "item", zh.into(), en.into()));
                }
                Err(Mistakes(mut found)) => mistakes.append(&mut found),
            }
        }
        if let Some(head) = &head {
            let listed: BTreeSet<String> = head.items.iter().cloned().collect();
            for missing in listed.symmetric_difference(&present) {
                let zh = format!("items 与映射文件不一致：{missing}");
                let en = format!("`items` and the mapping files differ: `{missing}`");
                mistakes.push(mistake(&named("connector.yaml"), "items", zh, en));
            }
            for mapping in mappings.values().filter(|m| m.item.department != head.department) {
                let (zh, en) = ("该信息项属于其他部门", "the item belongs to another department");
                mistakes.push(mistake(&mapping.file, "item", zh.into(), en.into()));
            }
        }
        match head {
            Some(head) if mistakes.is_empty() => Ok(Self {
                mappings: head.items.iter().filter_map(|item| mappings.remove(item)).collect(),
                code: head.department,
                name_zh: head.name_zh,
                name_en: head.name_en,
                schedule: head.schedule,
            }),
            _ => Err(Mistakes(mistakes)),
        }
    }
}

fn mistake(file: &str, path: &str, message_zh: String, message_en: String) -> Mistake {
    Mistake { file: file.to_owned(), path: path.to_owned(), message_zh, message_en }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_departments_and_items_are_embedded_without_a_mistake() {
        let all = Department::embedded_all().unwrap_or_else(|error| panic!("{error}"));
        let items: BTreeSet<&str> = all.iter().flat_map(|d| &d.mappings).map(|m| m.item.code.as_str()).collect();
        assert_eq!((all.len(), items.len()), (17, 73));
    }

    fn load(files: &[(&str, &str)]) -> Result<Department, Mistakes> {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Department::from_files("trade-union", files)
    }

    #[test]
    fn every_mistake_is_told_at_once_with_file_and_key_path() {
        let connector = "department: trade-union\nname_zh: 工会\nname_en: Union\nprovider_code: x\n\
                         items: [medical_mutual_aid, prison_inmate]\n";
        let mapping = r#"
item: prison_inmate
source: { kind: csv, files: "../x.csv", encoding: latin1, header_rows: 0, colour: red,
          data_date: { from: file_name, pattern: "no group" } }
ignore: [姓名]
envelope: { op: { column: 标志, codes: { 新: insert } } }
fields:
  citizen_id: { column: 号码, as: decimal }
  full_name: { column: 姓名, unit: 万元 }
  custody_status_code: { column: 状态, codes: { 在押: "77" } }
  facility_code: { column: 单位, codes: $nothing }
  custody_started_on: { column: 收押日期, as: date, format: dd-MM-yy }
  shoe_size: { column: 鞋码 }
"#;
        let mistakes =
            load(&[("connector.yaml", connector), ("prison_inmate.yaml", mapping)]).expect_err("many mistakes").0;
        let mut paths: Vec<&str> = mistakes.iter().map(|m| m.path.as_str()).collect();
        paths.sort_unstable();
        let wanted = [
            "envelope.op.codes",
            "fields.citizen_id.as",
            "fields.custody_started_on.format",
            "fields.custody_status_code.codes.在押",
            "fields.facility_code.codes",
            "fields.full_name.unit",
            "fields.shoe_size",
            "fields.updated_at",
            "ignore[0]",
            "items",
            "source.colour",
            "source.data_date.pattern",
            "source.encoding",
            "source.files",
            "source.header_rows",
        ];
        assert_eq!(paths, wanted);
        assert_eq!(mistakes.iter().filter(|m| m.file == "trade-union/prison_inmate.yaml").count(), wanted.len() - 1);
        assert!(mistakes.iter().all(|m| !m.message_zh.is_ascii() && !m.message_en.is_empty()));
    }
}
