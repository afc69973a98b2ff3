//! Aggregates over protected columns: released over at least `k` people, or not at all.
//!
//! A statement is under the guard when it reads a table that only answers aggregates, or a column that exists only
//! inside aggregates. Then the whole statement must have this shape, and everything else is refused:
//!
//! ```text
//! Sort, Limit, Distinct, Projection, Filter (HAVING)      any expression over the released cells
//! ── suppression ──────────────────────────────────────
//! Aggregate     keys: dimensions, bare.  COUNT, SUM, AVG of bare columns, no FILTER, no ORDER BY
//! Filter        AND of dimension = literal, IN (literals), <, >, BETWEEN, IS NULL
//! Join          inner, on the people of both sides
//! tables        of items, aliased if wished
//! ```
//!
//! Dimensions are columns shown raw or masked, except numbers that name a record; measures are the aggregate-only
//! ones. People, never rows, are counted: every table contributes its subject's token, and a cell needs `k` distinct
//! ones of each. What is suppressed:
//!
//! - a cell with fewer than `k` people is left out (`HAVING`, ordering and limits see only what is released);
//! - a COUNT, SUM or AVG of a column that fewer than `k` people of the cell have a value in is null;
//! - if the left-out cells of one answer hold fewer than `k` people together, the smallest released cell goes too, so
//!   that subtracting the rest from a total found elsewhere does not isolate them;
//! - if a filter leaves out at least one and fewer than `k` people, the statement is refused: `all` minus `all but one`
//!   must not be asked in two halves.
//!
//! What this does not stop: differencing by a chain of overlapping filters (trackers), sums that one person dominates,
//! and cells whose people all share one value. Against these only noise with a budget helps (architecture D1, opendp); that is later work, and
//! until then the guard's filters are kept to coarse dimensions. A repeated query gives the same exact answer, so
//! repeating it teaches nothing.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as EngineResult};
use datafusion::functions_aggregate::count::count_distinct;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Expr, ExprFunctionExt, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder,
    Operator, WindowFunctionDefinition, lit, when,
};
use minqiao_policy::Show;
use minqiao_schemas::FieldType;

use crate::error::QueryError;
use crate::secure_table::{ENTITY, SecureTable};

/// Finds the secure table behind a name of the session.
pub(crate) type Lookup<'a> = dyn Fn(&str) -> Option<Arc<SecureTable>> + 'a;

/// Whether the statement reads anything protected.
pub(crate) fn is_protected(plan: &LogicalPlan, tables: &Lookup<'_>) -> EngineResult<bool> {
    let mut protected = false;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && tables(scan.table_name.table()).is_some_and(|table| table.guarded)
        {
            protected = true;
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(protected)
}

/// A statement under the guard, ready to run.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// With suppression in it.
    pub(crate) plan: LogicalPlan,
    /// Counts the people that the statement's filter leaves out, one row with one number per table; the statement may
    /// run when each is zero or at least `k`. `None` without a filter.
    pub(crate) left_out: Option<LogicalPlan>,
    /// The threshold.
    pub(crate) k: u32,
}

/// Checks the shape and builds suppression into the plan.
pub(crate) fn guard(plan: LogicalPlan, tables: &Lookup<'_>, k: u32) -> Result<Guarded, QueryError> {
    let checker = Checker { tables, k };
    let mut left_out = None;
    let mut found = false;
    let guarded = checker.rewrite_top(plan, &mut left_out, &mut found)?;
    if found { Ok(Guarded { plan: guarded, left_out, k }) } else { Err(checker.refuse("there must be one aggregate")) }
}

struct Checker<'a> {
    tables: &'a Lookup<'a>,
    k: u32,
}

/// The input of the aggregate, understood.
struct Below {
    /// Qualifiers of the tables with what stands behind them.
    tables: Vec<(String, Arc<SecureTable>)>,
    /// All filters, taken out.
    filters: Vec<Expr>,
    /// The same plan without them.
    unfiltered: LogicalPlan,
}

impl Checker<'_> {
    fn refuse(&self, rule: &'static str) -> QueryError {
        QueryError::Protected { k: self.k, rule }
    }

    /// Walks down what stands above the aggregate.
    fn rewrite_top(
        &self,
        plan: LogicalPlan,
        left_out: &mut Option<LogicalPlan>,
        found: &mut bool,
    ) -> Result<LogicalPlan, QueryError> {
        if has_subquery(&plan) {
            return Err(self.refuse("no sub-query"));
        }
        match plan {
            LogicalPlan::Aggregate(aggregate) => {
                *found = true;
                self.rewrite_aggregate(aggregate, left_out)
            }
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Distinct(_) => {
                let input = plan.inputs().first().map(|input| (*input).clone());
                let input = input.ok_or_else(|| self.refuse("there must be one aggregate"))?;
                let rewritten = self.rewrite_top(input, left_out, found)?;
                let expressions = plan.expressions();
                plan.with_new_exprs(expressions, vec![rewritten]).map_err(|e| QueryError::of_planning(&e))
            }
            _ => Err(self.refuse("one aggregate over tables, nothing joined or united above it")),
        }
    }

    fn rewrite_aggregate(
        &self,
        aggregate: Aggregate,
        left_out: &mut Option<LogicalPlan>,
    ) -> Result<LogicalPlan, QueryError> {
        let below = self.below(&aggregate.input)?;
        if below.tables.is_empty() {
            return Err(self.refuse("an aggregate over tables"));
        }
        for key in &aggregate.group_expr {
            if matches!(key, Expr::GroupingSet(_)) {
                return Err(self.refuse("no ROLLUP, CUBE or GROUPING SETS"));
            }
            self.dimension(key, &below, "group by bare dimensions")?;
        }
        for call in &aggregate.aggr_expr {
            self.measure(call, &below)?;
        }
        for filter in &below.filters {
            self.filter(filter, &below)?;
        }
        let suppressed = self.suppressed(&aggregate, &below).map_err(|e| QueryError::of_planning(&e))?;
        if let Some(all) = below.filters.iter().cloned().reduce(Expr::and) {
            *left_out = Some(self.people_left_out(&below, all).map_err(|e| QueryError::of_planning(&e))?);
        }
        Ok(suppressed)
    }

    /// Filters, joins and tables below the aggregate.
    fn below(&self, plan: &LogicalPlan) -> Result<Below, QueryError> {
        if has_subquery(plan) {
            return Err(self.refuse("no sub-query"));
        }
        match plan {
            LogicalPlan::TableScan(scan) => {
                let table =
                    (self.tables)(scan.table_name.table()).ok_or_else(|| self.refuse("tables of items only"))?;
                if !scan.filters.is_empty() || scan.fetch.is_some() {
                    return Err(self.refuse("tables of items only"));
                }
                let name = scan.table_name.to_string();
                Ok(Below { tables: vec![(name, table)], filters: Vec::new(), unfiltered: plan.clone() })
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = self.below(&alias.input)?;
                let [(_, table)] = below.tables.as_slice() else { return Err(self.refuse("an alias names one table")) };
                if !matches!(alias.input.as_ref(), LogicalPlan::TableScan(_)) {
                    return Err(self.refuse("an alias names one table"));
                }
                let tables = vec![(alias.alias.to_string(), Arc::clone(table))];
                Ok(Below { tables, filters: below.filters, unfiltered: plan.clone() })
            }
            LogicalPlan::Filter(Filter { predicate, input, .. }) => {
                let mut below = self.below(input)?;
                below.filters.push(predicate.clone());
                Ok(below)
            }
            LogicalPlan::Join(join) => self.below_join(join),
            _ => Err(self.refuse("below the aggregate only tables, inner joins on people, and filters")),
        }
    }

    fn below_join(&self, join: &Join) -> Result<Below, QueryError> {
        let rule = "join on the people of both tables: a.citizen_id = b.citizen_id";
        let (left, right) = (self.below(&join.left)?, self.below(&join.right)?);
        let mut tables = left.tables;
        tables.extend(right.tables);
        let filters: Vec<Expr> = left.filters.into_iter().chain(right.filters).collect();
        let mut people = 0;
        let mut pairs: Vec<(Expr, Expr)> = join.on.clone();
        if let Some(condition) = &join.filter {
            for part in conjuncts(condition) {
                match part {
                    Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                        pairs.push((left.as_ref().clone(), right.as_ref().clone()));
                    }
                    _ => return Err(self.refuse(rule)),
                }
            }
        }
        let both = Below { tables, filters: filters.clone(), unfiltered: LogicalPlan::default() };
        for (left, right) in &pairs {
            people += usize::from(self.is_person(left, &both) && self.is_person(right, &both));
        }
        if join.join_type != JoinType::Inner || people != pairs.len() || people == 0 {
            return Err(self.refuse(rule));
        }
        let unfiltered = LogicalPlanBuilder::from(left.unfiltered)
            .join_on(right.unfiltered, JoinType::Inner, pairs.iter().map(|(l, r)| l.clone().eq(r.clone())))
            .and_then(LogicalPlanBuilder::build)
            .map_err(|e| QueryError::of_planning(&e))?;
        Ok(Below { tables: both.tables, filters, unfiltered })
    }

    fn shown<'b>(&self, expression: &Expr, below: &'b Below) -> Option<(&'b SecureTable, String, Show)> {
        let Expr::Column(column) = expression else { return None };
        let relation = column.relation.as_ref().map(ToString::to_string);
        let mut owners = below.tables.iter().filter(|(name, table)| {
            relation.as_ref().map_or_else(|| table.item.field(&column.name).is_some(), |wanted| wanted == name)
        });
        let (_, table) = owners.next()?;
        let show = table.shown(&column.name);
        Some((table.as_ref(), column.name.clone(), show))
    }

    /// A column that says who the row is about.
    fn is_person(&self, expression: &Expr, below: &Below) -> bool {
        self.shown(expression, below).is_some_and(|(table, name, show)| {
            show != Show::Absent && table.item.field(&name).is_some_and(|f| f.is_citizen_number() && f.has_token())
        })
    }

    fn dimension(&self, expression: &Expr, below: &Below, rule: &'static str) -> Result<(), QueryError> {
        let refusal = || self.refuse(rule);
        let (table, name, show) = self.shown(expression, below).ok_or_else(refusal)?;
        let coarse = match show {
            Show::Masked(_) => true,
            Show::Raw => {
                name.starts_with('_')
                    || table.item.field(&name).is_some_and(|f| is_coarse(f.ty, f.code_table.is_some()))
            }
            _ => false,
        };
        let sealed = table.item.field(&name).is_some_and(minqiao_schemas::Field::is_sealed);
        if coarse && !sealed && name != "_received_at" { Ok(()) } else { Err(refusal()) }
    }

    fn measure(&self, expression: &Expr, below: &Below) -> Result<(), QueryError> {
        let rule = "COUNT, SUM and AVG of bare columns, without FILTER and ORDER BY";
        let call = match expression {
            Expr::Alias(alias) => alias.expr.as_ref(),
            other => other,
        };
        let Expr::AggregateFunction(AggregateFunction { func, params }) = call else { return Err(self.refuse(rule)) };
        let plain = params.filter.is_none() && params.order_by.is_empty() && params.null_treatment.is_none();
        let [argument] = params.args.as_slice() else { return Err(self.refuse(rule)) };
        let distinct_sum = params.distinct && func.name() != "count";
        if !plain || distinct_sum || !matches!(func.name(), "count" | "sum" | "avg") {
            return Err(self.refuse(rule));
        }
        match argument {
            Expr::Literal(value, _) if func.name() == "count" && !params.distinct && !value.is_null() => Ok(()),
            column => match self.shown(column, below) {
                Some((_, _, show)) if show != Show::Absent => Ok(()),
                _ => Err(self.refuse(rule)),
            },
        }
    }

    fn filter(&self, expression: &Expr, below: &Below) -> Result<(), QueryError> {
        let rule = "filter by AND of comparisons between dimensions and literals";
        let refusal = || self.refuse(rule);
        let dimension = |column: &Expr| self.dimension(column, below, rule);
        match expression {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
                self.filter(left, below)?;
                self.filter(right, below)
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(*op) => {
                match (constant(left), constant(right)) {
                    (false, true) => dimension(left),
                    (true, false) => dimension(right),
                    _ => Err(refusal()),
                }
            }
            Expr::InList(InList { expr, list, .. }) if list.iter().all(constant) => dimension(expr),
            Expr::Between(Between { expr, low, high, .. }) if constant(low) && constant(high) => dimension(expr),
            Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::Not(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner) => dimension(inner),
            column @ Expr::Column(_) => dimension(column),
            _ => Err(refusal()),
        }
    }

    /// The aggregate with a people count per table, the suppression, and the original columns again.
    fn suppressed(&self, aggregate: &Aggregate, below: &Below) -> EngineResult<LogicalPlan> {
        let people: Vec<Expr> = self.people(below).into_iter().map(count_distinct).collect();
        let names: Vec<String> = (0..people.len()).map(|n| format!("__people_{n}")).collect();
        let mut calls = aggregate.aggr_expr.clone();
        calls.extend(people.into_iter().zip(&names).map(|(count, name)| count.alias(name)));
        let having = self.people_with_value(aggregate, below)?;
        calls.extend(having.iter().map(|(_, name, count)| count.clone().alias(name)));
        let counted = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
            .aggregate(aggregate.group_expr.clone(), calls)?;
        let visible: Vec<Expr> = aggregate.schema.iter().map(|(q, f)| Expr::Column(Column::from((q, f)))).collect();
        let mut released = visible.clone();
        let n = names.iter().map(|name| Expr::Column(Column::from_name(name))).collect::<Vec<_>>();
        let k = || lit(i64::from(self.k));
        let enough = n.iter().map(|count| count.clone().gt_eq(k())).reduce(Expr::and).unwrap_or_else(|| lit(false));
        // The people of the left-out cells, together; counted per table, the scarcest decides.
        let mut windows = Vec::new();
        let mut thin = Vec::new();
        for (at, count) in n.iter().enumerate() {
            let held_back = when(enough.clone().is_not_true(), count.clone()).otherwise(lit(0i64))?;
            let name = format!("__held_back_{at}");
            let total = WindowFunction::new(WindowFunctionDefinition::AggregateUDF(sum_udaf()), vec![held_back]);
            windows.push(Expr::WindowFunction(Box::new(total)).alias(&name));
            let held = || Expr::Column(Column::from_name(&name));
            thin.push(held().gt(lit(0i64)).and(held().lt(k())));
        }
        let keys = aggregate.group_expr.len();
        for (at, name, _) in &having {
            let Some(cell) = visible.get(keys + at) else { continue };
            let full = Expr::Column(Column::from_name(name)).gt_eq(k());
            released[keys + at] = when(full, cell.clone()).end()?.alias(cell.schema_name().to_string());
        }
        let mut order: Vec<_> = n.iter().map(|count| count.clone().sort(true, true)).collect();
        order.extend(visible.iter().take(keys).map(|key| key.clone().sort(true, true)));
        let rank = row_number().partition_by(vec![enough.clone()]).order_by(order).build()?.alias("__rank");
        let thin = thin.into_iter().reduce(Expr::or).unwrap_or_else(|| lit(true));
        let smallest = Expr::Column(Column::from_name("__rank")).eq(lit(1u64));
        counted
            .window(windows)?
            .window([rank])?
            .filter(enough.and(thin.and(smallest).is_not_true()))?
            .project(released)?
            .build()
    }

    /// For each call over a column: its position, and how many people have a value there.
    fn people_with_value(&self, aggregate: &Aggregate, below: &Below) -> EngineResult<Vec<(usize, String, Expr)>> {
        let mut all = Vec::new();
        for (at, call) in aggregate.aggr_expr.iter().enumerate() {
            let call = match call {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            let Expr::AggregateFunction(AggregateFunction { params, .. }) = call else { continue };
            let Some(column @ Expr::Column(named)) = params.args.first() else { continue };
            let owner = below.tables.iter().find(|(name, table)| match &named.relation {
                Some(relation) => relation.to_string() == *name,
                None => table.item.field(&named.name).is_some(),
            });
            let Some((owner, _)) = owner else { continue };
            let person = Expr::Column(Column::new(Some(owner.as_str()), ENTITY));
            let with_value = when(column.clone().is_not_null(), person).end()?;
            all.push((at, format!("__with_value_{at}"), count_distinct(with_value)));
        }
        Ok(all)
    }

    fn people(&self, below: &Below) -> Vec<Expr> {
        below.tables.iter().map(|(name, _)| Expr::Column(Column::new(Some(name.as_str()), ENTITY))).collect()
    }

    fn people_left_out(&self, below: &Below, filter: Expr) -> EngineResult<LogicalPlan> {
        let counts = self.people(below).into_iter().map(count_distinct);
        LogicalPlanBuilder::from(below.unfiltered.clone())
            .filter(filter.is_not_true())?
            .aggregate(Vec::<Expr>::new(), counts)?
            .build()
    }
}

fn is_coarse(ty: FieldType, coded: bool) -> bool {
    match ty {
        FieldType::Utf8 => coded,
        FieldType::Boolean => true,
        FieldType::Int32
        | FieldType::Int64
        | FieldType::Date32
        | FieldType::TimestampMs
        | FieldType::Decimal { .. } => false,
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

fn constant(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(..) => true,
        Expr::Cast(cast) => constant(&cast.expr),
        Expr::Negative(inner) => constant(inner),
        _ => false,
    }
}

fn conjuncts(expression: &Expr) -> Vec<&Expr> {
    match expression {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

pub(crate) fn has_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let look = plan.apply_expressions(|expression| {
        found |= expression
            .exists(|part| {
                Ok(matches!(
                    part,
                    Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)
                ))
            })
            .unwrap_or(true);
        Ok(TreeNodeRecursion::Continue)
    });
    found || look.is_err()
}
