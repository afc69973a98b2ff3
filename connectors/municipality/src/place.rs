//! Counties, towns and villages of the city, and the counties migrants come from (see `data/README.md`).

use std::sync::OnceLock;

const VILLAGES: &str = include_str!("../data/villages.csv");
const ORIGINS: &str = include_str!("../data/origins.csv");

/// A village or neighbourhood.
#[derive(Debug, Clone)]
pub(crate) struct Village {
    /// GB/T 10114, 12 digits.
    pub(crate) code: &'static str,
    /// Name as published.
    pub(crate) name: &'static str,
    /// GB/T 10114, 9 digits.
    pub(crate) town: &'static str,
    /// Name of the town.
    pub(crate) town_name: &'static str,
    /// Towns count as rural, street offices as urban.
    pub(crate) rural: bool,
}

/// A county with its villages.
#[derive(Debug, Clone)]
pub(crate) struct County {
    /// GB/T 2260.
    pub(crate) code: u32,
    /// The same as text.
    pub(crate) code_text: &'static str,
    /// Name as published.
    pub(crate) name: &'static str,
    /// Villages in order of their codes.
    pub(crate) villages: Vec<Village>,
}

/// All counties of the table, in the order in which a city takes them: the four of Weihai first.
pub(crate) fn counties() -> &'static [County] {
    static COUNTIES: OnceLock<Vec<County>> = OnceLock::new();
    COUNTIES.get_or_init(|| {
        let mut all: Vec<County> = Vec::new();
        for line in VILLAGES.lines().skip(1) {
            let parts: Vec<&'static str> = line.split(',').collect();
            let [county, county_name, town, town_name, code, name] = parts[..] else { continue };
            if all.last().is_none_or(|c| c.code_text != county) {
                let code = county.parse().unwrap_or(0);
                all.push(County { code, code_text: county, name: county_name, villages: Vec::new() });
            }
            if let Some(last) = all.last_mut() {
                last.villages.push(Village { code, name, town, town_name, rural: !town_name.ends_with("街道") });
            }
        }
        all
    })
}

/// Codes of the counties migrants were born in.
pub(crate) fn origins() -> &'static [(u32, &'static str)] {
    static ALL: OnceLock<Vec<(u32, &'static str)>> = OnceLock::new();
    ALL.get_or_init(|| {
        ORIGINS
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(',').and_then(|(code, _)| Some((code.parse().ok()?, code))))
            .collect()
    })
}
