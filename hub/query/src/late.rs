//! Pseudonyms made late, or never: where a column of pseudonyms is only compared, joined, grouped and counted, the
//! tokens behind it do the same work, and nobody needs the texts.
//!
//! A pseudonym stands for its token one to one, so equality, nullness and the number of distinct values are the same for both.
//! The rule follows each pseudonym column from its scan upwards. As soon as anything else happens to it (it reaches the
//! answer, a function, an ordering, a comparison with a text) it stays a pseudonym, and so does every column it is
//! compared with. Tokens are binary and pseudonyms are text, so a token can reach an answer only with another type: a
//! rewritten plan whose schema differs from the statement's is thrown away (SEC-2).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator, TableScan, TableScanBuilder,
};

use crate::guard::{Lookup, has_subquery};
use crate::secure_table::SecureTable;

/// The plan with tokens in place of the pseudonyms that only stand for themselves.
pub(crate) fn pseudonyms_late(plan: &LogicalPlan, tables: &Lookup<'_>) -> Result<LogicalPlan> {
    if plan.exists(|node| Ok(has_subquery(node)))? {
        return Ok(plan.clone());
    }
    let mut trace = Trace { tables, classes: Vec::new(), columns: Vec::new(), scans: 0 };
    let out = trace.node(plan)?;
    trace.spoil_all(&out);
    let mut kept: HashMap<usize, Vec<usize>> = HashMap::new();
    for (class, (scan, column)) in trace.columns.iter().enumerate() {
        if !trace.is_spoilt(class) {
            kept.entry(*scan).or_default().push(*column);
        }
    }
    if kept.is_empty() {
        return Ok(plan.clone());
    }
    let late = with_tokens(plan, &kept, tables)?;
    Ok(if same_columns(&late, plan) { late } else { plan.clone() })
}

fn same_columns(one: &LogicalPlan, other: &LogicalPlan) -> bool {
    let columns = |plan: &LogicalPlan| -> Vec<(String, DataType)> {
        plan.schema().fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    columns(one) == columns(other)
}

/// Number of a pseudonym column of a scan, for each column of a node; `None` for everything else.
type Columns = Vec<Option<usize>>;

struct Trace<'a> {
    tables: &'a Lookup<'a>,
    /// Union-find over the columns: what is compared with each other is changed together. Entry 0 of a pair is the
    /// parent, entry 1 says that the class must stay pseudonyms.
    classes: Vec<(usize, bool)>,
    /// Which scan (in the order of a walk that takes inputs before the node) and which column of its table.
    columns: Vec<(usize, usize)>,
    /// Scans met.
    scans: usize,
}

impl Trace<'_> {
    fn root(&self, mut column: usize) -> usize {
        while self.classes[column].0 != column {
            column = self.classes[column].0;
        }
        column
    }

    fn is_spoilt(&self, column: usize) -> bool {
        self.classes[self.root(column)].1
    }

    fn spoil(&mut self, column: usize) {
        let root = self.root(column);
        self.classes[root].1 = true;
    }

    fn spoil_all(&mut self, columns: &Columns) {
        for column in columns.iter().flatten() {
            self.spoil(*column);
        }
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.classes[a].1 |= self.classes[b].1;
        self.classes[b].0 = a;
    }

    /// Follows the columns through a node and everything below it.
    fn node(&mut self, plan: &LogicalPlan) -> Result<Columns> {
        match plan {
            LogicalPlan::TableScan(scan) => Ok(self.scan(scan)),
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Limit(limit) => self.node(&limit.input),
            LogicalPlan::Projection(projection) => {
                let columns = self.node(&projection.input)?;
                Ok(self.passed(&projection.expr, projection.input.schema(), &columns))
            }
            LogicalPlan::Filter(filter) => {
                let columns = self.node(&filter.input)?;
                self.uses(&filter.predicate, filter.input.schema(), &columns);
                Ok(columns)
            }
            LogicalPlan::Sort(sort) => {
                let columns = self.node(&sort.input)?;
                for by in &sort.expr {
                    self.uses(&by.expr, sort.input.schema(), &columns);
                }
                Ok(columns)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.joined(join),
            other => {
                for input in other.inputs() {
                    let columns = self.node(input)?;
                    self.spoil_all(&columns);
                }
                Ok(vec![None; other.schema().fields().len()])
            }
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Columns {
        let number = self.scans;
        self.scans += 1;
        let table = (self.tables)(scan.table_name.table());
        let columns = scan.projected_schema.fields().iter().map(|field| {
            let at = table.as_ref()?.token_pseudonym(field.name())?;
            self.classes.push((self.classes.len(), false));
            self.columns.push((number, at));
            Some(self.classes.len() - 1)
        });
        columns.collect()
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Columns> {
        let schema = aggregate.input.schema();
        let columns = self.node(&aggregate.input)?;
        let mut out = self.passed(&aggregate.group_expr, schema, &columns);
        for function in &aggregate.aggr_expr {
            let counted = match function.clone().unalias() {
                Expr::AggregateFunction(call) if call.func.name() == "count" => {
                    let plain = call.params.order_by.is_empty() && call.params.filter.is_none();
                    plain && matches!(call.params.args.as_slice(), [Expr::Column(_)])
                }
                _ => false,
            };
            if !counted {
                self.uses(function, schema, &columns);
            }
        }
        // Grouping sets have columns of their own.
        if out.len() + aggregate.aggr_expr.len() != aggregate.schema.fields().len() {
            self.spoil_all(&columns);
            out.clear();
        }
        out.resize(aggregate.schema.fields().len(), None);
        Ok(out)
    }

    fn joined(&mut self, join: &Join) -> Result<Columns> {
        let left = self.node(&join.left)?;
        let right = self.node(&join.right)?;
        for (one, other) in &join.on {
            match (column(one, join.left.schema(), &left), column(other, join.right.schema(), &right)) {
                (Some(one), Some(other)) => self.join(one, other),
                _ => {
                    self.uses(one, join.left.schema(), &left);
                    self.uses(other, join.right.schema(), &right);
                }
            }
        }
        let both: Columns = left.iter().chain(&right).copied().collect();
        if let Some(filter) = &join.filter {
            self.uses(filter, &join.left.schema().join(join.right.schema())?, &both);
        }
        let out = match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both,
            JoinType::LeftSemi | JoinType::LeftAnti => left,
            JoinType::RightSemi | JoinType::RightAnti => right,
            _ => {
                self.spoil_all(&both);
                vec![None; join.schema.fields().len()]
            }
        };
        Ok(out)
    }

    /// Expressions that make a node's columns: a column goes on, under another name if wished.
    fn passed(&mut self, expressions: &[Expr], schema: &DFSchema, columns: &Columns) -> Columns {
        let one = |expression: &Expr| {
            let passed = column(&expression.clone().unalias(), schema, columns);
            if passed.is_none() {
                self.uses(expression, schema, columns);
            }
            passed
        };
        expressions.iter().map(one).collect()
    }

    /// An expression that computes with its columns: equality among pseudonyms and tests for null leave them as they
    /// are, anything else needs the texts.
    fn uses(&mut self, expression: &Expr, schema: &DFSchema, columns: &Columns) {
        let found = expression.apply(|part| {
            match part {
                Expr::IsNull(inner) | Expr::IsNotNull(inner) if matches!(**inner, Expr::Column(_)) => {
                    return Ok(TreeNodeRecursion::Jump);
                }
                Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq | Operator::NotEq, right }) => {
                    if let (Some(one), Some(other)) = (column(left, schema, columns), column(right, schema, columns)) {
                        self.join(one, other);
                        return Ok(TreeNodeRecursion::Jump);
                    }
                }
                Expr::Column(_) => {
                    if let Some(used) = column(part, schema, columns) {
                        self.spoil(used);
                    }
                }
                _ => {}
            }
            Ok(TreeNodeRecursion::Continue)
        });
        if found.is_err() {
            self.spoil_all(columns);
        }
    }
}

fn column(expression: &Expr, schema: &DFSchema, columns: &Columns) -> Option<usize> {
    let Expr::Column(name) = expression else { return None };
    *columns.get(schema.maybe_index_of_column(name)?)?
}

/// Puts scans with tokens in place, in the order in which [`Trace::scan`] met them, and types everything above anew.
fn with_tokens(plan: &LogicalPlan, kept: &HashMap<usize, Vec<usize>>, tables: &Lookup<'_>) -> Result<LogicalPlan> {
    let mut met = 0;
    let changed = plan.clone().transform_up(|node| {
        let LogicalPlan::TableScan(scan) = node else { return Ok(Transformed::yes(node.recompute_schema()?)) };
        met += 1;
        let (Some(columns), Some(table)) = (kept.get(&(met - 1)), tables(scan.table_name.table())) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        let source = provider_as_source(Arc::new(SecureTable::with_tokens(&table, columns)));
        let late = TableScanBuilder::new(scan.table_name, source)
            .with_projection(scan.projection)
            .with_filters(scan.filters)
            .with_fetch(scan.fetch)
            .with_statistics_requests(scan.statistics_requests)
            .build()?;
        Ok(Transformed::yes(LogicalPlan::TableScan(late)))
    })?;
    Ok(changed.data)
}
