//! Feeds through the door: who reads what, from where to where, how it looks, and that it is no weaker door than SQL.

use std::path::Path;
use std::time::Duration;

use minqiao_core::{Receipt, Role};
use minqiao_doors::access::{AccessFile, UserEntry};
use minqiao_policy::PolicySource;
use minqiao_server::config::Config;
use minqiao_tests::servers::named;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::doors::{ITEM, citizen, code, ndjson, row, send};
use crate::feed_waits::a_long_poll_is_woken;
use crate::world::{World, bus_on_kafka};

pub(crate) const FEED: &str = "items/elderly_allowance";
const HOME: &str = "371002";
const AWAY: &str = "371083";

/// What `ops/feeds.md` shows: one policy shares one item.
fn share(department: &str, group: &str) -> String {
    format!(
        "@id(\"{department}-sees-elderly-allowances\")\n\
         permit (principal in Minqiao::Role::\"department\", action in Minqiao::Action::\"{group}\", \
         resource == Minqiao::Item::\"elderly_allowance\")\n\
         when {{ principal has department && principal.department == \"{department}\" }};\n"
    )
}

fn policies(shares: &[String]) -> PolicySource {
    let mut source = PolicySource::embedded();
    source.policies.push(("shared.cedar".to_owned(), shares.concat()));
    source
}

fn write_policies(folder: &Path, source: &PolicySource) {
    std::fs::create_dir_all(folder).expect("a folder");
    for (name, text) in &source.policies {
        std::fs::write(folder.join(name), text).expect("written");
    }
    for (name, text) in [
        ("schema.cedarschema", &source.schema),
        ("obligations.yaml", &source.obligations),
        ("scopes.yaml", &source.scopes),
    ] {
        std::fs::write(folder.join(name), text).expect("written");
    }
}

/// A hub whose civil affairs shares allowances with the departments of education and health of a county, and with
/// housing in the whole city.
pub(crate) async fn sharing_world() -> World {
    sharing_world_with(|_| {}).await
}

async fn sharing_world_with(change: impl FnOnce(&mut Config)) -> World {
    let shares = [
        share("education", "shareInCounty"),
        share("health-commission", "shareInCounty"),
        share("housing-urban-rural", "shareInCity"),
    ];
    World::start_among(
        |config| {
            let folder = config.data_dir.join("policies");
            write_policies(&folder, &policies(&shares));
            config.access.policies = Some(folder);
            change(config);
        },
        invite,
    )
    .await
}

fn invite(list: &mut AccessFile) {
    for code in ["education.371002", "education.371083", "health-commission.371083", "emergency-management.371002"] {
        list.connectors.push(code.to_owned());
    }
    let user = |id: &str, department: &str, county: Option<&str>| UserEntry {
        id: id.to_owned(),
        role: Role::Department,
        department: Some(department.to_owned()),
        county: county.map(str::to_owned),
        token_sm3: None,
    };
    list.users.push(user("education-staff", "education", Some(HOME)));
    list.users.push(user("civil-affairs-city", "civil-affairs", None));
}

fn of_county(sequence: u32, amount: &str, county: &str) -> Value {
    let mut row = row(sequence, amount);
    row["division_code"] = json!(county);
    row
}

pub(crate) fn get(client: &Client, world: &World, feed: &str, query: &str) -> reqwest::RequestBuilder {
    let path = if feed.is_empty() { "/v1/feeds".to_owned() } else { format!("/v1/feeds/{feed}{query}") };
    client.get(world.url(&path)).header("X-Minqiao-Purpose", "exchange")
}

pub(crate) async fn page(client: &Client, world: &World, feed: &str, query: &str) -> Value {
    let response = get(client, world, feed, query).send().await.expect("an answer");
    let status = response.status();
    let text = response.text().await.expect("a body");
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

pub(crate) fn position(page: &Value) -> &str {
    page["position"].as_str().expect("a position")
}

pub(crate) fn rows(page: &Value) -> &Vec<Value> {
    page["rows"].as_array().expect("rows")
}

pub(crate) async fn publish(world: &World, batch: &str, rows: &[Value]) -> Receipt {
    let client = world.connector("civil-affairs");
    let response = send(&client, world, ITEM, batch, "application/x-ndjson", ndjson(rows)).await;
    let receipt: Receipt = response.json().await.expect("a receipt");
    assert_eq!(receipt.accepted as usize, rows.len(), "{receipt:?}");
    receipt
}

/// Everything from `after` on, page by page; the rows and the last position.
pub(crate) async fn read_all(
    client: &Client,
    world: &World,
    feed: &str,
    after: &str,
    limit: usize,
) -> (Vec<Value>, String) {
    let (mut all, mut at) = (Vec::new(), after.to_owned());
    loop {
        let page = page(client, world, feed, &format!("?after={at}&limit={limit}")).await;
        assert!(rows(&page).len() <= limit);
        all.extend(rows(&page).iter().cloned());
        at = position(&page).to_owned();
        if rows(&page).is_empty() && page["more"] == false {
            return (all, at);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_department_reads_its_own_receipts_in_order_and_no_others() {
    let world = World::start_among(|_| {}, invite).await;
    let (ours, theirs) = (world.connector("civil-affairs"), world.connector("education"));
    let mut sent = Vec::new();
    for n in 1..=5 {
        sent.push(publish(&world, &format!("b-{n}"), &[row(n, "1.00")]).await);
    }
    let feeds: Value = get(&ours, &world, "", "").send().await.expect("an answer").json().await.expect("JSON");
    let names: Vec<&str> =
        feeds["feeds"].as_array().expect("a list").iter().map(|feed| feed["feed"].as_str().expect("a name")).collect();
    assert_eq!(names, ["receipts"], "nothing is shared by default");
    assert!(feeds["not_built"][0]["note_zh"].as_str().expect("text").contains("预警"), "{feeds}");

    let first = page(&ours, &world, "receipts", "?limit=2").await;
    assert_eq!((rows(&first).len(), &first["more"]), (2, &json!(true)));
    let (rest, at) = read_all(&ours, &world, "receipts", position(&first), 2).await;
    let received: Vec<Receipt> = rows(&first)
        .iter()
        .chain(&rest)
        .map(|row| serde_json::from_value(row["receipt"].clone()).expect("a receipt"))
        .collect();
    assert_eq!(received, sent, "each once, in the order in which they were stored, as they were signed");
    for receipt in &received {
        world.running.hub.vault.signer().verify_receipt(receipt).expect("the hub's signature");
    }
    assert!(read_all(&theirs, &world, "receipts", "start", 100).await.0.is_empty(), "another department has none");
    let staff = world.cast_client("civil-affairs-city");
    assert_eq!(read_all(&staff, &world, "receipts", "start", 100).await.0.len(), 5, "the department's staff");
    assert!(read_all(&world.cast_client("education-staff"), &world, "receipts", "start", 9).await.0.is_empty());

    // A position goes on exactly, whoever else reads; `now` is behind everything.
    publish(&world, "b-6", &[row(6, "1.00")]).await;
    assert_eq!(read_all(&ours, &world, "receipts", &at, 100).await.0.len(), 1);
    assert!(read_all(&ours, &world, "receipts", "now", 100).await.0.is_empty());

    // Every page with rows is evidence, and only those.
    let records = world.running.hub.audit.records(0, 1000).await.expect("records");
    let pages: Vec<Value> = records
        .iter()
        .filter(|record| record.action == "feed.read" && record.principal == "civil-affairs.371000")
        .map(|record| serde_json::from_str(&record.detail).expect("JSON"))
        .collect();
    let told: u64 = pages.iter().map(|page| page["rows"].as_u64().expect("rows")).sum();
    assert_eq!(told, 6);
    assert_eq!(
        (&pages[0]["feed"], &pages[0]["from"], &pages[0]["to"]),
        (&json!("receipts"), &json!("0:0"), &json!("0:2"))
    );
    assert!(pages.iter().all(|page| page["rows"] != 0));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_item_shows_what_sql_shows_to_each_department_its_county() {
    let world = sharing_world().await;
    let all: Vec<Value> =
        (1..=40).map(|n| of_county(n, &format!("{}.00", 500 + n), if n % 2 == 0 { HOME } else { AWAY })).collect();
    publish(&world, "b-1", &all[..25]).await;
    publish(&world, "b-2", &all[25..]).await;
    let hub = &world.running.hub;
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(30)).await.expect("queryable");

    let (education, health) = (world.cast_client("education.371002"), world.cast_client("health-commission.371083"));
    let (home, _) = read_all(&education, &world, FEED, "start", 7).await;
    let (away, _) = read_all(&health, &world, FEED, "start", 1000).await;
    let (city, _) = read_all(&world.connector("housing-urban-rural"), &world, FEED, "start", 13).await;
    assert_eq!((home.len(), away.len(), city.len()), (20, 20, 40));

    // The same principal's SQL shows the same rows with the same values.
    let staff = world.cast_client("education-staff");
    let by_sql = staff
        .post(world.url("/v1/sql"))
        .header("X-Minqiao-Purpose", "exchange")
        .json(&json!({"sql": format!("SELECT * FROM {ITEM}")}))
        .send()
        .await
        .expect("an answer");
    let by_sql: Value = by_sql.json().await.expect("JSON");
    let sorted = |rows: &[Value]| {
        let mut texts: Vec<String> = rows
            .iter()
            .map(|row| {
                let mut row = row.as_object().expect("an object").clone();
                row.retain(|name, _| name != "_op" && name != "_record");
                Value::from(row).to_string()
            })
            .collect();
        texts.sort();
        texts
    };
    assert_eq!(sorted(&home), sorted(rows(&by_sql)));
    assert_eq!(sorted(&home), sorted(&read_all(&staff, &world, FEED, "start", 1000).await.0));
    let shown = &home[0];
    assert_eq!(
        (&shown["full_name"], &shown["_op"], &shown["division_code"]),
        (&json!("试**"), &json!("upsert"), &json!(HOME))
    );
    assert!(shown.get("ability_level_code").is_none(), "what may only be aggregated, or not at all, is absent");

    // Pseudonyms of two departments have nothing in common, so what they are given cannot be put together.
    let people = |rows: &[Value], column: &str| -> std::collections::BTreeSet<String> {
        rows.iter().map(|row| row[column].as_str().expect("text").to_owned()).collect()
    };
    for column in ["citizen_id", "_record"] {
        assert_eq!(people(&city, column).len(), 40, "{column}");
        assert!(people(&home, column).is_disjoint(&people(&city, column)), "{column}");
    }

    // No form holds an identifier in clear.
    for form in FORMS {
        let response =
            get(&education, &world, FEED, "?after=start").header("Accept", form).send().await.expect("an answer");
        assert!(response.headers()["content-type"].to_str().expect("text").starts_with(form));
        assert!(response.headers().contains_key("minqiao-position"));
        let body = response.bytes().await.expect("a body");
        let holds = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("upsert"), "{form}");
        for n in 1..=40 {
            assert!(!holds(&citizen(n)), "{form}");
        }
        assert!(!holds("试验甲") && !holds(AWAY), "{form}");
    }
    world.stop().await;
}

const FORMS: [&str; 4] =
    ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"];

#[tokio::test(flavor = "multi_thread")]
async fn arrow_reads_back_as_the_rows_that_json_shows() {
    let world = sharing_world().await;
    publish(&world, "b-1", &(1..=9).map(|n| row(n, "640.50")).collect::<Vec<_>>()).await;
    let client = world.cast_client("education.371002");
    for feed in [FEED, "receipts"] {
        let reader = if feed == FEED { client.clone() } else { world.connector("civil-affairs") };
        let by_json = page(&reader, &world, feed, "?after=start").await;
        let accept = "application/vnd.apache.arrow.stream";
        let body = get(&reader, &world, feed, "?after=start").header("Accept", accept).send().await.expect("an answer");
        let body = body.bytes().await.expect("a body");
        let stream = arrow::ipc::reader::StreamReader::try_new(&body[..], None).expect("a stream");
        assert!(stream.schema().field(0).metadata().contains_key("label_zh"));
        let batches: Vec<_> = stream.map(|batch| batch.expect("a batch")).collect();
        assert_eq!(batches.iter().map(|b| b.num_rows()).sum::<usize>(), rows(&by_json).len());
        if feed == FEED {
            let mut lines = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .build::<_, arrow::json::writer::LineDelimited>(Vec::new());
            batches.iter().for_each(|batch| lines.write(batch).expect("written"));
            lines.finish().expect("finished");
            let text = String::from_utf8(lines.into_inner()).expect("UTF-8");
            let again: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            assert_eq!(&again, rows(&by_json));
        }
    }
    // An empty page has its columns all the same.
    let empty = get(&client, &world, FEED, "?after=now").header("Accept", "application/vnd.apache.arrow.stream");
    let empty = empty.send().await.expect("an answer").bytes().await.expect("a body");
    let stream = arrow::ipc::reader::StreamReader::try_new(&empty[..], None).expect("a stream");
    assert!(stream.schema().field_with_name("_op").is_ok());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_loses_nothing_and_repeats_nothing() {
    read_across_restarts(sharing_world().await).await.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_loses_nothing_and_repeats_nothing_on_kafka() {
    let Some(kafka) = named("MINQIAO_KAFKA_BOOTSTRAP", "kafka") else { return };
    let world = sharing_world_with(|config| bus_on_kafka(config, &kafka)).await;
    let config = world.running.hub.config.clone();
    let world = read_across_restarts(world).await;
    a_long_poll_is_woken(&world).await;
    world.stop().await;
    minqiao_server::bus::remove_namespace(&config).await.expect("the topics go");
}

async fn read_across_restarts(mut world: World) -> World {
    let client = |world: &World| world.cast_client("education.371002");
    let (mut seen, mut receipts) = (Vec::new(), Vec::new());
    let (mut at, mut at_receipts) = ("start".to_owned(), "start".to_owned());
    for round in 0..4u32 {
        let batch: Vec<Value> = (0..30).map(|n| row(round * 30 + n, "5.00")).collect();
        publish(&world, &format!("b-{round}"), &batch).await;
        // A part of what is there, with a page that ends within a message; the rest after the restart.
        for _ in 0..3 {
            let page = page(&client(&world), &world, FEED, &format!("?after={at}&limit=7")).await;
            seen.extend(rows(&page).iter().map(|row| row["_record"].as_str().expect("text").to_owned()));
            at = position(&page).to_owned();
        }
        let page = page(&world.connector("civil-affairs"), &world, "receipts", &format!("?after={at_receipts}")).await;
        receipts.extend(rows(&page).iter().map(|row| row["receipt"]["batch_id"].as_str().expect("text").to_owned()));
        at_receipts = position(&page).to_owned();
        world = world.restart().await;
    }
    let (rest, _) = read_all(&client(&world), &world, FEED, &at, 11).await;
    seen.extend(rest.iter().map(|row| row["_record"].as_str().expect("text").to_owned()));
    assert_eq!(seen.len(), 120);
    assert_eq!(seen.iter().collect::<std::collections::BTreeSet<_>>().len(), 120, "no row twice, none lost");
    assert_eq!(receipts, ["b-0", "b-1", "b-2", "b-3"]);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_come_with_what_happened_and_hidden_ones_leave_no_trace() {
    let world = sharing_world().await;
    let (client, city) = (world.cast_client("education.371002"), world.connector("housing-urban-rural"));
    publish(&world, "b-1", &[row(1, "1.00"), row(2, "1.00")]).await;
    let mut changed = row(1, "700.00");
    changed["_source_updated_at"] = json!("2026-06-02T08:00:00.000+08:00");
    let mut gone = row(2, "1.00");
    gone["_source_updated_at"] = json!("2026-06-03T08:00:00.000+08:00");
    gone["_op"] = json!("delete");
    // A delete that says nothing but which record: in no county, so only who sees the whole city is told.
    let bare = json!({
        "citizen_id": citizen(1), "subsidy_code": "01", "effective_from": "2026-01-01", "_op": "delete",
        "_source_updated_at": "2026-06-04T08:00:00.000+08:00",
    });
    publish(&world, "b-2", &[changed]).await;
    publish(&world, "b-3", &[gone]).await;
    publish(&world, "b-4", &[bare]).await;
    let (rows_here, at) = read_all(&client, &world, FEED, "start", 1).await;
    let ops: Vec<&str> = rows_here.iter().map(|row| row["_op"].as_str().expect("text")).collect();
    assert_eq!(ops.iter().filter(|op| **op == "delete").count(), 1, "{rows_here:?}");
    assert_eq!(ops.len(), 4);
    let versions = |rows: &[Value]| {
        let mut counts = std::collections::BTreeMap::new();
        rows.iter().for_each(|row| *counts.entry(row["_record"].to_string()).or_insert(0) += 1);
        counts.into_values().collect::<Vec<_>>()
    };
    assert_eq!(versions(&rows_here), [2, 2], "versions of a record are told to be of one record");
    let (everything, _) = read_all(&city, &world, FEED, "start", 100).await;
    assert_eq!(everything.iter().filter(|row| row["_op"] == "delete").count(), 2);

    // Rows of another county: the poll of this one neither ends early nor says that something happened.
    let begun = Instant::now();
    let query = format!("?after={at}&wait=2s");
    let waiting = page(&client, &world, FEED, &query);
    let hidden = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        publish(&world, "b-5", &(50..90).map(|n| of_county(n, "1.00", AWAY)).collect::<Vec<_>>()).await;
    };
    let (empty, ()) = tokio::join!(waiting, hidden);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!((rows(&empty).len(), &empty["more"]), (0, &json!(false)));
    assert_eq!(position(&empty).len(), position(&page(&client, &world, FEED, &format!("?after={at}")).await).len());
    publish(&world, "b-6", &[row(99, "1.00")]).await;
    assert_eq!(read_all(&client, &world, FEED, position(&empty), 100).await.0.len(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_read_is_as_if_it_did_not_exist() {
    let world = sharing_world().await;
    publish(&world, "b-1", &[row(1, "1.00")]).await;
    let stripped = |problem: Value| {
        let mut problem = problem.as_object().expect("an object").clone();
        problem.remove("request_id");
        problem
    };
    let problem = async |client: &Client, feed: &str| {
        let response = get(client, &world, feed, "?after=start").send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{feed}");
        stripped(response.json().await.expect("a problem"))
    };
    let outsider = world.cast_client("emergency-management.371002");
    let unknown = problem(&outsider, "items/no_such_item").await;
    assert_eq!(unknown["code"], "feed_not_found");
    assert!(unknown["detail_zh"].as_str().expect("text").contains("订阅"));
    // Not shared with it; shared with nobody; custody; another feed's name; SQL's names of things.
    for feed in [FEED, "items/bank_deposit", "items/prison_inmate", "no_such_feed", "audit_log", "items/..%2Freceipts"]
    {
        assert_eq!(problem(&outsider, feed).await, unknown, "{feed}");
    }
    assert_eq!(problem(&outsider, "alerts").await["code"], "feed_not_built");
    for user in ["analyst", "caseworker", "statistician", "operator", "auditor"] {
        let client = world.cast_client(user);
        for feed in [FEED, "receipts"] {
            assert_eq!(problem(&client, feed).await, unknown, "{user} {feed}");
        }
        let list: Value = get(&client, &world, "", "").send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(list["feeds"], json!([]), "{user}");
    }
    // The right reader for the wrong purpose, for none, and nobody at all.
    let reader = world.cast_client("education.371002");
    for purpose in ["analysis", "monitoring", "audit"] {
        let request = reader.get(world.url(&format!("/v1/feeds/{FEED}"))).header("X-Minqiao-Purpose", purpose);
        let response = request.send().await.expect("an answer");
        assert_eq!(stripped(response.json().await.expect("a problem")), unknown, "{purpose}");
    }
    let none = reader.get(world.url(&format!("/v1/feeds/{FEED}"))).send().await.expect("an answer");
    assert_eq!(code(none).await, (StatusCode::BAD_REQUEST, "purpose_missing".to_owned()));
    let nobody = get(&world.anonymous(), &world, FEED, "").send().await.expect("an answer");
    assert_eq!(code(nobody).await.0, StatusCode::UNAUTHORIZED);
    let two = get(&reader, &world, FEED, "").bearer_auth("a token").send().await.expect("an answer");
    assert_eq!(code(two).await.0, StatusCode::UNAUTHORIZED);
    // A connector's certificate opens feeds, not SQL.
    let sql = reader.post(world.url("/v1/sql")).header("X-Minqiao-Purpose", "exchange");
    let sql = sql.json(&json!({"sql": "SELECT 1"})).send().await.expect("an answer");
    assert_eq!(code(sql).await.0, StatusCode::UNAUTHORIZED);

    let records = world.running.hub.audit.records(0, 1000).await.expect("records");
    let refused = records.iter().filter(|r| r.action == "feed.refused" && r.principal == "emergency-management.371002");
    let refused: Vec<&str> = refused.map(|r| r.detail.as_str()).collect();
    assert_eq!(refused.len(), 7, "{refused:?}");
    assert!(!refused.iter().any(|detail| detail.contains("no_such")), "what a stranger writes is not kept");
    let metrics = world.anonymous().get(format!("http://{}/metrics", world.running.operations));
    let metrics = metrics.send().await.expect("an answer").text().await.expect("metrics");
    assert!(metrics.contains("minqiao_feed_pages_total{feed=\"items\",outcome=\"refused\"}"));
    assert!(!metrics.contains("no_such") && !metrics.contains("emergency-management.371002"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_is_checked_and_never_read_as_another_one() {
    let world = sharing_world().await;
    publish(&world, "b-1", &[row(1, "1.00")]).await;
    let (education, civil) = (world.cast_client("education.371002"), world.connector("civil-affairs"));
    let refused = async |client: &Client, feed: &str, query: &str| {
        code(get(client, &world, feed, query).send().await.expect("an answer")).await
    };
    let bad = |code: &str| (StatusCode::BAD_REQUEST, code.to_owned());
    for text in ["0", "1:2", "AAAA", "start%20", &"x".repeat(9000)] {
        assert_eq!(refused(&education, FEED, &format!("?after={text}")).await, bad("position_invalid"), "{text}");
    }
    let receipts = page(&civil, &world, "receipts", "?after=start").await;
    let receipts = position(&receipts);
    assert_eq!(refused(&education, FEED, &format!("?after={receipts}")).await, bad("position_of_another_feed"));
    for query in ["?limit=0", "?limit=5001", "?limit=many", "?wait=61s", "?wait=-1s", "?wait=1h", "?offset=3"] {
        assert_eq!(refused(&education, FEED, query).await, bad("invalid_parameter"), "{query}");
    }
    let form = get(&education, &world, FEED, "").header("Accept", "image/png").send().await.expect("an answer");
    assert_eq!(code(form).await, bad("not_acceptable"));

    // Positions that only a restored or replaced log leaves behind are made with the hub's own keys.
    let hub = &world.running.hub;
    let forged = |body: Value| {
        use minqiao_doors::feeds::Position;
        let position: Position = serde_json::from_value(body).expect("a position");
        position.seal(&hub.vault.sealer()).expect("sealed")
    };
    let topic = hub.bus.topics().await.expect("topics").into_iter().find(|t| t.name.ends_with(ITEM)).expect("a topic");
    let of_topic = |log: &str, next: Value| forged(json!({"feed": FEED, "log": log, "next": next, "turn": 0}));
    let other_log = of_topic("00000000-0000-0000-0000-000000000000", json!([[0, 0, 0], [0, 0, 0]]));
    assert_eq!(refused(&education, FEED, &format!("?after={other_log}")).await, bad("position_of_another_log"));
    let fewer = of_topic(&topic.id.to_string(), json!([[0, 0, 0]]));
    assert_eq!(refused(&education, FEED, &format!("?after={fewer}")).await, bad("position_of_another_log"));
    let gone = (StatusCode::PRECONDITION_FAILED, "position_gone".to_owned());
    for next in [json!([[1000, 0, 0], [0, 0, 0]]), json!([[0, 4000, 0], [0, 4000, 0]])] {
        let ahead = of_topic(&topic.id.to_string(), next);
        assert_eq!(refused(&education, FEED, &format!("?after={ahead}")).await, gone);
    }
    let order = hub.store.receipt_order().await.expect("named");
    let of_order =
        |log: &str, place: u64| forged(json!({"feed": "receipts", "log": log, "next": [[place, 0, 0]], "turn": 0}));
    assert_eq!(
        refused(&civil, "receipts", &format!("?after={}", of_order("x", 0))).await,
        bad("position_of_another_log")
    );
    assert_eq!(refused(&civil, "receipts", &format!("?after={}", of_order(&order, 9))).await, gone);

    // Remembered by the hub: only what it gave, per reader, and where `after` is left out.
    let confirm = async |client: &Client, feed: &str, position: &str| {
        let request =
            client.put(world.url(&format!("/v1/feeds/{feed}/position"))).header("X-Minqiao-Purpose", "exchange");
        request.json(&json!({"position": position})).send().await.expect("an answer")
    };
    assert_eq!(code(confirm(&education, FEED, receipts).await).await, bad("position_of_another_feed"));
    assert_eq!(code(confirm(&education, FEED, "start").await).await, bad("position_invalid"));
    assert_eq!(code(confirm(&education, "items/bank_deposit", receipts).await).await.0, StatusCode::NOT_FOUND);
    let (_, at) = read_all(&education, &world, FEED, "start", 10).await;
    assert_eq!(confirm(&education, FEED, &at).await.status(), StatusCode::OK);
    let world = {
        publish(&world, "b-2", &[row(2, "1.00")]).await;
        world.restart().await
    };
    let education = world.cast_client("education.371002");
    assert_eq!(rows(&page(&education, &world, FEED, "").await).len(), 1, "from where it was confirmed");
    assert_eq!(rows(&page(&world.cast_client("education-staff"), &world, FEED, "").await).len(), 2, "from the start");
    let list: Value = get(&education, &world, "", "").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(list["feeds"][1]["confirmed_position"], json!(at), "{list}");
    world.stop().await;
}
