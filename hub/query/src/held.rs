//! Memory that operators of the engine hold without counting it, counted.
//!
//! The engine's pool knows the bytes of the arrays that joins, sorts and aggregates keep. It does not know three things:
//! a batch costs memory even when it has no columns or one row (a cross join makes one batch per row of its left side,
//! so five joins of a table of fifty rows are millions of them), joins without an equality copy their left side into one
//! batch while they still hold the pieces, and windows hold all their rows uncounted.
//!
//! ```text
//! CrossJoin            ─►  Gathered ─ CrossJoin ─┬─ Counted ─ left
//!                                                └─ right
//! NestedLoopJoin, Window, BoundedWindow          ──  Counted ─ (left) input
//! ```
//!
//! *Gathered* makes batches of the usual size and gives the runtime a chance to stop the query, which a cross join
//! over one long batch does not. *Counted* charges the query's pool; what was charged stays charged until the query is
//! over, since windows keep rows after their input ended.
//!
//! What it leaves out: what one expression makes of one batch (`Limits::text_growth_max` bounds it), and the short time
//! in which a hash join holds its build side twice.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::BatchCoalescer;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    WindowExpr,
};
use futures::{StreamExt, TryStreamExt, stream};

/// What a batch costs besides its values: its schema with labels, its list of columns, the columns' own descriptions.
const BATCH_BYTES: usize = 1 << 10;
/// What one value of a window's result is taken for.
const RESULT_BYTES: usize = 16;

/// Puts the nodes of this module into every plan of one session. The last rule: nothing moves through them.
#[derive(Debug)]
pub(crate) struct CountHeld {
    held: Arc<MemoryReservation>,
}

impl CountHeld {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        Self { held: Arc::new(MemoryConsumer::new("held").register(pool)) }
    }

    fn first_input_counted(
        &self,
        node: &Arc<dyn ExecutionPlan>,
        results: Results,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = node.children().into_iter().cloned().collect();
        let Some(first) = inputs.first_mut() else { return Ok(None) };
        let duty = Duty::Count { held: Arc::clone(&self.held), results };
        *first = Arc::new(HeldExec { input: Arc::clone(first), duty });
        let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
        Arc::clone(node).replace_children(inputs, options).map(Some)
    }

    fn counted(&self, node: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if node.downcast_ref::<CrossJoinExec>().is_some() {
            let join = self.first_input_counted(node, Results::default())?;
            return Ok(join.map(|join| Arc::new(HeldExec { input: join, duty: Duty::Gather }) as _));
        }
        if node.downcast_ref::<NestedLoopJoinExec>().is_some() {
            return self.first_input_counted(node, Results::default());
        }
        let window = node.downcast_ref::<WindowAggExec>().map(WindowAggExec::window_expr);
        let bounded = node.downcast_ref::<BoundedWindowAggExec>().map(BoundedWindowAggExec::window_expr);
        match window.or(bounded) {
            Some(calls) => self.first_input_counted(node, Results::of(calls)?),
            None => Ok(None),
        }
    }
}

impl PhysicalOptimizerRule for CountHeld {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let rewritten = plan.transform_up(|node| {
            Ok(match self.counted(&node)? {
                Some(counted) => Transformed::yes(counted),
                None => Transformed::no(node),
            })
        });
        rewritten.data()
    }

    fn name(&self) -> &'static str {
        "count_held"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The columns that a window adds to its rows.
#[derive(Debug, Clone, Copy, Default)]
struct Results {
    /// Of numbers, dates, flags.
    fixed: usize,
    /// Of texts: each value is taken for as long as a whole row of the batch is on average.
    texts: usize,
}

impl Results {
    fn of(calls: &[Arc<dyn WindowExpr>]) -> Result<Self> {
        let mut results = Self::default();
        for call in calls {
            if call.field()?.data_type().primitive_width().is_some() {
                results.fixed += 1;
            } else {
                results.texts += 1;
            }
        }
        Ok(results)
    }

    fn bytes(self, rows: usize, values: usize) -> usize {
        let all = rows.saturating_mul(RESULT_BYTES).saturating_mul(self.fixed.saturating_add(self.texts));
        all.saturating_add(values.saturating_mul(self.texts))
    }
}

/// See the module.
#[derive(Debug, Clone)]
struct HeldExec {
    input: Arc<dyn ExecutionPlan>,
    duty: Duty,
}

#[derive(Debug, Clone)]
enum Duty {
    Gather,
    Count { held: Arc<MemoryReservation>, results: Results },
}

impl HeldExec {
    fn over(&self, mut inputs: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (inputs.pop(), inputs.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, duty: self.duty.clone() })),
            _ => Err(DataFusionError::Internal("what is held has one input".into())),
        }
    }
}

impl DisplayAs for HeldExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldExec")
    }
}

impl ExecutionPlan for HeldExec {
    fn name(&self) -> &'static str {
        "HeldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
        self.over(children)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self { input, duty: self.duty.clone() })),
            _ => Err(DataFusionError::Internal("what is held has one input".into())),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let rows = context.session_config().batch_size();
        let input = self.input.execute(partition, context)?;
        Ok(match &self.duty {
            Duty::Gather => gathered(input, rows),
            Duty::Count { held, results } => counted(input, Arc::clone(held), *results),
        })
    }
}

fn gathered(input: SendableRecordBatchStream, rows: usize) -> SendableRecordBatchStream {
    let schema = input.schema();
    let gatherer =
        BatchCoalescer::new(Arc::clone(&schema), rows).with_biggest_coalesce_batch_size(Some(rows.div_ceil(2)));
    let batches = stream::try_unfold((input, gatherer, false), |(mut input, mut gatherer, mut over)| async move {
        loop {
            if let Some(batch) = gatherer.next_completed_batch() {
                return Ok(Some((batch, (input, gatherer, over))));
            }
            if over {
                return Ok(None);
            }
            match input.next().await {
                Some(batch) => gatherer.push_batch(batch?)?,
                None => {
                    gatherer.finish_buffered_batch()?;
                    over = true;
                }
            }
        }
    });
    make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
}

fn counted(
    input: SendableRecordBatchStream,
    held: Arc<MemoryReservation>,
    results: Results,
) -> SendableRecordBatchStream {
    let schema = input.schema();
    let batches = input.and_then(move |batch| {
        let values = values(&batch);
        let bytes = BATCH_BYTES.saturating_add(values).saturating_add(results.bytes(batch.num_rows(), values));
        futures::future::ready(held.try_grow(bytes).map(|()| batch))
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, batches))
}

/// Bytes of the values themselves: of a slice, not of everything that it is a slice of.
fn values(batch: &RecordBatch) -> usize {
    let of = |column: &Arc<dyn Array>| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(of).fold(0, usize::saturating_add)
}
