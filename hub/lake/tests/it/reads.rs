//! Which version wins, and what was known when.

use datafusion::prelude::{SessionConfig, SessionContext, col, lit};
use minqiao_core::Timestamp;

use crate::place::{Place, on_every_store};
use crate::support::{Fixture, ITEM, Row, append, fold, ingest, read};

on_every_store! {
    version_order_holds_in_every_order_of_arrival_and_state_of_folding,
    as_of_knows_what_was_received_then,
    engine_plans_over_the_lake_agree_folded_and_unfolded,
    empty_item_is_an_empty_table_of_the_right_shape,
}

/// Each version beats the ones before it.
fn ladder() -> Vec<Row> {
    let row = |updated: Option<i64>, delete, hash| Row { updated, delete, hash, ..Row::new(1, 0, 0) };
    vec![
        row(None, false, 1),
        row(None, false, 2),
        row(None, true, 0),
        row(Some(-5), false, 0),
        row(Some(7), false, 3),
        row(Some(7), false, 9),
        row(Some(7), true, 1),
        row(Some(8), false, 0),
    ]
}

async fn version_order_holds_in_every_order_of_arrival_and_state_of_folding(place: Place) {
    let ladder = ladder();
    for reversed in [false, true] {
        for fold_between in [false, true] {
            let fixture = Fixture::at(place).await;
            let lake = fixture.open("one").await;
            let order: Vec<&Row> = if reversed { ladder.iter().rev().collect() } else { ladder.iter().collect() };
            let mut arrived: Vec<Row> = Vec::new();
            for row in order {
                append(fixture.bus.as_ref(), std::slice::from_ref(row)).await;
                ingest(&lake, &fixture.bus).await;
                arrived.push(row.clone());
                if fold_between {
                    lake.compact(ITEM).await.unwrap();
                }
                let expected = fold(&arrived);
                let current = read(lake.current(ITEM).unwrap()).await;
                assert_eq!(current, expected, "reversed {reversed}, folded {fold_between}, after {row:?}");
            }
        }
    }
}

async fn as_of_knows_what_was_received_then(place: Place) {
    let fixture = Fixture::at(place).await;
    let lake = fixture.open("one").await;
    let at = |key, updated, delete, hash, received| Row { delete, received, ..Row::new(key, updated, hash) };
    let rows = vec![
        at(1, 10, false, 1, 100),
        at(1, 20, false, 2, 200),
        at(1, 15, false, 3, 300),
        at(2, 10, false, 4, 200),
        at(2, 30, true, 5, 300),
        at(3, 10, false, 6, 300),
    ];
    for row in &rows {
        append(fixture.bus.as_ref(), std::slice::from_ref(row)).await;
    }
    ingest(&lake, &fixture.bus).await;
    for compacted in [false, true] {
        for moment in [99, 100, 199, 200, 299, 300, 1_000_000] {
            let known: Vec<&Row> = rows.iter().filter(|row| row.received <= moment).collect();
            let answer = read(lake.as_of(ITEM, Timestamp(moment)).unwrap()).await;
            assert_eq!(answer, fold(known), "at {moment}, compacted {compacted}");
        }
        lake.compact(ITEM).await.unwrap();
    }
}

async fn engine_plans_over_the_lake_agree_folded_and_unfolded(place: Place) {
    let fixture = Fixture::at(place).await;
    let lake = fixture.open("one").await;
    let rows: Vec<Row> = (0..200u8).map(|key| Row { spouse: Some(key / 2), ..Row::new(key, 1, key % 7) }).collect();
    append(fixture.bus.as_ref(), &rows).await;
    ingest(&lake, &fixture.bus).await;
    let mut newer: Vec<Row> =
        rows.iter().step_by(3).map(|row| Row { updated: Some(2), hash: 9, ..row.clone() }).collect();
    newer[0].delete = true;
    append(fixture.bus.as_ref(), &newer).await;
    ingest(&lake, &fixture.bus).await;
    let mut answers = Vec::new();
    for step in 0..2 {
        let context =
            SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2).with_batch_size(16));
        let table = || context.read_table(lake.current(ITEM).unwrap()).unwrap();
        let count = table().count().await.unwrap();
        let nine = table().filter(col("amount").eq(lit(9i64))).unwrap().count().await.unwrap();
        let limited = table().limit(0, Some(5)).unwrap().collect().await.unwrap();
        let narrow = table().select_columns(&["amount"]).unwrap().collect().await.unwrap();
        let sum: usize = narrow.iter().map(arrow::array::RecordBatch::num_rows).sum();
        let five: usize = limited.iter().map(arrow::array::RecordBatch::num_rows).sum();
        assert_eq!((count, five, sum), (199, 5, 199), "step {step}");
        answers.push((count, nine));
        lake.compact(ITEM).await.unwrap();
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0].1, 66);
}

async fn empty_item_is_an_empty_table_of_the_right_shape(place: Place) {
    let fixture = Fixture::at(place).await;
    let lake = fixture.open("one").await;
    assert_eq!(lake.version(ITEM).unwrap(), -1);
    assert_eq!(read(lake.current(ITEM).unwrap()).await, vec![]);
    assert_eq!(read(lake.as_of(ITEM, Timestamp(0)).unwrap()).await, vec![]);
    assert!(lake.current("no_such_item").is_err());
}
