//! What a door hands to the service.

use datafusion::common::ScalarValue;
use minqiao_core::{Principal, Purpose};

/// One query of an authenticated principal.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// Unique; quoted in errors and in the audit chain.
    pub request_id: String,
    /// Which door it came through (`http`, `flight`, `pg`, `cli`).
    pub door: &'static str,
    /// Who asks. Authenticated by the door.
    pub principal: Principal,
    /// What for.
    pub purpose: Purpose,
    /// One SELECT.
    pub sql: String,
    /// Values of `$1`, `$2` …
    pub parameters: Vec<Parameter>,
}

/// A parameter value. Dates and decimals travel as text and take the type of what they are compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// SQL NULL.
    Null,
    /// Yes or no.
    Boolean(bool),
    /// Whole number.
    Integer(i64),
    /// Inexact number.
    Float(f64),
    /// Text, date (`2026-03-20`), timestamp (RFC 3339) or decimal.
    Text(String),
}

impl Parameter {
    /// From JSON; arrays and objects are no parameters.
    pub fn from_json(value: &serde_json::Value) -> Option<Self> {
        Some(match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(b) => Self::Boolean(*b),
            serde_json::Value::Number(n) => match n.as_i64() {
                Some(i) => Self::Integer(i),
                None => Self::Float(n.as_f64()?),
            },
            serde_json::Value::String(s) => Self::Text(s.clone()),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => return None,
        })
    }

    pub(crate) fn scalar(&self) -> ScalarValue {
        match self {
            Self::Null => ScalarValue::Null,
            Self::Boolean(b) => ScalarValue::Boolean(Some(*b)),
            Self::Integer(i) => ScalarValue::Int64(Some(*i)),
            Self::Float(x) => ScalarValue::Float64(Some(*x)),
            Self::Text(s) => ScalarValue::Utf8(Some(s.clone())),
        }
    }
}
