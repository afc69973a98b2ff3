//! What every route works with. Built by the server, cheap to clone.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use minqiao_core::{Clock, Kind};
use minqiao_intake::Intake;
use minqiao_query::SqlService;
use minqiao_schemas::Catalogue;
use minqiao_store::{AuditLog, Store};
use minqiao_vault::Vault;

use crate::access::AccessList;
use crate::feeds::Feeds;
use crate::metrics::DoorMetrics;
use crate::problem::Refusal;
use crate::verification::Verifications;

/// Shared by all requests.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The items.
    pub catalogue: &'static Catalogue,
    /// Who may come in.
    pub access: Arc<AccessList>,
    /// Takes batches.
    pub intake: Arc<Intake>,
    /// Answers SQL.
    pub sql: SqlService,
    /// What departments read.
    pub feeds: Feeds,
    /// Verifies households.
    pub verifications: Arc<Verifications>,
    /// Receipts and reports.
    pub store: Store,
    /// Its public keys check what the hub signed.
    pub vault: Vault,
    /// Evidence.
    pub audit: Arc<AuditLog>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub metrics: DoorMetrics,
    /// Requests per user.
    pub user_limit: Arc<UserLimit>,
}

/// Requests per user and minute (D12).
#[derive(Debug)]
pub struct UserLimit {
    limiter: DefaultKeyedRateLimiter<String>,
    per_minute: NonZeroU32,
}

impl UserLimit {
    /// At most `per_minute` on average, with bursts of as many.
    pub fn per_minute(per_minute: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_minute(per_minute)), per_minute }
    }

    /// Counts one request of `user`, or says when to come back.
    pub(crate) fn take(&self, user: &str) -> Result<(), Refusal> {
        self.limiter.check_key(&user.to_owned()).map_err(|not_until| {
            let retry_after = not_until.wait_time_from(DefaultClock::default().now());
            Refusal::new(
                Kind::RateLimited { retry_after },
                "user_rate",
                format!("at most {} requests per minute and user; wait and try again", self.per_minute),
                format!("每位用户每分钟最多 {} 次请求，请稍后再试", self.per_minute),
            )
        })
    }
}
