//! What a publisher, an analyst or a stranger can send through the HTTP door: each gets a clear answer with a stable
//! code, and costs nobody else anything.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use minqiao_connector_api::gateway::GatewayError;
use minqiao_connector_api::{HttpGateway, HttpOptions};
use minqiao_core::{Receipt, SystemClock};
use minqiao_server::certificates::Authority;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sm2::dsa::signature::Verifier as _;
use sm2::pkcs8::DecodePublicKey as _;

use crate::world::World;

pub(crate) const ITEM: &str = "elderly_allowance";

/// A valid made-up citizen number: GB 11643 check character by ISO 7064 MOD 11-2.
pub(crate) fn citizen(sequence: u32) -> String {
    let body = format!("37100219400101{sequence:03}");
    let weights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let sum: u32 = body.bytes().zip(weights).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
    format!("{body}{}", "10X98765432".as_bytes()[(sum % 11) as usize] as char)
}

pub(crate) fn row(sequence: u32, amount: &str) -> Value {
    json!({
        "citizen_id": citizen(sequence), "full_name": "试验甲", "subsidy_code": "01", "monthly_amount": amount,
        "effective_from": "2026-01-01", "status_code": "1", "division_code": "371002",
        "_source_updated_at": "2026-06-01T08:00:00.000+08:00",
    })
}

pub(crate) fn ndjson(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

pub(crate) async fn send(
    client: &Client,
    world: &World,
    item: &str,
    batch: &str,
    kind: &str,
    body: impl Into<reqwest::Body>,
) -> Response {
    client
        .post(world.url(&format!("/v1/items/{item}/batches")))
        .header("Idempotency-Key", batch)
        .header("Content-Type", kind)
        .body(body)
        .send()
        .await
        .expect("an answer")
}

pub(crate) async fn code(response: Response) -> (StatusCode, String) {
    let (status, problem) = problem(response).await;
    (status, problem["code"].as_str().expect("a code").to_owned())
}

async fn problem(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let id = response.headers().get("x-minqiao-request-id").map(|v| v.to_str().unwrap_or_default().to_owned());
    let kind = response.headers().get("content-type").map(|v| v.to_str().unwrap_or_default().to_owned());
    let text = response.text().await.expect("a body");
    let problem: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("not a problem: {status} {text}"));
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{problem}");
    assert!(problem["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{problem}");
    assert_eq!(problem["request_id"].as_str(), id.as_deref(), "{problem}");
    assert_eq!(problem["status"], status.as_u16(), "{problem}");
    let chinese = problem["detail_zh"].as_str().expect("Chinese, too");
    assert!(chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{problem}");
    (status, problem)
}

/// Checks a receipt as a stranger would, with the keys that the hub shows to everyone (`ops/receipts.md`).
async fn signed_by_a_published_key(world: &World, receipt: &Receipt) {
    let keys = world.anonymous().get(world.url("/v1/keys")).send().await.expect("an answer");
    let keys: Value = keys.json().await.expect("JSON");
    let key = keys["keys"].as_array().expect("a list").iter().find(|key| key["key_id"] == receipt.key_id.as_str());
    let pem = key.expect("its key")["public_key_pem"].as_str().expect("PEM");
    let key = sm2::PublicKey::from_public_key_pem(pem).expect("a public key");
    let key = sm2::dsa::VerifyingKey::new("1234567812345678", key).expect("usable");
    let mut signed = serde_json::to_value(receipt).expect("JSON");
    let signature = std::mem::replace(&mut signed["signature"], json!(""));
    let signature = base64::engine::general_purpose::STANDARD.decode(signature.as_str().expect("text"));
    let signature = sm2::dsa::Signature::from_der(&signature.expect("base64")).expect("DER");
    key.verify(signed.to_string().as_bytes(), &signature).expect("the hub's signature");
    signed["accepted"] = json!(receipt.accepted + 1);
    key.verify(signed.to_string().as_bytes(), &signature).expect_err("of another text");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_by_a_signed_receipt_and_becomes_queryable() {
    let world = World::start().await;
    let client = world.connector("civil-affairs");
    let mut broken = row(3, "100.00");
    broken["status_code"] = json!("no such code");
    let body = ndjson(&[row(1, "100.00"), row(2, "90.00"), row(1, "100.00"), broken]);
    let response = send(&client, &world, ITEM, "batch-1", "application/x-ndjson", body.clone()).await;
    assert_eq!(response.status(), StatusCode::OK, "{}", response.text().await.expect("text"));
    let receipt: Receipt = response.json().await.expect("a receipt");
    assert_eq!((receipt.rows, receipt.accepted, receipt.duplicate, receipt.quarantined), (4, 2, 1, 1));
    assert_eq!(receipt.outcomes.iter().map(|o| o.row).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(receipt.outcomes[1].reasons[0].code, "unknown_code");
    assert_eq!(receipt.outcomes[1].reasons[0].field.as_deref(), Some("status_code"));
    let hub = &world.running.hub;
    signed_by_a_published_key(&world, &receipt).await;

    let again = send(&client, &world, ITEM, "batch-1", "application/x-ndjson", body).await;
    assert_eq!(again.json::<Receipt>().await.expect("the same receipt"), receipt);
    let other = send(&client, &world, ITEM, "batch-1", "application/x-ndjson", ndjson(&[row(9, "1.00")])).await;
    assert_eq!(code(other).await.0, StatusCode::CONFLICT);
    let kept = client.get(world.url("/v1/receipts/batch-1")).send().await.expect("an answer");
    assert_eq!(kept.json::<Receipt>().await.expect("the receipt"), receipt);
    let strangers =
        world.connector("education").get(world.url("/v1/receipts/batch-1")).send().await.expect("an answer");
    assert_eq!(code(strangers).await.0, StatusCode::NOT_FOUND);

    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(30)).await.expect("queryable");
    let answer =
        world.sql("statistician", &format!("SELECT COUNT(*) AS n FROM {ITEM}")).send().await.expect("an answer");
    assert!(answer.status().is_success() || answer.status() == StatusCode::FORBIDDEN, "{}", answer.status());
    assert_eq!(hub.lake.row_counts()[ITEM].changes, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_expired_certificates_are_kept_out() {
    let world = World::start().await;
    let body = ndjson(&[row(1, "100.00")]);
    let anonymous = send(&world.anonymous(), &world, ITEM, "b", "application/x-ndjson", body.clone()).await;
    assert_eq!(code(anonymous).await, (StatusCode::UNAUTHORIZED, "unauthenticated".to_owned()));

    // A certificate of another authority, and one of ours whose time is over, end the handshake.
    let foreign = Authority::new("another authority").expect("authority");
    for expired in [false, true] {
        let client = world.signed_by(&foreign, "civil-affairs.371000", expired);
        client.get(world.url("/v1/catalogue")).send().await.expect_err("no handshake");
    }
    let unlisted = world.cast_client("education.999999");
    let refused = send(&unlisted, &world, ITEM, "b", "application/x-ndjson", body.clone()).await;
    assert_eq!(code(refused).await.0, StatusCode::FORBIDDEN);

    // Another department may not speak for civil affairs.
    let other = send(&world.connector("education"), &world, ITEM, "b", "application/x-ndjson", body).await;
    assert_eq!(code(other).await.0, StatusCode::FORBIDDEN);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_batches_are_refused_with_a_stable_code() {
    let world = World::start().await;
    let client = world.connector("civil-affairs");
    let good = ndjson(&[row(1, "100.00")]);
    let unknown = send(&client, &world, "no_such_item", "b", "application/x-ndjson", good.clone()).await;
    assert_eq!(code(unknown).await, (StatusCode::NOT_FOUND, "unknown_item".to_owned()));
    let kind = send(&client, &world, ITEM, "b", "application/pdf", good.clone()).await;
    assert_eq!(code(kind).await, (StatusCode::BAD_REQUEST, "content_type".to_owned()));
    let id = send(&client, &world, ITEM, "no spaces please", "application/x-ndjson", good).await;
    assert_eq!(code(id).await, (StatusCode::BAD_REQUEST, "batch_id".to_owned()));
    let bodies: [(&str, &str, Vec<u8>); 6] = [
        ("broken JSON", "application/x-ndjson", b"{\"citizen_id\": ".to_vec()),
        ("an array", "application/x-ndjson", b"[1,2]\n".to_vec()),
        ("another encoding", "text/csv", b"citizen_id,full_name\n\xd5\xc5\xc8\xfd,\xb1\n".to_vec()),
        ("a foreign column", "text/csv", b"citizen_id,shoe_size\n1,2\n".to_vec()),
        ("no Arrow", "application/vnd.apache.arrow.stream", b"ARROW1 or so".to_vec()),
        ("nothing", "application/vnd.apache.arrow.stream", Vec::new()),
    ];
    for (n, (what, kind, body)) in bodies.into_iter().enumerate() {
        let response = send(&client, &world, ITEM, &format!("bad-{n}"), kind, body).await;
        let status = response.status();
        if status.is_success() {
            // What can be told apart row by row is answered row by row.
            let receipt: Receipt = response.json().await.expect("a receipt");
            assert_eq!(receipt.accepted, 0, "{what}");
        } else {
            assert_eq!(code(response).await.0, StatusCode::BAD_REQUEST, "{what}");
        }
    }
    let large = vec![b'x'; world.running.hub.config.limits.body_bytes_max.0 + 1];
    let response = send(&client, &world, ITEM, "large", "application/x-ndjson", large).await;
    assert_eq!(code(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large".to_owned()));
    let large = "1".repeat(world.running.hub.config.limits.body_bytes_max.0);
    let response = world.sql("analyst", &large).send().await.expect("an answer");
    assert_eq!(code(response).await, (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large".to_owned()));

    // After all that the door still takes what is right.
    let response = send(&client, &world, ITEM, "good", "application/x-ndjson", ndjson(&[row(5, "1.00")])).await;
    assert_eq!(response.json::<Receipt>().await.expect("a receipt").accepted, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_that_is_no_query_is_refused_and_recorded() {
    let world = World::start().await;
    let statements = [
        ("DROP TABLE elderly_allowance", StatusCode::FORBIDDEN),
        ("SELECT 1; SELECT 2", StatusCode::FORBIDDEN),
        ("SELEC 1", StatusCode::BAD_REQUEST),
        ("COPY (SELECT 1) TO 'f.csv'", StatusCode::FORBIDDEN),
        ("SELECT * FROM no_such_table", StatusCode::NOT_FOUND),
    ];
    for (sql, want) in statements {
        let (status, _) = code(world.sql("analyst", sql).send().await.expect("an answer")).await;
        assert_eq!(status, want, "{sql}");
    }
    let request = world.anonymous().post(world.url("/v1/sql")).header("X-Minqiao-Purpose", "analysis");
    let stranger = request.json(&json!({"sql": "SELECT 1"})).send().await.expect("an answer");
    assert_eq!(code(stranger).await.0, StatusCode::UNAUTHORIZED);
    let records = world.running.hub.audit.records(0, 100).await.expect("records");
    let opened = records.iter().filter(|record| record.action == "query.opened").count();
    assert_eq!(opened, statements.len(), "every statement of a user is in the chain, the stranger's is not");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_four_forms_and_describe_themselves() {
    let world = World::start().await;
    let forms = ["application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"];
    for form in forms {
        let sql = "SELECT table_name FROM information_schema.tables LIMIT 2";
        let response = world.sql("analyst", sql).header("Accept", form).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{form}");
        assert!(response.headers()["content-type"].to_str().expect("text").starts_with(form));
        assert!(!response.bytes().await.expect("a body").is_empty());
    }
    let refused = world.sql("analyst", "SELECT 1").header("Accept", "image/png").send().await.expect("an answer");
    assert_eq!(code(refused).await.1, "not_acceptable");
    let document: Value =
        world.anonymous().get(world.url("/openapi.json")).send().await.expect("an answer").json().await.expect("JSON");
    assert!(document["paths"]["/v1/sql"]["post"].is_object());
    let page = world.anonymous().get(world.url("/")).send().await.expect("an answer").text().await.expect("a page");
    assert!(page.contains("民桥") && page.contains("bank_deposit"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_and_metrics_answer_without_an_identity() {
    let world = World::start().await;
    let get = |path: &str| {
        let url = format!("http://{}{path}", world.running.operations);
        let client = world.anonymous();
        async move { client.get(url).send().await.expect("an answer") }
    };
    for probe in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(get(probe).await.status(), StatusCode::OK, "{probe}");
    }
    let metrics = get("/metrics").await.text().await.expect("metrics");
    for name in
        ["minqiao_build_info", "minqiao_query_total", "minqiao_http_requests_in_flight", "minqiao_verify_seconds"]
    {
        assert!(metrics.contains(name), "{name}");
    }
    assert!(!metrics.contains("371002"), "no value of data in a label");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_counts_and_auditors_see_who_asked_and_nobody_else_does() {
    let world = World::start().await;
    let client = world.connector("civil-affairs");
    let body = ndjson(&[row(1, "100.00"), row(2, "90.00"), row(1, "100.00")]);
    let taken = send(&client, &world, ITEM, "counted", "application/x-ndjson", body).await;
    assert_eq!(taken.status(), StatusCode::OK);
    let counts = "SELECT provider, batches, accepted, duplicate, quarantined FROM ingest_counts WHERE item = 'elderly_allowance'";
    let answer: Value = world.sql("operator", counts).send().await.expect("an answer").json().await.expect("JSON");
    let rows = answer["rows"].as_array().unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(rows.len(), 1, "{answer}");
    let wanted = json!({
        "provider": "civil-affairs.371000", "batches": 1, "accepted": 2, "duplicate": 1, "quarantined": 0,
    });
    assert_eq!(rows[0], wanted);
    let log = "SELECT principal, action FROM audit_log ORDER BY seq";
    let answer: Value = world.sql("auditor", log).send().await.expect("an answer").json().await.expect("JSON");
    assert!(answer["rows"].to_string().contains("operator"), "{answer}");
    for user in ["analyst", "auditor", "caseworker"] {
        let refused = world.sql(user, counts).send().await.expect("an answer");
        assert_ne!(refused.status(), StatusCode::OK, "{user} must not see counts");
    }
    for user in ["analyst", "operator", "statistician"] {
        let refused = world.sql(user, log).send().await.expect("an answer");
        assert_ne!(refused.status(), StatusCode::OK, "{user} must not see the audit log");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_id_of_an_error_is_that_of_its_record() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for sql in ["SELECT * FROM no_such_table", "SELEC 1", "DROP TABLE elderly_allowance"] {
        let (_, problem) = problem(world.sql("analyst", sql).send().await.expect("an answer")).await;
        ids.push(("query.opened", problem["request_id"].as_str().expect("an id").to_owned()));
    }
    let reader = world.connector("education");
    let feed = reader.get(world.url(&format!("/v1/feeds/items/{ITEM}"))).header("X-Minqiao-Purpose", "exchange");
    let (_, problem) = problem(feed.send().await.expect("an answer")).await;
    ids.push(("feed.refused", problem["request_id"].as_str().expect("an id").to_owned()));
    let answered = world.sql("analyst", "SELECT 1").send().await.expect("an answer");
    assert_eq!(answered.status(), StatusCode::OK);
    let id = answered.headers()["x-minqiao-request-id"].to_str().expect("text").to_owned();
    ids.push(("query.opened", id));

    let records = world.running.hub.audit.records(0, 100).await.expect("records");
    for (action, id) in ids {
        let of_it = records.iter().filter(|record| record.action == action);
        let details = of_it.map(|record| serde_json::from_str::<Value>(&record.detail).expect("JSON"));
        assert_eq!(details.filter(|detail| detail["request_id"] == id.as_str()).count(), 1, "{action} {id}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn free_text_in_purpose_or_case_is_refused_and_reaches_no_record() {
    let world = World::start().await;
    let number = citizen(7);
    let ask = async |purpose: &str, case: Option<&str>| {
        let request = world.sql("analyst", "SELECT 1").build().expect("a request");
        let (client, mut request) = (world.anonymous(), request);
        let header = |text: &str| reqwest::header::HeaderValue::from_bytes(text.as_bytes()).expect("a header");
        request.headers_mut().insert("x-minqiao-purpose", header(purpose));
        if let Some(case) = case {
            request.headers_mut().insert("x-minqiao-case", header(case));
        }
        client.execute(request).await.expect("an answer")
    };
    let bad = |code: &str| (StatusCode::BAD_REQUEST, code.to_owned());
    for purpose in [number.as_str(), "curiosity", "Analysis", "analysis;", "核对"] {
        assert_eq!(code(ask(purpose, None).await).await, bad("purpose_unknown"), "{purpose}");
    }
    let lower = number.to_ascii_lowercase();
    let hidden = format!("SQ-{number}");
    let long = "9".repeat(33);
    for case in [number.as_str(), &lower, &hidden, "zhang san", "张三", "a/b", &long] {
        assert_eq!(code(ask("analysis", Some(case)).await).await, bad("case_malformed"), "{case}");
    }
    for case in ["SQ20263710020000000001", "370000202600001"] {
        assert_eq!(ask("analysis", Some(case)).await.status(), StatusCode::OK, "{case}");
    }
    let records = world.running.hub.audit.records(0, 100).await.expect("records");
    let opened: Vec<_> = records.iter().filter(|record| record.action == "query.opened").collect();
    assert_eq!(opened.len(), 2, "only what was understood is a question");
    assert!(records.iter().all(|record| !record.detail.contains(&number) && !record.purpose.contains(&number)));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_the_status_that_it_has_and_forms_that_exist() {
    let world = World::start().await;
    let client = world.anonymous();
    let method = client.delete(world.url("/v1/sql")).send().await.expect("an answer");
    assert_eq!(code(method).await, (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed".to_owned()));
    let nothing = client.get(world.url("/v2")).send().await.expect("an answer");
    assert_eq!(code(nothing).await, (StatusCode::NOT_FOUND, "not_found".to_owned()));

    let person = world.cast.people.iter().find(|p| p.principal.id == "caseworker").expect("a caseworker");
    let token = std::fs::read_to_string(&person.header_file).expect("token");
    let token = token.trim().trim_start_matches("Authorization: Bearer ").to_owned();
    let report = |accept: &'static str| {
        let request = client.get(world.url("/v1/verifications/no-such-report")).bearer_auth(&token);
        request.header("X-Minqiao-Purpose", "dibao_verification").header("Accept", accept).send()
    };
    let pdf = report("application/pdf").await.expect("an answer");
    assert_eq!(code(pdf).await, (StatusCode::BAD_REQUEST, "not_acceptable".to_owned()));
    for spoken in ["text/html", "application/pdf, text/plain", "application/json"] {
        assert_eq!(code(report(spoken).await.expect("an answer")).await.0, StatusCode::NOT_FOUND, "{spoken}");
    }
    let create = client.post(world.url("/v1/verifications")).bearer_auth(&token).header("Accept", "application/pdf");
    let create = create.header("X-Minqiao-Purpose", "dibao_verification");
    let create = create.json(&json!({"application_no": "A1"})).send().await.expect("an answer");
    assert_eq!(code(create).await.1, "not_acceptable");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_batch_names_line_column_and_limit_in_chinese_too() {
    let world = World::start().await;
    let client = world.connector("civil-affairs");
    let long = "长".repeat(200_000);
    let header = "citizen_id,full_name";
    let bodies = [
        (
            "application/x-ndjson",
            "{\"citizen_id\": null}\n{\"citizen_id\": \n".to_owned(),
            "malformed_body",
            vec!["第 2 行"],
        ),
        ("text/csv", format!("{header}\n1,2\n1,2,3\n"), "malformed_body", vec!["第 3 行", "列数"]),
        ("text/csv", "citizen_id,shoe_size\n1,2\n".to_owned(), "schema_drift", vec!["shoe_size", ITEM]),
        (
            "text/csv",
            format!("{header}\n1,2\n1,{long}\n"),
            "oversize",
            vec!["第 2 行", "full_name", "600000", "上限为"],
        ),
    ];
    for (n, (kind, body, wanted, told)) in bodies.into_iter().enumerate() {
        let (_, problem) = problem(send(&client, &world, ITEM, &format!("b-{n}"), kind, body).await).await;
        assert_eq!(problem["code"], wanted, "{problem}");
        let chinese = problem["detail_zh"].as_str().expect("Chinese");
        assert!(told.iter().all(|text| chinese.contains(text)), "{told:?}: {chinese}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_finds_a_healthy_hub_and_sees_when_it_is_not_let_in() {
    let world = World::start().await;
    let player = world.cast.connectors.iter().find(|p| p.department == "civil-affairs").expect("a connector");
    let ready = async |url: String, certificate: &Path, key: &Path| {
        let options = HttpOptions::new(url, &world.cast.authority, certificate, key);
        HttpGateway::new(options, Arc::new(SystemClock::new())).expect("a client").ready().await
    };
    let own = (&player.pair.certificate, &player.pair.key);
    ready(world.url(""), own.0, own.1).await.expect("the hub answers");

    let (certificate, key) = (world.folder.path().join("foreign.pem"), world.folder.path().join("foreign.key"));
    let foreign = Authority::new("another authority").expect("authority");
    let pair = foreign.issue("civil-affairs.371000", false, false).expect("a certificate");
    std::fs::write(&certificate, pair.0).expect("written");
    std::fs::write(&key, pair.1).expect("written");
    let refused = ready(world.url(""), &certificate, &key).await.expect_err("no handshake");
    assert!(matches!(refused, GatewayError::Unavailable { .. }), "{refused:?}");

    // The program, as a department runs it before its first delivery.
    let configuration = world.folder.path().join("connector.yaml");
    let exports = world.folder.path().join("exports");
    std::fs::create_dir(&exports).expect("a folder");
    let text = json!({
        "department": "civil-affairs", "division": "371000", "exports": exports,
        "state": world.folder.path().join("state"), "reports": world.folder.path().join("reports"),
        "gateway": {"url": world.url(""), "ca": world.cast.authority, "certificate": own.0, "key": own.1},
    });
    std::fs::write(&configuration, text.to_string()).expect("written");
    let program = minqiao_tests::hub::program("minqiao-connector").expect("the program");
    let check = || {
        let mut check = Command::new(&program);
        check.args(["check", "--config"]).arg(&configuration);
        tokio::task::spawn_blocking(move || check.output().expect("it runs"))
    };
    let healthy = check().await.expect("no panic");
    assert_eq!(healthy.status.code(), Some(0), "{}", String::from_utf8_lossy(&healthy.stderr));
    let _folder = world.stop().await;
    let gone = check().await.expect("no panic");
    assert_eq!(gone.status.code(), Some(65), "{}", String::from_utf8_lossy(&gone.stderr));
}
