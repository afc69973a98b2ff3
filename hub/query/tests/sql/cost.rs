//! What the barrier costs: ten queries through it against the same ten on the stored table. Prints JSON; asserts that
//! the answers agree, never the times. Run by hand: `cargo test --release --workspace --test sql -- --ignored cost`.

use std::time::Duration;

use datafusion::prelude::{SessionConfig, SessionContext};
use minqiao_core::{Clock, SystemClock};
use minqiao_query::Limits;

use crate::fixture::{City, Hidden, Storage, texts};

const ROWS: usize = 400_000;

/// Through the barrier as an analyst, and on the stored table.
const QUERIES: [(&str, &str); 10] = [
    ("SELECT count(*) FROM t", "SELECT count(case_no) FROM t"),
    ("SELECT reason_code, count(*) FROM t GROUP BY 1 ORDER BY 1", ""),
    ("SELECT count(*) FROM t WHERE reason_code = '02'", ""),
    ("SELECT aid_mode_code, reason_code, count(*) FROM t GROUP BY 1, 2 ORDER BY 1, 2", ""),
    ("SELECT count(*) FROM t WHERE reason_code IN ('01', '03') AND is_local_hukou", ""),
    (
        "SELECT division_code, count(*), count(DISTINCT reason_code) FROM t GROUP BY 1 ORDER BY 1",
        "SELECT substr(division_code, 1, 6), count(*), count(DISTINCT reason_code) FROM t GROUP BY 1 ORDER BY 1",
    ),
    ("SELECT reason_code, sum(amount) > 0 FROM t GROUP BY 1 ORDER BY 1", ""),
    ("SELECT count(*) FROM t a JOIN (SELECT DISTINCT reason_code AS r FROM t) b ON a.reason_code = b.r", ""),
    (
        "SELECT count(*) FROM (SELECT reason_code, rank() OVER (PARTITION BY reason_code ORDER BY aid_mode_code) AS k FROM t) x WHERE k = 1",
        "",
    ),
    ("SELECT count(DISTINCT citizen_id) FROM t", "SELECT count(DISTINCT citizen_id__token) FROM t"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn cost_of_the_barrier() {
    let city = City::build_large(ROWS, Storage::Parquet, Limits::default()).await;
    let raw = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    raw.register_table("t", city.stored("temporary_assistance")).expect("registered");
    let clock = SystemClock::new();
    let (mut secured, mut plain) = (Duration::ZERO, Duration::ZERO);
    for (through, on_stored) in QUERIES {
        let on_stored = if on_stored.is_empty() { through } else { on_stored };
        let through = through.replace(" t ", " temporary_assistance ").replace(" t)", " temporary_assistance)");
        let through = if through.ends_with(" t") { format!("{}emporary_assistance", through) } else { through };
        let mut best = [Duration::MAX; 2];
        let mut answers = [Vec::new(), Vec::new()];
        for _ in 0..7 {
            let start = clock.monotonic();
            answers[0] = city.ask("analyst", &through).await.expect("rows");
            best[0] = best[0].min(clock.monotonic() - start);
            let start = clock.monotonic();
            let batches = raw.sql(on_stored).await.expect("planned").collect().await.expect("rows");
            best[1] = best[1].min(clock.monotonic() - start);
            answers[1] = batches.iter().flat_map(texts).collect();
        }
        assert_eq!(answers[0], answers[1], "{through}");
        println!(
            "{{\"query\": {through:?}, \"barrier_us\": {}, \"stored_us\": {}}}",
            best[0].as_micros(),
            best[1].as_micros()
        );
        secured += best[0];
        plain += best[1];
    }
    println!(
        "{{\"rows\": {ROWS}, \"barrier_us\": {}, \"stored_us\": {}, \"hidden\": {:?}}}",
        secured.as_micros(),
        plain.as_micros(),
        Hidden::None
    );
}
