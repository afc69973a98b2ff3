//! The catalogue as a whole: loading, looking up, counting.
//!
//! Read in three steps, so that a broken catalogue is reported in full and not one mistake at a time: files to raw
//! structures ([`raw`]), raw to typed ([`resolve`]), and the rules of the whole ([`rules`]). Every step adds
//! [`Mistake`]s and goes on with what is left; the catalogue exists only if none was found.
//!
//! ```text
//! catalogue.yaml                version, counts, vocabularies, envelope, signals, departments and classes, sources
//! code_tables/<id>.yaml         one code table
//! <department>/<item>.yaml      one item
//! ```
//!
//! The embedded catalogue is read once, on first use.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use crate::code_table::CodeTable;
use crate::model::{Department, Item};

mod files;
mod raw;
mod resolve;
mod rules;

/// One broken rule: where and what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// File, relative to the catalogue's folder.
    pub file: String,
    /// Path inside the file (`fields.balance_amount.level`); empty when the file as a whole is meant.
    pub path: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            write!(f, "{}: {}", self.file, self.problem)
        } else {
            write!(f, "{}: {}: {}", self.file, self.path, self.problem)
        }
    }
}

/// Why a catalogue did not load.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Its files could not be read.
    #[error("cannot read the catalogue at `{path}`")]
    Unreadable {
        /// File or folder.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It breaks its own rules.
    #[error("the catalogue breaks its rules in {} place(s)\n{}", .mistakes.len(), listed(.mistakes))]
    Broken {
        /// Every mistake, by file and path.
        mistakes: Vec<Mistake>,
    },
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|m| format!("  {m}")).collect::<Vec<_>>().join("\n")
}

/// How much a catalogue holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Departments.
    pub departments: usize,
    /// Classes.
    pub classes: usize,
    /// Items.
    pub items: usize,
    /// Fields of all items.
    pub fields: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { departments, classes, items, fields } = self;
        write!(f, "{departments} departments, {classes} classes, {items} items, {fields} fields")
    }
}

/// An alert signal that items can raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSignal {
    /// `UPPER_SNAKE_CASE`.
    pub code: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// `need`, `integrity` or `data`.
    pub polarity: String,
    /// Points, or where the bands are stated.
    pub default_points: String,
}

/// A checked catalogue.
#[derive(Debug)]
pub struct Catalogue {
    version: String,
    departments: Vec<Department>,
    items: Vec<Item>,
    item_index: HashMap<String, usize>,
    tables: Vec<Arc<CodeTable>>,
    table_index: HashMap<String, usize>,
    signals: Vec<AlertSignal>,
}

static EMBEDDED: LazyLock<Result<Catalogue, CatalogueError>> =
    LazyLock::new(|| files::embedded().and_then(|files| Catalogue::from_files(&files)));

impl Catalogue {
    /// The catalogue that this build carries.
    pub fn embedded() -> &'static Self {
        Self::try_embedded().expect("the embedded catalogue is loaded by this crate's tests")
    }

    /// The same, for a command that reports what is wrong with it.
    pub fn try_embedded() -> Result<&'static Self, &'static CatalogueError> {
        EMBEDDED.as_ref()
    }

    /// Reads a catalogue from a folder.
    ///
    /// # Errors
    /// [`CatalogueError::Unreadable`] and [`CatalogueError::Broken`].
    pub fn load_dir(folder: &Path) -> Result<Self, CatalogueError> {
        files::from_folder(folder).and_then(|files| Self::from_files(&files))
    }

    fn from_files(files: &files::Files) -> Result<Self, CatalogueError> {
        let mut mistakes = Vec::new();
        let parsed = raw::parse(files, &mut mistakes);
        let loaded = parsed.and_then(|parsed| {
            rules::check(&parsed, &mut mistakes);
            resolve::resolve(&parsed, &mut mistakes)
        });
        mistakes.sort();
        mistakes.dedup();
        match loaded {
            Some(catalogue) if mistakes.is_empty() => Ok(catalogue),
            _ => Err(CatalogueError::Broken { mistakes }),
        }
    }

    /// Version of the catalogue, for example `1.0.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The departments, in catalogue order.
    pub fn departments(&self) -> &[Department] {
        &self.departments
    }

    /// The department of that code.
    pub fn department(&self, code: &str) -> Option<&Department> {
        self.departments.iter().find(|d| d.code == code)
    }

    /// The items, by number.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item of that code.
    pub fn item(&self, code: &str) -> Option<&Item> {
        self.item_index.get(code).and_then(|at| self.items.get(*at))
    }

    /// The code tables, by id.
    pub fn code_tables(&self) -> &[Arc<CodeTable>] {
        &self.tables
    }

    /// The code table of that id.
    pub fn code_table(&self, id: &str) -> Option<&Arc<CodeTable>> {
        self.table_index.get(id).and_then(|at| self.tables.get(*at))
    }

    /// The alert signals, in catalogue order.
    pub fn alert_signals(&self) -> &[AlertSignal] {
        &self.signals
    }

    /// What the catalogue holds: `17 departments, 23 classes, 73 items, 953 fields`.
    pub fn summary(&self) -> Summary {
        Summary {
            departments: self.departments.len(),
            classes: self.departments.iter().map(|d| d.classes.len()).sum(),
            items: self.items.len(),
            fields: self.items.iter().map(|i| i.fields.len()).sum(),
        }
    }
}
