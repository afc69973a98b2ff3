//! The OpenAPI 3.1 document, made from the route table so that it cannot miss a route.

use axum::Json;
use serde_json::{Map, Value, json};

use crate::http::{Access, ROUTES, Route};
use crate::identity::PURPOSES;

/// `GET /openapi.json`.
pub(crate) async fn document() -> Json<Value> {
    Json(build())
}

/// The whole document.
pub fn build() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let entry = paths.entry(route.path).or_insert_with(|| json!({}));
        entry[route.method.to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Minqiao 民桥",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Data-exchange hub for social assistance. Errors are RFC 9457 problems with a stable `code`.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "securitySchemes": {
                "certificate": {"type": "mutualTLS", "description": "Certificate of the hub's authority; the common name is the provider code or the account name."},
                "token": {"type": "http", "scheme": "bearer"},
            },
            "schemas": {"Problem": problem_schema(), "Receipt": receipt_schema()},
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "responses": {
            "200": success(route),
            "default": {
                "description": "Refused, with the reason and what to do.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    });
    operation["security"] = match route.access {
        Access::Public => json!([]),
        Access::Connector => json!([{"certificate": []}]),
        Access::User | Access::Reader => json!([{"certificate": []}, {"token": []}]),
    };
    let mut parameters: Vec<Value> = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect();
    let header = |name: &str, required: bool, text: &str| json!({"name": name, "in": "header", "required": required, "description": text, "schema": {"type": "string"}});
    if route.path.starts_with("/v1/items/") {
        parameters.push(header(
            "Idempotency-Key",
            true,
            "Batch id: the same id with the same content is stored once and answered by the same receipt.",
        ));
    }
    if route.path == "/v1/items/{item}/batches" {
        parameters.push(header(
            "Minqiao-After",
            false,
            "Batch id of the batch before this one: several may be under way and still are stored in this order. Answers 503 \
             `batch_too_early` when that batch does not come.",
        ));
    }
    if route.method == "GET" && route.path.starts_with("/v1/feeds/") {
        let query = |name: &str, text: &str| json!({"name": name, "in": "query", "required": false, "description": text, "schema": {"type": "string"}});
        parameters.push(query(
            "after",
            "Position to go on from, as the page before gave it; `start`; `now`. Left out: the confirmed position, or the start.",
        ));
        parameters.push(query("limit", "Rows at most, 1 to 5000; 500 when left out."));
        parameters.push(query("wait", "Time to wait for rows, `0s` to `60s`; then the page is empty."));
        parameters.push(header("Last-Event-ID", false, "Position to go on from, of an event stream."));
    }
    if matches!(route.access, Access::User | Access::Reader) {
        parameters.push(header("X-Minqiao-Purpose", true, &format!("What the data is for: {}.", PURPOSES.join(", "))));
        parameters.push(header(
            "X-Minqiao-Case",
            false,
            "Application or alert number worked on: at most 32 of `A-Z a-z 0-9 - _ .`, never a citizen number.",
        ));
    }
    operation["parameters"] = parameters.into();
    if let Some(body) = request_body(route) {
        operation["requestBody"] = body;
    }
    operation
}

fn request_body(route: &Route) -> Option<Value> {
    let text = json!({"schema": {"type": "string"}});
    let binary = json!({"schema": {"type": "string", "contentEncoding": "binary"}});
    let object = |properties: Value, required: Value| json!({"required": true, "content": {"application/json": {"schema": {"type": "object", "properties": properties, "required": required}}}});
    match route.path {
        "/v1/items/{item}/batches" => Some(json!({"required": true, "content": {
            "application/vnd.apache.arrow.stream": binary, "application/x-ndjson": text, "text/csv": text}})),
        "/v1/items/{item}/rejects" => Some(json!({"required": true, "content": {"application/x-ndjson": text}})),
        "/v1/sql" => Some(object(
            json!({"sql": {"type": "string"}, "parameters": {"type": "array", "items": {}}}),
            json!(["sql"]),
        )),
        path if route.method == "PUT" && path.starts_with("/v1/feeds/") => {
            Some(object(json!({"position": {"type": "string"}}), json!(["position"])))
        }
        "/v1/verifications" => Some(object(
            json!({
                "application_no": {"type": "string"},
                "as_of": {"type": "string", "format": "date-time"},
                "reverify_on": {"type": "string", "format": "date"},
            }),
            json!(["application_no"]),
        )),
        _ => None,
    }
}

fn success(route: &Route) -> Value {
    let json_of = |schema: Value| json!({"description": "Done.", "content": {"application/json": {"schema": schema}}});
    match route.path {
        "/" => json!({"description": "A page.", "content": {"text/html": {"schema": {"type": "string"}}}}),
        "/v1/items/{item}/batches" | "/v1/items/{item}/rejects" | "/v1/receipts/{batch_id}" => {
            json_of(json!({"$ref": "#/components/schemas/Receipt"}))
        }
        "/v1/sql" => json!({"description": "The rows, in the form asked for by `Accept`.", "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "contentEncoding": "binary"}}}}),
        "/v1/feeds/{feed}" | "/v1/feeds/items/{item}" if route.method == "GET" => feed_page(),
        _ => json_of(json!({"type": "object"})),
    }
}

fn feed_page() -> Value {
    let text = json!({"type": "string"});
    let page = json!({"type": "object", "required": ["feed", "position", "more", "row_count", "columns", "rows"], "properties": {
        "feed": text, "position": {"type": "string", "description": "Where the next page begins: pass it on unchanged."},
        "more": {"type": "boolean", "description": "Whether to ask again at once."}, "row_count": {"type": "integer"},
        "columns": {"type": "array", "items": {"type": "object"}}, "rows": {"type": "array", "items": {"type": "object"}}}});
    let position =
        json!({"description": "Where the next page begins, in every form but the event stream.", "schema": text});
    json!({
        "description": "The rows, in the form asked for by `Accept`. An event stream has one event `rows` per page, whose id is its position.",
        "headers": {"Minqiao-Position": position, "Minqiao-Rows": {"schema": {"type": "integer"}}, "Minqiao-More": {"schema": {"type": "boolean"}}},
        "content": {
            "application/json": {"schema": page}, "application/x-ndjson": {"schema": text}, "text/csv": {"schema": text},
            "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "contentEncoding": "binary"}},
            "text/event-stream": {"schema": text}},
    })
}

fn problem_schema() -> Value {
    json!({"type": "object", "required": ["type", "title", "status", "code", "detail", "request_id"], "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "code": {"type": "string"},
        "detail": {"type": "string"}, "detail_zh": {"type": "string"}, "request_id": {"type": "string"}}})
}

fn receipt_schema() -> Value {
    let reason = json!({"type": "object", "properties": {"code": {"type": "string"}, "field": {"type": ["string", "null"]},
        "message_zh": {"type": "string"}, "message_en": {"type": "string"}}});
    let outcome = json!({"type": "object", "properties": {"row": {"type": "integer"},
        "outcome": {"enum": ["duplicate", "quarantined"]}, "reasons": {"type": "array", "items": reason}}});
    let count = json!({"type": "integer", "minimum": 0});
    let text = json!({"type": "string"});
    json!({"type": "object", "properties": {
        "batch_id": text, "item": text, "provider": text, "catalogue_version": text, "received_at": text,
        "rows": count, "accepted": count, "duplicate": count, "quarantined": count, "content_digest": text,
        "outcomes": {"type": "array", "items": outcome}, "key_id": text, "signature": text}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_every_route_with_its_guard() {
        let document = build();
        for route in ROUTES {
            let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
            assert_eq!(operation["summary"], route.summary);
            assert_eq!(operation["security"].as_array().expect("array").is_empty(), route.access == Access::Public);
            assert_eq!(operation["requestBody"].is_object(), route.method != "GET", "{}", route.path);
        }
    }
}
