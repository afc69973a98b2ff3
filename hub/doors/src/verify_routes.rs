//! `POST /v1/verifications`, `GET /v1/verifications/{id}`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use minqiao_core::{Kind, Timestamp};
use minqiao_verify::calendar::Day;
use minqiao_verify::rendering::{self, RenderOptions};
use minqiao_verify::report::Report;
use serde::Deserialize;

use crate::identity::{AskedFor, User};
use crate::problem::Refusal;
use crate::sql_routes::json_body;
use crate::state::AppState;

/// Body of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerificationBody {
    application_no: String,
    as_of: Option<String>,
    reverify_on: Option<String>,
}

fn bad_time(field: &str) -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "invalid_time",
        format!("`{field}` must look like `2026-03-20T10:00:00+08:00` (as_of) or `2026-03-20` (reverify_on)"),
        format!("{field} 的格式应为 2026-03-20T10:00:00+08:00 (as_of) 或 2026-03-20 (reverify_on)"),
    )
}

/// Verifies and answers the report.
pub(crate) async fn create(
    State(state): State<AppState>,
    User(user): User,
    AskedFor(purpose): AskedFor,
    headers: HeaderMap,
    body: Result<Json<VerificationBody>, JsonRejection>,
) -> Result<Response, Refusal> {
    state.user_limit.take(&user.id)?;
    let form = Form::of(&headers).ok_or_else(not_acceptable)?;
    let body = json_body(body)?;
    let as_of = body.as_of.map(|text| Timestamp::parse(&text).ok_or_else(|| bad_time("as_of"))).transpose()?;
    let reverify_on =
        body.reverify_on.map(|text| Day::parse(&text).ok_or_else(|| bad_time("reverify_on"))).transpose()?;
    let start = state.clock.monotonic();
    let report = state.verifications.verify(&user, &purpose, &body.application_no, as_of, reverify_on).await;
    state.metrics.verification_seconds.observe((state.clock.monotonic() - start).as_secs_f64());
    let outcome = if report.is_ok() { "reported" } else { "refused" };
    state.metrics.verifications.with_label_values(&[outcome]).inc();
    Ok(shown(&report?, form))
}

/// Answers a kept report.
pub(crate) async fn read(
    State(state): State<AppState>,
    User(user): User,
    AskedFor(purpose): AskedFor,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    state.user_limit.take(&user.id)?;
    let form = Form::of(&headers).ok_or_else(not_acceptable)?;
    Ok(shown(&state.verifications.read(&user, &purpose, &id).await?, form))
}

/// Form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The report as it was signed.
    Json,
    /// Readable Chinese.
    Text,
    /// The same for a browser.
    Html,
}

impl Form {
    /// The first form of `Accept` that we speak; JSON when the header is absent or accepts anything.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let Some(accept) = headers.get(ACCEPT).and_then(|value| value.to_str().ok()) else { return Some(Self::Json) };
        accept.split(',').find_map(|part| match part.split(';').next().unwrap_or_default().trim() {
            "application/json" | "*/*" | "application/*" | "" => Some(Self::Json),
            "text/plain" | "text/*" => Some(Self::Text),
            "text/html" => Some(Self::Html),
            _ => None,
        })
    }
}

fn not_acceptable() -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "not_acceptable",
        "reports come as application/json, text/plain or text/html",
        "可选的返回格式：application/json、text/plain、text/html",
    )
}

fn shown(report: &Report, form: Form) -> Response {
    let options = RenderOptions { mask_numbers: true };
    let with = |kind: &'static str, body: String| {
        let mut response = body.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    match form {
        Form::Html => with("text/html; charset=utf-8", rendering::html(report, options)),
        Form::Text => with("text/plain; charset=utf-8", rendering::text(report, options)),
        Form::Json => Json(report).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_comes_in_the_first_form_that_is_asked_for_and_spoken() {
        let form = |accept: &'static str| Form::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]));
        assert_eq!(Form::of(&HeaderMap::new()), Some(Form::Json));
        assert_eq!(form("*/*"), Some(Form::Json));
        assert_eq!(form("text/html,application/xhtml+xml,*/*;q=0.8"), Some(Form::Html));
        assert_eq!(form("text/plain; charset=utf-8"), Some(Form::Text));
        assert_eq!(form("application/pdf, application/json;q=0.5"), Some(Form::Json));
        assert_eq!(form("application/pdf"), None);
    }
}
