//! SEC-1: whatever a publisher sends, no citizen number is stored in clear.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use bytes::Bytes;
use minqiao_core::{Kind, KindOf, ProviderCode, Receipt};
use minqiao_intake::{Format, IntakeError};
use minqiao_schemas::normalise::{citizen_id, uscc};
use minqiao_store::QuarantineFilter;
use tempfile::TempDir;

use crate::support::*;

const REASON: &str = "identity_in_clear_field";

/// Rows and columns that were refused for a number in clear.
fn refused(receipt: &Receipt) -> Vec<(u32, &str)> {
    let reasons = receipt.outcomes.iter().flat_map(|row| row.reasons.iter().map(|reason| (row.row, reason)));
    reasons
        .filter(|(_, reason)| reason.code == REASON)
        .map(|(row, r)| (row, r.field.as_deref().unwrap_or("")))
        .collect()
}

/// Every payload on the bus of an item.
async fn payloads(hub: &Hub, item: &str) -> Vec<Bytes> {
    let topic = format!("minqiao.{item}");
    let mut found = Vec::new();
    for partition in 0..2 {
        let records = hub.bus.fetch(&topic, partition, 0, 1 << 24).await.expect("fetched");
        found.extend(records.into_iter().map(|record| record.payload));
    }
    found
}

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}

fn with_column(batch: &RecordBatch, name: &str, column: ArrayRef) -> RecordBatch {
    let mut columns = batch.columns().to_vec();
    columns[batch.schema().index_of(name).expect("there")] = column;
    RecordBatch::try_new(batch.schema(), columns).expect("a batch")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_names_somebody_in_clear_waits_sealed() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let row = |no: usize, column: &str, value: String| {
        let mut row = serde_json::json!({
            "payment_batch_no": format!("FF{no:06}"), "citizen_id": citizen(no), "full_name": "某乙",
            "benefit_code": "01", "pay_month": "2026-03-01", "amount": "800.00", "channel_code": "1",
            "pay_status_code": "2", "account_token": "6222000000000017",
        });
        row[column] = value.into();
        row.to_string()
    };
    let wide: String = citizen(904).chars().map(|c| char::from_u32(c as u32 + 0xfee0).expect("full-width")).collect();
    let rows = [
        row(0, "fail_reason", "账户已注销，请核实后重新发放".to_owned()),
        row(1, "payment_batch_no", citizen(901)),
        row(2, "certificate_no", format!("DB-{}-01", citizen(902))),
        row(3, "fail_reason", format!("姓名不符 {}", citizen(903))),
        row(4, "fail_reason", format!("姓名不符{wide}")),
        row(5, "account_token", citizen(905)),
    ];
    let body: Bytes = rows.join("\n").into();
    let item = "assistance_payment";
    let receipt =
        hub.intake.submit(&provider(), item, &batch_id("p"), None, body, Format::Ndjson).await.expect("taken");
    assert_eq!(
        refused(&receipt),
        [(1, "payment_batch_no"), (2, "certificate_no"), (3, "fail_reason"), (4, "fail_reason")]
    );
    assert_eq!((receipt.accepted, receipt.quarantined), (2, 4));
    let told = serde_json::to_string(&receipt).expect("json");
    assert!(told.contains("`fail_reason`: this column is stored in clear") && told.contains("“失败原因”"), "{told}");
    assert!((901..906).all(|n| !told.contains(&citizen(n))), "the receipt holds a number");
    let bus = payloads(&hub, item).await.concat();
    assert!(holds(&bus, "FF000000") && (901..906).all(|n| !holds(&bus, &citizen(n))), "the bus holds a number");

    let waiting = hub.intake.quarantine_list(&QuarantineFilter::default(), 10).await.expect("listed");
    let correction = serde_json::Map::from_iter([("certificate_no".to_owned(), "DB-01".into())]);
    let ids: Vec<String> = waiting.iter().map(|row| row.id.clone()).collect();
    let summary = hub.intake.quarantine_replay(&ids, &[(ids[1].clone(), correction)].into()).await.expect("replayed");
    assert_eq!((summary.accepted, summary.still_rejected), (1, 3), "a replay is judged alike");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_behind_a_null_cell_do_not_travel() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let hidden = citizen(906);
    let cell = StringArray::new(
        OffsetBuffer::from_lengths([hidden.len()]),
        Buffer::from(hidden.as_bytes()),
        Some(NullBuffer::new_null(1)),
    );
    let body = arrow_body(&with_column(&arrow(&deposits(0..1)), "institution_name", Arc::new(cell)));
    assert!(holds(&body, &hidden), "the body hides the number");
    assert_eq!(hub.send("h", body, Format::Arrow).await.expect("taken").accepted, 1);
    assert!(!holds(&payloads(&hub, ITEM).await.concat(), &hidden), "the bus holds the number");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_id_that_is_a_number_becomes_a_token_or_is_refused() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let wide: String = citizen(908).chars().map(|c| char::from_u32(c as u32 + 0xfee0).expect("full-width")).collect();
    let ids = StringArray::from(vec![format!("ROW-{}", citizen(907)), format!("ROW-{wide}"), "ROW-17".to_owned()]);
    let body = arrow_body(&with_column(&arrow(&deposits(0..3)), "_source_record_id", Arc::new(ids)));
    let receipt = hub.send("r", body, Format::Arrow).await.expect("taken");
    assert_eq!(refused(&receipt), [(1, "_source_record_id")]);
    assert_eq!(receipt.accepted, 2);
    let bus = payloads(&hub, ITEM).await.concat();
    assert!(holds(&bus, "ROW-17") && !holds(&bus, &citizen(907)) && !holds(&bus, &wide));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_code_of_the_market_register_is_no_citizen() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let both = |front: &str| {
        let codes = (0..1000).filter_map(|n| {
            let front = format!("{front}{n:03}");
            Some(format!("{front}{}", citizen_id::check_character(&front)?))
        });
        codes.into_iter().find(|code| citizen_id::is_canonical(code) && uscc::is_canonical(code)).expect("one of 1000")
    };
    // A company of 310120 and a citizen of 310120 whose numbers pass as credit codes.
    let rows =
        [both("91310120201012"), both("31012020101231")].map(|code| serde_json::json!({"uscc": code}).to_string());
    let provider = ProviderCode::new("market-regulation.371000").expect("valid");
    let body: Bytes = rows.join("\n").into();
    let receipt = hub.intake.submit(&provider, "enterprise_role", &batch_id("c"), None, body, Format::Ndjson).await;
    assert_eq!(refused(&receipt.expect("taken")), [(1, "uscc")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_id_names_nobody() {
    let dir = TempDir::new().expect("a directory");
    let hub = Hub::open(dir.path()).await;
    let (named, plain) = (batch_id(&format!("HC-{}.1", citizen(909))), batch_id("plain"));
    let body = arrow_body(&arrow(&deposits(0..1)));
    let refused = [
        hub.intake.submit(&provider(), ITEM, &named, None, body.clone(), Format::Arrow).await,
        hub.intake.submit(&provider(), ITEM, &plain, Some(&named), body, Format::Arrow).await,
        hub.intake.reject(&provider(), ITEM, &named, Bytes::new()).await,
    ];
    for (refused, header) in refused.into_iter().zip(["Idempotency-Key", "Minqiao-After", "Idempotency-Key"]) {
        let error = refused.expect_err("refused");
        assert!(matches!(error, IntakeError::IdentityInBatchId { .. }), "{error:?}");
        assert_eq!((error.code(), error.kind()), ("identity_in_batch_id", Kind::InvalidArgument));
        assert!(error.to_string().contains(header) && !format!("{error} {error:?}").contains(&citizen(909)));
    }
    assert!(hub.intake.receipts(&named, None).await.expect("asked").is_empty());
    assert!(hub.on_bus(ITEM).await.is_empty());
}
