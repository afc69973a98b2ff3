//! Why there is no page, and what the caller is told: stable codes, in two languages, never a value of data.

use std::time::Duration;

use minqiao_core::{Kind, KindOf as _};
use minqiao_store::AuditError;

use crate::problem::Refusal;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    #[error("there is no such feed for you")]
    NotFound,
    #[error("there is no alerts feed yet")]
    NotBuilt,
    #[error("this is no position of this hub")]
    PositionInvalid,
    #[error("the position belongs to another feed")]
    PositionOfAnotherFeed,
    #[error("the position belongs to another log")]
    PositionOfAnotherLog,
    #[error("the position is not in the log any more")]
    PositionGone,
    #[error("the log has a hole")]
    LogBroken,
    #[error("too many waits at once")]
    TooManyPolls { retry_after: Duration },
    #[error("the audit log cannot be written")]
    Audit(#[source] AuditError),
    #[error(transparent)]
    Vault(#[from] minqiao_vault::VaultError),
    #[error(transparent)]
    Query(#[from] minqiao_query::QueryError),
    #[error(transparent)]
    Store(#[from] minqiao_store::StoreError),
    #[error(transparent)]
    Bus(minqiao_bus::BusError),
    #[error(transparent)]
    Lake(#[from] minqiao_lake::LakeError),
}

impl FeedError {
    /// What the caller is told.
    pub(crate) fn refusal(self) -> Refusal {
        let (kind, code, en, zh) = match self {
            Self::NotFound => (
                Kind::NotFound,
                "feed_not_found",
                "there is no such feed for you and this purpose: GET /v1/feeds lists those that you may read",
                "没有此订阅，或您在该用途下无权读取：GET /v1/feeds 列出可读的订阅",
            ),
            Self::NotBuilt => (Kind::NotFound, "feed_not_built", ALERTS_EN, ALERTS_ZH),
            Self::PositionInvalid => (
                Kind::InvalidArgument,
                "position_invalid",
                "this is no position of this hub: pass on unchanged what a page gave, or `start`, or `now`",
                "这不是本平台给出的位置：请原样使用上一页返回的位置，或用 start、now",
            ),
            Self::PositionOfAnotherFeed => (
                Kind::InvalidArgument,
                "position_of_another_feed",
                "this position was given by another feed: keep one position per feed",
                "该位置属于另一个订阅：每个订阅请分别保存位置",
            ),
            Self::PositionOfAnotherLog => (
                Kind::InvalidArgument,
                "position_of_another_log",
                "this position belongs to a log that was replaced: its rows are others; begin with `after=start` and expect rows again",
                "该位置属于已被替换的日志：请用 after=start 重新开始，部分数据会重复",
            ),
            Self::PositionGone => (
                Kind::FailedPrecondition,
                "position_gone",
                "the log no longer has, or does not have, this position: rows between it and what is there cannot be given; begin with `after=start`",
                "日志中已没有该位置，其间的数据无法补发：请用 after=start 重新开始",
            ),
            Self::LogBroken => {
                tracing::error!("a feed met a log with a hole");
                (
                    Kind::Internal,
                    "feed_log_broken",
                    "the log behind this feed has a hole; nothing is passed over, so there is nothing to give: tell the hub's operator",
                    "该订阅的日志不完整，平台不会跳过数据：请联系平台运维人员",
                )
            }
            Self::TooManyPolls { retry_after } => (
                Kind::RateLimited { retry_after },
                "too_many_polls",
                "too many waits and streams are open: close some, or come back",
                "同时等待的连接过多：请减少连接或稍后再试",
            ),
            Self::Audit(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "a page of a feed could not be recorded");
                let kind = Kind::Unavailable { retry_after: Duration::from_secs(5) };
                (
                    kind,
                    "audit_unavailable",
                    "the audit log cannot be written at the moment",
                    "审计日志暂不可写，不能返回数据",
                )
            }
            Self::Query(error) => {
                return Refusal::new(error.kind(), error.code(), error.to_string(), error.message_zh());
            }
            Self::Vault(error) => return error.into(),
            Self::Store(error) => return error.into(),
            Self::Bus(error) => return error.into(),
            Self::Lake(error) => return error.into(),
        };
        Refusal::new(kind, code, en, zh)
    }
}

/// What is said wherever somebody looks for alerts.
pub const ALERTS_EN: &str =
    "there is no alerts feed yet: monitoring (scores, alerts) is not built; no alert is produced or lost";
/// The same in Chinese.
pub const ALERTS_ZH: &str = "暂无预警订阅：监测预警功能尚未建设，目前不产生任何预警";
