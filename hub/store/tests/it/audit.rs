//! The chain of evidence on every engine: it counts, it verifies over restarts, a change of it is found, and several
//! logs on one database continue each other's records. Whoever rewrites records and computes the chain anew is noticed:
//! records are signed in time, and what is not signed is told.

use std::sync::Arc;
use std::time::Duration;

use minqiao_core::{Clock, ManualClock, Timestamp};
use minqiao_store::audit::{UNSIGNED_MAX, Unsigned, verify};
use minqiao_store::{AuditEntry, AuditError, AuditLog, AuditOptions, AuditRecord, AuditSummary, Store};
use minqiao_vault::{Vault, VaultOptions, sm3};

use crate::place::{Place, on_every_engine, options_of};

on_every_engine!(
    the_chain_counts_and_verifies_over_restarts,
    a_changed_chain_does_not_verify,
    two_logs_on_one_store_keep_one_chain,
    records_are_signed_in_time_and_once,
    a_forged_chain_without_checkpoints_is_noticed,
    a_chain_forged_after_its_checkpoint_is_noticed,
    a_running_log_does_not_sign_what_was_forged_below_it,
    a_log_signs_when_it_opens_what_a_killed_one_left,
    a_log_does_not_open_on_a_broken_end,
);

const START: Timestamp = Timestamp(1_772_323_200_000);

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
        let clock = Arc::new(ManualClock::at(START));
        let options = AuditOptions { checkpoint_every, queue: 4, ..AuditOptions::default() };
        AuditLog::open(self.store.clone(), self.vault.signer(), clock, options).await.expect("the chain opens")
    }

    /// A log that looks every 100 ms what it has to sign, by this clock.
    async fn timed(&self, clock: &Arc<ManualClock>) -> Result<AuditLog, AuditError> {
        let options = AuditOptions { sign_within: WITHIN, ..AuditOptions::default() };
        AuditLog::open(self.store.clone(), self.vault.signer(), clock.clone(), options).await
    }

    /// Waits until a checkpoint covers every record.
    async fn signed(&self) -> AuditSummary {
        for _ in 0..600 {
            let summary = self.verify().await.expect("the chain holds");
            if summary.unsigned.is_none() {
                return summary;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the end is never signed");
    }

    async fn records(&self) -> Vec<AuditRecord> {
        // A log only to read; it is never closed, hence signs nothing.
        let log = self.timed(&Arc::new(ManualClock::at(START))).await.expect("the chain opens");
        let records = log.records(0, 100_000).await.expect("read");
        std::mem::forget(log);
        records
    }

    pub(crate) async fn verify(&self) -> Result<AuditSummary, AuditError> {
        verify(&self.store, &self.vault.signer(), None).await
    }
}

const WITHIN: Duration = Duration::from_millis(200);

/// A hub that appends and is killed: its task ends with its runtime, in the middle of whatever it does.
async fn killed(place: &Place, count: usize) {
    let name = place.name();
    let keys = place.dir().join("keys");
    let hub = move || {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let vault = Vault::open(VaultOptions::at(keys)).expect("a vault");
            let audited = Audited { store: Store::open(options_of(&name)).await.expect("the store opens"), vault };
            let log = audited.log(1000).await;
            for n in 0..count {
                log.append(entry(n)).await.expect("appended");
            }
            std::mem::forget(log);
        });
        runtime.shutdown_background();
    };
    tokio::task::spawn_blocking(hub).await.expect("no panic");
}

/// Rewrites who did record `from`, and computes the chain anew from there on, as the module of the chain says.
async fn forge(place: &Place, mut records: Vec<AuditRecord>, from: u64) {
    let mut prev = String::new();
    for record in &mut records {
        if record.seq == from {
            record.principal = "li.innocent".to_owned();
        }
        if record.seq > from {
            record.prev_hash.clone_from(&prev);
        }
        let mut input = b"minqiao audit 1\0".to_vec();
        input.extend(hex::decode(&record.prev_hash).expect("a hash"));
        input.extend(record.seq.to_be_bytes());
        input.extend(record.at.0.to_be_bytes());
        for text in [&record.principal, &record.purpose, &record.action, &record.detail] {
            input.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
            input.extend(text.as_bytes());
        }
        let hash = hex::encode(sm3(&input));
        assert_eq!(hash == record.hash, record.seq < from, "record {}", record.seq);
        prev.clone_from(&hash);
        if record.seq >= from {
            let AuditRecord { seq, principal, prev_hash, .. } = record;
            let change = format!(
                "UPDATE audit SET principal = '{principal}', prev_hash = '{prev_hash}', hash = '{hash}' WHERE seq = {seq}"
            );
            assert_eq!(place.change(&change).await, 1, "the fault did not fire");
        }
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

async fn records_are_signed_in_time_and_once(place: Place) {
    let (one, other) = (Audited::at(&place).await, Audited::at(&place).await);
    let clock = Arc::new(ManualClock::at(START));
    let logs = [one.timed(&clock).await.expect("it opens"), other.timed(&clock).await.expect("it opens")];
    for round in 1..=3 {
        for log in &logs {
            log.append(entry(round)).await.expect("appended");
        }
        let waiting = one.verify().await.expect("the chain holds");
        assert_eq!(waiting.unsigned, Some(Unsigned { records: 2, since: clock.now() }));
        clock.advance(WITHIN);
        let summary = one.signed().await;
        assert_eq!((summary.records, summary.checkpoints), (2 * round as u64, round as u64));
        assert_eq!(summary.signed_late, None);
    }
    for log in logs {
        log.close().await.expect("closed");
    }
    assert_eq!(one.verify().await.expect("the chain holds").checkpoints, 3, "nothing is left to sign");
}

async fn a_forged_chain_without_checkpoints_is_noticed(place: Place) {
    killed(&place, 30).await;
    let audited = Audited::at(&place).await;
    forge(&place, audited.records().await, 7).await;
    let summary = audited.verify().await.expect("the hashes hold");
    let end = Unsigned { records: 30, since: START };
    assert_eq!((summary.checkpoints, summary.unsigned), (0, Some(end)));
    let after = |time: Duration| Timestamp(START.0 + time.as_millis() as i64);
    summary.check(after(UNSIGNED_MAX)).expect("a running hub may still sign it");
    let told = summary.check(after(UNSIGNED_MAX + Duration::from_millis(1))).expect_err("nothing proves it");
    assert!(matches!(told, AuditError::Unsigned(told) if told == end), "{told:?}");
    let known = audited.records().await.pop().expect("a record");
    let kept = verify(&audited.store, &audited.vault.signer(), Some((30, &known.hash))).await.expect("it fits");
    kept.check(after(2 * UNSIGNED_MAX)).expect("a checkpoint kept elsewhere covers it");
}

async fn a_chain_forged_after_its_checkpoint_is_noticed(place: Place) {
    let audited = Audited::at(&place).await;
    let clock = Arc::new(ManualClock::at(START));
    let log = audited.timed(&clock).await.expect("it opens");
    for n in 0..5 {
        log.append(entry(n)).await.expect("appended");
    }
    clock.advance(WITHIN);
    assert_eq!(audited.signed().await.signed_until, 5, "signed although nothing was closed");
    forge(&place, audited.records().await, 2).await;
    let broken = audited.verify().await;
    assert!(matches!(broken, Err(AuditError::Broken { seq: 5, .. })), "{broken:?}");
}

async fn a_running_log_does_not_sign_what_was_forged_below_it(place: Place) {
    let audited = Audited::at(&place).await;
    let clock = Arc::new(ManualClock::at(START));
    let log = audited.timed(&clock).await.expect("it opens");
    for n in 0..5 {
        log.append(entry(n)).await.expect("appended");
    }
    forge(&place, audited.records().await, 2).await;
    assert_eq!(log.append(entry(5)).await.expect("the log goes on"), 6);
    clock.advance(2 * UNSIGNED_MAX);
    log.close().await.expect("closed, after it looked what to sign");
    let summary = audited.verify().await.expect("the hashes hold");
    assert_eq!((summary.checkpoints, summary.signed_until), (0, 0));
    assert!(matches!(summary.check(clock.now()), Err(AuditError::Unsigned(_))));
}

async fn a_log_signs_when_it_opens_what_a_killed_one_left(place: Place) {
    killed(&place, 3).await;
    let audited = Audited::at(&place).await;
    assert_eq!(audited.verify().await.expect("the chain holds").checkpoints, 0);
    // Within its time the record is left to whoever wrote it.
    let young = audited.timed(&Arc::new(ManualClock::at(START))).await.expect("it opens");
    assert_eq!(audited.verify().await.expect("the chain holds").checkpoints, 0);
    std::mem::forget(young);
    let clock = Arc::new(ManualClock::at(Timestamp(START.0 + 3_600_000)));
    let log = audited.timed(&clock).await.expect("it opens");
    let summary = audited.verify().await.expect("the chain holds");
    assert_eq!((summary.checkpoints, summary.signed_until, summary.unsigned), (1, 3, None));
    assert_eq!(summary.signed_late, Some(Unsigned { records: 3, since: START }), "and it says so for ever");
    log.append(entry(3)).await.expect("appended");
    log.close().await.expect("closed");
    let summary = audited.verify().await.expect("the chain holds");
    assert_eq!((summary.checkpoints, summary.signed_until), (2, 4));
    assert_eq!(summary.signed_late.map(|late| late.records), Some(3));
}

async fn a_log_does_not_open_on_a_broken_end(place: Place) {
    let audited = Audited::at(&place).await;
    let log = audited.log(10).await;
    for n in 0..10 {
        log.append(entry(n)).await.expect("appended");
    }
    log.close().await.expect("closed");
    killed(&place, 5).await;
    let clock = Arc::new(ManualClock::at(START));
    for (sql, undo, seq) in [
        ("UPDATE audit SET at = at + 1 WHERE seq = 12", "UPDATE audit SET at = at - 1 WHERE seq = 12", 12),
        (
            "UPDATE audit_checkpoint SET at = at + 1 WHERE seq = 10",
            "UPDATE audit_checkpoint SET at = at - 1 WHERE seq = 10",
            10,
        ),
        ("DELETE FROM audit WHERE seq > 9", "SELECT 1", 10),
    ] {
        assert!(place.change(sql).await > 0, "the fault did not fire");
        let broken = audited.timed(&clock).await;
        assert!(matches!(broken, Err(AuditError::Broken { seq: at, .. }) if at == seq), "{sql}: {broken:?}");
        place.change(undo).await;
    }
}
