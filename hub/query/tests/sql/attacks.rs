//! Every attack of `attacks.json` over twin cities that differ in hidden rows only: the expected outcome, the same
//! outcome whatever is hidden, and no canary anywhere.

use serde::Deserialize;

use minqiao_core::KindOf;
use minqiao_query::Limits;

use crate::fixture::{City, Hidden, Storage};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    id: String,
    title: String,
    #[serde(rename = "as")]
    who: String,
    sql: String,
    expect: Expect,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Expect {
    /// Exactly these rows, as text.
    Rows(Vec<Vec<String>>),
    /// This code.
    Error(String),
    /// Any refusal of the statement itself.
    Refused,
    /// Nothing but non-interference.
    Same,
}

fn attacks() -> Vec<Attack> {
    serde_json::from_str(include_str!("../attacks.json")).expect("attacks.json is well-formed")
}

fn broken(attack: &Attack, answer: &Result<Vec<Vec<String>>, minqiao_query::QueryError>) -> Option<String> {
    let fits = match (&attack.expect, answer) {
        (Expect::Rows(rows), Ok(answer)) => rows == answer,
        (Expect::Error(code), Err(error)) => code == error.code(),
        (Expect::Refused, Err(error)) => {
            matches!(error.code(), "sql_not_allowed" | "sql_not_found" | "sql_syntax" | "sql_protected")
        }
        (Expect::Same, _) => true,
        _ => false,
    };
    (!fits).then(|| format!("{} {} ({}): {:?}", attack.id, attack.title, attack.sql, answer))
}

async fn withstand(storage: Storage) {
    let limits = Limits::default;
    let cities = [
        City::build(Hidden::None, storage, limits()).await,
        City::build(Hidden::Canaries, storage, limits()).await,
        City::build(Hidden::OtherCanaries, storage, limits()).await,
    ];
    let mut failures = Vec::new();
    for attack in attacks() {
        let mut outcomes = Vec::new();
        for city in &cities {
            let answer = city.ask(&attack.who, &attack.sql).await;
            failures.extend(broken(&attack, &answer));
            outcomes.push(city.outcome(&attack.who, &attack.sql).await);
        }
        if outcomes.iter().any(|outcome| *outcome != outcomes[0]) {
            failures.push(format!("{} {}: hidden rows show: {outcomes:?}", attack.id, attack.title));
        }
        if outcomes.iter().any(|outcome| outcome.contains("CANARY") && !attack.sql.contains(outcome.as_str())) {
            failures.push(format!("{} {}: a hidden value is in the answer", attack.id, attack.title));
        }
    }
    for city in &cities {
        let log = format!("{:?}", city.audit.opened.lock());
        if log.contains("CANARY") || log.contains("371002196001010011") {
            failures.push("the audit log holds a value".into());
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_fails_over_tables_in_memory() {
    withstand(Storage::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attack_fails_over_parquet_files() {
    withstand(Storage::Parquet).await;
}

#[test]
fn every_attack_of_the_design_is_here() {
    let known: Vec<String> = attacks().into_iter().map(|attack| attack.id).collect();
    let design = [
        ("E", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23][..]),
        ("M", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19, 20, 22, 23]),
        ("R", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17]),
        ("S", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14]),
        ("D", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16]),
        ("K", &[1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17, 19]),
        ("T", &[1, 2, 4, 5]),
    ];
    let mut ids = design.iter().flat_map(|(group, numbers)| numbers.iter().map(move |n| format!("{group}{n:02}")));
    assert_eq!(ids.clone().count(), 82);
    assert_eq!(ids.find(|id| !known.contains(id)), None);
}
