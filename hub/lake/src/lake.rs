//! The lake as others see it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use deltalake_core::kernel::DataType as DeltaType;
use futures::{StreamExt, TryStreamExt};
use minqiao_bus::{Fence, TopicInfo};
use minqiao_core::{Clock, Timestamp, Token};
use minqiao_schemas::{Catalogue, Item};
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::LakeError;
use crate::files::FileOpener;
use crate::index::PointIndex;
use crate::layout::{BUCKET, INGEST_DATE, ItemLayout};
use crate::lookup::Lookup;
use crate::metrics::Metrics;
use crate::options::{LakeOptions, Location};
use crate::provider::{LakeTable, Question, ScanContext};
use crate::snapshot::{ItemTables, Picture};
use crate::table::Table;
use crate::writer::Position;

/// Tables opened at the same time.
const OPEN_AT_ONCE: usize = 16;

/// See the crate.
pub struct Lake {
    pub(crate) options: LakeOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) items: BTreeMap<String, Arc<ItemTables>>,
    pub(crate) scans: Arc<ScanContext>,
    pub(crate) index: Arc<PointIndex>,
    pub(crate) metrics: Metrics,
    pub(crate) progress: Progress,
    pub(crate) upkeep: crate::compact::Upkeep,
    /// Items that this process writes and keeps up; all while it is alone.
    share: Mutex<Option<BTreeSet<String>>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake").field("items", &self.items.len()).finish_non_exhaustive()
    }
}

/// How far each topic partition is queryable.
#[derive(Debug)]
pub(crate) struct Progress {
    /// First offset that is not committed, by topic and partition.
    next: Mutex<HashMap<(String, u32), u64>>,
    changed: watch::Sender<u64>,
}

impl Progress {
    pub(crate) fn set(&self, topic: &str, partition: u32, next: u64) {
        self.next.lock().insert((topic.to_owned(), partition), next);
    }

    pub(crate) fn committed(&self, topic: &str, partition: u32) -> u64 {
        self.next.lock().get(&(topic.to_owned(), partition)).copied().unwrap_or_default()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn announce(&self) {
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    fn reached(&self, positions: &[Position]) -> bool {
        let next = self.next.lock();
        positions
            .iter()
            .all(|p| p.end == 0 || next.get(&(p.topic.clone(), p.partition)).is_some_and(|next| *next >= p.end))
    }

    pub(crate) async fn wait(&self, positions: &[Position], deadline: Duration) -> Result<(), LakeError> {
        let mut changed = self.changed.subscribe();
        let reached = async {
            while !self.reached(positions) {
                if changed.changed().await.is_err() {
                    break;
                }
            }
        };
        tokio::time::timeout(deadline, reached).await.map_err(|_| LakeError::Deadline { waited: deadline })
    }
}

/// Rows of an item's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowCounts {
    /// Every version.
    pub changes: u64,
    /// Latest versions in `current`, deletes included.
    pub folded: u64,
    /// Versions that are merged in while reading.
    pub tail: u64,
}

impl ItemLayout {
    /// The layout of a catalogue item.
    pub fn of(item: &Item) -> Result<Self, LakeError> {
        let subject = item.subject_field();
        let leads = subject.has_token() && item.natural_key.contains(&subject.name);
        let lead = leads.then(|| subject.token_column());
        Self::new(&item.code, item.no, item.sealed_schema(), lead.as_deref())
    }
}

impl Lake {
    /// The lake of a catalogue in a directory: tables below it, the point index in `index`.
    pub async fn open_local(
        directory: &Path,
        catalogue: &Catalogue,
        options: LakeOptions,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Self>, LakeError> {
        let location = Location::local(directory)?;
        Self::open_at(location, &directory.join("index"), catalogue, options, clock, registry).await
    }

    /// The lake of a catalogue anywhere; `index` is a folder of this machine.
    pub async fn open_at(
        location: Location,
        index: &Path,
        catalogue: &Catalogue,
        options: LakeOptions,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Self>, LakeError> {
        let layouts = catalogue.items().iter().map(ItemLayout::of).collect::<Result<Vec<_>, _>>()?;
        Self::open(location, index, layouts, options, clock, registry).await
    }

    /// Opens the tables that exist; the others are made by the first row that arrives. Must be called on a
    /// multi-threaded runtime. One process at a time may have `index` open.
    pub async fn open(
        location: Location,
        index: &Path,
        layouts: Vec<ItemLayout>,
        options: LakeOptions,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Self>, LakeError> {
        let runtime = Handle::current();
        let mut items = BTreeMap::new();
        for layout in layouts {
            let tables = item_tables(&location, layout, options.sync, runtime.clone())?;
            items.insert(tables.layout.code.clone(), Arc::new(tables));
        }
        futures::stream::iter(items.values().cloned())
            .map(|tables| async move {
                tables.current.load(-1).await?;
                let folded = Picture::take(&tables).folded();
                tables.changes.load(folded).await
            })
            .buffer_unordered(OPEN_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        let engine = RuntimeEnvBuilder::new()
            .with_metadata_cache_limit(options.footer_cache_bytes)
            .build()
            .map_err(|e| LakeError::Location(Box::new(e)))?;
        let footers = engine.cache_manager.get_file_metadata_cache();
        let scans = ScanContext {
            opener: FileOpener::new(options.footer_cache_bytes, options.block_cache_bytes),
            readers: Arc::new(CachedParquetFileReaderFactory::new(Arc::clone(&location.store), footers)),
            latest: crate::latest::Latest::default(),
        };
        let (index, cache_bytes) = (index.to_owned(), options.index_cache_bytes);
        let index = tokio::task::spawn_blocking(move || PointIndex::open(&index, cache_bytes))
            .await
            .map_err(|_| LakeError::Task)??;
        let lake = Arc::new(Self {
            metrics: Metrics::register(registry)?,
            scans: Arc::new(scans),
            index: Arc::new(index),
            progress: Progress { next: Mutex::default(), changed: watch::Sender::new(0) },
            upkeep: crate::compact::Upkeep::new(options.encoders),
            share: Mutex::new(None),
            items,
            options,
            clock,
        });
        lake.catch_up_index().await?;
        lake.items.values().for_each(|tables| lake.show_files(tables));
        Ok(lake)
    }

    /// Sets which items this process writes and keeps up, when several share the lake; `None` is all. Takes effect within
    /// a second. While two processes hold an item for each other's both try, and whoever commits second begins again.
    /// Answers whether it was another share before.
    pub fn set_share(&self, items: Option<BTreeSet<String>>) -> bool {
        let mut share = self.share.lock();
        let changed = *share != items;
        *share = items;
        changed
    }

    /// Whether this process writes the item and keeps it up.
    pub(crate) fn writes(&self, item: &str) -> bool {
        self.share.lock().as_ref().is_none_or(|items| items.contains(item))
    }

    /// Whether other processes write some of the items.
    pub(crate) fn is_shared(&self) -> bool {
        self.share.lock().is_some()
    }

    /// Items in the order of their codes.
    pub fn items(&self) -> impl Iterator<Item = &ItemLayout> {
        self.items.values().map(|tables| tables.layout.as_ref())
    }

    /// Latest versions of an item's rows; every scan sees the newest state.
    pub fn current(&self, item: &str) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider(item, Question::Current)
    }

    /// Rows as they were known at a moment: versions received then or before, the latest of each key, deletes left out.
    pub fn as_of(&self, item: &str, at: Timestamp) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider(item, Question::AsOf(at))
    }

    /// Every version of an item's rows.
    pub fn changes(&self, item: &str) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider(item, Question::Changes)
    }

    fn provider(&self, item: &str, question: Question) -> Result<Arc<dyn TableProvider>, LakeError> {
        let tables = Arc::clone(self.tables(item)?);
        Ok(Arc::new(LakeTable { tables, pinned: None, question, scans: Arc::clone(&self.scans) }))
    }

    /// By partition of a topic, the position that an item's table holds (everything before it is stored, 0 where nothing
    /// is), and the fence there.
    pub async fn reached(&self, item: &str, topic: &TopicInfo) -> Result<Vec<(u64, Fence)>, LakeError> {
        let tables = self.tables(item)?;
        tables.changes.refresh().await?;
        crate::writer::reached(tables, topic).await
    }

    /// One picture of an item for several reads; its files stay while it lives.
    pub fn snapshot(&self, item: &str) -> Result<ItemSnapshot, LakeError> {
        let tables = self.tables(item)?;
        Ok(ItemSnapshot {
            picture: Picture::take(tables),
            scans: Arc::clone(&self.scans),
            index: Arc::clone(&self.index),
        })
    }

    /// Schema of an item's rows.
    pub fn schema(&self, item: &str) -> Result<SchemaRef, LakeError> {
        Ok(Arc::clone(&self.tables(item)?.layout.schema))
    }

    /// Version of the item's `changes`; −1 before the first row. Equal versions mean equal answers.
    pub fn version(&self, item: &str) -> Result<i64, LakeError> {
        Ok(self.tables(item)?.changes.state().version)
    }

    /// Fails when the point index takes nothing more until it is opened again.
    pub async fn check(&self) -> Result<(), LakeError> {
        let index = Arc::clone(&self.index);
        tokio::task::spawn_blocking(move || index.check()).await.map_err(|_| LakeError::Task)?
    }

    /// Rows per item, from the files' metadata.
    pub fn row_counts(&self) -> BTreeMap<String, RowCounts> {
        let count = |tables: &Arc<ItemTables>| {
            let picture = Picture::take(tables);
            RowCounts {
                changes: picture.changes.files.values().map(|file| file.rows).sum(),
                folded: picture.current.files.values().map(|file| file.rows).sum(),
                tail: picture.tail().iter().map(|file| file.rows).sum(),
            }
        };
        self.items.iter().map(|(code, tables)| (code.clone(), count(tables))).collect()
    }

    /// Latest rows whose token column holds one of `tokens`, at `as_of` or now. All columns of the sealed schema, or
    /// those named. Milliseconds: index, a few pages, a merge in memory.
    pub async fn scan_tokens(
        &self,
        item: &str,
        as_of: Option<Timestamp>,
        column: &str,
        tokens: &[Token],
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        self.snapshot(item)?.scan_tokens(as_of, column, tokens, columns).await
    }

    /// Brings in what other processes committed.
    pub async fn refresh(&self) -> Result<(), LakeError> {
        for tables in self.items.values() {
            tables.current.refresh().await?;
            tables.changes.refresh().await?;
            self.show_files(tables);
        }
        Ok(())
    }

    pub(crate) fn tables(&self, item: &str) -> Result<&Arc<ItemTables>, LakeError> {
        self.items.get(item).ok_or_else(|| LakeError::UnknownItem { item: item.to_owned() })
    }

    pub(crate) fn show_files(&self, tables: &ItemTables) {
        let counts = [("changes", tables.changes.state()), ("current", tables.current.state())];
        for (table, state) in counts {
            let files = i64::try_from(state.files.len()).unwrap_or(i64::MAX);
            self.metrics.files.with_label_values(&[tables.layout.code.as_str(), table]).set(files);
        }
    }
}

fn item_tables(location: &Location, layout: ItemLayout, sync: bool, runtime: Handle) -> Result<ItemTables, LakeError> {
    let (changes, current) = (format!("changes/{}", layout.code), format!("current/{}", layout.code));
    let directories = location.directory.as_ref().map(|directory| (directory.join(&changes), directory.join(&current)));
    let columns_of_changes = layout.delta_columns(INGEST_DATE, DeltaType::DATE)?;
    let columns_of_current = layout.delta_columns(BUCKET, DeltaType::LONG)?;
    Ok(ItemTables {
        changes: Table::new(location, changes, INGEST_DATE, columns_of_changes, sync)?,
        current: Table::new(location, current, BUCKET, columns_of_current, sync)?,
        layout: Arc::new(layout),
        directories,
        runtime,
    })
}

/// One picture of an item.
#[derive(Debug, Clone)]
pub struct ItemSnapshot {
    pub(crate) picture: Picture,
    pub(crate) scans: Arc<ScanContext>,
    index: Arc<PointIndex>,
}

impl ItemSnapshot {
    /// Version of `changes`; −1 before the first row.
    pub fn version(&self) -> i64 {
        self.picture.changes.version
    }

    /// Latest versions.
    pub fn current(&self) -> Arc<dyn TableProvider> {
        self.provider(Question::Current)
    }

    /// Rows as they were known at a moment.
    pub fn as_of(&self, at: Timestamp) -> Arc<dyn TableProvider> {
        self.provider(Question::AsOf(at))
    }

    /// Every version.
    pub fn changes(&self) -> Arc<dyn TableProvider> {
        self.provider(Question::Changes)
    }

    fn provider(&self, question: Question) -> Arc<dyn TableProvider> {
        Arc::new(LakeTable {
            tables: Arc::clone(&self.picture.tables),
            pinned: Some(self.picture.clone()),
            question,
            scans: Arc::clone(&self.scans),
        })
    }

    /// See [`Lake::scan_tokens`].
    pub async fn scan_tokens(
        &self,
        as_of: Option<Timestamp>,
        column: &str,
        tokens: &[Token],
        columns: Option<&[&str]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let snapshot = self.clone();
        let (column, tokens) = (column.to_owned(), tokens.to_vec());
        let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        tokio::task::spawn_blocking(move || snapshot.scan_tokens_blocking(as_of, &column, &tokens, columns.as_deref()))
            .await
            .map_err(|_| LakeError::Task)?
    }

    /// The same on the calling thread, for callers that look many items up on a blocking thread of their own.
    pub fn scan_tokens_blocking(
        &self,
        as_of: Option<Timestamp>,
        column: &str,
        tokens: &[Token],
        columns: Option<&[String]>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let layout = &self.picture.tables.layout;
        let unknown = |name: &str| LakeError::UnknownColumn { item: layout.code.clone(), column: name.to_owned() };
        let at = layout.schema.index_of(column).ok().filter(|index| layout.indexed.contains(index));
        let at = at.ok_or_else(|| unknown(column))?;
        let columns = match columns {
            Some(names) => names
                .iter()
                .map(|name| layout.schema.index_of(name).map_err(|_| unknown(name)))
                .collect::<Result<_, _>>()?,
            None => (0..layout.schema.fields().len()).collect(),
        };
        let set = match as_of {
            Some(moment) => self.picture.read_as_of(moment),
            None => self.picture.read_current(),
        };
        Lookup { layout, set: &set, opener: &self.scans.opener, index: &self.index }.run(at, tokens, columns)
    }
}
