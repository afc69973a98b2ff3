//! Citizen numbers (公民身份号码, GB 11643-1999).
//!
//! ```text
//! 18 characters   aaaaaa yyyymmdd sss c     region, birth date, sequence (odd = male), check character
//! 15 characters   aaaaaa   yymmdd sss       the form before 1999; 19 is meant before yy
//! ```
//!
//! The check character is ISO 7064 MOD 11-2 over the first 17 digits and catches every single mistyped digit and every
//! swap of neighbours. The region is not looked up: people keep the number of a county that was dissolved long ago.
//!
//! A spreadsheet that takes the number for a number keeps 15 digits and writes 000 behind them, or shows it as
//! 3.71002E+17. That loss gets its own rule, because the fix is another one: export again, not correct the person.
//! A number that ends in 000 and whose check character fits is accepted: such people exist.

use std::borrow::Cow;

use chrono::{Datelike, NaiveDate};

use super::text::half_width;
use crate::reason::Rule;

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECK_CHARACTERS: &[u8; 11] = b"10X98765432";

/// Sex as the number states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sex {
    /// Odd sequence number; `1` of GB/T 2261.1.
    Male,
    /// Even sequence number; `2` of GB/T 2261.1.
    Female,
}

/// Canonical citizen number: 18 characters, upper-case X; `None` for empty text. 15-digit numbers are converted.
///
/// # Errors
/// The `Id…` rule that the text breaks.
pub fn citizen_number(raw: &str, today: NaiveDate) -> Result<Option<Cow<'_, str>>, Rule> {
    if raw.len() == 18 && verify(raw.as_bytes(), Some(today)).is_ok() {
        return Ok(Some(Cow::Borrowed(raw)));
    }
    let cleaned: String = half_width(raw)
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '`' | '\u{200b}' | '\u{feff}'))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    if cleaned.is_empty() {
        return Ok(None);
    }
    if is_scientific(&cleaned) {
        return Err(Rule::IdCutBySpreadsheet);
    }
    let number = cleaned.strip_suffix(".0").unwrap_or(&cleaned);
    let number = match number.len() {
        18 => number.to_owned(),
        15 => from_15(number)?,
        _ if number.is_ascii() => return Err(Rule::IdLength),
        _ => return Err(Rule::IdCharacters),
    };
    verify(number.as_bytes(), Some(today))?;
    Ok(Some(Cow::Owned(number)))
}

/// Whether the value is a valid number in canonical form. Does not know today; see [`born_on`].
pub fn is_canonical(value: &str) -> bool {
    verify(value.as_bytes(), None).is_ok()
}

/// Birth date that a canonical number states.
pub fn born_on(number: &str) -> Option<NaiveDate> {
    let bytes = number.as_bytes();
    if bytes.len() != 18 || !bytes[..17].iter().all(u8::is_ascii_digit) {
        return None;
    }
    birth_date(bytes)
}

/// Sex that a canonical number states.
pub fn sex(number: &str) -> Option<Sex> {
    let digit = *number.as_bytes().get(16)?;
    if number.len() != 18 || !digit.is_ascii_digit() {
        return None;
    }
    Some(if digit % 2 == 1 { Sex::Male } else { Sex::Female })
}

/// Check character of the first 17 digits (ISO 7064 MOD 11-2); `None` unless there are 17 digits in front.
pub fn check_character(number: &str) -> Option<char> {
    let digits = number.as_bytes().get(..17)?;
    digits.iter().all(u8::is_ascii_digit).then(|| char::from(mod_11_2(digits)))
}

/// The rule that a would-be canonical number breaks.
pub(crate) fn verify(number: &[u8], today: Option<NaiveDate>) -> Result<(), Rule> {
    let Some((last, digits)) = number.split_last() else { return Err(Rule::IdLength) };
    if digits.len() != 17 {
        return Err(Rule::IdLength);
    }
    let shape = digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0' && (last.is_ascii_digit() || *last == b'X');
    if !shape {
        return Err(Rule::IdCharacters);
    }
    let check_fits = mod_11_2(digits) == *last;
    if !check_fits && number.ends_with(b"000") {
        return Err(Rule::IdCutBySpreadsheet);
    }
    let born = birth_date(number).ok_or(Rule::IdBirthDate)?;
    if today.is_some_and(|today| born > today) {
        return Err(Rule::IdBornBeforeToday);
    }
    if check_fits { Ok(()) } else { Err(Rule::IdCheckCharacter) }
}

fn mod_11_2(digits: &[u8]) -> u8 {
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit & 0x0f) * weight).sum();
    CHECK_CHARACTERS[(sum % 11) as usize]
}

fn birth_date(number: &[u8]) -> Option<NaiveDate> {
    let part = |from: usize, to: usize| number[from..to].iter().fold(0, |n, digit| n * 10 + u32::from(digit & 0x0f));
    let date = NaiveDate::from_ymd_opt(part(6, 10) as i32, part(10, 12), part(12, 14))?;
    (1800..2100).contains(&date.year()).then_some(date)
}

fn from_15(number: &str) -> Result<String, Rule> {
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Rule::IdCharacters);
    }
    let mut long = String::with_capacity(18);
    long.push_str(&number[..6]);
    long.push_str("19");
    long.push_str(&number[6..]);
    let check = check_character(&long).ok_or(Rule::IdCharacters)?;
    long.push(check);
    Ok(long)
}

/// 3.71002E+17: what a spreadsheet shows for a number that it took as a number.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once('E') else { return false };
    let exponent = exponent.trim_start_matches('+');
    !mantissa.is_empty()
        && mantissa.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && !exponent.is_empty()
        && exponent.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 20).unwrap()
    }

    fn read(raw: &str) -> Result<Option<String>, Rule> {
        citizen_number(raw, today()).map(|n| n.map(Cow::into_owned))
    }

    /// Check characters by hand: 11010519491231002 is the example of GB 11643 itself (sum 167, 167 mod 11 = 2, so X);
    /// 34052419800101001: 21+36+0+25+16+16+2+9+48+0+0+9+0+5+0+0+2 = 189, 189 mod 11 = 2, so X;
    /// 37100219900307123: 21+63+10+0+0+8+2+9+54+0+0+27+0+35+8+8+6 = 251, 251 mod 11 = 9, so 3.
    #[test]
    fn check_characters_agree_with_hand_computation() {
        assert_eq!(check_character("11010519491231002"), Some('X'));
        assert_eq!(check_character("34052419800101001"), Some('X'));
        assert_eq!(check_character("37100219900307123"), Some('3'));
        assert_eq!(check_character("1101051949123100"), None);
    }

    #[test]
    fn repairable_forms_end_in_the_canonical_number() {
        let canonical = Ok(Some("11010519491231002X".to_owned()));
        for raw in [
            "11010519491231002X",
            "11010519491231002x",
            " 110105 19491231 002X ",
            "１１０１０５１９４９１２３１００２Ｘ",
            "'11010519491231002X",
            "110105491231002",
        ] {
            assert_eq!(read(raw), canonical, "{raw}");
        }
        assert_eq!(read("371002900307123"), Ok(Some("371002199003071233".to_owned())));
        assert_eq!(read("  "), Ok(None));
    }

    #[test]
    fn each_defect_has_its_own_rule() {
        assert_eq!(read("11010519491231002"), Err(Rule::IdLength));
        assert_eq!(read("1101051949123100211"), Err(Rule::IdLength));
        assert_eq!(read("1101051949123100AX"), Err(Rule::IdCharacters));
        assert_eq!(read("01010519491231002X"), Err(Rule::IdCharacters));
        assert_eq!(read("无"), Err(Rule::IdCharacters));
        assert_eq!(read("110105194902310021"), Err(Rule::IdBirthDate));
        assert_eq!(read("110105491331002"), Err(Rule::IdBirthDate));
        assert_eq!(read("371002202711210011"), Err(Rule::IdBornBeforeToday));
        assert_eq!(read("110105194912310021"), Err(Rule::IdCheckCharacter));
        assert_eq!(read("371002199003071000"), Err(Rule::IdCutBySpreadsheet));
        assert_eq!(read("3.71002199003071E+17"), Err(Rule::IdCutBySpreadsheet));
        assert_eq!(Rule::IdCutBySpreadsheet.reason(), crate::Reason::PrecisionLoss);
    }

    #[test]
    fn a_number_tells_birth_date_and_sex() {
        assert_eq!(born_on("11010519491231002X"), NaiveDate::from_ymd_opt(1949, 12, 31));
        assert_eq!(sex("11010519491231002X"), Some(Sex::Female));
        assert_eq!(sex("371002199003071233"), Some(Sex::Male));
        assert_eq!(born_on("short"), None);
    }

    prop_compose! {
        fn valid_number()(region in 110_000u32..660_000, days in 0i64..50_000, sequence in 0u32..1000) -> String {
            let born = NaiveDate::from_ymd_opt(1880, 1, 1).unwrap() + chrono::TimeDelta::days(days);
            let mut number = format!("{region}{}{sequence:03}", born.format("%Y%m%d"));
            let check = check_character(&number).unwrap();
            number.push(check);
            number
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(raw in "\\PC{0,24}|[0-9０-９xXＸ. E+]{10,22}") {
            if let Ok(Some(number)) = citizen_number(&raw, today()) {
                prop_assert!(is_canonical(&number));
                let again = citizen_number(&number, today());
                prop_assert_eq!(again, Ok(Some(Cow::Borrowed(number.as_ref()))));
            }
        }

        #[test]
        fn a_single_wrong_digit_is_always_found(number in valid_number(), at in 0usize..17, shift in 1u8..10) {
            prop_assume!(is_canonical(&number));
            let mut wrong = number.into_bytes();
            wrong[at] = b'0' + (wrong[at] - b'0' + shift) % 10;
            prop_assert!(verify(&wrong, None).is_err());
        }
    }
}
