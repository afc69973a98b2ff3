//! The departments' files: canonical rows in, dirty exports and the truth per row out.
//!
//! Formats (`formats/*.yaml`) say how each department writes each item: kind of file, encoding, names of columns, its
//! own codes, forms of dates and amounts. The error list (`formats/errors.yaml`) says what goes wrong and how often.
//! Both are data and know nothing of the connectors' mappings, which describe the same files from the other side.
//!
//! ```text
//! DIR/exports/<department>/<file>      what the department drops
//! DIR/truth/rows/<item>.csv            what must become of every row
//! ```
//!
//! Invariants:
//! - `EXP-1` the same seed, rows and blocks give the same bytes;
//! - `EXP-2` every data row of every file is in exactly one line of the truth;
//! - `EXP-3` no row has two injected errors, and a row that others rest on only harmless ones;
//! - `EXP-4` an error never makes two different rows share a natural key: numbers are damaged into themselves or into
//!   nothing valid;
//! - `EXP-5` memory holds the blocks in flight and one buffer per open file (items × periods ≤ 5, or × counties).
//!
//! In reading order: [`format`](mod@format) (how a department writes), [`errors`] (what goes wrong), `plan` (both, per
//! item), `block` (one block's rows), `text` and `sheet` (rendering), `pen`, `shape`, `dirt` (bytes, dates, damage),
//! `file` and `truth` (disk).

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::NaiveDate;

mod block;
mod dirt;
pub mod errors;
mod file;
pub mod format;
mod pen;
mod plan;
mod shape;
mod sheet;
#[cfg(test)]
mod tests;
mod text;
mod truth;

pub use block::ExportBlock;
use errors::{ErrorKind, Outcome};
use file::OutFile;
use plan::{FileKey, Plan};
use truth::TruthFile;

/// Why exporting failed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A format or the error list is wrong; a mistake in this crate's data.
    #[error("format file `{file}`: {what}")]
    Format {
        /// File under `formats/`.
        file: String,
        /// The mistake.
        what: String,
    },
    /// Writing failed.
    #[error("cannot write the exports")]
    Io(#[from] io::Error),
}

/// What to export where.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    /// Root; `exports/` and `truth/rows/` are made below it.
    pub dir: PathBuf,
    /// Everything random follows from it.
    pub seed: u64,
    /// Name in titles, such as 威海市.
    pub city: String,
    /// Last day the data describe; the data date of files that are not split, and the end of the last period.
    pub last_day: NaiveDate,
    /// Counties (GB/T 2260 code, name) for items with a file per county; at least one.
    pub counties: Vec<(u32, String)>,
}

/// Rows of one item and what must become of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemCount {
    /// Item code.
    pub item: String,
    /// Department code.
    pub department: String,
    /// Files with their data rows, in order of name.
    pub files: Vec<(String, u64)>,
    /// Accepted rows, repaired ones and older versions counted.
    pub accepted: u64,
    /// Rows that are repeated.
    pub duplicate: u64,
    /// Lost rows by reason.
    pub quarantined: BTreeMap<&'static str, u64>,
}

impl ItemCount {
    /// All data rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.accepted + self.duplicate + self.quarantined.values().sum::<u64>()
    }
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportSummary {
    /// In catalogue order.
    pub items: Vec<ItemCount>,
    /// How often each error of the list struck.
    pub injected: BTreeMap<ErrorKind, u64>,
}

/// Writes all files of a city.
#[derive(Debug)]
pub struct DepartmentFiles {
    plan: Arc<Plan>,
    dir: PathBuf,
    items: Vec<ItemFiles>,
    injected: BTreeMap<ErrorKind, u64>,
}

#[derive(Debug)]
struct ItemFiles {
    folder: PathBuf,
    files: BTreeMap<FileKey, OutFile>,
    truth: Option<TruthFile>,
    count: ItemCount,
}

impl DepartmentFiles {
    /// Reads the formats and makes the folders. Files are opened when their first row comes.
    ///
    /// # Errors
    /// A format is wrong, there is no county, or a folder cannot be made.
    pub fn create(options: &ExportOptions) -> Result<DepartmentFiles, ExportError> {
        if options.counties.is_empty() {
            return Err(ExportError::Io(io::Error::new(io::ErrorKind::InvalidInput, "a city has at least one county")));
        }
        let plan = Plan::new(options)?;
        std::fs::create_dir_all(options.dir.join("truth/rows"))?;
        let mut items = Vec::with_capacity(plan.items.len());
        for item in &plan.items {
            let meta = item.format.item;
            let folder = options.dir.join("exports").join(&meta.department);
            std::fs::create_dir_all(&folder)?;
            let count =
                ItemCount { item: meta.code.clone(), department: meta.department.clone(), ..ItemCount::default() };
            items.push(ItemFiles { folder, files: BTreeMap::new(), truth: None, count });
        }
        Ok(DepartmentFiles { plan: Arc::new(plan), dir: options.dir.clone(), items, injected: BTreeMap::new() })
    }

    /// Closes all files. An item without rows gets one file with a header only, as a department with nothing to report
    /// would deliver.
    ///
    /// # Errors
    /// Writing failed.
    pub fn finish(mut self) -> Result<ExportSummary, ExportError> {
        let mut summary = ExportSummary { items: Vec::with_capacity(self.items.len()), injected: self.injected };
        for (files, item) in self.items.iter_mut().zip(&self.plan.items) {
            if files.files.is_empty() {
                let key = self.plan.default_key(&item.format);
                files.files.insert(key, OutFile::open(&files.folder, &self.plan, item, key)?);
            }
            let mut truth = match files.truth.take() {
                Some(truth) => truth,
                None => truth_file(&self.dir, item)?,
            };
            for (_, file) in std::mem::take(&mut files.files) {
                files.count.files.extend(file.parts());
                file.finish(item, &mut truth)?;
            }
            truth.finish()?;
            files.count.files.sort();
            summary.items.push(std::mem::take(&mut files.count));
        }
        Ok(summary)
    }
}

fn truth_file(dir: &std::path::Path, item: &plan::ItemPlan) -> io::Result<TruthFile> {
    TruthFile::create(&dir.join("truth/rows").join(format!("{}.csv", item.format.item.code)))
}

impl crate::row::Exporter for DepartmentFiles {
    type Block = ExportBlock;

    fn open_block(&self, block: u64) -> ExportBlock {
        ExportBlock::new(Arc::clone(&self.plan), block)
    }

    fn append(&mut self, mut block: ExportBlock) -> io::Result<()> {
        block.close()?;
        for (kind, n) in &block.injected {
            *self.injected.entry(*kind).or_default() += *n as u64;
        }
        for ((files, item), lane) in self.items.iter_mut().zip(&self.plan.items).zip(&block.lanes) {
            for out in &lane.outs {
                let truth = match &mut files.truth {
                    Some(truth) => truth,
                    None => files.truth.insert(truth_file(&self.dir, item)?),
                };
                let file = match files.files.entry(out.key) {
                    std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                    std::collections::btree_map::Entry::Vacant(none) => {
                        none.insert(OutFile::open(&files.folder, &self.plan, item, out.key)?)
                    }
                };
                file.append(&self.plan, item, out, truth)?;
                files.count.accepted += u64::from(out.count) - out.marks.len() as u64;
                for mark in &out.marks {
                    match mark.outcome {
                        Outcome::Quarantined => *files.count.quarantined.entry(mark.reason).or_default() += 1,
                        Outcome::Duplicate => files.count.duplicate += 1,
                        Outcome::Accepted => files.count.accepted += 1,
                    }
                }
            }
        }
        Ok(())
    }
}
