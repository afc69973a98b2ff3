//! Ten queries of an analyst through policies, masks, barrier and audit, against the same on the stored tables.

use std::path::Path;

use anyhow::{Context, ensure};
use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::{SessionConfig, SessionContext};
use minqiao_core::{Principal, Purpose, Role};
use minqiao_query::QueryRequest;
use serde_json::{Value, json};

use crate::city::{City, CityArgs};
use crate::figures::{Meter, rounded};

/// As the analyst writes it, and where stored columns are named otherwise or a mask stands for a function, as it is on the
/// stored tables.
const QUERIES: [(&str, &str); 10] = [
    ("SELECT count(*) FROM pension_contribution WHERE payer_kind_code = '1'", ""),
    (
        "SELECT scheme_code, participation_status_code, count(*) FROM pension_contribution GROUP BY 1, 2 ORDER BY 1, 2",
        "",
    ),
    (
        "SELECT contribution_month, count(*) FROM pension_contribution WHERE scheme_code IN ('110', '120') GROUP BY 1 ORDER BY 1",
        "",
    ),
    (
        "SELECT employer_uscc, count(*) AS n FROM pension_contribution WHERE employer_uscc IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 20",
        "",
    ),
    (
        "SELECT agency_division_code, count(*) FROM pension_contribution GROUP BY 1 ORDER BY 1",
        "SELECT substr(agency_division_code, 1, 6), count(*) FROM pension_contribution GROUP BY 1 ORDER BY 1",
    ),
    (
        "SELECT count(DISTINCT citizen_id) FROM pension_contribution",
        "SELECT count(DISTINCT citizen_id__token) FROM pension_contribution",
    ),
    (
        "SELECT t.income_item_code, count(*) FROM individual_income_tax t WHERE t.tax_period >= DATE '2025-07-01' GROUP BY 1 ORDER BY 1",
        "",
    ),
    (
        "SELECT count(*) FROM individual_income_tax t JOIN motor_vehicle v ON t.citizen_id = v.owner_citizen_id",
        "SELECT count(*) FROM individual_income_tax t JOIN motor_vehicle v ON t.citizen_id__token = v.owner_citizen_id__token",
    ),
    (
        "SELECT vehicle_type_code, n FROM (SELECT vehicle_type_code, count(*) AS n, rank() OVER (ORDER BY count(*) DESC, vehicle_type_code) AS k FROM motor_vehicle GROUP BY 1) x WHERE k <= 3 ORDER BY n DESC, 1",
        "",
    ),
    (
        "SELECT payer_uscc, tax_period, count(*) AS n FROM individual_income_tax WHERE payer_uscc <> 'SELF' GROUP BY 1, 2 ORDER BY n DESC, 1, 2 LIMIT 10",
        "",
    ),
];
const TABLES: [&str; 3] = ["pension_contribution", "individual_income_tax", "motor_vehicle"];

pub(crate) async fn run(work: &Path, args: &CityArgs, repeat: usize) -> anyhow::Result<Value> {
    let city = City::open(work, args).await?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stored = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(cores));
    for table in TABLES {
        stored.register_table(table, city.hub.lake.current(table)?)?;
    }
    let mut lines = Vec::new();
    let (mut ours, mut theirs) = (0.0, 0.0);
    for (through, on_stored) in QUERIES {
        let on_stored = if on_stored.is_empty() { through } else { on_stored };
        let mut best = [f64::INFINITY; 2];
        let mut answers = [Vec::new(), Vec::new()];
        for _ in 0..repeat.max(1) {
            let meter = Meter::start();
            let rows = ask(&city, through).await.with_context(|| through.to_owned())?;
            best[0] = best[0].min(meter.cost().seconds);
            answers[0] = rows;
            let meter = Meter::start();
            let rows = stored.sql(on_stored).await?.collect().await?;
            best[1] = best[1].min(meter.cost().seconds);
            answers[1] = rows;
        }
        let [secured, plain] = answers.map(|rows| texts(&rows));
        ensure!(secured == plain && !secured.is_empty(), "other answers through the barrier: {through}");
        ours += best[0];
        theirs += best[1];
        lines.push(json!({
            "sql": through, "barrier_ms": rounded(best[0] * 1000.0), "stored_ms": rounded(best[1] * 1000.0),
            "ratio": rounded(best[0] / best[1]),
        }));
    }
    let rows: u64 = TABLES.iter().filter_map(|t| city.hub.lake.row_counts().get(*t).map(|c| c.changes)).sum();
    city.hub.close().await;
    Ok(json!({
        "benchmark": "policy", "rows_of_the_tables": rows, "repeat": repeat,
        "minqiao": { "seconds": rounded(ours) },
        "peer": { "name": "DataFusion on the stored tables", "seconds": rounded(theirs) },
        "seconds_minqiao_to_peer": rounded(ours / theirs), "queries": lines,
    }))
}

async fn ask(city: &City, sql: &str) -> anyhow::Result<Vec<RecordBatch>> {
    let principal =
        Principal { id: "bench".into(), role: Role::Analyst, department: Some("civil-affairs".into()), county: None };
    let request = QueryRequest {
        request_id: "bench".to_owned(),
        door: "cli",
        principal,
        purpose: Purpose { code: "analysis".into(), case: None },
        sql: sql.to_owned(),
        parameters: Vec::new(),
    };
    Ok(city.hub.sql.query(request).await?.collect_batches().await?)
}

/// Rows as text: the two sides may carry text in different Arrow types.
fn texts(batches: &[RecordBatch]) -> Vec<String> {
    let options = FormatOptions::default().with_null("∅");
    let mut rows = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().filter_map(|c| ArrayFormatter::try_new(c.as_ref(), &options).ok()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join("|"));
        }
    }
    rows
}
