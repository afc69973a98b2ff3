//! The allow-list on the plan: kinds of nodes, kinds of expressions, functions, size, and growth of text.
//!
//! It reads the plan as SQL was planned, before any optimisation, sub-queries included. What it does not name is
//! refused, so a new feature of the engine is closed until somebody opens it here.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result as EngineResult};
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};

use crate::error::QueryError;
use crate::functions::{AGGREGATE, JOINS_TEXT, SCALAR, WINDOW};
use crate::limits::Limits;

/// Lets a plan through or says what is wrong with it.
pub fn admit(plan: &LogicalPlan, limits: &Limits) -> Result<(), QueryError> {
    let mut nodes = 0usize;
    let mut refusal = None;
    let visited = plan.apply_with_subqueries(|node| {
        nodes += 1;
        let checked = if nodes > limits.plan_nodes_max {
            Err(QueryError::StatementTooLarge { limit: limits.plan_nodes_max, unit: "plan nodes" })
        } else {
            node_allowed(node).and_then(|()| expressions_allowed(node))
        };
        Ok(match checked {
            Ok(()) => TreeNodeRecursion::Continue,
            Err(why) => {
                refusal = Some(why);
                TreeNodeRecursion::Stop
            }
        })
    });
    match (refusal, visited) {
        (Some(why), _) => Err(why),
        (None, Err(error)) => Err(QueryError::of_planning(&error)),
        (None, Ok(_)) => growth(plan, limits).map(|_| ()),
    }
}

fn node_allowed(node: &LogicalPlan) -> Result<(), QueryError> {
    let what = match node {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Join(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Limit(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(_) => return Ok(()),
        LogicalPlan::RecursiveQuery(_) => "WITH RECURSIVE",
        LogicalPlan::Unnest(_) => "UNNEST",
        LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) => "EXPLAIN",
        LogicalPlan::DescribeTable(_) => "DESCRIBE",
        LogicalPlan::Copy(_) => "COPY",
        LogicalPlan::Dml(_) => "INSERT, UPDATE or DELETE",
        LogicalPlan::Ddl(_) => "CREATE or DROP",
        LogicalPlan::Statement(_) => "this statement",
        _ => "this form of SQL",
    };
    Err(QueryError::NotAllowed { what })
}

fn expressions_allowed(node: &LogicalPlan) -> Result<(), QueryError> {
    let mut refusal = None;
    let visited = node.apply_expressions(|expression| {
        expression.apply(|part| {
            Ok(match expression_allowed(part) {
                Ok(()) => TreeNodeRecursion::Continue,
                Err(why) => {
                    refusal = Some(why);
                    TreeNodeRecursion::Stop
                }
            })
        })
    });
    match (refusal, visited) {
        (Some(why), _) => Err(why),
        (None, Err(error)) => Err(QueryError::of_planning(&error)),
        (None, Ok(_)) => Ok(()),
    }
}

fn expression_allowed(expression: &Expr) -> Result<(), QueryError> {
    let function = |known: &[&str], name: &str| {
        if known.contains(&name) { Ok(()) } else { Err(QueryError::NotFound { what: "a function" }) }
    };
    match expression {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::Literal(..)
        | Expr::BinaryExpr(_)
        | Expr::Like(_)
        | Expr::SimilarTo(_)
        | Expr::Not(_)
        | Expr::IsNotNull(_)
        | Expr::IsNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Negative(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::Cast(_)
        | Expr::TryCast(_)
        | Expr::InList(_)
        | Expr::Exists(_)
        | Expr::InSubquery(_)
        | Expr::SetComparison(_)
        | Expr::ScalarSubquery(_)
        | Expr::GroupingSet(_)
        | Expr::OuterReferenceColumn(..) => Ok(()),
        Expr::ScalarFunction(call) => function(SCALAR, call.func.name()),
        Expr::AggregateFunction(call) => function(AGGREGATE, call.func.name()),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(udf) => function(AGGREGATE, udf.name()),
            WindowFunctionDefinition::WindowUDF(udf) => function(WINDOW, udf.name()),
        },
        Expr::Placeholder(_) => Err(QueryError::Invalid),
        _ => Err(QueryError::NotAllowed { what: "this expression" }),
    }
}

/// How many times longer than a stored text a text of this plan can be, at most; refused above the limit, because
/// doubling a text in ever more layers ends in all the memory there is.
fn growth(plan: &LogicalPlan, limits: &Limits) -> Result<usize, QueryError> {
    let mut below = 1usize;
    for input in plan.inputs() {
        below = below.max(growth(input, limits)?);
    }
    let mut here = below;
    let mut refusal = None;
    let visited: EngineResult<TreeNodeRecursion> = plan.apply_expressions(|expression| {
        here = here.max(weight(expression, below, limits, &mut refusal)?);
        Ok(TreeNodeRecursion::Continue)
    });
    if let Some(why) = refusal {
        return Err(why);
    }
    visited.map_err(|e| QueryError::of_planning(&e))?;
    if here > limits.text_growth_max {
        return Err(QueryError::StatementTooLarge { limit: limits.text_growth_max, unit: "times growth of a text" });
    }
    Ok(here)
}

fn weight(
    expression: &Expr,
    below: usize,
    limits: &Limits,
    refusal: &mut Option<QueryError>,
) -> Result<usize, DataFusionError> {
    let mut sub = 0usize;
    let mut most = below;
    let mut sum = 0usize;
    expression.apply_children(|child| {
        let one = weight(child, below, limits, refusal)?;
        most = most.max(one);
        sum = sum.saturating_add(one);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Expr::ScalarSubquery(subquery) = expression {
        match growth(&subquery.subquery, limits) {
            Ok(grown) => sub = grown,
            Err(why) => *refusal = Some(why),
        }
    }
    let joins = match expression {
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        Expr::ScalarFunction(call) => JOINS_TEXT.contains(&call.func.name()),
        _ => false,
    };
    Ok(if joins { sum.max(below) } else { most.max(sub) })
}
