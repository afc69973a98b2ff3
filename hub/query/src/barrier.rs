//! The plan node that nothing of the user's passes (architecture D7).
//!
//! DataFusion merges a user's predicate below an ordinary filter and runs it on rows that the filter hides; the error
//! then quotes a hidden cell. A provider that answers `Unsupported` does not stop it, a volatile function does not
//! stop it. This node does, because it keeps every default of [`ExecutionPlan`] that means "no": filters, limits,
//! projections and sorts are not pushed through it, its statistics are unknown, its display is one word. It is also
//! where values leave the seal, after all filters below it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, ReplaceChildrenOptions,
};
use futures::{Stream, StreamExt};

use crate::reveal::Revealer;

/// See the module.
#[derive(Debug, Clone)]
pub struct SecurityBarrierExec {
    input: Arc<dyn ExecutionPlan>,
    revealer: Arc<Revealer>,
    properties: Arc<PlanProperties>,
}

impl SecurityBarrierExec {
    pub(crate) fn new(input: Arc<dyn ExecutionPlan>, revealer: Arc<Revealer>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&revealer.schema)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        Self { input, revealer, properties: Arc::new(properties) }
    }

    fn with_input(&self, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self::new(input, Arc::clone(&self.revealer)))),
            _ => Err(DataFusionError::Internal("the barrier has one input".into())),
        }
    }
}

impl DisplayAs for SecurityBarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecurityBarrierExec")
    }
}

impl ExecutionPlan for SecurityBarrierExec {
    fn name(&self) -> &'static str {
        "SecurityBarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.with_input(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        Ok(Box::pin(Revealed { input, revealer: Arc::clone(&self.revealer) }))
    }
}

struct Revealed {
    input: SendableRecordBatchStream,
    revealer: Arc<Revealer>,
}

impl Stream for Revealed {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.input.poll_next_unpin(cx);
        polled.map(|next| next.map(|batch| self.revealer.reveal(&batch?)))
    }
}

impl RecordBatchStream for Revealed {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.revealer.schema)
    }
}
