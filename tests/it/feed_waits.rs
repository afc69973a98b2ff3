//! Feeds that wait: long polls, event streams, and that waiting readers are bounded.

use std::time::Duration;

use futures::StreamExt;
use minqiao_policy::{Policy, PolicySource};
use minqiao_schemas::Catalogue;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::doors::{code, row};
use crate::feeds::{FEED, get, page, position, publish, read_all, rows, sharing_world};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_wakes_on_arrival_and_comes_back_empty_otherwise() {
    let world = sharing_world().await;
    publish(&world, "b-1", &[row(1, "1.00")]).await;
    a_long_poll_is_woken(&world).await;
    let records = world.running.hub.audit.records(0, 1000).await.expect("records");
    assert!(
        !records.iter().any(|r| r.action == "feed.read" && r.detail.contains("\"rows\":0")),
        "empty is no evidence"
    );
    world.stop().await;
}

/// Of an item and of receipts.
pub(crate) async fn a_long_poll_is_woken(world: &World) {
    let readers = [(FEED, world.cast_client("education.371002")), ("receipts", world.connector("civil-affairs"))];
    for (n, (feed, client)) in readers.into_iter().enumerate() {
        let (_, at) = read_all(&client, world, feed, "start", 100).await;
        let begun = Instant::now();
        let empty = page(&client, world, feed, &format!("?after={at}&wait=1s")).await;
        assert!(rows(&empty).is_empty() && begun.elapsed() >= Duration::from_secs(1), "{feed}");

        let query = format!("?after={}&wait=30s", position(&empty));
        let waiting = page(&client, world, feed, &query);
        let arriving = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            publish(world, &format!("wake-{n}"), &[row(900 + n as u32, "1.00")]).await;
            Instant::now()
        };
        let (woken, published) = tokio::join!(waiting, arriving);
        assert_eq!(rows(&woken).len(), 1, "{feed}");
        assert!(published.elapsed() < Duration::from_secs(5), "{feed}: woken, not timed out");
    }
}

/// Events of a stream, as a browser takes them apart.
struct EventReader {
    body: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

#[derive(Debug, Default)]
struct Event {
    kind: String,
    id: String,
    data: String,
}

impl EventReader {
    async fn open(request: reqwest::RequestBuilder) -> Self {
        let response: Response = request.header("Accept", "text/event-stream").send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next event that is not only a comment; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", kind)) => event.kind = kind.to_owned(),
                        Some(("id", id)) => event.id = id.to_owned(),
                        Some(("data", data)) => event.data = data.to_owned(),
                        _ => {}
                    }
                }
                if !event.data.is_empty() {
                    return Some(event);
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.expect("in time")?;
            self.text.push_str(std::str::from_utf8(&chunk.expect("bytes")).expect("UTF-8"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_goes_on_from_its_last_id_and_ends_when_the_policy_does() {
    let world = sharing_world().await;
    publish(&world, "b-1", &[row(1, "1.00"), row(2, "2.00")]).await;
    let client = world.cast_client("education.371002");
    let mut events = EventReader::open(get(&client, &world, FEED, "?after=start&limit=1")).await;
    let (one, two) = (events.next().await.expect("an event"), events.next().await.expect("an event"));
    assert_eq!((one.kind.as_str(), two.kind.as_str()), ("rows", "rows"));
    drop(events);

    // Reconnected with the first id, the second comes again and nothing else does.
    let request = get(&client, &world, FEED, "?after=start").header("Last-Event-ID", &one.id);
    let mut events = EventReader::open(request).await;
    let again: Value = serde_json::from_str(&events.next().await.expect("an event").data).expect("JSON");
    let before: Value = serde_json::from_str(&two.data).expect("JSON");
    assert_eq!(rows(&again), rows(&before));
    publish(&world, "b-2", &[row(3, "3.00")]).await;
    let third: Value = serde_json::from_str(&events.next().await.expect("an event").data).expect("JSON");
    assert_eq!(rows(&third).len(), 1);

    // The sharing is revoked while the stream is open: the next page is refused, and the stream is over.
    let none = Policy::load(&PolicySource::embedded(), Catalogue::embedded()).expect("valid");
    world.running.hub.sql.replace_policy(std::sync::Arc::new(none));
    publish(&world, "b-3", &[row(4, "4.00")]).await;
    let last = events.next().await.expect("an event");
    assert_eq!(last.kind, "problem");
    assert!(last.data.contains("feed_not_found") && last.id.is_empty(), "{last:?}");
    assert!(events.next().await.is_none());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_readers_are_bounded_and_hold_up_neither_others_nor_the_end() {
    let world = sharing_world().await;
    publish(&world, "b-1", &[row(1, "1.00")]).await;
    let client = world.cast_client("education.371002");
    let mut streams = Vec::new();
    for _ in 0..8 {
        streams.push(EventReader::open(get(&client, &world, FEED, "?after=now")).await);
    }
    let ninth = get(&client, &world, FEED, "?after=now&wait=30s").send().await.expect("an answer");
    assert!(ninth.headers().contains_key("retry-after"));
    assert_eq!(code(ninth).await, (StatusCode::TOO_MANY_REQUESTS, "too_many_polls".to_owned()));
    // A page at once needs no place, and another reader has places of its own.
    assert_eq!(rows(&page(&client, &world, FEED, "?after=start").await).len(), 1);
    let other = world.connector("housing-urban-rural");
    assert_eq!(rows(&page(&other, &world, FEED, "?after=start&wait=30s").await).len(), 1);
    // Readers that go away give their places back.
    drop(streams);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let again = get(&client, &world, FEED, "?after=start&wait=1s").send().await.expect("an answer");
        if again.status() == StatusCode::OK {
            break;
        }
        assert!(Instant::now() < deadline, "places come back");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // A stop ends waits and streams at once; what waits gets an answer.
    let mut stream = EventReader::open(get(&other, &world, FEED, "?after=now")).await;
    let waiting = tokio::spawn(get(&client, &world, FEED, "?after=now&wait=60s").send());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    world.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let answered: Value = waiting.await.expect("no panic").expect("an answer").json().await.expect("JSON");
    assert_eq!(answered["row_count"], 0);
    assert!(stream.next().await.is_none());
}
