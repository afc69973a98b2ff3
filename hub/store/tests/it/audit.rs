//! The chain of evidence on every engine: it counts, it verifies over restarts, a change of it is found, and several
//! logs on one database continue each other's records.

use std::sync::Arc;

use minqiao_core::{ManualClock, Timestamp};
use minqiao_store::audit::verify;
use minqiao_store::{AuditEntry, AuditError, AuditLog, AuditOptions, AuditSummary, Store};
use minqiao_vault::{Vault, VaultOptions};

use crate::place::{Place, on_every_engine};

on_every_engine!(
    the_chain_counts_and_verifies_over_restarts,
    a_changed_chain_does_not_verify,
    two_logs_on_one_store_keep_one_chain,
);

/// A store with a chain and the keys that sign it.
pub(crate) struct Audited {
    pub(crate) store: Store,
    pub(crate) vault: Vault,
}

impl Audited {
    pub(crate) async fn at(place: &Place) -> Self {
        let vault = Vault::open(VaultOptions::at(place.dir().join("keys"))).expect("a vault");
        Self { store: place.open().await, vault }
    }

    pub(crate) async fn log(&self, checkpoint_every: u64) -> AuditLog {
        let clock = Arc::new(ManualClock::at(Timestamp(1_772_323_200_000)));
        let options = AuditOptions { checkpoint_every, queue: 4 };
        AuditLog::open(self.store.clone(), self.vault.signer(), clock, options).await.expect("the chain opens")
    }

    pub(crate) async fn verify(&self) -> Result<AuditSummary, AuditError> {
        verify(&self.store, &self.vault.signer(), None).await
    }
}

pub(crate) fn entry(n: usize) -> AuditEntry {
    AuditEntry {
        principal: "zhang.analyst".to_owned(),
        purpose: "statistics".to_owned(),
        action: "sql.query".to_owned(),
        detail: serde_json::json!({"query": n, "rows": 3}),
    }
}

async fn the_chain_counts_and_verifies_over_restarts(place: Place) {
    let audited = Audited::at(&place).await;
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

async fn a_changed_chain_does_not_verify(place: Place) {
    let tampers: [(&str, u64); 6] = [
        ("UPDATE audit SET detail = '{}' WHERE seq = 7", 7),
        ("UPDATE audit SET at = at + 1 WHERE seq = 30", 30),
        ("DELETE FROM audit WHERE seq = 12", 12),
        ("UPDATE audit SET principal = 'x', purpose = 'zhang.analyststatistics' WHERE seq = 3", 3),
        ("UPDATE audit_checkpoint SET at = at + 1 WHERE seq = 20", 20),
        ("DELETE FROM audit WHERE seq > 18", 18),
    ];
    for (sql, seq) in tampers {
        place.empty().await;
        let audited = Audited::at(&place).await;
        let log = audited.log(10).await;
        for n in 0..30 {
            log.append(entry(n)).await.expect("appended");
        }
        log.close().await.expect("closed");
        audited.verify().await.expect("it holds before");
        assert!(place.change(sql).await > 0, "the fault did not fire");
        let broken = audited.verify().await;
        assert!(matches!(broken, Err(AuditError::Broken { seq: at, .. }) if at == seq), "{sql}: {broken:?}");
    }
}

async fn two_logs_on_one_store_keep_one_chain(place: Place) {
    let (one, other) = (Audited::at(&place).await, Audited::at(&place).await);
    let logs = [Arc::new(one.log(7).await), Arc::new(other.log(7).await)];
    let appends: Vec<_> = (0..100)
        .map(|n| {
            let log = Arc::clone(&logs[n % 2]);
            tokio::spawn(async move { log.append(entry(n)).await })
        })
        .collect();
    let mut numbers = Vec::new();
    for append in appends {
        numbers.push(append.await.expect("no panic").expect("appended"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>(), "no number twice, none left out");
    for log in logs {
        log.close().await.expect("closed");
    }
    let summary = one.verify().await.expect("the chain holds");
    assert_eq!((summary.records, summary.signed_until), (100, 100));
}
