//! Named masks: total functions from a value to what is shown of it. No input makes one fail, none shows how long the
//! hidden part is, and none keeps the digits of a citizen number that tell birth or sex.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

/// The masks, by name in `obligations.yaml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// `张**`: the first character, always two stars.
    Name,
    /// `371002************`: the division where the number was given; neither birth nor sex nor check digit.
    CitizenId,
    /// `138********`: the network.
    Phone,
    /// `某市某区某街道***`: down to the town, nothing after it.
    Address,
    /// `****1234`: the last four characters of an account's token.
    Account,
    /// `****1234`, only of numbers with at least eight characters; else `****`.
    Number,
    /// `371002`: the first six digits of a division or town code.
    County,
    /// First day of the year.
    Year,
    /// First day of the month.
    Month,
    /// Lower bound of the band 0, 500, 1000, 2000, 5000, 10000 … times powers of ten.
    Band,
    /// Rounded down to tens.
    Tens,
    /// Rounded down to tenths.
    Tenth,
    /// Null.
    Hidden,
}

impl Mask {
    /// Name in `obligations.yaml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::CitizenId => "citizen_id",
            Self::Phone => "phone",
            Self::Address => "address",
            Self::Account => "account",
            Self::Number => "number",
            Self::County => "county",
            Self::Year => "year",
            Self::Month => "month",
            Self::Band => "band",
            Self::Tens => "tens",
            Self::Tenth => "tenth",
            Self::Hidden => "hidden",
        }
    }

    /// Of text. Masks for other types hide text wholly.
    pub fn text(self, value: &str) -> Option<String> {
        let prefix = |n: usize| value.chars().take(n).collect::<String>();
        match self {
            Self::Name => Some(prefix(1) + "**"),
            Self::CitizenId => Some(digits(value, 6) + "************"),
            Self::Phone => Some(digits(value, 3) + "********"),
            Self::Address => Some(town_of(value).to_owned() + "***"),
            Self::Account | Self::Number => Some(last_four(value)),
            Self::County => Some(digits(value, 6)),
            Self::Year | Self::Month | Self::Band | Self::Tens | Self::Tenth | Self::Hidden => None,
        }
    }

    /// Of a date.
    pub fn date(self, value: NaiveDate) -> Option<NaiveDate> {
        match self {
            Self::Year => NaiveDate::from_ymd_opt(value.year(), 1, 1),
            Self::Month => value.with_day(1),
            _ => None,
        }
    }

    /// Of decimals with `scale` digits after the point, as unscaled integers; `None` when the mask hides decimals.
    pub fn decimals(self, scale: u32) -> Option<DecimalMask> {
        let one = 10i128.checked_pow(scale)?;
        let ten = one.checked_mul(10)?;
        match self {
            Self::Band => Some(DecimalMask::Band(bands(one))),
            Self::Tens => Some(DecimalMask::Down(ten)),
            Self::Tenth if one >= 10 => Some(DecimalMask::Down(one / 10)),
            _ => None,
        }
    }
}

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn digits(value: &str, n: usize) -> String {
    value.chars().take(n).map(|c| if c.is_ascii_digit() { c } else { '*' }).collect()
}

fn last_four(value: &str) -> String {
    let n = value.chars().count();
    let tail: String = if n >= 8 { value.chars().skip(n - 4).collect() } else { String::new() };
    format!("****{tail}")
}

/// The leading part of an address that names province, city, county and town; empty when it is not of that form.
/// Each part is at most eight characters and has no digit, so that no estate or house slips through (`…小区`, `3号`).
fn town_of(address: &str) -> &str {
    let mut end = 0;
    for ends in
        [&["省", "自治区"][..], &["市", "自治州", "盟"], &["区", "县", "旗", "市"], &["街道", "镇", "乡", "苏木"]]
    {
        end = end.max(part_end(address, end, ends).unwrap_or(end));
    }
    &address[..end]
}

fn part_end(address: &str, start: usize, ends: &[&str]) -> Option<usize> {
    let rest = &address[start..];
    let bound = rest.char_indices().nth(8).map_or(rest.len(), |(at, _)| at);
    let window = &rest[..bound];
    let found = ends.iter().filter_map(|end| window.find(end).map(|at| (at, at + end.len()))).min()?;
    let part = &window[..found.1];
    let whole = found.0 >= "某".len() && !part.chars().any(|c| c.is_ascii_alphanumeric());
    let estate = ["小区", "社区", "园区", "新区里"].iter().any(|e| part.ends_with(e));
    (whole && !estate).then_some(start + found.1)
}

/// A mask of decimals, made once per column.
#[derive(Debug, Clone)]
pub enum DecimalMask {
    /// Bounds, ascending; the largest that is not above the amount is shown.
    Band(Vec<u128>),
    /// Rounded down to a multiple.
    Down(i128),
}

impl DecimalMask {
    /// Of one value.
    pub fn of(&self, value: i128) -> i128 {
        match self {
            Self::Down(step) => value - value.rem_euclid(*step).min(value.saturating_sub(i128::MIN)),
            Self::Band(bounds) => {
                let at = bounds.partition_point(|bound| *bound <= value.unsigned_abs());
                let bound = at.checked_sub(1).and_then(|at| i128::try_from(bounds[at]).ok()).unwrap_or(0);
                if value < 0 { -bound } else { bound }
            }
        }
    }
}

/// 0, 500, 1000, 2000, 5000, 10000 … in units of `one`, as far as the type reaches.
fn bands(one: i128) -> Vec<u128> {
    let mut bounds = vec![0];
    let mut step = one.unsigned_abs().checked_mul(500);
    for factor in [2u128, 2, 5].iter().cycle() {
        let Some(bound) = step.filter(|bound| i128::try_from(*bound).is_ok()) else { break };
        bounds.push(bound);
        // 500 · 2 = 1000 · 2 = 2000 · 5 / 2 = 5000 · 2 …
        step = if *factor == 5 { bound.checked_mul(5).map(|b| b / 2) } else { bound.checked_mul(2) };
    }
    bounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_show_what_they_promise() {
        assert_eq!(Mask::Name.text("欧阳娜娜").as_deref(), Some("欧**"));
        assert_eq!(Mask::Name.text("").as_deref(), Some("**"));
        assert_eq!(Mask::CitizenId.text("37100219900101123X").as_deref(), Some("371002************"));
        assert_eq!(Mask::Phone.text("13800000000").as_deref(), Some("138********"));
        assert_eq!(Mask::Number.text("鲁K12345").as_deref(), Some("****"));
        assert_eq!(Mask::Account.text("ACCT00001234").as_deref(), Some("****1234"));
        assert_eq!(Mask::County.text("371002001").as_deref(), Some("371002"));
    }

    #[test]
    fn an_address_ends_at_the_town() {
        let shown = |text: &str| Mask::Address.text(text).expect("text");
        assert_eq!(shown("山东省威海市环翠区鲸园街道幸福小区3号楼"), "山东省威海市环翠区鲸园街道***");
        assert_eq!(shown("威海市环翠区幸福小区3号楼"), "威海市环翠区***");
        assert_eq!(shown("幸福小区3号楼"), "***");
        assert_eq!(shown("3号"), "***");
        assert_eq!(shown("市区"), "***");
    }

    #[test]
    fn amounts_fall_to_the_bound_of_their_band() {
        let band = Mask::Band.decimals(2).expect("a mask of decimals");
        let yuan = |v: i128| band.of(v * 100) / 100;
        assert_eq!(
            [0, 499, 500, 999, 1000, 4999, 5000, 123_456].map(yuan),
            [0, 0, 500, 500, 1000, 2000, 5000, 100_000]
        );
        assert_eq!([10_000, 20_001, 50_000, 999_999].map(yuan), [10_000, 20_000, 50_000, 500_000]);
        assert_eq!(yuan(-1500), -1000);
        assert!(band.of(i128::MIN) <= 0 && band.of(i128::MAX) > 0);
        assert_eq!(Mask::Tenth.decimals(4).expect("a mask of decimals").of(3333), 3000);
        let tens = Mask::Tens.decimals(2).expect("a mask of decimals");
        assert_eq!((tens.of(8950), tens.of(-1)), (8000, -1000));
        assert_eq!(tens.of(i128::MIN), i128::MIN);
        assert!(Mask::Tens.decimals(38).is_none());
    }

    #[test]
    fn dates_lose_their_day() {
        let day = NaiveDate::from_ymd_opt(2020, 2, 29).expect("valid");
        assert_eq!(Mask::Year.date(day), NaiveDate::from_ymd_opt(2020, 1, 1));
        assert_eq!(Mask::Month.date(day), NaiveDate::from_ymd_opt(2020, 2, 1));
        assert_eq!(Mask::Hidden.date(day), None);
    }
}
