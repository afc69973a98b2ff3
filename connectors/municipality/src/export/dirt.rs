//! Dirty values: one function per way in which a citizen number, a date or a name goes wrong.
//!
//! Each returns `None` when the damage would not be what it claims to be: a 15-digit number that would not be extended
//! to the same number, a cut number that happens to be valid, a check character that would look like a cut number.

use crate::chance::Chance;
use crate::name::names;

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CHECKS: &[u8; 11] = b"10X98765432";

/// Check character of the first seventeen digits (GB 11643, ISO 7064 MOD 11-2).
fn check(number: &[u8]) -> Option<u8> {
    let digits = number.get(..17)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    CHECKS.get((sum % 11) as usize).copied()
}

/// True for eighteen characters with the right check character.
pub(super) fn is_valid(number: &str) -> bool {
    let bytes = number.as_bytes();
    bytes.len() == 18 && check(bytes) == Some(bytes[17])
}

/// The number as it was before 1999, when extending it gives the number back.
pub(super) fn fifteen_digits(number: &str) -> Option<String> {
    if !is_valid(number) || number.get(6..8) != Some("19") {
        return None;
    }
    let old = format!("{}{}", &number[..6], &number[8..17]);
    let mut extended = format!("{}19{}", &old[..6], &old[6..]);
    extended.push(char::from(check(extended.as_bytes())?));
    (extended == number).then_some(old)
}

/// The number with `x`.
pub(super) fn lower_case_x(number: &str) -> Option<String> {
    (is_valid(number) && number.ends_with('X')).then(|| number.to_ascii_lowercase())
}

/// The number in full-width characters.
pub(super) fn full_width(number: &str) -> Option<String> {
    let wide = |c: char| char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c);
    is_valid(number).then(|| number.chars().map(wide).collect())
}

/// The number with another check character, but not one that makes it look cut.
pub(super) fn wrong_check(number: &str, chance: &mut Chance) -> Option<String> {
    if !is_valid(number) {
        return None;
    }
    let (body, right) = (&number[..17], number.as_bytes()[17]);
    let turn = chance.below(10) as usize;
    let looks_cut = |c: u8| c == b'0' && body.ends_with("00");
    let wrong = (0..11).map(|i| CHECKS[(i + turn) % 11]).find(|c| *c != right && !looks_cut(*c))?;
    Some(format!("{body}{}", char::from(wrong)))
}

/// What a spreadsheet keeps of the number: fifteen significant digits.
pub(super) fn cut(number: &str) -> Option<String> {
    if !is_valid(number) {
        return None;
    }
    let cut = format!("{}000", &number[..15]);
    (!is_valid(&cut)).then_some(cut)
}

/// Another person's name, of the sex and the time of the number.
pub(super) fn other_name(name: &str, number: &str, chance: &mut Chance) -> Option<String> {
    let year = number.get(6..10)?.parse().ok()?;
    let female = number.as_bytes().get(16).is_some_and(|b| (b - b'0').is_multiple_of(2));
    for _ in 0..20 {
        let surname = names().surname(chance);
        let other = names().full(surname, female, year, chance);
        // A name that shares its first character could be taken for a slip of the pen.
        if other.chars().next() != name.chars().next() && other.chars().count() > 1 {
            return Some(other);
        }
    }
    None
}

/// A word that no code table and no department has.
pub(super) fn unknown_word(chance: &mut Chance) -> &'static str {
    chance.pick::<&'static str>(&UNKNOWN)
}

/// The words of [`unknown_word`].
pub(super) const UNKNOWN: [&str; 5] = ["ZZ", "待核实", "88X", "未归类", "详见附件"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifteen_digit_number_is_the_same_number() {
        let number = crate::number::citizen(371_002, chrono::NaiveDate::from_ymd_opt(1957, 3, 9).unwrap(), 21);
        assert_eq!(fifteen_digits(&number).unwrap(), format!("371002570309{}", "021"));
        let young = crate::number::citizen(371_002, chrono::NaiveDate::from_ymd_opt(2003, 3, 9).unwrap(), 21);
        assert_eq!(fifteen_digits(&young), None);
    }

    #[test]
    fn damaged_numbers_are_invalid_and_say_how() {
        for sequence in 0..1000 {
            let number =
                crate::number::citizen(371_083, chrono::NaiveDate::from_ymd_opt(1988, 11, 30).unwrap(), sequence);
            let mut chance = Chance::new(7, u64::from(sequence));
            let wrong = wrong_check(&number, &mut chance).unwrap();
            assert!(!is_valid(&wrong) && !wrong.ends_with("000") && wrong[..17] == number[..17]);
            if let Some(cut) = cut(&number) {
                assert!(cut.ends_with("000") && !is_valid(&cut));
            }
        }
    }
}
