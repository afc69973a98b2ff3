//! From text to one SELECT, or a refusal.
//!
//! The parser sees the statement before anything else does. Only a query passes, without the parts of SQL that reach
//! beyond tables of the catalog: table functions, files, time travel, locks, `INTO`, recursion. The allow-list on the
//! plan ([`crate::gate`]) follows; this one is about what the plan no longer shows.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    self, Expr, ObjectName, ObjectNamePart, Query, Select, SetExpr, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::QueryError;
use crate::limits::Limits;
use crate::names::Names;

/// A statement that may be planned.
#[derive(Debug)]
pub struct Parsed {
    /// For the planner.
    pub(crate) statement: Statement,
    /// As the audit chain keeps it ([`crate::names`]).
    pub normalised: String,
}

/// Nesting that the parser itself allows.
const PARSER_DEPTH_MAX: usize = 64;

/// Reads one SELECT.
pub fn parse(sql: &str, limits: &Limits, names: &Names) -> Result<Parsed, QueryError> {
    if sql.len() > limits.statement_bytes_max {
        return Err(QueryError::StatementTooLarge { limit: limits.statement_bytes_max, unit: "bytes" });
    }
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize().map_err(|e| QueryError::Syntax {
        position: Some(format!("line {}, column {}", e.location.line, e.location.column)),
    })?;
    let words = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).count();
    if words > limits.statement_tokens_max {
        return Err(QueryError::StatementTooLarge { limit: limits.statement_tokens_max, unit: "words" });
    }
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&dialect)
        .with_recursion_limit(PARSER_DEPTH_MAX)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|e| syntax(&e))?;
    let statement = match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => statement,
        (None, _) => return Err(QueryError::Syntax { position: None }),
        (Some(_), false) => return Err(QueryError::NotAllowed { what: "more than one statement" }),
    };
    let inner = match &statement {
        Statement::Statement(inner) => inner.as_ref(),
        Statement::CreateExternalTable(_) => return Err(QueryError::NotAllowed { what: "CREATE" }),
        Statement::CopyTo(_) => return Err(QueryError::NotAllowed { what: "COPY" }),
        Statement::Explain(_) => return Err(QueryError::NotAllowed { what: "EXPLAIN" }),
        _ => return Err(QueryError::NotAllowed { what: "this statement" }),
    };
    let ast::Statement::Query(query) = inner else {
        return Err(QueryError::NotAllowed { what: kind_of(inner) });
    };
    let mut gate = AstGate { depth: 0, depth_max: limits.depth_max };
    if let ControlFlow::Break(refusal) = query.visit(&mut gate) {
        return Err(refusal);
    }
    let normalised = names.audit_text(query);
    Ok(Parsed { statement, normalised })
}

fn syntax(error: &datafusion::common::DataFusionError) -> QueryError {
    match QueryError::of_planning(error) {
        QueryError::Syntax { position } => QueryError::Syntax { position },
        _ => QueryError::Syntax { position: None },
    }
}

/// Names what was tried; refusals are for people too.
fn kind_of(statement: &ast::Statement) -> &'static str {
    match statement {
        ast::Statement::Insert(_) => "INSERT",
        ast::Statement::Update(_) => "UPDATE",
        ast::Statement::Delete(_) => "DELETE",
        ast::Statement::Merge(_) => "MERGE",
        ast::Statement::CreateTable(_) | ast::Statement::CreateView(_) | ast::Statement::CreateFunction(_) => "CREATE",
        ast::Statement::Drop { .. } => "DROP",
        ast::Statement::Copy { .. } => "COPY",
        ast::Statement::Set(_) => "SET",
        ast::Statement::Prepare { .. } => "PREPARE",
        ast::Statement::Execute { .. } => "EXECUTE",
        ast::Statement::Explain { .. } | ast::Statement::ExplainTable { .. } => "EXPLAIN or DESCRIBE",
        ast::Statement::ShowVariable { .. }
        | ast::Statement::ShowTables { .. }
        | ast::Statement::ShowColumns { .. }
        | ast::Statement::ShowCreate { .. }
        | ast::Statement::ShowFunctions { .. } => "SHOW",
        _ => "this statement",
    }
}

struct AstGate {
    depth: usize,
    depth_max: usize,
}

impl AstGate {
    fn refuse(what: &'static str) -> ControlFlow<QueryError> {
        ControlFlow::Break(QueryError::NotAllowed { what })
    }

    fn deeper(&mut self) -> ControlFlow<QueryError> {
        self.depth += 1;
        if self.depth > self.depth_max {
            return ControlFlow::Break(QueryError::StatementTooLarge {
                limit: self.depth_max,
                unit: "levels of nesting",
            });
        }
        ControlFlow::Continue(())
    }

    fn shallower(&mut self) -> ControlFlow<QueryError> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }
}

impl Visitor for AstGate {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        if !query.locks.is_empty() {
            return Self::refuse("FOR UPDATE");
        }
        if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
            return Self::refuse("FOR, SETTINGS or FORMAT");
        }
        if !query.pipe_operators.is_empty() {
            return Self::refuse("|>");
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            return Self::refuse("WITH RECURSIVE");
        }
        if !body_is_select(&query.body) {
            return Self::refuse("a statement inside a query");
        }
        self.deeper()
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<QueryError> {
        self.shallower()
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        if select.into.is_some() {
            return Self::refuse("SELECT INTO");
        }
        if !select.lateral_views.is_empty() || !select.connect_by.is_empty() || !select.optimizer_hints.is_empty() {
            return Self::refuse("LATERAL VIEW, CONNECT BY or hints");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        match factor {
            TableFactor::Table {
                args: None,
                version: None,
                sample: None,
                json_path: None,
                with_ordinality: false,
                with_hints,
                partitions,
                index_hints,
                ..
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => ControlFlow::Continue(()),
            TableFactor::Derived { sample: None, lateral: false, .. } | TableFactor::NestedJoin { .. } => {
                ControlFlow::Continue(())
            }
            TableFactor::Table { version: Some(_), .. } => Self::refuse("time travel"),
            _ => Self::refuse("a table function, sample or hint"),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryError> {
        let plain = relation.0.iter().all(|part| match part {
            ObjectNamePart::Identifier(ident) => is_plain_name(&ident.value) && ident.quote_style != Some('\''),
            ObjectNamePart::Function(_) => false,
        });
        if plain && relation.0.len() <= 3 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(QueryError::NotFound { what: "a table" })
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<QueryError> {
        let inner = |ident: &ast::Ident| ident.value.starts_with("__");
        let names_inner = match expression {
            Expr::Identifier(ident) => inner(ident),
            Expr::CompoundIdentifier(parts) => parts.iter().any(inner),
            _ => false,
        };
        if names_inner {
            return ControlFlow::Break(QueryError::NotFound { what: "a column" });
        }
        self.deeper()
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<QueryError> {
        self.shallower()
    }
}

/// No path, no URL, nothing hidden: letters of any script, digits, `_`.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

fn body_is_select(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) => true,
        SetExpr::SetOperation { left, right, .. } => body_is_select(left) && body_is_select(right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sql: &str) -> QueryError {
        parse(sql, &Limits::default(), &Names::default()).expect_err("refused")
    }

    #[test]
    fn only_one_plain_query_passes() {
        for sql in [
            "SELECT 1; SELECT 2",
            "SET a = 1",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "DESCRIBE t",
            "SHOW TABLES",
            "COPY t TO 'x'",
            "CREATE VIEW v AS SELECT 1",
            "INSERT INTO t SELECT 1",
            "WITH x AS (INSERT INTO t SELECT 1) SELECT 1",
            "SELECT * FROM generate_series(1, 2)",
            "SELECT * FROM t FOR UPDATE",
            "SELECT 1 INTO t",
            "WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM r",
            "SELECT * FROM UNNEST([1])",
            "SELECT * FROM t TABLESAMPLE (10 PERCENT)",
            "TABLE t",
        ] {
            assert!(
                matches!(
                    refused(sql),
                    QueryError::NotAllowed { .. } | QueryError::Syntax { .. } | QueryError::NotFound { .. }
                ),
                "{sql}"
            );
        }
        assert_eq!(refused("SELECT * FROM 'a/b.parquet'"), QueryError::NotFound { what: "a table" });
        assert!(matches!(refused("SELEC 1"), QueryError::Syntax { .. }));
    }

    #[test]
    fn long_and_deep_statements_are_refused_without_overflow() {
        let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
        assert!(matches!(refused(&deep), QueryError::StatementTooLarge { .. } | QueryError::Syntax { .. }));
        let nots = format!("SELECT {} true", "NOT ".repeat(3_000));
        assert!(matches!(refused(&nots), QueryError::StatementTooLarge { .. } | QueryError::Syntax { .. }));
        let chain = format!("SELECT 1{}", " + 1".repeat(1_900));
        assert!(matches!(refused(&chain), QueryError::StatementTooLarge { .. }));
        let many = format!("SELECT 1{}", ", 1".repeat(3_000));
        assert!(matches!(refused(&many), QueryError::StatementTooLarge { .. }));
    }
}
