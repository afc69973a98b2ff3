//! The one way to know what time it is. All times are milliseconds since the Unix epoch; days are days in +08:00,
//! the only zone the rules use (`R-DDL-02`).

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset, NaiveDate};
use serde::{Deserialize, Serialize};

/// A moment, milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Calendar day in +08:00.
    pub fn date(self) -> NaiveDate {
        self.to_china().date_naive()
    }

    /// The moment as a date and time in +08:00. Out-of-range values saturate at the epoch.
    pub fn to_china(self) -> DateTime<FixedOffset> {
        let zone = FixedOffset::east_opt(8 * 3600).expect("+08:00 is a valid offset");
        DateTime::from_timestamp_millis(self.0).unwrap_or_default().with_timezone(&zone)
    }

    /// Reads RFC 3339 with any offset; `None` when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|t| Self(t.timestamp_millis()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_china().format("%Y-%m-%dT%H:%M:%S%.3f%:z"))
    }
}

/// Source of time. Passed in wherever time matters.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Wall clock.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary fixed start; never goes back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock, or one that runs beside it from another moment: the simulated city has its own today.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
    /// Added to the machine's wall clock, milliseconds.
    shift_millis: i64,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn new() -> Self {
        Self { start: Instant::now(), shift_millis: 0 }
    }

    /// A clock that shows `at` now and runs on at the machine's pace.
    pub fn starting_at(at: Timestamp) -> Self {
        let plain = Self::new();
        let shift_millis = at.0 - plain.now().0;
        Self { shift_millis, ..plain }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX - self.shift_millis.max(0)) + self.shift_millis)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct ManualClock {
    millis: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `at`.
    pub fn at(at: Timestamp) -> Self {
        Self { millis: AtomicI64::new(at.0) }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.millis.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::SeqCst).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_day_in_china() {
        let late = Timestamp::parse("2026-03-19T16:00:00Z").expect("valid");
        assert_eq!(late.date().to_string(), "2026-03-20");
        assert_eq!(late.to_string(), "2026-03-20T00:00:00.000+08:00");
        assert_eq!(Timestamp::parse("2026-03-20 00:00"), None);
    }
}
