//! What a caller learns when a query fails: a class and what to do, never the engine's words.
//!
//! The engine's messages quote cells, list the columns that exist and print paths. They go nowhere: not to the caller,
//! not to the log. What distinguishes two failures here depends on the statement and on visible rows only.

use std::time::Duration;

use datafusion::common::{DataFusionError, SchemaError};
use minqiao_core::{Kind, KindOf};
use minqiao_lake::LakeError;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not SQL.
    #[error("the statement is not valid SQL{}", .position.as_ref().map(|p| format!(" near {p}")).unwrap_or_default())]
    Syntax {
        /// `line 1, column 8`.
        position: Option<String>,
    },
    /// Not a query, or a part of SQL that is not offered.
    #[error("`{what}` is not allowed: only SELECT over the tables of `information_schema.tables` is")]
    NotAllowed {
        /// Which part of the language; never text of the statement.
        what: &'static str,
    },
    /// No such table, column or function for this principal.
    #[error("{what} does not exist or is not visible for this principal and purpose")]
    NotFound {
        /// Which kind of thing.
        what: &'static str,
    },
    /// Types or arguments do not fit.
    #[error("the statement does not fit the tables: a type, an argument or a parameter is wrong")]
    Invalid,
    /// The statement is larger or deeper than allowed.
    #[error("the statement exceeds the limit of {limit} {unit}")]
    StatementTooLarge {
        /// The limit.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// An aggregate over protected columns that could reveal a person.
    #[error("protected data is answered in aggregates over at least {k} people only: {rule}")]
    Protected {
        /// The threshold.
        k: u32,
        /// Which rule was broken.
        rule: &'static str,
    },
    /// A cast, a division or a function failed on a visible row.
    #[error("an expression of the statement cannot be evaluated on a row (a cast, a division or an argument)")]
    Evaluation,
    /// The answer is too large.
    #[error("the answer exceeds the limit of {limit} {unit}; aggregate it or add LIMIT")]
    AnswerTooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// The query needs more memory than one query may have.
    #[error("the query needs more than its {limit_bytes} bytes of memory; narrow it")]
    OutOfMemory {
        /// The limit.
        limit_bytes: usize,
    },
    /// It took too long.
    #[error("the query took longer than {} s; narrow it", .limit.as_secs())]
    Timeout {
        /// The limit.
        limit: Duration,
    },
    /// Too many queries at once.
    #[error("too many queries at the same time")]
    Busy {
        /// When to try again.
        retry_after: Duration,
    },
    /// The audit chain cannot be written, so nothing may be answered.
    #[error("the audit log cannot be written at the moment")]
    AuditUnavailable,
    /// The tables cannot be read; their store is away.
    #[error("the lake cannot be read at the moment")]
    LakeUnavailable,
    /// The caller went away.
    #[error("the query was cancelled")]
    Cancelled,
    /// A defect of the hub.
    #[error("the hub failed")]
    Internal,
}

impl KindOf for QueryError {
    fn kind(&self) -> Kind {
        match self {
            Self::Syntax { .. }
            | Self::Invalid
            | Self::StatementTooLarge { .. }
            | Self::Evaluation
            | Self::AnswerTooLarge { .. }
            | Self::OutOfMemory { .. }
            | Self::Timeout { .. } => Kind::InvalidArgument,
            Self::NotAllowed { .. } | Self::Protected { .. } => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Busy { retry_after } => Kind::RateLimited { retry_after: *retry_after },
            Self::AuditUnavailable | Self::LakeUnavailable => Kind::Unavailable { retry_after: Duration::from_secs(5) },
            Self::Cancelled | Self::Internal => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "sql_syntax",
            Self::NotAllowed { .. } => "sql_not_allowed",
            Self::NotFound { .. } => "sql_not_found",
            Self::Invalid => "sql_invalid",
            Self::StatementTooLarge { .. } => "sql_too_large",
            Self::Protected { .. } => "sql_protected",
            Self::Evaluation => "sql_evaluation",
            Self::AnswerTooLarge { .. } => "answer_too_large",
            Self::OutOfMemory { .. } => "query_memory",
            Self::Timeout { .. } => "query_timeout",
            Self::Busy { .. } => "too_many_queries",
            Self::AuditUnavailable => "audit_unavailable",
            Self::LakeUnavailable => "lake_unavailable",
            Self::Cancelled => "query_cancelled",
            Self::Internal => "internal",
        }
    }
}

impl QueryError {
    /// The same for department staff.
    pub fn message_zh(&self) -> String {
        match self {
            Self::Syntax { .. } => "SQL 语句有语法错误".into(),
            Self::NotAllowed { .. } => "不支持该语句:只能查询 information_schema.tables 中列出的表".into(),
            Self::NotFound { .. } => "表、列或函数不存在,或当前主体与用途无权查看".into(),
            Self::Invalid => "语句与表结构不符:类型、参数或函数参数有误".into(),
            Self::StatementTooLarge { limit, .. } => format!("语句超过上限 {limit}"),
            Self::Protected { k, .. } => format!("受保护数据只提供不少于 {k} 人的汇总结果"),
            Self::Evaluation => "表达式在某一行上无法计算(类型转换、除法或参数)".into(),
            Self::AnswerTooLarge { limit, .. } => format!("结果超过上限 {limit},请汇总或加 LIMIT"),
            Self::OutOfMemory { .. } => "查询所需内存超过上限,请缩小范围".into(),
            Self::Timeout { limit } => format!("查询超过 {} 秒,请缩小范围", limit.as_secs()),
            Self::Busy { .. } => "同时执行的查询过多,请稍后再试".into(),
            Self::AuditUnavailable => "审计日志暂不可写,不能返回结果".into(),
            Self::LakeUnavailable => "数据湖暂不可读,请稍后再试".into(),
            Self::Cancelled => "查询已取消".into(),
            Self::Internal => "系统内部错误".into(),
        }
    }

    /// What an error of planning means.
    pub(crate) fn of_planning(error: &DataFusionError) -> Self {
        match error {
            error if is_of_store(error) => Self::LakeUnavailable,
            DataFusionError::SQL(parse, _) => Self::Syntax { position: position_in(&parse.to_string()) },
            DataFusionError::SchemaError(schema, _) => match schema.as_ref() {
                SchemaError::FieldNotFound { .. } => Self::NotFound { what: "a column" },
                _ => Self::Invalid,
            },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::of_planning(inner),
            DataFusionError::Shared(inner) => Self::of_planning(inner),
            DataFusionError::Collection(all) => all.first().map_or(Self::Invalid, Self::of_planning),
            DataFusionError::NotImplemented(_) => Self::NotAllowed { what: "this form of SQL" },
            DataFusionError::Plan(text) => Self::of_plan_text(text),
            DataFusionError::ResourcesExhausted(_) => Self::OutOfMemory { limit_bytes: 0 },
            _ => Self::Invalid,
        }
    }

    /// The planner tells these cases apart by text only; no part of the text is kept.
    fn of_plan_text(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        if text.contains("invalid function") || text.contains("no function matches") && text.contains("did you mean") {
            Self::NotFound { what: "a function" }
        } else if text.contains("table") && text.contains("not found")
            || text.contains("catalog")
            || text.contains("schema '")
        {
            Self::NotFound { what: "a table" }
        } else {
            Self::Invalid
        }
    }

    /// What an error of execution means.
    pub(crate) fn of_execution(error: &DataFusionError, query_memory_bytes: usize) -> Self {
        match error {
            error if is_of_store(error) => Self::LakeUnavailable,
            DataFusionError::ResourcesExhausted(_) => Self::OutOfMemory { limit_bytes: query_memory_bytes },
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                Self::of_execution(inner, query_memory_bytes)
            }
            DataFusionError::Shared(inner) => Self::of_execution(inner, query_memory_bytes),
            DataFusionError::Collection(all) => {
                all.first().map_or(Self::Internal, |first| Self::of_execution(first, query_memory_bytes))
            }
            DataFusionError::ArrowError(_, _) | DataFusionError::Execution(_) | DataFusionError::Plan(_) => {
                Self::Evaluation
            }
            DataFusionError::ExecutionJoin(_) => Self::Internal,
            _ => Self::Internal,
        }
    }
}

/// Whether the store of the tables is what failed: the engine wraps its error in others.
fn is_of_store(error: &DataFusionError) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        // A file that is gone will not come back: that is damage.
        let of_store = error.downcast_ref::<object_store::Error>();
        if of_store.is_some_and(|error| !matches!(error, object_store::Error::NotFound { .. })) {
            return true;
        }
        let of_lake = error.downcast_ref::<LakeError>().map(LakeError::kind);
        if matches!(of_lake, Some(Kind::Unavailable { .. })) {
            return true;
        }
        next = error.source();
    }
    false
}

/// `Line: 1, Column: 8` in the parser's message.
fn position_in(text: &str) -> Option<String> {
    let line = number_after(text, "Line: ")?;
    let column = number_after(text, "Column: ")?;
    Some(format!("line {line}, column {column}"))
}

fn number_after(text: &str, label: &str) -> Option<u32> {
    let rest = &text[text.find(label)? + label.len()..];
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_is_no_defect_and_no_fault_of_the_statement() {
        let away = || object_store::Error::Generic { store: "S3", source: "connection refused".into() };
        let gone = || object_store::Error::NotFound { path: "x".into(), source: "404".into() };
        let wrapped = |error: object_store::Error| {
            let parquet = datafusion::parquet::errors::ParquetError::External(Box::new(error));
            let arrow = arrow::error::ArrowError::ExternalError(Box::new(parquet));
            DataFusionError::Context("reading".into(), Box::new(DataFusionError::ArrowError(Box::new(arrow), None)))
        };
        let lake = DataFusionError::External(Box::new(LakeError::Store(away())));
        for error in [wrapped(away()), DataFusionError::ObjectStore(Box::new(away())), lake] {
            let told = QueryError::of_execution(&error, 0);
            assert_eq!((&told, told.code()), (&QueryError::LakeUnavailable, "lake_unavailable"));
            assert!(matches!(told.kind(), Kind::Unavailable { .. }));
            assert_eq!(QueryError::of_planning(&error), QueryError::LakeUnavailable);
        }
        assert_ne!(QueryError::of_execution(&wrapped(gone()), 0), QueryError::LakeUnavailable);
    }
}
