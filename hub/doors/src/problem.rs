//! How a door says no: RFC 9457 problems with a stable `code`, the request's id, and advice in English and Chinese.
//! Nothing in a problem comes from data: engine texts stay inside, details are found by request id in the log.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minqiao_core::{Kind, KindOf, Problem};

use crate::chinese::advice;
use crate::request_id;

/// A refusal on its way out.
#[derive(Debug)]
pub struct Refusal {
    kind: Kind,
    status: StatusCode,
    code: &'static str,
    detail: String,
    detail_zh: String,
}

impl Refusal {
    /// A refusal in our own words.
    pub fn new(kind: Kind, code: &'static str, detail: impl Into<String>, detail_zh: impl Into<String>) -> Self {
        Self { kind, status: status(kind), code, detail: detail.into(), detail_zh: detail_zh.into() }
    }

    /// The same with a status of HTTP that is narrower than the kind's.
    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with words of its own in Chinese, if there are any.
    pub(crate) fn in_chinese(self, detail_zh: Option<String>) -> Self {
        Self { detail_zh: detail_zh.unwrap_or(self.detail_zh), ..self }
    }

    /// A body over the limit of the door.
    pub(crate) fn body_too_large() -> Self {
        Self::new(
            Kind::InvalidArgument,
            "body_too_large",
            "the body is larger than `limits.body_bytes_max`: send the rows in smaller batches",
            "请求体超过上限：请拆分为较小的批次",
        )
        .with_status(StatusCode::PAYLOAD_TOO_LARGE)
    }

    /// No such thing, or not for this caller.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "not_found", "there is no such thing here for you", "未找到，或您无权查看")
    }

    /// The caller must say who they are.
    pub fn unauthenticated() -> Self {
        Self::new(
            Kind::Unauthenticated,
            "unauthenticated",
            "come with a client certificate of this hub's authority or `Authorization: Bearer <token>`",
            "请使用本平台签发的客户端证书，或在请求头中携带访问令牌 (Authorization: Bearer)",
        )
    }

    /// Whether the fault is the hub's.
    pub fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Internal | Kind::Unavailable { .. })
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl<E: KindOf> From<E> for Refusal {
    fn from(error: E) -> Self {
        if error.kind() == Kind::Internal {
            let cause = std::iter::successors(error.source(), |e| e.source()).last().map(ToString::to_string);
            tracing::error!(code = error.code(), cause_known = cause.is_some(), "internal error");
        }
        let (kind, code) = (error.kind(), error.code());
        Self::new(kind, code, error.public_message(), advice(code, kind))
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::InvalidArgument => "The request cannot be understood",
        Kind::Unauthenticated => "Who are you?",
        Kind::Forbidden => "Not allowed",
        Kind::NotFound => "Not found",
        Kind::Conflict => "Conflict",
        Kind::FailedPrecondition => "Not in this state",
        Kind::RateLimited { .. } => "Too many requests",
        Kind::Unavailable { .. } => "Not available at the moment",
        Kind::Internal => "The hub made a mistake",
    }
}

fn status(kind: Kind) -> StatusCode {
    StatusCode::from_u16(kind.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Refusal {
    /// What is sent; its request id is in the log.
    fn problem(self, request_id: String) -> Problem {
        let status = self.status;
        if status.is_server_error() {
            tracing::error!(%request_id, code = self.code, "request failed");
        } else {
            tracing::info!(%request_id, code = self.code, "request refused");
        }
        Problem {
            kind: "about:blank".to_owned(),
            title: title(self.kind).to_owned(),
            status: status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
            detail_zh: Some(self.detail_zh),
            request_id,
        }
    }

    /// The problem as JSON in one line, for answers that have begun; `request_id` is the one that their records bear.
    pub(crate) fn text(self, request_id: &str) -> String {
        serde_json::to_string(&self.problem(request_id.to_owned())).unwrap_or_default()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, kind) = (self.status, self.kind);
        let request_id = request_id::current().unwrap_or_else(request_id::fresh);
        let mut response = (status, axum::Json(self.problem(request_id))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after) = kind.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        response
    }
}
