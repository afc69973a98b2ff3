//! What the hub made of the city, held against what the city knows: every row by its place in the departments' files,
//! every household by its figures.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, ensure};
use minqiao_connector_api::report::{RunReport, outcome_word};
use serde::Deserialize;
use serde_json::Value;

use super::summary::{Truth, Verifications};

/// Consecutive rows with the same fate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fate {
    first: u64,
    last: u64,
    outcome: String,
    reason: String,
}

/// Rows of one sheet of one file, ascending.
type Fates = BTreeMap<(String, String), Vec<Fate>>;

/// Agreement, with places for whoever looks into a disagreement. Places name files and rows, never values.
#[derive(Debug, Default)]
pub struct RowComparison {
    /// Counts.
    pub truth: Truth,
    /// The first disagreements.
    pub examples: Vec<String>,
}

const EXAMPLES_MAX: usize = 10;

#[derive(Deserialize)]
struct TruthLine {
    file: String,
    sheet: String,
    first_row: u64,
    last_row: u64,
    outcome: String,
    reason: String,
}

/// Compares every row of every item.
pub fn compare_rows(city: &Path, reports: &[RunReport]) -> anyhow::Result<RowComparison> {
    let mut comparison = RowComparison::default();
    let mut seen = 0;
    for report in reports {
        for item in &report.items {
            seen += 1;
            let expected = read_truth(&city.join("truth/rows").join(format!("{}.csv", item.item)))?;
            let mut found = Fates::new();
            for run in item.outcomes() {
                let (file, run) = run?;
                found.entry((base_name(&file.file), file.sheet.clone())).or_default().push(Fate {
                    first: run.first.into(),
                    last: run.last.into(),
                    outcome: outcome_word(run.outcome).to_owned(),
                    reason: run.reasons.first().map(|r| r.code.clone()).unwrap_or_default(),
                });
            }
            compare_item(&item.item, expected, found, &mut comparison);
        }
    }
    ensure!(seen > 0, "no connector ran");
    Ok(comparison)
}

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn read_truth(path: &Path) -> anyhow::Result<Fates> {
    let mut fates = Fates::new();
    let mut reader =
        csv::Reader::from_path(path).with_context(|| format!("cannot read the truth `{}`", path.display()))?;
    for line in reader.deserialize() {
        let line: TruthLine = line?;
        fates.entry((base_name(&line.file), line.sheet)).or_default().push(Fate {
            first: line.first_row,
            last: line.last_row,
            outcome: line.outcome,
            reason: line.reason,
        });
    }
    Ok(fates)
}

fn compare_item(item: &str, mut expected: Fates, mut found: Fates, comparison: &mut RowComparison) {
    let places: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).cloned().collect();
    for place in places {
        let (mut want, mut have) =
            (expected.remove(&place).unwrap_or_default(), found.remove(&place).unwrap_or_default());
        want.sort_by_key(|fate| fate.first);
        have.sort_by_key(|fate| fate.first);
        compare_sheet(item, &place.0, &want, &have, comparison);
    }
}

/// Walks both lists over the union of their rows.
fn compare_sheet(item: &str, file: &str, want: &[Fate], have: &[Fate], comparison: &mut RowComparison) {
    let (mut i, mut j) = (0, 0);
    let mut row = want.iter().chain(have).map(|fate| fate.first).min().unwrap_or_default();
    loop {
        while want.get(i).is_some_and(|fate| fate.last < row) {
            i += 1;
        }
        while have.get(j).is_some_and(|fate| fate.last < row) {
            j += 1;
        }
        let at = |fate: Option<&Fate>| fate.filter(|fate| fate.first <= row).cloned();
        let (expected, found) = (at(want.get(i)), at(have.get(j)));
        let ends = |fate: Option<&Fate>| fate.map(|fate| if fate.first > row { fate.first - 1 } else { fate.last });
        let Some(end) = [ends(want.get(i)), ends(have.get(j))].into_iter().flatten().min() else { break };
        let rows = end - row + 1;
        match (&expected, &found) {
            (None, None) => {}
            (Some(a), Some(b)) if a.outcome == b.outcome && a.reason == b.reason => comparison.truth.rows_agree += rows,
            _ => {
                comparison.truth.rows_disagree += rows;
                if comparison.examples.len() < EXAMPLES_MAX {
                    let word = |fate: &Option<Fate>| {
                        fate.as_ref().map_or("no such row".to_owned(), |f| {
                            format!("{} {}", f.outcome, f.reason).trim().to_owned()
                        })
                    };
                    comparison.examples.push(format!(
                        "{item}: {file} row {row}: the city says {}, the hub {}",
                        word(&expected),
                        word(&found)
                    ));
                }
            }
        }
        row = end + 1;
    }
}

/// What the city knows of the households that applied, by application number.
#[derive(Debug)]
pub struct Households(HashMap<String, Value>);

impl Households {
    /// Reads `truth/households.ndjson`.
    pub fn read(city: &Path) -> anyhow::Result<Self> {
        let path = city.join("truth/households.ndjson");
        let file = fs::File::open(&path).with_context(|| format!("cannot read the truth `{}`", path.display()))?;
        let mut households = HashMap::new();
        for line in BufReader::new(file).lines() {
            let household: Value = serde_json::from_str(&line?)?;
            let number = household["application_no"].as_str().context("a household without application_no")?.to_owned();
            households.insert(number, household);
        }
        Ok(Self(households))
    }

    /// How many applied.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody applied.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Figures of a result (computation section 8) that differ from the truth; empty when it agrees to the cent.
    pub fn differences(&self, result: &Value) -> Vec<&'static str> {
        let Some(truth) = result["application_no"].as_str().and_then(|number| self.0.get(number)) else {
            return vec!["application_no"];
        };
        let found_members: Vec<&Value> =
            result["members"].as_array().map(|m| m.iter().map(|m| &m["citizen_id"]).collect()).unwrap_or_default();
        let true_members: Vec<&Value> = truth["members"].as_array().map(|m| m.iter().collect()).unwrap_or_default();
        let mut differences = Vec::new();
        let mut compare = |name: &'static str, truth: &Value, found: &Value| {
            if truth != found {
                differences.push(name);
            }
        };
        for name in ["wage", "business", "property", "transfer", "maintenance", "deductions", "total"] {
            compare(name, &truth["income"][name], &result["income"][name]);
        }
        compare("member_count", &truth["member_count"], &result["member_count"]);
        compare("per_capita_monthly", &truth["per_capita_monthly"], &result["per_capita_monthly"]);
        compare("monetary_total", &truth["monetary_total"], &result["property"]["monetary_total"]);
        compare("house_count", &truth["house_count"], &result["property"]["house_count"]);
        compare("vehicle_count", &truth["vehicle_count"], &result["property"]["vehicle_count"]);
        compare("vehicle_counted", &truth["vehicle_counted"], &result["property"]["vehicle_counted"]);
        compare("rigid_total", &truth["rigid_total"], &result["rigid"]["total"]);
        compare("category", &truth["category"], &result["category"]);
        compare("covered_count", &truth["covered_count"], &result["covered_count"]);
        compare("benefit_monthly", &truth["benefit_monthly"], &result["benefit_monthly"]);
        if found_members != true_members {
            differences.push("members");
        }
        differences
    }
}

/// Counts agreement of results.
#[derive(Debug, Default)]
pub struct HouseholdComparison {
    /// Counts.
    pub verifications: Verifications,
    /// Categories found.
    pub categories: BTreeMap<String, u64>,
    /// The first disagreements: application number and the names of the figures.
    pub examples: Vec<String>,
    /// One application of each county, for showing.
    pub of_county: BTreeMap<String, String>,
}

impl HouseholdComparison {
    /// Takes in one result.
    pub fn add(&mut self, truth: &Households, result: &Value) {
        let differences = truth.differences(result);
        let text = |name: &str| result[name].as_str().unwrap_or_default().to_owned();
        self.of_county.entry(text("county")).or_insert_with(|| text("application_no"));
        self.verifications.total += 1;
        *self.categories.entry(result["category"].as_str().unwrap_or("error").to_owned()).or_default() += 1;
        if differences.is_empty() {
            self.verifications.agree += 1;
        } else {
            self.verifications.disagree += 1;
            let number = result["application_no"].as_str().unwrap_or("?");
            self.example(format!("{number}: {}", differences.join(", ")));
        }
    }
}

impl HouseholdComparison {
    /// Takes in an application that gave no result.
    pub fn failed(&mut self, application_no: &str, code: &str) {
        self.verifications.total += 1;
        self.verifications.disagree += 1;
        self.example(format!("{application_no}: {code}"));
    }

    /// Counts the applications of the truth that the hub does not know.
    pub fn missing(&mut self, truth: &Households) {
        let missing = (truth.len() as u64).saturating_sub(self.verifications.total);
        if missing > 0 {
            self.verifications.total += missing;
            self.verifications.disagree += missing;
            self.example(format!("{missing} applications of the city are unknown to the hub"));
        }
    }

    fn example(&mut self, text: String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(first: u64, last: u64, outcome: &str, reason: &str) -> Fate {
        Fate { first, last, outcome: outcome.to_owned(), reason: reason.to_owned() }
    }

    fn compare(want: &[Fate], have: &[Fate]) -> (u64, u64) {
        let mut comparison = RowComparison::default();
        compare_sheet("item", "file", want, have, &mut comparison);
        (comparison.truth.rows_agree, comparison.truth.rows_disagree)
    }

    #[test]
    fn rows_agree_whatever_their_run_lengths() {
        let want =
            [fate(2, 10, "accepted", ""), fate(11, 11, "quarantined", "invalid_date"), fate(12, 20, "accepted", "")];
        let have = [
            fate(2, 5, "accepted", ""),
            fate(6, 10, "accepted", ""),
            fate(11, 11, "quarantined", "invalid_date"),
            fate(12, 20, "accepted", ""),
        ];
        assert_eq!(compare(&want, &have), (19, 0));
    }

    #[test]
    fn a_missing_row_a_surplus_row_and_another_reason_disagree() {
        let want = [fate(2, 4, "accepted", ""), fate(5, 5, "quarantined", "invalid_date"), fate(8, 9, "accepted", "")];
        assert_eq!(compare(&want, &[fate(2, 3, "accepted", ""), fate(5, 5, "quarantined", "unknown_code")]), (2, 4));
        assert_eq!(compare(&[], &[fate(2, 3, "accepted", "")]), (0, 2));
        assert_eq!(compare(&want, &want), (6, 0));
    }
}
