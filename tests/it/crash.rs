//! Kill -9 at random moments of an ingest: rows agree with the truth, none lost, none doubled (`BUS-1`, `INT-1`,
//! `LAKE-1`).

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use minqiao_connector_api::progress::Bars;
use minqiao_connector_api::report::RunReport;
use minqiao_core::SystemClock;
use minqiao_server::commands::demo::connectors::connector;
use minqiao_server::commands::demo::truth;
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;

use crate::ingest::{Scene, free_port, serve};

const KILLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn killed_ten_times_during_an_ingest_nothing_is_lost_or_doubled() {
    let scene = Scene::new(12_000).await;
    let mut schedule = scene.schedule();
    let folder = scene.folder.path();
    let mut config = crate::world::config(folder);
    config.http.listen.set_port(free_port());
    config.operations.listen.set_port(free_port());
    let cast = scene.cast(&config);

    let log = folder.join("hub.log");
    let mut hub = serve(&config, &log);
    let kills = async {
        let mut during_ingest = 0;
        for _ in 0..KILLS {
            tokio::time::sleep(schedule.millis(150, 849)).await;
            during_ingest += usize::from(!scene.is_in());
            hub.kill().expect("kill -9");
            hub.wait().expect("it is gone");
            hub = serve(&config, &log);
        }
        during_ingest
    };
    let both = async { tokio::join!(scene.ingest(config.http.listen.port(), &cast), kills) };
    let (reports, during_ingest) = tokio::time::timeout(Duration::from_secs(300), both).await.expect("in time");
    assert!(during_ingest >= 3, "only {during_ingest} kills struck during the ingest: the city is too small");
    hub.kill().expect("kill -9 once more");
    hub.wait().expect("it is gone");

    scene.agrees_with(&reports);
    stored_is_what_was_accepted(config.clone(), &reports).await;
    every_message_is_in_the_lake(&config);

    // The log holds everything: the lake, lost with its index, is made again from it.
    std::fs::remove_dir_all(config.below_data("lake")).expect("the lake is gone");
    stored_is_what_was_accepted(config, &reports).await;
}

/// The department's own process this time, over one checkpoint.
#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_is_killed_delivers_every_row_once() {
    const DEPARTMENT: &str = "civil-affairs";
    let scene = Scene::new(12_000).await;
    let mut schedule = scene.schedule();
    let config = crate::world::config(scene.folder.path());
    let cast = scene.cast(&config);
    let hub = Hub::open(config.clone(), Arc::new(SystemClock::new())).await.expect("the folder opens");
    let running = hub.start().await.expect("it starts");
    let player = cast.connectors.iter().find(|p| p.department == DEPARTMENT).expect("a connector");
    let bars = Arc::new(Bars::new(scene.bars.clone()));
    let mut same = connector(running.http.port(), &cast, player, &scene.city, bars).expect("a connector");
    // Small batches, many moments to die in. A file that was cut otherwise would be read again.
    same.options.limits.piece_rows = 256;
    let (department, division) = player.provider.split_once('.').expect("a provider");
    let file = scene.folder.path().join("connector.yaml");
    let text = serde_json::json!({
        "department": department, "division": division,
        "exports": same.exports_dir, "state": same.checkpoint, "reports": scene.folder.path().join("reports"),
        "gateway": {
            "url": format!("https://localhost:{}", running.http.port()), "ca": cast.authority,
            "certificate": player.pair.certificate, "key": player.pair.key,
        },
        "run": {"rows_per_batch": same.options.limits.piece_rows},
    });
    std::fs::write(&file, text.to_string()).expect("written");
    let program = minqiao_tests::hub::program("minqiao-connector").expect("the program");
    let mut struck = 0;
    let status = loop {
        let mut process = Command::new(&program);
        process.args(["run", "--json", "--config"]).arg(&file).stdout(Stdio::null());
        let mut process = process.spawn().expect("it starts");
        if struck < KILLS {
            tokio::time::sleep(schedule.millis(20, 350)).await;
            process.kill().expect("kill -9");
        }
        let status = process.wait().expect("it is gone");
        if status.code().is_some() {
            break status;
        }
        struck += 1;
    };
    assert!(status.success(), "{status}");
    assert!(struck >= 5, "only {struck} kills struck: the city is too small");

    // All is delivered: this run only tells what became of every row.
    let report = same.run().await.expect("the checkpoint is whole");
    assert!(report.is_complete());
    let rows = truth::compare_rows(&scene.city, std::slice::from_ref(&report)).expect("a truth");
    assert_eq!(rows.truth.rows_disagree, 0, "{:?}", rows.examples);
    running.stop().await;
    stored_is_what_was_accepted(config, &[report]).await;
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
    let told = Command::new(minqiao_tests::hub::program("minqiao").expect("the program"))
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
        let [_, _, _, messages, in_lake, lag, _] = columns[..] else { panic!("{columns:?}") };
        assert!(messages == in_lake && lag == "0", "{columns:?}");
    }
    assert!(told.contains("of batch ") && told.contains("by civil-affairs.371000, catalogue "), "{told}");
}
