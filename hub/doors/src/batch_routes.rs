//! Publishing: batches, rejects, receipts. The door reads who and what; everything else is intake's.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use minqiao_core::{BatchId, Kind, Receipt};
use minqiao_intake::{Format, IntakeError};

use crate::catalogue_routes::unknown_item;
use crate::chinese;
use crate::identity::Connector;
use crate::problem::Refusal;
use crate::state::AppState;

fn batch_id(headers: &HeaderMap) -> Result<BatchId, Refusal> {
    let id =
        headers.get("idempotency-key").and_then(|value| value.to_str().ok()).and_then(|v| BatchId::new(v.trim()).ok());
    id.ok_or_else(|| {
        Refusal::new(
            Kind::InvalidArgument,
            "batch_id",
            "name the batch in the header `Idempotency-Key`: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`",
            "请在请求头 Idempotency-Key 中给出批次号：1 至 128 个字符，限字母、数字和 . _ : -",
        )
    })
}

/// The batch before this one, if the sender has several under way.
fn after(headers: &HeaderMap) -> Result<Option<BatchId>, Refusal> {
    let Some(value) = headers.get("minqiao-after") else { return Ok(None) };
    let id = value.to_str().ok().and_then(|id| BatchId::new(id.trim()).ok());
    id.map(Some).ok_or_else(|| {
        Refusal::new(
            Kind::InvalidArgument,
            "batch_id",
            "the header `Minqiao-After` names the batch before this one: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`",
            "请求头 Minqiao-After 为前一批次号：1 至 128 个字符，限字母、数字和 . _ : -",
        )
    })
}

fn body_of(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Refusal::body_too_large()
        } else {
            Refusal::new(
                Kind::InvalidArgument,
                "body_broken",
                "the body ended early: send the batch again",
                "请求体不完整：请重新发送该批次",
            )
        }
    })
}

fn format(headers: &HeaderMap) -> Result<Format, Refusal> {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    match media_type.split(';').next().unwrap_or_default().trim() {
        "application/vnd.apache.arrow.stream" => Ok(Format::Arrow),
        "application/x-ndjson" => Ok(Format::Ndjson),
        "text/csv" => Ok(Format::Csv),
        _ => Err(Refusal::new(
            Kind::InvalidArgument,
            "content_type",
            "send `Content-Type: application/vnd.apache.arrow.stream`, `application/x-ndjson` or `text/csv` (UTF-8)",
            "Content-Type 须为 application/vnd.apache.arrow.stream、application/x-ndjson 或 text/csv（UTF-8）",
        )),
    }
}

/// What intake says no to, with line, column and limit in Chinese, too.
fn refused(error: IntakeError) -> Refusal {
    let chinese = chinese::of_intake(&error);
    Refusal::from(error).in_chinese(chinese)
}

/// `POST /v1/items/{item}/batches`.
pub(crate) async fn batch(
    State(state): State<AppState>,
    Connector(provider): Connector,
    Path(item): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Receipt>, Refusal> {
    state.catalogue.item(&item).ok_or_else(unknown_item)?;
    let (id, after, format) = (batch_id(&headers)?, after(&headers)?, format(&headers)?);
    let receipt = state.intake.submit(&provider, &item, &id, after.as_ref(), body_of(body)?, format).await;
    receipt.map(Json).map_err(refused)
}

/// `POST /v1/items/{item}/rejects`.
pub(crate) async fn rejects(
    State(state): State<AppState>,
    Connector(provider): Connector,
    Path(item): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Receipt>, Refusal> {
    state.catalogue.item(&item).ok_or_else(unknown_item)?;
    let receipt = state.intake.reject(&provider, &item, &batch_id(&headers)?, body_of(body)?).await;
    receipt.map(Json).map_err(refused)
}

/// `GET /v1/receipts/{batch_id}`.
pub(crate) async fn receipt(
    State(state): State<AppState>,
    Connector(provider): Connector,
    Path(batch_id): Path<String>,
) -> Result<Json<Receipt>, Refusal> {
    let receipts = state.store.receipts(&batch_id, Some(provider.as_str())).await?;
    receipts.into_iter().next().map(|stored| Json(stored.receipt)).ok_or_else(Refusal::not_found)
}
