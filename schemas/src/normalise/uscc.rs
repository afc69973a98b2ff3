//! Unified social credit codes (统一社会信用代码, GB 32100-2015): 17 characters of a 31-character alphabet and a check
//! character, MOD 31 with weights 3^i.

use std::borrow::Cow;

use super::text::half_width;
use crate::reason::Rule;

const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];

const NONE: u8 = 0xff;
/// Value of each byte in the alphabet.
static VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
}

/// Canonical credit code: 18 capitals and digits; `None` for empty text.
///
/// # Errors
/// [`Rule::CreditCodeShape`] and [`Rule::CreditCodeCheckCharacter`].
pub fn credit_code(raw: &str) -> Result<Option<Cow<'_, str>>, Rule> {
    if is_canonical(raw) {
        return Ok(Some(Cow::Borrowed(raw)));
    }
    let code: String =
        half_width(raw).chars().filter(|c| !c.is_whitespace() && *c != '-').map(|c| c.to_ascii_uppercase()).collect();
    if code.is_empty() {
        return Ok(None);
    }
    verify(&code)?;
    Ok(Some(Cow::Owned(code)))
}

/// Whether the value is a valid code in canonical form.
pub fn is_canonical(value: &str) -> bool {
    verify(value).is_ok()
}

/// Check character of the first 17 characters; `None` unless there are 17 of the alphabet in front.
pub fn check_character(code: &str) -> Option<char> {
    let mut sum = 0;
    for (byte, weight) in code.as_bytes().get(..17)?.iter().zip(WEIGHTS) {
        match VALUES[usize::from(*byte)] {
            NONE => return None,
            value => sum += u32::from(value) * weight,
        }
    }
    ALPHABET.get(((31 - sum % 31) % 31) as usize).map(|b| char::from(*b))
}

pub(crate) fn verify(code: &str) -> Result<(), Rule> {
    let last = match code.as_bytes() {
        bytes if bytes.len() == 18 => bytes[17],
        _ => return Err(Rule::CreditCodeShape),
    };
    let check = check_character(code).ok_or(Rule::CreditCodeShape)?;
    if VALUES[usize::from(last)] == NONE {
        return Err(Rule::CreditCodeShape);
    }
    if check == char::from(last) { Ok(()) } else { Err(Rule::CreditCodeCheckCharacter) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By hand. 91350100M000100Y4: values 9,1,3,5,0,1,0,0,21,0,0,0,1,0,0,30,4 by weights 1,3,9,27,19,26,16,17,20,29,25,13,8,24,10,30,28
    /// give 9+3+27+135+0+26+0+0+420+0+0+0+8+0+0+900+112 = 1640; 1640 mod 31 = 28; 31-28 = 3.
    /// 10000000000000000: 1; 31-1 = 30, the 31st character, Y.
    #[test]
    fn check_characters_agree_with_hand_computation() {
        assert_eq!(check_character("91350100M000100Y4"), Some('3'));
        assert_eq!(check_character("10000000000000000"), Some('Y'));
        assert_eq!(check_character("00000000000000000"), Some('0'));
    }

    #[test]
    fn repairable_forms_and_defects() {
        let canonical = Ok(Some(Cow::Borrowed("91350100M000100Y43")));
        for raw in ["91350100M000100Y43", "91350100m000100y43 ", "９１３５０１００M000100Y43"] {
            assert_eq!(credit_code(raw), canonical, "{raw}");
        }
        assert_eq!(credit_code("91350100M000100Y44"), Err(Rule::CreditCodeCheckCharacter));
        assert_eq!(credit_code("91350100I000100Y43"), Err(Rule::CreditCodeShape));
        assert_eq!(credit_code("91350100"), Err(Rule::CreditCodeShape));
        assert_eq!(credit_code("　"), Ok(None));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(raw in "\\PC{0,24}|[0-9A-Za-z]{18}") {
            if let Ok(Some(code)) = credit_code(&raw) {
                prop_assert_eq!(credit_code(&code), Ok(Some(Cow::Borrowed(code.as_ref()))));
            }
        }

        #[test]
        fn a_single_wrong_character_is_always_found(body in "[0-9A-HJ-NP-RTUWXY]{17}", at in 0usize..17, shift in 1usize..31) {
            let mut wrong = body.clone().into_bytes();
            wrong.push(check_character(&body).unwrap() as u8);
            wrong[at] = ALPHABET[(usize::from(VALUES[usize::from(wrong[at])]) + shift) % 31];
            prop_assert!(verify(std::str::from_utf8(&wrong).unwrap()).is_err());
        }
    }
}
