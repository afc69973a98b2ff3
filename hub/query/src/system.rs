//! Tables of the hub about itself (`audit_log`, `ingest_counts`): no item, no personal data, read when a query asks.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::StreamExt;
use futures::stream::BoxStream;

/// Why rows cannot be had. Users see its class only (SEC-4).
pub type SystemError = Box<dyn std::error::Error + Send + Sync>;

/// Where the rows of a table come from, page by page.
pub trait SystemRows: Send + Sync + fmt::Debug {
    /// Columns; their labels (`label_zh`) stand in the metadata of the fields.
    fn schema(&self) -> SchemaRef;

    /// The rows as they are now, in batches of [`SystemRows::schema`].
    fn rows(&self) -> BoxStream<'static, Result<RecordBatch, SystemError>>;
}

/// A table that is no item; visible when the policies permit `read` on the view of its name. It must not hold personal
/// data.
#[derive(Debug, Clone)]
pub struct SystemTable {
    pub(crate) name: String,
    pub(crate) label_zh: String,
    pub(crate) provider: Arc<dyn TableProvider>,
}

impl SystemTable {
    /// `name` in SQL and in the policies, its Chinese name, its rows.
    ///
    /// # Panics
    /// Never: one partition has the schema of itself.
    pub fn new(name: &str, label_zh: &str, rows: Arc<dyn SystemRows>) -> Self {
        let schema = rows.schema();
        let pages: Arc<dyn PartitionStream> = Arc::new(Pages { schema: Arc::clone(&schema), rows });
        let provider = StreamingTable::try_new(schema, vec![pages]).expect("one schema");
        Self { name: name.to_owned(), label_zh: label_zh.to_owned(), provider: Arc::new(provider) }
    }
}

#[derive(Debug)]
struct Pages {
    schema: SchemaRef,
    rows: Arc<dyn SystemRows>,
}

impl PartitionStream for Pages {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let rows = self.rows.rows().map(|page| page.map_err(DataFusionError::External));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
