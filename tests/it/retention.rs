//! Old messages leave the log; what they brought stays known.

use std::time::Duration;

use minqiao_bus::api::topic_of;
use minqiao_core::Receipt;
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use minqiao_tests::servers::named;
use reqwest::StatusCode;

use crate::doors::{ITEM, ndjson, row, send};
use crate::world::{World, bus_on_kafka};

const NDJSON: &str = "application/x-ndjson";
const BATCHES: u32 = 30;

async fn publish(world: &World, batch: &str, rows: impl Iterator<Item = u32>) -> (StatusCode, String) {
    let rows: Vec<_> = rows.map(|n| row(n, "1.00")).collect();
    let client = world.connector("civil-affairs");
    let response = send(&client, world, ITEM, batch, NDJSON, ndjson(&rows)).await;
    (response.status(), response.text().await.expect("a body"))
}

async fn receipt(world: &World, batch: &str, rows: impl Iterator<Item = u32>) -> Receipt {
    let (status, body) = publish(world, batch, rows).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_str(&body).expect("a receipt")
}

async fn all_in_the_lake(hub: &Hub) -> u64 {
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(60)).await.expect("queryable");
    hub.lake.row_counts()[ITEM].changes
}

/// The messages that the log keeps, and those that it ever had.
async fn kept(hub: &Hub) -> (u64, u64) {
    let (mut kept, mut all) = (0, 0);
    for partition in 0..hub.config.bus.partitions {
        let end = hub.bus.end_offset(&topic_of(ITEM), partition).await.expect("an end");
        kept += end - hub.bus.first_offset(&topic_of(ITEM), partition).await.expect("a beginning");
        all += end;
    }
    (kept, all)
}

async fn old_messages_go_and_their_versions_stay_known(change: impl FnOnce(&mut Config)) {
    let world = World::start_with(change).await;
    for n in 0..BATCHES {
        assert_eq!(receipt(&world, &format!("b-{n}"), n * 3..n * 3 + 3).await.accepted, 3);
    }
    let rows = u64::from(BATCHES) * 3;
    let hub = &world.running.hub;
    assert_eq!(all_in_the_lake(hub).await, rows);

    // Nothing is an hour old; then everything is old enough, and the last message of each partition stays.
    assert_eq!(hub.lake.expire(&*hub.bus, Duration::from_hours(1)).await.expect("looked"), 0);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let (before, all) = kept(hub).await;
    assert!(before == all && all > 10, "{all} messages");
    hub.lake.expire(&*hub.bus, Duration::ZERO).await.expect("removed");
    assert_eq!(kept(hub).await, (hub.config.bus.partitions.into(), all));
    assert_eq!(hub.lake.row_counts()[ITEM].changes, rows);

    // A hub that never heard of these rows finds them in the lake.
    let forget = |config: &Config| std::fs::remove_dir_all(config.below_data("known")).expect("forgotten");
    let world = world.restart_after(forget).await;
    let again = receipt(&world, "again", 0..BATCHES * 3 + 2).await;
    assert_eq!((again.accepted, again.duplicate), (2, BATCHES * 3));
    assert_eq!(receipt(&world, "b-0", 0..3).await.accepted, 3, "its own receipt of then");
    let hub = &world.running.hub;
    assert_eq!(all_in_the_lake(hub).await, rows + 2);
    hub.lake.expire(&*hub.bus, Duration::ZERO).await.expect("removed");

    // Without the lake nobody can say what is new: nothing is taken, and nothing begins anew.
    if hub.config.lake.location.is_none() {
        let lose = |config: &Config| {
            forget(config);
            std::fs::remove_dir_all(config.below_data("lake")).expect("lost");
        };
        let world = world.restart_after(lose).await;
        let (status, body) = publish(&world, "after", 900..901).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_leave_the_embedded_log() {
    old_messages_go_and_their_versions_stay_known(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_messages_leave_kafka() {
    let Some(bootstrap) = named("MINQIAO_KAFKA_BOOTSTRAP", "kafka") else { return };
    let mut used = None;
    old_messages_go_and_their_versions_stay_known(|config| {
        bus_on_kafka(config, &bootstrap);
        used = Some(config.clone());
    })
    .await;
    let used = used.expect("a configuration");
    minqiao_server::bus::remove_namespace(&used).await.expect("the topics go");
}
