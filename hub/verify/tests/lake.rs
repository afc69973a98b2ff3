//! The lake gives the answers that the folder gives: the same rows, sealed, over the bus, selected by token and opened
//! again.

#![allow(clippy::unwrap_used, clippy::large_futures, reason = "a test fails by panicking, and its futures run once")]

use std::path::Path;
use std::sync::Arc;

use minqiao_core::SystemClock;
use minqiao_vault::{Vault, VaultOptions};
use minqiao_verify::compute::{Engine, World};
use minqiao_verify::folder::CaseFolder;
use minqiao_verify::lake_source::LakeSource;
use minqiao_verify::number::Citizen;
use minqiao_verify::rendering::{RenderOptions, html, text};
use minqiao_verify::report::{Issue, Report};
use minqiao_verify::source::{Question, verify_all, verify_one, verify_runs};
use minqiao_verify::throwaway::lake_of;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_answers_as_its_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/city-60");
    let case = CaseFolder::read(&folder).unwrap();
    let home = tempfile::tempdir().unwrap();
    let vault = Vault::open(VaultOptions::at(home.path().join("keys"))).unwrap();
    let lake =
        lake_of(&case.rows, &vault.sealer(), &home.path().join("lake"), Arc::new(SystemClock::new())).await.unwrap();
    let engine = Engine::new().unwrap();
    let show = |number: Citizen| number.to_string();
    let question = Question { engine: &engine, inputs: &case.inputs, parameters: &case.parameters, show: &show };
    let facts = case.facts().unwrap();
    let world = World { facts: &facts, inputs: &case.inputs, parameters: &case.parameters, show: &show };
    let direct: Vec<_> = case.runs.iter().map(|run| engine.run(&world, run).0).collect();

    let source = LakeSource::new(Arc::clone(&lake), vault.unsealer(), vault.tokens());
    let all = verify_runs(&source, &question, &case.runs).await.unwrap();
    assert!(all == direct, "all runs over the history of the lake");

    for (run, expected) in case.runs.iter().zip(&direct).step_by(17) {
        let source = LakeSource::new(Arc::clone(&lake), vault.unsealer(), vault.tokens());
        let one = verify_one(&source, &question, run).await.unwrap();
        assert!(one == *expected, "one household, looked up by tokens");
    }

    let as_of = case.runs.iter().map(|run| run.as_of).max().unwrap();
    let mut found = Vec::new();
    verify_all(&source, &question, as_of, |run, result| {
        found.push((run.clone(), result));
        true
    })
    .await
    .unwrap();
    assert!(found.len() > 50);
    for (run, result) in &found {
        assert!(*result == engine.run(&world, run).0, "every application at one moment");
    }

    let result = found.into_iter().find_map(|(_, result)| result.ok()).unwrap();
    let issue = Issue {
        report_no: "R-1".to_owned(),
        issued_at: as_of,
        issuer: "civil-affairs.371000".to_owned(),
        lake_versions: source.versions(),
    };
    let mut report = Report::issue(result, issue, &vault.signer()).unwrap();
    report.verify(&vault.signer()).unwrap();
    let number = report.result.members[0].citizen_id.clone();
    let page = text(&report, RenderOptions::default());
    assert!(page.contains("结论(仅供参考)") && page.contains(&number));
    assert!(!text(&report, RenderOptions { mask_numbers: true }).contains(&number));
    assert!(!html(&report, RenderOptions { mask_numbers: true }).contains(&number));
    report.result.covered_count += 1;
    assert!(report.verify(&vault.signer()).is_err());
}
