//! The same statement as different principals, pseudonyms, cases, authorisations, audit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use minqiao_core::KindOf;
use minqiao_policy::{Policy, PolicySource};
use minqiao_query::{Parameter, QueryError};
use minqiao_schemas::Catalogue;

use crate::fixture::{City, Hidden, asking, citizen};

fn column(rows: &[Vec<String>], at: usize) -> Vec<String> {
    rows.iter().map(|row| row[at].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_raw_masked_or_absent() {
    let city = City::small(Hidden::Canaries).await;
    let sql = "SELECT full_name FROM resident_identity WHERE hukou_division_code = '371002' ORDER BY full_name LIMIT 1";
    assert_eq!(city.ask("case", sql).await.expect("rows"), [["张三"]]);
    assert_eq!(city.ask("county", sql).await.expect("rows"), [["张**"]]);
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["张**"]]);
    for nobody in ["statistician", "operator", "auditor"] {
        let error = city.ask(nobody, sql).await.expect_err("absent");
        assert_eq!(error.code(), "sql_not_found", "{nobody}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_shows_its_household_and_nobody_else() {
    let city = City::small(Hidden::Canaries).await;
    let sql = "SELECT full_name, citizen_id FROM resident_identity ORDER BY full_name";
    let masked = "371002************";
    assert_eq!(city.ask("case", sql).await.expect("rows"), [["张三", masked], ["张四", masked]]);
    assert!(city.ask("foreign case", sql).await.expect("rows").is_empty());
    let cars = "SELECT owner_name FROM motor_vehicle";
    assert_eq!(city.ask("case", cars).await.expect("rows"), [["张三"]], "only the one who authorised");
    assert_eq!(
        city.ask("case", "SELECT balance_amount FROM bank_deposit").await.expect_err("absent").code(),
        "sql_not_found"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_finds_its_person_when_it_may_be_seen() {
    let city = City::small(Hidden::Canaries).await;
    let number = citizen(2);
    let sql = format!("SELECT citizen_id, mobile_phone FROM resident_identity WHERE citizen_id = '{number}'");
    assert_eq!(city.ask("identity", &sql).await.expect("rows"), [[number.as_str(), "13800000000"]]);
    let by_parameter = "SELECT count(*) FROM resident_identity WHERE citizen_id IN ($1, $2)";
    let values = vec![Parameter::Text(number), Parameter::Text(citizen(5))];
    assert_eq!(city.ask_with("identity", by_parameter, values).await.expect("rows"), [["1"]], "the other is no member");
    assert!(city.ask("case", &sql).await.expect("rows").is_empty(), "the mask is compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pseudonyms_join_within_a_purpose_and_not_across() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT citizen_id FROM temporary_assistance ORDER BY 1";
    let analysis = city.ask("analyst", sql).await.expect("rows");
    let monitoring = city.ask("analyst monitoring", sql).await.expect("rows");
    assert_eq!(analysis.len(), 6);
    assert!(column(&analysis, 0).iter().all(|name| !column(&monitoring, 0).contains(name)));
    assert!(analysis.iter().all(|row| !row[0].contains("3710")));
    let joined = "SELECT count(*) FROM temporary_assistance t JOIN resident_identity r ON t.citizen_id = r.citizen_id";
    assert_eq!(city.ask("analyst", joined).await.expect("rows"), [["6"]]);
    let worker = city.ask("case", "SELECT citizen_id_ref FROM resident_identity").await.expect("rows");
    assert!(column(&worker, 0).iter().all(|name| !column(&analysis, 0).contains(name)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_children_are_left_out() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT count(*) FROM resident_identity";
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["23"]]);
    assert_eq!(city.ask("statistician", sql).await.expect("rows"), [["24"]], "counted, never shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_else_is_generalised_for_analysts() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT birth_date, hukou_division_code, hukou_address FROM resident_identity LIMIT 1";
    let address = "山东省威海市环翠区鲸园街道***";
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["1960-01-01", "371002", address]]);
    let sql = "SELECT case_no, amount FROM temporary_assistance ORDER BY amount LIMIT 1";
    let row = city.ask("analyst", sql).await.expect("rows").remove(0);
    assert_eq!(row[1], "500.00");
    assert_ne!(row[0], "1", "a record number is a pseudonym");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_describes_what_is_visible_and_nothing_else() {
    let city = City::small(Hidden::None).await;
    let (principal, purpose) = asking("analyst");
    let tables = city.service.tables(&principal, &purpose);
    let person = tables.iter().find(|table| table.name == "resident_identity").expect("visible");
    let shown = |name: &str| person.columns.iter().find(|c| c.name == name).map(|c| c.shown.clone());
    assert_eq!(shown("full_name").as_deref(), Some("masked(name)"));
    assert_eq!(shown("mobile_phone"), None);
    assert!(person.columns.iter().all(|column| !column.name.contains("__")));
    assert!(!tables.iter().any(|table| table.name == "prison_inmate"));
    let listed = "SELECT label_zh, shown FROM information_schema.columns \
                  WHERE table_name = 'resident_identity' AND column_name = 'full_name'";
    assert_eq!(city.ask("analyst", listed).await.expect("rows"), [["姓名", "masked(name)"]]);
    let (principal, purpose) = asking("operator");
    assert!(city.service.tables(&principal, &purpose).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_is_on_record_before_its_answer() {
    let city = City::small(Hidden::None).await;
    city.ask("county", "SELECT full_name FROM temporary_assistance WHERE case_no = '3'").await.expect("rows");
    city.ask("county", "SET a = 1").await.expect_err("refused");
    let (opened, closed) = (city.audit.opened.lock().clone(), city.audit.closed.lock().clone());
    assert_eq!(opened.len(), 2);
    assert_eq!(opened[0].statement, "SELECT full_name FROM temporary_assistance WHERE case_no = ?");
    assert_eq!(opened[0].tables[0].columns, ["case_no:raw", "full_name:masked(name)"]);
    assert_eq!(opened[0].tables[0].rows, "county 371002");
    assert_eq!((opened[0].outcome.as_str(), opened[1].outcome.as_str()), ("allowed", "sql_not_allowed"));
    assert_eq!((closed.len(), closed[0].rows, closed[0].outcome.as_str()), (1, 1, "complete"));
    city.audit.broken.store(true, Ordering::SeqCst);
    let unheard = city.ask("county", "SELECT 1").await;
    assert_eq!(unheard, Err(QueryError::AuditUnavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_double_quotes_or_in_a_broken_statement_is_not_on_record() {
    let city = City::small(Hidden::None).await;
    let number = citizen(1);
    for sql in [
        format!("SELECT 1 FROM temporary_assistance WHERE citizen_id = \"{number}\""),
        format!("SELECT case_no AS \"{number}\" FROM temporary_assistance"),
        format!("SELECT case_no FROM temporary_assistance WHERE {number} = '{number}"),
        format!("SELEC {number}"),
        format!("SET x = '{number}'"),
        format!("SELECT 1; SELECT \"{number}\""),
    ] {
        let _either = city.ask("county", &sql).await;
        let record = city.audit.opened.lock().last().cloned().expect("on record");
        assert!(!format!("{record:?}").contains("371002196"), "{record:?}");
        assert_eq!(record.statement_bytes, sql.len());
    }
    let opened = city.audit.opened.lock().clone();
    assert_eq!(opened[0].statement, "SELECT ? FROM temporary_assistance WHERE citizen_id = _");
    assert!(opened[2..].iter().all(|record| record.statement.is_empty()), "{opened:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_are_values_of_their_column() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT count(*) FROM resident_identity WHERE birth_date <= $1 AND sex_code = $2";
    let values = vec![Parameter::Text("1990-01-01".into()), Parameter::Text("1".into())];
    assert_eq!(city.ask_with("analyst", sql, values).await.expect("rows"), [["23"]]);
    let missing = city.ask_with("analyst", sql, vec![Parameter::Null]).await.expect_err("one is missing");
    assert_eq!(missing, QueryError::Invalid);
    let (principal, purpose) = asking("analyst");
    let (schema, types) = city.service.describe(&principal, &purpose, sql).await.expect("described");
    assert_eq!((schema.fields().len(), types.len()), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_holds_from_the_next_query_on() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT count(*) FROM temporary_assistance";
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["6"]]);
    let mut source = PolicySource::embedded();
    source.policies.push(("closed.cedar".into(), r#"@id("closed") forbid (principal, action, resource);"#.into()));
    let closed = Policy::load(&source, Catalogue::embedded()).expect("valid");
    city.service.replace_policy(Arc::new(closed));
    assert_eq!(city.ask("analyst", sql).await.expect_err("revoked").code(), "sql_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_shows_itself_to_those_who_watch_it() {
    let city = City::small(Hidden::None).await;
    let sql = "SELECT count(*) FROM audit_log";
    assert_eq!(city.ask("auditor", sql).await.expect("rows"), [["2"]]);
    for other in ["operator", "analyst", "statistician", "case"] {
        assert_eq!(city.ask(other, sql).await.expect_err("hidden").code(), "sql_not_found", "{other}");
    }
    let listed = city.ask("auditor", "SELECT table_name FROM information_schema.tables").await.expect("rows");
    assert_eq!(listed, [["audit_log"]]);
}
