//! Public keys, with which receipts and reports are checked without the hub.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::state::AppState;

/// `GET /v1/keys`: oldest first; keys that were rotated out stay, for what they signed.
pub(crate) async fn all(State(state): State<AppState>) -> Json<Value> {
    let keys = state.vault.public_keys().into_iter();
    let keys: Vec<Value> = keys.map(|key| json!({"key_id": key.key_id, "public_key_pem": key.pem})).collect();
    Json(json!({ "keys": keys }))
}
