//! Where a connector goes on reading. The body is the connector's own JSON; the hub only keeps it.

use minqiao_core::Timestamp;

use crate::engine::query;
use crate::{Store, StoreError};

impl Store {
    /// The checkpoint of a connector at a place (an item, a file, a table).
    pub async fn checkpoint(&self, connector: &str, place: &str) -> Result<Option<serde_json::Value>, StoreError> {
        let row = query("SELECT body FROM checkpoint WHERE connector = $1 AND place = $2")
            .bind(connector)
            .bind(place)
            .fetch_optional(self)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let body: &str = row.get("body")?;
        Ok(Some(serde_json::from_str(body).map_err(|_| StoreError::Damaged { what: "checkpoint" })?))
    }

    /// Every checkpoint of a connector, by place.
    pub async fn checkpoints(&self, connector: &str) -> Result<Vec<(String, serde_json::Value)>, StoreError> {
        let rows = query("SELECT place, body FROM checkpoint WHERE connector = $1 ORDER BY place")
            .bind(connector)
            .fetch_all(self)
            .await?;
        rows.iter()
            .map(|row| {
                let body: &str = row.get("body")?;
                let body = serde_json::from_str(body).map_err(|_| StoreError::Damaged { what: "checkpoint" })?;
                Ok((row.get("place")?, body))
            })
            .collect()
    }

    /// Stores a checkpoint, replacing the one before.
    pub async fn set_checkpoint(
        &self,
        connector: &str,
        place: &str,
        body: &serde_json::Value,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO checkpoint (connector, place, body, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (connector, place) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
        )
        .bind(connector)
        .bind(place)
        .bind(body.to_string())
        .bind(at.0)
        .execute(self)
        .await?;
        Ok(())
    }
}
