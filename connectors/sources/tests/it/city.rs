//! The simulated city: every row of every file of all 17 departments ends as the truth says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use minqiao_connector_api::report::outcome_word;
use minqiao_connector_api::{Department, RunReport};
use minqiao_municipality::{CityOptions, generate};

use crate::support::{MemoryHub, run};

/// (file, sheet, row) → (outcome, reason, column)
type Rows = BTreeMap<(String, String, u32), (String, String, String)>;

fn truth(path: &Path) -> Rows {
    let mut rows = Rows::new();
    for record in csv::Reader::from_path(path).unwrap().records() {
        let record = record.unwrap();
        let number = |at: usize| record[at].parse::<u32>().unwrap();
        for row in number(2)..=number(3) {
            let what = (record[4].to_owned(), record[5].to_owned(), record[6].to_owned());
            rows.insert((record[0].to_owned(), record[1].to_owned(), row), what);
        }
    }
    rows
}

fn found(report: &RunReport) -> BTreeMap<String, Rows> {
    let mut items = BTreeMap::new();
    for item in &report.items {
        let rows: &mut Rows = items.entry(item.item.clone()).or_default();
        for run in item.outcomes() {
            let (file, run) = run.unwrap();
            let reason = run.reasons.first();
            let code = reason.map(|r| r.code.clone()).unwrap_or_default();
            let column = reason.and_then(|r| r.column.clone()).unwrap_or_default();
            for row in run.first..=run.last {
                let what = (outcome_word(run.outcome).to_owned(), code.clone(), column.clone());
                rows.insert((file.file.clone(), file.sheet.clone(), row), what);
            }
        }
    }
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_ends_as_the_truth_says() {
    let root = tempfile::tempdir().unwrap();
    let options = CityOptions { residents: 600, seed: 7, ..CityOptions::default() };
    let summary = generate(root.path(), &options, &|_| {}).unwrap();
    let city: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.path().join("city.json")).unwrap()).unwrap();
    let today = city["today"].as_str().unwrap()[..10].parse().unwrap();
    let hub = Arc::new(MemoryHub::on(today));
    let mut differences = Vec::new();
    let (mut rows, mut items) = (0u64, 0);
    for department in Department::embedded_all().unwrap_or_else(|e| panic!("{e}")) {
        let code = department.code.clone();
        let exports = root.path().join("exports").join(&code);
        let run = run(department, &exports, &root.path().join("state").join(&code), hub.clone(), 500);
        let report = run.run().await.unwrap();
        assert!(report.is_complete(), "{code}: {report:#?}");
        rows += report.counts.rows;
        for (item, found) in found(&report) {
            items += 1;
            let wanted = truth(&root.path().join("truth/rows").join(format!("{item}.csv")));
            for key in wanted.keys().chain(found.keys().filter(|key| !wanted.contains_key(*key))) {
                let (wanted, found) = (wanted.get(key), found.get(key));
                if wanted != found {
                    differences.push(format!("{item} {key:?}: truth {wanted:?}, found {found:?}"));
                }
            }
        }
    }
    assert_eq!((items, rows), (73, summary.rows()));
    let shown: Vec<&String> = differences.iter().take(40).collect();
    assert!(differences.is_empty(), "{} of {rows} rows differ: {shown:#?}", differences.len());
}
