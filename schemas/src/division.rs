//! Which administrative divisions exist (GB/T 2260 with its yearly updates, plus statistical development zones).
//!
//! A six-digit number that looks right is not a division. Nor is every division in force: `371081` was Wendeng city
//! until 2013 and is Wendeng district `371003` since, and records of that time keep the code that they were written
//! with. Retired codes are therefore kept, and kept apart. Names are those of the last revision that held the code.
//!
//! The data file names its sources and licences. Codes that came and went between the revisions it was made from are
//! not known as retired.

use std::sync::LazyLock;

/// Where a code stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In force.
    Current,
    /// A development zone of the statistical code, in use though not in GB/T 2260.
    Statistical,
    /// Withdrawn; `YYYYMM` of the last revision that held it.
    Retired {
        /// For example 201308.
        last_revision: u32,
    },
}

/// One division of county level or above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Division {
    /// Six digits as a number.
    code: u32,
    /// Chinese name.
    pub name: &'static str,
    /// Whether it is in force.
    pub standing: Standing,
}

impl Division {
    /// Six digits.
    pub fn code(&self) -> String {
        format!("{:06}", self.code)
    }

    /// Whether new rows should use the code.
    pub fn is_in_force(&self) -> bool {
        !matches!(self.standing, Standing::Retired { .. })
    }
}

static DIVISIONS: LazyLock<Vec<Division>> = LazyLock::new(|| {
    let mut all: Vec<Division> = include_str!("../data/divisions.tsv").lines().filter_map(parse).collect();
    all.sort_unstable_by_key(|d| d.code);
    all
});

fn parse(line: &'static str) -> Option<Division> {
    let mut parts = line.split('\t');
    let code = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let standing = match parts.next()? {
        "current" => Standing::Current,
        "statistical" => Standing::Statistical,
        retired => Standing::Retired { last_revision: retired.strip_prefix("retired:")?.parse().ok()? },
    };
    Some(Division { code, name, standing })
}

/// The division with that six-digit code.
pub fn find(code: &str) -> Option<&'static Division> {
    if code.len() != 6 || !code.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let code: u32 = code.parse().ok()?;
    let at = DIVISIONS.binary_search_by_key(&code, |d| d.code).ok()?;
    DIVISIONS.get(at)
}

/// Divisions in force below a province (two digits) or prefecture (four digits), ascending.
pub fn within(prefix: &str) -> impl Iterator<Item = &'static Division> + use<> {
    let scale = 10u32.pow(6u32.saturating_sub(prefix.len().min(6) as u32));
    let wanted: Option<u32> = prefix.parse().ok();
    DIVISIONS.iter().filter(move |d| wanted == Some(d.code / scale) && d.is_in_force())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weihai_is_what_it_is_today() {
        let names: Vec<String> = within("3710").map(|d| format!("{} {}", d.code(), d.name)).collect();
        assert_eq!(
            names,
            [
                "371000 威海市",
                "371002 环翠区",
                "371003 文登区",
                "371071 威海火炬高技术产业开发区",
                "371072 威海经济技术开发区",
                "371073 威海临港经济技术开发区",
                "371082 荣成市",
                "371083 乳山市",
            ]
        );
    }

    #[test]
    fn a_retired_code_is_known_as_retired() {
        assert_eq!(find("371081").map(|d| d.standing), Some(Standing::Retired { last_revision: 201308 }));
        assert!(find("371099").is_none());
        assert!(find("37108").is_none());
        assert!(find("+37108").is_none());
    }
}
