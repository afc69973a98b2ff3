//! The lake's tables for the query engine.
//!
//! When `current` has no unfolded tail, or when all versions are asked for, a scan is the engine's own Parquet scan with
//! its pruning and parallelism, and a filter that leaves deletes out where there are any. Otherwise it is a [`FoldExec`]: one merge per partition over a range
//! of order keys. Compared with a window function over a union it neither hashes nor sorts, and holds one batch per
//! file instead of the tail.
//!
//! Filters are accepted as *inexact* only, and only comparisons of a column with literals: they prune row groups and
//! pages and can neither fail on a value nor replace the filter above. Whoever hides rows must filter above the scan.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::object_store::ObjectStoreUrl;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties, SendableRecordBatchStream,
    StatisticsArgs,
};
use minqiao_core::Timestamp;
use minqiao_schemas::envelope;
use object_store::ObjectMeta;

use crate::files::{FileOpener, FilePlace};
use crate::latest::Latest;
use crate::layout::{ItemLayout, LeadRange, OP, TOKEN_SUFFIX, project};
use crate::merge::{Keep, Merge, MergeSpec};
use crate::snapshot::{ItemTables, Picture, ReadSet};

/// Below this many rows one partition is quicker than two.
const PARALLEL_ROWS_MIN: u64 = 32_768;

/// Which rows a provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Current,
    AsOf(Timestamp),
    Changes,
}

/// A table of the lake. Unless it was made of a picture it looks at the newest state in each scan.
#[derive(Debug)]
pub(crate) struct LakeTable {
    pub(crate) tables: Arc<ItemTables>,
    pub(crate) pinned: Option<Picture>,
    pub(crate) question: Question,
    pub(crate) scans: Arc<ScanContext>,
}

/// What scans share.
#[derive(Debug)]
pub(crate) struct ScanContext {
    pub(crate) opener: FileOpener,
    pub(crate) readers: Arc<CachedParquetFileReaderFactory>,
    pub(crate) latest: Latest,
}

impl LakeTable {
    fn read_set(&self) -> ReadSet {
        let picture = self.pinned.clone().unwrap_or_else(|| Picture::take(&self.tables));
        match self.question {
            Question::Current => picture.read_current(),
            Question::AsOf(at) => picture.read_as_of(at),
            Question::Changes => picture.read_changes(),
        }
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.tables.layout.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let answer = |filter: &&Expr| match prunes(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(answer).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let layout = &self.tables.layout;
        let all = || (0..layout.schema.fields().len()).collect();
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let set = self.read_set();
        let partitions = state.config().target_partitions();
        if set.plain {
            let filters: Vec<Expr> = filters.iter().filter(|filter| prunes(filter)).cloned().collect();
            if set.deletes {
                return without_deletes(layout, &columns, |columns| {
                    plain_scan(state, layout, &self.scans, set, columns, &filters, None)
                });
            }
            return plain_scan(state, layout, &self.scans, set, columns, &filters, limit);
        }
        Ok(Arc::new(FoldExec::new(Arc::clone(layout), Arc::clone(&self.scans), set, columns, limit, partitions)))
    }
}

/// A scan of the columns, and of `_op` to leave deletes out.
fn without_deletes(
    layout: &ItemLayout,
    columns: &[usize],
    scan: impl FnOnce(Vec<usize>) -> Result<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut read = columns.to_vec();
    if !read.contains(&layout.op) {
        read.push(layout.op);
    }
    let rows = scan(read)?;
    let schema = rows.schema();
    let upserts = binary(col(OP, &schema)?, Operator::NotEq, lit(envelope::OP_DELETE), &schema)?;
    let kept = (0..columns.len()).collect();
    Ok(Arc::new(FilterExecBuilder::new(upserts, rows).apply_projection(Some(kept))?.build()?))
}

/// The engine's own scan over files of which every row counts.
fn plain_scan(
    state: &dyn Session,
    layout: &ItemLayout,
    scans: &ScanContext,
    set: ReadSet,
    columns: Vec<usize>,
    filters: &[Expr],
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let rows: u64 = set.files.iter().map(|place| place.file.rows).sum();
    let partitions = if rows < PARALLEL_ROWS_MIN { 1 } else { state.config().target_partitions().max(1) };
    let groups = group(&set.files, partitions);
    let readers = PinnedReaders { inner: Arc::clone(&scans.readers), _files: set.files };
    let mut source = ParquetSource::new(Arc::clone(&layout.schema)).with_parquet_file_reader_factory(Arc::new(readers));
    if filters.iter().any(names_person) {
        // Few rows have the token: the other columns of the rest need not be decoded. With other filters most rows
        // stay, and deciding row by row while decoding costs more than it saves.
        source = source.with_pushdown_filters(true);
    }
    if let Some(filter) = conjunction(filters.iter().cloned()) {
        let schema = DFSchema::try_from(Arc::clone(&layout.schema))?;
        source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
    }
    let mut statistics = Statistics::new_unknown(&layout.schema);
    statistics.num_rows = Precision::Exact(usize::try_from(rows).unwrap_or(usize::MAX));
    let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
        .with_file_groups(groups)
        .with_statistics(statistics)
        .with_projection_indices(Some(columns))?
        .with_limit(limit)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

/// Files in groups of about the same number of rows, largest first.
fn group(files: &[FilePlace], partitions: usize) -> Vec<FileGroup> {
    let mut files: Vec<&FilePlace> = files.iter().collect();
    files.sort_by_key(|place| std::cmp::Reverse(place.file.rows));
    let count = partitions.min(files.len()).max(1);
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); count];
    for place in files {
        if let Some(least) = groups.iter_mut().min_by_key(|(rows, _)| *rows) {
            least.0 += place.file.rows;
            least.1.push(PartitionedFile::new_from_meta(ObjectMeta {
                location: place.location.clone(),
                last_modified: chrono::DateTime::UNIX_EPOCH,
                size: place.file.bytes,
                e_tag: None,
                version: None,
            }));
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}

/// True for a filter over tokens.
fn names_person(filter: &Expr) -> bool {
    filter.column_refs().iter().any(|column| column.name.ends_with(TOKEN_SUFFIX))
}

/// True for what can prune and cannot fail.
fn prunes(filter: &Expr) -> bool {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => prunes(left) && prunes(right),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let compares = matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq);
            let pair = |a: &Expr, b: &Expr| matches!(a, Expr::Column(_)) && matches!(b, Expr::Literal(..));
            compares && (pair(left, right) || pair(right, left))
        }
        Expr::InList(list) => {
            !list.negated
                && matches!(*list.expr, Expr::Column(_))
                && list.list.iter().all(|value| matches!(value, Expr::Literal(..)))
        }
        Expr::IsNull(inner) | Expr::IsNotNull(inner) => matches!(**inner, Expr::Column(_)),
        _ => false,
    }
}

/// Reads through the lake's own store whatever the session has registered, and holds the files of a plan.
#[derive(Debug)]
struct PinnedReaders {
    inner: Arc<CachedParquetFileReaderFactory>,
    _files: Vec<FilePlace>,
}

impl ParquetFileReaderFactory for PinnedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)
    }
}

/// Folds versions while reading. A leaf: no filter, limit or projection of the engine reaches into it.
pub(crate) struct FoldExec {
    layout: Arc<ItemLayout>,
    scans: Arc<ScanContext>,
    set: ReadSet,
    columns: Vec<usize>,
    limit: Option<usize>,
    ranges: Vec<LeadRange>,
    properties: Arc<PlanProperties>,
}

impl FoldExec {
    fn new(
        layout: Arc<ItemLayout>,
        scans: Arc<ScanContext>,
        set: ReadSet,
        columns: Vec<usize>,
        limit: Option<usize>,
        partitions: usize,
    ) -> Self {
        let rows: u64 = set.files.iter().map(|place| place.file.rows).sum();
        let ranges = LeadRange::split(if rows < PARALLEL_ROWS_MIN { 1 } else { partitions });
        let properties = Arc::new(PlanProperties::new(
            EquivalenceProperties::new(project(&layout.schema, &columns)),
            Partitioning::UnknownPartitioning(ranges.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        ));
        Self { layout, scans, set, columns, limit, ranges, properties }
    }
}

impl fmt::Debug for FoldExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoldExec").field("item", &self.layout.code).field("files", &self.set.files.len()).finish()
    }
}

impl DisplayAs for FoldExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldExec: item={}, files={}", self.layout.code, self.set.files.len())
    }
}

impl ExecutionPlan for FoldExec {
    fn name(&self) -> &'static str {
        "FoldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    /// Versions that lose are counted too, so the number is only a guide for joins.
    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let rows: u64 = self.set.files.iter().map(|place| place.file.rows).sum();
        let parts = if args.partition().is_some() { self.ranges.len() as u64 } else { 1 };
        let mut statistics = Statistics::new_unknown(&self.schema());
        statistics.num_rows = Precision::Inexact(usize::try_from(rows / parts).unwrap_or(usize::MAX));
        Ok(Arc::new(statistics))
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let spec = MergeSpec {
            layout: Arc::clone(&self.layout),
            columns: self.columns.clone(),
            range: self.ranges[partition],
            keep: Keep::Current,
            received_max: self.set.received_max,
            batch_rows: context.session_config().batch_size(),
        };
        let (files, scans, limit) = (self.set.files.clone(), Arc::clone(&self.scans), self.limit);
        let mut builder = RecordBatchReceiverStreamBuilder::new(self.schema(), 2);
        let tx = builder.tx();
        builder.spawn_blocking(move || {
            let merge = Merge::of_files(spec, &files, &scans.opener)?;
            let mut rows = 0;
            for batch in merge {
                let batch = batch?;
                rows += batch.num_rows();
                // The receiver is gone when the query was cancelled or has enough.
                if tx.blocking_send(Ok(batch)).is_err() || limit.is_some_and(|limit| rows >= limit) {
                    break;
                }
            }
            Ok(())
        });
        Ok(builder.build())
    }
}
