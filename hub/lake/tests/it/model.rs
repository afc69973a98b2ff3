//! Random versions, arrivals, folds, restarts; the answer must be the model's at every moment (LAKE-3).

use minqiao_core::Timestamp;
use proptest::prelude::*;

use crate::place::Place;
use crate::support::{
    Fixture, ITEM, PERSON, Row, SPOUSE, append, fold, ingest, layout, open_layout, options, person, read, seen,
};

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<Row>),
    Compact,
    Rebuild,
    Restart,
}

fn row(lead: bool) -> impl Strategy<Value = Row> {
    let versions = (proptest::option::of(0..4i64), any::<bool>(), 0..3u8, 0..5i64);
    (0..6u8, 0..3u8, proptest::option::of(0..3u8), versions).prop_map(
        move |(key, person, spouse, (updated, delete, hash, received))| Row {
            key,
            // A subject that leads the order key is part of the natural key: it never changes.
            person: if lead { key / 2 } else { person },
            spouse,
            updated,
            delete: delete && hash == 0,
            // One content hash names one content.
            hash: hash * 9 + spouse.map_or(0, |s| s + 1) + if lead { 0 } else { 3 * 9 * (person + 1) },
            received,
        },
    )
}

fn steps(lead: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(row(lead), 1..8).prop_map(Step::Append),
        2 => Just(Step::Compact),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..8)
}

async fn check(lead: bool, steps: Vec<Step>) {
    let fixture = Fixture::at(Place::Memory).await;
    let small = minqiao_lake::LakeOptions { bucket_rows_max: 4, ..options() };
    let index = fixture.directory.path().join("index");
    let mut lake = open_layout(&fixture.location, &index, small.clone(), layout(lead)).await;
    let mut all: Vec<Row> = Vec::new();
    for step in steps {
        match step {
            Step::Append(rows) => {
                append(fixture.bus.as_ref(), &rows).await;
                ingest(&lake, &fixture.bus).await;
                all.extend(rows);
            }
            Step::Compact => lake.compact(ITEM).await.unwrap(),
            Step::Rebuild => lake.rebuild(ITEM).await.unwrap(),
            Step::Restart => {
                drop(lake);
                lake = open_layout(&fixture.location, &index, small.clone(), layout(lead)).await;
            }
        }
        assert_eq!(read(lake.current(ITEM).unwrap()).await, fold(&all));
        let moment = 2;
        let known: Vec<Row> = all.iter().filter(|row| row.received <= moment).cloned().collect();
        assert_eq!(read(lake.as_of(ITEM, Timestamp(moment)).unwrap()).await, fold(&known));
        for n in 0..3u8 {
            for (at, rows) in [(None, &all), (Some(Timestamp(moment)), &known)] {
                let winners = winners(rows);
                for (column, holds) in [
                    (PERSON, (|row: &Row, n| row.person == n) as fn(&Row, u8) -> bool),
                    (SPOUSE, |row: &Row, n| row.spouse == Some(n)),
                ] {
                    let expected = fold(winners.iter().filter(|row| holds(row, n)));
                    let found = lake.scan_tokens(ITEM, at, column, &[person(n)], None).await.unwrap();
                    assert_eq!(seen(&found), expected, "{column} {n} at {at:?}");
                }
            }
        }
    }
}

/// The greatest version of each key.
fn winners(rows: &[Row]) -> Vec<Row> {
    let mut latest: std::collections::BTreeMap<u8, &Row> = std::collections::BTreeMap::new();
    for row in rows {
        let best = latest.entry(row.key).or_insert(row);
        if row.version() > best.version() {
            *best = row;
        }
    }
    latest.into_values().cloned().collect()
}

fn run(lead: bool, steps: Vec<Step>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(check(lead, steps));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_of_a_key_with_its_subject(steps in steps(true)) {
        run(true, steps);
    }

    #[test]
    fn any_history_of_a_key_without_its_subject(steps in steps(false)) {
        run(false, steps);
    }
}
