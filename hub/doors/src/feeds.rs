//! Feeds: what a department reads of what it is entitled to, as it comes, each reader with its own position (egress).
//!
//! | Feed | Holds | Its order |
//! |---|---|---|
//! | `receipts` | receipts of the caller's own deliveries | the store's ([`minqiao_store::feed`]) |
//! | `items/{item}` | changes of an item that a policy shares with the caller | the log's, per partition |
//!
//! **One place that shows.** What is in an item's feed goes through [`minqiao_query::changes`]: the table, decision,
//! scope, masks and pseudonyms that SQL uses. A feed that the caller may not read and one that does not exist are the same
//! `404`. The decision is made again for every page, so a revocation holds from the next page on, also on an open stream.
//!
//! **Positions** ([`position`]) are sealed: they can be kept, compared with nothing, and not be made up; nor does their
//! progress tell how much of the log is hidden from their owner. A position that another feed or another log gave, or that
//! the log no longer has, is an error; nothing is passed over in silence. Reading from a position answers the same rows
//! again as long as the policies and the scope are the same: delivery is at least once, and a reader that keeps the
//! position with what it read has each row once.
//!
//! **Evidence.** A page with rows is in the audit chain before its first byte leaves (SEC-5): who, which feed, from where
//! to where, how many rows, which columns and how they were shown. A page without rows leaves no record.
//!
//! **Bounds.** Rows and bytes of a page, messages looked through for it, time of a wait and of a stream, waits of one
//! caller and of all, pages made at the same time ([`FeedLimits`]). A page is whole in memory before it leaves, so a slow
//! reader holds one page and no worker.
//!
//! **Another feed** (alerts, when monitoring exists) is another [`FeedName`], a module beside [`receipts`] that answers pages
//! and waits, and a policy for it; positions, formats, limits, evidence and routes are there.

use std::sync::Arc;
use std::time::Duration;

use minqiao_bus::Bus;
use minqiao_core::{Clock, Principal, Purpose};
use minqiao_lake::Lake;
use minqiao_query::{ItemChanges, SqlService};
use minqiao_schemas::Catalogue;
use minqiao_store::{AuditEntry, AuditLog, ConfirmedPosition, Providers, Store};
use minqiao_vault::{Sealer, Unsealer, Vault};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

mod items;
mod metrics;
mod page;
mod polls;
pub mod position;
mod receipts;
mod refusal;

pub use metrics::FeedMetrics;
pub(crate) use page::{Page, Rows};
pub(crate) use polls::Poll;
use polls::Polls;
pub use position::Position;
pub(crate) use refusal::FeedError;
pub use refusal::{ALERTS_EN, ALERTS_ZH};

/// Bounds of feeds (D12).
#[derive(Debug, Clone)]
pub struct FeedLimits {
    /// Rows of a page at most, and how many when the caller does not say.
    pub rows_max: usize,
    /// Rows of a page when the caller does not say.
    pub rows_default: usize,
    /// A page that has grown to this many bytes in memory takes no further message.
    pub page_bytes: usize,
    /// Bytes of the log that are fetched at once.
    pub fetch_bytes: usize,
    /// Time to look for rows when all that is found is hidden from the caller.
    pub search: Duration,
    /// Longest wait for rows.
    pub wait_max: Duration,
    /// Longest event stream.
    pub stream_max: Duration,
    /// Time between two signs of life of an event stream.
    pub keep_alive: Duration,
    /// Waits and streams of one caller at the same time.
    pub polls_of_one_max: usize,
    /// Waits and streams of all callers.
    pub polls_max: usize,
    /// Pages made at the same time.
    pub pages_at_once: usize,
}

impl Default for FeedLimits {
    fn default() -> Self {
        Self {
            rows_max: 5_000,
            rows_default: 500,
            page_bytes: 4 << 20,
            fetch_bytes: 1 << 20,
            search: Duration::from_secs(5),
            wait_max: Duration::from_secs(60),
            stream_max: Duration::from_secs(300),
            keep_alive: Duration::from_secs(15),
            polls_of_one_max: 8,
            polls_max: 256,
            pages_at_once: 2,
        }
    }
}

/// What feeds stand on.
#[derive(Debug)]
pub struct FeedParts {
    /// Shows rows of items.
    pub sql: SqlService,
    /// Opens messages.
    pub lake: Arc<Lake>,
    /// The log.
    pub bus: Arc<dyn Bus>,
    /// Receipts and confirmed positions.
    pub store: Store,
    /// Evidence.
    pub audit: Arc<AuditLog>,
    /// Seals positions.
    pub vault: Vault,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The items.
    pub catalogue: &'static Catalogue,
    /// Counters.
    pub metrics: FeedMetrics,
    /// Bounds.
    pub limits: FeedLimits,
}

/// Answers feeds. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Inner {
    sql: SqlService,
    lake: Arc<Lake>,
    bus: Arc<dyn Bus>,
    topics: items::Topics,
    store: Store,
    audit: Arc<AuditLog>,
    sealer: Sealer,
    unsealer: Unsealer,
    clock: Arc<dyn Clock>,
    catalogue: &'static Catalogue,
    metrics: FeedMetrics,
    limits: FeedLimits,
    polls: Polls,
    workers: Semaphore,
}

/// Which feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FeedName {
    Receipts,
    Item(String),
    /// Monitoring does not exist yet; the name is known so that whoever looks for it is told.
    Alerts,
}

impl FeedName {
    /// Any other name is that of an item which does not exist.
    pub(crate) fn of(group: Option<&str>, name: &str) -> Self {
        match (group, name) {
            (None, "receipts") => Self::Receipts,
            (None, "alerts") => Self::Alerts,
            (None, _) => Self::Item(String::new()),
            (Some(_), item) => Self::Item(item.to_owned()),
        }
    }

    pub(crate) fn as_text(&self) -> String {
        match self {
            Self::Receipts => "receipts".to_owned(),
            Self::Alerts => "alerts".to_owned(),
            Self::Item(item) => format!("items/{item}"),
        }
    }

    /// Label of metrics: bounded.
    pub(crate) fn class(&self) -> &'static str {
        match self {
            Self::Receipts => "receipts",
            Self::Alerts => "alerts",
            Self::Item(_) => "items",
        }
    }
}

/// Who reads.
#[derive(Debug, Clone)]
pub struct Reader {
    /// As policies see them.
    pub principal: Arc<Principal>,
    /// Whose receipts are theirs; nobody's when they speak for no department.
    pub receipts: Option<Providers>,
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) reader: Reader,
    pub(crate) purpose: Purpose,
    pub(crate) feed: FeedName,
    pub(crate) limit: usize,
    pub(crate) request_id: String,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum After {
    /// Where the caller confirmed to have come; the beginning if nowhere.
    Confirmed,
    /// At the first row that is kept.
    Start,
    /// Behind what is there now.
    Now,
    /// There.
    At(String),
}

impl After {
    /// `None` is no `after` at all.
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            None => Self::Confirmed,
            Some("start") => Self::Start,
            Some("now") => Self::Now,
            Some(position) => Self::At(position.to_owned()),
        }
    }
}

impl Feeds {
    /// Feeds over `parts`.
    pub fn new(parts: FeedParts) -> Self {
        let inner = Inner {
            sealer: parts.vault.sealer(),
            unsealer: parts.vault.unsealer(),
            topics: items::Topics::default(),
            polls: Polls::new(&parts.limits, &parts.metrics),
            workers: Semaphore::new(parts.limits.pages_at_once.max(1)),
            sql: parts.sql,
            lake: parts.lake,
            bus: parts.bus,
            store: parts.store,
            audit: parts.audit,
            clock: parts.clock,
            catalogue: parts.catalogue,
            metrics: parts.metrics,
            limits: parts.limits,
        };
        Self { inner: Arc::new(inner), stop: CancellationToken::new() }
    }

    /// The same feeds, whose waits and streams end when `stop` does: a hub that drains waits for no reader.
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    pub(crate) fn limits(&self) -> &FeedLimits {
        &self.inner.limits
    }

    /// A place among those who wait; given back when dropped.
    pub(crate) fn poll(&self, reader: &Reader) -> Result<Poll, FeedError> {
        let retry_after = Duration::from_secs(5);
        self.inner.polls.enter(&reader.principal.id).ok_or(FeedError::TooManyPolls { retry_after })
    }

    pub(crate) fn refused(&self, class: &str, ours: bool) {
        self.inner.metrics.refused(class, ours);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Every feed that the reader may read, and what is not built.
    pub(crate) async fn list(&self, reader: &Reader, purpose: &Purpose) -> Result<Value, FeedError> {
        let confirmed = self.inner.store.confirmed_positions(&reader.principal.id).await?;
        let position = |feed: &str| confirmed.iter().find(|p| p.feed == feed);
        let mut feeds = Vec::new();
        if self.receipts_of(reader, purpose).is_ok() {
            feeds.push(described(
                "receipts",
                ("本单位报送回执", "Receipts of your deliveries"),
                Vec::new(),
                position("receipts"),
            ));
        }
        for item in self.inner.catalogue.items() {
            let Some(changes) = self.inner.sql.changes(&reader.principal, purpose, &item.code) else { continue };
            let columns = changes.columns().into_iter().map(|column| {
                json!({"name": column.name, "label_zh": column.label_zh, "type": column.ty.to_string(), "shown": column.shown})
            });
            let feed = format!("items/{}", item.code);
            feeds.push(described(&feed, (&item.name_zh, &item.name_en), columns.collect(), position(&feed)));
        }
        let alerts = json!({"feed": "alerts", "note_zh": ALERTS_ZH, "note_en": ALERTS_EN});
        Ok(json!({"feeds": feeds, "not_built": [alerts]}))
    }

    /// Where the answer begins.
    pub(crate) async fn begin(&self, ask: &Ask, after: After) -> Result<Position, FeedError> {
        self.admit(ask).await?;
        let after = match after {
            After::Confirmed => match self.confirmed(ask).await? {
                Some(position) => After::At(position),
                None => After::Start,
            },
            named => named,
        };
        if let After::At(text) = &after {
            let position = Position::open(text, &self.inner.unsealer)?;
            self.check(ask, &position).await?;
            return Ok(position);
        }
        match (&ask.feed, after == After::Now) {
            (FeedName::Item(item), now) => self.item_edge(item, now).await,
            (_, now) => self.receipts_edge(now).await,
        }
    }

    /// Remembers that the reader has come to `position`.
    pub(crate) async fn confirm(&self, ask: &Ask, position: &str) -> Result<(), FeedError> {
        self.admit(ask).await?;
        self.check(ask, &Position::open(position, &self.inner.unsealer)?).await?;
        let (id, at) = (&ask.reader.principal.id, self.inner.clock.now());
        Ok(self.inner.store.confirm_position(id, &ask.feed.as_text(), position, at).await?)
    }

    async fn confirmed(&self, ask: &Ask) -> Result<Option<String>, FeedError> {
        let feed = ask.feed.as_text();
        let all = self.inner.store.confirmed_positions(&ask.reader.principal.id).await?;
        Ok(all.into_iter().find(|confirmed| confirmed.feed == feed).map(|confirmed| confirmed.position))
    }

    /// Lets in who may read the feed. Who may not is recorded, as a refused query is.
    async fn admit(&self, ask: &Ask) -> Result<(), FeedError> {
        let admitted = match &ask.feed {
            FeedName::Alerts => return Err(FeedError::NotBuilt),
            FeedName::Receipts => self.receipts_of(&ask.reader, &ask.purpose).map(drop),
            FeedName::Item(item) => self.changes_of(ask, item).map(drop),
        };
        if admitted.is_err() {
            let known = match &ask.feed {
                FeedName::Item(item) if self.inner.catalogue.item(item).is_none() => "unknown".to_owned(),
                feed => feed.as_text(),
            };
            let detail =
                json!({"request_id": ask.request_id, "door": "http", "feed": known, "outcome": "feed_not_found"});
            self.record(ask, "feed.refused", detail).await?;
        }
        admitted
    }

    /// Whether the position is one of this feed and of the log that it has now.
    async fn check(&self, ask: &Ask, position: &Position) -> Result<(), FeedError> {
        if position.feed != ask.feed.as_text() {
            return Err(FeedError::PositionOfAnotherFeed);
        }
        match &ask.feed {
            FeedName::Item(item) => self.check_item(item, position).await,
            _ => self.check_receipts(position).await,
        }
    }

    fn changes_of(&self, ask: &Ask, item: &str) -> Result<ItemChanges, FeedError> {
        self.inner.sql.changes(&ask.reader.principal, &ask.purpose, item).ok_or(FeedError::NotFound)
    }

    fn receipts_of<'r>(&self, reader: &'r Reader, purpose: &Purpose) -> Result<&'r Providers, FeedError> {
        let may = self.inner.sql.may_subscribe_view(&reader.principal, purpose, "receipts");
        reader.receipts.as_ref().filter(|_| may).ok_or(FeedError::NotFound)
    }

    /// The next page from `from` on: at once when there are rows, an empty one when `wait` is over or the hub stops.
    pub(crate) async fn next(&self, ask: &Ask, from: Position, wait: Duration) -> Result<Page, FeedError> {
        let until = Instant::now() + wait;
        let first = from.in_words();
        let mut at = from;
        let mut stored = self.inner.store.receipts_stored();
        loop {
            let started = self.inner.clock.monotonic();
            stored.mark_unchanged();
            let page = match &ask.feed {
                FeedName::Item(item) => self.item_page(ask, item, at).await?,
                _ => self.receipts_page(ask, at).await?,
            };
            if page.rows.count() > 0 {
                self.record_page(ask, &first, &page).await?;
                let took = self.inner.clock.monotonic().saturating_sub(started);
                self.inner.metrics.answered(ask.feed.class(), page.rows.count(), took);
                return Ok(page);
            }
            if Instant::now() >= until || self.is_stopping() {
                self.inner.metrics.answered(ask.feed.class(), 0, Duration::ZERO);
                return Ok(page);
            }
            let behind = page.more;
            at = page.position;
            if !behind {
                self.something_new(ask, &at, until, &mut stored).await?;
            }
        }
    }

    /// Returns when it is worth looking again, at `until` at the latest.
    async fn something_new(
        &self,
        ask: &Ask,
        at: &Position,
        until: Instant,
        stored: &mut watch::Receiver<u64>,
    ) -> Result<(), FeedError> {
        let more = async {
            match &ask.feed {
                FeedName::Item(item) => self.item_grew(item, at, until).await,
                _ => receipts::grew(stored).await,
            }
        };
        tokio::select! {
            grew = more => grew,
            () = tokio::time::sleep_until(until) => Ok(()),
            () = self.stop.cancelled() => Ok(()),
        }
    }

    async fn record_page(&self, ask: &Ask, from: &str, page: &Page) -> Result<(), FeedError> {
        let mut detail = json!({
            "request_id": ask.request_id, "door": "http", "feed": ask.feed.as_text(), "from": from,
            "to": page.position.in_words(), "rows": page.rows.count(), "policy_version": page.policy_version,
        });
        if let Some(read) = &page.read {
            detail["read"] = serde_json::to_value(read).unwrap_or_default();
        }
        self.record(ask, "feed.read", detail).await
    }

    async fn record(&self, ask: &Ask, action: &str, detail: Value) -> Result<(), FeedError> {
        let entry = AuditEntry {
            principal: ask.reader.principal.id.clone(),
            purpose: ask.purpose.code.clone(),
            action: action.to_owned(),
            detail,
        };
        self.inner.audit.append(entry).await.map(drop).map_err(FeedError::Audit)
    }

    /// The position as the caller gets it.
    pub(crate) fn sealed(&self, position: &Position) -> Result<String, FeedError> {
        Ok(position.seal(&self.inner.sealer)?)
    }
}

fn described(feed: &str, names: (&str, &str), columns: Vec<Value>, confirmed: Option<&ConfirmedPosition>) -> Value {
    json!({
        "feed": feed, "name_zh": names.0, "name_en": names.1,
        "confirmed_position": confirmed.map(|c| c.position.clone()),
        "confirmed_at": confirmed.map(|c| c.updated_at.to_string()), "columns": columns,
    })
}
