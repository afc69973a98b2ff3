//! A hub that fails at random points and runs that are stopped: none lost, none doubled, order kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use encoding_rs::GBK;
use minqiao_connector_api::gateway::{Gateway, GatewayError, Rejection, Submission};
use minqiao_core::Receipt;
use tokio_util::sync::CancellationToken;

use crate::support::{HEADER, MemoryHub, inmates_csv, outcomes, row, run};

/// Loses requests before the hub sees them, answers after it has stored them, and stops the run, as its seed says.
#[derive(Debug)]
struct FlakyHub {
    hub: Arc<MemoryHub>,
    random: Mutex<u64>,
    cancel: Mutex<CancellationToken>,
    lost: AtomicU64,
    unanswered: AtomicU64,
    stopped: AtomicU64,
}

impl FlakyHub {
    fn roll(&self) -> u64 {
        let mut state = self.random.lock().unwrap();
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state % 100
    }

    fn down() -> GatewayError {
        GatewayError::Unavailable { attempts: 1, elapsed: std::time::Duration::ZERO, source: None }
    }

    /// What befalls a request: `Err` = lost; `Ok(true)` = stored, the answer is lost.
    fn fate(&self) -> Result<bool, GatewayError> {
        match self.roll() {
            0..=9 => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                Err(Self::down())
            }
            10..=19 => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                Ok(true)
            }
            20..=24 => {
                self.stopped.fetch_add(1, Ordering::Relaxed);
                self.cancel.lock().unwrap().cancel();
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

#[async_trait]
impl Gateway for FlakyHub {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        let unanswered = self.fate()?;
        let receipt = self.hub.submit(submission).await?;
        if unanswered { Err(Self::down()) } else { Ok(receipt) }
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        let unanswered = self.fate()?;
        let receipt = self.hub.reject(rejection).await?;
        if unanswered { Err(Self::down()) } else { Ok(receipt) }
    }
}

/// Rows with every tenth unknown, every seventh repeated from before.
fn file(from: u32, rows: u32) -> Vec<u8> {
    let mut text = format!("{HEADER}\n");
    for n in from..from + rows {
        let line = match n % 70 {
            at if at % 10 == 3 => row(n).replacen("在押", "越狱", 1),
            at if at % 7 == 6 => row(n - 5),
            _ => row(n),
        };
        text.push_str(&line);
        text.push('\n');
    }
    GBK.encode(&text).0.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_runs_end_as_one_that_was_not() {
    let root = tempfile::tempdir().unwrap();
    let exports = root.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    std::fs::write(exports.join("a.csv"), file(0, 150)).unwrap();
    std::fs::write(exports.join("b.csv"), file(100, 120)).unwrap();
    let calm = Arc::new(MemoryHub::default());
    let whole = run(inmates_csv(), &exports, &root.path().join("calm"), calm.clone(), 7).run().await.unwrap();
    assert!(whole.is_complete() && whole.counts.rows == 270, "{whole:?}");
    assert!(whole.counts.duplicate > 0 && whole.counts.quarantined > 0);
    let (mut lost, mut unanswered, mut stopped) = (0, 0, 0);
    for seed in 1..=12u64 {
        println!("seed {seed}");
        let flaky = Arc::new(FlakyHub {
            hub: Arc::new(MemoryHub::default()),
            random: Mutex::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            cancel: Mutex::new(CancellationToken::new()),
            lost: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            stopped: AtomicU64::new(0),
        });
        let state = root.path().join(format!("state-{seed}"));
        let mut report = None;
        for attempt in 0..400 {
            let cancel = CancellationToken::new();
            *flaky.cancel.lock().unwrap() = cancel.clone();
            let mut again = run(inmates_csv(), &exports, &state, flaky.clone(), 7);
            if (seed + attempt) % 2 == 0 {
                again.options.checkpoint_every = std::time::Duration::from_secs(3600);
            }
            let done = if attempt % 2 == 0 {
                again.cancel = cancel;
                again.run().await.unwrap()
            } else {
                // Dropped where it stands, as a killed process would be.
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => continue,
                    done = again.run() => done.unwrap(),
                }
            };
            if done.is_complete() {
                report = Some(done);
                break;
            }
        }
        let report = report.expect("it ends");
        assert_eq!(report.counts, whole.counts, "seed {seed}");
        assert_eq!(outcomes(&report), outcomes(&whole), "seed {seed}");
        assert_eq!(flaky.hub.accepted("prison_inmate"), calm.accepted("prison_inmate"), "seed {seed}");
        assert_eq!(flaky.hub.order("prison_inmate"), calm.order("prison_inmate"), "seed {seed}");
        assert_eq!(flaky.hub.rejected(), calm.rejected(), "seed {seed}");
        lost += flaky.lost.load(Ordering::Relaxed);
        unanswered += flaky.unanswered.load(Ordering::Relaxed);
        stopped += flaky.stopped.load(Ordering::Relaxed);
    }
    assert!(lost > 0 && unanswered > 0 && stopped > 0, "every fault fired: {lost} {unanswered} {stopped}");
}

#[tokio::test]
async fn a_finished_file_is_not_sent_again_and_a_changed_one_is() {
    let root = tempfile::tempdir().unwrap();
    let exports = root.path().join("exports");
    std::fs::create_dir(&exports).unwrap();
    std::fs::write(exports.join("a.csv"), file(0, 20)).unwrap();
    let hub = Arc::new(MemoryHub::default());
    let state = root.path().join("state");
    let first = run(inmates_csv(), &exports, &state, hub.clone(), 7).run().await.unwrap();
    let batches = hub.order("prison_inmate").len();
    let second = run(inmates_csv(), &exports, &state, hub.clone(), 7).run().await.unwrap();
    assert_eq!((hub.order("prison_inmate").len(), outcomes(&second)), (batches, outcomes(&first)));
    std::fs::write(exports.join("a.csv"), file(0, 22)).unwrap();
    let third = run(inmates_csv(), &exports, &state, hub.clone(), 7).run().await.unwrap();
    assert_eq!((third.counts.rows, third.counts.accepted), (22, 1));
}
