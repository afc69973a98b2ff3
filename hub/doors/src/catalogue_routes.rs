//! The catalogue as JSON. Public: it describes data, it holds none.

use axum::Json;
use axum::extract::{Path, State};
use minqiao_core::Kind;
use minqiao_schemas::{Catalogue, Item};
use serde_json::{Map, Value, json};

use crate::problem::Refusal;
use crate::state::AppState;

/// `GET /v1/catalogue`.
pub(crate) async fn all(State(state): State<AppState>) -> Json<Value> {
    Json(overview(state.catalogue))
}

/// `GET /v1/catalogue/{item}`.
pub(crate) async fn one(State(state): State<AppState>, Path(code): Path<String>) -> Result<Json<Value>, Refusal> {
    state.catalogue.item(&code).map(|item| Json(item_view(state.catalogue, item))).ok_or_else(unknown_item)
}

/// Departments and items, without fields.
pub fn overview(catalogue: &Catalogue) -> Value {
    let items: Vec<Value> = catalogue
        .items()
        .iter()
        .map(|item| {
            json!({"no": item.no, "code": item.code, "name_zh": item.name_zh, "name_en": item.name_en,
                "department": item.department, "class": item.class, "fields": item.fields.len()})
        })
        .collect();
    let departments: Vec<Value> = catalogue
        .departments()
        .iter()
        .map(|d| json!({"code": d.code, "name_zh": d.name_zh, "name_en": d.name_en}))
        .collect();
    json!({"version": catalogue.version(), "summary": catalogue.summary().to_string(), "departments": departments, "items": items})
}

/// One item with its fields and the code tables that they name.
pub fn item_view(catalogue: &Catalogue, item: &Item) -> Value {
    let fields: Vec<Value> = item
        .fields
        .iter()
        .map(|field| {
            let tags: Vec<&str> = field.tags.iter().map(|tag| tag.as_str()).collect();
            json!({"name": field.name, "label_zh": field.label_zh, "type": field.ty.to_string(), "required": field.required,
                "code_table": field.code_table, "level": field.level.as_str(), "tags": tags, "sealed": field.is_sealed()})
        })
        .collect();
    let mut tables = Map::new();
    for name in item.fields.iter().filter_map(|field| field.code_table.as_deref()) {
        let Some(table) = catalogue.code_table(name) else { continue };
        let values: Vec<Value> = table.values.iter().map(|v| json!({"code": v.code, "zh": v.zh})).collect();
        tables.insert(
            name.to_owned(),
            json!({"standard": table.standard, "name_zh": table.name_zh, "name_en": table.name_en,
                "pattern": table.pattern, "values": values}),
        );
    }
    json!({
        "no": item.no, "code": item.code, "name_zh": item.name_zh, "name_en": item.name_en,
        "department": item.department, "class": item.class, "grain": item.grain, "note": item.note,
        "natural_key": item.natural_key, "subject_fields": item.subject_fields,
        "cadence": item.cadence.as_str(), "exchange_mode": item.exchange_mode.as_str(), "kind": item.kind.as_str(),
        "level": item.level.as_str(), "contains_minors": item.contains_minors,
        "authorization_required": item.authorization_required, "fields": fields, "code_tables": tables,
    })
}

/// The refusal for an item that the catalogue does not have.
pub(crate) fn unknown_item() -> Refusal {
    Refusal::new(
        Kind::NotFound,
        "unknown_item",
        "the catalogue has no such item: see /v1/catalogue for the 73 codes",
        "目录中没有该信息项：73 个信息项代码见 /v1/catalogue",
    )
}
