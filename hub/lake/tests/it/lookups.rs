//! One person's rows by any token column.

use minqiao_core::Timestamp;

use crate::place::{Place, on_every_store};
use crate::support::{
    Fixture, ITEM, PERSON, Row, SPOUSE, append, fold, ingest, layout, open_layout, options, person, seen,
};

on_every_store! {
    a_replaced_spouse_is_not_found_any_more,
    an_index_that_was_lost_is_made_again,
}

async fn a_replaced_spouse_is_not_found_any_more(place: Place) {
    for lead in [true, false] {
        let fixture = Fixture::at(place).await;
        let index = fixture.directory.path().join("index");
        let lake = open_layout(&fixture.location, &index, options(), layout(lead)).await;
        let married = Row { spouse: Some(50), ..Row::new(1, 1, 1) };
        let remarried = Row { spouse: Some(60), updated: Some(2), hash: 2, received: 2000, ..married.clone() };
        append(fixture.bus.as_ref(), std::slice::from_ref(&married)).await;
        ingest(&lake, &fixture.bus).await;
        lake.compact(ITEM).await.unwrap();
        let find = |moment: Option<i64>, column: &'static str, n: u8| {
            let lake = lake.clone();
            async move {
                let found = lake.scan_tokens(ITEM, moment.map(Timestamp), column, &[person(n)], None).await.unwrap();
                seen(&found)
            }
        };
        assert_eq!(find(None, SPOUSE, 50).await, fold([&married]));
        append(fixture.bus.as_ref(), std::slice::from_ref(&remarried)).await;
        ingest(&lake, &fixture.bus).await;
        for folded in [false, true] {
            assert_eq!(find(None, SPOUSE, 50).await, vec![], "lead {lead}, folded {folded}");
            assert_eq!(find(None, SPOUSE, 60).await, fold([&remarried]));
            assert_eq!(find(None, PERSON, 1).await, fold([&remarried]));
            assert_eq!(find(Some(1500), SPOUSE, 50).await, fold([&married]), "as it was known then");
            assert_eq!(find(None, PERSON, 2).await, vec![]);
            lake.compact(ITEM).await.unwrap();
        }
        let narrow = lake.scan_tokens(ITEM, None, PERSON, &[person(1)], Some(&["amount", "_key"])).await.unwrap();
        assert_eq!(narrow[0].schema().fields().len(), 2);
        assert!(lake.scan_tokens(ITEM, None, "amount", &[person(1)], None).await.is_err());
    }
}

async fn an_index_that_was_lost_is_made_again(place: Place) {
    let fixture = Fixture::at(place).await;
    let rows: Vec<Row> = (0..100u8).map(|key| Row { person: key / 4, ..Row::new(key, 1, 1) }).collect();
    append(fixture.bus.as_ref(), &rows).await;
    let lake = fixture.open("one").await;
    ingest(&lake, &fixture.bus).await;
    let expected = fold(rows.iter().filter(|row| row.person == 7));
    let other = fixture.open("another process").await;
    for (lake, name) in [(&lake, "written"), (&other, "caught up")] {
        let found = lake.scan_tokens(ITEM, None, PERSON, &[person(7)], None).await.unwrap();
        assert_eq!(seen(&found), expected, "{name}");
    }
    other.rebuild_index().await.unwrap();
    let found = other.scan_tokens(ITEM, None, PERSON, &[person(7)], None).await.unwrap();
    assert_eq!(seen(&found), expected);
}
