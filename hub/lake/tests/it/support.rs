//! A small item, rows of it, stores that fail on command.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, FixedSizeBinaryBuilder, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use arrow::ipc::writer::StreamWriter;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::stream::BoxStream;
use minqiao_bus::{Bus, Headers, MemoryBus, Message, Span};
use minqiao_core::{SystemClock, Token};
use minqiao_lake::{ItemLayout, Lake, LakeOptions, LakeWriter, Location};
use object_store::path::Path as StorePath;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::place::Place;

pub(crate) const ITEM: &str = "pension";
pub(crate) const TOPIC: &str = "minqiao.pension";
pub(crate) const PERSON: &str = "person_id__token";
pub(crate) const SPOUSE: &str = "spouse_id__token";

/// One version of one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) key: u8,
    pub(crate) person: u8,
    pub(crate) spouse: Option<u8>,
    pub(crate) updated: Option<i64>,
    pub(crate) delete: bool,
    pub(crate) hash: u8,
    pub(crate) received: i64,
}

impl Row {
    pub(crate) fn new(key: u8, updated: i64, hash: u8) -> Self {
        Self { key, person: key, spouse: None, updated: Some(updated), delete: false, hash, received: 1000 }
    }

    /// The order of versions, as the brief of the project states it.
    pub(crate) fn version(&self) -> (Option<i64>, bool, u8) {
        (self.updated, self.delete, self.hash)
    }
}

pub(crate) fn token(n: u8) -> [u8; 16] {
    // Spread over the whole range, as keyed tokens are.
    let mut bytes = [n; 16];
    bytes[0] = n.wrapping_mul(97);
    bytes
}

pub(crate) fn schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Millisecond, Some("+08:00".into()));
    let text = |name: &str, null| Field::new(name, DataType::Utf8, null);
    let metadata = std::collections::HashMap::from([("item".to_owned(), ITEM.to_owned())]);
    let fields = vec![
        Field::new("person_id", DataType::Binary, true),
        Field::new("amount", DataType::Int64, true),
        Field::new(PERSON, DataType::FixedSizeBinary(16), true),
        Field::new(SPOUSE, DataType::FixedSizeBinary(16), true),
        text("_provider_code", false),
        Field::new("_source_updated_at", time(), true),
        text("_op", false),
        Field::new("_received_at", time(), false),
        text("_content_hash", false),
        Field::new("_key", DataType::FixedSizeBinary(16), false),
    ];
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

fn tokens(values: impl Iterator<Item = Option<u8>>) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::new(16);
    for value in values {
        match value {
            Some(value) => builder.append_value(token(value)).unwrap(),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

pub(crate) fn batch(rows: &[Row]) -> RecordBatch {
    let mut sealed = BinaryBuilder::new();
    rows.iter().for_each(|row| sealed.append_value([row.person, 0xff, row.hash]));
    let hashes = rows.iter().map(|row| format!("{:02x}{:02x}", row.hash, row.key));
    let ops = rows.iter().map(|row| if row.delete { "delete" } else { "upsert" });
    let time = |values: Vec<Option<i64>>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::from(values).with_timezone("+08:00"))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(sealed.finish()),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::from(row.hash)))),
        tokens(rows.iter().map(|row| Some(row.person))),
        tokens(rows.iter().map(|row| row.spouse)),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "human-resources.371002"))),
        time(rows.iter().map(|row| row.updated).collect()),
        Arc::new(StringArray::from_iter_values(ops)),
        time(rows.iter().map(|row| Some(row.received)).collect()),
        Arc::new(StringArray::from_iter_values(hashes)),
        tokens(rows.iter().map(|row| Some(row.key))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

static BATCHES: AtomicU64 = AtomicU64::new(0);

pub(crate) fn message(batch: &RecordBatch) -> Message {
    let mut payload = Vec::new();
    let mut writer = StreamWriter::try_new(&mut payload, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    let headers = Headers {
        item: ITEM.to_owned(),
        catalogue_version: "1.0.0".to_owned(),
        batch_id: format!("b{}", BATCHES.fetch_add(1, Ordering::Relaxed)),
        provider: "human-resources.371002".to_owned(),
        span: Span { first_row: 0, rows: u32::try_from(batch.num_rows()).unwrap() },
        epoch: 0,
    };
    Message { headers, payload: payload.into() }
}

/// A bus with the item's topic in two partitions.
pub(crate) async fn bus() -> Arc<MemoryBus> {
    let bus = Arc::new(MemoryBus::new());
    bus.ensure_topic(TOPIC, 2).await.unwrap();
    bus
}

/// Appends rows by person, as the intake does.
pub(crate) async fn append(bus: &dyn Bus, rows: &[Row]) {
    for partition in 0..2u32 {
        let mine: Vec<Row> =
            rows.iter().filter(|row| u32::from(token(row.person)[0]) % 2 == partition).cloned().collect();
        if !mine.is_empty() {
            bus.append(TOPIC, partition, vec![message(&batch(&mine))]).await.unwrap();
        }
    }
}

pub(crate) fn options() -> LakeOptions {
    LakeOptions {
        batch_delay: Duration::ZERO,
        fold_idle: Duration::ZERO,
        sync: false,
        retention: Duration::ZERO,
        orphan_age: Duration::ZERO,
        ..LakeOptions::default()
    }
}

/// Where the subject belongs to the natural key and where not.
pub(crate) fn layout(lead: bool) -> ItemLayout {
    ItemLayout::new(ITEM, 30, schema(), lead.then_some(PERSON)).unwrap()
}

pub(crate) async fn open(location: &Location, index: &std::path::Path, options: LakeOptions) -> Arc<Lake> {
    open_layout(location, index, options, layout(true)).await
}

pub(crate) async fn open_layout(
    location: &Location,
    index: &std::path::Path,
    options: LakeOptions,
    layout: ItemLayout,
) -> Arc<Lake> {
    let (clock, registry) = (Arc::new(SystemClock::new()), prometheus::Registry::new());
    Lake::open(location.clone(), index, vec![layout], options, clock, &registry).await.unwrap()
}

/// A lake and its parts.
pub(crate) struct Fixture {
    pub(crate) location: Location,
    pub(crate) store: Arc<ScriptedStore>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) bus: Arc<MemoryBus>,
}

impl Fixture {
    pub(crate) async fn at(place: Place) -> Self {
        let (inner, url) = place.store().await;
        let store = Arc::new(ScriptedStore::new(inner));
        let location = Location::on(Arc::clone(&store) as Arc<dyn ObjectStore>, &url);
        Self { location, store, directory: tempfile::tempdir().unwrap(), bus: bus().await }
    }

    /// Where the lake lies in its store.
    pub(crate) fn prefix(&self) -> StorePath {
        self.location.prefix().unwrap()
    }

    /// Opens a process's view; each has an index of its own.
    pub(crate) async fn open(&self, process: &str) -> Arc<Lake> {
        open(&self.location, &self.directory.path().join(process), options()).await
    }
}

/// A writer that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) writer: LakeWriter,
    pub(crate) cancel: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), minqiao_lake::LakeError>>,
}

pub(crate) fn start(lake: &Arc<Lake>, bus: &Arc<MemoryBus>) -> Running {
    let (writer, cancel) = (LakeWriter::new(Arc::clone(lake)), CancellationToken::new());
    let (running, bus, stop) = (writer.clone(), Arc::clone(bus) as Arc<dyn Bus>, cancel.clone());
    let task = tokio::spawn(async move { running.run(bus, stop).await });
    Running { writer, cancel, task }
}

impl Running {
    pub(crate) async fn stop(self) -> Result<(), minqiao_lake::LakeError> {
        self.cancel.cancel();
        self.task.await.unwrap()
    }
}

/// Writes everything that is on the bus.
pub(crate) async fn ingest(lake: &Arc<Lake>, bus: &Arc<MemoryBus>) {
    let running = start(lake, bus);
    running.writer.wait_for_all(bus.as_ref(), Duration::from_secs(30)).await.unwrap();
    running.stop().await.unwrap();
}

/// What a row of a table says: version by key.
pub(crate) type Seen = Vec<(u8, Option<i64>, bool, u8)>;

pub(crate) fn seen(batches: &[RecordBatch]) -> Seen {
    let mut seen = Vec::new();
    for batch in batches {
        let key = batch.column_by_name("_key").unwrap().as_fixed_size_binary();
        let amount = batch.column_by_name("amount").unwrap().as_primitive::<Int64Type>();
        let updated = batch.column_by_name("_source_updated_at").unwrap();
        let updated = updated.as_primitive::<TimestampMillisecondType>();
        let op = batch.column_by_name("_op").unwrap().as_string::<i32>();
        for row in 0..batch.num_rows() {
            let at = updated.is_valid(row).then(|| updated.value(row));
            seen.push((key.value(row)[1], at, op.value(row) == "delete", u8::try_from(amount.value(row)).unwrap()));
        }
    }
    seen.sort_unstable();
    seen
}

pub(crate) async fn read(table: Arc<dyn TableProvider>) -> Seen {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let batches = context.read_table(table).unwrap().collect().await.unwrap();
    seen(&batches)
}

/// The model: what a fold must answer.
pub(crate) fn fold<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Seen {
    let mut latest: BTreeMap<u8, &Row> = BTreeMap::new();
    for row in rows {
        let best = latest.entry(row.key).or_insert(row);
        if row.version() > best.version() {
            *best = row;
        }
    }
    let kept = latest.values().filter(|row| !row.delete);
    kept.map(|row| (row.key, row.updated, row.delete, row.hash)).collect()
}

pub(crate) fn person(n: u8) -> Token {
    Token(token(n))
}

/// What happens to a put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is stored and the caller hears so.
    Before,
    /// It is stored and the caller hears that it was not.
    After,
}

/// Fails puts to paths as scripted; every fault fires once.
pub(crate) struct ScriptedStore {
    inner: Arc<dyn ObjectStore>,
    script: Mutex<Vec<(String, Fault)>>,
    fired: AtomicU64,
}

impl ScriptedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, script: Mutex::default(), fired: AtomicU64::new(0) }
    }

    /// The next put to a path that contains `part` and one of its ends.
    pub(crate) fn fail(&self, part: &str, fault: Fault) {
        self.script.lock().push((part.to_owned(), fault));
    }

    pub(crate) fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    fn due(&self, location: &StorePath) -> Option<Fault> {
        let mut script = self.script.lock();
        let at = script.iter().position(|(part, _)| location.as_ref().contains(part.as_str()))?;
        self.fired.fetch_add(1, Ordering::SeqCst);
        Some(script.remove(at).1)
    }
}

fn scripted() -> object_store::Error {
    object_store::Error::Generic { store: "scripted", source: "scripted fault".into() }
}

impl fmt::Debug for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedStore")
    }
}

impl fmt::Display for ScriptedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScriptedStore")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for ScriptedStore {
    async fn put_opts(
        &self,
        location: &StorePath,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        match self.due(location) {
            Some(Fault::Before) => Err(scripted()),
            Some(Fault::After) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(scripted())
            }
            None => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &StorePath,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &StorePath, options: GetOptions) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &StorePath, ranges: &[Range<u64>]) -> object_store::Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<StorePath>>,
    ) -> BoxStream<'static, object_store::Result<StorePath>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&StorePath>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&StorePath>,
        offset: &StorePath,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&StorePath>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &StorePath, to: &StorePath, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(
        &self,
        from: &StorePath,
        to: &StorePath,
        options: object_store::RenameOptions,
    ) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
