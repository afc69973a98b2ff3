//! `receipts`: receipts of the caller's own deliveries, in the order in which the store placed them.

use std::time::Duration;

use tokio::sync::watch;

use super::{Ask, FeedError, Feeds, Page, Position, Rows};

/// Receipts of other hubs are found within this time; those of this process at once.
const OTHERS_EVERY: Duration = Duration::from_secs(1);

impl Feeds {
    /// Before the first receipt, or behind the last.
    pub(super) async fn receipts_edge(&self, now: bool) -> Result<Position, FeedError> {
        let place = if now { self.inner.store.last_receipt_place().await? } else { 0 };
        let log = self.inner.store.receipt_order().await?;
        Ok(Position { feed: "receipts".to_owned(), log, next: vec![(place, 0, 0)], turn: 0 })
    }

    pub(super) async fn check_receipts(&self, position: &Position) -> Result<(), FeedError> {
        let [(place, 0, _)] = position.next.as_slice() else { return Err(FeedError::PositionInvalid) };
        if position.log != self.inner.store.receipt_order().await? {
            return Err(FeedError::PositionOfAnotherLog);
        }
        // A store that was restored from before the position.
        if *place > self.inner.store.last_receipt_place().await? {
            return Err(FeedError::PositionGone);
        }
        Ok(())
    }

    pub(super) async fn receipts_page(&self, ask: &Ask, mut position: Position) -> Result<Page, FeedError> {
        let providers = self.receipts_of(&ask.reader, &ask.purpose)?;
        let place = position.next.first().map_or(0, |(place, ..)| *place);
        let limit = u32::try_from(ask.limit).unwrap_or(u32::MAX);
        let mut receipts = self.inner.store.receipts_after(providers, place, limit).await?;
        let mut more = receipts.len() >= ask.limit;
        // A receipt names every row that was refused: bytes are bounded beside the number.
        let mut bytes = 0;
        let fitting = receipts.iter().take_while(|placed| {
            let fits = bytes < self.inner.limits.page_bytes;
            bytes += 512 + 256 * placed.receipt.receipt.outcomes.len();
            fits
        });
        let fitting = fitting.count();
        more |= fitting < receipts.len();
        receipts.truncate(fitting);
        if let Some(last) = receipts.last() {
            position.next = vec![(last.place, 0, 0)];
        }
        Ok(Page {
            feed: ask.feed.as_text(),
            position,
            more,
            policy_version: self.inner.sql.policy_version(),
            read: None,
            rows: Rows::Receipts(receipts.into_iter().map(|placed| placed.receipt).collect()),
        })
    }
}

/// Returns when a receipt was stored here, or may have been elsewhere.
pub(super) async fn grew(stored: &mut watch::Receiver<u64>) -> Result<(), FeedError> {
    tokio::select! {
        // The store is gone with its last handle, which this hub holds: it cannot fail.
        changed = stored.changed() => changed.map_err(|_| FeedError::NotFound),
        () = tokio::time::sleep(OTHERS_EVERY) => Ok(()),
    }
}
