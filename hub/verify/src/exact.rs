//! Exact rationals (computation 1.4): every figure is a fraction until it is printed.
//!
//! Nearly all figures of a household fit 128-bit numerator and denominator, so those are kept inline and every
//! operation is checked; one that would overflow goes on in [`BigRational`]. Both forms are always in lowest terms
//! with a positive denominator, and a figure that fits is always inline, so equality is structural.

use std::cmp::Ordering;
use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Div, Mul, Neg, Sub};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

/// An exact figure. Yuan unless a field says otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct Exact(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Small(i128, i128),
    Big(Box<BigRational>),
}

fn gcd(a: u128, b: u128) -> u128 {
    if let (Ok(mut a), Ok(mut b)) = (u64::try_from(a), u64::try_from(b)) {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        return u128::from(a);
    }
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl Exact {
    /// 0.
    pub const ZERO: Self = Self(Form::Small(0, 1));
    /// 1.
    pub const ONE: Self = Self(Form::Small(1, 1));

    /// `n / d`; `d` must not be 0.
    #[inline(never)]
    pub fn ratio(n: i128, d: i128) -> Self {
        debug_assert!(d != 0, "denominators are counts and powers of ten");
        if d == 0 {
            return Self::ZERO;
        }
        if d == 1 {
            return Self(Form::Small(n, 1));
        }
        if n == i128::MIN || d == i128::MIN {
            return Self::reduce_big(BigRational::new(n.into(), d.into()));
        }
        let g = i128::try_from(gcd(n.unsigned_abs(), d.unsigned_abs())).unwrap_or(1).max(1) * d.signum();
        Self(Form::Small(n / g, d / g))
    }

    /// An amount in hundredths.
    pub fn cents(cents: i64) -> Self {
        Self::ratio(i128::from(cents), 100)
    }

    /// A share in ten-thousandths.
    pub fn ten_thousandths(value: i64) -> Self {
        Self::ratio(i128::from(value), 10_000)
    }

    /// A plain decimal number such as `-12.340`; `None` when the text is not one.
    pub fn parse_decimal(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || (digits.contains('.') && fraction.is_empty()) || whole.len() + fraction.len() > 200 {
            return None;
        }
        if !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
            return None;
        }
        let n: BigInt = format!("{whole}{fraction}").parse().ok()?;
        let d = BigInt::from(10).pow(u32::try_from(fraction.len()).ok()?);
        let value = Self::reduce_big(BigRational::new(n, d));
        Some(if negative { -value } else { value })
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        matches!(self.0, Form::Small(0, _))
    }

    /// Whether it is above 0.
    pub fn is_positive(&self) -> bool {
        match &self.0 {
            Form::Small(n, _) => *n > 0,
            Form::Big(b) => b.is_positive(),
        }
    }

    /// “floor 0” of the page: the greater of 0 and this.
    #[must_use]
    pub fn floor_zero(self) -> Self {
        if self.is_positive() { self } else { Self::ZERO }
    }

    /// Distance from 0.
    #[must_use]
    pub fn abs(self) -> Self {
        if self.is_positive() { self } else { -self }
    }

    /// The smallest whole number not below it; saturates at the ends of `i64`.
    pub fn ceil(&self) -> i64 {
        let whole = match &self.0 {
            Form::Small(n, d) => BigInt::from(n.div_euclid(*d) + i128::from(n.rem_euclid(*d) != 0)),
            Form::Big(b) => b.ceil().to_integer(),
        };
        whole.to_i64().unwrap_or(if whole.is_negative() { i64::MIN } else { i64::MAX })
    }

    /// Two decimals, half away from zero: the only rounding of money.
    pub fn money(&self) -> String {
        let (negative, hundredths) = match &self.0 {
            Form::Small(n, d) if n.unsigned_abs() < u128::MAX / 1000 => {
                let d = d.unsigned_abs();
                let scaled = n.unsigned_abs() * 100;
                let (q, r) = (scaled / d, scaled % d);
                (*n < 0, BigInt::from(q + u128::from(r >= d - r)))
            }
            _ => {
                let b = self.big().abs() * BigInt::from(100);
                (!self.is_positive(), (b + BigRational::new(1.into(), 2.into())).floor().to_integer())
            }
        };
        let sign = if negative && !hundredths.is_zero() { "-" } else { "" };
        let text = format!("{hundredths:0>3}");
        let (whole, fraction) = text.split_at(text.len() - 2);
        format!("{sign}{whole}.{fraction}")
    }

    fn big(&self) -> BigRational {
        match &self.0 {
            Form::Small(n, d) => BigRational::new_raw((*n).into(), (*d).into()),
            Form::Big(b) => (**b).clone(),
        }
    }

    fn reduce_big(value: BigRational) -> Self {
        match (value.numer().to_i128(), value.denom().to_i128()) {
            (Some(n), Some(d)) if n != i128::MIN => Self(Form::Small(n, d)),
            _ => Self(Form::Big(Box::new(value))),
        }
    }
}

impl Default for Exact {
    fn default() -> Self {
        Self::ZERO
    }
}

impl From<i64> for Exact {
    fn from(value: i64) -> Self {
        Self(Form::Small(i128::from(value), 1))
    }
}

impl Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        match self.0 {
            Form::Small(n, d) => Self(Form::Small(-n, d)),
            Form::Big(b) => Self::reduce_big(-*b),
        }
    }
}

#[inline(never)]
fn add(a: &Exact, b: &Exact) -> Exact {
    if let (Form::Small(n, d), Form::Small(m, e)) = (&a.0, &b.0) {
        if d == e {
            if let Some(sum) = n.checked_add(*m) {
                return Exact::ratio(sum, *d);
            }
        } else if let Some((x, y, z)) = (|| Some((n.checked_mul(*e)?, m.checked_mul(*d)?, d.checked_mul(*e)?)))()
            && let Some(sum) = x.checked_add(y)
        {
            return Exact::ratio(sum, z);
        }
    }
    Exact::reduce_big(a.big() + b.big())
}

#[inline(never)]
fn mul(a: &Exact, b: &Exact) -> Exact {
    if let (Form::Small(n, d), Form::Small(m, e)) = (&a.0, &b.0)
        && let (Some(x), Some(y)) = (n.checked_mul(*m), d.checked_mul(*e))
    {
        return Exact::ratio(x, y);
    }
    Exact::reduce_big(a.big() * b.big())
}

macro_rules! operators {
    ($trait:ident, $method:ident, |$a:ident, $b:ident| $body:expr) => {
        impl $trait for Exact {
            type Output = Exact;
            fn $method(self, other: Exact) -> Exact {
                let ($a, $b) = (&self, &other);
                $body
            }
        }
        impl $trait<&Exact> for Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                let ($a, $b) = (&self, other);
                $body
            }
        }
        impl $trait<&Exact> for &Exact {
            type Output = Exact;
            fn $method(self, other: &Exact) -> Exact {
                let ($a, $b) = (self, other);
                $body
            }
        }
        impl $trait<i64> for Exact {
            type Output = Exact;
            fn $method(self, other: i64) -> Exact {
                let other = Exact::from(other);
                let ($a, $b) = (&self, &other);
                $body
            }
        }
        impl $trait<i64> for &Exact {
            type Output = Exact;
            fn $method(self, other: i64) -> Exact {
                let other = Exact::from(other);
                let ($a, $b) = (self, &other);
                $body
            }
        }
    };
}

operators!(Add, add, |a, b| add(a, b));
operators!(Sub, sub, |a, b| add(a, &-b.clone()));
operators!(Mul, mul, |a, b| mul(a, b));
operators!(Div, div, |a, b| mul(a, &b.inverse()));

impl Exact {
    fn inverse(&self) -> Self {
        match &self.0 {
            Form::Small(n, d) => Self::ratio(*d, *n),
            Form::Big(b) => Self::reduce_big(b.recip()),
        }
    }
}

impl Sum for Exact {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, |a, b| a + b)
    }
}

impl Ord for Exact {
    #[inline(never)]
    fn cmp(&self, other: &Self) -> Ordering {
        if let (Form::Small(n, d), Form::Small(m, e)) = (&self.0, &other.0) {
            if d == e {
                return n.cmp(m);
            }
            if let (Some(x), Some(y)) = (n.checked_mul(*e), m.checked_mul(*d)) {
                return x.cmp(&y);
            }
        }
        self.big().cmp(&other.big())
    }
}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `n/d` in lowest terms, or `n`.
impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Small(n, 1) => write!(f, "{n}"),
            Form::Small(n, d) => write!(f, "{n}/{d}"),
            Form::Big(b) if b.is_integer() => write!(f, "{}", b.numer()),
            Form::Big(b) => write!(f, "{}/{}", b.numer(), b.denom()),
        }
    }
}

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_rounds_half_away_from_zero() {
        assert_eq!(Exact::ratio(5, 1000).money(), "0.01");
        assert_eq!(Exact::ratio(-5, 1000).money(), "-0.01");
        assert_eq!(Exact::ratio(-4, 1000).money(), "0.00");
        assert_eq!(Exact::ratio(33800, 3).money(), "11266.67");
        assert_eq!(Exact::cents(123_456).money(), "1234.56");
    }

    #[test]
    fn overflow_goes_on_exactly_and_comes_back() {
        let huge = Exact::ratio(i128::MAX - 1, 3);
        let squared = &huge * &huge;
        assert!(matches!(squared.0, Form::Big(_)));
        assert_eq!(&squared / &huge, huge);
        assert!(squared > huge);
        assert_eq!((squared.clone() - squared).to_string(), "0");
        assert_eq!(
            Exact::parse_decimal("12345678901234567890123456789012345678901.5").map(|x| x.money()).as_deref(),
            Some("12345678901234567890123456789012345678901.50")
        );
    }

    #[test]
    fn ceilings_of_both_signs() {
        assert_eq!(Exact::ratio(400, 3).ceil(), 134);
        assert_eq!(Exact::ratio(-1, 3).ceil(), 0);
        assert_eq!(Exact::from(206).ceil(), 206);
        assert_eq!(Exact::parse_decimal("0.0350"), Some(Exact::ratio(7, 200)));
        assert_eq!(Exact::parse_decimal("1e3"), None);
    }
}
