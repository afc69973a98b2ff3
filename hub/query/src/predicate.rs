//! Which of the user's predicates may run below the barrier, on hidden rows: only those that cannot fail on any
//! stored value and whose outcome on a hidden row changes nothing.
//!
//! Leak-proof are `AND`/`OR`/`NOT` of flags, comparisons, `IN` lists and null checks between a column that is shown raw and stored
//! clear, and literals of exactly the column's type. For a sealed column that is shown raw and has a token, equality
//! with a text literal becomes equality of tokens; that one is pushed as a help only and runs again above the barrier.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use minqiao_schemas::Field;

use crate::base::Sealing;

/// Name of the stored table in the plans below the barrier.
pub(crate) const STORED: &str = "stored";

/// A column of the stored table.
pub(crate) fn stored(name: &str) -> Expr {
    Expr::Column(Column::new(Some(STORED), name))
}

/// What a visible column is below the barrier.
#[derive(Debug, Clone)]
pub(crate) enum Below {
    /// The same value under this name and type.
    Same { name: String, ty: DataType },
    /// A token that decides equality with a text.
    Token { column: String, domain: String },
    /// Something that predicates must not touch.
    Opaque,
}

impl Below {
    pub(crate) fn of_sealed_raw(field: &Field) -> Self {
        if field.has_token() {
            Self::Token { column: field.token_column(), domain: field.token_domain().to_owned() }
        } else {
            Self::Opaque
        }
    }
}

/// The predicate in terms of stored columns; `None` when it must stay above.
pub(crate) fn leak_proof(predicate: &Expr, below: &dyn Fn(&str) -> Below, sealing: &Sealing) -> Option<Expr> {
    match predicate {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let left = leak_proof(left, below, sealing)?;
            let right = leak_proof(right, below, sealing)?;
            Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), *op, Box::new(right))))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) => compared(column, *op, value, below, sealing),
            (Expr::Literal(value, _), Expr::Column(column)) => compared(column, op.swap()?, value, below, sealing),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let Expr::Column(column) = expr.as_ref() else { return None };
            let mut any: Option<Expr> = None;
            for item in list {
                let Expr::Literal(value, _) = item else { return None };
                let one = compared(column, Operator::Eq, value, below, sealing)?;
                any = Some(match any {
                    Some(others) => others.or(one),
                    None => one,
                });
            }
            any
        }
        Expr::Column(column) => match below(&column.name) {
            Below::Same { name, ty: DataType::Boolean } => Some(stored(&name)),
            _ => None,
        },
        Expr::Not(inner) => Some(Expr::Not(Box::new(leak_proof(inner, below, sealing)?))),
        Expr::IsNull(inner) => null_check(inner, below).map(|column| Expr::IsNull(Box::new(column))),
        Expr::IsNotNull(inner) => null_check(inner, below).map(|column| Expr::IsNotNull(Box::new(column))),
        _ => None,
    }
}

fn null_check(inner: &Expr, below: &dyn Fn(&str) -> Below) -> Option<Expr> {
    let Expr::Column(column) = inner else { return None };
    match below(&column.name) {
        Below::Same { name, .. } => Some(stored(&name)),
        Below::Token { .. } | Below::Opaque => None,
    }
}

fn compared(
    column: &Column,
    op: Operator,
    value: &ScalarValue,
    below: &dyn Fn(&str) -> Below,
    sealing: &Sealing,
) -> Option<Expr> {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
        return None;
    }
    let (left, right) = match below(&column.name) {
        Below::Same { name, ty } if value.data_type() == ty => (stored(&name), value.clone()),
        Below::Token { column, domain } if op == Eq => {
            let text = value.try_as_str().flatten()?;
            let token = sealing.tokens.token(&domain, text);
            (stored(&column), ScalarValue::FixedSizeBinary(16, Some(token.0.to_vec())))
        }
        _ => return None,
    };
    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(Expr::Literal(right, None)))))
}
