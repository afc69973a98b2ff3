//! What survives an interruption: how far each file has been answered by the hub.
//!
//! One JSON file per connector, replaced as a whole (written aside, fsync, rename, fsync of the folder), so that it is either
//! the old state or the new one. It is written after receipts only (`CON-4`) and may lag behind them: what is sent again is
//! answered by the same receipt. Journals are made durable before the checkpoint that counts on them.
//!
//! ```text
//! DIR/checkpoint.json      this file
//! DIR/journal/<item>-<file digest>.jsonl
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sm3::{Digest, Sm3};

use crate::journal::OutcomeRun;
use crate::report::Counts;
use crate::source::{Position, Refusal};

const VERSION: u32 = 1;

/// Progress of one file for one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileState {
    /// Size when it was read.
    pub bytes: u64,
    /// Modification time, milliseconds since the epoch.
    pub modified_millis: i64,
    /// Digest of what identifies its content.
    pub content_id: String,
    /// Digest of the mapping that it was read with.
    pub mapping: String,
    /// Rows per piece that it was cut with.
    pub piece_rows: usize,
    /// Name of the sheet.
    pub sheet: String,
    /// Where reading goes on.
    pub position: Position,
    /// Valid bytes of its journal.
    pub journal_bytes: u64,
    /// Run of outcomes that is not yet in the journal.
    #[serde(default)]
    pub open_run: Option<OutcomeRun>,
    /// Rows so far.
    pub counts: Counts,
    /// Nothing is left to read.
    pub done: bool,
    /// Refused as a whole, or from here on.
    #[serde(default)]
    pub refused: Option<Refusal>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    provider: String,
    /// Item → file → state.
    items: BTreeMap<String, BTreeMap<String, FileState>>,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing failed.
    #[error("cannot access checkpoint `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no checkpoint of this version, or somebody else's.
    #[error("`{}` is no checkpoint of `{provider}` in this version; move it away to start over", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Who we are.
        provider: String,
    },
}

/// The checkpoint of one connector.
#[derive(Debug)]
pub struct Checkpoint {
    folder: PathBuf,
    stored: Stored,
}

impl Checkpoint {
    /// Opens or begins the checkpoint in `folder`.
    pub fn open(folder: &Path, provider: &str) -> Result<Self, CheckpointError> {
        let path = folder.join("checkpoint.json");
        let fail = |source| CheckpointError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let stored = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<Stored>(&bytes)
                .ok()
                .filter(|stored| stored.version == VERSION && stored.provider == provider)
                .ok_or_else(|| CheckpointError::Foreign { path: path.clone(), provider: provider.to_owned() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Stored { version: VERSION, provider: provider.to_owned(), items: BTreeMap::new() }
            }
            Err(error) => return Err(fail(error)),
        };
        Ok(Self { folder: folder.to_owned(), stored })
    }

    /// State of a file.
    pub fn get(&self, item: &str, file: &str) -> Option<&FileState> {
        self.stored.items.get(item)?.get(file)
    }

    /// Sets the state of a file, in memory.
    pub fn set(&mut self, item: &str, file: &str, state: FileState) {
        self.stored.items.entry(item.to_owned()).or_default().insert(file.to_owned(), state);
    }

    /// Where a file's outcomes are.
    pub fn journal_path(&self, item: &str, file: &str) -> PathBuf {
        let digest = hex::encode(&Sm3::digest(file.as_bytes())[..8]);
        self.folder.join("journal").join(format!("{item}-{digest}.jsonl"))
    }

    /// Makes the state durable. Journals must have been synced before.
    pub fn save(&self) -> Result<(), CheckpointError> {
        let path = self.folder.join("checkpoint.json");
        replace(&path, &self.stored).map_err(|source| CheckpointError::Io { path, source })
    }
}

fn replace(path: &Path, stored: &Stored) -> io::Result<()> {
    let aside = path.with_extension("json.new");
    let mut file = File::create(&aside)?;
    file.write_all(&serde_json::to_vec(stored)?)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
