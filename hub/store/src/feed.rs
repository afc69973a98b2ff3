//! What feeds stand on: the order of receipts, and the last position that each subscriber confirmed.
//!
//! **An order that loses nothing.** A number drawn while a receipt is stored (a sequence, the greatest number plus one)
//! becomes visible when its transaction commits, which under several writers is not the order of the numbers: who reads
//! 7 before 6 is committed, and goes on after 7, never sees 6. Here the transaction that stores a receipt only adds
//! it to `receipt_unplaced`, without a lock and without waiting for anybody. Whoever reads the order first gives places
//! to what is *committed by then*, under one lock ([`Transaction::lock_order`]): places are dense, given once, and appear
//! in their order; a receipt that commits late gets a later place.
//!
//! ```text
//! store:  receipt + receipt_unplaced                                one transaction, any number at once
//! read:   lock │ receipt_unplaced ──► receipt_place max+1, max+2 …  one at a time, a few thousand each
//! ```
//!
//! **Waking.** [`Store::receipts_stored`] changes whenever this process stores a receipt. Those of other hubs are found
//! by looking now and then.

use minqiao_core::Timestamp;
use tokio::sync::watch;

use crate::engine::{Attempts, Transaction, query};
use crate::receipt::read_receipt;
use crate::{BatchKind, Store, StoreError, StoredReceipt};

/// Receipts placed by one transaction: what a page waits for is bounded, also the first time.
const PLACED_AT_ONCE: i64 = 2_000;

/// Whose receipts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Providers {
    /// Of one provider code.
    One(String),
    /// Of every provider of a department: `civil-affairs.…`.
    Department(String),
}

impl Providers {
    /// First and last provider code that is meant, in the order of bytes. `.` is followed by `/` in ASCII, and no code
    /// holds either but between department and division.
    fn bounds(&self) -> (String, String) {
        match self {
            Self::One(code) => (code.clone(), code.clone()),
            Self::Department(code) => (format!("{code}."), format!("{code}/")),
        }
    }
}

/// A receipt at its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedReceipt {
    /// Counts from 1 over all providers.
    pub place: u64,
    /// The receipt.
    pub receipt: StoredReceipt,
}

/// A position that a subscriber confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmedPosition {
    /// Feed.
    pub feed: String,
    /// As the subscriber was given it.
    pub position: String,
    /// When it was confirmed.
    pub updated_at: Timestamp,
}

impl Store {
    /// Receipts of `providers` after `place`, in the order, at most `limit`. What is committed when this is called has
    /// its place in the answer or behind its end.
    pub async fn receipts_after(
        &self,
        providers: &Providers,
        place: u64,
        limit: u32,
    ) -> Result<Vec<PlacedReceipt>, StoreError> {
        self.place_receipts().await?;
        let (first, last) = providers.bounds();
        let rows = query(
            "SELECT p.place AS place, p.kind AS kind, r.body AS body FROM receipt_place p \
             JOIN receipt r ON r.provider = p.provider AND r.kind = p.kind AND r.batch_id = p.batch_id \
             WHERE p.provider >= $1 AND p.provider <= $2 AND p.place > $3 ORDER BY p.place LIMIT $4",
        )
        .bind(first)
        .bind(last)
        .bind(i64::try_from(place).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(self)
        .await?;
        rows.iter()
            .map(|row| {
                let place = u64::try_from(row.get::<i64>("place")?).map_err(|_| damaged())?;
                let kind = BatchKind::parse(row.get("kind")?).ok_or_else(damaged)?;
                Ok(PlacedReceipt { place, receipt: StoredReceipt { kind, receipt: read_receipt(row.get("body")?)? } })
            })
            .collect()
    }

    /// The last place that was given, over all providers.
    pub async fn last_receipt_place(&self) -> Result<u64, StoreError> {
        self.place_receipts().await?;
        let row = query("SELECT COALESCE(MAX(place), 0) AS place FROM receipt_place").fetch_optional(self).await?;
        row.map_or(Ok(0), |row| u64::try_from(row.get::<i64>("place")?).map_err(|_| damaged()))
    }

    /// Names the order of this database: a place of another one means nothing here.
    pub async fn receipt_order(&self) -> Result<String, StoreError> {
        let read = || query("SELECT id FROM receipt_order WHERE singleton = 1").fetch_optional(self);
        if let Some(row) = read().await? {
            return row.get("id");
        }
        query("INSERT INTO receipt_order (singleton, id) VALUES (1, $1) ON CONFLICT (singleton) DO NOTHING")
            .bind(uuid::Uuid::new_v4().to_string())
            .execute(self)
            .await?;
        read().await?.ok_or(StoreError::NotFound { what: "order of receipts" })?.get("id")
    }

    /// Changes when this process has stored a receipt.
    pub fn receipts_stored(&self) -> watch::Receiver<u64> {
        self.stored.subscribe()
    }

    /// Gives places to every receipt that is committed now.
    async fn place_receipts(&self) -> Result<(), StoreError> {
        let mut attempts = Attempts::default();
        // Readers look first: only who finds something takes the lock, and SQLite's one writer.
        while query("SELECT 1 AS one FROM receipt_unplaced LIMIT 1").fetch_optional(self).await?.is_some() {
            match Box::pin(self.place_some()).await {
                Err(error) if attempts.again_unless_known(&error).await => {}
                outcome => outcome?,
            }
        }
        Ok(())
    }

    async fn place_some(&self) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        transaction.lock_order().await?;
        // Statements see what is committed when they begin (READ COMMITTED), hence places of whoever had the lock before.
        let last = query("SELECT COALESCE(MAX(place), 0) AS place FROM receipt_place")
            .fetch_optional_in(&mut transaction)
            .await?;
        let last: i64 = last.map_or(Ok(0), |row| row.get("place"))?;
        query(
            "INSERT INTO receipt_place (place, provider, kind, batch_id) \
             SELECT $1 + ROW_NUMBER() OVER (ORDER BY received_at, provider, kind, batch_id), provider, kind, batch_id \
             FROM (SELECT * FROM receipt_unplaced ORDER BY received_at, provider, kind, batch_id LIMIT $2) AS unplaced",
        )
        .bind(last)
        .bind(PLACED_AT_ONCE)
        .execute_in(&mut transaction)
        .await?;
        // What was placed, and nothing that was committed since.
        query(
            "DELETE FROM receipt_unplaced WHERE EXISTS (SELECT 1 FROM receipt_place p WHERE p.place > $1 \
             AND p.provider = receipt_unplaced.provider AND p.kind = receipt_unplaced.kind \
             AND p.batch_id = receipt_unplaced.batch_id)",
        )
        .bind(last)
        .execute_in(&mut transaction)
        .await?;
        transaction.commit().await
    }

    /// Remembers where a subscriber has come to, replacing what was remembered.
    pub async fn confirm_position(
        &self,
        subscriber: &str,
        feed: &str,
        position: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        query(
            "INSERT INTO feed_position (subscriber, feed, position, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (subscriber, feed) DO UPDATE SET position = excluded.position, updated_at = excluded.updated_at",
        )
        .bind(subscriber)
        .bind(feed)
        .bind(position)
        .bind(at.0)
        .execute(self)
        .await?;
        Ok(())
    }

    /// Every position that a subscriber confirmed, by feed.
    pub async fn confirmed_positions(&self, subscriber: &str) -> Result<Vec<ConfirmedPosition>, StoreError> {
        let rows = query("SELECT feed, position, updated_at FROM feed_position WHERE subscriber = $1 ORDER BY feed")
            .bind(subscriber)
            .fetch_all(self)
            .await?;
        rows.iter()
            .map(|row| {
                let (feed, position) = (row.get("feed")?, row.get("position")?);
                Ok(ConfirmedPosition { feed, position, updated_at: Timestamp(row.get("updated_at")?) })
            })
            .collect()
    }
}

/// Adds a stored receipt to those that wait for their place, in the transaction that stores it.
pub(crate) async fn await_place(
    transaction: &mut Transaction,
    kind: BatchKind,
    receipt: &minqiao_core::Receipt,
    received_at: Timestamp,
) -> Result<(), StoreError> {
    query("INSERT INTO receipt_unplaced (provider, kind, batch_id, received_at) VALUES ($1, $2, $3, $4)")
        .bind(&receipt.provider)
        .bind(kind.as_str())
        .bind(&receipt.batch_id)
        .bind(received_at.0)
        .execute_in(transaction)
        .await?;
    Ok(())
}

fn damaged() -> StoreError {
    StoreError::Damaged { what: "receipt" }
}
