//! A lake that does not keep up holds senders up, and lets them in again.

use std::time::Duration;

use minqiao_core::Receipt;
use minqiao_server::units::Span;
use reqwest::StatusCode;

use crate::doors::{ITEM, code, ndjson, row, send};
use crate::world::World;

const NDJSON: &str = "application/x-ndjson";

#[tokio::test(flavor = "multi_thread")]
async fn senders_wait_while_too_much_of_an_item_waits_for_the_lake() {
    let world = World::start_with(|config| {
        // What comes after the first row waits for seconds.
        config.lake.commit_every = Span(Duration::from_secs(8));
        config.limits.lake_behind_messages_max = 8;
    })
    .await;
    let client = world.connector("civil-affairs");
    let publish =
        async |n: u32| send(&client, &world, ITEM, &format!("b-{n}"), NDJSON, ndjson(&[row(n, "1.00")])).await;
    let mut acknowledged: Vec<Receipt> = Vec::new();
    let mut n = 0;
    let refused = loop {
        n += 1;
        assert!(n < 2_000, "nobody is held up");
        let response = publish(n).await;
        if response.status() != StatusCode::OK {
            break response;
        }
        acknowledged.push(response.json().await.expect("a receipt"));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(acknowledged.len() > 8);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(code(refused).await, (StatusCode::SERVICE_UNAVAILABLE, "lake_behind".to_owned()));

    // What has a receipt has it still; another item is taken.
    let again: Receipt = publish(1).await.json().await.expect("a receipt");
    assert_eq!(again, acknowledged[0]);
    let other = send(&client, &world, "disability_two_subsidies", "b", NDJSON, "{}\n".to_owned()).await;
    assert_eq!(other.status(), StatusCode::OK, "its row is bad, but it is taken");
    let metrics = world.anonymous().get(format!("http://{}/metrics", world.running.operations));
    let metrics = metrics.send().await.expect("an answer").text().await.expect("metrics");
    assert!(metrics.contains("\nminqiao_intake_held_items 1\n"), "{metrics}");

    // The lake commits, and the same batch is taken.
    let taken = async {
        loop {
            let response = publish(n).await;
            if response.status() == StatusCode::OK {
                return response.json::<Receipt>().await.expect("a receipt");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    acknowledged.push(tokio::time::timeout(Duration::from_secs(60), taken).await.expect("it is let in again"));
    let hub = &world.running.hub;
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(60)).await.expect("queryable");
    assert_eq!(hub.lake.row_counts()[ITEM].changes, acknowledged.len() as u64);
    world.stop().await;
}
