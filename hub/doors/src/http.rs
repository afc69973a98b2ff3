//! The HTTP surface: one table of routes, from which the router, the OpenAPI document and the tests are made.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post, put};
use minqiao_core::Kind;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::problem::Refusal;
use crate::state::AppState;
use crate::{
    batch_routes, catalogue_routes, feed_routes, key_routes, openapi, request_id, sql_routes, verify_routes, welcome,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone who reaches the port.
    Public,
    /// A connector with its certificate.
    Connector,
    /// A user; what they get is decided by policy.
    User,
    /// A department, by its connector's certificate or as a user; what it gets is decided by policy.
    Reader,
}

/// One line of the surface.
#[derive(Debug)]
pub struct Route {
    /// `GET`, `POST` or `PUT`.
    pub method: &'static str,
    /// axum path pattern.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// One sentence for the OpenAPI document.
    pub summary: &'static str,
}

const fn route(method: &'static str, path: &'static str, access: Access, summary: &'static str) -> Route {
    Route { method, path, access, summary }
}

/// Every route of the public port.
pub const ROUTES: &[Route] = &[
    route("GET", "/", Access::Public, "What this is and where to go on, for a browser."),
    route("GET", "/openapi.json", Access::Public, "This document."),
    route("GET", "/v1/catalogue", Access::Public, "Departments, classes and the 73 items."),
    route("GET", "/v1/catalogue/{item}", Access::Public, "One item with its fields, code tables and levels."),
    route("GET", "/v1/keys", Access::Public, "Public keys that check the signatures of receipts and reports."),
    route(
        "POST",
        "/v1/items/{item}/batches",
        Access::Connector,
        "Publish a batch in canonical fields: Arrow stream, NDJSON or CSV. Answers the signed receipt once the rows are durable.",
    ),
    route(
        "POST",
        "/v1/items/{item}/rejects",
        Access::Connector,
        "Hand over source rows that cannot be expressed in canonical fields; they wait sealed in the quarantine.",
    ),
    route("GET", "/v1/receipts/{batch_id}", Access::Connector, "The receipt of a batch that this connector sent."),
    route(
        "POST",
        "/v1/sql",
        Access::User,
        "Run a query. The answer shows what the caller may see for the purpose given.",
    ),
    route("GET", "/v1/feeds", Access::Reader, "Feeds that the caller may read, with the positions it confirmed."),
    route(
        "GET",
        "/v1/feeds/{feed}",
        Access::Reader,
        "A page of a feed (`receipts`), or an event stream. There is no alerts feed yet: monitoring is not built.",
    ),
    route("PUT", "/v1/feeds/{feed}/position", Access::Reader, "Remember the position that the caller has come to."),
    route(
        "GET",
        "/v1/feeds/items/{item}",
        Access::Reader,
        "A page of changes of an item that is shared with the caller, or an event stream.",
    ),
    route("PUT", "/v1/feeds/items/{item}/position", Access::Reader, "The same for the feed of an item."),
    route("POST", "/v1/verifications", Access::User, "Verify the household of an application."),
    route("GET", "/v1/verifications/{id}", Access::User, "A report as JSON, readable text or HTML, by `Accept`."),
];

fn handler(route: &Route) -> MethodRouter<AppState> {
    match (route.method, route.path) {
        ("GET", "/") => get(welcome::page),
        ("GET", "/openapi.json") => get(openapi::document),
        ("GET", "/v1/catalogue") => get(catalogue_routes::all),
        ("GET", "/v1/catalogue/{item}") => get(catalogue_routes::one),
        ("GET", "/v1/keys") => get(key_routes::all),
        ("POST", "/v1/items/{item}/batches") => post(batch_routes::batch),
        ("POST", "/v1/items/{item}/rejects") => post(batch_routes::rejects),
        ("GET", "/v1/receipts/{batch_id}") => get(batch_routes::receipt),
        ("POST", "/v1/sql") => post(sql_routes::query),
        ("GET", "/v1/feeds") => get(feed_routes::list),
        ("GET", "/v1/feeds/{feed}") => get(feed_routes::read),
        ("PUT", "/v1/feeds/{feed}/position") => put(feed_routes::confirm),
        ("GET", "/v1/feeds/items/{item}") => get(feed_routes::read),
        ("PUT", "/v1/feeds/items/{item}/position") => put(feed_routes::confirm),
        ("POST", "/v1/verifications") => post(verify_routes::create),
        ("GET", "/v1/verifications/{id}") => get(verify_routes::read),
        (method, path) => unreachable!("route {method} {path} has no handler"),
    }
}

/// The router of the public port, with the routes that this process `serves`; the others do not exist here. Bodies over
/// `body_bytes_max` are refused with 413 before they are read whole.
pub fn router(state: AppState, body_bytes_max: usize, serves: impl Fn(Access) -> bool) -> Router {
    let mut router = Router::new();
    for route in ROUTES.iter().filter(|route| serves(route.access)) {
        router = router.route(route.path, handler(route));
    }
    let fixed = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::overriding(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    router
        .fallback(|| async { Refusal::not_found() })
        .method_not_allowed_fallback(|| async {
            Refusal::new(
                Kind::InvalidArgument,
                "method_not_allowed",
                "this path exists, but not with this method: see /openapi.json",
                "该地址不支持此请求方法：参见 /openapi.json",
            )
            .with_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        .route_layer(axum::middleware::from_fn_with_state(state.clone(), crate::metrics::count))
        .with_state(state)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(
            ServiceBuilder::new()
                .layer(axum::middleware::from_fn(request_id::identify))
                .layer(CatchPanicLayer::custom(panicked))
                .layer(fixed("cache-control", "no-store"))
                .layer(fixed("x-content-type-options", "nosniff"))
                .layer(fixed("referrer-policy", "no-referrer"))
                .layer(fixed(
                    "content-security-policy",
                    "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
                ))
                .layer(fixed("strict-transport-security", "max-age=31536000")),
        )
}

/// A panic costs its own request and nobody else's; the text of the panic is not shown.
fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    tracing::error!("a request handler panicked");
    Refusal::new(
        Kind::Internal,
        "internal",
        "the hub made a mistake; it has been logged under this request id",
        "平台内部错误，已按请求编号记录",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_has_a_handler_and_stands_once() {
        let mut seen = std::collections::HashSet::new();
        for route in ROUTES {
            assert!(seen.insert((route.method, route.path)), "{route:?} twice");
            let _handler = handler(route);
            assert!(route.summary.ends_with('.'));
        }
    }
}
