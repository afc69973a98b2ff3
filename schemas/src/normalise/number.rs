//! Numbers, exactly: digits are moved, never converted through floating point.
//!
//! ```text
//! [-|(] [￥|¥|CNY|RMB|人民币] digits [, groups of three] [. digits] [E±n] [%|元|万元|亿元|…] [)]
//! ```
//!
//! Fraction digits beyond the field's scale are refused unless they are zeros: money that was rounded on the way is not
//! the department's money any more. 万元 and % move the point and lose nothing.

use super::text::half_width;
use crate::reason::Rule;

/// Longest number that is read; longer text is no number.
const CHARACTERS_MAX: usize = 64;
/// Powers of ten that fit 38 digits.
const SHIFT_MAX: i32 = 76;

/// Reads a decimal to its unscaled value at `scale`, at most `precision` digits; `None` for empty text.
///
/// # Errors
/// [`Rule::NumberForm`], [`Rule::NumberFraction`] (digits would be lost), [`Rule::NumberSize`].
pub fn decimal(raw: &str, precision: u8, scale: i8) -> Result<Option<i128>, Rule> {
    if let Some(value) = plain(raw.as_bytes(), scale) {
        return bounded(value, precision).map(Some);
    }
    let text = half_width(raw);
    if text.is_empty() {
        return Ok(None);
    }
    if text.len() > CHARACTERS_MAX {
        return Err(Rule::NumberForm);
    }
    let number = Parts::read(&text).ok_or(Rule::NumberForm)?;
    bounded(number.at_scale(i32::from(scale))?, precision).map(Some)
}

/// Reads a whole number; `None` for empty text. `12.0` and `1.2万` are whole.
///
/// # Errors
/// [`Rule::NumberForm`], [`Rule::NumberWhole`], [`Rule::NumberSize`].
pub fn integer(raw: &str) -> Result<Option<i64>, Rule> {
    match decimal(raw, 19, 0) {
        Ok(Some(value)) => i64::try_from(value).map(Some).map_err(|_| Rule::NumberSize),
        Ok(None) => Ok(None),
        Err(Rule::NumberFraction) => Err(Rule::NumberWhole),
        Err(rule) => Err(rule),
    }
}

/// Reads a spreadsheet's number cell. A spreadsheet computes in binary and shows 15 significant digits, so that many
/// are taken: 0.1 + 0.2 is 0.3.
///
/// # Errors
/// As [`decimal`]; infinities and NaN are [`Rule::NumberForm`].
pub fn decimal_from_f64(cell: f64, precision: u8, scale: i8) -> Result<i128, Rule> {
    if !cell.is_finite() {
        return Err(Rule::NumberForm);
    }
    // 1 digit before the point and 14 behind.
    decimal(&format!("{cell:.14e}"), precision, scale)?.ok_or(Rule::NumberForm)
}

/// The common form: digits, at most one point, at most 18 of them, not more fraction digits than the scale.
fn plain(bytes: &[u8], scale: i8) -> Option<i128> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 || !digits[0].is_ascii_digit() {
        return None;
    }
    let mut value: i64 = 0;
    let mut fraction: Option<i8> = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte & 0x0f);
                fraction = fraction.map(|n| n + 1);
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => return None,
        }
    }
    let missing = scale.checked_sub(fraction.unwrap_or(0)).filter(|n| (0..=18).contains(n))?;
    if fraction == Some(0) {
        return None;
    }
    let value = i128::from(value) * 10i128.pow(missing as u32);
    Some(if negative { -value } else { value })
}

fn bounded(value: i128, precision: u8) -> Result<i128, Rule> {
    let limit = 10i128.pow(u32::from(precision.min(38)));
    if value > -limit && value < limit { Ok(value) } else { Err(Rule::NumberSize) }
}

/// Digits and where the point stands: `digits × 10^shift`.
struct Parts {
    negative: bool,
    digits: Vec<u8>,
    shift: i32,
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (bracketed, mut rest) = match squeezed.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
            Some(inside) => (true, inside),
            None => (false, squeezed.as_str()),
        };
        let mut negative = bracketed;
        let mut signed = bracketed;
        let mut currency = false;
        loop {
            if let Some(r) = rest.strip_prefix(['-', '+']) {
                if signed {
                    return None;
                }
                signed = true;
                negative = rest.starts_with('-');
                rest = r;
            } else if let Some(r) = ["￥", "¥", "人民币", "CNY", "RMB"].iter().find_map(|p| rest.strip_prefix(p)) {
                if currency {
                    return None;
                }
                currency = true;
                rest = r;
            } else {
                break;
            }
        }
        let (rest, unit) = unit(rest);
        let (mantissa, exponent) = match rest.split_once(['E', 'e']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (rest, 0),
        };
        if !(-SHIFT_MAX..=SHIFT_MAX).contains(&exponent) {
            return None;
        }
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (mantissa, ""),
        };
        let mut digits = grouped(whole)?;
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.extend_from_slice(fraction.as_bytes());
        Some(Self { negative, digits, shift: unit + exponent - fraction.len() as i32 })
    }

    fn at_scale(&self, scale: i32) -> Result<i128, Rule> {
        let significant = &self.digits[self.digits.iter().take_while(|d| **d == b'0').count()..];
        if significant.is_empty() {
            return Ok(0);
        }
        let move_by = self.shift + scale;
        let (kept, zeros) = if move_by >= 0 {
            (significant, move_by as usize)
        } else {
            let cut = move_by.unsigned_abs() as usize;
            let at = significant.len().saturating_sub(cut);
            if cut > significant.len() || significant[at..].iter().any(|d| *d != b'0') {
                return Err(Rule::NumberFraction);
            }
            (&significant[..at], 0)
        };
        if kept.len() + zeros > 38 {
            return Err(Rule::NumberSize);
        }
        let value = kept.iter().fold(0i128, |n, digit| n * 10 + i128::from(digit & 0x0f));
        let value = value * 10i128.pow(zeros as u32);
        Ok(if self.negative { -value } else { value })
    }
}

/// Digits, either bare or in groups of three after the first.
fn grouped(whole: &str) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(whole.len());
    for (at, group) in whole.split(',').enumerate() {
        let fits =
            if at == 0 { !group.is_empty() && (group.len() <= 3 || !whole.contains(',')) } else { group.len() == 3 };
        if !fits || !group.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.extend_from_slice(group.as_bytes());
    }
    Some(digits)
}

/// Takes the unit off the end; the power of ten that it stands for.
fn unit(text: &str) -> (&str, i32) {
    const UNITS: [(&str, i32); 9] =
        [("亿元", 8), ("万元", 4), ("千元", 3), ("百元", 2), ("元整", 0), ("元", 0), ("亿", 8), ("万", 4), ("%", -2)];
    UNITS.iter().find_map(|(word, power)| Some((text.strip_suffix(word)?, *power))).unwrap_or((text, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_as_departments_write_it() {
        let cases = [
            ("1234.5", 123_450),
            ("1,234.50", 123_450),
            ("￥1,234.50元", 123_450),
            ("1.2345万元", 1_234_500),
            ("0.123456万元", 123_456),
            ("１２３．４５", 12_345),
            ("(1,234.50)", -123_450),
            ("-0.01", -1),
            ("人民币 88 元整", 8_800),
            ("1.2E+05", 12_000_000),
            ("12.3400", 1_234),
        ];
        for (raw, cents) in cases {
            assert_eq!(decimal(raw, 14, 2), Ok(Some(cents)), "{raw}");
        }
        assert_eq!(decimal("50%", 7, 4), Ok(Some(5_000)));
        assert_eq!(decimal("", 14, 2), Ok(None));
    }

    #[test]
    fn what_would_lose_digits_or_has_two_readings_is_refused() {
        assert_eq!(decimal("1.005", 14, 2), Err(Rule::NumberFraction));
        assert_eq!(decimal("0.00001万元", 14, 2), Ok(Some(10)));
        assert_eq!(decimal("0.0000001万元", 14, 2), Err(Rule::NumberFraction));
        assert_eq!(decimal("1000000000000", 14, 2), Err(Rule::NumberSize));
        assert_eq!(decimal("1E+60", 14, 2), Err(Rule::NumberSize));
        for raw in ["1,23", "1,2345.00", "12.", "--1", "1.2.3", ".5", "约100", "1e", "NaN", "十"] {
            assert_eq!(decimal(raw, 14, 2), Err(Rule::NumberForm), "{raw}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(integer("12.0"), Ok(Some(12)));
        assert_eq!(integer("-7"), Ok(Some(-7)));
        assert_eq!(integer("12.5"), Err(Rule::NumberWhole));
        assert_eq!(integer("99999999999999999999"), Err(Rule::NumberSize));
    }

    #[test]
    fn spreadsheet_cells_count_to_fifteen_digits() {
        assert_eq!(decimal_from_f64(0.1 + 0.2, 14, 2), Ok(30));
        assert_eq!(decimal_from_f64(123_456_789.12, 14, 2), Ok(12_345_678_912));
        assert_eq!(decimal_from_f64(1.005, 14, 2), Err(Rule::NumberFraction));
        assert_eq!(decimal_from_f64(f64::NAN, 14, 2), Err(Rule::NumberForm));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(raw in "\\PC{0,20}|[-+0-9,.eE万元%()￥ ]{0,20}", precision in 1u8..=38, scale in 0i8..=10) {
            let limit = 10i128.pow(u32::from(precision));
            if let Ok(Some(value)) = decimal(&raw, precision, scale.min(precision as i8)) {
                prop_assert!(value.abs() < limit);
            }
            prop_assert_eq!(integer(&raw).is_ok_and(|n| n.is_none()), half_width(&raw).is_empty());
        }

        #[test]
        fn a_canonical_number_is_itself(cents in -99_999_999_999_999i128..=99_999_999_999_999) {
            let sign = if cents < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100);
            prop_assert_eq!(decimal(&text, 14, 2), Ok(Some(cents)));
            let grouped = format!("￥{text}元");
            prop_assert_eq!(decimal(&grouped, 14, 2), Ok(Some(cents)));
        }
    }
}
