//! Citizen numbers in text that is stored as it is.
//!
//! Which columns are sealed is decided by column. A number that stands anywhere else (a remark, a batch number that was
//! built from it) would be stored in clear, so the rows and ids that hold one are not taken (SEC-1, INT-4). A number is
//! a run of 18 digits, or of 17 digits and X, next to no further digit, that GB 11643 accepts with birth date and check
//! character. Full-width digits count as digits.
//!
//! Left out, because no rule tells them from other numbers: the 15-digit form, and digits with blanks or strokes between
//! them.

use std::borrow::Cow;

use minqiao_schemas::normalise::citizen_id;

/// Bytes of the shortest text that can hold a number.
pub(crate) const NUMBER_BYTES: usize = 18;
/// Digits in front of the check character.
const DIGITS: usize = NUMBER_BYTES - 1;

/// Whether the text holds a citizen number.
pub(crate) fn holds_citizen_number(text: &str) -> bool {
    text.len() >= NUMBER_BYTES && in_bytes(half_width(text).as_bytes())
}

/// Whether the text holds a digit or an X in full width.
pub(crate) fn is_wide(text: &str) -> bool {
    // Every full-width character begins with this byte, and little else does.
    text.as_bytes().contains(&0xEF) && text.chars().any(|c| narrow(c) != c)
}

fn half_width(text: &str) -> Cow<'_, str> {
    if is_wide(text) { text.chars().map(narrow).collect::<String>().into() } else { text.into() }
}

fn narrow(c: char) -> char {
    match c {
        '\u{ff10}'..='\u{ff19}' | '\u{ff38}' | '\u{ff58}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Looks at every 17th byte only: 17 digits in a row cover one of them.
fn in_bytes(text: &[u8]) -> bool {
    let mut at = DIGITS - 1;
    while let Some(byte) = text.get(at) {
        if !byte.is_ascii_digit() {
            at += DIGITS;
            continue;
        }
        let begin = text[..at].iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |before| before + 1);
        let end = text[at..].iter().position(|byte| !byte.is_ascii_digit()).map_or(text.len(), |after| at + after);
        if is_number(text, begin, end) {
            return true;
        }
        at = end + DIGITS;
    }
    false
}

/// Whether the run of digits `begin..end`, with an X behind it if need be, is a number.
fn is_number(text: &[u8], begin: usize, end: usize) -> bool {
    let mut number = [0; NUMBER_BYTES];
    match end - begin {
        NUMBER_BYTES => number.copy_from_slice(&text[begin..end]),
        DIGITS => {
            let x = text.get(end).is_some_and(|byte| byte.eq_ignore_ascii_case(&b'X'));
            if !x || text.get(end + 1).is_some_and(u8::is_ascii_digit) {
                return false;
            }
            number[..DIGITS].copy_from_slice(&text[begin..end]);
            number[DIGITS] = b'X';
        }
        _ => return false,
    }
    std::str::from_utf8(&number).is_ok_and(citizen_id::is_canonical)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of GB 11643 itself.
    const EXAMPLE: &str = "11010519491231002X";

    /// By hand, weights 7 9 10 5 8 4 2 1 6 3 7 9 10 5 8 4 2: 37100219900307123 sums to 251, 251 mod 11 = 9, so 3.
    const OF_DIGITS: &str = "371002199003071233";

    #[test]
    fn a_number_is_found_wherever_it_stands() {
        let prefixes = ["", "姓名不符 ", "A", "12345-", "2026", "01234567890123456 "];
        for (prefix, suffix) in prefixes.iter().flat_map(|p| ["", "，已核实", "号", "-1", "XX"].map(|s| (*p, s))) {
            for number in [
                EXAMPLE,
                "11010519491231002x",
                OF_DIGITS,
                "１１０１０５１９４９１２３１００２Ｘ",
                "371002199003０71233",
            ] {
                let text = format!("{prefix}{number}{suffix}");
                assert_eq!(holds_citizen_number(&text), prefix != "2026", "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_left_alone() {
        for text in [
            "",
            "HC20260319",
            // A wrong check character, no such day, a year that nobody was born in, a region that begins with 0.
            "371002199003071234",
            "110105194902310021",
            "11010529491231002X",
            "01010519491231002X",
            // Further digits beside it.
            "1371002199003071233",
            "3710021990030712330",
            "11010519491231002X1",
            "1１10105194912310021",
            // 17 digits without their X, and 15.
            "11010519491231002",
            "110105491231002",
            "最低生活保障金发放失败：账户已注销，请核实后重新发放",
        ] {
            assert!(!holds_citizen_number(text), "{text}");
        }
    }

    /// The rule once more, at every byte.
    fn at_every_byte(text: &str) -> bool {
        let text = half_width(text);
        let bytes = text.as_bytes();
        let digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
        (0..bytes.len()).any(|at| {
            let alone = (at == 0 || !digit(at - 1)) && !digit(at + NUMBER_BYTES);
            let number = bytes.get(at..at + NUMBER_BYTES).and_then(|number| std::str::from_utf8(number).ok());
            alone && number.is_some_and(|number| citizen_id::is_canonical(&number.to_ascii_uppercase()))
        })
    }

    proptest! {
        #[test]
        fn skipping_bytes_misses_nothing(
            parts in proptest::collection::vec(prop_oneof![
                Just(EXAMPLE.to_owned()), Just(OF_DIGITS.to_owned()), "[0-9]{1,20}", "[-xX 号0-9１]{0,24}",
            ], 0..6),
        ) {
            let text = parts.concat();
            prop_assert_eq!(holds_citizen_number(&text), at_every_byte(&text), "{}", text);
        }
    }
}
