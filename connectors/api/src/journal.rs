//! The outcomes of one file's rows, kept on disk while the run goes on.
//!
//! One JSON object a line, each a run of rows with the same outcome and reasons, in row order:
//!
//! ```text
//! {"first":2,"last":8193,"outcome":"accepted"}
//! {"first":8194,"last":8194,"outcome":"quarantined","reasons":[{"code":"invalid_date","column":"发放日期",…}]}
//! ```
//!
//! The journal is append-only; the checkpoint says how many bytes of it are valid, and what stands behind them is cut off
//! when a run resumes. The last run is held back until it ends, so a run-length code never depends on batch
//! boundaries: two interrupted runs leave the same journal as one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use minqiao_core::Outcome;
use serde::{Deserialize, Serialize};

use crate::reason::PlacedReason;

/// Rows with the same outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeRun {
    /// First physical row.
    pub first: u32,
    /// Last physical row.
    pub last: u32,
    /// What became of them.
    pub outcome: Outcome,
    /// Why, for refused rows; the first counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<PlacedReason>,
}

impl OutcomeRun {
    fn goes_on(&self, row: u32, outcome: Outcome, reasons: &[PlacedReason]) -> bool {
        // Refused rows join only when what their report line says is the same: code and column. Their messages name the row.
        let same = |a: &PlacedReason, b: &PlacedReason| a.code == b.code && a.column == b.column;
        outcome == self.outcome
            && Some(row) == self.last.checked_add(1)
            && self.reasons.len() == reasons.len()
            && self.reasons.iter().zip(reasons).all(|(a, b)| same(a, b))
    }
}

/// Appends outcomes of one file.
#[derive(Debug)]
pub struct Journal {
    to: BufWriter<File>,
    bytes: u64,
    open: Option<OutcomeRun>,
}

impl Journal {
    /// Opens a journal of which `bytes` are valid and cuts off the rest; `open` is the run that was held back.
    pub fn open(path: &Path, bytes: u64, open: Option<OutcomeRun>) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        if file.metadata()?.len() < bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal is shorter than its checkpoint says"));
        }
        file.set_len(bytes)?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { to: BufWriter::new(file), bytes, open })
    }

    /// Adds a row; rows come in ascending order.
    pub fn push(&mut self, row: u32, outcome: Outcome, reasons: Vec<PlacedReason>) -> io::Result<()> {
        match &mut self.open {
            Some(open) if open.goes_on(row, outcome, &reasons) => open.last = row,
            _ => {
                let next = OutcomeRun { first: row, last: row, outcome, reasons };
                if let Some(done) = self.open.replace(next) {
                    self.write(&done)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the run that is held back: the file has ended.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.open.take() {
            Some(done) => self.write(&done),
            None => Ok(()),
        }
    }

    /// Makes everything written durable and says what a checkpoint must keep: valid bytes and the run held back.
    pub fn sync(&mut self) -> io::Result<(u64, Option<OutcomeRun>)> {
        self.to.flush()?;
        self.to.get_ref().sync_data()?;
        Ok((self.bytes, self.open.clone()))
    }

    fn write(&mut self, run: &OutcomeRun) -> io::Result<()> {
        let mut line = serde_json::to_vec(run)?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        self.to.write_all(&line)
    }
}

/// Reads a finished journal.
pub fn read(path: &Path) -> impl Iterator<Item = io::Result<OutcomeRun>> + use<> {
    let (lines, failed) = match File::open(path) {
        Ok(file) => (Some(BufReader::with_capacity(64 << 10, file).lines()), None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
        Err(error) => (None, Some(Err(error))),
    };
    let runs = lines.into_iter().flatten().map(|line| serde_json::from_str(&line?).map_err(io::Error::from));
    failed.into_iter().chain(runs)
}
