//! What bounds a query, and what a broken one leaves behind.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use futures::StreamExt;
use minqiao_core::KindOf;
use minqiao_query::{Limits, QueryError, QueryRequest};

use crate::fixture::{City, Hidden, Storage, asking};

async fn city(limits: Limits) -> City {
    City::build(Hidden::None, Storage::Memory, limits).await
}

const CROSS: &str = "SELECT count(*) FROM resident_identity a CROSS JOIN resident_identity b CROSS JOIN \
                     resident_identity c CROSS JOIN resident_identity d CROSS JOIN resident_identity e CROSS JOIN \
                     resident_identity f WHERE a.full_name || f.full_name LIKE '%x%'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_ends() {
    let city = city(Limits { timeout: Duration::from_millis(1_500), ..Limits::default() }).await;
    city.ask("analyst", "SELECT count(*) FROM resident_identity").await.expect("warm");
    let error = city.ask("analyst", CROSS).await.expect_err("stopped");
    assert_eq!(error.code(), "query_timeout");
    assert_eq!(city.audit.closed.lock()[1].outcome, "query_timeout");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_too_large_ends() {
    let city = city(Limits { rows_max: 100, ..Limits::default() }).await;
    let sql = "SELECT a.full_name FROM resident_identity a CROSS JOIN resident_identity b";
    assert_eq!(city.ask("analyst", sql).await.expect_err("stopped").code(), "answer_too_large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_needs_too_much_memory_ends() {
    let city = city(Limits { query_memory_bytes: 200_000, ..Limits::default() }).await;
    let sql = "SELECT a.full_name, b.full_name, c.full_name, count(*) FROM resident_identity a CROSS JOIN \
               resident_identity b CROSS JOIN resident_identity c GROUP BY 1, 2, 3, a.citizen_id, b.citizen_id, c.citizen_id";
    assert_eq!(city.ask("analyst", sql).await.expect_err("stopped").code(), "query_memory");
}

/// Six times six rows, no column: the engine counts nothing of what these joins hold.
const WITHOUT_COLUMNS: &str = "SELECT count(*) FROM bank_deposit a, bank_deposit b, bank_deposit c, bank_deposit d, \
                               bank_deposit e, bank_deposit f";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_without_columns_need_memory_too() {
    let ample = city(Limits::default()).await;
    assert_eq!(ample.ask("analyst", WITHOUT_COLUMNS).await.expect("rows"), [["46656"]]);
    let narrow = city(Limits { query_memory_bytes: 4 << 10, ..Limits::default() }).await;
    assert_eq!(narrow.ask("analyst", WITHOUT_COLUMNS).await.expect_err("stopped").code(), "query_memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_window_and_of_a_join_without_equality_need_memory() {
    let windows = [
        "SELECT sum(1) OVER () FROM resident_identity a, resident_identity b, resident_identity c",
        "SELECT sum(1) OVER (ROWS BETWEEN 9000 PRECEDING AND CURRENT ROW) FROM resident_identity a, \
         resident_identity b, resident_identity c",
    ];
    let join = "SELECT count(*) FROM resident_identity a JOIN resident_identity b ON a.full_name > b.full_name";
    let ample = city(Limits::default()).await;
    let narrow = city(Limits { query_memory_bytes: 60_000, ..Limits::default() }).await;
    for sql in windows {
        assert_eq!(ample.ask("analyst", sql).await.expect("rows").len(), 12_167, "{sql}");
        assert_eq!(narrow.ask("analyst", sql).await.expect_err("stopped").code(), "query_memory", "{sql}");
    }
    assert!(narrow.ask("analyst", join).await.is_ok(), "its left side is small");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_sides_join_without_an_equality() {
    let city = city(Limits { query_memory_bytes: 1 << 20, ..Limits::default() }).await;
    let sql = "SELECT count(*) FROM resident_identity r CROSS JOIN (SELECT max(amount) AS most FROM temporary_assistance) m \
               WHERE m.most > (SELECT min(amount) FROM temporary_assistance)";
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["23"]]);
    let sql = "SELECT count(*) FROM temporary_assistance a JOIN temporary_assistance b ON a.amount > b.amount";
    // Four rows in the band below, two above.
    assert_eq!(city.ask("analyst", sql).await.expect("rows"), [["8"]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_stream_cancels_and_frees_the_slot() {
    let city = city(Limits { concurrent_queries_max: 1, ..Limits::default() }).await;
    let (principal, purpose) = asking("analyst");
    let request = QueryRequest {
        request_id: "slow".into(),
        door: "test",
        principal,
        purpose,
        sql: CROSS.into(),
        parameters: Vec::new(),
    };
    let stream = city.service.query(request).await.expect("running");
    assert_eq!(city.ask("analyst", "SELECT 1").await.expect_err("full").code(), "too_many_queries");
    drop(stream);
    let free = async {
        while city.ask("analyst", "SELECT 1").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), free).await.expect("freed");
    assert_eq!(city.audit.closed.lock()[0].outcome, "query_cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_statements_are_refused_in_time() {
    let city = city(Limits::default()).await;
    let layers: Vec<String> = (1..40).map(|n| format!("t{n} AS (SELECT n || n AS n FROM t{})", n - 1)).collect();
    let doubled =
        format!("WITH t0 AS (SELECT full_name AS n FROM resident_identity), {} SELECT n FROM t39", layers.join(", "));
    let ors = format!("SELECT 1 WHERE 1=1{}", " OR 1=2".repeat(900));
    let deep = format!("SELECT {}1{}", "(".repeat(900), ")".repeat(900));
    let nested = (0..60).fold("SELECT 1 AS a".to_owned(), |inner, n| format!("SELECT a FROM ({inner}) s{n}"));
    let long = format!("SELECT '{}'", "x".repeat(100_000));
    let garbage = "\u{0}\u{feff}SELECT ☃ FROM".to_owned();
    for sql in [doubled, ors, deep, long, garbage, "".into(), ";".into(), "SELECT".into()] {
        let error = city.ask("analyst", &sql).await.expect_err("refused");
        assert!(matches!(error.code(), "sql_too_large" | "sql_syntax" | "sql_not_allowed"), "{error:?}");
    }
    let outcome = city.ask("analyst", &nested).await;
    assert!(
        matches!(&outcome, Ok(_) | Err(QueryError::StatementTooLarge { .. } | QueryError::Syntax { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_carries_labels() {
    let city = city(Limits::default()).await;
    let (principal, purpose) = asking("case");
    let request = QueryRequest {
        request_id: "labels".into(),
        door: "test",
        principal,
        purpose,
        sql: "SELECT full_name FROM resident_identity".into(),
        parameters: Vec::new(),
    };
    let mut stream = city.service.query(request).await.expect("running");
    assert_eq!(stream.schema().field(0).metadata().get("label_zh").map(String::as_str), Some("姓名"));
    while let Some(batch) = stream.next().await {
        batch.expect("a batch");
    }
}

/// A stored table whose scan panics with a value in its mouth.
#[derive(Debug)]
struct Panicking(SchemaRef);

#[async_trait]
impl TableProvider for Panicking {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        panic!("a stored value")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_one_query() {
    let city = city(Limits::default()).await;
    let schema = city.stored("motor_vehicle").schema();
    city.replace("motor_vehicle", Arc::new(Panicking(schema)));
    let error = city.ask("analyst", "SELECT * FROM motor_vehicle").await.expect_err("panicked");
    assert_eq!((error.clone(), error.to_string().contains("stored")), (QueryError::Internal, false));
    assert_eq!(city.audit.opened.lock()[0].outcome, "internal");
    assert_eq!(city.ask("analyst", "SELECT count(*) FROM temporary_assistance").await.expect("rows"), [["6"]]);
}
