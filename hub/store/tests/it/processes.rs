//! Two processes on one database, for real: this program starts itself twice.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use minqiao_core::Receipt;
use minqiao_store::{AuditEntry, AuditLog, BatchKind, Finished, NewQuarantined, NewReceipt, QuarantineFilter, Store};
use minqiao_vault::{Vault, VaultOptions};

use crate::audit::{Audited, entry};
use crate::place::{Place, on_every_engine, options_of};
use crate::scenarios::{blob, receipt};

on_every_engine!(two_processes_share_one_chain_and_one_receipt_per_batch);

/// Name of the store, folder, name of the process.
const CHILD: &str = "MINQIAO_STORE_TEST_CHILD";
/// Records that each process appends at least; it goes on until they have taken turns this often.
const RECORDS: usize = 150;
const TURNS: usize = 5;
const BATCHES: usize = 40;

async fn two_processes_share_one_chain_and_one_receipt_per_batch(place: Place) {
    let audited = Audited::at(&place).await;
    let start = |name: &str| {
        Command::new(env::current_exe().expect("this program"))
            .args(["--exact", "processes::child", "--ignored", "--nocapture"])
            .env(CHILD, format!("{}\n{}\n{name}", place.name(), place.dir().display()))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a second process")
    };
    let children = [start("one"), start("two")];
    wait_for(&place.dir().join("ready-one"));
    wait_for(&place.dir().join("ready-two"));
    std::fs::write(place.dir().join("go"), "").expect("written");
    let (mut new, mut appended) = (0, 0);
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let told = String::from_utf8_lossy(&output.stdout);
        new += told.matches("NEW").count();
        appended += told.lines().filter_map(|line| line.strip_prefix("APPENDED ")?.parse::<u64>().ok()).sum::<u64>();
    }

    let summary = audited.verify().await.expect("the chain holds");
    assert_eq!(summary.records, appended, "every record that was acknowledged, and no other");
    assert!(appended >= 2 * RECORDS as u64);

    assert_eq!(new, BATCHES, "each batch is new in one process");
    let rows = audited.store.quarantine_list(&QuarantineFilter::default(), 1000).await.expect("read");
    assert_eq!(rows.len(), BATCHES, "its quarantine comes with the receipt that stands");
    for row in rows {
        let stored = audited.store.receipts(&row.batch_id, None).await.expect("read");
        let [stored] = stored.as_slice() else { panic!("{} receipts", stored.len()) };
        let blob = audited.store.quarantine_blob(&row.blob_id).await.expect("read");
        assert_eq!(stored.receipt.signature.as_bytes(), blob, "receipt and quarantine are of one process");
    }
}

fn wait_for(path: &Path) {
    for _ in 0..600 {
        if path.try_exists().expect("the folder") {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("no {}", path.display());
}

/// How often the chain passes from one process to the other.
async fn turns(log: &AuditLog) -> usize {
    let records = log.records(0, 100_000).await.expect("read");
    records.windows(2).filter(|pair| pair[0].principal != pair[1].principal).count()
}

/// One of the two processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test above"]
async fn child() {
    let Some(told) = env::var_os(CHILD) else { return };
    let told = told.into_string().expect("UTF-8");
    let mut told = told.lines();
    let mut next = || told.next().expect("three lines").to_owned();
    let (store, dir, name) = (next(), next(), next());
    let dir = Path::new(&dir);
    let store = Store::open(options_of(&store)).await.expect("the store opens");
    let vault = Vault::open(VaultOptions::at(dir.join("keys"))).expect("a vault");
    let audited = Arc::new(Audited { store, vault });
    let log = Arc::new(audited.log(16).await);
    std::fs::write(dir.join(format!("ready-{name}")), "").expect("written");
    wait_for(&dir.join("go"));

    let appends = (0..RECORDS).map(|n| {
        let (log, principal) = (Arc::clone(&log), name.clone());
        tokio::spawn(async move {
            log.append(AuditEntry { principal, ..entry(n) }).await.expect("appended");
        })
    });
    let appends: Vec<_> = appends.collect();
    for batch in 0..BATCHES {
        let new = receipt(&format!("b-{batch}"), "d", &[&["range"]]);
        let new = NewReceipt { receipt: Receipt { signature: name.clone(), ..new.receipt }, ..new };
        let rejected = NewQuarantined { sealed: name.clone().into_bytes(), ..blob() };
        match audited.store.finish_batch(new, &rejected).await.expect("finished") {
            Finished::New => println!("NEW b-{batch}"),
            Finished::Before(before) => {
                let stored = audited.store.receipt(&before.provider, BatchKind::Batch, &before.batch_id).await;
                assert_eq!(stored.expect("read").expect("there").receipt, *before);
            }
        }
    }
    for append in appends {
        append.await.expect("no panic");
    }
    let mut appended = RECORDS;
    while turns(&log).await < TURNS {
        log.append(AuditEntry { principal: name.clone(), ..entry(appended) }).await.expect("appended");
        appended += 1;
        // SQLite's lock is not fair: whoever asks without a pause keeps it.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(appended < 50_000, "the other process never wrote");
    }
    log.close().await.expect("closed");
    println!("\nAPPENDED {appended}");
}
