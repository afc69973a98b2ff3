//! One consistent picture of an item, and which files answer which question.
//!
//! The tail is what `current` does not contain yet: the files of `changes` newer than the least fold position of its
//! buckets. Folding is idempotent, so a file too many in the tail costs time, never correctness (LAKE-6).

use std::path::PathBuf;
use std::sync::Arc;

use minqiao_core::Timestamp;
use tokio::runtime::Handle;

use crate::files::FilePlace;
use crate::layout::ItemLayout;
use crate::table::{DataFile, Table, TableState};

/// The two tables of an item.
#[derive(Debug)]
pub(crate) struct ItemTables {
    pub(crate) layout: Arc<ItemLayout>,
    pub(crate) changes: Table,
    pub(crate) current: Table,
    /// Directories of both, when they are local.
    pub(crate) directories: Option<(PathBuf, PathBuf)>,
    pub(crate) runtime: Handle,
}

/// Files to read and how.
#[derive(Debug, Clone)]
pub(crate) struct ReadSet {
    pub(crate) files: Vec<FilePlace>,
    /// True when every row of the files is an answer, but for deletes: no versions to compare, no moment to look at.
    pub(crate) plain: bool,
    /// Rows of the files are deletes, which are no answer.
    pub(crate) deletes: bool,
    /// Only rows received at this moment or before.
    pub(crate) received_max: Option<i64>,
}

/// A picture of an item; holding it keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub(crate) tables: Arc<ItemTables>,
    pub(crate) changes: Arc<TableState>,
    pub(crate) current: Arc<TableState>,
}

impl Picture {
    /// The newest. `current` is looked at first: then `changes` is never older than what was folded from it.
    pub(crate) fn take(tables: &Arc<ItemTables>) -> Self {
        let current = tables.current.state();
        let changes = tables.changes.state();
        Self { tables: Arc::clone(tables), changes, current }
    }

    /// Version of `changes` up to which all buckets are folded.
    pub(crate) fn folded(&self) -> i64 {
        self.current.files.values().map(|file| file.folded).min().unwrap_or(-1)
    }

    /// Files of `changes` that are not folded everywhere.
    pub(crate) fn tail(&self) -> Vec<Arc<DataFile>> {
        let folded = self.folded();
        self.changes.files.values().filter(|file| file.since > folded).cloned().collect()
    }

    /// What answers `current`.
    pub(crate) fn read_current(&self) -> ReadSet {
        let tail = self.tail();
        let deletes: u64 = self.current.files.values().map(|file| file.deletes).sum();
        let plain = tail.is_empty();
        let current = self.current.files.values().filter(|file| file.rows > 0).cloned().map(|f| self.place_current(f));
        let files = current.chain(tail.into_iter().map(|file| self.place_changes(file))).collect();
        ReadSet { files, plain, deletes: deletes > 0, received_max: None }
    }

    /// What answers the state at a moment. When nothing was received later it is the current state; the greatest
    /// version of a key is also the greatest of any set that holds it.
    pub(crate) fn read_as_of(&self, at: Timestamp) -> ReadSet {
        let current = self.read_current();
        if current.files.iter().all(|place| place.file.received.1 <= at.0) {
            return current;
        }
        let files = self.changes.files.values().filter(|file| file.received.0 <= at.0);
        ReadSet {
            files: files.cloned().map(|file| self.place_changes(file)).collect(),
            plain: false,
            deletes: true,
            received_max: Some(at.0),
        }
    }

    /// Every version.
    pub(crate) fn read_changes(&self) -> ReadSet {
        let files = self.changes.files.values().cloned().map(|file| self.place_changes(file)).collect();
        ReadSet { files, plain: true, deletes: false, received_max: None }
    }

    pub(crate) fn place_changes(&self, file: Arc<DataFile>) -> FilePlace {
        let directory = self.tables.directories.as_ref().map(|(changes, _)| changes);
        FilePlace::new(&self.tables.changes, directory, file, self.tables.runtime.clone())
    }

    pub(crate) fn place_current(&self, file: Arc<DataFile>) -> FilePlace {
        let directory = self.tables.directories.as_ref().map(|(_, current)| current);
        FilePlace::new(&self.tables.current, directory, file, self.tables.runtime.clone())
    }
}
