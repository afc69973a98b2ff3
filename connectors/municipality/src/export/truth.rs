//! The truth per exported row, run-length coded: `truth/rows/<item>.csv`.
//!
//! ```text
//! file,sheet,first_row,last_row,outcome,reason,column
//! 低保家庭_20260630.csv,,2,871,accepted,,
//! 低保家庭_20260630.csv,,872,872,quarantined,missing_required,户主姓名
//! ```
//!
//! Rows are physical: lines of a text file, rows of a sheet, from 1, titles and headers counted. Lines of one file are
//! in order and touch; files of one item interleave.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::errors::Outcome;

/// What becomes of a row, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate<'a> {
    pub(super) outcome: Outcome,
    pub(super) reason: &'static str,
    pub(super) column: &'a str,
}

/// The run that one file is in.
#[derive(Debug, Default)]
pub(super) struct Run {
    open: Option<(u32, u32, Outcome, &'static str, String)>,
}

/// The truth of one item.
#[derive(Debug)]
pub(super) struct TruthFile {
    out: BufWriter<File>,
}

impl TruthFile {
    pub(super) fn create(path: &Path) -> io::Result<TruthFile> {
        let mut out = BufWriter::new(File::create(path)?);
        out.write_all(b"file,sheet,first_row,last_row,outcome,reason,column\n")?;
        Ok(TruthFile { out })
    }

    /// Adds `count` rows from `first` on, all of one fate.
    pub(super) fn add(
        &mut self,
        run: &mut Run,
        name: (&str, &str),
        first: u32,
        count: u32,
        fate: Fate<'_>,
    ) -> io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let last = first + count - 1;
        if let Some((_, end, outcome, reason, column)) = &mut run.open
            && (*outcome, *reason, column.as_str()) == (fate.outcome, fate.reason, fate.column)
            && *end + 1 == first
        {
            *end = last;
            return Ok(());
        }
        self.end(run, name)?;
        run.open = Some((first, last, fate.outcome, fate.reason, fate.column.to_owned()));
        Ok(())
    }

    /// Writes the file's last run.
    pub(super) fn end(&mut self, run: &mut Run, (file, sheet): (&str, &str)) -> io::Result<()> {
        let Some((first, last, outcome, reason, column)) = run.open.take() else { return Ok(()) };
        let (file, sheet, column) = (quoted(file), quoted(sheet), quoted(&column));
        writeln!(self.out, "{file},{sheet},{first},{last},{},{reason},{column}", outcome.as_str())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}
