//! The way of a query, from a door's request to a stream of rows.
//!
//! Each query has its own session, memory pool and task. Policies are asked again for every query, prepared or not, so
//! a revocation holds from the next query on; nothing of one principal's session is reachable from another's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, ParamValues};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use futures::{StreamExt, TryStreamExt};
use minqiao_core::{Clock, Principal, Purpose, Role};
use minqiao_policy::{Access, Policy, Reach, TableDecision};
use minqiao_schemas::{Catalogue, Item};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::audit::{AuditSink, QueryClosed, QueryOpened, TableRead};
use crate::base::{BaseTables, Sealing};
use crate::catalog::{Asking, CATALOG, OneCatalog, OneCatalogList, PUBLIC, SessionCatalog, TableInfo};
use crate::changes::ItemChanges;
use crate::error::QueryError;
use crate::functions::{AGGREGATE, SCALAR, WINDOW};
use crate::guard::{self, Guarded};
use crate::held::CountHeld;
use crate::late::pseudonyms_late;
use crate::limits::Limits;
use crate::names::Names;
use crate::request::{Parameter, QueryRequest};
use crate::scope::Scopes;
use crate::secure_table::TableParts;
use crate::statement::{self, Parsed};
use crate::stream::{BATCHES_UNDER_WAY, Message, QueryStream};
use crate::suppress::Cells;
use crate::system::SystemTable;
use crate::{gate, secure_table};

/// What a service is made of.
#[derive(Debug)]
pub struct QueryParts {
    /// Stored tables.
    pub base: Arc<dyn BaseTables>,
    /// The items.
    pub catalogue: &'static Catalogue,
    /// Who may see what.
    pub policy: Arc<Policy>,
    /// Keys in use.
    pub sealing: Sealing,
    /// Bounds.
    pub limits: Limits,
    /// Evidence.
    pub audit: Arc<dyn AuditSink>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The hub's own tables.
    pub system: Vec<SystemTable>,
}

/// Answers SQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqlService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    base: Arc<dyn BaseTables>,
    items: Arc<BTreeMap<String, Arc<Item>>>,
    policy: RwLock<Arc<Policy>>,
    sealing: Sealing,
    limits: Limits,
    audit: Arc<dyn AuditSink>,
    clock: Arc<dyn Clock>,
    system: Vec<SystemTable>,
    names: Names,
    scopes: Arc<Scopes>,
    runtime: Arc<RuntimeEnv>,
    slots: Arc<Semaphore>,
}

/// Cells of an aggregate under the guard, which are kept until it is known which of them may be seen.
const GUARDED_CELLS_MAX: usize = 100_000;

/// A statement ready to run.
struct Prepared {
    plan: Arc<dyn ExecutionPlan>,
    state: SessionState,
    tables: Vec<TableRead>,
}

impl SqlService {
    /// A service over `parts`.
    pub fn new(parts: QueryParts) -> Result<Self, QueryError> {
        // Spill files would hold clear values (D5), so there are none.
        let no_disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
        let runtime = RuntimeEnvBuilder::new()
            .with_disk_manager_builder(no_disk)
            .build_arc()
            .map_err(|_| QueryError::Internal)?;
        let inner = Inner {
            names: Names::of(parts.catalogue.items().iter(), &parts.system),
            scopes: Arc::new(Scopes::new(Arc::clone(&parts.base))),
            items: Arc::new(
                parts.catalogue.items().iter().map(|item| (item.code.clone(), Arc::new(item.clone()))).collect(),
            ),
            base: parts.base,
            policy: RwLock::new(parts.policy),
            sealing: parts.sealing,
            slots: Arc::new(Semaphore::new(parts.limits.concurrent_queries_max)),
            limits: parts.limits,
            audit: parts.audit,
            clock: parts.clock,
            system: parts.system,
            runtime,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Other policies from the next query on.
    pub fn replace_policy(&self, policy: Arc<Policy>) {
        *self.inner.policy.write() = policy;
    }

    /// Changes of an item for a subscriber. `None` for an item that does not exist, is not shared, or shows nothing row by
    /// row: the three are one to whoever asks.
    pub fn changes(&self, principal: &Principal, purpose: &Purpose, item: &str) -> Option<ItemChanges> {
        let inner = &self.inner;
        let item = inner.items.get(item)?;
        let policy = inner.policy.read().clone();
        if !policy.may_subscribe(principal, purpose, item) {
            return None;
        }
        let table = inner.catalog(&policy, principal, purpose, false).secure(&item.code)?;
        if table.decision.access != Access::Rows || table.guarded {
            return None;
        }
        let table = table.over(Arc::clone(&inner.base));
        Some(ItemChanges::new(table, Arc::clone(&inner.runtime), inner.limits.query_memory_bytes))
    }

    /// Whether a subscriber may have the feed of something that is not an item (`receipts`).
    pub fn may_subscribe_view(&self, principal: &Principal, purpose: &Purpose, view: &str) -> bool {
        self.inner.policy.read().may_subscribe_view(principal, purpose, view)
    }

    /// Whether the policies in force know a purpose.
    pub fn knows_purpose(&self, code: &str) -> bool {
        self.inner.policy.read().knows_purpose(code)
    }

    /// Version of the policies in force.
    pub fn policy_version(&self) -> String {
        self.inner.policy.read().version().to_owned()
    }

    /// Answers one query. The audit record is durable when this returns; dropping the stream cancels the query.
    pub async fn query(&self, request: QueryRequest) -> Result<QueryStream, QueryError> {
        let busy = |_| QueryError::Busy { retry_after: Duration::from_secs(1) };
        let slot = Arc::clone(&self.inner.slots).try_acquire_owned().map_err(busy)?;
        let (started, start) = oneshot::channel();
        let (sender, messages) = mpsc::channel(BATCHES_UNDER_WAY);
        let request_id = request.request_id.clone();
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let _slot = slot;
            inner.run(request, started, sender).await;
        });
        let schema = start.await.map_err(|_| QueryError::Internal)??;
        Ok(QueryStream::new(request_id, schema, messages))
    }

    /// Columns of the answer and types of the parameters, without running anything.
    pub async fn describe(
        &self,
        principal: &Principal,
        purpose: &Purpose,
        sql: &str,
    ) -> Result<(SchemaRef, Vec<Option<DataType>>), QueryError> {
        let parsed = statement::parse(sql, &self.inner.limits, &self.inner.names)?;
        let (inner, principal, purpose) = (Arc::clone(&self.inner), principal.clone(), purpose.clone());
        let task = SpawnedTask::spawn(async move {
            let policy = Arc::clone(&inner.policy.read());
            let (_, plan, _) = inner.plan(&policy, &principal, &purpose, &parsed, None).await?;
            let mut types: Vec<(usize, Option<DataType>)> = plan
                .get_parameter_types()
                .map_err(|e| QueryError::of_planning(&e))?
                .into_iter()
                .filter_map(|(name, ty)| Some((name.trim_start_matches('$').parse().ok()?, ty)))
                .collect();
            types.sort_by_key(|(position, _)| *position);
            Ok((Arc::new(plan.schema().as_arrow().clone()), types.into_iter().map(|(_, ty)| ty).collect()))
        });
        let limit = self.inner.limits.timeout;
        match tokio::time::timeout(limit, task.join()).await {
            Ok(Ok(described)) => described,
            Ok(Err(_)) => Err(QueryError::Internal),
            Err(_) => Err(QueryError::Timeout { limit }),
        }
    }

    /// What `principal` sees for `purpose`, for doors that describe the catalog in their own protocol.
    pub fn tables(&self, principal: &Principal, purpose: &Purpose) -> Vec<TableInfo> {
        let policy = Arc::clone(&self.inner.policy.read());
        self.inner.catalog(&policy, principal, purpose, false).tables()
    }
}

impl Inner {
    /// Supervises one query: prepare, audit, drive, audit. What panics below ends here as [`QueryError::Internal`].
    async fn run(
        self: Arc<Self>,
        request: QueryRequest,
        started: oneshot::Sender<Result<SchemaRef, QueryError>>,
        sender: mpsc::Sender<Message>,
    ) {
        let deadline = tokio::time::Instant::now() + self.limits.timeout;
        let policy = Arc::clone(&self.policy.read());
        let parsed = statement::parse(&request.sql, &self.limits, &self.names);
        let statement = parsed.as_ref().map(|p| p.normalised.clone()).unwrap_or_default();
        let prepared = match parsed {
            Ok(parsed) => {
                let (inner, asked, policy) = (Arc::clone(&self), request.clone(), Arc::clone(&policy));
                let task = SpawnedTask::spawn(async move { inner.prepare(&policy, &asked, &parsed).await });
                match tokio::time::timeout_at(deadline, task.join()).await {
                    Ok(Ok(prepared)) => prepared,
                    Ok(Err(_panicked)) => Err(QueryError::Internal),
                    Err(_) => Err(QueryError::Timeout { limit: self.limits.timeout }),
                }
            }
            Err(why) => Err(why),
        };
        let record = self.opened(&request, statement, &policy, &prepared);
        let prepared = match self.audit.opened(&record).await {
            Ok(()) => prepared,
            Err(_) => Err(QueryError::AuditUnavailable),
        };
        let Prepared { plan, state, .. } = match prepared {
            Ok(prepared) => prepared,
            Err(why) => {
                tracing::info!(request_id = %request.request_id, code = %code(&why), "query refused");
                let _unheard = started.send(Err(why));
                return;
            }
        };
        let _unheard = started.send(Ok(plan.schema()));
        let tally = self.drive(plan, &state, &sender, deadline).await;
        let closed = QueryClosed {
            request_id: request.request_id,
            at: self.clock.now(),
            rows: tally.rows,
            bytes: tally.bytes,
            outcome: tally.failure.as_ref().map_or_else(|| "complete".to_owned(), code),
        };
        let kept = self.audit.closed(&closed).await;
        let last = match (tally.failure, kept) {
            (Some(why), _) => Message::Failed(why),
            (None, Err(_)) => Message::Failed(QueryError::AuditUnavailable),
            (None, Ok(())) => Message::Complete,
        };
        let _unheard = sender.send(last).await;
    }

    fn opened(
        &self,
        request: &QueryRequest,
        statement: String,
        policy: &Policy,
        prepared: &Result<Prepared, QueryError>,
    ) -> QueryOpened {
        QueryOpened {
            request_id: request.request_id.clone(),
            at: self.clock.now(),
            door: request.door.to_owned(),
            principal: request.principal.clone(),
            purpose: request.purpose.clone(),
            statement_digest: hex::encode(minqiao_vault::sm3(statement.as_bytes())),
            statement_bytes: request.sql.len(),
            statement,
            tables: prepared.as_ref().map(|p| p.tables.clone()).unwrap_or_default(),
            policy_version: policy.version().to_owned(),
            outcome: prepared.as_ref().map_or_else(code, |_| "allowed".to_owned()),
        }
    }

    async fn prepare(
        &self,
        policy: &Arc<Policy>,
        request: &QueryRequest,
        parsed: &Parsed,
    ) -> Result<Prepared, QueryError> {
        let values = Some(request.parameters.as_slice());
        let (state, plan, Outcome { catalog, guarded }) =
            self.plan(policy, &request.principal, &request.purpose, parsed, values).await?;
        let (plan, read) = match guarded {
            None => (plan, None),
            Some(guarded) => {
                let read = state.optimize(&guarded.cells).map_err(|e| self.planning(&e))?;
                (self.released(&state, guarded, &catalog).await?, Some(read))
            }
        };
        let optimised = state.optimize(&plan).map_err(|e| self.planning(&e))?;
        let tables = tables_read(read.as_ref().unwrap_or(&optimised), &catalog).map_err(|e| self.planning(&e))?;
        let plan = self.physical(&state, &optimised, &catalog).await?;
        Ok(Prepared { plan, state, tables })
    }

    async fn physical(
        &self,
        state: &SessionState,
        optimised: &LogicalPlan,
        catalog: &SessionCatalog,
    ) -> Result<Arc<dyn ExecutionPlan>, QueryError> {
        let late = pseudonyms_late(optimised, &|name| catalog.secure(name)).map_err(|e| self.planning(&e))?;
        state.query_planner().create_physical_plan(&late, state).await.map_err(|e| self.planning(&e))
    }

    /// Runs what is below the guard and puts the cells that may be seen in its place.
    async fn released(
        &self,
        state: &SessionState,
        guarded: Guarded,
        catalog: &SessionCatalog,
    ) -> Result<LogicalPlan, QueryError> {
        for left_out in &guarded.left_out {
            self.check_left_out(state, left_out, guarded.k, catalog).await?;
        }
        let failed = |e: DataFusionError| QueryError::of_execution(&e, self.limits.query_memory_bytes);
        let mut rows = self.run_within(state, &guarded.cells, catalog).await?;
        let schema = rows.schema();
        let (mut batches, mut count, mut bytes) = (Vec::new(), 0usize, 0usize);
        while let Some(batch) = rows.next().await {
            let batch = batch.map_err(failed)?;
            count = count.saturating_add(batch.num_rows());
            bytes = bytes.saturating_add(batch.get_array_memory_size());
            if count > GUARDED_CELLS_MAX {
                return Err(QueryError::AnswerTooLarge { limit: GUARDED_CELLS_MAX as u64, unit: "cells" });
            }
            if bytes > self.limits.query_memory_bytes {
                return Err(QueryError::OutOfMemory { limit_bytes: self.limits.query_memory_bytes });
            }
            batches.push(batch);
        }
        let mut cells = Cells::of(&schema, &batches, guarded.shape.clone(), guarded.k).map_err(failed)?;
        if cells.any_small() {
            let mut people = self.run_within(state, &guarded.people, catalog).await?;
            while let Some(batch) = people.next().await {
                cells.learn(&batch.map_err(failed)?).map_err(failed)?;
            }
            if cells.is_stale() {
                return Err(QueryError::LakeUnavailable);
            }
        }
        let released = cells.released(guarded.released_schema()).map_err(failed)?;
        guarded.over(released).map_err(|e| self.planning(&e))
    }

    async fn run_within(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
        catalog: &SessionCatalog,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let optimised = state.optimize(plan).map_err(|e| self.planning(&e))?;
        let physical = self.physical(state, &optimised, catalog).await?;
        execute_stream(physical, state.task_ctx())
            .map_err(|e| QueryError::of_execution(&e, self.limits.query_memory_bytes))
    }

    fn planning(&self, error: &DataFusionError) -> QueryError {
        match error.find_root() {
            DataFusionError::ArrowError(..)
            | DataFusionError::Execution(_)
            | DataFusionError::ResourcesExhausted(_) => QueryError::of_execution(error, self.limits.query_memory_bytes),
            _ => QueryError::of_planning(error),
        }
    }

    /// Plans against what the principal sees row by row; if a column is missing there, against what it may aggregate.
    async fn plan(
        &self,
        policy: &Arc<Policy>,
        principal: &Principal,
        purpose: &Purpose,
        parsed: &Parsed,
        values: Option<&[Parameter]>,
    ) -> Result<(SessionState, LogicalPlan, Outcome), QueryError> {
        let first = self.plan_with(Arc::new(self.catalog(policy, principal, purpose, false)), parsed, values).await;
        match first {
            Err(missing @ QueryError::NotFound { what: "a column" }) => {
                let catalog = Arc::new(self.catalog(policy, principal, purpose, true));
                match self.plan_with(catalog, parsed, values).await {
                    Err(QueryError::NotFound { .. }) => Err(missing),
                    second => second,
                }
            }
            first => first,
        }
    }

    async fn plan_with(
        &self,
        catalog: Arc<SessionCatalog>,
        parsed: &Parsed,
        values: Option<&[Parameter]>,
    ) -> Result<(SessionState, LogicalPlan, Outcome), QueryError> {
        let state = self.session(&catalog)?;
        let plan = state.statement_to_plan(parsed.statement.clone()).await.map_err(|e| QueryError::of_planning(&e))?;
        let plan = match values {
            Some(values) => {
                let values = ParamValues::from(values.iter().map(Parameter::scalar).collect::<Vec<_>>());
                let plan = plan.with_param_values(values).map_err(|_| QueryError::Invalid)?;
                gate::admit(&plan, &self.limits)?;
                plan
            }
            None => plan,
        };
        let lookup = |name: &str| catalog.secure(name);
        let protected = guard::is_protected(&plan, &lookup).map_err(|e| QueryError::of_planning(&e))?;
        if !protected || values.is_none() {
            return Ok((state, plan, Outcome { catalog, guarded: None }));
        }
        let k = catalog.asking.policy.k();
        let guarded = Some(guard::guard(plan.clone(), &lookup, k)?);
        Ok((state, plan, Outcome { catalog, guarded }))
    }

    async fn check_left_out(
        &self,
        state: &SessionState,
        plan: &LogicalPlan,
        k: u32,
        catalog: &SessionCatalog,
    ) -> Result<(), QueryError> {
        let rows = self.run_within(state, plan, catalog).await?;
        let batches: Vec<RecordBatch> =
            rows.try_collect().await.map_err(|e| QueryError::of_execution(&e, self.limits.query_memory_bytes))?;
        let isolating = batches.iter().flat_map(|batch| batch.columns()).any(|column| {
            use arrow::array::AsArray;
            let counts = column.as_primitive_opt::<arrow::datatypes::Int64Type>();
            counts.is_none_or(|counts| counts.iter().any(|n| n.is_none_or(|n| n > 0 && n < i64::from(k))))
        });
        if isolating {
            let rule = "the filter or the join leaves out fewer people than that";
            return Err(QueryError::Protected { k, rule });
        }
        Ok(())
    }

    fn catalog(&self, policy: &Arc<Policy>, principal: &Principal, purpose: &Purpose, guarded: bool) -> SessionCatalog {
        let parts = Arc::new(TableParts {
            base: Arc::clone(&self.base),
            sealing: self.sealing.clone(),
            scopes: Arc::clone(&self.scopes),
            now: self.clock.now(),
        });
        let asking = Asking {
            policy: Arc::clone(policy),
            principal: principal.clone(),
            purpose: purpose.clone(),
            items: Arc::clone(&self.items),
        };
        let mut system = BTreeMap::new();
        for table in &self.system {
            if policy.may_read_view(principal, purpose, &table.name) {
                system.insert(table.name.clone(), (table.label_zh.clone(), Arc::clone(&table.provider)));
            }
        }
        SessionCatalog::new(asking, system, parts, pseudonym_context(principal, purpose), guarded)
    }

    fn session(&self, catalog: &Arc<SessionCatalog>) -> Result<SessionState, QueryError> {
        let mut config = SessionConfig::new()
            .with_target_partitions(self.limits.partitions)
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema(CATALOG, PUBLIC);
        config.options_mut().execution.enable_recursive_ctes = false;
        // It compares labels of tables too, which differ as soon as the engine swaps the sides of a join.
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(self.limits.query_memory_bytes));
        let held = CountHeld::new(&pool);
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.runtime)
            .with_memory_pool(pool)
            .build_arc()
            .map_err(|_| QueryError::Internal)?;
        let mut builder = SessionStateBuilder::new_with_default_features()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_physical_optimizer_rule(Arc::new(held))
            .with_catalog_list(Arc::new(OneCatalogList(Arc::new(OneCatalog(Arc::clone(catalog))))));
        if let Some(functions) = builder.scalar_functions() {
            functions.retain(|function| SCALAR.contains(&function.name()));
        }
        if let Some(functions) = builder.aggregate_functions() {
            functions.retain(|function| AGGREGATE.contains(&function.name()));
        }
        if let Some(functions) = builder.window_functions() {
            functions.retain(|function| WINDOW.contains(&function.name()));
        }
        if let Some(functions) = builder.table_functions() {
            functions.clear();
        }
        if let Some(functions) = builder.higher_order_functions() {
            functions.clear();
        }
        let mut state = builder.build();
        state.mark_start_execution();
        state.execution_props_mut().query_execution_start_time = Some(self.clock.now().to_china().to_utc());
        Ok(state)
    }

    /// Runs the plan into the channel, within the limits.
    async fn drive(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        state: &SessionState,
        sender: &mpsc::Sender<Message>,
        deadline: tokio::time::Instant,
    ) -> Tally {
        let limits = self.limits.clone();
        let (context, sender) = (state.task_ctx(), sender.clone());
        let task = SpawnedTask::spawn(async move {
            let mut tally = Tally::default();
            let mut stream = match execute_stream(plan, context) {
                Ok(stream) => stream,
                Err(error) => return tally.failed(QueryError::of_execution(&error, limits.query_memory_bytes)),
            };
            loop {
                let next = tokio::select! {
                    next = stream.next() => next,
                    () = sender.closed() => return tally.failed(QueryError::Cancelled),
                    () = tokio::time::sleep_until(deadline) => {
                        return tally.failed(QueryError::Timeout { limit: limits.timeout });
                    }
                };
                let batch = match next {
                    None => return tally,
                    Some(Ok(batch)) => batch,
                    Some(Err(error)) => {
                        return tally.failed(QueryError::of_execution(&error, limits.query_memory_bytes));
                    }
                };
                let rows = tally.rows.saturating_add(batch.num_rows() as u64);
                let bytes = tally.bytes.saturating_add(batch.get_array_memory_size() as u64);
                if rows > limits.rows_max {
                    return tally.failed(QueryError::AnswerTooLarge { limit: limits.rows_max, unit: "rows" });
                }
                if bytes > limits.bytes_max {
                    return tally.failed(QueryError::AnswerTooLarge { limit: limits.bytes_max, unit: "bytes" });
                }
                let sent = tokio::time::timeout_at(deadline, sender.send(Message::Batch(batch))).await;
                match sent {
                    Ok(Ok(())) => (tally.rows, tally.bytes) = (rows, bytes),
                    Ok(Err(_)) => return tally.failed(QueryError::Cancelled),
                    Err(_) => return tally.failed(QueryError::Timeout { limit: limits.timeout }),
                }
            }
        });
        task.join().await.unwrap_or_else(|_panicked| Tally::default().failed(QueryError::Internal))
    }
}

/// Pseudonyms of two purposes, of two cases, or of two departments have nothing in common: what departments are given
/// cannot be put together into more.
fn pseudonym_context(principal: &Principal, purpose: &Purpose) -> String {
    let mut context = purpose.code.clone();
    if let Some(case) = &purpose.case {
        context = format!("{context}\u{1f}{case}");
    }
    if principal.role == Role::Department {
        let department = principal.department.as_deref().unwrap_or_default();
        context = format!("department\u{1f}{department}\u{1f}{context}");
    }
    context
}

/// How a plan came about.
struct Outcome {
    catalog: Arc<SessionCatalog>,
    guarded: Option<Guarded>,
}

#[derive(Debug, Default)]
struct Tally {
    rows: u64,
    bytes: u64,
    failure: Option<QueryError>,
}

impl Tally {
    fn failed(mut self, why: QueryError) -> Self {
        self.failure = Some(why);
        self
    }
}

fn code(error: &QueryError) -> String {
    use minqiao_core::KindOf;
    error.code().to_owned()
}

/// Tables and columns that the optimised plan reads, for the audit record.
fn tables_read(plan: &LogicalPlan, catalog: &SessionCatalog) -> Result<Vec<TableRead>, DataFusionError> {
    let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let columns = read.entry(scan.table_name.table().to_owned()).or_default();
            let secure = catalog.secure(scan.table_name.table());
            // A column that only a pushed filter reads is read all the same.
            let filtered =
                scan.filters.iter().flat_map(|filter| filter.column_refs()).map(|column| column.name.clone());
            let projected = scan.projected_schema.fields().iter().map(|field| field.name().clone());
            for name in projected.chain(filtered).filter(|name| name != secure_table::ENTITY) {
                let shown = secure.as_ref().map_or_else(|| "raw".to_owned(), |table| table.shown(&name).to_string());
                columns.insert(format!("{name}:{shown}"));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let described = read.into_iter().map(|(item, columns)| {
        let decision = catalog.secure(&item).map(|table| Arc::clone(&table.decision));
        TableRead {
            item,
            columns: columns.into_iter().collect(),
            access: decision.as_ref().map_or_else(|| "rows".to_owned(), |d| d.access.to_string()),
            rows: decision.as_ref().map_or_else(|| "all".to_owned(), |d| rows_in_words(d)),
        }
    });
    Ok(described.collect())
}

pub(crate) fn rows_in_words(decision: &TableDecision) -> String {
    let mut words = match &decision.rows.reach {
        Reach::City => "city".to_owned(),
        Reach::County { county, .. } => format!("county {county}"),
        Reach::Case { .. } => "case".to_owned(),
        Reach::Nothing => "nothing".to_owned(),
    };
    if decision.rows.authorised_only {
        words.push_str(", authorised");
    }
    if decision.rows.without_minors {
        words.push_str(", without minors");
    }
    words
}
