//! Days, months and times in the departments' written forms.
//!
//! A form is a pattern of `yyyy`, `M`/`MM`, `d`/`dd`, `H`/`HH`, `mm`, `ss`, `SSS` and literal characters, compiled once
//! into steps. `MM` takes exactly two digits, `M` one or two. `excel` is the serial day number of the 1900 date system,
//! also written as text. Times are +08:00, the only zone of the catalogue.

use std::fmt;

use super::Fault;

/// Milliseconds of a day.
pub const DAY_MILLIS: i64 = 86_400_000;
/// +08:00.
const ZONE_MILLIS: i64 = 8 * 3_600_000;
/// 1899-12-30, day zero of the serial numbers after February 1900.
const SERIAL_EPOCH_DAYS: i64 = -25_569;
/// Serial days that departments can mean: 1900-03-01 to 9999-12-31.
const SERIAL_DAYS: std::ops::RangeInclusive<f64> = 61.0..=2_958_465.999_999;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Milli,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// `min..=max` digits.
    Digits {
        part: Part,
        min: u8,
        max: u8,
    },
    Literal(char),
}

/// A compiled form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat {
    text: String,
    steps: Vec<Step>,
    excel: bool,
}

/// A moment in local time: days since the epoch and milliseconds of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// Days since 1970-01-01.
    pub days: i32,
    /// Milliseconds since midnight.
    pub millis: i32,
}

impl Local {
    /// Milliseconds since the epoch of that moment in +08:00.
    pub fn to_epoch_millis(self) -> i64 {
        i64::from(self.days) * DAY_MILLIS + i64::from(self.millis) - ZONE_MILLIS
    }

    /// First day of its month.
    pub fn month(self) -> i32 {
        let (year, month, _) = civil(self.days);
        days_from_civil(year, month, 1)
    }
}

impl fmt::Display for DateFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl DateFormat {
    /// Compiles a form; `None` when it has an unknown letter, no year, or a part twice.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "excel" {
            return Some(Self { text: text.into(), steps: Vec::new(), excel: true });
        }
        let mut steps = Vec::new();
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            if !letter.is_ascii_alphabetic() || letter == 'T' {
                steps.push(Step::Literal(letter));
                continue;
            }
            let mut run = 1u8;
            while letters.next_if_eq(&letter).is_some() {
                run = run.checked_add(1)?;
            }
            let (part, min, max) = match (letter, run) {
                ('y', 4) => (Part::Year, 4, 4),
                ('M', 1) => (Part::Month, 1, 2),
                ('M', 2) => (Part::Month, 2, 2),
                ('d', 1) => (Part::Day, 1, 2),
                ('d', 2) => (Part::Day, 2, 2),
                ('H', 1) => (Part::Hour, 1, 2),
                ('H', 2) => (Part::Hour, 2, 2),
                ('m', 2) => (Part::Minute, 2, 2),
                ('s', 2) => (Part::Second, 2, 2),
                ('S', 3) => (Part::Milli, 3, 3),
                _ => return None,
            };
            if steps.iter().any(|s| matches!(s, Step::Digits { part: p, .. } if *p == part)) {
                return None;
            }
            steps.push(Step::Digits { part, min, max });
        }
        let has = |wanted| steps.iter().any(|s| matches!(s, Step::Digits { part, .. } if *part == wanted));
        let whole = has(Part::Year) && (has(Part::Month) || !has(Part::Day)) && (has(Part::Day) || !has(Part::Hour));
        whole.then(|| Self { text: text.into(), steps, excel: false })
    }

    /// Whether the form names a day (not only a month or year).
    pub fn has_day(&self) -> bool {
        self.excel || self.steps.iter().any(|s| matches!(s, Step::Digits { part: Part::Day, .. }))
    }

    /// Whether it is the serial number form.
    pub fn is_excel(&self) -> bool {
        self.excel
    }

    /// Reads trimmed text.
    #[inline]
    pub fn read(&self, text: &str) -> Result<Local, Fault> {
        if self.excel {
            return serial(text);
        }
        match self.read_steps(text) {
            Ok(local) => Ok(local),
            // Full-width digits are repaired like everywhere else.
            Err(Fault::Date) if !text.is_ascii() => self.read_steps(&super::text::fold(text)),
            Err(fault) => Err(fault),
        }
    }

    fn read_steps(&self, text: &str) -> Result<Local, Fault> {
        let bytes = text.as_bytes();
        let mut at = 0;
        let mut parts = [0i32, 1, 1, 0, 0, 0, 0];
        for step in &self.steps {
            match *step {
                Step::Literal(wanted) => {
                    if wanted.is_ascii() {
                        if bytes.get(at) != Some(&(wanted as u8)) {
                            return Err(Fault::Date);
                        }
                        at += 1;
                    } else {
                        let mut room = [0u8; 4];
                        let wanted = wanted.encode_utf8(&mut room).as_bytes();
                        if !bytes[at..].starts_with(wanted) {
                            return Err(Fault::Date);
                        }
                        at += wanted.len();
                    }
                }
                Step::Digits { part, min, max } => {
                    let mut value = 0i32;
                    let mut digits = 0;
                    while digits < max
                        && let Some(digit) = bytes.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10)
                    {
                        value = value * 10 + i32::from(digit);
                        digits += 1;
                        at += 1;
                    }
                    if digits < min {
                        return Err(Fault::Date);
                    }
                    parts[part as usize] = value;
                }
            }
        }
        if at != bytes.len() {
            return Err(Fault::Date);
        }
        let [year, month, day, hour, minute, second, milli] = parts;
        let days = checked_days(year, month, day).ok_or(Fault::Date)?;
        if hour > 23 || minute > 59 || second > 59 {
            return Err(Fault::Date);
        }
        Ok(Local { days, millis: ((hour * 60 + minute) * 60 + second) * 1000 + milli })
    }
}

/// Reads a serial day number (1900 date system).
pub fn serial(text: &str) -> Result<Local, Fault> {
    let value: f64 = text.parse().map_err(|_| Fault::Date)?;
    if !SERIAL_DAYS.contains(&value) {
        return Err(Fault::Date);
    }
    // Bounded above: both casts fit. Times are rounded to the second, the finest that such cells show.
    let seconds = (value * 86_400.0).round() as i64;
    let days = seconds.div_euclid(86_400) + SERIAL_EPOCH_DAYS;
    Ok(Local {
        days: i32::try_from(days).map_err(|_| Fault::Date)?,
        millis: i32::try_from(seconds.rem_euclid(86_400) * 1000).map_err(|_| Fault::Date)?,
    })
}

/// Days since the epoch, when the day exists and lies in the years 1900–9999.
pub fn checked_days(year: i32, month: i32, day: i32) -> Option<i32> {
    const DAYS: [i32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1900..=9999).contains(&year) || !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let leap = month == 2 && (year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
    let last = DAYS[usize::try_from(month - 1).ok()?] + i32::from(leap);
    (day <= last).then(|| days_from_civil(year, month, day))
}

/// Days since the epoch of a day of the Gregorian calendar (years counted from March, eras of 400 years).
fn days_from_civil(year: i32, month: i32, day: i32) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since the epoch.
fn civil(days: i32) -> (i32, i32, i32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Days, NaiveDate};

    use super::*;

    #[test]
    fn the_departments_forms_are_read_and_impossible_days_are_not() {
        let day = |form: &str, text: &str| {
            let local = DateFormat::parse(form).expect("valid form").read(text)?;
            let (y, m, d) = civil(local.days);
            Ok::<_, Fault>(format!("{y:04}-{m:02}-{d:02} {}", local.millis))
        };
        let good = [
            ("yyyyMMdd", "20261120", "2026-11-20 0"),
            ("yyyy-MM-dd", "2024-02-29", "2024-02-29 0"),
            ("yyyy/M/d", "2026/1/9", "2026-01-09 0"),
            ("yyyy年M月d日", "2026年11月3日", "2026-11-03 0"),
            ("yyyy.MM.dd HH:mm:ss", "2026.11.20 23:59:59", "2026-11-20 86399000"),
            ("yyyy-MM-ddTHH:mm:ss.SSS", "2026-11-20T00:00:00.007", "2026-11-20 7"),
            ("yyyyMM", "202611", "2026-11-01 0"),
            ("yyyyMMdd", "２０２６１１２０", "2026-11-20 0"),
            ("excel", "46346", "2026-11-20 0"),
            ("excel", "46346.5", "2026-11-20 43200000"),
        ];
        for (form, text, wanted) in good {
            assert_eq!(day(form, text).as_deref(), Ok(wanted), "{form} {text}");
        }
        let bad = [
            ("yyyyMMdd", "20260230"),
            ("yyyyMMdd", "2026113"),
            ("yyyyMMdd", "202611201"),
            ("yyyy-MM-dd", "2023-02-29"),
            ("yyyy-MM-dd", "2026-13-01"),
            ("yyyy-MM-dd HH:mm:ss", "2026-01-01 24:00:00"),
            ("yyyy/M/d", "2026/1/"),
            ("yyyyMMdd", "00000000"),
            ("excel", "20261120"),
            ("excel", "NaN"),
            ("excel", "-1"),
        ];
        for (form, text) in bad {
            assert_eq!(day(form, text), Err(Fault::Date), "{form} {text}");
        }
        for form in ["", "yy-MM", "MM-dd", "yyyyMMMM", "yyyyMMddMM", "yyyydd", "yyyy-MM HH", "hh"] {
            assert_eq!(DateFormat::parse(form), None, "{form}");
        }
    }

    #[test]
    fn days_agree_with_the_calendar() {
        let mut day = NaiveDate::from_ymd_opt(1900, 1, 1).expect("valid");
        for offset in -25_567..60_000 {
            let ours = checked_days(day.year(), day.month() as i32, day.day() as i32);
            assert_eq!(ours, Some(offset));
            assert_eq!(civil(offset), (day.year(), day.month() as i32, day.day() as i32));
            day = day + Days::new(1);
        }
    }

    #[test]
    fn times_are_china_time() {
        let noon = DateFormat::parse("yyyyMMddHHmmss").expect("valid").read("20261122082500").expect("valid");
        assert_eq!(noon.to_epoch_millis(), 1_795_307_100_000);
    }
}
