//! Faults against a running hub, and an oracle that judges.
//!
//! Publishers send rows over HTTPS as connectors do and remember what was acknowledged; a seeded schedule kills, stops and
//! starves the hub (and the brokers of its cluster), moves its clock and slows its disk. At the end every acknowledged row must be in the lake exactly
//! once with its content, no row that was never sent may be there, each person's rows must lie in their order on the
//! log, and new rows must still flow. Exit status 1 when one of these fails, or when a kind of fault never fired.

mod disk;
mod faults;
mod oracle;
mod process;
mod publisher;
mod shim;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use minqiao_connector_api::http::{HttpGateway, HttpOptions};
use minqiao_core::{SystemClock, Timestamp};
use minqiao_server::certificates::secret_folder;
use minqiao_server::commands::demo::Made;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use minqiao_server::units::Span;
use minqiao_tests::{Brokers, ObjectStore, Schedule};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::disk::Disk;
use crate::faults::Striker;
use crate::oracle::Oracle;
use crate::process::HubProcess;
use crate::publisher::{Counts, Publisher};
use crate::shim::Shim;

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
    /// The bus is a Kafka cluster of three brokers, started and struck by this program.
    #[arg(long)]
    kafka: bool,
    /// The lake is on an S3-compatible object store, started and struck by this program.
    #[arg(long)]
    s3: bool,
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
    say(&format!("seed {}, {} s, {}", args.seed, args.seconds, engine(&args)))?;
    let disk = Disk::make(&work, args.seconds)?;
    if !disk.can_be_filled() {
        say("NOT RUN: full disk (needs root and a loop device)")?;
    }
    let brokers = if args.kafka { Some(Brokers::start(&work.join("kafka"))?) } else { None };
    let objects = if args.s3 { Some(ObjectStore::start(&work.join("s3"))?) } else { None };
    let (config, cast) = prepare(&disk, brokers.as_ref(), objects.as_ref())?;
    let shim = Arc::new(Shim::make(&work)?);
    let mut hub = HubProcess::new(&config, &work, Arc::clone(&shim))?;
    hub.start()?;
    hub.ready(Duration::from_secs(120)).await?;

    let oracle = Arc::new(Oracle::new(args.seed, args.publishers + 1));
    let counts = Arc::new(Counts::default());
    let mut striker = Striker {
        hub: &mut hub,
        brokers: brokers.as_ref(),
        objects: objects.as_ref(),
        disk: &disk,
        shim: &shim,
        log_folder: config.below_data("bus"),
        schedule: Schedule::new(args.seed),
        fired: Default::default(),
    };
    let stop = CancellationToken::new();
    let publishers = (0..args.publishers).map(|number| publisher(number, &args, &oracle, &counts, &config, &cast));
    let publishers: Vec<Publisher> = publishers.collect::<anyhow::Result<_>>()?;
    let publishing: Vec<_> = publishers.into_iter().map(|p| tokio::spawn(p.run(stop.clone()))).collect();
    let strikes = strike(&mut striker, args.seconds).await;
    stop.cancel();
    strikes?;
    let (fired, silent) = (striker.fired.clone(), striker.never_fired());
    hub.ready(Duration::from_secs(120)).await?;
    for task in publishing {
        task.await??;
    }
    // New rows still flow.
    let after = CancellationToken::new();
    let last = publisher(args.publishers, &args, &oracle, &counts, &config, &cast)?;
    let flowing = tokio::spawn(last.run(after.clone()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    after.cancel();
    flowing.await??;
    hub.terminate().await?;

    let verdict = judge(&oracle, config).await?;
    let panics = hub.panics();
    let page = json!({
        "engine": engine(&args), "seed": args.seed, "seconds": args.seconds, "publishers": args.publishers,
        "faults": fired, "faults_that_never_fired": silent, "panics": panics, "hub_ended_by_itself": hub.ended_by_itself,
        "batches": counts.batches.load(Ordering::Relaxed), "requests_given_up": counts.given_up.load(Ordering::Relaxed),
        "requests_failed": counts.failed.load(Ordering::Relaxed), "verdict": verdict,
    });
    say(&serde_json::to_string_pretty(&page)?)?;
    if !verdict.is_clean() || panics > 0 || !silent.is_empty() {
        bail!("the hub did not keep its word, or a fault never fired; see above");
    }
    Ok(())
}

fn engine(args: &Args) -> &'static str {
    match (args.kafka, args.s3) {
        (false, false) => "embedded bus",
        (true, false) => "Kafka, three brokers",
        (false, true) => "embedded bus, lake on an object store",
        (true, true) => "Kafka, three brokers, lake on an object store",
    }
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

/// Certificates, an access list and a configuration for a hub on the disk.
fn prepare(disk: &Disk, brokers: Option<&Brokers>, objects: Option<&ObjectStore>) -> anyhow::Result<(Config, Cast)> {
    let mut config = Config { data_dir: disk.folder.join("data"), ..Config::default() };
    config.http.listen.set_port(free_port()?);
    config.operations.listen.set_port(free_port()?);
    config.lake.compact_every = Span(Duration::from_millis(500));
    if let Some(brokers) = brokers {
        config.bus.kafka = Some(minqiao_bus_kafka::KafkaOptions::at(brokers.bootstrap()));
    }
    if let Some(objects) = objects {
        config.lake.location = Some(format!("s3://{}/faults", objects.bucket()?));
        config.lake.s3.endpoint = Some(objects.endpoint().to_owned());
        config.lake.s3.credentials_file = Some(objects.credentials());
        config.lake.s3.retry_for = Span(Duration::from_secs(2));
    }
    secret_folder(&config.data_dir)?;
    let opening = Timestamp::parse("2026-07-01T08:00:00+08:00").context("a time")?;
    let made = Made { counties: vec!["371002".into()], division: "371000".into(), opening, as_of: opening, rows: 0 };
    let cast = Cast::make(&config, &made)?;
    std::fs::write(config.parameters(), "[]")?;
    Ok((config, cast))
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn publisher(
    number: usize,
    args: &Args,
    oracle: &Arc<Oracle>,
    counts: &Arc<Counts>,
    config: &Config,
    cast: &Cast,
) -> anyhow::Result<Publisher> {
    let player = cast.connectors.iter().find(|p| p.department == "agriculture-rural-affairs").context("a connector")?;
    let url = format!("https://localhost:{}", config.http.listen.port());
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
