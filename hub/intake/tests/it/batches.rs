//! The path of a batch: what is accepted, what is not, and that everything is accounted for once.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{Array, ArrayRef, DictionaryArray, RecordBatch, StringArray};
use arrow::datatypes::{Field, Int32Type, Schema};
use bytes::Bytes;
use minqiao_bus::{Bus, BusError, Intercepted, Interceptor};
use minqiao_core::{Kind, KindOf, Outcome, ProviderCode};
use minqiao_intake::{Format, IntakeError, IntakeLimits, IntakeOptions};
use minqiao_schemas::check::SchemaMismatch;
use minqiao_store::{QuarantineFilter, QuarantineStatus};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::*;

fn dir() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_three_formats_are_one() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let rows = deposits(0..40);
    let first = hub.send("a", arrow_body(&arrow(&rows)), Format::Arrow).await.expect("taken");
    assert_eq!((first.rows, first.accepted, first.duplicate, first.quarantined), (40, 40, 0, 0));
    hub.vault.signer().verify_receipt(&first).expect("the receipt is signed");
    for (id, body, format) in [("n", ndjson_body(&rows), Format::Ndjson), ("c", csv_body(&rows), Format::Csv)] {
        let receipt = hub.send(id, body, format).await.expect("taken");
        assert_eq!((receipt.accepted, receipt.duplicate, receipt.quarantined), (0, 40, 0), "{id}");
    }
    assert_eq!(hub.on_bus(ITEM).await.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_in_front_of_text_is_skipped() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let rows = deposits(0..3);
    let marked = |body: Bytes| Bytes::from(["\u{feff}".as_bytes(), &body[..]].concat());
    let ndjson = hub.send("n", marked(ndjson_body(&rows)), Format::Ndjson).await.expect("taken");
    assert_eq!((ndjson.rows, ndjson.accepted), (3, 3));
    let csv = hub.send("c", marked(csv_body(&rows)), Format::Csv).await.expect("taken");
    assert_eq!((csv.rows, csv.duplicate), (3, 3));
    let reject = Bytes::from(r#"{"source":{},"reasons":[{"code":"encoding"}]}"#);
    let reject = hub.intake.reject(&provider(), ITEM, &batch_id("r"), marked(reject)).await.expect("taken");
    assert_eq!(reject.quarantined, 1);
    // Only in front: elsewhere it is a character that stands in no JSON.
    let inside = [&ndjson_body(&rows[..1])[..], b"\n", &marked(ndjson_body(&rows[1..]))[..]].concat();
    let refused = hub.send("i", inside.into(), Format::Ndjson).await.expect_err("refused");
    assert_eq!(refused.code(), "malformed_body");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_sent_again_has_one_receipt() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let rows = deposits(0..30);
    let first = hub.send_rows("a", &rows).await.expect("taken");
    assert_eq!(hub.send_rows("a", &rows).await.expect("known"), first);
    let twins = tokio::join!(hub.send_rows("b", &rows[..10]), hub.send_rows("b", &rows[..10]));
    assert_eq!(twins.0.expect("taken"), twins.1.expect("taken"));
    let other = hub.send_rows("a", &rows[1..]).await;
    assert!(matches!(&other, Err(error) if error.kind() == Kind::Conflict && error.code() == "batch_conflict"));
    drop(hub);
    let hub = Hub::open(dir.path()).await;
    assert_eq!(hub.send_rows("a", &rows).await.expect("known"), first);
    assert_eq!(hub.on_bus(ITEM).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_name_the_one_before_keep_their_order() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let send = |batch: usize| {
        let (hub, after) = (&hub, batch.checked_sub(1).map(|before| batch_id(&format!("b{before}"))));
        async move {
            // Later ones are smaller and are ready sooner.
            let body = arrow_body(&arrow(&deposits(batch * 200..batch * 200 + 160 - batch * 20)));
            let id = batch_id(&format!("b{batch}"));
            hub.intake.submit(&provider(), ITEM, &id, after.as_ref(), body, Format::Arrow).await
        }
    };
    // The last one is polled first.
    let receipts = futures::future::join_all((0..8).rev().map(send)).await;
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    let mut newest: HashMap<u32, String> = HashMap::new();
    let topic = format!("minqiao.{ITEM}");
    for partition in 0..2 {
        for record in hub.bus.fetch(&topic, partition, 0, 1 << 24).await.expect("fetched") {
            let batch = record.headers.batch_id;
            let before = newest.insert(partition, batch.clone()).unwrap_or_default();
            assert!(before <= batch, "{batch} came after {before}");
        }
    }
    assert!(newest.values().all(|last| last == "b7"), "{newest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_whose_predecessor_never_came_is_sent_away_and_stores_nothing() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let body = arrow_body(&arrow(&deposits(0..10)));
    let (id, before) = (batch_id("second"), batch_id("first"));
    let early = hub.intake.submit(&provider(), ITEM, &id, Some(&before), body.clone(), Format::Arrow).await;
    let early = early.expect_err("too early");
    assert_eq!(early.code(), "batch_too_early");
    assert!(matches!(early.kind(), Kind::Unavailable { .. }), "worth another attempt");
    assert!(hub.on_bus(ITEM).await.is_empty());
    hub.send_rows("first", &deposits(10..20)).await.expect("taken");
    let again = hub.intake.submit(&provider(), ITEM, &id, Some(&before), body, Format::Arrow).await.expect("its turn");
    assert_eq!(again.accepted, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_accepted_once_and_every_other_version_too() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let base = deposits(0..1).remove(0);
    let twice = [base.clone(), base.clone()];
    let receipt = hub.send_rows("in-batch", &twice).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.duplicate), (1, 1));
    assert_eq!((receipt.outcomes[0].row, receipt.outcomes[0].outcome), (1, Outcome::Duplicate));
    let versions = [
        ("the same again", base.clone(), 0),
        ("newer", Deposit { updated_at: Some(NOW.0), ..base.clone() }, 1),
        ("older", Deposit { updated_at: Some(NOW.0 - 999_000_000), ..base.clone() }, 1),
        ("without time", Deposit { updated_at: None, ..base.clone() }, 1),
        ("other content", Deposit { balance_cents: 1, ..base.clone() }, 1),
        ("deleted", Deposit { op: Some("delete"), ..base.clone() }, 1),
        ("said to be upserted", Deposit { op: Some("upsert"), ..base.clone() }, 0),
        ("other person", Deposit { citizen: citizen(77), ..base.clone() }, 1),
    ];
    for (at, (what, row, accepted)) in versions.into_iter().enumerate() {
        let receipt = hub.send_rows(&format!("v{at}"), &[row]).await.expect("taken");
        assert_eq!(receipt.accepted, accepted, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_wait_sealed_and_leave_corrected() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let mut rows = deposits(0..10);
    rows[3].citizen = "371002199001011230".to_owned();
    rows[7].name = String::new();
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut json = json(row);
            if row.account.ends_with('5') {
                json["balance_amount"] = "十元".into();
            }
            json.to_string()
        })
        .collect();
    let receipt = hub.send("bad", lines.join("\n").into(), Format::Ndjson).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.quarantined), (7, 3));
    let reasons: Vec<(u32, &str, &str)> = receipt
        .outcomes
        .iter()
        .map(|row| (row.row, row.reasons[0].code.as_str(), row.reasons[0].field.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(
        reasons,
        [
            (3, "invalid_id_number", "citizen_id"),
            (5, "type_mismatch", "balance_amount"),
            (7, "missing_required", "full_name")
        ]
    );
    assert!(receipt.outcomes.iter().all(|row| row.reasons.len() == 1), "{:?}", receipt.outcomes);

    let waiting = QuarantineFilter { status: Some(QuarantineStatus::Waiting), ..QuarantineFilter::default() };
    let listed = hub.intake.quarantine_list(&waiting, 10).await.expect("listed");
    assert_eq!(listed.iter().map(|row| row.row).collect::<Vec<_>>(), [3, 5, 7]);
    let shown = hub.intake.quarantine_show(&listed[1].id).await.expect("shown");
    assert_eq!(shown.cells["balance_amount"], "十元");
    assert!(!format!("{shown:?}").contains("十元"));

    let ids: Vec<String> = listed.iter().map(|row| row.id.clone()).collect();
    let unchanged = hub.intake.quarantine_replay(&ids, &HashMap::new()).await.expect("replayed");
    assert_eq!((unchanged.accepted, unchanged.still_rejected), (0, 3));
    let correction = |name: &str, value: &str| serde_json::Map::from_iter([(name.to_owned(), value.into())]);
    let corrections = HashMap::from([
        (ids[0].clone(), correction("citizen_id", &citizen(3))),
        (ids[1].clone(), correction("balance_amount", "10.00")),
    ]);
    let summary = hub.intake.quarantine_replay(&ids, &corrections).await.expect("replayed");
    assert_eq!((summary.accepted, summary.still_rejected, summary.skipped), (2, 1, 0));
    let again = hub.intake.quarantine_replay(&ids, &corrections).await.expect("replayed");
    assert_eq!((again.accepted, again.still_rejected, again.skipped), (0, 1, 2));
    assert_eq!(hub.intake.quarantine_drop(&ids).await.expect("dropped"), 1);
    assert_eq!(hub.on_bus(ITEM).await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arrow_rows_in_quarantine_replay_from_their_columns() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let mut rows = deposits(0..5);
    rows[2].citizen = citizen(2).to_lowercase().replace(|c: char| c.is_ascii_digit(), "1");
    let receipt = hub.send_rows("bad", &rows).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.quarantined), (4, 1));
    let listed = hub.intake.quarantine_list(&QuarantineFilter::default(), 10).await.expect("listed");
    let correction = serde_json::Map::from_iter([("citizen_id".to_owned(), citizen(2).into())]);
    let corrections = HashMap::from([(listed[0].id.clone(), correction)]);
    let summary = hub.intake.quarantine_replay(&[listed[0].id.clone()], &corrections).await.expect("replayed");
    assert_eq!((summary.accepted, summary.still_rejected), (1, 0));
    // The corrected row is exactly the version that the department would send: sending it is a duplicate.
    let fixed = deposits(2..3);
    assert_eq!(hub.send_rows("fixed", &fixed).await.expect("taken").duplicate, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_wait_under_the_hubs_own_words() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let line = |row: u32| {
        serde_json::json!({
            "row": row, "locator": "存款.xlsx#Sheet1!17",
            "source": {"身份证号": citizen(9), "姓名": "某甲"},
            "reasons": [{"code": "precision_loss", "field": "citizen_id", "message_zh": citizen(9), "message_en": "x"}],
        })
        .to_string()
    };
    let body: Bytes = [line(0), line(1)].join("\n").into();
    let receipt = hub.intake.reject(&provider(), ITEM, &batch_id("a"), body.clone()).await.expect("taken");
    assert_eq!((receipt.rows, receipt.quarantined), (2, 2));
    assert!(!serde_json::to_string(&receipt).expect("json").contains(&citizen(9)), "a connector's words came back");
    assert_eq!(hub.intake.reject(&provider(), ITEM, &batch_id("a"), body).await.expect("known"), receipt);
    // The same id may name the other half of the delivery.
    assert_eq!(hub.send_rows("a", &deposits(0..1)).await.expect("taken").accepted, 1);
    let listed = hub.intake.quarantine_list(&QuarantineFilter::default(), 10).await.expect("listed");
    let shown = hub.intake.quarantine_show(&listed[0].id).await.expect("shown");
    assert_eq!(shown.cells["source"]["姓名"], "某甲");
    let skipped = hub.intake.quarantine_replay(&[listed[0].id.clone()], &HashMap::new()).await.expect("replayed");
    assert_eq!(skipped.skipped, 1);
    for bad in ["{}", r#"{"source":{},"reasons":[]}"#, r#"{"source":{},"reasons":[{"code":"nonsense"}]}"#, "[1]", "{"] {
        let refused = hub.intake.reject(&provider(), ITEM, &batch_id("b"), Bytes::from(bad)).await;
        assert!(matches!(&refused, Err(error) if error.code() == "malformed_body"), "{bad}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_of_an_item_in_this_city_may_deliver() {
    let dir = dir();
    let options = IntakeOptions { city: Some("3710".to_owned()), ..IntakeOptions::default() };
    let hub = Hub::open_with(dir.path(), options, |bus| bus).await;
    let cases = [
        ("civil-affairs.371000", "no_such_item", "unknown_item"),
        ("education.371000", ITEM, "policy_forbidden"),
        ("civil-affairs.371099", ITEM, "foreign_county"),
        ("civil-affairs.371081", ITEM, "foreign_county"),
        ("civil-affairs.370202", ITEM, "foreign_county"),
        ("civil-affairs", ITEM, "foreign_county"),
    ];
    for (who, item, code) in cases {
        let who = ProviderCode::new(who).expect("valid");
        let body = arrow_body(&arrow(&deposits(0..1)));
        let refused = hub.intake.submit(&who, item, &batch_id("x"), None, body, Format::Arrow).await;
        assert!(matches!(&refused, Err(error) if error.code() == code), "{who} {item}: {refused:?}");
    }
    assert_eq!(hub.metric("minqiao_intake_batches_total", &[("outcome", "foreign_county")]), 4.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_county_delivers_its_own_rows_only() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let row = |no: &str, division: &str| {
        serde_json::json!({
            "recognition_no": no, "head_citizen_id": citizen(5), "head_name": "某乙", "member_count": 2,
            "per_capita_monthly_income": "800.00", "recognised_on": "2025-01-01", "status_code": "1",
            "division_code": division,
        })
        .to_string()
    };
    let body: Bytes = [row("A1", "371002"), row("A2", "371003")].join("\n").into();
    let county = ProviderCode::new("civil-affairs.371002").expect("valid");
    let item = "subsistence_marginal_household";
    let receipt =
        hub.intake.submit(&county, item, &batch_id("c"), None, body.clone(), Format::Ndjson).await.expect("taken");
    let outcomes: Vec<_> = receipt.outcomes.iter().map(|o| (o.row, o.reasons[0].code.as_str())).collect();
    assert_eq!(
        outcomes.iter().filter(|(_, code)| *code == "policy_forbidden").collect::<Vec<_>>(),
        [&(1, "policy_forbidden")]
    );
    let city = hub.intake.submit(&provider(), item, &batch_id("c"), None, body, Format::Ndjson).await.expect("taken");
    assert!(city.outcomes.iter().all(|o| o.reasons.iter().all(|reason| reason.code != "policy_forbidden")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_not_what_it_says_is_refused() {
    let dir = dir();
    let limits = IntakeLimits { body_bytes_max: 200_000, rows_max: 50, field_bytes_max: 8000 };
    let options = IntakeOptions { limits, requests_per_second: 100_000, ..IntakeOptions::default() };
    let hub = Hub::open_with(dir.path(), options, |bus| bus).await;
    let good = arrow_body(&arrow(&deposits(0..3)));
    let refuse = async |body: Bytes, format: Format, code: &str| {
        let refused = hub.send("x", body.clone(), format).await;
        assert!(matches!(&refused, Err(error) if error.code() == code), "{code}: {refused:?}");
        let text = format!("{:?}", refused);
        assert!(!text.contains(&citizen(0)) && !text.contains("测试"), "the error holds a value");
    };
    for length in (0..good.len()).step_by(97).chain(good.len() - 9..good.len()) {
        refuse(good.slice(..length), Format::Arrow, "malformed_body").await;
    }
    refuse([&good[..], b"more"].concat().into(), Format::Arrow, "malformed_body").await;
    refuse([&good[..], &good[..]].concat().into(), Format::Arrow, "malformed_body").await;
    refuse(Bytes::from_static(b"PK\x03\x04 not a stream"), Format::Arrow, "malformed_body").await;
    refuse(vec![b'x'; 200_001].into(), Format::Csv, "oversize").await;
    refuse(arrow_body(&arrow(&deposits(0..51))), Format::Arrow, "oversize").await;
    refuse(ndjson_body(&deposits(0..51)), Format::Ndjson, "oversize").await;
    let long = [Deposit { name: "长".repeat(3000), ..deposits(0..1).remove(0) }];
    refuse(arrow_body(&arrow(&long)), Format::Arrow, "oversize").await;
    refuse(ndjson_body(&long), Format::Ndjson, "oversize").await;
    refuse(csv_body(&long), Format::Csv, "oversize").await;
    refuse(Bytes::from("{\"citizen_id\": \"1\"}\n{not json"), Format::Ndjson, "malformed_body").await;
    refuse(Bytes::from(vec![b'['; 100_000]), Format::Ndjson, "malformed_body").await;
    refuse(Bytes::from("{\"张三\": 1}"), Format::Ndjson, "schema_drift").await;
    refuse(Bytes::from("citizen_id,citizen_id\n1,2\n"), Format::Csv, "schema_drift").await;
    refuse(Bytes::from("citizen_id,no_such\n1,2\n"), Format::Csv, "schema_drift").await;
    refuse(Bytes::from("citizen_id,full_name\n1\n"), Format::Csv, "malformed_body").await;
    refuse(Bytes::from(&b"full_name\n\xc4\xe3\xba\xc3\n"[..]), Format::Csv, "malformed_body").await;
    let named = |error: IntakeError, what: &str| {
        assert!(matches!(error, IntakeError::Malformed { .. }) && error.to_string().contains(what), "{error}");
    };
    // Of two values of one key, neither is taken; nor are two of a null, nor a key that is written in two ways.
    for twice in [r#""balance_amount":"2""#, r#""balance_amount":null"#, r#""balance\u005famount":"2""#] {
        let body = Bytes::from(format!("{}\n{{\"balance_amount\":\"1\",{twice}}}", json(&deposits(0..1)[0])));
        named(
            hub.send("x", body, Format::Ndjson).await.expect_err("refused"),
            "a key stands twice in an object (line 2)",
        );
    }
    let zipped = Bytes::from(&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..]);
    for format in [Format::Ndjson, Format::Csv, Format::Arrow] {
        named(hub.send("x", zipped.clone(), format).await.expect_err("refused"), "compressed with gzip");
    }
    let zipped = hub.intake.reject(&provider(), ITEM, &batch_id("x"), zipped).await;
    named(zipped.expect_err("refused"), "compressed with gzip");
    let blank = hub.send("blank", Bytes::from("{}\n\n{}\n"), Format::Ndjson).await.expect("rows of nothing wait");
    assert_eq!((blank.rows, blank.quarantined), (2, 2));
    let nothing = hub.send("empty", Bytes::new(), Format::Ndjson).await.expect("no rows are fine");
    assert_eq!(nothing.rows, 0);
    assert!(hub.on_bus(ITEM).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_arrow_columns_are_refused_by_name() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let good = arrow(&deposits(0..3));
    let swap = |name: &str, array: ArrayRef| {
        let schema = good.schema();
        let fields: Vec<Field> =
            schema
                .fields()
                .iter()
                .map(|f| {
                    if f.name() == name {
                        Field::new(name, array.data_type().clone(), true)
                    } else {
                        f.as_ref().clone()
                    }
                })
                .collect();
        let at = schema.index_of(name).expect("there");
        let mut columns = good.columns().to_vec();
        columns[at] = Arc::clone(&array);
        arrow_body(&RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("a batch"))
    };
    let names: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let bodies = [
        swap("full_name", Arc::new(names)),
        swap("full_name", Arc::new(arrow::array::LargeStringArray::from(vec!["a", "b", "c"]))),
        swap("balance_amount", Arc::new(StringArray::from(vec!["1", "2", "3"]))),
        swap("_source_updated_at", Arc::new(arrow::array::TimestampMillisecondArray::from(vec![1, 2, 3]))),
    ];
    for body in bodies {
        let refused = hub.send("x", body, Format::Arrow).await;
        assert!(matches!(refused, Err(IntakeError::Schema(SchemaMismatch::WrongType { .. }))), "{refused:?}");
    }
    let extra = RecordBatch::try_from_iter([("remarks", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]);
    let refused = hub.send("x", arrow_body(&extra.expect("a batch")), Format::Arrow).await;
    assert!(matches!(refused, Err(IntakeError::Schema(SchemaMismatch::UnknownColumn { .. }))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_fast_is_told_when_to_come_back() {
    let dir = dir();
    let options = IntakeOptions { requests_per_second: 1, ..IntakeOptions::default() };
    let hub = Hub::open_with(dir.path(), options, |bus| bus).await;
    let mut limited = None;
    for n in 0..20 {
        match hub.send_rows(&format!("b{n}"), &deposits(n..n + 1)).await {
            Ok(_) => {}
            Err(IntakeError::RateLimited { retry_after }) => {
                limited = Some(retry_after);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let wait = limited.expect("the limit was reached");
    assert!(wait <= Duration::from_secs(1) && !wait.is_zero(), "{wait:?}");
    hub.clock.advance(wait);
    hub.send_rows("later", &deposits(30..31)).await.expect("taken after the wait");
    let other = ProviderCode::new("civil-affairs.371002").expect("valid");
    let body = arrow_body(&arrow(&deposits(40..41)));
    hub.intake.submit(&other, ITEM, &batch_id("o"), None, body, Format::Arrow).await.expect("another provider is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_on_disk_holds_an_identity() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let mut rows = deposits(0..50);
    for row in rows.iter_mut().step_by(5) {
        row.op = Some("nonsense");
    }
    hub.send_rows("a", &rows).await.expect("taken");
    hub.send("n", ndjson_body(&rows), Format::Ndjson).await.expect("taken");
    hub.intake.close().await.expect("closed");
    let needles: Vec<String> =
        rows.iter().flat_map(|row| [row.citizen.clone(), row.account.clone(), row.name.clone()]).collect();
    drop(hub);
    let mut files = 0;
    for path in files_below(dir.path()) {
        files += 1;
        let bytes = std::fs::read(&path).expect("readable");
        // Journals are preallocated with zeros: look only where a number or a name can begin.
        for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| matches!(byte, b'0'..=b'9' | 0xE6)) {
            let rest = &bytes[at..];
            let found = needles.iter().any(|needle| rest.starts_with(needle.as_bytes()));
            assert!(!found, "{} holds an identity", path.display());
        }
    }
    assert!(files > 10, "the data directory was looked at");
}

fn files_below(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_versions_are_rebuilt_from_the_bus() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    for batch in 0..8 {
        // More than the fixture keeps in memory, so tables are written, too.
        hub.send_rows(&format!("b{batch}"), &deposits(batch * 100..batch * 100 + 100)).await.expect("taken");
    }
    drop(hub);
    let hub = Hub::open(dir.path()).await;
    assert_eq!(hub.send_rows("again", &deposits(0..800)).await.expect("taken").duplicate, 800);
    hub.intake.close().await.expect("closed");
    drop(hub);
    std::fs::remove_dir_all(dir.path().join("known")).expect("removed");
    let hub = Hub::open(dir.path()).await;
    let receipt = hub.send_rows("once-more", &deposits(700..900)).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.duplicate), (100, 100));
    assert_eq!(hub.on_bus(ITEM).await.len(), 900);
}

/// The append lands, the answer is a failure: the sender sends again and gets the receipt of the first attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_is_reported_failed_is_not_repeated() {
    let dir = dir();
    let faulty = Arc::new(Faulty(AtomicBool::new(true)));
    let hub = Hub::open_with(dir.path(), IntakeOptions::default(), |bus| faulty.on(bus)).await;
    let rows = deposits(0..200);
    let failed = hub.send_rows("a", &rows).await;
    assert!(matches!(failed, Err(IntakeError::Bus(_))), "{failed:?}");
    assert!(!faulty.0.load(Ordering::SeqCst), "the fault fired");
    assert!(!hub.on_bus(ITEM).await.is_empty(), "some of it landed");
    let receipt = hub.send_rows("a", &rows).await.expect("taken");
    assert_eq!((receipt.accepted, receipt.duplicate), (200, 0));
    let mut on_bus = hub.on_bus(ITEM).await;
    on_bus.sort();
    on_bus.dedup();
    assert_eq!(on_bus.len(), 200, "each row once");
    assert_eq!(hub.on_bus(ITEM).await.len(), 200);
}

/// The same batch id with another content, after an attempt that never got its receipt: refused, not mistaken for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_used_for_lost_content_is_a_conflict() {
    let dir = dir();
    let options = IntakeOptions { partitions: 1, ..IntakeOptions::default() };
    let hub = Hub::open_with(dir.path(), options, |bus| Arc::new(Faulty(AtomicBool::new(true))).on(bus)).await;
    assert!(hub.send_rows("a", &deposits(0..5)).await.is_err());
    let other = hub.send_rows("a", &deposits(5..10)).await;
    assert!(matches!(other, Err(IntakeError::BatchConflict { .. })), "{other:?}");
    assert_eq!(hub.send_rows("b", &deposits(5..10)).await.expect("another id is free").accepted, 5);
    assert_eq!(hub.send_rows("a", &deposits(0..5)).await.expect("its own content").accepted, 5);
    assert_eq!(hub.on_bus(ITEM).await.len(), 10);
}

/// The first append lands and is reported as failed.
#[derive(Debug)]
struct Faulty(AtomicBool);

impl Faulty {
    fn on(self: &Arc<Self>, bus: Arc<dyn Bus>) -> Arc<dyn Bus> {
        Arc::new(Intercepted::new(bus, Arc::clone(self) as Arc<dyn Interceptor>))
    }
}

impl Interceptor for Faulty {
    fn appended(&self) -> Result<(), BusError> {
        if self.0.swap(false, Ordering::SeqCst) { Err(BusError::Storage("the answer got lost".into())) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_rows_and_reasons() {
    let dir = dir();
    let hub = Hub::open(dir.path()).await;
    let mut rows = deposits(0..9);
    rows[0].citizen = "1".to_owned();
    rows.push(rows[1].clone());
    hub.send_rows("a", &rows).await.expect("taken");
    for (outcome, count) in [("accepted", 8.0), ("duplicate", 1.0), ("quarantined", 1.0)] {
        let labels = [("department", "civil-affairs"), ("item", ITEM), ("outcome", outcome)];
        assert_eq!(hub.metric("minqiao_intake_rows_total", &labels), count);
    }
    assert_eq!(hub.metric("minqiao_intake_quarantined_total", &[("reason", "invalid_id_number")]), 1.0);
    assert!(hub.metric("minqiao_bus_appended_messages_total", &[]) >= 1.0);
}

/// Any bytes get an answer, and never a panic.
#[test]
fn any_body_gets_an_answer() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let dir = dir();
    let options =
        IntakeOptions { requests_per_second: 1_000_000, rows_per_second: 10_000_000, ..IntakeOptions::default() };
    let hub = runtime.block_on(Hub::open_with(dir.path(), options, |bus| bus));
    let good = [
        (Format::Arrow, arrow_body(&arrow(&deposits(0..4)))),
        (Format::Ndjson, ndjson_body(&deposits(0..4))),
        (Format::Csv, csv_body(&deposits(0..4))),
    ];
    let number = AtomicUsize::new(0);
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6);
    let strategy = (0..3usize, changes, any::<prop::sample::Index>(), any::<bool>());
    proptest!(ProptestConfig::with_cases(400), |((which, changes, cut, shorten) in strategy)| {
        let (format, body) = &good[which];
        let mut body = body.to_vec();
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        if shorten {
            body.truncate(cut.index(body.len()) + 1);
        }
        let number = number.fetch_add(1, Ordering::SeqCst);
        let answer = runtime.block_on(hub.send(&format!("fuzz-{number}"), body.into(), *format));
        match answer {
            Ok(receipt) => prop_assert_eq!(receipt.accepted + receipt.duplicate + receipt.quarantined, receipt.rows),
            Err(error) => prop_assert!(!matches!(error, IntakeError::Worker), "a worker died"),
        }
    });
}
