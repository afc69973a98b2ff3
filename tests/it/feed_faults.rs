//! Feeds over a log that is not whole, and a reader that is killed at any moment.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use minqiao_bus::api::topic_of;
use minqiao_bus::{Bus, BusError, Expiry, Intercepted, Interceptor, Message, Record};
use minqiao_connector_api::feed::{FeedFormat, FeedState, PageRequest};
use minqiao_connector_api::{GatewayError, HttpGateway, HttpOptions};
use minqiao_core::SystemClock;
use minqiao_doors::access::{AccessFile, AccessList, UserEntry, token_digest};
use minqiao_doors::feeds::{FeedLimits, FeedMetrics, FeedParts, Feeds};
use minqiao_doors::http;
use minqiao_doors::metrics::DoorMetrics;
use minqiao_doors::serve::{ServeOptions, serve};
use minqiao_doors::state::{AppState, UserLimit};
use minqiao_server::hub::Hub;
use prometheus::Registry;
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::doors::{code, row};
use crate::feeds::{FEED, get, publish, read_all, sharing_world};

/// What is wrong with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Hole,
    Replaced,
    Damaged,
    Away,
}

/// What stands in front of a whole log.
#[derive(Debug)]
struct Faulty {
    fault: Fault,
    struck: AtomicUsize,
}

#[async_trait]
impl Interceptor for Faulty {
    fn fetched(&self, mut records: Vec<Record>) -> Result<Vec<Record>, BusError> {
        self.struck.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Hole if records.len() > 1 => drop(records.remove(0)),
            Fault::Damaged => {
                for record in &mut records {
                    record.payload = record.payload.slice(..record.payload.len() / 2);
                }
            }
            Fault::Replaced => return Err(BusError::TopicReplaced { topic: "minqiao.elderly_allowance".into() }),
            Fault::Away => return Err(BusError::TimedOut { doing: "fetch", waited: Duration::from_secs(1) }),
            _ => {}
        }
        Ok(records)
    }
}

/// A door of the hub whose feeds read `bus`; answers its address. One user, with a token.
async fn door(hub: &Hub, bus: Arc<dyn Bus>, stop: CancellationToken) -> String {
    let registry = Registry::new();
    let feeds = Feeds::new(FeedParts {
        sql: hub.sql.clone(),
        lake: hub.lake.clone(),
        bus,
        store: hub.store.clone(),
        audit: hub.audit.clone(),
        vault: hub.vault.clone(),
        clock: hub.clock.clone(),
        catalogue: hub.catalogue,
        metrics: FeedMetrics::register(&registry).expect("names are free"),
        limits: FeedLimits::default(),
    });
    let staff = UserEntry {
        id: "staff".to_owned(),
        role: minqiao_core::Role::Department,
        department: Some("housing-urban-rural".to_owned()),
        county: None,
        token_sm3: Some(token_digest("token")),
    };
    let access = AccessList::resolve(AccessFile { users: vec![staff], connectors: Vec::new() }).expect("valid");
    let state = AppState {
        catalogue: hub.catalogue,
        access: Arc::new(access),
        intake: hub.intake.clone(),
        sql: hub.sql.clone(),
        feeds: feeds.until(stop.clone()),
        verifications: hub.verifications.clone(),
        store: hub.store.clone(),
        vault: hub.vault.clone(),
        audit: hub.audit.clone(),
        clock: hub.clock.clone(),
        metrics: DoorMetrics::register(&registry).expect("names are free"),
        user_limit: Arc::new(UserLimit::per_minute(NonZeroU32::MAX)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(serve(listener, None, http::router(state, 1 << 20, |_| true), ServeOptions::default(), stop));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_whole_is_an_error_and_never_passed_over() {
    let world = sharing_world().await;
    for n in 0..8 {
        let rows: Vec<Value> = (0..10).map(|k| row(n * 10 + k, "1.00")).collect();
        publish(&world, &format!("b-{n}"), &rows).await;
    }
    let hub = world.running.hub.clone();
    let client = world.anonymous();
    let stop = CancellationToken::new();
    let ask = async |fault: Fault, query: &str| {
        let faulty = Arc::new(Faulty { fault, struck: AtomicUsize::new(0) });
        let bus = Intercepted::new(hub.bus.clone(), Arc::clone(&faulty) as Arc<dyn Interceptor>);
        let address = door(&hub, Arc::new(bus), stop.clone()).await;
        let request = client.get(format!("{address}/v1/feeds/{FEED}{query}")).bearer_auth("token");
        let response = request.header("X-Minqiao-Purpose", "exchange").send().await.expect("an answer");
        let status = response.status();
        assert!(faulty.struck.load(Ordering::SeqCst) > 0, "{fault:?} did not strike");
        (status, response.json::<Value>().await.expect("JSON"))
    };
    let whole = read_all(&world.connector("housing-urban-rural"), &world, FEED, "start", 1000).await.0;
    assert_eq!(whole.len(), 80);

    let cases = [
        (Fault::Hole, StatusCode::INTERNAL_SERVER_ERROR, "feed_log_broken"),
        (Fault::Replaced, StatusCode::BAD_REQUEST, "position_of_another_log"),
        (Fault::Away, StatusCode::SERVICE_UNAVAILABLE, "bus_timed_out"),
    ];
    for (fault, status, code) in cases {
        let (answered, problem) = ask(fault, "?after=start").await;
        assert_eq!((answered, problem["code"].as_str()), (status, Some(code)), "{fault:?}: {problem}");
    }
    let (answered, problem) = ask(Fault::Damaged, "?after=start").await;
    assert!(answered.is_server_error() && problem["rows"].is_null(), "{problem}");

    // What retention took is not at the start any more; a position that is still there, is gone.
    let first =
        hub.bus.topics().await.expect("topics").into_iter().find(|topic| topic.name.ends_with("elderly_allowance"));
    let log = first.expect("a topic").id.to_string();
    let position = serde_json::json!({"feed": FEED, "log": log, "next": [[0, 0, 0], [0, 0, 0]], "turn": 0});
    let position: minqiao_doors::feeds::Position = serde_json::from_value(position).expect("a position");
    let position = position.seal(&hub.vault.sealer()).expect("sealed");
    let expired = |partition| Expiry { topic: topic_of("elderly_allowance"), partition, before: 2 };
    hub.bus.expire(&[expired(0), expired(1)]).await.expect("removed");
    let reader = world.connector("housing-urban-rural");
    let gone = get(&reader, &world, FEED, &format!("?after={position}")).send().await.expect("an answer");
    assert_eq!(code(gone).await, (StatusCode::PRECONDITION_FAILED, "position_gone".to_owned()));
    let left = read_all(&reader, &world, FEED, "start", 1000).await.0.len();
    assert!((1..80).contains(&left), "{left}");
    stop.cancel();
    drop(hub);
    world.stop().await;
}

/// What a hub appended that was taken for dead counts for nobody (BUS-7), wherever a reader begins.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_land_after_the_next_turn_began_are_not_shown() {
    let world = sharing_world().await;
    publish(&world, "b-1", &(0..10).map(|n| row(n, "1.00")).collect::<Vec<_>>()).await;
    let bus = world.running.hub.bus.clone();
    let topic = topic_of("elderly_allowance");
    let client = world.connector("housing-urban-rural");
    let mut stored = Vec::new();
    for partition in 0..2u32 {
        let first = bus.fetch(&topic, partition, 0, 1 << 20).await.expect("read").remove(0);
        stored.push((partition, Message { headers: first.headers, payload: first.payload }));
    }
    let rows_of_one: usize = stored.iter().map(|(_, message)| message.headers.span.rows as usize).sum();
    let append = async |batch: &str, epoch: u64, marks: bool| {
        for (partition, message) in &stored {
            let mut message = message.clone();
            message.headers.batch_id = batch.to_owned();
            message.headers.epoch = epoch;
            if marks {
                message.headers.span.rows = 0;
                message.payload = bytes::Bytes::new();
            }
            bus.append(&topic, *partition, vec![message]).await.expect("appended");
        }
    };
    append("mark", 2, true).await;
    append("late", 1, false).await;
    append("in turn", 2, false).await;
    append("later", 1, false).await;
    let (all, last) = read_all(&client, &world, FEED, "start", 3).await;
    assert_eq!(all.len(), 2 * rows_of_one, "the first batch and the one of the turn");
    // From the end of then and from the end of now: whoever comes later knows which turn it is.
    append("once more", 1, false).await;
    assert!(read_all(&client, &world, FEED, &last, 3).await.0.is_empty());
    let now = read_all(&client, &world, FEED, "now", 3).await.1;
    append("and again", 1, false).await;
    append("of the turn", 2, false).await;
    assert_eq!(read_all(&client, &world, FEED, &now, 3).await.0.len(), rows_of_one);
    world.stop().await;
}

/// Where the reader is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    BeforeWriting,
    BeforeCounting,
    BeforeConfirming,
    Never,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_killed_at_any_moment_has_every_row_once() {
    let world = sharing_world().await;
    let player = world.cast.connectors.iter().find(|p| p.department == "housing-urban-rural").expect("a department");
    let url = format!("https://localhost:{}", world.running.http.port());
    let options = HttpOptions::new(url, &world.cast.authority, &player.pair.certificate, &player.pair.key);
    let options = HttpOptions { retry_for: Duration::from_secs(10), ..options };
    let hub = HttpGateway::new(options, Arc::new(SystemClock::new())).expect("a client");
    let (state_folder, files) = (world.folder.path().join("state"), world.folder.path().join("files"));
    let schedule = [Killed::BeforeCounting, Killed::Never, Killed::BeforeWriting, Killed::BeforeConfirming];
    let mut published = 0;
    for turn in 0..40 {
        if turn % 2 == 0 && published < 150 {
            let rows: Vec<Value> = (0..10).map(|n| row(published + n, "1.00")).collect();
            publish(&world, &format!("b-{turn}"), &rows).await;
            published += 10;
        }
        // A life of the program: one page, as far as it gets.
        let killed = schedule[turn % schedule.len()];
        let mut state = FeedState::open(&state_folder, FEED).expect("opens");
        let after = state.position().unwrap_or("start").to_owned();
        let (limit, wait, format) = (7, Duration::ZERO, FeedFormat::Ndjson);
        let request = PageRequest { feed: FEED, purpose: "exchange", after: &after, limit, wait, format };
        let page = hub.feed_page(&request).await.expect("a page");
        if killed == Killed::BeforeWriting || page.rows == 0 {
            continue;
        }
        let name = state.page_name(&after, format);
        state.write_page(&files, &name, &page.body).expect("written");
        if killed == Killed::BeforeCounting {
            continue;
        }
        state.advance(&page.position).expect("kept");
        if killed == Killed::Never {
            hub.confirm_position(FEED, "exchange", &page.position).await.expect("told");
        }
    }
    // The last life goes on to the end.
    let mut state = FeedState::open(&state_folder, FEED).expect("opens");
    loop {
        let after = state.position().unwrap_or("start").to_owned();
        let format = FeedFormat::Ndjson;
        let request =
            PageRequest { feed: FEED, purpose: "exchange", after: &after, limit: 50, wait: Duration::ZERO, format };
        let page = hub.feed_page(&request).await.expect("a page");
        if page.rows == 0 && !page.more {
            break;
        }
        state.write_page(&files, &state.page_name(&after, format), &page.body).expect("written");
        state.advance(&page.position).expect("kept");
    }
    let mut records = Vec::new();
    for file in std::fs::read_dir(&files).expect("files") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        records.extend(text.lines().map(|line| {
            let row: Value = serde_json::from_str(line).expect("JSON");
            row["_record"].as_str().expect("text").to_owned()
        }));
    }
    assert_eq!(records.len(), published as usize, "no row twice");
    assert_eq!(records.iter().collect::<BTreeSet<_>>().len(), published as usize, "none lost");

    let missing = hub.feeds("exchange").await.expect("a list");
    assert_eq!(missing.not_built[0].feed, "alerts");
    let alerts = PageRequest {
        feed: "alerts",
        purpose: "exchange",
        after: "start",
        limit: 1,
        wait: Duration::ZERO,
        format: FeedFormat::Csv,
    };
    let refused = hub.feed_page(&alerts).await.expect_err("not built");
    assert!(
        matches!(&refused, GatewayError::Refused { code, detail, .. } if code == "feed_not_built" && detail.contains("预警"))
    );
    world.stop().await;
}

/// Not a benchmark, only a bound: many readers that wait cost little, and are woken together.
#[tokio::test(flavor = "multi_thread")]
async fn many_waiting_readers_are_woken_together() {
    let world = sharing_world().await;
    publish(&world, "b-0", &[row(0, "1.00")]).await;
    let reader = world.connector("housing-urban-rural");
    let waits: Vec<_> = (0..8)
        .map(|_| {
            let url = world.url(&format!("/v1/feeds/{FEED}?after=now&wait=30s"));
            let request = reader.get(url).header("X-Minqiao-Purpose", "exchange");
            tokio::spawn(async move {
                let page: Value = request.send().await.expect("an answer").json().await.expect("JSON");
                (page["row_count"].clone(), Instant::now())
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(800)).await;
    publish(&world, "b-1", &[row(1, "1.00")]).await;
    let published = Instant::now();
    for wait in waits {
        let (rows, at) = wait.await.expect("no panic");
        assert_eq!(rows, 1);
        let late = at.saturating_duration_since(published);
        println!("woken after {late:?}");
        assert!(late < Duration::from_secs(5));
    }
    world.stop().await;
}
