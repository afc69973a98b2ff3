//! Changes of an item as one principal sees them: what a feed shows (egress).
//!
//! A feed reads the log, not the lake, but shows through the very table that a query reads: [`SecureTable`], with the
//! rows of some messages in place of the stored ones. Decision, row scope, masks, pseudonyms and barrier are therefore
//! those of SQL by construction, and there is no second place that shows a field. A feed is the narrower door: it
//! needs leave to subscribe beside everything that a query needs, and an item that may only be aggregated has none.
//!
//! Three columns stand after those of SQL: `_op` says what happened (`upsert`, `delete`), `_record` is the same for all
//! versions of a record and means nothing outside this principal's purpose, and a place, which does not leave this crate.
//!
//! Scopes that depend on people (registered in the county, of age, with a valid authorisation) are sets from the lake
//! as it is when the page is made. What is hidden then is passed over for good; a query shows it as soon as it may.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::collect;
use datafusion::prelude::{SessionConfig, SessionContext};
use minqiao_schemas::Item;

use crate::audit::TableRead;
use crate::base::BaseTables;
use crate::catalog::{ColumnInfo, columns_of};
use crate::error::QueryError;
use crate::secure_table::{PLACE, SecureTable};
use crate::service::rows_in_words;

/// Changes of one item for one principal and purpose. Made anew for every page, so that a revocation holds from the next
/// page on.
#[derive(Debug)]
pub struct ItemChanges {
    table: SecureTable,
    runtime: Arc<RuntimeEnv>,
    memory_bytes: usize,
}

/// Rows that may be seen.
#[derive(Debug)]
pub struct Shown {
    /// In the order of the log.
    pub rows: RecordBatch,
    /// Which of the rows that were handed in is the last one here, counted over all batches from 0.
    pub last: Option<usize>,
}

impl ItemChanges {
    pub(crate) fn new(table: SecureTable, runtime: Arc<RuntimeEnv>, memory_bytes: usize) -> Self {
        Self { table: table.of_changes(), runtime, memory_bytes }
    }

    /// The item.
    pub fn item(&self) -> &Arc<Item> {
        &self.table.item
    }

    /// Columns of every page.
    pub fn schema(&self) -> SchemaRef {
        let schema = self.table.schema();
        let shown: Vec<_> = schema.fields().iter().filter(|field| field.name() != PLACE).cloned().collect();
        Arc::new(Schema::new_with_metadata(shown, schema.metadata().clone()))
    }

    /// The same, for people.
    pub fn columns(&self) -> Vec<ColumnInfo> {
        columns_of(&self.schema())
    }

    /// What an audit record says of a page.
    pub fn read(&self) -> TableRead {
        let columns = self.columns().into_iter().map(|column| format!("{}:{}", column.name, column.shown));
        TableRead {
            item: self.table.item.code.clone(),
            columns: columns.collect(),
            access: "changes".to_owned(),
            rows: rows_in_words(&self.table.decision),
        }
    }

    /// Version of the policies that decided.
    pub fn policy_version(&self) -> &str {
        &self.table.decision.policy_version
    }

    /// What may be seen of sealed rows, at most `rows_max` of them, in their order.
    pub async fn show(&self, stored: &[RecordBatch], rows_max: usize) -> Result<Shown, QueryError> {
        let failed = |error| QueryError::of_execution(&error, self.memory_bytes);
        let page = Page::of(&self.table.item, stored).map_err(failed)?;
        let table = self.table.over(Arc::new(page));
        // One partition: the order of the log is the order of the page.
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, Arc::clone(&self.runtime));
        let plan = table.scan(&context.state(), None, &[], Some(rows_max)).await.map_err(failed)?;
        let batches = collect(plan, context.task_ctx()).await.map_err(failed)?;
        let rows = concat_batches(&table.schema(), &batches).map_err(|_| QueryError::Internal)?;
        let places: Vec<i64> = rows
            .column_by_name(PLACE)
            .and_then(|column| column.as_primitive_opt::<Int64Type>())
            .map(|column| column.values().to_vec())
            .ok_or(QueryError::Internal)?;
        // A page out of order would lose rows when the next one goes on behind it.
        if !places.is_sorted() || rows.num_rows() > rows_max {
            return Err(QueryError::Internal);
        }
        let last = places.last().map(|place| usize::try_from(*place)).transpose().map_err(|_| QueryError::Internal)?;
        let shown: Vec<usize> = (0..rows.num_columns()).filter(|at| rows.schema().field(*at).name() != PLACE).collect();
        let rows = rows.project(&shown).map_err(|_| QueryError::Internal)?;
        Ok(Shown { rows, last })
    }
}

/// Rows of some messages as the only stored rows.
#[derive(Debug)]
struct Page {
    item: String,
    rows: Arc<dyn TableProvider>,
}

impl Page {
    fn of(item: &Item, stored: &[RecordBatch]) -> Result<Self, datafusion::common::DataFusionError> {
        let sealed = item.sealed_schema();
        let place = Field::new(PLACE, DataType::Int64, false);
        let fields: Vec<Field> = sealed.fields().iter().map(|field| field.as_ref().clone()).chain([place]).collect();
        let schema = Arc::new(Schema::new(fields));
        let mut next = 0i64;
        let mut batches = Vec::with_capacity(stored.len());
        for batch in stored {
            let end = next + i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            let places: ArrayRef = Arc::new(Int64Array::from_iter_values(next..end));
            let columns = batch.columns().iter().cloned().chain([places]).collect();
            batches.push(RecordBatch::try_new(Arc::clone(&schema), columns)?);
            next = end;
        }
        Ok(Self { item: item.code.clone(), rows: Arc::new(MemTable::try_new(schema, vec![batches])?) })
    }
}

impl BaseTables for Page {
    fn current(&self, item: &str) -> Option<Arc<dyn TableProvider>> {
        (item == self.item).then(|| Arc::clone(&self.rows))
    }

    fn version(&self, _: &str) -> Option<u64> {
        None
    }
}
