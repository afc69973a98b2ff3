//! One Delta table: its log, the files that are live, the commits.
//!
//! The transaction log's form, its checkpoints and its put-if-absent are deltalake's; this module adds what the hub
//! needs above them. [`TableState`] is an immutable picture of one version: a reader takes an `Arc` of it and keeps its
//! files, because a file is deleted only when no picture holds it (LAKE-5). For every file it knows the version that
//! brought its rows (`since`), which survives compaction: what is newer than a fold position is the tail.
//!
//! A commit is the next version's entry, put if absent. Who comes second reads what the first one committed and may
//! take the next version only if its application transactions stand where they stood and the files it replaces are
//! still live; deltalake's own commit loop checks the same but replays the log after each commit, which costs 10 ms of
//! processor time against 1. A commit whose outcome is unknown is looked up in the log: if the log names one of its
//! files it happened, if not it did not, and only then may the caller try again (LAKE-2).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::transaction::{CommitData, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, Remove, StructField, Transaction};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore, get_actions};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::table::state::DeltaTableState;
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::path::Path as StorePath;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::{Mutex, RwLock};
use url::Url;
use uuid::Uuid;

use crate::LakeError;
use crate::options::Location;

/// Commits between checkpoints of the log.
const CHECKPOINT_EVERY: i64 = 64;
/// How often a commit makes room for others before it is given up.
const COMMIT_ATTEMPTS: usize = 32;

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
    fn of_add(add: &Add, partition: &str, since: i64) -> Self {
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
    fn absent() -> Self {
        Self { version: -1, files: BTreeMap::new(), transactions: HashMap::new() }
    }

    /// Applies the actions of the next version. Files that the state does not know are as new as `floor`.
    fn apply(&mut self, version: i64, actions: &[Action], partition: &str, floor: i64) {
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

/// See the module.
pub(crate) struct Table {
    /// e.g. `changes/bank_deposit`.
    pub(crate) name: String,
    partition: &'static str,
    columns: Vec<StructField>,
    log: LogStoreRef,
    store: Arc<dyn ObjectStore>,
    /// Of the table in the lake's store.
    prefix: StorePath,
    /// Where commits lie when they must be made durable by hand.
    log_directory: Option<PathBuf>,
    state: RwLock<Arc<TableState>>,
    /// Files that are being written or wait for their commit.
    in_flight: Mutex<HashSet<String>>,
    /// Files that the newest state no longer names, with the time they were first found idle.
    retired: Mutex<Vec<(Arc<DataFile>, Option<Duration>)>>,
    /// Also serialises commits.
    engine: tokio::sync::Mutex<Engine>,
}

/// deltalake's side of the table.
#[derive(Default)]
struct Engine {
    /// Its picture of the version that was there when the table was opened: the table's properties, and application
    /// transactions that nobody moved since.
    base: Option<DeltaTableState>,
    /// The outcome of the last commit is unknown: the log must be read before the next one.
    unsure: bool,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).field("version", &self.state().version).finish()
    }
}

impl Table {
    /// The table at `name` below the location; does not touch storage.
    pub(crate) fn new(
        location: &Location,
        name: String,
        partition: &'static str,
        columns: Vec<StructField>,
        sync: bool,
    ) -> Result<Self, LakeError> {
        let url = Url::parse(&format!("{}{name}/", location.url)).map_err(|e| LakeError::Location(Box::new(e)))?;
        let prefix = StorePath::from_url_path(url.path()).map_err(|e| LakeError::Location(Box::new(e)))?;
        let prefixed: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(Arc::clone(&location.store), prefix.clone()));
        let log = default_logstore(Arc::clone(&prefixed), Arc::clone(&location.store), &url, &StorageConfig::default());
        let log_directory =
            location.directory.as_ref().filter(|_| sync).map(|directory| directory.join(&name).join("_delta_log"));
        Ok(Self {
            name,
            partition,
            columns,
            log,
            store: prefixed,
            prefix,
            log_directory,
            state: RwLock::new(Arc::new(TableState::absent())),
            in_flight: Mutex::default(),
            retired: Mutex::default(),
            engine: tokio::sync::Mutex::default(),
        })
    }

    /// The newest version this process knows.
    pub(crate) fn state(&self) -> Arc<TableState> {
        Arc::clone(&self.state.read())
    }

    /// The store, rooted at the table.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where the table lies in the lake's store.
    pub(crate) fn prefix(&self) -> &StorePath {
        &self.prefix
    }

    /// Reads the table from storage, if it exists. `folded` is the version whose rows are known to be old: files of
    /// it need no exact `since`.
    pub(crate) async fn load(&self, folded: i64) -> Result<(), LakeError> {
        let mut engine = self.engine.lock().await;
        if !self.log.is_delta_table_location().await.map_err(|e| self.failed(e))? {
            return Ok(());
        }
        let snapshot = DeltaTableState::try_new(self.log.as_ref(), None).await.map_err(|e| self.failed(e))?;
        let latest = signed(snapshot.version());
        let mut recent = TableState { version: folded, ..TableState::absent() };
        let mut complete = true;
        for version in (folded + 1)..=latest {
            match self.actions_of(version).await? {
                Some(actions) => recent.apply(version, &actions, self.partition, folded),
                None => complete = false,
            }
        }
        let mut state = TableState { version: latest, ..recent };
        let known = std::mem::take(&mut state.files);
        for view in snapshot.log_data().iter() {
            #[expect(deprecated, reason = "the only way to an action's tags without the engine's own readers")]
            let add = view.add_action();
            // Without the whole log since the fold a file's age is unknown; newest is safe, it is merged once more.
            let unknown = if complete { folded } else { latest };
            let since = known.get(&add.path).map_or(unknown, |file| file.since);
            state.files.insert(add.path.clone(), Arc::new(DataFile::of_add(&add, self.partition, since)));
        }
        *self.state.write() = Arc::new(state);
        engine.base = Some(snapshot);
        Ok(())
    }

    /// Brings in what other processes committed. Answers true when there was something.
    pub(crate) async fn refresh(&self) -> Result<bool, LakeError> {
        let mut engine = self.engine.lock().await;
        self.refresh_locked(&mut engine).await
    }

    async fn refresh_locked(&self, engine: &mut Engine) -> Result<bool, LakeError> {
        let before = self.state();
        let mut next = TableState::clone(&before);
        // Asking for the next entry is cheaper than listing the log. Entries are kept for weeks behind a checkpoint, a
        // process that runs is never that far behind.
        while let Some(actions) = self.actions_of(next.version + 1).await? {
            let version = next.version + 1;
            if version > 0 && actions.iter().any(|action| matches!(action, Action::Protocol(_) | Action::Metadata(_))) {
                return Err(self.damaged("its schema or protocol was changed by somebody else"));
            }
            next.apply(version, &actions, self.partition, version);
        }
        if next.version < 0 {
            return Ok(false);
        }
        if engine.base.is_none() {
            let made = DeltaTableState::try_new(self.log.as_ref(), None).await;
            engine.base = Some(made.map_err(|e| self.failed(e))?);
        }
        let moved = next.version > before.version;
        if moved {
            self.publish(&before, next);
        }
        Ok(moved)
    }

    fn publish(&self, before: &TableState, next: TableState) {
        let gone = before.files.iter().filter(|(path, _)| !next.files.contains_key(*path));
        self.retired.lock().extend(gone.map(|(_, file)| (Arc::clone(file), None)));
        *self.state.write() = Arc::new(next);
    }

    /// Keeps a file that no commit names yet from being taken for an orphan.
    pub(crate) fn begin_file(&self, path: &str) {
        self.in_flight.lock().insert(path.to_owned());
    }

    /// The file was committed or given up.
    pub(crate) fn end_file(&self, path: &str) {
        self.in_flight.lock().remove(path);
    }

    /// Deletes files that left the table at least `retention` ago and that no picture holds. Answers their paths.
    pub(crate) async fn delete_retired(&self, now: Duration, retention: Duration) -> Result<Vec<String>, LakeError> {
        let due: Vec<Arc<DataFile>> = {
            let mut retired = self.retired.lock();
            let ripe = |file: &Arc<DataFile>, since: &mut Option<Duration>| {
                // This list holds one count; whoever else holds one may still read.
                let idle = Arc::strong_count(file) == 1;
                now.saturating_sub(*since.get_or_insert(now)) >= retention && idle
            };
            let (due, rest) = std::mem::take(&mut *retired).into_iter().partition::<Vec<_>, _>(|(file, since)| {
                let mut since = *since;
                ripe(file, &mut since)
            });
            *retired = rest.into_iter().map(|(file, since)| (file, since.or(Some(now)))).collect();
            due.into_iter().map(|(file, _)| file).collect()
        };
        let mut deleted = Vec::with_capacity(due.len());
        for file in due {
            self.delete(&file.path).await?;
            deleted.push(file.path.clone());
        }
        Ok(deleted)
    }

    /// Forgets files that left the table so long ago that the process which writes it has deleted them.
    pub(crate) fn forget_retired(&self, now: Duration, retention: Duration) {
        self.retired.lock().retain_mut(|(_, since)| now.saturating_sub(*since.get_or_insert(now)) < retention * 2);
    }

    /// Deletes data files of at least this age that no version names and nobody writes here: what a crash between
    /// writing and committing left. Answers how many.
    pub(crate) async fn delete_orphans(&self, age: Duration) -> Result<usize, LakeError> {
        use futures::TryStreamExt;
        let found: Vec<object_store::ObjectMeta> = self.store.list(None).try_collect().await?;
        self.refresh().await?;
        // Ages are differences of the store's own times: this machine's clock may be wrong by days.
        let newest = found.iter().map(|meta| meta.last_modified).max().unwrap_or_default();
        let mut deleted = 0;
        for meta in found {
            let path = meta.location.to_string();
            let known = self.state().files.contains_key(&path)
                || self.in_flight.lock().contains(&path)
                || self.retired.lock().iter().any(|(file, _)| file.path == path);
            if path.ends_with(".parquet")
                && !path.starts_with("_delta_log")
                && !known
                && meta.last_modified + age <= newest
            {
                self.delete(&path).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes commits and checkpoints before the newest checkpoint that is older than `before`.
    pub(crate) async fn clean_log(&self, before: chrono::DateTime<chrono::Utc>) -> Result<(), LakeError> {
        let Ok(version) = u64::try_from(self.state().version) else { return Ok(()) };
        cleanup_expired_logs_for(version, self.log.as_ref(), before.timestamp_millis(), None)
            .await
            .map(|_| ())
            .map_err(|e| self.failed(e))
    }

    async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.store.delete(&StorePath::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn actions_of(&self, version: i64) -> Result<Option<Vec<Action>>, LakeError> {
        let Ok(version) = u64::try_from(version) else { return Ok(None) };
        match self.log.read_commit_entry(version).await.map_err(|e| self.failed(e))? {
            Some(bytes) => get_actions(version, &bytes).map(Some).map_err(|e| self.failed(e)),
            None => Ok(None),
        }
    }

    /// Version of an application transaction in the newest state.
    pub(crate) async fn transaction(&self, app_id: &str) -> Result<Option<i64>, LakeError> {
        if let Some(version) = self.state().transactions.get(app_id) {
            return Ok(Some(*version));
        }
        let engine = self.engine.lock().await;
        let Some(snapshot) = &engine.base else { return Ok(None) };
        let version = snapshot.transaction_version(self.log.as_ref(), app_id).await.map_err(|e| self.failed(e))?;
        if let Some(version) = version {
            let mut state = self.state.write();
            let mut next = TableState::clone(&state);
            next.transactions.entry(app_id.to_owned()).or_insert(version);
            *state = Arc::new(next);
        }
        Ok(version)
    }

    /// A value of the table's own configuration.
    pub(crate) async fn property(&self, name: &str) -> Option<String> {
        let engine = self.engine.lock().await;
        engine.base.as_ref().and_then(|snapshot| snapshot.metadata().configuration().get(name).cloned())
    }

    /// Makes the table when it does not exist. Two makers are no conflict: the second finds the table of the first.
    pub(crate) async fn ensure(&self, properties: &[(&str, String)]) -> Result<(), LakeError> {
        let mut engine = self.engine.lock().await;
        if engine.base.is_some() {
            return Ok(());
        }
        if !self.log.is_delta_table_location().await.map_err(|e| self.failed(e))? {
            let fixed = [
                ("delta.checkpointInterval", CHECKPOINT_EVERY.to_string()),
                ("delta.dataSkippingNumIndexedCols", "0".to_owned()),
            ];
            let configuration = fixed.into_iter().chain(properties.iter().cloned());
            let created = CreateBuilder::new()
                .with_log_store(Arc::clone(&self.log))
                .with_save_mode(SaveMode::Ignore)
                .with_columns(self.columns.clone())
                .with_partition_columns([self.partition])
                .with_raise_if_key_not_exists(false)
                .with_configuration(configuration.map(|(name, value)| (name.to_owned(), Some(value))))
                // Who loses the race for version 0 must not say the same again as version 1.
                .with_commit_properties(CommitProperties::default().with_max_retries(0))
                .await;
            if let Err(error) = created {
                // Lost the race for version 0, or the answer was lost: what is there decides.
                if !self.log.is_delta_table_location().await.map_err(|e| self.failed(e))? {
                    return Err(self.failed(error));
                }
            }
        }
        self.refresh_locked(&mut engine).await.map(|_| ())
    }

    /// Commits, and shows the new state to readers. [`LakeError::Conflict`] means that nothing happened and that the
    /// caller's reading of the table was overtaken. After any other error the caller may call again with the same
    /// commit, and with no other for these transactions: a commit that happened after all is found, not repeated.
    pub(crate) async fn commit(&self, commit: &Commit) -> Result<Arc<TableState>, LakeError> {
        let mut engine = self.engine.lock().await;
        if engine.base.is_none() {
            return Err(self.damaged("it was never made"));
        }
        if engine.unsure {
            self.refresh_locked(&mut engine).await?;
            engine.unsure = false;
        }
        let transactions: Vec<_> =
            commit.transactions.iter().map(|(id, _, version)| Transaction::new(id, *version)).collect();
        let actions = self.actions(commit);
        let entry =
            CommitData::new(actions.clone(), operation(commit, self.partition), HashMap::new(), transactions.clone());
        let bytes = entry.get_bytes().map_err(|e| self.failed(e.into()))?;
        for _ in 0..COMMIT_ATTEMPTS {
            let before = self.state();
            if commit.added.first().is_some_and(|file| before.files.contains_key(&file.path)) {
                return Ok(before);
            }
            self.check_current(&before, commit)?;
            let version = before.version + 1;
            // Also when this future is dropped before the answer comes.
            engine.unsure = true;
            let entry = CommitOrBytes::LogBytes(bytes.clone());
            match self.log.write_commit_entry(version.unsigned_abs(), entry, Uuid::new_v4()).await {
                Ok(()) => {
                    engine.unsure = false;
                    let mut next = TableState::clone(&before);
                    let all: Vec<_> = actions.into_iter().chain(transactions.into_iter().map(Action::Txn)).collect();
                    next.apply(version, &all, self.partition, version);
                    self.publish(&before, next);
                    self.sync_log(version).await?;
                    self.checkpoint_when_due(version).await;
                    return Ok(self.state());
                }
                Err(TransactionError::VersionAlreadyExists(_)) => {
                    self.refresh_locked(&mut engine).await?;
                    engine.unsure = false;
                }
                Err(error) => return Err(self.failed(error.into())),
            }
        }
        Err(LakeError::Conflict { table: self.name.clone() })
    }

    /// A checkpoint that fails is made later: the log is complete without it.
    async fn checkpoint_when_due(&self, version: i64) {
        if (version + 1) % CHECKPOINT_EVERY != 0 {
            return;
        }
        let mut table = DeltaTable::new(Arc::clone(&self.log));
        let made = match table.load_version(version.unsigned_abs()).await {
            Ok(()) => create_checkpoint(&table, None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            tracing::warn!(table = self.name, error = &error as &dyn std::error::Error, "a checkpoint failed");
        }
    }

    /// A file that is no longer live cannot be replaced, a position that moved cannot be moved again: another one was
    /// faster. Between this look and the commit nobody can come: the entry's version is the next of this state.
    fn check_current(&self, state: &TableState, commit: &Commit) -> Result<(), LakeError> {
        let live = commit.removed.iter().all(|file| state.files.contains_key(&file.path));
        let unmoved = commit.transactions.iter().all(|(id, at, _)| state.transactions.get(id).copied() == *at);
        if live && unmoved { Ok(()) } else { Err(LakeError::Conflict { table: self.name.clone() }) }
    }

    fn actions(&self, commit: &Commit) -> Vec<Action> {
        let removed = commit.removed.iter().map(|file| file.remove(self.partition, commit.data_change, commit.now));
        removed.chain(commit.added.iter().map(|file| file.add(self.partition, commit.data_change))).collect()
    }

    async fn sync_log(&self, version: i64) -> Result<(), LakeError> {
        let Some(directory) = self.log_directory.clone() else { return Ok(()) };
        let commit = directory.join(format!("{version:020}.json"));
        sync_files(vec![commit, directory]).await
    }

    fn failed(&self, source: DeltaTableError) -> LakeError {
        LakeError::Log { table: self.name.clone(), source: Box::new(source) }
    }

    fn damaged(&self, reason: &'static str) -> LakeError {
        LakeError::DamagedTable { table: self.name.clone(), reason }
    }
}

/// Makes files or directories durable.
pub(crate) async fn sync_files(paths: Vec<PathBuf>) -> Result<(), LakeError> {
    let synced =
        tokio::task::spawn_blocking(move || paths.iter().try_for_each(|path| std::fs::File::open(path)?.sync_all()));
    synced.await.map_err(|_| LakeError::Task)?.map_err(|e| LakeError::Location(e.into()))
}

fn operation(commit: &Commit, partition: &str) -> DeltaOperation {
    if commit.data_change {
        DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![partition.to_owned()]),
            predicate: None,
        }
    } else {
        DeltaOperation::Optimize { predicate: None, target_size: 0 }
    }
}

fn signed(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}
