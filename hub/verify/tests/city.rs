//! The sample city: every run must give the expected answer, key order included.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "a test fails by panicking, and its futures run once")]

use std::path::Path;

use minqiao_verify::compute::{Engine, World};
use minqiao_verify::folder::CaseFolder;
use minqiao_verify::number::Citizen;
use minqiao_verify::rendering::{RenderOptions, html, text};
use minqiao_verify::report::Report;
use minqiao_verify::result::Verification;
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

/// The lines below a title, up to the next.
fn section<'a>(text: &'a str, title: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("【{title}】")).unwrap();
    after.split_once('【').map_or(after, |(section, _)| section)
}

#[test]
fn reports_of_the_sample_city_show_no_code_and_no_fraction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/city-60");
    let expected = std::fs::read_to_string(folder.join("expected.ndjson")).unwrap();
    let results = expected.lines().filter_map(|line| serde_json::from_str::<Verification>(line).ok());
    let (mut fractions, mut pairs) = (0, 0);
    for result in results {
        fractions += result.income_by_member.iter().filter(|m| m.wage.contains('/')).count();
        pairs += result.discrepancies.iter().filter(|d| d.pair.is_some()).count();
        let report = Report {
            report_no: "1".to_owned(),
            issued_at: result.as_of.clone(),
            issuer: "1".to_owned(),
            lake_versions: Default::default(),
            parameters_version: "1".to_owned(),
            result,
            evidence: Vec::new(),
            result_sm3: "1".to_owned(),
            key_id: "1".to_owned(),
            signature: "1".to_owned(),
        };
        let page = text(&report, RenderOptions::default());
        let words = page.as_bytes().windows(3).filter(|run| run.iter().all(u8::is_ascii_lowercase)).count();
        assert_eq!(words, 0, "a code without a name:\n{page}");
        let fraction = |section: &str| {
            section.as_bytes().windows(3).any(|w| w[1] == b'/' && w[0].is_ascii_digit() && w[2].is_ascii_digit())
        };
        assert!(!fraction(section(&page, "收入")), "{page}");
        // Keys of records have slashes of their own.
        let property = section(&page, "财产");
        assert!(!property.lines().filter(|line| line.trim_start().starts_with("住房")).any(fraction), "{page}");
        let mut shares =
            property.split("份额 ").skip(1).map(|after| after.split([',', '\n']).next().unwrap_or_default());
        assert!(shares.all(|share| share.ends_with('%')), "{page}");
        for member in &report.result.income_by_member {
            assert!(!member.wage.contains('/') || !html(&report, RenderOptions::default()).contains(&member.wage));
        }
    }
    assert!(fractions > 0 && pairs > 0, "the sample has fractions ({fractions}) and pairs ({pairs}) to show");
}
