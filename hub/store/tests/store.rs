//! The store from outside: batches finish once, quarantine and receipt together, the chain of evidence holds.

use std::sync::Arc;

use minqiao_core::{ManualClock, Outcome, Principal, Receipt, Role, RowOutcome, RowReason, Timestamp};
use minqiao_store::audit::verify;
use minqiao_store::quarantine::new_blob_id;
use minqiao_store::{
    AuditEntry, AuditError, AuditLog, AuditOptions, BatchKind, Finished, NewQuarantined, NewReceipt, NewReport,
    QuarantineFilter, QuarantineStatus, Store, StoreError, StoreOptions,
};
use minqiao_vault::{Vault, VaultOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tempfile::TempDir;

async fn store() -> (TempDir, Store) {
    let dir = TempDir::new().expect("a temporary directory");
    let store = open(&dir).await;
    (dir, store)
}

async fn open(dir: &TempDir) -> Store {
    Store::open(StoreOptions::at(dir.path().join("store/minqiao.db"))).await.expect("the store opens")
}

fn receipt(batch_id: &str, digest: &str, reasons: &[&[&str]]) -> NewReceipt {
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

fn blob() -> NewQuarantined {
    NewQuarantined { blob_id: new_blob_id(), sealed: vec![0, 159, 146, 150] }
}

#[tokio::test]
async fn a_batch_is_finished_once() {
    let (dir, store) = store().await;
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
    let store = open(&dir).await;
    let stored = store.receipt("civil-affairs.371002", BatchKind::Batch, "b-1").await.expect("read").expect("there");
    assert_eq!(stored.receipt, first.receipt);
    assert_eq!(store.receipts("b-1", None).await.expect("read").len(), 2);
    assert_eq!(store.receipts("b-1", Some("education.371002")).await.expect("read").len(), 0);
    assert_eq!(store.quarantine_list(&QuarantineFilter::default(), 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn concurrent_twins_of_a_batch_get_one_receipt() {
    let (_dir, store) = store().await;
    let finish = |store: Store| async move { store.finish_batch(receipt("b", "d", &[&["range"]]), &blob()).await };
    let twins: Vec<_> = (0..8).map(|_| tokio::spawn(finish(store.clone()))).collect();
    let mut new = 0;
    for twin in twins {
        new += usize::from(twin.await.expect("no panic").expect("stored") == Finished::New);
    }
    assert_eq!(new, 1);
    assert_eq!(store.quarantine_list(&QuarantineFilter::default(), 10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn quarantine_counts_lists_and_resolves() {
    let (_dir, store) = store().await;
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

#[tokio::test]
async fn checkpoints_reports_and_principals_are_kept() {
    let (_dir, store) = store().await;
    let body = serde_json::json!({"row": 17});
    assert_eq!(store.checkpoint("c", "items/x").await.expect("read"), None);
    for at in 1..3 {
        store.set_checkpoint("c", "items/x", &body, Timestamp(at)).await.expect("stored");
    }
    assert_eq!(store.checkpoint("c", "items/x").await.expect("read"), Some(body.clone()));
    assert_eq!(store.checkpoints("c").await.expect("read"), [("items/x".to_owned(), body)]);

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
    assert!(store.put_report(&report).await.is_err(), "an id is used once");
    assert_eq!(store.report_body("r-1").await.expect("read"), report.sealed);
    assert_eq!(store.reports(Some("SQ-1"), 10).await.expect("read"), [store.report("r-1").await.expect("read")]);
    assert!(store.reports(Some("SQ-2"), 10).await.expect("read").is_empty());

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

struct Audited {
    dir: TempDir,
    store: Store,
    vault: Vault,
}

impl Audited {
    async fn new() -> Self {
        let (dir, store) = store().await;
        let vault = Vault::open(VaultOptions::at(dir.path().join("keys"))).expect("a vault");
        Self { dir, store, vault }
    }

    async fn log(&self, checkpoint_every: u64) -> AuditLog {
        let clock = Arc::new(ManualClock::at(Timestamp(1_772_323_200_000)));
        let options = AuditOptions { checkpoint_every, queue: 4 };
        AuditLog::open(self.store.clone(), self.vault.signer(), clock, options).await.expect("the chain opens")
    }

    /// Changes the database behind the hub's back.
    async fn tamper(&self, sql: &'static str) {
        let path = self.dir.path().join("store/minqiao.db");
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(SqliteConnectOptions::new().filename(path))
            .await
            .expect("opened");
        let changed = sqlx::query(sql).execute(&pool).await.expect("changed").rows_affected();
        assert!(changed > 0, "the fault did not fire");
        pool.close().await;
    }

    async fn verify(&self) -> Result<minqiao_store::AuditSummary, AuditError> {
        verify(&self.store, &self.vault.signer(), None).await
    }
}

fn entry(n: usize) -> AuditEntry {
    AuditEntry {
        principal: "zhang.analyst".to_owned(),
        purpose: "statistics".to_owned(),
        action: "sql.query".to_owned(),
        detail: serde_json::json!({"query": n, "rows": 3}),
    }
}

#[tokio::test]
async fn the_chain_counts_and_verifies_over_restarts() {
    let audited = Audited::new().await;
    let log = Arc::new(audited.log(10).await);
    let appends: Vec<_> = (0..25)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.append(entry(n)).await })
        })
        .collect();
    let mut numbers = Vec::new();
    for append in appends {
        numbers.push(append.await.expect("no panic").expect("appended"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=25).collect::<Vec<_>>());
    log.close().await.expect("closed");
    assert!(matches!(log.append(entry(0)).await, Err(AuditError::Unavailable)));
    audited.vault.rotate().expect("rotated");
    let log = audited.log(10).await;
    assert_eq!(log.append(entry(26)).await.expect("appended"), 26);
    assert_eq!(log.records(24, 10).await.expect("read").len(), 2);
    let summary = audited.verify().await.expect("the chain holds");
    assert_eq!((summary.records, summary.checkpoints, summary.signed_until), (26, 3, 25));
    let known = log.records(19, 1).await.expect("read").remove(0);
    let signer = audited.vault.signer();
    verify(&audited.store, &signer, Some((20, &known.hash))).await.expect("the known checkpoint fits");
    let cut = verify(&audited.store, &signer, Some((27, &known.hash))).await;
    assert!(matches!(cut, Err(AuditError::Broken { seq: 26, .. })));
}

#[tokio::test]
async fn a_changed_chain_does_not_verify() {
    let tampers: [(&str, u64); 6] = [
        ("UPDATE audit SET detail = '{}' WHERE seq = 7", 7),
        ("UPDATE audit SET at = at + 1 WHERE seq = 30", 30),
        ("DELETE FROM audit WHERE seq = 12", 12),
        ("UPDATE audit SET principal = 'x', purpose = 'zhang.analyststatistics' WHERE seq = 3", 3),
        ("UPDATE audit_checkpoint SET at = at + 1 WHERE seq = 20", 20),
        ("DELETE FROM audit WHERE seq > 18", 18),
    ];
    for (sql, seq) in tampers {
        let audited = Audited::new().await;
        let log = audited.log(10).await;
        for n in 0..30 {
            log.append(entry(n)).await.expect("appended");
        }
        log.close().await.expect("closed");
        audited.verify().await.expect("it holds before");
        audited.tamper(sql).await;
        let broken = audited.verify().await;
        assert!(matches!(broken, Err(AuditError::Broken { seq: at, .. }) if at == seq), "{sql}: {broken:?}");
    }
}
