//! One id per request: whoever quotes the id of an answer is led to its line in the log and its record in the audit chain.
//!
//! The id is the request's own for as long as its handler runs; nothing that makes a refusal or a record has to carry it.
//! It also stands in the header `X-Minqiao-Request-Id` of every answer.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

/// Header of every answer.
const HEADER: HeaderName = HeaderName::from_static("x-minqiao-request-id");

tokio::task_local! {
    static OF_THIS_REQUEST: String;
}

/// The id of the request that is being answered; `None` for what the hub does by itself.
pub(crate) fn current() -> Option<String> {
    OF_THIS_REQUEST.try_with(Clone::clone).ok()
}

/// An id that nothing has.
pub(crate) fn fresh() -> String {
    Uuid::now_v7().to_string()
}

/// Middleware that gives every request its id.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = fresh();
    let mut response = OF_THIS_REQUEST.scope(id.clone(), next.run(request)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}
