//! Days, months and points in time, in the forms that departments export.
//!
//! ```text
//! day      2026-03-01  2026/3/1  2026.03.01  20260301  2026年3月1日  46082 (spreadsheet serial)  each with a time behind
//! month    2026-03  2026/3  2026.03  202603  2026年3月
//! time     8:30  08:30:00  08:30:00.250  8时30分  8点30分5秒; behind it Z or ±hh:mm, else +08:00
//! whole    20260301083000  2026-03-01T08:30:00.000+08:00  46082.354166667
//! ```
//!
//! Order is always year, month, day; two-digit years are refused. Serials count from 1899-12-30 (the 1900 system) and are taken
//! with five digits only: 10000 is 1927-05-18, and shorter ones cannot be told from years.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::text::half_width;
use crate::reason::Rule;

/// Longest text that is read as a date or time.
const CHARACTERS_MAX: usize = 40;
/// +08:00.
const OFFSET_MINUTES: i32 = 480;
const DAYS_TO_1970: i32 = 719_163;

/// Days since 1970-01-01, the form of `Date32`.
pub fn days(date: NaiveDate) -> i32 {
    date.num_days_from_ce() - DAYS_TO_1970
}

/// The day that a `Date32` means.
pub fn from_days(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(DAYS_TO_1970)?)
}

/// Reads a day; a time behind it is dropped as written. `None` for empty text.
///
/// # Errors
/// [`Rule::DateForm`] and [`Rule::DateExists`].
pub fn date(raw: &str) -> Result<Option<NaiveDate>, Rule> {
    if let Some(ymd) = canonical(raw.as_bytes()) {
        return exists(ymd).map(Some);
    }
    let text = half_width(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let (day, rest) = match compact(&text) {
        Some(parts) => parts?,
        None => day_and_rest(&text)?,
    };
    // What follows must be a time, so that 2026-03-0112 is not a day with an appendix.
    clock(rest).map(|_| Some(day)).map_err(|_| Rule::DateForm)
}

/// Reads the value of a month field: a month is its first day; a full date stays the day that it is, because a source
/// that knows the day may mean it. `None` for empty text.
///
/// # Errors
/// [`Rule::DateForm`] and [`Rule::DateExists`].
pub fn month(raw: &str) -> Result<Option<NaiveDate>, Rule> {
    match year_and_month(&half_width(raw)) {
        Some((year, month)) => exists((year, month, 1)).map(Some),
        None => date(raw),
    }
}

/// Reads a point in time to milliseconds since 1970-01-01 UTC. A bare day is its midnight. `None` for empty text.
///
/// # Errors
/// [`Rule::TimestampForm`] and [`Rule::DateExists`].
pub fn timestamp(raw: &str) -> Result<Option<i64>, Rule> {
    let text = half_width(raw);
    if text.is_empty() {
        return Ok(None);
    }
    let (day, rest) = match compact(&text) {
        Some(parts) => parts?,
        None => day_and_rest(&text).map_err(|rule| match rule {
            Rule::DateForm => Rule::TimestampForm,
            other => other,
        })?,
    };
    let (time, offset) = clock(rest)?;
    let utc = NaiveDateTime::new(day, time)
        .checked_sub_signed(TimeDelta::minutes(i64::from(offset)))
        .ok_or(Rule::DateExists)?;
    Ok(Some(utc.and_utc().timestamp_millis()))
}

/// A spreadsheet's date cell.
///
/// # Errors
/// [`Rule::DateForm`] when the number is no serial of the years 1900 to 9999.
pub fn from_serial(serial: f64) -> Result<NaiveDateTime, Rule> {
    if !(1.0..2_958_466.0).contains(&serial) {
        return Err(Rule::DateForm);
    }
    let origin = NaiveDate::from_ymd_opt(1899, 12, 30).ok_or(Rule::DateForm)?.and_time(NaiveTime::MIN);
    // Serial 60 is a day that never was; before it the count is off by one.
    let serial = if serial < 60.0 { serial + 1.0 } else { serial };
    let millis = (serial * 86_400_000.0).round() as i64;
    origin.checked_add_signed(TimeDelta::milliseconds(millis)).ok_or(Rule::DateForm)
}

fn exists((year, month, day): (i32, u32, u32)) -> Result<NaiveDate, Rule> {
    NaiveDate::from_ymd_opt(year, month, day).filter(|_| (1000..=9999).contains(&year)).ok_or(Rule::DateExists)
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |n, digit| n * 10 + u32::from(digit & 0x0f)))
}

/// `YYYY-MM-DD`, `YYYY/MM/DD` and `YYYYMMDD`, the forms that need no copy.
fn canonical(bytes: &[u8]) -> Option<(i32, u32, u32)> {
    let (year, month, day) = match bytes.len() {
        10 if matches!(bytes[4], b'-' | b'/' | b'.') && bytes[7] == bytes[4] => {
            (&bytes[..4], &bytes[5..7], &bytes[8..])
        }
        8 => (&bytes[..4], &bytes[4..6], &bytes[6..]),
        _ => return None,
    };
    Some((number(year)? as i32, number(month)?, number(day)?))
}

/// `YYYYMMDDhhmm[ss]`: the day, and the time in a form that [`clock`] reads.
fn compact(text: &str) -> Option<Result<(NaiveDate, &str), Rule>> {
    if !matches!(text.len(), 12 | 14) || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let ymd = canonical(&text.as_bytes()[..8])?;
    Some(exists(ymd).map(|day| (day, &text[8..])))
}

/// Takes a day off the front; what is left starts with the separator before a time, or is a serial's fraction.
fn day_and_rest(text: &str) -> Result<(NaiveDate, &str), Rule> {
    if text.len() > CHARACTERS_MAX {
        return Err(Rule::DateForm);
    }
    let lead = text.bytes().take_while(u8::is_ascii_digit).count();
    let rest = &text[lead..];
    match lead {
        8 => {
            let ymd = canonical(&text.as_bytes()[..8]).ok_or(Rule::DateForm)?;
            // 20260301.0 is a number cell of a spreadsheet; any other fraction means nothing here.
            let rest = if rest == ".0" { "" } else { rest };
            if rest.starts_with('.') { Err(Rule::DateForm) } else { Ok((exists(ymd)?, rest)) }
        }
        5 => {
            let fraction = rest.strip_prefix('.').unwrap_or("0");
            if !rest.is_empty() && (!rest.starts_with('.') || number_or_long(fraction).is_none()) {
                return Err(Rule::DateForm);
            }
            let serial: f64 = text[..5].parse().map_err(|_| Rule::DateForm)?;
            Ok((from_serial(serial)?.date(), rest))
        }
        4 => {
            let year = number(&text.as_bytes()[..4]).ok_or(Rule::DateForm)? as i32;
            let (month, day, rest) = month_and_day(rest).ok_or(Rule::DateForm)?;
            if rest.starts_with('.') { Err(Rule::DateForm) } else { Ok((exists((year, month, day))?, rest)) }
        }
        _ => Err(Rule::DateForm),
    }
}

fn number_or_long(digits: &str) -> Option<()> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(())
}

/// One or two digits off the front.
fn short(text: &str) -> Option<(u32, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=2).contains(&count) {
        return None;
    }
    Some((number(&text.as_bytes()[..count])?, &text[count..]))
}

fn month_and_day(text: &str) -> Option<(u32, u32, &str)> {
    let separator = text.chars().next()?;
    if separator == '年' {
        let (month, rest) = short(text[separator.len_utf8()..].trim_start())?;
        let (day, rest) = short(rest.strip_prefix('月')?.trim_start())?;
        return Some((month, day, rest.strip_prefix(['日', '号'])?));
    }
    if !matches!(separator, '-' | '/' | '.') {
        return None;
    }
    let (month, rest) = short(&text[1..])?;
    let (day, rest) = short(rest.strip_prefix(separator)?)?;
    Some((month, day, rest))
}

fn year_and_month(text: &str) -> Option<(i32, u32)> {
    let bytes = text.as_bytes();
    if bytes.len() == 6 && bytes.iter().all(u8::is_ascii_digit) {
        return Some((number(&bytes[..4])? as i32, number(&bytes[4..])?));
    }
    if bytes.iter().take_while(|b| b.is_ascii_digit()).count() != 4 {
        return None;
    }
    let year = number(&bytes[..4])? as i32;
    let rest = &text[4..];
    let (month, rest) = match rest.chars().next()? {
        '年' => {
            let (month, rest) = short(rest['年'.len_utf8()..].trim_start())?;
            (month, rest.strip_prefix("月份").or_else(|| rest.strip_prefix('月'))?)
        }
        '-' | '/' | '.' => short(&rest[1..])?,
        _ => return None,
    };
    rest.is_empty().then_some((year, month))
}

/// What stands behind a day: time of day and offset in minutes. Nothing is midnight at +08:00.
fn clock(rest: &str) -> Result<(NaiveTime, i32), Rule> {
    let midnight = (NaiveTime::MIN, OFFSET_MINUTES);
    if rest.is_empty() {
        return Ok(midnight);
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        let part: f64 = format!("0.{fraction}").parse().map_err(|_| Rule::TimestampForm)?;
        // A serial counts to about a tenth of a millisecond, and people mean whole seconds.
        let seconds = (part * 86_400.0).round() as u32;
        return NaiveTime::from_num_seconds_from_midnight_opt(seconds.min(86_399), 0)
            .map(|time| (time, OFFSET_MINUTES))
            .ok_or(Rule::TimestampForm);
    }
    if matches!(rest.len(), 4 | 6) && rest.bytes().all(|b| b.is_ascii_digit()) {
        let part = |from: usize| rest.as_bytes().get(from..from + 2).and_then(number).unwrap_or(0);
        return time(part(0), part(2), part(4), 0).map(|t| (t, OFFSET_MINUTES));
    }
    let rest = rest.trim_start_matches([' ', 'T', 't']);
    if rest.is_empty() {
        return Ok(midnight);
    }
    clock_of_words(rest).ok_or(Rule::TimestampForm).and_then(|(h, m, s, ms, offset)| Ok((time(h, m, s, ms)?, offset)))
}

fn time(hour: u32, minute: u32, second: u32, milli: u32) -> Result<NaiveTime, Rule> {
    NaiveTime::from_hms_milli_opt(hour, minute, second, milli).ok_or(Rule::TimestampForm)
}

fn clock_of_words(text: &str) -> Option<(u32, u32, u32, u32, i32)> {
    let (hour, rest) = short(text)?;
    if let Some(rest) = rest.strip_prefix(['时', '点']) {
        if rest.is_empty() {
            return Some((hour, 0, 0, 0, OFFSET_MINUTES));
        }
        let (minute, rest) = short(rest)?;
        let rest = rest.strip_prefix('分')?;
        if rest.is_empty() {
            return Some((hour, minute, 0, 0, OFFSET_MINUTES));
        }
        let (second, rest) = short(rest)?;
        return (rest == "秒").then_some((hour, minute, second, 0, OFFSET_MINUTES));
    }
    let (minute, rest) = short(rest.strip_prefix(':')?)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => short(rest)?,
        None => (0, rest),
    };
    let (milli, rest) = match rest.strip_prefix('.') {
        Some(rest) => {
            let count = rest.bytes().take_while(u8::is_ascii_digit).count();
            if !(1..=9).contains(&count) {
                return None;
            }
            let digits = number(&rest.as_bytes()[..count.min(3)])?;
            (digits * 10u32.pow(3 - count.min(3) as u32), &rest[count..])
        }
        None => (0, rest),
    };
    Some((hour, minute, second, milli, offset(rest.trim_start())?))
}

fn offset(text: &str) -> Option<i32> {
    let sign = match text.chars().next() {
        None => return Some(OFFSET_MINUTES),
        Some('Z' | 'z') if text.len() == 1 => return Some(0),
        Some('+') => 1,
        Some('-') => -1,
        Some(_) => return None,
    };
    let (hours, rest) = text[1..].split_at_checked(2)?;
    let minutes = rest.strip_prefix(':').unwrap_or(rest);
    let hours = number(hours.as_bytes())?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes.as_bytes()).filter(|_| minutes.len() == 2)? };
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ymd(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).unwrap()
    }

    #[test]
    fn a_day_in_every_form() {
        // 46082 by hand: 1899-12-30 + 46082 days; 2000-01-01 is 36526, 26 years with 7 leap days later 2026-01-01
        // is 46023, and 1 March is 59 days on.
        for raw in [
            "2026-03-01",
            "2026/3/1",
            "2026/03/01",
            "2026.03.01",
            "20260301",
            "20260301.0",
            "2026年3月1日",
            "2026年03月01日 8时30分",
            "２０２６－０３－０１",
            " 2026-3-1 0:00:00 ",
            "2026-03-01T08:30:00+08:00",
            "20260301083000",
            "46082",
            "46082.5",
        ] {
            assert_eq!(date(raw), Ok(Some(ymd(2026, 3, 1))), "{raw}");
        }
        assert_eq!(date(""), Ok(None));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for raw in ["2026-02-30", "20261301", "2026年13月1日", "2025-02-29", "0026-01-01", "2026/0/1"] {
            assert_eq!(date(raw), Err(Rule::DateExists), "{raw}");
        }
        for raw in [
            "26-3-1",
            "2026-03",
            "202603",
            "2026",
            "3/1/2026",
            "2026-03-011",
            "长期",
            "20260301.5",
            "2026-3-1.5",
            "2026-03-01x",
            "9999999",
            "2026-03/01",
        ] {
            assert_eq!(date(raw), Err(Rule::DateForm), "{raw}");
        }
    }

    #[test]
    fn a_month_in_every_form() {
        for raw in ["2026-03", "2026/3", "2026.03", "202603", "2026年3月", "2026年03月份", "20260301"] {
            assert_eq!(month(raw), Ok(Some(ymd(2026, 3, 1))), "{raw}");
        }
        assert_eq!(month("2026-03-17"), Ok(Some(ymd(2026, 3, 17))));
        assert_eq!(month("202613"), Err(Rule::DateExists));
        assert_eq!(month("3月"), Err(Rule::DateForm));
    }

    #[test]
    fn a_point_in_time_in_every_form() {
        // 2026-03-01T08:30:00+08:00 = 2026-03-01T00:30:00Z; 1 March 2026 is day 20513 since 1970.
        let expected = 20_513 * 86_400_000 + 30 * 60_000;
        for raw in [
            "2026-03-01 08:30:00",
            "2026/3/1 8:30",
            "2026-03-01T08:30:00.000+08:00",
            "2026-03-01T00:30:00Z",
            "20260301083000",
            "202603010830",
            "2026年3月1日 8时30分",
            "2026年3月1日8点30分0秒",
            "46082.354166667",
        ] {
            assert_eq!(timestamp(raw), Ok(Some(expected)), "{raw}");
        }
        assert_eq!(timestamp("2026-03-01"), Ok(Some(20_513 * 86_400_000 - 8 * 3_600_000)));
        assert_eq!(timestamp("2026-03-01 25:00"), Err(Rule::TimestampForm));
        assert_eq!(timestamp("2026-02-30 08:00"), Err(Rule::DateExists));
        assert_eq!(timestamp("昨天"), Err(Rule::TimestampForm));
    }

    #[test]
    fn days_count_from_1970() {
        assert_eq!(days(ymd(1970, 1, 1)), 0);
        assert_eq!(days(ymd(2026, 3, 1)), 20_513);
        assert_eq!(from_days(-1), Some(ymd(1969, 12, 31)));
        assert_eq!(from_days(i32::MAX), None);
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(raw in "\\PC{0,20}|[0-9./年月日时分 :T+-]{0,24}") {
            // A day is a day in each of the three readings.
            if let Ok(Some(day)) = date(&raw) {
                prop_assert_eq!(month(&raw).is_ok(), true);
                prop_assert_eq!(timestamp(&raw).is_ok(), true);
                prop_assert_eq!(date(&day.format("%Y-%m-%d").to_string()), Ok(Some(day)));
            }
        }

        #[test]
        fn every_form_of_a_day_is_that_day(day in 10_000i32..90_000) {
            let expected = from_days(day - 25_569).unwrap();
            for form in ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%Y年%-m月%-d日"] {
                prop_assert_eq!(date(&expected.format(form).to_string()), Ok(Some(expected)));
            }
            prop_assert_eq!(date(&day.to_string()), Ok(Some(expected)));
        }
    }
}
