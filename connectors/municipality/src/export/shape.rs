//! Written forms of days, months, moments and amounts.
//!
//! Rendering appends to a byte buffer and allocates nothing; Chinese parts (年月日, ￥) go through the caller's charset.
//! A shape takes year, month and day as numbers, so that impossible days can be written as easily as real ones.

use chrono::{Datelike, NaiveDate};
use serde::Deserialize;

use super::pen::Pen;

/// Written form of a day or a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateShape {
    /// 2026-03-01
    Iso,
    /// 2026/3/1
    Slash,
    /// 20260301
    Compact,
    /// 2026年3月1日
    Chinese,
    /// 2026.03.01
    Dot,
    /// A date cell.
    Excel,
    /// 2026-03
    MonthIso,
    /// 202603
    MonthCompact,
    /// 2026年3月
    MonthChinese,
}

impl DateShape {
    pub(super) fn parse(text: &str) -> Result<DateShape, String> {
        Ok(match text {
            "yyyy-MM-dd" => DateShape::Iso,
            "yyyy/M/d" => DateShape::Slash,
            "yyyyMMdd" => DateShape::Compact,
            "yyyy年M月d日" => DateShape::Chinese,
            "yyyy.MM.dd" => DateShape::Dot,
            "excel" => DateShape::Excel,
            "yyyy-MM" => DateShape::MonthIso,
            "yyyyMM" => DateShape::MonthCompact,
            "yyyy年M月" => DateShape::MonthChinese,
            _ => return Err(format!("date form `{text}`")),
        })
    }

    /// Writes a day; a date cell written as text (an impossible day) looks like an ISO date.
    pub(super) fn write(self, pen: Pen, out: &mut Vec<u8>, (y, m, d): (i32, u32, u32)) {
        let y = u32::try_from(y).unwrap_or(0);
        match self {
            DateShape::Iso | DateShape::Excel => {
                four(out, y);
                out.push(b'-');
                two(out, m);
                out.push(b'-');
                two(out, d);
            }
            DateShape::Slash => {
                four(out, y);
                out.push(b'/');
                short(out, m);
                out.push(b'/');
                short(out, d);
            }
            DateShape::Compact => {
                four(out, y);
                two(out, m);
                two(out, d);
            }
            DateShape::Chinese => {
                DateShape::MonthChinese.write(pen, out, (y.cast_signed(), m, d));
                short(out, d);
                pen.write(out, "日");
            }
            DateShape::Dot => {
                four(out, y);
                out.push(b'.');
                two(out, m);
                out.push(b'.');
                two(out, d);
            }
            DateShape::MonthIso => {
                four(out, y);
                out.push(b'-');
                two(out, m);
            }
            DateShape::MonthCompact => {
                four(out, y);
                two(out, m);
            }
            DateShape::MonthChinese => {
                four(out, y);
                pen.write(out, "年");
                short(out, m);
                pen.write(out, "月");
            }
        }
    }

    /// True when the form names no day.
    pub(super) fn is_month(self) -> bool {
        matches!(self, DateShape::MonthIso | DateShape::MonthCompact | DateShape::MonthChinese)
    }
}

/// Written form of a moment: a day, and the time of day to the second or finer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeShape {
    /// A day form, a blank, `08:30:00`.
    Seconds(DateShape),
    /// 2026-03-01 08:30:00.123
    Millis,
    /// 20260301083000
    Digits,
    /// A date cell with a time of day.
    Excel,
}

impl TimeShape {
    pub(super) fn parse(text: &str) -> Result<TimeShape, String> {
        match text {
            "excel" => Ok(TimeShape::Excel),
            "yyyyMMddHHmmss" => Ok(TimeShape::Digits),
            "yyyy-MM-dd HH:mm:ss.SSS" => Ok(TimeShape::Millis),
            _ => match text.strip_suffix(" HH:mm:ss") {
                Some(day) => DateShape::parse(day).map(TimeShape::Seconds),
                None => Err(format!("time form `{text}`")),
            },
        }
    }

    /// Writes a moment of a day that need not exist.
    pub(super) fn write(self, pen: Pen, out: &mut Vec<u8>, day: (i32, u32, u32), millis: u32) {
        let (h, m, s) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
        if self == TimeShape::Digits {
            DateShape::Compact.write(pen, out, day);
            two(out, h);
            two(out, m);
            two(out, s);
            return;
        }
        let shape = if let TimeShape::Seconds(shape) = self { shape } else { DateShape::Iso };
        shape.write(pen, out, day);
        out.push(b' ');
        two(out, h);
        out.push(b':');
        two(out, m);
        out.push(b':');
        two(out, s);
        if self == TimeShape::Millis {
            out.push(b'.');
            out.push(b'0' + (millis / 100 % 10) as u8);
            two(out, millis % 100);
        }
    }
}

/// Milliseconds of a day, and of the zone of all clocks here.
const DAY_MS: i64 = 86_400_000;
const ZONE_MS: i64 = 8 * 3_600_000;

/// Day and millisecond of the day in Beijing.
pub(super) fn local(epoch_millis: i64) -> (NaiveDate, u32) {
    let here = epoch_millis + ZONE_MS;
    let day = i32::try_from(here.div_euclid(DAY_MS)).unwrap_or(0);
    let date = NaiveDate::from_epoch_days(day).unwrap_or_default();
    (date, u32::try_from(here.rem_euclid(DAY_MS)).unwrap_or(0))
}

/// Serial number of a day in the 1900 date system.
pub(super) fn serial(date: NaiveDate) -> f64 {
    f64::from(date.to_epoch_days() + 25_569)
}

/// Year, month and day.
pub(super) fn civil(date: NaiveDate) -> (i32, u32, u32) {
    (date.year(), date.month(), date.day())
}

/// Dress of an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Money {
    /// 1234.50
    Plain,
    /// 1,234.50; in workbooks as text
    Thousands,
    /// ￥1,234.50; in workbooks as text
    Yuan,
}

/// Writes an amount of `scale` places in a unit that is 10^`unit` times as large, exactly.
pub(super) fn decimal(pen: Pen, out: &mut Vec<u8>, value: i128, scale: u32, unit: i32, money: Money) {
    if money == Money::Yuan {
        pen.write(out, "￥");
    }
    if value < 0 {
        out.push(b'-');
    }
    let places = (i64::from(scale) + i64::from(unit)).clamp(0, 38) as usize;
    let mut digits = [b'0'; 40];
    let mut rest = value.unsigned_abs();
    let mut at = digits.len();
    while rest > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    // At least one digit before the point.
    let point = digits.len() - places;
    let start = at.min(point - 1);
    for (i, digit) in digits[start..point].iter().enumerate() {
        let left = point - start - i;
        if money != Money::Plain && i > 0 && left.is_multiple_of(3) {
            out.push(b',');
        }
        out.push(*digit);
    }
    // Larger and smaller units show only the places they need, but never fewer than two.
    let mut end = digits.len();
    if unit != 0 {
        while end > point && end - point > 2 && digits[end - 1] == b'0' {
            end -= 1;
        }
    }
    if end > point {
        out.push(b'.');
        out.extend_from_slice(&digits[point..end]);
    }
}

/// Writes a whole number.
pub(super) fn int(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut rest = value.unsigned_abs();
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn two(out: &mut Vec<u8>, n: u32) {
    out.extend_from_slice(&[b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]);
}

fn four(out: &mut Vec<u8>, n: u32) {
    two(out, n / 100);
    two(out, n % 100);
}

fn short(out: &mut Vec<u8>, n: u32) {
    if n >= 10 {
        out.push(b'0' + (n / 10 % 10) as u8);
    }
    out.push(b'0' + (n % 10) as u8);
}
