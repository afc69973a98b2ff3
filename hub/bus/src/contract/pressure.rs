//! Scenarios of repetition, concurrency and pressure.

use std::sync::Arc;
use std::time::Duration;

use super::{Harness, Verdict, all, message, topic};
use crate::Message;

/// BUS-2 and BUS-3 together: whoever sends a key's messages one after the other finds them in that order, each once,
/// also when every call is sent twice at the same time.
pub async fn each_key_keeps_its_order_over_repeated_calls(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "keys", 3).await;
    let senders: Vec<_> = (0..6u32)
        .map(|key| {
            let (bus, topic) = (Arc::clone(&bus), topic.clone());
            tokio::spawn(async move {
                let batch = format!("key{key}");
                for call in 0..8 {
                    let messages = vec![message(&batch, call * 2, "x"), message(&batch, call * 2 + 1, "x")];
                    let (left, right) = tokio::join!(
                        bus.append(&topic, key % 3, messages.clone()),
                        bus.append(&topic, key % 3, messages)
                    );
                    assert_eq!(left.expect("appended"), right.expect("appended"), "two answers for one message");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender ends");
    }
    for key in 0..6u32 {
        let batch = format!("key{key}");
        let records = all(&*bus, &topic, key % 3).await;
        let rows: Vec<u32> =
            records.iter().filter(|r| r.headers.batch_id == batch).map(|r| r.headers.span.first_row).collect();
        assert_eq!(rows, (0..16).collect::<Vec<_>>());
        assert_eq!(records.len(), 32, "two keys share a partition, sixteen messages each");
    }
    Verdict::Held
}

/// BUS-3: whoever sends the same batch at the same time gets the same positions.
pub async fn concurrent_repetitions_agree(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "agree", 1).await;
    let messages: Vec<Message> = (0..5).map(|row| message("b", row, "x")).collect();
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let (bus, topic, messages) = (Arc::clone(&bus), topic.clone(), messages.clone());
            tokio::spawn(async move { bus.append(&topic, 0, messages).await.expect("appended") })
        })
        .collect();
    for sender in senders {
        assert_eq!(sender.await.expect("a sender ends"), [0, 1, 2, 3, 4]);
    }
    assert_eq!(all(&*bus, &topic, 0).await.len(), 5);
    Verdict::Held
}

/// BUS-3 without limit, after a restart.
pub async fn old_messages_are_recognised_for_ever(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    if !(bus.capabilities().durable && bus.capabilities().idempotent_forever) {
        return Verdict::DoesNotApply;
    }
    let topic = topic(&*bus, harness, "old", 1).await;
    for call in 0..20 {
        let messages = (0..500).map(|row| message("b", call * 500 + row, "x")).collect();
        bus.append(&topic, 0, messages).await.expect("appended");
    }
    drop(bus);
    let bus = harness.open().await;
    let again = vec![message("b", 0, "x"), message("b", 9_999, "x"), message("c", 0, "x")];
    assert_eq!(bus.append(&topic, 0, again).await.expect("appended"), [0, 9_999, 10_000]);
    Verdict::Held
}

/// Whoever gives up waiting may send again: the message is there once, whether the first call got through or not.
pub async fn an_abandoned_append_is_stored_once(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "abandoned", 1).await;
    for row in 0..20 {
        let send = || bus.append(&topic, 0, vec![message("b", row, vec![7; 10_000])]);
        // Polled once, so that it has begun, and dropped.
        let abandoned = tokio::time::timeout(Duration::ZERO, send()).await;
        drop(abandoned);
        let positions = send().await.expect("appended");
        assert_eq!(positions, [u64::from(row)]);
    }
    assert_eq!(all(&*bus, &topic, 0).await.len(), 20);
    Verdict::Held
}

/// Truncated reads: from whatever position and under whatever limit, what comes is the log from there on.
pub async fn reading_resumes_at_any_position(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "resume", 1).await;
    let messages: Vec<Message> = (0..30).map(|row| message("b", row, vec![row as u8; row as usize * 100])).collect();
    bus.append(&topic, 0, messages).await.expect("appended");
    for from in [0u64, 1, 17, 28, 29, 3] {
        for max_bytes in [0, 1, 2_999, 3_000, 100_000] {
            let records = bus.fetch(&topic, 0, from, max_bytes).await.expect("read");
            assert!(!records.is_empty(), "nothing from {from} under {max_bytes} bytes");
            let bytes: usize = records.iter().map(|record| record.payload.len()).sum();
            assert!(records.len() == 1 || bytes <= max_bytes, "{bytes} bytes under a limit of {max_bytes}");
            for (record, expected) in records.iter().zip(from..) {
                assert_eq!((record.offset, u64::from(record.headers.span.first_row)), (expected, expected));
                assert!(record.payload == vec![expected as u8; expected as usize * 100], "the payload changed");
            }
        }
    }
    Verdict::Held
}

/// BUS-6: a call may be larger than what may wait at once.
pub async fn a_call_larger_than_the_queue_goes_through(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "large-call", 1).await;
    let limits = bus.limits();
    let count = u32::try_from(limits.queued_bytes_max / limits.message_bytes_max + 2).expect("few");
    let payload = bytes::Bytes::from(vec![3; limits.message_bytes_max]);
    let messages: Vec<Message> = (0..count).map(|row| message("b", row, payload.clone())).collect();
    let positions = bus.append(&topic, 0, messages).await.expect("appended");
    assert_eq!(positions, (0..u64::from(count)).collect::<Vec<_>>());
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), u64::from(count));
    Verdict::Held
}

/// BUS-6: callers wait their turn; none is refused and nothing is lost.
pub async fn more_than_the_queue_holds_waits_and_arrives(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "pressure", 2).await;
    let limits = bus.limits();
    let payload = bytes::Bytes::from(vec![5; limits.message_bytes_max / 2]);
    let calls = u32::try_from(3 * limits.queued_bytes_max / limits.message_bytes_max).expect("few");
    let senders: Vec<_> = (0..calls)
        .map(|call| {
            let (bus, topic, payload) = (Arc::clone(&bus), topic.clone(), payload.clone());
            tokio::spawn(async move {
                bus.append(&topic, call % 2, vec![message("b", call, payload)]).await.expect("appended");
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("a sender ends");
    }
    let mut ends = 0;
    for partition in 0..2 {
        ends += bus.end_offset(&topic, partition).await.expect("end");
    }
    assert_eq!(ends, u64::from(calls));
    Verdict::Held
}

/// BUS-4: an end never goes back, and up to it everything can be read, while others write.
pub async fn everything_before_the_end_can_be_read(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "visible", 1).await;
    let writer = tokio::spawn({
        let (bus, topic) = (Arc::clone(&bus), topic.clone());
        async move {
            for row in 0..100 {
                bus.append(&topic, 0, vec![message("b", row, vec![1; 500])]).await.expect("appended");
            }
        }
    });
    let mut before = 0;
    while before < 100 {
        let end = bus.end_offset(&topic, 0).await.expect("end");
        assert!(end >= before, "the end went back from {before} to {end}");
        if end > 0 {
            let last = bus.fetch(&topic, 0, end - 1, 1).await.expect("read");
            assert_eq!(last.first().map(|record| record.offset), Some(end - 1), "the last message is not there");
        }
        before = end;
        tokio::task::yield_now().await;
    }
    writer.await.expect("the writer ends");
    Verdict::Held
}

/// Names are the providers': whatever characters they have.
pub async fn headers_survive_whatever_they_hold(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "headers", 1).await;
    let mut messages = Vec::new();
    for batch in ["", "批次 一", "a\nb", "a\"b\\", &"x".repeat(2_000)] {
        let mut next = message(batch, u32::MAX, "x");
        next.headers.span.rows = 0;
        next.headers.item = format!("项{batch}");
        messages.push(next);
    }
    bus.append(&topic, 0, messages.clone()).await.expect("appended");
    let records = all(&*bus, &topic, 0).await;
    assert_eq!(records.len(), messages.len());
    for (record, message) in records.iter().zip(&messages) {
        assert_eq!(record.headers, message.headers);
    }
    Verdict::Held
}

/// A waiter sleeps over what happens elsewhere.
pub async fn a_waiter_hears_of_its_own_partition_only(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    let topic = topic(&*bus, harness, "elsewhere", 2).await;
    let waiter = tokio::spawn({
        let (bus, topic) = (Arc::clone(&bus), topic.clone());
        async move { bus.wait(&topic, 0, 0, Duration::from_secs(60)).await }
    });
    bus.append(&topic, 1, vec![message("b", 0, "x")]).await.expect("appended");
    assert_eq!(bus.wait(&topic, 1, 0, Duration::from_secs(60)).await.expect("waited"), 1);
    assert!(!waiter.is_finished(), "woken by another partition");
    bus.append(&topic, 0, vec![message("b", 0, "x")]).await.expect("appended");
    assert_eq!(waiter.await.expect("the waiter ends").expect("waited"), 1);
    Verdict::Held
}

/// A reader that starts anew knows at once how far the log goes.
pub async fn an_end_is_known_after_reopen(harness: &dyn Harness) -> Verdict {
    let bus = harness.open().await;
    if !bus.capabilities().durable {
        return Verdict::DoesNotApply;
    }
    let topic = topic(&*bus, harness, "end-reopened", 1).await;
    bus.append(&topic, 0, vec![message("b", 0, "x"), message("b", 1, "y")]).await.expect("appended");
    drop(bus);
    let bus = harness.open().await;
    assert_eq!(bus.wait(&topic, 0, 0, Duration::ZERO).await.expect("waited"), 2);
    assert_eq!(bus.fetch(&topic, 0, 1, 1).await.expect("read")[0].payload, "y");
    assert_eq!(bus.end_offset(&topic, 0).await.expect("end"), 2);
    Verdict::Held
}
