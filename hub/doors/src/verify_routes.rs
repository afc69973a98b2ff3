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
    let body = json_body(body)?;
    let as_of = body.as_of.map(|text| Timestamp::parse(&text).ok_or_else(|| bad_time("as_of"))).transpose()?;
    let reverify_on =
        body.reverify_on.map(|text| Day::parse(&text).ok_or_else(|| bad_time("reverify_on"))).transpose()?;
    let start = state.clock.monotonic();
    let report = state.verifications.verify(&user, &purpose, &body.application_no, as_of, reverify_on).await;
    state.metrics.verification_seconds.observe((state.clock.monotonic() - start).as_secs_f64());
    let outcome = if report.is_ok() { "reported" } else { "refused" };
    state.metrics.verifications.with_label_values(&[outcome]).inc();
    Ok(shown(&report?, &headers))
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
    Ok(shown(&state.verifications.read(&user, &purpose, &id).await?, &headers))
}

/// JSON, or readable Chinese as text or HTML when `Accept` asks for it first.
fn shown(report: &Report, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let first = accept.split([',', ';']).next().unwrap_or_default().trim();
    let options = RenderOptions { mask_numbers: true };
    let with = |kind: &'static str, body: String| {
        let mut response = body.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    };
    match first {
        "text/html" => with("text/html; charset=utf-8", rendering::html(report, options)),
        "text/plain" => with("text/plain; charset=utf-8", rendering::text(report, options)),
        _ => Json(report).into_response(),
    }
}
