//! Days, months and the two kinds of end date (computation 1.3). Proleptic Gregorian, no zones: moments become days
//! in +08:00 before they get here.

use std::fmt;

use minqiao_core::Timestamp;

/// A calendar day, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

/// A month as 12 × year + month − 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Month(pub i32);

impl Day {
    /// The day of a civil date; `None` when there is no such day.
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day == 0 || day > days_in(Month(year * 12 + month as i32 - 1)) {
            return None;
        }
        Some(Self(days_from_civil(year, month, day)))
    }

    /// Reads `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return None;
        }
        let part = |from: usize, to: usize| {
            b[from..to].iter().try_fold(0u32, |n, c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
        };
        Self::from_ymd(part(0, 4)? as i32, part(5, 7)?, part(8, 10)?)
    }

    /// Day of a moment in +08:00.
    pub fn of(moment: Timestamp) -> Self {
        Self(i32::try_from((moment.0 + 8 * 3_600_000).div_euclid(86_400_000)).unwrap_or(0))
    }

    /// Year, month (1-12), day (1-31).
    pub fn ymd(self) -> (i32, u32, u32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = (doy - (153 * mp + 2) / 5 + 1) as u32;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        ((yoe + era * 400) as i32 + i32::from(month <= 2), month, day)
    }

    /// `mi(d)`.
    pub fn month(self) -> Month {
        let (year, month, _) = self.ymd();
        Month(year * 12 + month as i32 - 1)
    }

    /// Same day `n` months on, clamped to the month's last day (民法典 第二百零二条).
    #[must_use]
    pub fn add_months(self, n: i32) -> Self {
        let (_, _, day) = self.ymd();
        let month = Month(self.month().0 + n);
        Self(month.first().0 + day.min(days_in(month)) as i32 - 1)
    }

    /// `n` days on.
    #[must_use]
    pub fn add_days(self, n: i32) -> Self {
        Self(self.0.saturating_add(n))
    }
}

impl Month {
    /// First day.
    pub fn first(self) -> Day {
        Day(days_from_civil(self.0.div_euclid(12), self.0.rem_euclid(12) as u32 + 1, 1))
    }

    /// Last day.
    pub fn last(self) -> Day {
        Day(Self(self.0 + 1).first().0 - 1)
    }
}

fn days_in(month: Month) -> u32 {
    (month.last().0 - month.first().0 + 1) as u32
}

fn days_from_civil(year: i32, month: u32, day: u32) -> i32 {
    let y = i64::from(year) - i64::from(month <= 2);
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let m = i64::from(month);
    let doy = (153 * (if m > 2 { m - 3 } else { m + 9 }) + 2) / 5 + i64::from(day) - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    (era * 146_097 + doe - 719_468) as i32
}

/// A span of full months, both ends included; empty when `to` is before `from`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// First month.
    pub from: Month,
    /// Last month.
    pub to: Month,
}

impl Window {
    /// `WIN(w)`: the `w` full months before the month of the base date.
    pub fn before(base: Day, months: i32) -> Self {
        let m = base.month().0;
        Self { from: Month(m - months), to: Month(m - 1) }
    }

    /// Number of months.
    pub fn months(self) -> i32 {
        (self.to.0 - self.from.0 + 1).max(0)
    }

    /// Whether the month is inside.
    pub fn holds(self, month: Month) -> bool {
        self.from <= month && month <= self.to
    }

    /// How many of the months `from..=to` are inside.
    pub fn overlap(self, from: Month, to: Month) -> i32 {
        (self.to.0.min(to.0) - self.from.0.max(from.0) + 1).max(0)
    }

    /// The months in order.
    pub fn iter(self) -> impl Iterator<Item = Month> {
        (self.from.0..=self.to.0).map(Month)
    }
}

/// When a spell stops: the two conventions of computation 1.3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The first day no longer in force.
    Exclusive(Option<Day>),
    /// The last day in force.
    Inclusive(Option<Day>),
}

impl End {
    /// “In force on d” as far as the end goes.
    pub fn open_on(self, day: Day) -> bool {
        match self {
            Self::Exclusive(end) => end.is_none_or(|end| end > day),
            Self::Inclusive(end) => end.is_none_or(|end| end >= day),
        }
    }

    /// Whether a spell from `start` (null: always started) to this end covers the month.
    pub fn covers(self, start: Option<Day>, month: Month) -> bool {
        start.is_none_or(|start| start <= month.last())
            && match self {
                Self::Exclusive(None) | Self::Inclusive(None) => true,
                Self::Exclusive(Some(end)) => end > month.first() && start.is_none_or(|start| end > start),
                Self::Inclusive(Some(end)) => end >= month.first(),
            }
    }
}

/// `YYYY-MM-DD`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.ymd();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `YYYY-MM`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn days_and_back() {
        for n in (-200_000..200_000).step_by(37) {
            let (y, m, d) = Day(n).ymd();
            assert_eq!(Day::from_ymd(y, m, d), Some(Day(n)));
        }
        assert_eq!(day("1970-01-01"), Day(0));
        assert_eq!(Day::parse("2026-02-29"), None);
        assert_eq!(Day::parse("2026-2-09"), None);
    }

    #[test]
    fn months_clamp() {
        assert_eq!(day("2024-02-29").add_months(12).to_string(), "2025-02-28");
        assert_eq!(day("2026-03-31").add_months(-1).to_string(), "2026-02-28");
        assert_eq!(day("2026-01-15").month().to_string(), "2026-01");
    }

    #[test]
    fn an_end_before_the_start_month_covers_none() {
        let start = Some(day("2025-06-15"));
        let end = End::Inclusive(Some(day("2025-05-31")));
        assert!((0..30_000).all(|m| !end.covers(start, Month(m))));
        // The same month, end before start: the page's inclusive test still holds for that month.
        assert!(End::Inclusive(Some(day("2025-06-10"))).covers(start, day("2025-06-01").month()));
        assert!(!End::Exclusive(Some(day("2025-06-15"))).covers(start, day("2025-06-01").month()));
    }
}
