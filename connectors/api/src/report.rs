//! What a run leaves for people and for comparison with the truth.
//!
//! Per item one file of run-length coded outcomes, columns `file,sheet,first_row,last_row,outcome,reason,column`, rows as
//! physical numbers; and per department a return sheet (回执单): the quarantined rows with location, column, reason and fix,
//! for the people who correct them. Neither holds a value (`CON-5`). Both are streamed from the [`crate::journal`], so
//! a report of ten million rows costs no memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use minqiao_core::Outcome;
use serde::{Deserialize, Serialize};

use crate::journal::{self, OutcomeRun};
use crate::source::Refusal;

/// Rows by what became of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// New to the hub.
    pub accepted: u64,
    /// Known to the hub.
    pub duplicate: u64,
    /// Refused.
    pub quarantined: u64,
    /// Refused rows by first reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_reason: BTreeMap<String, u64>,
}

impl Counts {
    /// Adds other counts.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.accepted += other.accepted;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        for (reason, count) in &other.by_reason {
            *self.by_reason.entry(reason.clone()).or_default() += count;
        }
    }

    /// Adds `rows` rows of one outcome.
    pub(crate) fn count(&mut self, outcome: Outcome, rows: u64, reason: Option<&str>) {
        self.rows += rows;
        match outcome {
            Outcome::Accepted => self.accepted += rows,
            Outcome::Duplicate => self.duplicate += rows,
            Outcome::Quarantined => {
                self.quarantined += rows;
                *self.by_reason.entry(reason.unwrap_or("internal").to_owned()).or_default() += rows;
            }
        }
    }

    /// One line for a person.
    pub fn line(&self) -> String {
        format!(
            "{} rows  {} accepted  {} duplicate  {} quarantined",
            self.rows, self.accepted, self.duplicate, self.quarantined
        )
    }
}

/// What became of one file for one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// Name below the department's directory.
    pub file: String,
    /// Sheet; empty for text files.
    pub sheet: String,
    /// Rows.
    pub counts: Counts,
    /// Why the file, or its rest, was refused as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refusal>,
    /// Read to its end, in this run or an earlier one.
    pub done: bool,
    /// Where its outcomes are.
    #[serde(skip)]
    pub journal: Option<PathBuf>,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemReport {
    /// Item code.
    pub item: String,
    /// All its rows.
    pub counts: Counts,
    /// Its files, by name.
    pub files: Vec<FileReport>,
    /// Why the item stopped before all files were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl ItemReport {
    /// Streams the outcomes of all files in order, run-length coded.
    pub fn outcomes(&self) -> impl Iterator<Item = io::Result<(&FileReport, OutcomeRun)>> {
        self.files.iter().flat_map(|file| {
            let runs = file.journal.as_deref().map(journal::read).into_iter().flatten();
            runs.map(move |run| run.map(|run| (file, run)))
        })
    }
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunReport {
    /// Department code.
    pub department: String,
    /// Its Chinese name.
    pub name_zh: String,
    /// As the hub knows the connector.
    pub provider: String,
    /// All rows of all items.
    pub counts: Counts,
    /// Items in the order of the department's `connector.yaml`.
    pub items: Vec<ItemReport>,
    /// Stopped by request before everything was sent.
    pub interrupted: bool,
    /// Time of this run.
    pub elapsed: Duration,
}

impl RunReport {
    /// True when every file was read to its end and nothing was refused as a whole.
    pub fn is_complete(&self) -> bool {
        let whole =
            |item: &ItemReport| item.failed.is_none() && item.files.iter().all(|f| f.done && f.refused.is_none());
        !self.interrupted && self.items.iter().all(whole)
    }

    /// Writes `DIR/<item>.csv` for every item: run-length coded outcomes in the form of the truth files.
    pub fn write_outcomes(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        for item in &self.items {
            let mut to = BufWriter::new(File::create(directory.join(format!("{}.csv", item.item)))?);
            writeln!(to, "file,sheet,first_row,last_row,outcome,reason,column")?;
            for run in item.outcomes() {
                let (file, run) = run?;
                let reason = run.reasons.first();
                write_record(
                    &mut to,
                    &[
                        &file.file,
                        &file.sheet,
                        &run.first.to_string(),
                        &run.last.to_string(),
                        outcome_word(run.outcome),
                        reason.map_or("", |r| &r.code),
                        reason.and_then(|r| r.column.as_deref()).unwrap_or(""),
                    ],
                )?;
            }
            to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        Ok(())
    }

    /// Writes the department's return sheet (回执单): UTF-8 with byte order mark, so that Excel opens it as it is.
    pub fn write_return_sheet(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut to = BufWriter::new(File::create(file)?);
        to.write_all("\u{feff}".as_bytes())?;
        write_record(
            &mut to,
            &["信息项", "文件", "工作表", "起始行", "终止行", "列", "原因代码", "问题与处理办法", "Problem and fix"],
        )?;
        for item in &self.items {
            for file in item.files.iter() {
                if let Some(refused) = &file.refused {
                    let Refusal { code, message_zh, message_en } = refused;
                    let row = [&item.item, &file.file, &file.sheet, "", "", "", code, message_zh, message_en];
                    write_record(&mut to, &row)?;
                }
            }
            for run in item.outcomes() {
                let (file, run) = run?;
                for reason in &run.reasons {
                    let row: [&str; 9] = [
                        &item.item,
                        &file.file,
                        &file.sheet,
                        &run.first.to_string(),
                        &run.last.to_string(),
                        reason.column.as_deref().unwrap_or(""),
                        &reason.code,
                        &reason.message_zh,
                        &reason.message_en,
                    ];
                    write_record(&mut to, &row)?;
                }
            }
        }
        to.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// The word for an outcome in reports.
pub fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Duplicate => "duplicate",
        Outcome::Quarantined => "quarantined",
    }
}

/// One CSV record. A cell that a spreadsheet would take for a formula gets an apostrophe in front.
fn write_record(to: &mut impl Write, cells: &[&str]) -> io::Result<()> {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        let guard = if cell.starts_with(['=', '+', '-', '@', '\t']) { "'" } else { "" };
        if cell.contains([',', '"', '\n', '\r']) {
            write!(to, "\"{guard}{}\"", cell.replace('"', "\"\""))?;
        } else {
            write!(to, "{guard}{cell}")?;
        }
    }
    to.write_all(b"\n")
}
