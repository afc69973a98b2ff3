//! The city's calendar: its fixed today, the months its people live through, and dates as the catalogue prints them.

use chrono::{Datelike, Days, Months, NaiveDate};

use crate::items::Ts;

/// Milliseconds of +08:00.
const ZONE_MS: i64 = 8 * 3_600_000;
const DAY_MS: i64 = 86_400_000;

/// A date that is known to exist.
///
/// # Panics
/// Never for the constants of this crate; a wrong constant is a mistake of the programme.
#[must_use]
pub(crate) const fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(date) => date,
        None => panic!("not a date"),
    }
}

/// The city's today.
pub(crate) const TODAY: NaiveDate = date(2026, 7, 1);
/// First day of the 24 months that are lived through in detail.
pub(crate) const LIFE_FROM: NaiveDate = date(2024, 7, 1);
/// The day before today: snapshots of the departments are of this day.
pub(crate) const SNAPSHOT: NaiveDate = date(2026, 6, 30);

/// Month index: 12 × year + month − 1.
#[must_use]
pub(crate) fn month_index(d: NaiveDate) -> i32 {
    12 * d.year() + d.month0() as i32
}

/// First day of a month index.
#[must_use]
pub(crate) fn month_first(index: i32) -> NaiveDate {
    NaiveDate::from_ymd_opt(index.div_euclid(12), index.rem_euclid(12) as u32 + 1, 1).unwrap_or(TODAY)
}

/// Last day of a month index.
#[must_use]
pub(crate) fn month_last(index: i32) -> NaiveDate {
    days(month_first(index + 1), -1)
}

/// `d` moved by `n` days.
#[must_use]
pub(crate) fn days(d: NaiveDate, n: i64) -> NaiveDate {
    let step = Days::new(n.unsigned_abs());
    if n < 0 { d.checked_sub_days(step) } else { d.checked_add_days(step) }.unwrap_or(d)
}

/// `d` moved by `n` months, clamped to the month's last day.
#[must_use]
pub(crate) fn months(d: NaiveDate, n: i32) -> NaiveDate {
    let step = Months::new(n.unsigned_abs());
    if n < 0 { d.checked_sub_months(step) } else { d.checked_add_months(step) }.unwrap_or(d)
}

/// Completed years on `on`; the birthday itself counts, 29 February counts from 28 February; 0 before birth.
#[must_use]
pub(crate) fn age(birth: NaiveDate, on: NaiveDate) -> i32 {
    let mut years = on.year() - birth.year();
    while years > 0 && months(birth, 12 * years) > on {
        years -= 1;
    }
    years.max(0)
}

/// Milliseconds of `d` at `minute` minutes after midnight, +08:00.
#[must_use]
pub(crate) fn at(d: NaiveDate, minute: i64) -> Ts {
    let epoch = date(1970, 1, 1);
    Ts((d - epoch).num_days() * DAY_MS + minute * 60_000 - ZONE_MS)
}

/// Calendar day of a timestamp in +08:00.
#[must_use]
pub(crate) fn day_of(ts: Ts) -> NaiveDate {
    days(date(1970, 1, 1), (ts.0 + ZONE_MS).div_euclid(DAY_MS))
}

/// `2026-07-01T20:00:00.000+08:00`.
#[must_use]
pub(crate) fn print_ts(ts: Ts) -> String {
    let local = ts.0 + ZONE_MS;
    let ms = local.rem_euclid(DAY_MS);
    let (h, m, s, milli) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    format!("{}T{h:02}:{m:02}:{s:02}.{milli:03}+08:00", day_of(ts))
}
