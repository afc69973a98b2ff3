//! Citizen numbers (GB 11643) packed into 64 bits that order as the text orders, so that “smallest number” is a plain
//! comparison and a row holds eight bytes instead of a string.

use std::fmt;

use crate::calendar::Day;

/// A canonical 18-character citizen number. `Debug` shows none of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Citizen(u64);

impl Citizen {
    /// Reads 17 digits and a digit or `X` whose digits 7-14 are a date. The check character is the intake's business.
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        if b.len() != 18 {
            return None;
        }
        let digits = b[..17].iter().try_fold(0u64, |n, c| c.is_ascii_digit().then(|| n * 10 + u64::from(c - b'0')))?;
        let last = match b[17] {
            c @ b'0'..=b'9' => u64::from(c - b'0'),
            b'X' => 10,
            _ => return None,
        };
        let number = Self(digits * 11 + last);
        number.birth_checked().map(|_| number)
    }

    fn birth_checked(self) -> Option<Day> {
        let date = self.0 / 11 / 1000 % 100_000_000;
        Day::from_ymd((date / 10_000) as i32, (date / 100 % 100) as u32, (date % 100) as u32)
    }

    /// Digits 7-14.
    pub fn birth(self) -> Day {
        self.birth_checked().unwrap_or(Day(0))
    }

    /// Digit 17 is odd.
    pub fn is_male(self) -> bool {
        self.0 / 11 % 2 == 1
    }

    /// The greatest n ≥ 0 with birth + 12 n months ≤ day; 0 before the birth.
    pub fn age_on(self, day: Day) -> i32 {
        let birth = self.birth();
        let years = (day.month().0 - birth.month().0).div_euclid(12);
        let n = if birth.add_months(12 * years) <= day { years } else { years - 1 };
        n.max(0)
    }
}

impl fmt::Display for Citizen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, last) = (self.0 / 11, self.0 % 11);
        if last == 10 { write!(f, "{digits:017}X") } else { write!(f, "{digits:017}{last}") }
    }
}

impl fmt::Debug for Citizen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Citizen(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_sex_birth_and_age() {
        let x = Citizen::parse("37100219900101001X").unwrap();
        let y = Citizen::parse("371002199001010019").unwrap();
        assert!(x > y);
        assert_eq!(x.to_string(), "37100219900101001X");
        assert!(x.is_male());
        assert_eq!(x.birth().to_string(), "1990-01-01");
        let leap = Citizen::parse("371002200402290013").unwrap();
        assert_eq!(leap.age_on(Day::parse("2022-02-27").unwrap()), 17);
        assert_eq!(leap.age_on(Day::parse("2022-02-28").unwrap()), 18);
        assert_eq!(leap.age_on(Day::parse("2000-01-01").unwrap()), 0);
        assert_eq!(Citizen::parse("371002200402300013"), None);
        assert!(!format!("{x:?}").contains("1990"));
    }
}
