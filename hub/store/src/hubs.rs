//! Hubs that share this store: who runs, who may append to an item, what all must have in common.
//!
//! No clock stands in the tables, because clocks differ and jump. A hub that runs counts its beats, others watch whether
//! the count moves ([`crate::membership`]). A claim is held by name; it is free when the name is no running hub's. Its
//! epoch grows with every change of holder and travels with every message (BUS-7), which is what makes a holder that was
//! taken for dead harmless.

use crate::engine::query;
use crate::{Store, StoreError};

/// A hub that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Drawn anew with every start.
    pub id: String,
    /// What it does, e.g. `gateway,writer`.
    pub roles: String,
    /// Grows while it lives.
    pub beat: i64,
}

impl Store {
    /// Enters a hub.
    pub async fn enter_hub(&self, id: &str, roles: &str) -> Result<(), StoreError> {
        query("INSERT INTO hub (id, roles, beat) VALUES ($1, $2, 0) ON CONFLICT (id) DO NOTHING")
            .bind(id)
            .bind(roles)
            .execute(self)
            .await?;
        Ok(())
    }

    /// Says what a hub does.
    pub async fn set_hub_roles(&self, id: &str, roles: &str) -> Result<(), StoreError> {
        query("UPDATE hub SET roles = $2 WHERE id = $1").bind(id).bind(roles).execute(self).await?;
        Ok(())
    }

    /// One sign of life. Answers false when the hub was taken out.
    pub async fn beat_hub(&self, id: &str) -> Result<bool, StoreError> {
        Ok(query("UPDATE hub SET beat = beat + 1 WHERE id = $1").bind(id).execute(self).await? > 0)
    }

    /// Every hub that runs, by id.
    pub async fn hubs(&self) -> Result<Vec<Hub>, StoreError> {
        let rows = query("SELECT id, roles, beat FROM hub ORDER BY id").fetch_all(self).await?;
        rows.iter()
            .map(|row| Ok(Hub { id: row.get("id")?, roles: row.get("roles")?, beat: row.get("beat")? }))
            .collect()
    }

    /// Takes a hub out, unless it gave a sign of life after `seen`; without `seen` in any case.
    pub async fn remove_hub(&self, id: &str, seen: Option<i64>) -> Result<bool, StoreError> {
        let removed = query("DELETE FROM hub WHERE id = $1 AND ($2 IS NULL OR beat = $2)").bind(id).bind(seen);
        Ok(removed.execute(self).await? > 0)
    }

    /// Claims an item for a hub. Answers the claim's epoch, or nothing while another running hub holds it, which then
    /// hears that it is wanted. A claim that the hub holds already keeps its epoch.
    pub async fn claim(&self, item: &str, hub: &str) -> Result<Option<u64>, StoreError> {
        query("INSERT INTO claim (item, holder, epoch, wanted) VALUES ($1, NULL, 0, 0) ON CONFLICT (item) DO NOTHING")
            .bind(item)
            .execute(self)
            .await?;
        query(
            "UPDATE claim SET holder = $2, epoch = epoch + 1, wanted = 0 WHERE item = $1 \
             AND (holder IS NULL OR (holder <> $2 AND holder NOT IN (SELECT id FROM hub)))",
        )
        .bind(item)
        .bind(hub)
        .execute(self)
        .await?;
        let held = query("SELECT epoch FROM claim WHERE item = $1 AND holder = $2").bind(item).bind(hub);
        if let Some(row) = held.fetch_optional(self).await? {
            let epoch: i64 = row.get("epoch")?;
            return Ok(Some(u64::try_from(epoch).map_err(|_| StoreError::Damaged { what: "claim" })?));
        }
        query("UPDATE claim SET wanted = 1 WHERE item = $1 AND holder <> $2")
            .bind(item)
            .bind(hub)
            .execute(self)
            .await?;
        Ok(None)
    }

    /// Items that a hub holds and another one waits for, in order.
    pub async fn wanted_claims(&self, hub: &str) -> Result<Vec<String>, StoreError> {
        let rows = query("SELECT item FROM claim WHERE holder = $1 AND wanted = 1 ORDER BY item").bind(hub);
        rows.fetch_all(self).await?.iter().map(|row| row.get("item")).collect()
    }

    /// Gives a claim back. Nothing happens when it is another's by now.
    pub async fn release_claim(&self, item: &str, hub: &str) -> Result<(), StoreError> {
        query("UPDATE claim SET holder = NULL, wanted = 0 WHERE item = $1 AND holder = $2")
            .bind(item)
            .bind(hub)
            .execute(self)
            .await?;
        Ok(())
    }

    /// Says what all hubs must have in common under a name; answers what the first one said.
    pub async fn agree(&self, name: &str, value: &str) -> Result<String, StoreError> {
        query("INSERT INTO common (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(self)
            .await?;
        let row = query("SELECT value FROM common WHERE name = $1").bind(name).fetch_optional(self).await?;
        row.ok_or(StoreError::NotFound { what: "common value" })?.get("value")
    }
}
