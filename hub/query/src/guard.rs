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
//! - what is held back in one answer must not be the difference of a total and the rest: if the people held back among
//!   the cells that agree in some of the keys (or in none) are fewer than `k`, each counted once, the smallest cell there
//!   goes too; single values that are null are treated as cells that are left out ([`crate::suppress`]);
//! - if a filter leaves out rows of at least one and fewer than `k` people, the statement is refused: `all` minus `all
//!   but one` must not be asked in two halves;
//! - the same if a join leaves out, of either table, rows of at least one and fewer than `k` people, with and without
//!   the filters of both. More than two tables are refused: each part of a longer join can be asked by itself.
//!
//! What this does not stop: differencing by a chain of statements (overlapping filters, or a cell that one statement
//! holds back as the smallest and another gives), sums that one person dominates, and cells whose people all share one
//! value. Against these only noise with a budget helps (architecture D1, opendp); that is later work, and until then the
//! guard's filters are kept to coarse dimensions. A repeated query gives the same exact answer, so repeating it teaches
//! nothing.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result as EngineResult};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::functions_aggregate::count::count_distinct;
use datafusion::logical_expr::expr::{AggregateFunction, InList};
use datafusion::logical_expr::{
    Aggregate, Between, BinaryExpr, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, when,
};
use minqiao_policy::Show;
use minqiao_schemas::FieldType;

use crate::error::QueryError;
use crate::secure_table::{ENTITY, SecureTable};
use crate::suppress::Shape;

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

/// A statement under the guard: what is run first, and what is made of it.
#[derive(Debug)]
pub(crate) struct Guarded {
    /// All cells, with the people in each.
    pub(crate) cells: LogicalPlan,
    /// Each row's cell and people; run when a cell is small.
    pub(crate) people: LogicalPlan,
    /// Columns of both.
    pub(crate) shape: Shape,
    /// Count the people that the filter and the join leave out, one row each; the statement may run when every number
    /// is zero or at least `k`.
    pub(crate) left_out: Vec<LogicalPlan>,
    /// The threshold.
    pub(crate) k: u32,
    aggregate: Aggregate,
    /// What stands above the aggregate, outermost first.
    above: Vec<LogicalPlan>,
}

/// The released cells in the plan; never a name that a statement can use.
const RELEASED: &str = "__released";
/// Each doubles the groups in which suppression looks.
const KEYS_MAX: usize = 6;

impl Guarded {
    /// Columns of the released cells: those of the aggregate, each value nullable.
    pub(crate) fn released_schema(&self) -> SchemaRef {
        let fields = self.aggregate.schema.fields().iter().enumerate();
        let fields = fields.map(|(at, field)| field.as_ref().clone().with_name(format!("c{at}")).with_nullable(true));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// The statement over the cells that it may see.
    pub(crate) fn over(self, released: RecordBatch) -> EngineResult<LogicalPlan> {
        let table = MemTable::try_new(released.schema(), vec![vec![released]])?;
        let columns = self.aggregate.schema.iter().enumerate().map(|(at, (qualifier, field))| {
            let column = Expr::Column(Column::new(Some(RELEASED), format!("c{at}")));
            match qualifier {
                Some(qualifier) => column.alias_qualified(Some(qualifier.clone()), field.name()),
                None => column.alias(field.name()),
            }
        });
        let mut plan = LogicalPlanBuilder::scan(RELEASED, provider_as_source(Arc::new(table)), None)?
            .project(columns.collect::<Vec<_>>())?
            .build()?;
        for node in self.above.into_iter().rev() {
            let expressions = node.expressions();
            plan = node.with_new_exprs(expressions, vec![plan])?;
        }
        Ok(plan)
    }
}

/// Checks the shape and takes the statement apart.
pub(crate) fn guard(plan: LogicalPlan, tables: &Lookup<'_>, k: u32) -> Result<Guarded, QueryError> {
    let checker = Checker { tables, k };
    let mut above = Vec::new();
    let aggregate = checker.find_aggregate(plan, &mut above)?;
    checker.take_apart(aggregate, above)
}

struct Checker<'a> {
    tables: &'a Lookup<'a>,
    k: u32,
}

/// The input of the aggregate, understood.
struct Below {
    /// Qualifiers of the tables with what stands behind them.
    tables: Vec<(String, Arc<SecureTable>)>,
    /// Each table by itself, without filters.
    alone: Vec<LogicalPlan>,
    /// What the two tables are joined on.
    pairs: Vec<(Expr, Expr)>,
    /// All filters, taken out.
    filters: Vec<Expr>,
    /// The same plan without them.
    unfiltered: LogicalPlan,
}

impl Below {
    fn one(name: String, table: Arc<SecureTable>, plan: &LogicalPlan) -> Self {
        let plan = || plan.clone();
        let (tables, alone) = (vec![(name, table)], vec![plan()]);
        Self { tables, alone, pairs: Vec::new(), filters: Vec::new(), unfiltered: plan() }
    }

    fn person(&self, table: usize) -> Option<Expr> {
        let (name, _) = self.tables.get(table)?;
        Some(Expr::Column(Column::new(Some(name.as_str()), ENTITY)))
    }

    fn people(&self) -> Vec<Expr> {
        (0..self.tables.len()).filter_map(|table| self.person(table)).collect()
    }

    /// Conditions of the filters on one table; each names one column.
    fn filters_on(&self, table: usize) -> Vec<Expr> {
        let of = |expr: &&Expr| {
            let mut columns = expr.column_refs().into_iter().peekable();
            columns.peek().is_some()
                && columns.all(|column| {
                    let (name, table) = &self.tables[table];
                    column.relation.as_ref().map_or_else(
                        || table.item.field(&column.name).is_some(),
                        |relation| relation.to_string() == *name,
                    )
                })
        };
        self.filters.iter().flat_map(conjuncts).filter(of).cloned().collect()
    }
}

fn joined(left: LogicalPlan, right: LogicalPlan, how: JoinType, pairs: &[(Expr, Expr)]) -> EngineResult<LogicalPlan> {
    let equal = pairs.iter().map(|(left, right)| left.clone().eq(right.clone()));
    LogicalPlanBuilder::from(left).join_on(right, how, equal)?.build()
}

impl Checker<'_> {
    fn refuse(&self, rule: &'static str) -> QueryError {
        QueryError::Protected { k: self.k, rule }
    }

    /// Walks down what stands above the aggregate.
    fn find_aggregate(&self, plan: LogicalPlan, above: &mut Vec<LogicalPlan>) -> Result<Aggregate, QueryError> {
        if has_subquery(&plan) {
            return Err(self.refuse("no sub-query"));
        }
        match plan {
            LogicalPlan::Aggregate(aggregate) => Ok(aggregate),
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Distinct(_) => {
                let input = plan.inputs().first().map(|input| (*input).clone());
                let input = input.ok_or_else(|| self.refuse("there must be one aggregate"))?;
                above.push(plan);
                self.find_aggregate(input, above)
            }
            _ => Err(self.refuse("one aggregate over tables, nothing joined or united above it")),
        }
    }

    fn take_apart(&self, aggregate: Aggregate, above: Vec<LogicalPlan>) -> Result<Guarded, QueryError> {
        let below = self.below(&aggregate.input)?;
        if below.tables.is_empty() {
            return Err(self.refuse("an aggregate over tables"));
        }
        if aggregate.group_expr.len() > KEYS_MAX {
            return Err(self.refuse("group by at most six dimensions"));
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
        let left_out = self.left_out(&below).map_err(|e| QueryError::of_planning(&e))?;
        let (cells, people, shape) = self.cells(&aggregate, &below).map_err(|e| QueryError::of_planning(&e))?;
        Ok(Guarded { cells, people, shape, left_out, k: self.k, aggregate, above })
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
                Ok(Below::one(name, table, plan))
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let below = self.below(&alias.input)?;
                let [(_, table)] = below.tables.as_slice() else { return Err(self.refuse("an alias names one table")) };
                if !matches!(alias.input.as_ref(), LogicalPlan::TableScan(_)) {
                    return Err(self.refuse("an alias names one table"));
                }
                Ok(Below::one(alias.alias.to_string(), Arc::clone(table), plan))
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
        if left.tables.len() + right.tables.len() > 2 {
            return Err(self.refuse("join two tables at most"));
        }
        let mut tables = left.tables;
        tables.extend(right.tables);
        let alone: Vec<LogicalPlan> = left.alone.into_iter().chain(right.alone).collect();
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
        let both = Below { tables, alone, pairs: Vec::new(), filters, unfiltered: LogicalPlan::default() };
        for (left, right) in &pairs {
            people += usize::from(self.is_person(left, &both) && self.is_person(right, &both));
        }
        if join.join_type != JoinType::Inner || people != pairs.len() || people == 0 {
            return Err(self.refuse(rule));
        }
        let unfiltered = joined(left.unfiltered, right.unfiltered, JoinType::Inner, &pairs)
            .map_err(|e| QueryError::of_planning(&e))?;
        Ok(Below { pairs, unfiltered, ..both })
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

    /// What suppression works on, as [`Shape`] describes it.
    fn cells(&self, aggregate: &Aggregate, below: &Below) -> EngineResult<(LogicalPlan, LogicalPlan, Shape)> {
        let people = below.people();
        let with_value = self.people_with_value(aggregate, below)?;
        let shape = Shape {
            keys: aggregate.group_expr.len(),
            calls: aggregate.aggr_expr.len(),
            tables: people.len(),
            over_columns: with_value.iter().map(|(at, _)| *at).collect(),
        };
        let views = || people.iter().chain(with_value.iter().map(|(_, person)| person)).cloned().enumerate();
        let mut calls = aggregate.aggr_expr.clone();
        calls.extend(views().map(|(at, person)| count_distinct(person).alias(format!("__people_{at}"))));
        let cells = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
            .aggregate(aggregate.group_expr.clone(), calls)?
            .build()?;
        let keys = aggregate.group_expr.iter().enumerate();
        let mut columns: Vec<Expr> = keys.map(|(at, key)| key.clone().alias(format!("__key_{at}"))).collect();
        columns.extend(views().map(|(at, person)| person.alias(format!("__person_{at}"))));
        let people = LogicalPlanBuilder::from(aggregate.input.as_ref().clone()).project(columns)?.build()?;
        Ok((cells, people, shape))
    }

    /// For each call over a column: its position, and the person of a row if there is a value in it.
    fn people_with_value(&self, aggregate: &Aggregate, below: &Below) -> EngineResult<Vec<(usize, Expr)>> {
        let mut all = Vec::new();
        for (at, call) in aggregate.aggr_expr.iter().enumerate() {
            let call = match call {
                Expr::Alias(alias) => alias.expr.as_ref(),
                other => other,
            };
            let Expr::AggregateFunction(AggregateFunction { params, .. }) = call else { continue };
            let Some(column @ Expr::Column(named)) = params.args.first() else { continue };
            let owner = below.tables.iter().position(|(name, table)| match &named.relation {
                Some(relation) => relation.to_string() == *name,
                None => table.item.field(&named.name).is_some(),
            });
            let Some(person) = owner.and_then(|owner| below.person(owner)) else { continue };
            all.push((at, when(column.clone().is_not_null(), person).end()?));
        }
        Ok(all)
    }

    /// Counts of the people whose rows a filter or the join leaves out.
    fn left_out(&self, below: &Below) -> EngineResult<Vec<LogicalPlan>> {
        let mut counts = Vec::new();
        if let Some(all) = below.filters.iter().cloned().reduce(Expr::and) {
            let people = below.people().into_iter().map(count_distinct);
            let counted = LogicalPlanBuilder::from(below.unfiltered.clone())
                .filter(all.is_not_true())?
                .aggregate(Vec::<Expr>::new(), people)?
                .build()?;
            counts.push(counted);
        }
        let [first, second] = below.alone.as_slice() else { return Ok(counts) };
        // With and without the filters: `all` of one table, or all that its filter leaves, can be asked by itself.
        let forms = |table: usize, plan: &LogicalPlan| -> EngineResult<Vec<LogicalPlan>> {
            let mut forms = vec![plan.clone()];
            if let Some(filter) = below.filters_on(table).into_iter().reduce(Expr::and) {
                forms.push(LogicalPlanBuilder::from(plan.clone()).filter(filter)?.build()?);
            }
            Ok(forms)
        };
        let [first, second] = [forms(0, first)?, forms(1, second)?];
        for (table, (ours, others)) in [(&first, &second), (&second, &first)].into_iter().enumerate() {
            let Some(person) = below.person(table) else { continue };
            for mine in ours {
                for other in others {
                    let unmatched = joined(mine.clone(), other.clone(), JoinType::LeftAnti, &below.pairs)?;
                    let counted = LogicalPlanBuilder::from(unmatched)
                        .aggregate(Vec::<Expr>::new(), [count_distinct(person.clone())])?
                        .build()?;
                    counts.push(counted);
                }
            }
        }
        Ok(counts)
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
