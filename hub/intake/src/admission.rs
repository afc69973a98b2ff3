//! Who may send what, and how much of it: the checks that need no body.
//!
//! A provider code is `<department>.<division>`; mutual TLS has proved that the sender is it. The department must own
//! the item (items of the verification platform are owned by civil affairs and come through its connectors), the
//! division must be in force and of the hub's city. Which rows it may deliver is told by the rows
//! ([`crate::jurisdiction`]).

use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::{NotUntil, Quota, RateLimiter};
use minqiao_core::{Clock, ProviderCode};
use minqiao_schemas::{Catalogue, Item, division};

use crate::IntakeError;
use crate::options::IntakeOptions;

/// Longest piece of a caller's own text that an error repeats.
const ECHO_CHARS_MAX: usize = 64;

type Keyed = governor::state::keyed::DashMapStateStore<String>;

/// The hub's clock as governor reads it.
#[derive(Debug, Clone)]
struct HubClock(Arc<dyn Clock>);

impl GovernorClock for HubClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Limiter = RateLimiter<String, Keyed, HubClock, NoOpMiddleware<Duration>>;

/// Decides before a body is looked at.
#[derive(Debug)]
pub struct Admission {
    city: Option<String>,
    requests: Limiter,
    rows: Limiter,
    clock: HubClock,
}

impl Admission {
    /// Limits per provider as the options say.
    pub fn new(options: &IntakeOptions, clock: Arc<dyn Clock>) -> Self {
        let clock = HubClock(clock);
        let quota = |per_second: u32, burst: u32| {
            let per_second = per_second.max(1);
            let burst = burst.max(per_second.saturating_mul(4)).max(1);
            Quota::per_second(per_second.try_into().unwrap_or(std::num::NonZeroU32::MIN))
                .allow_burst(burst.try_into().unwrap_or(std::num::NonZeroU32::MIN))
        };
        let rows_max = u32::try_from(options.limits.rows_max).unwrap_or(u32::MAX);
        Self {
            city: options.city.clone(),
            requests: RateLimiter::new(quota(options.requests_per_second, 0), Keyed::default(), clock.clone()),
            rows: RateLimiter::new(quota(options.rows_per_second, rows_max), Keyed::default(), clock.clone()),
            clock,
        }
    }

    /// The item, if the provider may deliver it.
    pub fn item(&self, provider: &ProviderCode, code: &str) -> Result<&'static Item, IntakeError> {
        let unknown = || IntakeError::UnknownItem { item: echo(code) };
        let item = Catalogue::embedded().item(code).ok_or_else(unknown)?;
        if provider.department() != item.department {
            return Err(IntakeError::PolicyForbidden {
                provider: provider.to_string(),
                item: item.code.clone(),
                department: item.department.clone(),
            });
        }
        let known = provider.division().and_then(division::find).is_some_and(division::Division::is_in_force);
        let served = match (&self.city, provider.division()) {
            (Some(city), Some(division)) => division.starts_with(city.as_str()),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if known && served { Ok(item) } else { Err(IntakeError::ForeignCounty { provider: provider.to_string() }) }
    }

    /// Counts a request.
    pub fn request(&self, provider: &ProviderCode) -> Result<(), IntakeError> {
        self.requests.check_key(&provider.as_str().to_owned()).map_err(|until| self.limited(&until))
    }

    /// Counts rows. More rows than could ever come at once are let through: the batch limit has judged them.
    pub fn rows(&self, provider: &ProviderCode, rows: usize) -> Result<(), IntakeError> {
        let Some(rows) = u32::try_from(rows).ok().and_then(std::num::NonZeroU32::new) else { return Ok(()) };
        match self.rows.check_key_n(&provider.as_str().to_owned(), rows) {
            Ok(Err(until)) => Err(self.limited(&until)),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn limited(&self, until: &NotUntil<Duration>) -> IntakeError {
        let wait: Duration = until.earliest_possible().duration_since(self.clock.now()).into();
        IntakeError::RateLimited { retry_after: wait.max(Duration::from_millis(1)) }
    }
}

/// The county that a provider is of; `None` for the city's own.
pub fn county_of(provider: &ProviderCode) -> Option<&str> {
    provider.division().filter(|division| !division.ends_with("00"))
}

/// A caller's text as an error repeats it: a name, or nothing.
pub(crate) fn echo(text: &str) -> String {
    let named = text.chars().count() <= ECHO_CHARS_MAX
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && text.bytes().filter(u8::is_ascii_digit).count() < 8;
    if named { text.to_owned() } else { "…".to_owned() }
}
