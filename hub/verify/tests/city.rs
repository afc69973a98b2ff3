//! The sample city: every run must give the expected answer, key order included.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "a test fails by panicking, and its futures run once")]

use std::path::Path;

use minqiao_verify::compute::{Engine, World};
use minqiao_verify::folder::CaseFolder;
use minqiao_verify::number::Citizen;
use serde_json::Value;

fn answers(folder: &Path) -> Vec<String> {
    let case = CaseFolder::read(folder).unwrap();
    let facts = case.facts().unwrap();
    let engine = Engine::new().unwrap();
    let show = |number: Citizen| number.to_string();
    let world = World { facts: &facts, inputs: &case.inputs, parameters: &case.parameters, show: &show };
    case.runs
        .iter()
        .map(|run| match engine.run(&world, run).0 {
            Ok(result) => serde_json::to_string(&result).unwrap(),
            Err(error) => format!(r#"{{"application_no":"{}","error":"{}"}}"#, run.application_no, error.code()),
        })
        .collect()
}

#[test]
fn the_sample_city_gives_its_expected_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/city-60");
    let expected = std::fs::read_to_string(folder.join("expected.ndjson")).unwrap();
    let actual = answers(&folder);
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(expected.len(), actual.len());
    let mut wrong = Vec::new();
    for (at, (e, a)) in expected.iter().zip(&actual).enumerate() {
        // `Value` keeps the order of keys, so the texts of both are equal only if the order is.
        let normal = |text: &str| serde_json::from_str::<Value>(text).unwrap().to_string();
        if normal(e) != normal(a) {
            wrong.push(at);
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} runs differ, first: {:?}",
        wrong.len(),
        expected.len(),
        &wrong[..wrong.len().min(5)]
    );
}
