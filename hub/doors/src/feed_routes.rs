//! `/v1/feeds`: what may be read, pages and event streams of it, and the position that the hub remembers.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Query, RawPathParams, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use minqiao_core::Kind;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::feeds::{After, Ask, FeedName, Feeds, Page, Poll, Position};
use crate::identity::{AskedFor, FeedReader};
use crate::problem::Refusal;
use crate::request_id;
use crate::sql_format::Format;
use crate::sql_routes::json_body;
use crate::state::AppState;

/// `?after=…&limit=…&wait=…`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    after: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
}

/// Body of `PUT …/position`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Confirmed {
    position: String,
}

type Asked<T> = Result<Query<T>, QueryRejection>;

/// `GET /v1/feeds`.
pub(crate) async fn list(
    State(state): State<AppState>,
    FeedReader(reader): FeedReader,
    AskedFor(purpose): AskedFor,
) -> Result<Json<Value>, Refusal> {
    state.user_limit.take(&reader.principal.id)?;
    Ok(Json(state.feeds.list(&reader, &purpose).await.map_err(|error| error.refusal())?))
}

/// `GET /v1/feeds/{feed}` and `GET /v1/feeds/items/{item}`.
pub(crate) async fn read(
    State(state): State<AppState>,
    reader: FeedReader,
    purpose: AskedFor,
    Named(feed): Named,
    parameters: Asked<Parameters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let class = feed.class();
    let answered = page_or_stream(&state, reader, purpose, feed, parameters, &headers).await;
    if let Err(refusal) = &answered {
        state.feeds.refused(class, refusal.is_ours());
    }
    answered
}

/// `PUT /v1/feeds/{feed}/position` and `PUT /v1/feeds/items/{item}/position`.
pub(crate) async fn confirm(
    State(state): State<AppState>,
    FeedReader(reader): FeedReader,
    purpose: AskedFor,
    Named(feed): Named,
    body: Result<Json<Confirmed>, JsonRejection>,
) -> Result<Json<Value>, Refusal> {
    state.user_limit.take(&reader.principal.id)?;
    let position = json_body(body)?.position;
    let ask = ask(FeedReader(reader), purpose, feed, 1);
    state.feeds.confirm(&ask, &position).await.map_err(|error| error.refusal())?;
    Ok(Json(serde_json::json!({"feed": ask.feed.as_text(), "confirmed_position": position})))
}

/// The feed that the path names; one that does not exist, where it names none.
pub(crate) struct Named(FeedName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = RawPathParams::from_request_parts(parts, state).await;
        let named = path.iter().flatten().find_map(|(key, name)| match key {
            "item" => Some(FeedName::of(Some("items"), name)),
            "feed" => Some(FeedName::of(None, name)),
            _ => None,
        });
        Ok(Self(named.unwrap_or_else(|| FeedName::of(None, ""))))
    }
}

fn ask(FeedReader(reader): FeedReader, AskedFor(purpose): AskedFor, feed: FeedName, limit: usize) -> Ask {
    Ask { reader, purpose, feed, limit, request_id: request_id::current().unwrap_or_else(request_id::fresh) }
}

async fn page_or_stream(
    state: &AppState,
    reader: FeedReader,
    purpose: AskedFor,
    feed: FeedName,
    parameters: Asked<Parameters>,
    headers: &HeaderMap,
) -> Result<Response, Refusal> {
    state.user_limit.take(&reader.0.principal.id)?;
    let Query(parameters) = parameters.map_err(|_| bad_parameter("after, limit, wait"))?;
    let limits = state.feeds.limits();
    let limit = match parameters.limit.as_deref() {
        None => limits.rows_default,
        Some(text) => text.parse().ok().filter(|rows| (1..=limits.rows_max).contains(rows)).ok_or_else(|| {
            let max = limits.rows_max;
            bad_parameter(&format!("limit=1…{max}"))
        })?,
    };
    let wait = match parameters.wait.as_deref() {
        None => Duration::ZERO,
        Some(text) => seconds(text).filter(|wait| *wait <= limits.wait_max).ok_or_else(|| {
            let max = limits.wait_max.as_secs();
            bad_parameter(&format!("wait=0s…{max}s"))
        })?,
    };
    let ask = ask(reader, purpose, feed, limit);
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_stream = accepted.split(',').any(|part| part.split(';').next().unwrap_or_default().trim() == EVENTS);
    let format = if is_stream { Format::Json } else { Format::of(headers).ok_or_else(not_acceptable)? };
    // A browser that reconnects says where it was in a header, whatever the address says.
    let last_id = headers.get("last-event-id").filter(|_| is_stream).and_then(|value| value.to_str().ok());
    let after = After::of(last_id.filter(|id| !id.is_empty()).or(parameters.after.as_deref()));
    let feeds = state.feeds.clone();
    let poll = if is_stream || !wait.is_zero() {
        Some(feeds.poll(&ask.reader).map_err(|error| error.refusal())?)
    } else {
        None
    };
    let from = feeds.begin(&ask, after).await.map_err(|error| error.refusal())?;
    if is_stream {
        return Ok(events(feeds, ask, from, poll));
    }
    let page = feeds.next(&ask, from, wait).await.map_err(|error| error.refusal())?;
    respond(&feeds, &page, format)
}

fn respond(feeds: &Feeds, page: &Page, format: Format) -> Result<Response, Refusal> {
    let position = feeds.sealed(&page.position).map_err(|error| error.refusal())?;
    let body = page.body(format, &position).map_err(|_| unencodable())?;
    let mut response = (StatusCode::OK, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let rows = page.rows.count().to_string();
    let texts = [
        ("minqiao-rows", rows.as_str()),
        ("minqiao-position", position.as_str()),
        ("minqiao-more", if page.more { "true" } else { "false" }),
    ];
    for (name, text) in texts {
        if let Ok(value) = HeaderValue::from_str(text) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

const EVENTS: &str = "text/event-stream";

/// A stream of pages. It lives for a bounded time; the client comes again with `Last-Event-ID`.
struct Events {
    feeds: Feeds,
    ask: Ask,
    /// Where to go on; `None` when the stream is over.
    at: Option<Position>,
    until: Instant,
    _poll: Option<Poll>,
}

fn events(feeds: Feeds, ask: Ask, from: Position, poll: Option<Poll>) -> Response {
    let until = Instant::now() + feeds.limits().stream_max;
    let events = Events { feeds, ask, at: Some(from), until, _poll: poll };
    // Told at once, so that the client knows that it is connected before the first row comes.
    let hello = Bytes::from_static(b"retry: 3000\n\n");
    let stream = stream::unfold((events, Some(hello)), |(mut events, hello)| async move {
        let bytes = match hello {
            Some(hello) => hello,
            None => events.next().await?,
        };
        Some((Ok::<_, Infallible>(bytes), (events, None)))
    });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    response
}

impl Events {
    /// The next event or sign of life; polled only when the client takes it.
    async fn next(&mut self) -> Option<Bytes> {
        let from = self.at.take()?;
        if self.feeds.is_stopping() || Instant::now() >= self.until {
            return None;
        }
        self.ask.request_id = request_id::fresh();
        let wait = self.feeds.limits().keep_alive.min(self.until.saturating_duration_since(Instant::now()));
        let page = match self.feeds.next(&self.ask, from, wait).await {
            Ok(page) => page,
            Err(error) => return Some(self.problem(error.refusal())),
        };
        let told = if page.rows.count() == 0 { Ok(Bytes::from_static(b": keep-alive\n\n")) } else { self.event(&page) };
        match told {
            Ok(bytes) => {
                self.at = Some(page.position);
                Some(bytes)
            }
            Err(refusal) => Some(self.problem(refusal)),
        }
    }

    fn event(&self, page: &Page) -> Result<Bytes, Refusal> {
        let position = self.feeds.sealed(&page.position).map_err(|error| error.refusal())?;
        let data = page.json(&position).map_err(|_| unencodable())?;
        let mut event = format!("event: rows\nid: {position}\ndata: ").into_bytes();
        event.extend(data);
        event.extend_from_slice(b"\n\n");
        Ok(event.into())
    }

    /// The last event of a stream that cannot go on; it has no id, so the client comes again from its last page.
    fn problem(&self, refusal: Refusal) -> Bytes {
        format!("event: problem\ndata: {}\n\n", refusal.text(&self.ask.request_id)).into()
    }
}

/// `30s` or `30`.
fn seconds(text: &str) -> Option<Duration> {
    text.strip_suffix('s').unwrap_or(text).parse().ok().map(Duration::from_secs)
}

fn bad_parameter(expected: &str) -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "invalid_parameter",
        format!("a parameter of the address is not understood; expected: {expected}"),
        format!("地址中的参数有误，应为：{expected}"),
    )
}

fn not_acceptable() -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "not_acceptable",
        "feeds come as application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream or text/event-stream",
        "可选的返回格式：application/json、application/x-ndjson、text/csv、application/vnd.apache.arrow.stream、text/event-stream",
    )
}

fn unencodable() -> Refusal {
    Refusal::new(
        Kind::InvalidArgument,
        "not_encodable",
        "a column has a type that this form cannot carry: ask for Arrow",
        "有列的类型无法用该格式表示：请改用 Arrow",
    )
}
