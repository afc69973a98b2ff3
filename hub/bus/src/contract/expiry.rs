//! What happens when old messages are removed.

use super::{Harness, Verdict, all, message, topic};
use crate::{Bus, BusError, Expiry};

async fn expire(bus: &dyn Bus, topic: &str, before: u64) -> u64 {
    let what = [Expiry { topic: topic.to_owned(), partition: 0, before }];
    bus.expire(&what).await.expect("expired")[0]
}

async fn assert_expired(bus: &dyn Bus, topic: &str, asked: u64, kept: u64) {
    let answer = bus.fetch(topic, 0, asked, 1000).await;
    let told = matches!(&answer, Err(BusError::Expired { from, first }) if (*from, *first) == (asked, kept));
    assert!(told, "offset {asked} with {kept} kept: {answer:?}");
}

/// Readers of what is gone are told; what is kept keeps its positions, and so does what comes.
pub async fn what_expires_is_told_and_the_rest_stays(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "expiry", 2).await;
    let messages: Vec<_> = (0..10).map(|row| message("b", row, format!("p{row}"))).collect();
    bus.append(&topic, 0, messages.clone()).await.expect("appended");
    bus.append(&topic, 1, messages[..3].to_vec()).await.expect("appended");
    assert_eq!(expire(&*bus, &topic, 6).await, 6);
    assert_expired(&*bus, &topic, 0, 6).await;
    assert_expired(&*bus, &topic, 5, 6).await;
    let kept = bus.fetch(&topic, 0, 6, 1 << 20).await.expect("kept");
    assert_eq!(kept.iter().map(|record| record.offset).collect::<Vec<_>>(), [6, 7, 8, 9]);
    assert_eq!(kept[0].payload, "p6");
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 10);
    assert_eq!(all(&*bus, &topic, 1).await.len(), 3, "another partition");
    assert_eq!(expire(&*bus, &topic, 3).await, 6, "what is gone is gone");
    assert_eq!(bus.append(&topic, 0, messages[9..].to_vec()).await.expect("repeated"), [9]);
    assert_eq!(bus.append(&topic, 0, vec![message("c", 0, "new")]).await.expect("appended"), [10]);
    Verdict::Held
}

/// The last message stays, and with it the end, also for who opens the log later.
pub async fn the_last_message_never_expires(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "expiry-last", 1).await;
    assert_eq!(expire(&*bus, &topic, 5).await, 0, "an empty partition");
    bus.append(&topic, 0, (0..4).map(|row| message("b", row, "x")).collect()).await.expect("appended");
    assert_eq!(expire(&*bus, &topic, 1000).await, 3);
    let bus = if bus.capabilities().durable {
        drop(bus);
        harness.open().await
    } else {
        bus
    };
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 4);
    assert_expired(&*bus, &topic, 0, 3).await;
    assert_eq!(bus.fetch(&topic, 0, 3, 1000).await.expect("kept").len(), 1);
    assert_eq!(bus.append(&topic, 0, vec![message("b", 9, "y")]).await.expect("appended"), [4]);
    Verdict::Held
}
