//! What a store does, on every engine: batches finish once, quarantine and receipt together, the rest is kept.

use minqiao_core::{Outcome, Principal, Receipt, Role, RowOutcome, RowReason, Timestamp};
use minqiao_store::quarantine::new_blob_id;
use minqiao_store::{
    BatchKind, Finished, NewQuarantined, NewReceipt, NewReport, QuarantineFilter, QuarantineStatus, Store, StoreError,
};

use crate::place::{Place, on_every_engine};

on_every_engine!(
    a_batch_is_finished_once,
    concurrent_twins_of_a_batch_get_one_receipt,
    quarantine_counts_lists_and_resolves,
    a_thousand_rejected_rows_keep_their_order,
    lists_come_in_the_order_of_bytes,
    checkpoints_are_kept,
    reports_are_kept_and_an_id_is_used_once,
    principals_are_kept,
    deliveries_are_counted_by_day,
);

pub(crate) fn receipt(batch_id: &str, digest: &str, reasons: &[&[&str]]) -> NewReceipt {
    let outcomes = reasons.iter().zip(0..).map(|(codes, row)| RowOutcome {
        row,
        outcome: Outcome::Quarantined,
        reasons: codes
            .iter()
            .map(|code| RowReason {
                code: (*code).to_owned(),
                field: Some("citizen_id".to_owned()),
                message_zh: "请更正".to_owned(),
                message_en: "correct it".to_owned(),
            })
            .collect(),
    });
    let receipt = Receipt {
        batch_id: batch_id.to_owned(),
        item: "bank_deposit".to_owned(),
        provider: "civil-affairs.371002".to_owned(),
        catalogue_version: "1.0.0".to_owned(),
        received_at: Timestamp(1).to_string(),
        rows: reasons.len() as u32,
        accepted: 0,
        duplicate: 0,
        quarantined: reasons.len() as u32,
        content_digest: digest.to_owned(),
        outcomes: outcomes.collect(),
        key_id: "k".to_owned(),
        signature: "s".to_owned(),
    };
    NewReceipt { kind: BatchKind::Batch, receipt, received_at: Timestamp(1) }
}

pub(crate) fn blob() -> NewQuarantined {
    NewQuarantined { blob_id: new_blob_id(), sealed: vec![0, 159, 146, 150] }
}

async fn a_batch_is_finished_once(place: Place) {
    let store = place.open().await;
    let first = receipt("b-1", "d-1", &[&["missing_required"]]);
    assert_eq!(store.finish_batch(first.clone(), &blob()).await.expect("stored"), Finished::New);
    let again = NewReceipt { receipt: Receipt { rows: 99, ..first.receipt.clone() }, ..first.clone() };
    let before = store.finish_batch(again, &blob()).await.expect("known");
    assert_eq!(before, Finished::Before(Box::new(first.receipt.clone())), "the first receipt is the receipt");
    let other = store.finish_batch(receipt("b-1", "d-2", &[]), &NewQuarantined::default()).await;
    assert!(matches!(other, Err(StoreError::BatchConflict { .. })));
    let rejects = NewReceipt { kind: BatchKind::Rejects, ..receipt("b-1", "d-2", &[]) };
    assert_eq!(store.finish_batch(rejects, &NewQuarantined::default()).await.expect("stored"), Finished::New);
    store.close().await;
    let store = place.open().await;
    let stored = store.receipt("civil-affairs.371002", BatchKind::Batch, "b-1").await.expect("read").expect("there");
    assert_eq!(stored.receipt, first.receipt);
    assert_eq!(store.receipts("b-1", None).await.expect("read").len(), 2);
    assert_eq!(store.receipts("b-1", Some("education.371002")).await.expect("read").len(), 0);
    assert_eq!(store.quarantine_list(&QuarantineFilter::default(), 10).await.expect("read").len(), 1);
}

async fn concurrent_twins_of_a_batch_get_one_receipt(place: Place) {
    let store = place.open().await;
    let finish = |store: Store| async move { store.finish_batch(receipt("b", "d", &[&["range"]]), &blob()).await };
    let twins: Vec<_> = (0..8).map(|_| tokio::spawn(finish(store.clone()))).collect();
    let mut new = 0;
    for twin in twins {
        new += usize::from(twin.await.expect("no panic").expect("stored") == Finished::New);
    }
    assert_eq!(new, 1);
    assert_eq!(store.quarantine_list(&QuarantineFilter::default(), 10).await.expect("read").len(), 1);
}

async fn quarantine_counts_lists_and_resolves(place: Place) {
    let store = place.open().await;
    let reasons: &[&[&str]] = &[&["missing_required"], &["missing_required", "invalid_date"], &["range"]];
    let blob = blob();
    store.finish_batch(receipt("b", "d", reasons), &blob).await.expect("stored");
    let counts = store.quarantine_counts().await.expect("counted");
    let counts: Vec<(&str, u64)> = counts.iter().map(|count| (count.reason.as_str(), count.rows)).collect();
    assert_eq!(counts, [("invalid_date", 1), ("missing_required", 2), ("range", 1)]);
    let missing = QuarantineFilter { reason: Some("missing_required".to_owned()), ..QuarantineFilter::default() };
    let rows = store.quarantine_list(&missing, 10).await.expect("listed");
    assert_eq!(rows.iter().map(|row| (row.row, row.blob_row)).collect::<Vec<_>>(), [(0, 0), (1, 1)]);
    assert_eq!(store.quarantine_blob(&rows[0].blob_id).await.expect("read"), blob.sealed);
    let after = QuarantineFilter { after: Some(rows[0].id.clone()), ..missing.clone() };
    assert_eq!(store.quarantine_list(&after, 10).await.expect("listed").len(), 1);
    let ids = [rows[0].id.clone()];
    assert_eq!(store.quarantine_resolve(&ids, QuarantineStatus::Replayed, Timestamp(9)).await.expect("resolved"), 1);
    assert_eq!(store.quarantine_resolve(&ids, QuarantineStatus::Dropped, Timestamp(9)).await.expect("known"), 0);
    let row = store.quarantined(&ids[0]).await.expect("there");
    assert_eq!((row.status, row.resolved_at), (QuarantineStatus::Replayed, Some(Timestamp(9))));
    let waiting = QuarantineFilter { status: Some(QuarantineStatus::Waiting), ..missing };
    assert_eq!(store.quarantine_list(&waiting, 10).await.expect("listed").len(), 1);
    assert!(matches!(store.quarantined("nothing").await, Err(StoreError::NotFound { .. })));
}

async fn checkpoints_are_kept(place: Place) {
    let store = place.open().await;
    let body = serde_json::json!({"row": 17});
    assert_eq!(store.checkpoint("c", "items/x").await.expect("read"), None);
    for at in 1..3 {
        store.set_checkpoint("c", "items/x", &body, Timestamp(at)).await.expect("stored");
    }
    assert_eq!(store.checkpoint("c", "items/x").await.expect("read"), Some(body.clone()));
    assert_eq!(store.checkpoints("c").await.expect("read"), [("items/x".to_owned(), body)]);
}

async fn reports_are_kept_and_an_id_is_used_once(place: Place) {
    let store = place.open().await;
    let report = NewReport {
        id: "r-1".to_owned(),
        application_no: "SQ-1".to_owned(),
        as_of: Timestamp(5),
        created_at: Timestamp(6),
        created_by: "zhang.caseworker".to_owned(),
        conclusion: "eligible".to_owned(),
        versions: serde_json::json!({"parameters": "2026"}),
        digest: "d".to_owned(),
        key_id: "k".to_owned(),
        signature: "s".to_owned(),
        sealed: vec![1, 2, 255],
    };
    store.put_report(&report).await.expect("stored");
    store.put_report(&NewReport { sealed: vec![7], ..report.clone() }).await.expect("the same report, sealed anew");
    let other = store.put_report(&NewReport { digest: "e".to_owned(), ..report.clone() }).await;
    assert!(matches!(other, Err(StoreError::ReportConflict { .. })), "an id is used once");
    assert_eq!(store.report_body("r-1").await.expect("read"), report.sealed);
    assert_eq!(store.reports(Some("SQ-1"), 10).await.expect("read"), [store.report("r-1").await.expect("read")]);
    assert!(store.reports(Some("SQ-2"), 10).await.expect("read").is_empty());
}

async fn principals_are_kept(place: Place) {
    let store = place.open().await;
    let principal = Principal {
        id: "zhang.caseworker".to_owned(),
        role: Role::Caseworker,
        department: Some("civil-affairs".to_owned()),
        county: Some("371002".to_owned()),
    };
    store.put_principal(&principal, Timestamp(1)).await.expect("stored");
    store.set_password_verifier(&principal.id, Some("$v$")).await.expect("stored");
    store.put_principal(&Principal { county: None, ..principal.clone() }, Timestamp(2)).await.expect("changed");
    let stored = store.principal(&principal.id).await.expect("read").expect("there");
    assert_eq!((stored.principal.county, stored.has_password), (None, true));
    store.set_principal_disabled(&principal.id, Some(Timestamp(3))).await.expect("disabled");
    assert_eq!(store.password_verifier(&principal.id).await.expect("read"), None, "a disabled user has no password");
    assert!(store.set_principal_disabled("nobody", None).await.is_err());
}

async fn a_thousand_rejected_rows_keep_their_order(place: Place) {
    let store = place.open().await;
    let reasons: Vec<&[&str]> = (0..1234).map(|_| ["range", "invalid_date"].as_slice()).collect();
    store.finish_batch(receipt("b", "d", &reasons), &blob()).await.expect("stored");
    let mut filter = QuarantineFilter { batch_id: Some("b".to_owned()), ..QuarantineFilter::default() };
    let mut rows = Vec::new();
    loop {
        let page = store.quarantine_list(&filter, 500).await.expect("listed");
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id.clone());
        rows.extend(page.iter().map(|row| row.row));
    }
    assert_eq!(rows, (0..1234).collect::<Vec<u32>>());
    let counts = store.quarantine_counts().await.expect("counted");
    assert_eq!(counts.iter().map(|count| count.rows).collect::<Vec<_>>(), [1234, 1234]);
}

async fn lists_come_in_the_order_of_bytes(place: Place) {
    let store = place.open().await;
    // The rules of a language would put `a` before `B`, pass over `-`, and hold `é` next to `e`.
    let mut places = ["b", "B", "a-b", "ab", "a", "é", "f", "民", "_", "Z"];
    for place in places {
        store.set_checkpoint("c", place, &serde_json::Value::Null, Timestamp(1)).await.expect("stored");
    }
    places.sort_unstable();
    let listed = store.checkpoints("c").await.expect("read");
    assert_eq!(listed.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), places);
}

async fn deliveries_are_counted_by_day(place: Place) {
    let store = place.open().await;
    // 16:00 in UTC is midnight in +08:00.
    for (batch, at) in [("b-1", 57_599_999), ("b-2", 57_600_000), ("b-3", 57_600_001)] {
        let new = NewReceipt { received_at: Timestamp(at), ..receipt(batch, "d", &[&["range"]]) };
        store.finish_batch(new, &blob()).await.expect("stored");
    }
    let counts = store.ingest_counts().await.expect("counted");
    let counts: Vec<_> = counts.iter().map(|count| (count.day, count.batches, count.quarantined)).collect();
    assert_eq!(counts, [(0, 1, 1), (1, 2, 2)]);
}
