//! What a city is before anybody lives in it: its counties, employers, schools, hospitals and banks.
//!
//! Everything here is derived from the seed alone and is small (bounded by the number of employers), so that every
//! block of people can be simulated without the others.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    chance::Chance,
    number,
    place::{self, County},
    row::Text,
};

/// What `generate` is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CityOptions {
    /// Living registered residents.
    pub residents: u64,
    /// Everything follows from it.
    pub seed: u64,
    /// Counties taken from the table (at least 1), the four of Weihai first.
    pub counties: usize,
}

impl Default for CityOptions {
    fn default() -> CityOptions {
        CityOptions { residents: 20_000, seed: 1, counties: 4 }
    }
}

/// An employer.
#[derive(Debug, Clone)]
pub(crate) struct Employer {
    pub(crate) uscc: Text,
    pub(crate) name: Text,
    /// Usual monthly wage in fen.
    pub(crate) wage: i64,
    /// Pays into the housing provident fund.
    pub(crate) fund: bool,
    /// Authority or public institution.
    pub(crate) public: bool,
}

/// A school with its stage (HUB_SCHOOL_STAGE).
#[derive(Debug, Clone)]
pub(crate) struct School {
    pub(crate) code: Text,
    pub(crate) name: Text,
}

/// One county of the city with its institutions.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) place: &'static County,
    pub(crate) urban: Vec<usize>,
    pub(crate) rural: Vec<usize>,
    /// Per stage '1' to '9' one or more schools.
    pub(crate) schools: Vec<Vec<School>>,
    /// (YB_MEDINS code, name, USCC).
    pub(crate) hospitals: Vec<(Text, Text, Text)>,
    pub(crate) funeral_home: (Text, Text),
    pub(crate) care_home: (Text, Text),
    pub(crate) police: Text,
    pub(crate) marriage_office: (Text, Text),
    pub(crate) tax_authority: Text,
    pub(crate) market_authority: Text,
    pub(crate) union: Text,
}

/// The city's standing institutions.
#[derive(Debug)]
pub(crate) struct City {
    pub(crate) options: CityOptions,
    pub(crate) seats: Vec<Seat>,
    pub(crate) employers: Vec<Employer>,
}

/// Banks that answer queries: JR/T 0124 code and name.
pub(crate) const BANKS: [(&str, &str); 6] = [
    ("C1010211000012", "工商银行"),
    ("C1010311000014", "农业银行"),
    ("C1010411000013", "中国银行"),
    ("C1010511000003", "建设银行"),
    ("C1040311005293", "邮政储蓄银行"),
    ("C1085137000018", "农村商业银行"),
];

const INDUSTRIES: [(&str, &str, i64); 12] = [
    ("C13", "食品", 430_000),
    ("C17", "纺织", 420_000),
    ("C26", "化工", 560_000),
    ("C36", "汽车配件", 570_000),
    ("C39", "电子", 610_000),
    ("E47", "建筑", 520_000),
    ("F52", "商贸", 400_000),
    ("G54", "物流", 510_000),
    ("H62", "餐饮", 380_000),
    ("I65", "软件", 880_000),
    ("O80", "家政服务", 360_000),
    ("A04", "渔业", 480_000),
];

const WORDS: [&str; 24] = [
    "海诚", "鲁东", "华泰", "金岭", "蓝湾", "恒信", "鑫源", "远洋", "东晟", "瑞丰", "新港", "天元", "宏达", "永昌",
    "百盛", "安泰", "昆嵛", "福海", "盛隆", "润和", "启明", "国泰", "泓泽", "广源",
];

/// GB/T 4754 code of an industry by index, with its word.
pub(crate) fn industry(i: usize) -> (&'static str, &'static str) {
    let (code, word, _) = INDUSTRIES[i % INDUSTRIES.len()];
    (code, word)
}

/// A business-like word by index.
pub(crate) fn word(i: usize) -> &'static str {
    WORDS[i % WORDS.len()]
}

fn shared(s: String) -> Text {
    Text::Shared(Arc::from(s))
}

impl City {
    /// The institutions of `options`.
    pub(crate) fn found(options: &CityOptions) -> City {
        let all = place::counties();
        let count = options.counties.clamp(1, all.len());
        let seats = all.iter().take(count).enumerate().map(|(i, place)| Seat::found(i, place)).collect::<Vec<_>>();
        let employers = (0..(options.residents / 50).clamp(60, 20_000))
            .map(|i| {
                let mut chance = Chance::new(options.seed, 0x00e3_0000_0000 + i);
                let seat = &seats[i as usize % seats.len()];
                let public = chance.percent(12);
                let (_, word, wage) = INDUSTRIES[chance.below(INDUSTRIES.len() as u64) as usize];
                let brand = WORDS[chance.below(WORDS.len() as u64) as usize];
                let name = if public {
                    format!("{}{}服务中心", seat.place.name, ["社会", "公共", "便民", "文化"][chance.below(4) as usize])
                } else {
                    format!("{}{brand}{word}有限公司", seat.place.name)
                };
                Employer {
                    uscc: shared(number::credit(
                        if public { "12" } else { "91" },
                        seat.place.code,
                        1_000_003 * (i + 1),
                    )),
                    name: shared(name),
                    wage: if public { 680_000 } else { wage + chance.around(0, 60_000) },
                    fund: public || chance.percent(45),
                    public,
                }
            })
            .collect();
        City { options: options.clone(), seats, employers }
    }
}

impl Seat {
    fn found(index: usize, place: &'static County) -> Seat {
        let named = |suffix: &str| shared(format!("{}{suffix}", place.name));
        let org = |serial: u64| shared(number::credit("12", place.code, serial));
        let kinds: [(&str, u32); 9] = [
            ("幼儿园", 3),
            ("小学", 4),
            ("初级中学", 3),
            ("高级中学", 2),
            ("职业中等专业学校", 2),
            ("职业学院", 2),
            ("学院", 2),
            ("大学", 1),
            ("特殊教育学校", 1),
        ];
        let schools = kinds
            .iter()
            .enumerate()
            .map(|(stage, (kind, count))| {
                (0..*count)
                    .map(|n| School {
                        code: shared(format!("37{:02}{:04}{:02}", stage + 11, place.code % 10_000, n + 1)),
                        name: shared(format!("{}第{}{kind}", place.name, ["一", "二", "三", "四"][n as usize % 4])),
                    })
                    .collect()
            })
            .collect();
        let hospitals = ["人民医院", "中医院", "中心卫生院"]
            .iter()
            .enumerate()
            .map(|(i, kind)| (shared(format!("H{}{:05}", place.code, i + 1)), named(kind), org(100 + i as u64)))
            .collect();
        let sorted = |rural: bool| {
            place.villages.iter().enumerate().filter(|(_, v)| v.rural == rural).map(|(i, _)| i).collect::<Vec<_>>()
        };
        let (mut urban, mut rural) = (sorted(false), sorted(true));
        if urban.is_empty() {
            urban.clone_from(&rural);
        }
        if rural.is_empty() {
            rural.clone_from(&urban);
        }
        Seat {
            place,
            urban,
            rural,
            schools,
            hospitals,
            funeral_home: (org(200), named("殡仪馆")),
            care_home: (org(300), named("社会福利中心")),
            police: shared(format!("PCS{}{:02}", place.code, index + 1)),
            marriage_office: (shared(format!("HYDJ{}", place.code)), named("民政局婚姻登记处")),
            tax_authority: shared(format!("1{}0000", place.code)),
            market_authority: shared(format!("SCJG{}", place.code)),
            union: shared(format!("GH{}", place.code)),
        }
    }

    /// A school of a stage ('1' to '9').
    pub(crate) fn school(&self, stage: char, chance: &mut Chance) -> &School {
        let stage = (stage as usize).saturating_sub('1' as usize).min(8);
        chance.pick(&self.schools[stage])
    }
}
