//! Faults against a running hub, and an oracle that judges.
//!
//! Publishers send rows over HTTPS as connectors do and remember what was acknowledged; a seeded schedule kills, stops and
//! starves the hub, or the hubs of a cluster, and the servers below, moves clocks and slows disks. At the end every acknowledged row must be in the lake exactly
//! once with its content, no row that was never sent may be there, each person's rows must lie in their order on the
//! log, and new rows must still flow. Exit status 1 when one of these fails, or when a kind of fault never fired.

mod disk;
mod faults;
mod hubs;
mod oracle;
mod process;
mod publisher;
mod shim;
mod stage;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use minqiao_connector_api::http::{HttpGateway, HttpOptions};
use minqiao_core::SystemClock;
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use minqiao_tests::Schedule;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::faults::{READY_WITHIN, Striker};
use crate::hubs::Hubs;
use crate::oracle::Oracle;
use crate::publisher::{Counts, Publisher};
use crate::stage::{ALL_ROLES, Shape, Stage};

/// Faults against a running hub, judged by an oracle: nothing acknowledged may be lost, doubled, changed or reordered.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
struct Args {
    /// How long faults strike.
    #[arg(long, default_value_t = 60, value_name = "N")]
    seconds: u64,
    /// Everything that chance decides follows from it.
    #[arg(long, default_value_t = 20_260_701, value_name = "S")]
    seed: u64,
    /// Publishers that send at the same time.
    #[arg(long, default_value_t = 3, value_name = "N")]
    publishers: usize,
    #[command(flatten)]
    shape: Shape,
    /// Folder to work in, kept afterwards; default: a temporary one.
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    // What is dropped ends what it started: hub, brokers, object store, disk.
    tokio::select! {
        done = run(args) => done,
        _asked = tokio::signal::ctrl_c() => bail!("interrupted"),
        _asked = terminated.recv() => bail!("terminated"),
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let temporary = tempfile::Builder::new().prefix("minqiao-faults-").tempdir()?;
    let work = args.work.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&work)?;
    say(&format!("seed {}, {} s, {}", args.seed, args.seconds, args.shape.name()))?;
    let stage = Stage::set(args.shape, &work, args.seconds)?;
    if !stage.disk.can_be_filled() {
        say("NOT RUN: full disk (needs root and a loop device)")?;
    }
    let mut hubs = Hubs::start(&stage, READY_WITHIN).await?;

    let oracle = Arc::new(Oracle::new(args.seed, args.publishers + 1));
    let counts = Arc::new(Counts::default());
    let publisher = |number| publisher(number, &args, &oracle, &counts, hubs.port(), &stage);
    let publishers: Vec<Publisher> = (0..args.publishers).map(publisher).collect::<anyhow::Result<_>>()?;
    let last = publisher(args.publishers)?;
    let stop = CancellationToken::new();
    let publishing: Vec<_> = publishers.into_iter().map(|p| tokio::spawn(p.run(stop.clone()))).collect();
    let schedule = Schedule::new(args.seed);
    let mut striker = Striker { hubs: &mut hubs, stage: &stage, schedule, fired: Default::default() };
    let strikes = strike(&mut striker, args.seconds).await;
    stop.cancel();
    strikes?;
    let (fired, silent) = (striker.fired.clone(), striker.never_fired());
    hubs.ready(READY_WITHIN).await?;
    for task in publishing {
        task.await??;
    }
    // New rows still flow.
    let after = CancellationToken::new();
    let flowing = tokio::spawn(last.run(after.clone()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    after.cancel();
    flowing.await??;
    hubs.terminate().await?;

    let verdict = judge(&oracle, stage.config("judge", ALL_ROLES)?).await?;
    let panics = hubs.panics();
    let page = json!({
        "engine": args.shape.name(), "seed": args.seed, "seconds": args.seconds, "publishers": args.publishers,
        "faults": fired, "faults_that_never_fired": silent, "panics": panics, "ended_by_themselves": hubs.ended_by_themselves(),
        "batches": counts.batches.load(Ordering::Relaxed), "requests_given_up": counts.given_up.load(Ordering::Relaxed),
        "requests_failed": counts.failed.load(Ordering::Relaxed), "verdict": verdict,
    });
    say(&serde_json::to_string_pretty(&page)?)?;
    if !verdict.is_clean() || panics > 0 || !silent.is_empty() {
        bail!("the hub did not keep its word, or a fault never fired; see above");
    }
    Ok(())
}

/// Strikes for the time given; every kind of fault at least once, however long that takes.
async fn strike(striker: &mut Striker<'_>, seconds: u64) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while tokio::time::Instant::now() < until || !striker.never_fired().is_empty() {
        let pause = striker.schedule.millis(200, 3000);
        tokio::time::sleep(pause).await;
        striker.strike().await?;
    }
    Ok(())
}

fn publisher(
    number: usize,
    args: &Args,
    oracle: &Arc<Oracle>,
    counts: &Arc<Counts>,
    port: u16,
    stage: &Stage,
) -> anyhow::Result<Publisher> {
    let cast = &stage.cast;
    let player = cast.connectors.iter().find(|p| p.department == "agriculture-rural-affairs").context("a connector")?;
    let url = format!("https://localhost:{port}");
    let mut options = HttpOptions::new(url, &cast.authority, &player.pair.certificate, &player.pair.key);
    options.timeout = Duration::from_secs(20);
    options.retry_for = Duration::from_secs(5);
    Ok(Publisher {
        number,
        oracle: Arc::clone(oracle),
        gateway: Arc::new(HttpGateway::new(options, Arc::new(SystemClock::new()))?),
        counts: Arc::clone(counts),
        schedule: Schedule::new(args.seed ^ (number as u64 + 1)),
    })
}

/// Opens what the hub left behind, lets it catch up, and judges.
async fn judge(oracle: &Oracle, config: Config) -> anyhow::Result<oracle::Verdict> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let running = hub.start().await?;
    let hub = Arc::clone(&running.hub);
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(300)).await.context("the lake did not catch up")?;
    let verdict = oracle.judge(&hub).await;
    running.stop().await;
    verdict
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{line}")
}
