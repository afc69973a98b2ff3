//! The lives as a whole: every row fits the catalogue, people's lives hang together, and the same seed is the same city.

use std::collections::{BTreeMap, HashMap, HashSet};

use minqiao_schemas::{Catalogue, FieldType};

use crate::{
    CityOptions,
    calendar::{TODAY, age},
    chance::Chance,
    city::City,
    generate,
    life::{
        circumstance::live,
        kin::{Founder, Kin, Numbers},
        live_block,
    },
    row::{Delivery, Row, RowSink, Value},
    truth,
};

/// Checks every row against the catalogue and keeps count.
struct Inspector {
    counts: BTreeMap<usize, u64>,
    problems: BTreeMap<String, u64>,
    hash: u64,
}

impl Inspector {
    fn new() -> Inspector {
        Inspector { counts: BTreeMap::new(), problems: BTreeMap::new(), hash: 0 }
    }

    fn problem(&mut self, what: String) {
        *self.problems.entry(what).or_default() += 1;
    }
}

impl RowSink for Inspector {
    fn emit(&mut self, no: usize, row: Row) -> Delivery {
        *self.counts.entry(no).or_default() += 1;
        let item = &Catalogue::embedded().items()[no - 1];
        if row.values.len() != item.fields.len() {
            self.problem(format!("{} has {} values", item.code, row.values.len()));
        }
        for (field, value) in item.fields.iter().zip(&row.values) {
            let place = format!("{}.{}", item.code, field.name);
            let fits = match (value, field.ty) {
                (Value::Null, _) => {
                    if field.required {
                        self.problem(format!("{place} is missing"));
                    }
                    true
                }
                (Value::Text(text), FieldType::Utf8) => {
                    if text.is_empty() {
                        self.problem(format!("{place} is empty"));
                    }
                    if let Some(table) = field.table()
                        && !table.accepts(text)
                    {
                        // Codes are no personal data; numbers of people are not printed.
                        let shown = if field.is_citizen_number() { "…" } else { &**text };
                        self.problem(format!("{place}: {shown} is no code of {}", table.id));
                    }
                    true
                }
                (Value::Date(date), FieldType::Date32) => {
                    if *date == chrono::NaiveDate::default() {
                        self.problem(format!("{place} was never set"));
                    }
                    true
                }
                (Value::Time(ms), FieldType::TimestampMs) => *ms > 0,
                (Value::Int(_), FieldType::Int32 | FieldType::Int64) | (Value::Bool(_), FieldType::Boolean) => true,
                (Value::Decimal(n), FieldType::Decimal { precision, .. }) => {
                    n.unsigned_abs() < 10u128.pow(u32::from(precision))
                }
                _ => false,
            };
            if !fits {
                self.problem(format!("{place} does not fit its type"));
            }
        }
        self.hash = crate::chance::hash2(
            self.hash,
            format!("{row:?}").bytes().fold(0, |h, b| h * 31 % 0xffff_ffff_ffff + u64::from(b)),
        );
        Delivery::Accepted
    }
}

struct Counter(u64);

impl RowSink for Counter {
    fn emit(&mut self, _: usize, _: Row) -> Delivery {
        self.0 += 1;
        Delivery::Accepted
    }
}

fn options(residents: u64, seed: u64) -> CityOptions {
    CityOptions { residents, seed, counties: 4 }
}

#[test]
fn items_repeat_the_catalogue() {
    let catalogue = Catalogue::embedded();
    let mut seen = 0;
    crate::items::each(|no, key, fields| {
        let item = &catalogue.items()[no - 1];
        seen += 1;
        assert_eq!(item.no as usize, no);
        assert_eq!(item.natural_key, key, "key of {}", item.code);
        let names: Vec<&str> = item.fields.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, fields.iter().map(|f| f.0).collect::<Vec<_>>(), "fields of {}", item.code);
        for (field, (name, ty)) in item.fields.iter().zip(fields) {
            assert_eq!(field.required, !ty.starts_with("Option"), "{}.{name}", item.code);
        }
    });
    assert_eq!(seen, 73);
}

#[test]
fn every_row_of_a_city_fits_the_catalogue_and_every_item_occurs() {
    let city = City::found(&options(20_000, 7));
    let mut inspector = Inspector::new();
    let mut cases: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut applications = 0;
    let mut residents = 0;
    for block in 0..50 {
        let lived = live_block(&city, block, 400, &mut inspector, |number, seat, rows| {
            applications += 1;
            let truth = truth::judge(number, seat, rows, false).expect("the application reached the hub");
            *cases.entry(truth.category).or_default() += 1;
        });
        residents += lived.residents;
    }
    assert_eq!(residents, 20_000);
    assert_eq!(inspector.problems, BTreeMap::new());
    let missing: Vec<usize> = (1..=73).filter(|no| !inspector.counts.contains_key(no)).collect();
    assert_eq!(missing, Vec::<usize>::new(), "items without a row");
    println!("rows {} counts {:?}", inspector.counts.values().sum::<u64>(), inspector.counts);
    println!("applications {applications} categories {cases:?}");
    for category in ["extreme", "dibao", "dibao_single", "marginal", "rigid", "none"] {
        assert!(cases.contains_key(category), "no case of {category} in {cases:?}");
    }
}

fn families(city: &City, block: u64, count: usize) -> Vec<Kin> {
    let mut founder = Founder { city, numbers: Numbers::of_block(block), chance: Chance::new(3, block) };
    let mut chance = Chance::new(4, block);
    (0..count)
        .map(|_| {
            let mut kin = founder.family(60);
            live(&mut kin, city, &mut chance);
            kin
        })
        .collect()
}

#[test]
fn lives_hang_together() {
    let city = City::found(&options(20_000, 3));
    let mut numbers = HashSet::new();
    let mut ages = [0u32; 11];
    for block in [0, 1, 26, 51, 1_000] {
        for kin in families(&city, block, 60) {
            for p in &kin.people {
                assert!(numbers.insert(p.id.to_string()), "a number was given twice");
                assert!(p.old_id.as_ref().is_none_or(|old| numbers.insert(old.to_string())));
                assert_eq!((p.id.as_bytes()[16] - b'0').is_multiple_of(2), p.female);
                for parent in [p.father, p.mother].into_iter().flatten() {
                    assert!(age(kin.people[parent].birth, p.birth) >= 15, "a parent is too young");
                }
                for job in &p.is.jobs {
                    assert!(
                        p.death.is_none_or(|d| job.from <= d && job.to.is_some_and(|to| to <= d)),
                        "works after death"
                    );
                    assert!(age(p.birth, job.from) >= 16, "works as a child");
                    assert!(p.is.custody.is_none_or(|c| !c.holds(TODAY) || job.to.is_some()), "works in custody");
                }
                for pair in p.marriages.windows(2) {
                    assert!(pair[0].end.is_some_and(|(end, _)| end < pair[1].since), "married twice at once");
                }
                for m in &p.marriages {
                    assert!(age(p.birth, m.since) >= if p.female { 20 } else { 22 });
                    assert!(kin.people[m.with].marriages.iter().any(|o| o.since == m.since && o.end == m.end));
                }
                if p.alive() {
                    ages[(p.age() / 10).min(10) as usize] += 1;
                }
            }
            for home in kin.homes.iter().filter(|h| !h.members.is_empty()) {
                assert!(home.members.contains(&home.head));
                assert!(home.members.iter().all(|p| kin.people[*p].alive()));
            }
        }
    }
    println!("people by decades of age {ages:?}");
    let all: u32 = ages.iter().sum();
    let old: u32 = ages[6..].iter().sum();
    let young: u32 = ages[..2].iter().sum();
    assert!((15..45).contains(&(old * 100 / all)), "sixty and over: {old} of {all}");
    assert!((8..35).contains(&(young * 100 / all)), "under twenty: {young} of {all}");
}

#[test]
fn the_same_seed_is_the_same_city() {
    let hash = |seed| {
        let city = City::found(&options(2_000, seed));
        let mut inspector = Inspector::new();
        let mut truths = Vec::new();
        for block in [0, 3] {
            live_block(&city, block, 400, &mut inspector, |number, seat, rows| {
                truths.push(truth::judge(number, seat, rows, false));
            });
        }
        (inspector.hash, truths)
    };
    assert_eq!(hash(11), hash(11));
    assert_ne!(hash(11).0, hash(12).0);
}

#[test]
fn a_city_on_disk_has_a_truth_for_every_run() {
    let read = |seed: u64| {
        let dir = tempfile::tempdir().expect("a folder");
        let summary = generate(dir.path(), &options(1_500, seed), &|_| {}).expect("a city");
        let mut files = HashMap::new();
        let mut folders = vec![dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("readable") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(dir.path()).expect("inside").to_string_lossy().into_owned();
                    files.insert(name, std::fs::read(&path).expect("readable"));
                }
            }
        }
        (summary, files)
    };
    let (summary, files) = read(5);
    assert_eq!(summary.residents, 1_500);
    assert_eq!(summary.departments().len(), 17);
    let runs: Vec<serde_json::Value> = serde_json::from_slice(&files["runs.json"]).expect("runs");
    let truths = files["truth/households.ndjson"].split(|b| *b == b'\n').filter(|l| !l.is_empty()).count();
    assert_eq!(runs.len(), truths);
    assert_eq!(runs.len() as u64, summary.applications);
    assert!(!runs.is_empty());
    let (again, same) = read(5);
    assert_eq!(summary, again);
    let differing: Vec<&String> = files.keys().filter(|name| same.get(*name) != files.get(*name)).collect();
    assert_eq!(differing, Vec::<&String>::new());
}

#[test]
fn lives_are_told_fast() {
    let city = City::found(&options(20_000, 7));
    let mut counter = Counter(0);
    for block in 0..10 {
        live_block(&city, block, 400, &mut counter, |_, _, _| {});
    }
    assert!(counter.0 > 10_000);
}
