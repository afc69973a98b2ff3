//! Numbers as the standards make them: citizen numbers (GB 11643), unified social credit codes (GB 32100 over
//! GB 11714), vehicle identification (GB 16735) and real-estate units (GB/T 37346).

use chrono::{Datelike, NaiveDate};

const CITIZEN_WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
const CREDIT_ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const CREDIT_WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
const VIN_ALPHABET: &[u8; 33] = b"0123456789ABCDEFGHJKLMNPRSTUVWXYZ";

/// Citizen number of (division, birth date, sequence 0 to 999); an odd sequence is a man's.
#[must_use]
pub(crate) fn citizen(division: u32, birth: NaiveDate, sequence: u32) -> String {
    let mut number =
        format!("{division:06}{:04}{:02}{:02}{:03}", birth.year(), birth.month(), birth.day(), sequence.min(999));
    let sum: u32 = number.bytes().zip(CITIZEN_WEIGHTS).map(|(b, w)| u32::from(b - b'0') * w).sum();
    number.push(b"10X98765432"[(sum % 11) as usize] as char);
    number
}

/// Unified social credit code: `kind` is the registering department and category (`91` company, `92` individual
/// business, `93` cooperative, `12` public institution, `11` authority), `serial` is at most 31⁸.
#[must_use]
pub(crate) fn credit(kind: &str, division: u32, serial: u64) -> String {
    let mut code = format!("{kind}{division:06}");
    // The organisation code (GB 11714): eight characters and a check character, here without letters X as digit 11.
    let mut body = [b'0'; 8];
    let mut rest = serial;
    for slot in body.iter_mut().rev() {
        *slot = CREDIT_ALPHABET[(rest % 31) as usize];
        rest /= 31;
    }
    let value = |b: u8| if b.is_ascii_digit() { u32::from(b - b'0') } else { u32::from(b - b'A') + 10 };
    let sum: u32 = body.iter().zip([3, 7, 9, 10, 5, 8, 4, 2]).map(|(b, w)| value(*b) * w).sum();
    let check = match 11 - sum % 11 {
        10 => 'X',
        11 => '0',
        digit => (b'0' + digit as u8) as char,
    };
    code.extend(body.iter().map(|b| *b as char));
    code.push(check);
    let index = |b: u8| CREDIT_ALPHABET.iter().position(|c| *c == b).unwrap_or(0) as u32;
    let sum: u32 = code.bytes().zip(CREDIT_WEIGHTS).map(|(b, w)| index(b) * w).sum();
    code.push(CREDIT_ALPHABET[((31 - sum % 31) % 31) as usize] as char);
    code
}

/// Vehicle identification number of a serial, with its check digit.
#[must_use]
pub(crate) fn vin(maker: &str, serial: u64) -> String {
    let mut body = format!("{maker:.3}");
    let mut rest = serial;
    let mut tail = Vec::with_capacity(14);
    for _ in 0..14 {
        tail.push(VIN_ALPHABET[(rest % 33) as usize]);
        rest /= 33;
    }
    tail.reverse();
    body.extend(tail.iter().map(|b| *b as char));
    let value = |b: u8| match b {
        b'0'..=b'9' => u32::from(b - b'0'),
        b'A'..=b'H' => u32::from(b - b'A') + 1,
        b'J'..=b'R' => u32::from(b - b'J') + 1,
        b'S'..=b'Z' => u32::from(b - b'S') + 2,
        _ => 0,
    };
    let weights = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(b, w)| value(b) * w).sum();
    let check = b"0123456789X"[(sum % 11) as usize] as char;
    body.replace_range(8..9, &check.to_string());
    body
}

/// Real-estate unit: county, cadastral area and parcel, `F` and a building unit of eight digits.
#[must_use]
pub(crate) fn real_estate_unit(town: u64, serial: u64) -> String {
    format!(
        "{:09}{:03}GB{:05}F{:08}",
        town % 1_000_000_000,
        serial / 5_000_000 % 1000,
        serial / 50 % 100_000,
        serial % 100_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::date;

    #[test]
    fn check_characters_are_those_of_the_standards() {
        // GB 11643 annex: 11010519491231002X and 440524188001010014.
        assert_eq!(citizen(110_105, date(1949, 12, 31), 2), "11010519491231002X");
        assert_eq!(citizen(440_524, date(1880, 1, 1), 1), "440524188001010014");
        assert_eq!(credit("91", 371_002, 7).len(), 18);
        assert_eq!(vin("LSV", 123_456_789).len(), 17);
        assert_eq!(real_estate_unit(371_002_001, 77).len(), 28);
    }
}
