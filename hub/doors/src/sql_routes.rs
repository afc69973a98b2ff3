//! `POST /v1/sql`.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::{StreamExt, stream};
use minqiao_core::Kind;
use minqiao_query::{Parameter, QueryRequest, QueryStream};
use serde::Deserialize;

use crate::identity::{AskedFor, User};
use crate::metrics::DoorMetrics;
use crate::problem::Refusal;
use crate::request_id;
use crate::sql_format::{Encoder, Format};
use crate::state::AppState;

/// Body of the request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlBody {
    sql: String,
    #[serde(default)]
    parameters: Vec<serde_json::Value>,
}

/// Refuses a JSON body that is none or too large, in our own words.
pub(crate) fn json_body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    body.map(|Json(value)| value).map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Refusal::body_too_large();
        }
        Refusal::new(
            Kind::InvalidArgument,
            "invalid_json",
            "the body must be a JSON object as /openapi.json describes it, with `Content-Type: application/json`",
            "请求体必须是 /openapi.json 所述的 JSON 对象，并带有 Content-Type: application/json",
        )
    })
}

/// Runs the query. The audit record is durable before the first byte leaves.
pub(crate) async fn query(
    State(state): State<AppState>,
    User(user): User,
    AskedFor(purpose): AskedFor,
    headers: HeaderMap,
    body: Result<Json<SqlBody>, JsonRejection>,
) -> Result<Response, Refusal> {
    let metrics = state.metrics.clone();
    let counted = |outcome: &'static str| metrics.queries.with_label_values(&[outcome]).inc();
    let answer = answer(state, user, purpose, headers, body).await;
    counted(match &answer {
        Ok(_) => "answered",
        Err(refusal) if refusal.is_ours() => "failed",
        Err(_) => "refused",
    });
    answer
}

async fn answer(
    state: AppState,
    user: std::sync::Arc<minqiao_core::Principal>,
    purpose: minqiao_core::Purpose,
    headers: HeaderMap,
    body: Result<Json<SqlBody>, JsonRejection>,
) -> Result<Response, Refusal> {
    state.user_limit.take(&user.id)?;
    let body = json_body(body)?;
    let format = Format::of(&headers).ok_or_else(|| {
        Refusal::new(
            Kind::InvalidArgument,
            "not_acceptable",
            "answers come as application/json, application/x-ndjson, text/csv or application/vnd.apache.arrow.stream",
            "可选的返回格式：application/json、application/x-ndjson、text/csv、application/vnd.apache.arrow.stream",
        )
    })?;
    let parameters: Option<Vec<Parameter>> = body.parameters.iter().map(Parameter::from_json).collect();
    let parameters = parameters.ok_or_else(|| {
        Refusal::new(
            Kind::InvalidArgument,
            "invalid_parameter",
            "`parameters` are null, true, false, numbers or text",
            "parameters 只能是 null、布尔、数字或文本",
        )
    })?;
    let request = QueryRequest {
        request_id: request_id::current().unwrap_or_else(request_id::fresh),
        door: "http",
        principal: (*user).clone(),
        purpose,
        sql: body.sql,
        parameters,
    };
    let mut rows = state.sql.query(request).await?;
    // The first batch is awaited here, so that what fails at once is a proper refusal and not a broken stream.
    let first = rows.next().await.transpose()?;
    let unencodable = |_| {
        Refusal::new(
            Kind::InvalidArgument,
            "not_encodable",
            "a column has a type that this form cannot carry: cast it or ask for Arrow",
            "有列的类型无法用该格式表示：请转换类型或改用 Arrow",
        )
    };
    let (mut encoder, mut head) = Encoder::start(format, &rows.schema()).map_err(unencodable)?;
    if let Some(batch) = &first {
        head.extend(encoder.batch(batch).map_err(unencodable)?);
        state.metrics.query_rows.inc_by(batch.num_rows() as u64);
    }
    let over = first.is_none();
    let body = Body::from_stream(stream::once(async { Ok(Bytes::from(head)) }).chain(rest(
        rows,
        encoder,
        over,
        state.metrics,
    )));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    Ok(response)
}

/// A stream that broke after its first rows: the connection is cut, so that nobody takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokenOff;

fn rest(
    rows: QueryStream,
    encoder: Encoder,
    over: bool,
    metrics: DoorMetrics,
) -> impl futures::Stream<Item = Result<Bytes, BrokenOff>> {
    stream::try_unfold((rows, Some(encoder), over), move |(mut rows, encoder, over)| {
        let metrics = metrics.clone();
        async move {
            let Some(mut encoder) = encoder else { return Ok(None) };
            let next = if over { None } else { rows.next().await };
            match next {
                Some(Ok(batch)) => {
                    metrics.query_rows.inc_by(batch.num_rows() as u64);
                    let bytes = encoder.batch(&batch).map_err(|_| BrokenOff)?;
                    Ok(Some((Bytes::from(bytes), (rows, Some(encoder), false))))
                }
                Some(Err(_)) => Err(BrokenOff),
                None => {
                    let bytes = encoder.finish().map_err(|_| BrokenOff)?;
                    Ok(Some((Bytes::from(bytes), (rows, None, true))))
                }
            }
        }
    })
}
