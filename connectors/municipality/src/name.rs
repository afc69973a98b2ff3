//! Names of people: surnames by frequency, given names by sex and era (see `data/README.md`).

use std::sync::OnceLock;

use crate::chance::Chance;

const SURNAMES: &str = include_str!("../data/surnames.csv");
const GIVEN: &str = include_str!("../data/given.csv");
/// Names written with a separation dot, as Uygur and Kazakh names are.
const DOTTED: [(&str, bool); 6] = [
    ("阿依古丽·买买提", true),
    ("热依汗·吐尔逊", true),
    ("古丽娜尔·艾山", true),
    ("艾力·吐尔逊", false),
    ("买买提江·艾山", false),
    ("叶尔兰·别克", false),
];

/// The parsed name tables.
#[derive(Debug)]
pub(crate) struct Names {
    surnames: Vec<(&'static str, u32)>,
    weights: Vec<u32>,
    given: Vec<(bool, i32, Vec<char>)>,
}

/// The name tables, parsed once.
pub(crate) fn names() -> &'static Names {
    static NAMES: OnceLock<Names> = OnceLock::new();
    NAMES.get_or_init(|| {
        let surnames: Vec<(&str, u32)> = SURNAMES
            .lines()
            .filter_map(|line| line.split_once(',').map(|(name, weight)| (name, weight.trim().parse().unwrap_or(1))))
            .collect();
        let given = GIVEN
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, ',');
                let (sex, era, chars) = (parts.next()?, parts.next()?, parts.next()?);
                Some((sex == "f", era.parse().ok()?, chars.chars().collect()))
            })
            .collect();
        let weights = surnames.iter().map(|s| s.1).collect();
        Names { surnames, weights, given }
    })
}

impl Names {
    /// A surname by its frequency.
    pub(crate) fn surname(&self, chance: &mut Chance) -> &'static str {
        self.surnames[chance.weighted(&self.weights)].0
    }

    /// A given name usual for the sex and the year of birth.
    pub(crate) fn given(&self, female: bool, year: i32, chance: &mut Chance) -> String {
        let chars =
            self.given.iter().rfind(|(f, era, _)| *f == female && *era <= year).map_or(&[][..], |(_, _, chars)| chars);
        // One character was in fashion from the 1970s to the 1990s.
        let single = if (1970..1995).contains(&year) { 45 } else { 12 };
        let count = if chance.percent(single) { 1 } else { 2 };
        let mut name = String::new();
        for _ in 0..count {
            // The minimum of two draws: the weight falls linearly with the rank.
            let n = chars.len() as u64;
            let rank = chance.below(n).min(chance.below(n)) as usize;
            name.extend(chars.get(rank));
        }
        name
    }

    /// A full name; `surname` is the father's when known.
    pub(crate) fn full(&self, surname: &str, female: bool, year: i32, chance: &mut Chance) -> String {
        format!("{surname}{}", self.given(female, year, chance))
    }

    /// A name with a separation dot.
    pub(crate) fn dotted(&self, female: bool, chance: &mut Chance) -> &'static str {
        loop {
            let (name, f) = chance.pick(&DOTTED);
            if *f == female {
                return name;
            }
        }
    }
}
