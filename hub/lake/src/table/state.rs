//! What a version of a table is made of, and how it is written in the log's actions.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add, Remove};

const TAG_RECEIVED_MIN: &str = "minqiao.received_min";
const TAG_RECEIVED_MAX: &str = "minqiao.received_max";
const TAG_DELETES: &str = "minqiao.deletes";
const TAG_FOLDED: &str = "minqiao.folded";

/// A live data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Relative to the table, not encoded.
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    /// Rows with `_op` = delete.
    pub(crate) deletes: u64,
    /// Least and greatest `_received_at`, milliseconds.
    pub(crate) received: (i64, i64),
    /// Value of the partition column.
    pub(crate) partition: String,
    /// Version of the table whose commit brought the newest of these rows.
    pub(crate) since: i64,
    /// For files of `current`: version of `changes` up to which they are folded.
    pub(crate) folded: i64,
    /// When the file was written, milliseconds.
    pub(crate) written_at: i64,
}

impl DataFile {
    pub(super) fn of_add(add: &Add, partition: &str, since: i64) -> Self {
        let tag = |name: &str| add.tags.as_ref().and_then(|tags| tags.get(name)?.as_ref()?.parse::<i64>().ok());
        let rows = add
            .stats
            .as_ref()
            .and_then(|stats| serde_json::from_str::<serde_json::Value>(stats).ok()?.get("numRecords")?.as_u64());
        Self {
            path: add.path.clone(),
            bytes: u64::try_from(add.size).unwrap_or_default(),
            rows: rows.unwrap_or_default(),
            deletes: tag(TAG_DELETES).and_then(|n| u64::try_from(n).ok()).unwrap_or(1),
            received: (tag(TAG_RECEIVED_MIN).unwrap_or(i64::MIN), tag(TAG_RECEIVED_MAX).unwrap_or(i64::MAX)),
            partition: add.partition_values.get(partition).cloned().flatten().unwrap_or_default(),
            since,
            folded: tag(TAG_FOLDED).unwrap_or(-1),
            written_at: add.modification_time,
        }
    }

    /// The log's action for a new file.
    pub(crate) fn add(&self, partition: &str, data_change: bool) -> Action {
        let tags = [
            (TAG_RECEIVED_MIN, self.received.0),
            (TAG_RECEIVED_MAX, self.received.1),
            (TAG_DELETES, i64::try_from(self.deletes).unwrap_or(i64::MAX)),
            (TAG_FOLDED, self.folded),
        ];
        Action::Add(Add {
            path: self.path.clone(),
            partition_values: HashMap::from([(partition.to_owned(), Some(self.partition.clone()))]),
            size: i64::try_from(self.bytes).unwrap_or(i64::MAX),
            modification_time: self.written_at,
            data_change,
            stats: Some(format!("{{\"numRecords\":{}}}", self.rows)),
            tags: Some(tags.into_iter().map(|(name, value)| (name.to_owned(), Some(value.to_string()))).collect()),
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        })
    }

    /// The log's action for a file that goes.
    pub(crate) fn remove(&self, partition: &str, data_change: bool, now: i64) -> Action {
        Action::Remove(Remove {
            path: self.path.clone(),
            data_change,
            deletion_timestamp: Some(now),
            extended_file_metadata: Some(true),
            partition_values: Some(HashMap::from([(partition.to_owned(), Some(self.partition.clone()))])),
            size: i64::try_from(self.bytes).ok(),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
        })
    }
}

/// A version of a table. Version −1 is a table that does not exist yet.
#[derive(Debug, Clone)]
pub(crate) struct TableState {
    pub(crate) version: i64,
    /// By path.
    pub(crate) files: BTreeMap<String, Arc<DataFile>>,
    /// Application transactions that were looked up or seen.
    pub(crate) transactions: HashMap<String, i64>,
}

impl TableState {
    pub(super) fn absent() -> Self {
        Self { version: -1, files: BTreeMap::new(), transactions: HashMap::new() }
    }

    /// Applies the actions of the next version. Files that the state does not know are as new as `floor`.
    pub(super) fn apply(&mut self, version: i64, actions: &[Action], partition: &str, floor: i64) {
        // A compaction brings no rows: its files are as new as the newest file they replace.
        let removed = actions.iter().filter_map(|action| match action {
            Action::Remove(remove) => Some(self.files.get(&remove.path).map_or(floor, |file| file.since)),
            _ => None,
        });
        let replaced = removed.max();
        for action in actions {
            match action {
                Action::Add(add) => {
                    let since = if add.data_change { version } else { replaced.unwrap_or(version) };
                    self.files.insert(add.path.clone(), Arc::new(DataFile::of_add(add, partition, since)));
                }
                Action::Txn(txn) => {
                    self.transactions.insert(txn.app_id.clone(), txn.version);
                }
                _ => {}
            }
        }
        for action in actions {
            if let Action::Remove(remove) = action {
                self.files.remove(&remove.path);
            }
        }
        self.version = version;
    }
}

/// A commit to make.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) added: Vec<DataFile>,
    pub(crate) removed: Vec<Arc<DataFile>>,
    /// Application transaction, what it must stand at now, what it stands at afterwards.
    pub(crate) transactions: Vec<(String, Option<i64>, i64)>,
    /// False for compactions of `changes`.
    pub(crate) data_change: bool,
    /// Milliseconds.
    pub(crate) now: i64,
}
