//! Two processes on one database, for real: this program starts itself twice.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use minqiao_core::Receipt;
use minqiao_store::{BatchKind, Finished, NewReceipt, QuarantineFilter};
use minqiao_vault::{Vault, VaultOptions};

use crate::audit::{Audited, entry};
use crate::place::{Place, on_every_engine, options_of};
use crate::scenarios::{blob, receipt};

on_every_engine!(two_processes_share_one_chain_and_one_receipt_per_batch);

/// Name of the store, folder, name of the process.
const CHILD: &str = "MINQIAO_STORE_TEST_CHILD";
const RECORDS: usize = 150;
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
    let mut new = 0;
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        new += String::from_utf8_lossy(&output.stdout).matches("NEW").count();
    }

    let summary = audited.verify().await.expect("the chain holds");
    assert_eq!(summary.records, 2 * RECORDS as u64);
    let records = audited.log(1000).await.records(0, 1000).await.expect("read");
    let turns = records.windows(2).filter(|pair| pair[0].principal != pair[1].principal).count();
    assert!(turns > 1, "the processes did not write at the same time: {turns}");

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
    let store = minqiao_store::Store::open(options_of(&store)).await.expect("the store opens");
    let vault = Vault::open(VaultOptions::at(dir.join("keys"))).expect("a vault");
    let audited = Arc::new(Audited { store, vault });
    let log = Arc::new(audited.log(16).await);
    std::fs::write(dir.join(format!("ready-{name}")), "").expect("written");
    wait_for(&dir.join("go"));

    let appends = (0..RECORDS).map(|n| {
        let (log, principal) = (Arc::clone(&log), name.clone());
        tokio::spawn(async move {
            log.append(minqiao_store::AuditEntry { principal, ..entry(n) }).await.expect("appended");
        })
    });
    let appends: Vec<_> = appends.collect();
    for batch in 0..BATCHES {
        let new = receipt(&format!("b-{batch}"), "d", &[&["range"]]);
        let new = NewReceipt { receipt: Receipt { signature: name.clone(), ..new.receipt }, ..new };
        let rejected = minqiao_store::NewQuarantined { sealed: name.clone().into_bytes(), ..blob() };
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
    log.close().await.expect("closed");
}
