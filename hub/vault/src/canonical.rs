//! Values as canonical text: what is encrypted, tokenised and hashed.
//!
//! | type | canonical text | example |
//! |---|---|---|
//! | Utf8 | itself, as `schemas::normalise` left it | `李秀兰` |
//! | Int32, Int64 | decimal, `-` before negatives, no leading zeros | `-12` |
//! | Boolean | `true`, `false` | `true` |
//! | Date32 | `YYYY-MM-DD` | `2026-03-01` |
//! | Timestamp | `YYYY-MM-DDTHH:MM:SS.mmm+08:00` | `2026-03-01T08:00:00.000+08:00` |
//! | Decimal(p,s) | all `s` digits after the point, at least one before, `-` before negatives | `1200.50`, `-0.05`, `7` for s = 0 |
//!
//! **Token**: `domain ‖ 0x1F ‖ text`. **Record key** (`_key`): `key ‖ 0x1F ‖ item`, then for each key field in key
//! order `0x1F ‖ text`, where a 0x1F or 0x1B inside a text is preceded by 0x1B so that no two keys read alike.
//! **Content hash**: `item ‖ 0x1F`, then for each field of the item in catalogue order its length plus one as LEB128
//! and its text; null is the single byte 0. So null and empty differ, and no two rows read alike. Envelope columns
//! are not part of it: the same content sent again by another batch has the same hash.

/// Between the parts of a tokenised text.
pub const SEPARATOR: u8 = 0x1F;
/// Before a separator that belongs to a value.
pub const ESCAPE: u8 = 0x1B;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// +08:00.
const CHINA_OFFSET_MILLIS: i64 = 8 * 3_600_000;

/// Appends an integer.
pub fn write_integer(out: &mut Vec<u8>, value: i128) {
    write_scaled(out, value, 0);
}

/// Appends a decimal of `scale` digits after the point, given as its unscaled value.
pub fn write_scaled(out: &mut Vec<u8>, unscaled: i128, scale: usize) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; 40];
    let mut at = digits.len();
    let magnitude = unscaled.unsigned_abs();
    if let Ok(mut small) = u64::try_from(magnitude) {
        while small > 0 {
            at -= 1;
            digits[at] = b'0' + (small % 10) as u8;
            small /= 10;
        }
    } else {
        let mut large = magnitude;
        while large > 0 {
            at -= 1;
            digits[at] = b'0' + (large % 10) as u8;
            large /= 10;
        }
    }
    // The buffer is full of zeros: going back to it pads `0.05`.
    let scale = scale.min(38);
    at = at.min(digits.len() - scale - 1);
    let point = digits.len() - scale;
    out.extend_from_slice(&digits[at..point]);
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }
}

/// Appends a boolean.
pub fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// Appends the day that is `days` after 1970-01-01.
pub fn write_date(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        write_padded(out, year.unsigned_abs(), 4);
    } else {
        write_integer(out, i128::from(year));
    }
    out.push(b'-');
    write_padded(out, month, 2);
    out.push(b'-');
    write_padded(out, day, 2);
}

/// Appends a moment given in milliseconds since the epoch, at +08:00.
pub fn write_timestamp(out: &mut Vec<u8>, millis: i64) {
    let local = millis.saturating_add(CHINA_OFFSET_MILLIS);
    write_date(out, local.div_euclid(MILLIS_PER_DAY));
    let of_day = local.rem_euclid(MILLIS_PER_DAY).unsigned_abs();
    out.push(b'T');
    write_padded(out, of_day / 3_600_000, 2);
    out.push(b':');
    write_padded(out, of_day / 60_000 % 60, 2);
    out.push(b':');
    write_padded(out, of_day / 1000 % 60, 2);
    out.push(b'.');
    write_padded(out, of_day % 1000, 3);
    out.extend_from_slice(b"+08:00");
}

/// Reads what [`write_date`] wrote for years 0 to 9999; `None` for anything else.
pub fn read_date(text: &[u8]) -> Option<i32> {
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let digits = text.get(range)?;
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    if text.len() != 10 || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    // Days from civil, the inverse of `civil`.
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let (back_year, back_month, back_day) = civil(days);
    let same = (back_year, back_month, back_day) == (year, month.unsigned_abs(), day.unsigned_abs());
    same.then(|| i32::try_from(days).ok()).flatten()
}

/// Appends one value of a record key.
pub(crate) fn write_key_part(out: &mut Vec<u8>, text: &[u8]) {
    out.push(SEPARATOR);
    if text.iter().any(|byte| matches!(*byte, SEPARATOR | ESCAPE)) {
        for byte in text {
            if matches!(*byte, SEPARATOR | ESCAPE) {
                out.push(ESCAPE);
            }
            out.push(*byte);
        }
    } else {
        out.extend_from_slice(text);
    }
}

/// Appends a length plus one; 0 is left for null.
pub(crate) fn write_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length + 1;
    while rest >= 0x80 {
        out.push((rest & 0x7F) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn write_padded(out: &mut Vec<u8>, value: u64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

/// Proleptic Gregorian date of a day number (the 400-year-era method).
fn civil(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("canonical text is UTF-8")
    }

    #[test]
    fn decimals_keep_every_digit_of_their_scale() {
        let cases: [(i128, usize, &str); 8] = [
            (120_050, 2, "1200.50"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (7, 0, "7"),
            (0, 0, "0"),
            (-12, 0, "-12"),
            (i128::from(u64::MAX) + 1, 4, "1844674407370955.1616"),
            (-(10i128.pow(37)), 2, "-100000000000000000000000000000000000.00"),
        ];
        for (unscaled, scale, expected) in cases {
            assert_eq!(text(|out| write_scaled(out, unscaled, scale)), expected);
        }
    }

    #[test]
    fn days_and_moments_read_as_in_china() {
        assert_eq!(text(|out| write_date(out, 0)), "1970-01-01");
        assert_eq!(text(|out| write_date(out, 20_513)), "2026-03-01");
        assert_eq!(text(|out| write_date(out, -1)), "1969-12-31");
        assert_eq!(text(|out| write_timestamp(out, 0)), "1970-01-01T08:00:00.000+08:00");
        assert_eq!(text(|out| write_timestamp(out, 1_772_323_199_999)), "2026-03-01T07:59:59.999+08:00");
    }

    #[test]
    fn every_day_reads_back() {
        for days in (-719_000..2_900_000).step_by(37) {
            assert_eq!(read_date(text(|out| write_date(out, i64::from(days))).as_bytes()), Some(days));
        }
        assert_eq!(read_date(b"2026-02-30"), None);
        assert_eq!(read_date(b"2026-2-3"), None);
    }

    #[test]
    fn no_two_keys_read_alike() {
        let parts = |values: &[&str]| {
            let mut out = Vec::new();
            for value in values {
                write_key_part(&mut out, value.as_bytes());
            }
            out
        };
        assert_ne!(parts(&["a\x1fb"]), parts(&["a", "b"]));
        assert_ne!(parts(&["a\x1b", "b"]), parts(&["a\x1b\x1fb"]));
    }
}
