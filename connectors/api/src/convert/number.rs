//! Exact decimals, whole numbers and truth values.
//!
//! The written forms are the catalogue's ([`minqiao_schemas::normalise`]); this module adds the unit of the column and a
//! short way for the usual digits. Nothing is ever rounded: places that the field cannot hold are a fault unless they
//! are zeros.

use minqiao_schemas::normalise;
use minqiao_schemas::reason::Rule;

use super::Fault;

/// What one unit of a column is worth, as a power of ten and a whole factor, in the field's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Power of ten.
    pub exponent: i8,
}

impl Unit {
    /// The field's own unit.
    pub const ONE: Self = Self { exponent: 0 };
    /// Names that mappings may use. Only powers of ten: nothing else converts exactly.
    pub const NAMES: [(&str, i8); 22] = [
        ("元", 0),
        ("分", -2),
        ("角", -1),
        ("百元", 2),
        ("千元", 3),
        ("万元", 4),
        ("十万元", 5),
        ("百万元", 6),
        ("亿元", 8),
        ("%", -2),
        ("‰", -3),
        ("平方米", 0),
        ("㎡", 0),
        ("万平方米", 4),
        ("亩", 0),
        ("分地", -1),
        ("人", 0),
        ("户", 0),
        ("月", 0),
        ("年", 0),
        ("天", 0),
        ("个", 0),
    ];

    /// Unit by name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|&(_, exponent)| Self { exponent })
    }
}

/// Reads a trimmed decimal into an integer at `scale`, multiplied by the unit; at most `precision` digits.
#[inline]
pub fn decimal(text: &str, unit: Unit, precision: u8, scale: i8) -> Result<i128, Fault> {
    // A number of units at the field's scale is the plain number at the scale moved by the unit.
    let shift = scale + unit.exponent;
    match short_decimal(text.as_bytes(), i32::from(shift), precision) {
        Some(value) => Ok(value),
        None => normalise::decimal(text, precision, shift).map_err(Fault::Rule)?.ok_or(Fault::Rule(Rule::NumberForm)),
    }
}

/// The usual amount: at most 15 digits, an optional point and sign, nothing else. `None` = look closer.
#[inline]
fn short_decimal(bytes: &[u8], shift: i32, precision: u8) -> Option<i128> {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let mut value = 0i64;
    let mut places = 0i32;
    let mut point = false;
    for (at, &byte) in digits.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + i64::from(digit);
            places += i32::from(point);
        } else if byte == b'.' && !point && at > 0 && at + 1 < digits.len() {
            point = true;
        } else {
            return None;
        }
    }
    let missing = shift - places;
    if !(0..=3).contains(&missing) {
        return None;
    }
    let value = i128::from(value * [1, 10, 100, 1000][usize::try_from(missing).ok()?]);
    (value < 10i128.pow(u32::from(precision))).then_some(if negative { -value } else { value })
}

/// Reads a trimmed whole number; `12.00` and `1,200` are whole.
#[inline]
pub fn integer(text: &str) -> Result<i64, Fault> {
    match short_decimal(text.as_bytes(), 0, 18) {
        // At most 15 digits: fits.
        Some(value) => i64::try_from(value).map_err(|_| Fault::Rule(Rule::NumberSize)),
        None => normalise::integer(text).map_err(Fault::Rule)?.ok_or(Fault::Rule(Rule::NumberForm)),
    }
}

/// Reads a trimmed truth value.
pub fn boolean(text: &str) -> Result<bool, Fault> {
    normalise::boolean(text).map_err(Fault::Rule)?.ok_or(Fault::Rule(Rule::BooleanForm))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact_in_every_written_form() {
        let yuan = |text: &str| decimal(text, Unit::ONE, 14, 2);
        for (text, cents) in [
            ("0", 0),
            ("12", 1200),
            ("12.3", 1230),
            ("1,234,567.89", 123_456_789),
            ("¥1,200.00", 120_000),
            ("１２．５", 1250),
            ("-3.50", -350),
            ("12.3400", 1234),
        ] {
            assert_eq!(yuan(text), Ok(cents), "{text}");
        }
        for text in
            ["-", ".", "1,23", "1.2.3", "十二", "12.345", "1000000000000", "99999999999999999999999999999999999999999"]
        {
            assert!(yuan(text).is_err(), "{text}");
        }
        let wan = Unit::named("万元").expect("known");
        assert_eq!(decimal("1.23456", wan, 14, 2), Ok(1_234_560));
        assert_eq!(decimal("1,234.5", wan, 14, 2), Ok(1_234_500_000));
        assert_eq!(decimal("1.2345678", wan, 14, 2), Err(Fault::Rule(Rule::NumberFraction)));
        assert_eq!(decimal("35.5", Unit::named("%").expect("known"), 7, 4), Ok(3550));
        assert_eq!((integer("1,200"), integer("12.00"), integer("1.5").is_err()), (Ok(1200), Ok(12), true));
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_a_fault(text in "\\PC{0,40}") {
            let _number = decimal(&text, Unit::ONE, 18, 2);
            let _count = integer(&text);
        }

        #[test]
        fn the_short_way_agrees_with_the_catalogue(text in "-?[0-9]{0,10}\\.?[0-9]{0,5}", shift in 0i8..7) {
            if let Some(value) = short_decimal(text.as_bytes(), i32::from(shift), 14) {
                prop_assert_eq!(normalise::decimal(&text, 14, shift), Ok(Some(value)));
            }
        }
    }
}
