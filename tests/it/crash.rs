//! Kill -9 at random moments of an ingest: rows agree with the truth, none lost, none doubled (`BUS-1`, `INT-1`,
//! `LAKE-1`). The schedule follows from a seed, which is printed; `MINQIAO_TEST_SEED` repeats one.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use minqiao_connector_api::report::RunReport;
use minqiao_core::SystemClock;
use minqiao_server::commands::demo::{DemoArgs, cast::Cast, connectors, make_city, truth};
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use minqiao_tests::Schedule;

const KILLS: usize = 10;

/// A hub of this configuration, which is written beside its log.
pub(crate) fn serve(config: &Config, log: &Path) -> Child {
    let file = log.with_extension("toml");
    std::fs::write(&file, config.effective()).expect("written");
    minqiao_tests::hub::serve(&file, log, []).expect("the hub starts")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_ten_times_during_an_ingest_nothing_is_lost_or_doubled() {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment")]
    let seed: u64 = std::env::var("MINQIAO_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_260_701);
    println!("seed {seed}");
    let mut schedule = Schedule::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
    let city = folder.path().join("city");
    let args = DemoArgs { residents: 12_000, seed, counties: 2, exit: true, summary: None, city: None, kafka: None };
    let made = make_city(&args, &city, &bars).await.expect("a city");
    let mut config = crate::world::config(folder.path());
    config.http.listen.set_port(free_port());
    config.operations.listen.set_port(free_port());
    let cast = Cast::make(&config, &made).expect("certificates");
    std::fs::copy(city.join("parameters.json"), config.parameters()).expect("parameters");

    let log = folder.path().join("hub.log");
    let mut hub = serve(&config, &log);
    let done = AtomicBool::new(false);
    let ingest = async {
        // A run whose hub stays away too long stops; the next one goes on at its checkpoint.
        for _ in 0..50 {
            let port = config.http.listen.port();
            let reports = connectors::run_all(port, &cast, &city, &bars).await.expect("connectors run");
            if reports.iter().all(|report| report.is_complete()) {
                done.store(true, Ordering::SeqCst);
                return reports;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the connectors never came to an end");
    };
    let kills = async {
        let mut during_ingest = 0;
        for _ in 0..KILLS {
            tokio::time::sleep(schedule.millis(150, 849)).await;
            during_ingest += usize::from(!done.load(Ordering::SeqCst));
            hub.kill().expect("kill -9");
            hub.wait().expect("it is gone");
            hub = serve(&config, &log);
        }
        during_ingest
    };
    let both = async { tokio::join!(ingest, kills) };
    let (reports, during_ingest) = tokio::time::timeout(Duration::from_secs(300), both).await.expect("in time");
    assert!(during_ingest >= 3, "only {during_ingest} kills struck during the ingest: the city is too small");
    hub.kill().expect("kill -9 once more");
    hub.wait().expect("it is gone");

    let rows = truth::compare_rows(&city, &reports).expect("a truth");
    assert_eq!(rows.truth.rows_disagree, 0, "{:?}", rows.examples);
    assert_eq!(rows.truth.rows_agree, made.rows);
    stored_is_what_was_accepted(config.clone(), &reports).await;
    every_message_is_in_the_lake(&config);

    // The log holds everything: the lake, lost with its index, is made again from it.
    std::fs::remove_dir_all(config.below_data("lake")).expect("the lake is gone");
    stored_is_what_was_accepted(config, &reports).await;
}

async fn stored_is_what_was_accepted(config: Config, reports: &[RunReport]) {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await.expect("the folder opens");
    let running = hub.start().await.expect("it starts");
    let hub = running.hub.clone();
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(120)).await.expect("all is queryable");
    for report in reports {
        for item in &report.items {
            let stored = hub.lake.row_counts().get(&item.item).map_or(0, |rows| rows.changes);
            assert_eq!(stored, item.counts.accepted, "{}: accepted rows and stored versions", item.item);
        }
    }
    running.stop().await;
}

/// `minqiao bus inspect` tells positions and headers, and that the lake lacks nothing.
fn every_message_is_in_the_lake(config: &Config) {
    let told = Command::new(minqiao_tests::hub::program().expect("the program"))
        .arg("--data")
        .arg(&config.data_dir)
        .args(["bus", "inspect", "--headers", "1"])
        .output()
        .expect("it runs");
    let told = String::from_utf8(told.stdout).expect("text");
    let partitions: Vec<Vec<&str>> = told
        .lines()
        .filter(|line| line.starts_with("minqiao."))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(partitions.len(), 73 * 2, "{told}");
    for columns in partitions {
        let [_, _, messages, in_lake, lag, _] = columns[..] else { panic!("{columns:?}") };
        assert!(messages == in_lake && lag == "0", "{columns:?}");
    }
    assert!(told.contains("of batch ") && told.contains("by civil-affairs.371000, catalogue "), "{told}");
}
