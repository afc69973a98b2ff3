//! Feeds are no weaker door than SQL: the attacks that mean something without a statement.
//!
//! E01–E23 (a hidden value in an error), R02 (hidden is absent), R16 and R17 (revocation, caches), M05 (order),
//! M23 (pseudonyms of two readers), S02 (what is listed), T05 (texts of errors).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::compute::concat_batches;
use datafusion::prelude::SessionContext;
use minqiao_core::{KindOf, Principal, Purpose, Role};
use minqiao_policy::{Policy, PolicySource};
use minqiao_query::{ItemChanges, Limits};
use minqiao_schemas::Catalogue;

use crate::fixture::{City, HOME, Hidden, Storage, asking, citizen, texts};

const ITEM: &str = "temporary_assistance";

fn education() -> (Principal, Purpose) {
    let principal = Principal {
        id: "education.371002".to_owned(),
        role: Role::Department,
        department: Some("education".to_owned()),
        county: Some(HOME.to_owned()),
    };
    (principal, Purpose { code: "exchange".to_owned(), case: None })
}

/// Shares the item with two departments of the county, and lets a statistician subscribe for good measure.
fn sharing() -> Arc<Policy> {
    let mut source = PolicySource::embedded();
    let text = r#"
        @id("shared") permit (principal in Minqiao::Role::"department", action in Minqiao::Action::"shareInCounty",
            resource == Minqiao::Item::"temporary_assistance")
        when { principal has department && ["education", "health-commission"].contains(principal.department) };
        @id("too-much") permit (principal in Minqiao::Role::"statistician", action == Minqiao::Action::"subscribe", resource);
    "#;
    source.policies.push(("shared.cedar".to_owned(), text.to_owned()));
    Arc::new(Policy::load(&source, Catalogue::embedded()).expect("valid"))
}

async fn city(hidden: Hidden) -> City {
    let city = City::build(hidden, Storage::Memory, Limits::default()).await;
    city.service.replace_policy(sharing());
    city
}

fn changes(city: &City) -> ItemChanges {
    let (principal, purpose) = education();
    city.service.changes(&principal, &purpose, ITEM).expect("shared")
}

/// The stored rows, as messages of three rows.
async fn messages(city: &City) -> Vec<RecordBatch> {
    let table = SessionContext::new().read_table(city.stored(ITEM)).expect("a table");
    let batches = table.collect().await.expect("rows");
    let all = concat_batches(&batches[0].schema(), &batches).expect("one schema");
    (0..all.num_rows()).step_by(3).map(|at| all.slice(at, 3.min(all.num_rows() - at))).collect()
}

/// Rows without the columns that differ with the key ring.
fn lines(rows: &RecordBatch) -> Vec<String> {
    let kept: Vec<usize> = (0..rows.num_columns())
        .filter(|at| rows.schema().field(*at).metadata().get("shown").is_none_or(|shown| shown != "pseudonym"))
        .collect();
    let mut lines: Vec<String> =
        texts(&rows.project(&kept).expect("columns")).into_iter().map(|row| row.join("|")).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn hidden_rows_change_nothing_that_a_reader_is_given() {
    let mut answers = Vec::new();
    for hidden in [Hidden::None, Hidden::Canaries, Hidden::OtherCanaries] {
        let city = city(hidden).await;
        let stored = messages(&city).await;
        let shown = changes(&city).show(&stored, 1000).await.expect("shown");
        assert_eq!(shown.rows.num_rows(), 6);
        let text = format!("{:?} {:?}", shown.rows, shown.rows.schema());
        assert!(!text.contains("CANARY") && !text.contains("3710830") && !text.contains("__place"), "{text}");
        for n in 1..=6 {
            assert!(!text.contains(&citizen(n)));
        }
        answers.push(lines(&shown.rows));
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test]
async fn pages_cut_anywhere_are_the_whole_in_order() {
    let city = city(Hidden::Canaries).await;
    let stored = messages(&city).await;
    let all = concat_batches(&stored[0].schema(), &stored).expect("one schema");
    let changes = changes(&city);
    let whole = changes.show(&stored, 1000).await.expect("shown");
    for limit in 1..=7 {
        let (mut from, mut rows) = (0, Vec::new());
        while from < all.num_rows() {
            let rest = all.slice(from, all.num_rows() - from);
            let page = changes.show(&[rest], limit).await.expect("shown");
            rows.extend(texts(&page.rows));
            match page.last {
                Some(last) if page.rows.num_rows() == limit => from += last + 1,
                _ => break,
            }
        }
        assert_eq!(rows, texts(&whole.rows), "pages of {limit}");
    }
}

#[tokio::test]
async fn it_shows_what_sql_shows_and_pseudonyms_are_each_department_s_own() {
    let city = city(Hidden::Canaries).await;
    let stored = messages(&city).await;
    let (principal, purpose) = education();
    let request = minqiao_query::QueryRequest {
        request_id: "r".to_owned(),
        door: "test",
        principal: principal.clone(),
        purpose: purpose.clone(),
        sql: format!("SELECT * FROM {ITEM}"),
        parameters: Vec::new(),
    };
    let batches = city.service.query(request).await.expect("answered").collect_batches().await.expect("rows");
    let by_sql = concat_batches(&batches[0].schema(), &batches).expect("one schema");
    let shown = changes(&city).show(&stored, 1000).await.expect("shown");
    let common: Vec<usize> = (0..by_sql.num_columns()).collect();
    let of_feed = shown.rows.project(&common).expect("the columns of SQL come first");
    assert_eq!(of_feed.schema().fields(), by_sql.schema().fields());
    let sorted = |rows: &RecordBatch| {
        let mut rows = texts(rows);
        rows.sort();
        rows
    };
    assert_eq!(sorted(&of_feed), sorted(&by_sql), "pseudonyms included");

    let other = Principal { department: Some("health-commission".to_owned()), ..principal };
    let others = city.service.changes(&other, &purpose, ITEM).expect("shared with them, too");
    let others = others.show(&stored, 1000).await.expect("shown");
    for column in ["citizen_id", "_record"] {
        let of = |rows: &RecordBatch| -> std::collections::BTreeSet<String> {
            let column = rows.column_by_name(column).expect("a column");
            column.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        };
        assert!(of(&shown.rows).is_disjoint(&of(&others.rows)), "{column}");
    }
}

#[tokio::test]
async fn a_hidden_value_that_does_not_open_is_no_error_and_a_visible_one_tells_nothing() {
    let city = city(Hidden::Canaries).await;
    let stored = messages(&city).await;
    let all = concat_batches(&stored[0].schema(), &stored).expect("one schema");
    let division = all.column_by_name("division_code").expect("a column").as_string::<i32>().clone();
    let at = all.schema().index_of("full_name").expect("a column");
    let damaged = |hits: &dyn Fn(usize) -> bool| -> RecordBatch {
        let names: &BinaryArray = all.column(at).as_binary();
        let names: BinaryArray =
            (0..names.len()).map(|row| if hits(row) { Some(&b"broken"[..]) } else { Some(names.value(row)) }).collect();
        let mut columns = all.columns().to_vec();
        columns[at] = Arc::new(names) as ArrayRef;
        RecordBatch::try_new(all.schema(), columns).expect("fits")
    };
    let changes = changes(&city);
    let hidden = damaged(&|row| division.value(row) != HOME);
    let whole = changes.show(std::slice::from_ref(&all), 1000).await.expect("shown");
    let shown = changes.show(&[hidden], 1000).await.expect("nothing hidden is opened");
    assert_eq!(texts(&shown.rows), texts(&whole.rows));
    let last = (0..all.num_rows()).rfind(|row| division.value(*row) == HOME).expect("a visible row");
    let visible = damaged(&|row| row == last);
    changes.show(std::slice::from_ref(&visible), 5).await.expect("what is behind the page is not opened");
    let error = changes.show(&[visible], 1000).await.expect_err("damage");
    assert_eq!((error.code(), error.to_string().as_str()), ("internal", "the hub failed"));
}

#[tokio::test]
async fn only_whom_the_policies_name_has_changes_and_only_while_they_do() {
    let city = city(Hidden::None).await;
    let (principal, purpose) = education();
    let none = |who: &Principal, what: &Purpose, item: &str| city.service.changes(who, what, item).is_none();
    for item in Catalogue::embedded().items().iter().filter(|item| item.code != ITEM) {
        assert!(none(&principal, &purpose, &item.code), "{}", item.code);
    }
    assert!(none(&principal, &purpose, "no_such_item") && none(&principal, &purpose, "audit_log"));
    let roaming = Principal { county: None, ..principal.clone() };
    let nobody = Principal { department: None, ..principal.clone() };
    let connector = Principal { role: Role::Connector, ..principal.clone() };
    for who in [roaming, nobody, connector] {
        assert!(none(&who, &purpose, ITEM), "{who:?}");
    }
    for who in ["county", "case", "analyst", "statistician", "operator", "auditor"] {
        let (who, what) = asking(who);
        assert!(none(&who, &what, ITEM), "{who:?}: a table that is only aggregated, or not subscribed to, has no feed");
    }
    assert!(!none(&principal, &purpose, ITEM));
    city.service.replace_policy(Arc::new(Policy::embedded().expect("valid")));
    assert!(none(&principal, &purpose, ITEM), "revoked");
}
