//! `minqiao demo`: a simulated city from its departments' files to reports and policy-checked SQL.
//!
//! The hub runs as it would for a real city: connectors come over mutual TLS, rows wait for fsync, queries pass the
//! policies. Only the city is simulated, and its clock: the hub's clock starts at 08:00 of the city's today and runs on
//! at the machine's pace, so that two runs with one seed give the same figures on any date.
//!
//! The city's exports hold clear identities, as a department's own machine does. They lie outside the data folder, in a
//! temporary folder that goes with the demo, unless `--city DIR` asks to keep them.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use minqiao_bus_kafka::KafkaOptions;
use minqiao_connector_api::report::RunReport;
use minqiao_core::{Clock, SystemClock, Timestamp};
use minqiao_municipality::{CityOptions, generate};
use serde::Deserialize;

use crate::config::Config;
use crate::hub::{Hub, Running};

pub mod cast;
pub mod connectors;
mod show;
pub mod summary;
pub mod truth;

use summary::{DepartmentLine, Rows, Summary};

/// Marks a folder as a demo's, which the next demo may clear.
const MARKER: &str = ".minqiao-demo";

/// A simulated city.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// People in the city.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub residents: u64,
    /// Everything about the city follows from it.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub seed: u64,
    /// Counties of the city.
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub counties: usize,
    /// End after the summary instead of serving.
    #[arg(long)]
    pub exit: bool,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Keep the departments' files and the city's truth in this folder. They hold (simulated) clear identities.
    #[arg(long, value_name = "DIR")]
    pub city: Option<PathBuf>,
    /// Carry everything over this Kafka cluster (`host:port,…`) instead of the embedded log, in topics of its own that
    /// are removed at the end. TLS and passwords come from `[bus.kafka]` of the configuration.
    #[arg(long, value_name = "BOOTSTRAP")]
    pub kafka: Option<String>,
}

/// Wall time of the stages.
struct Stages {
    clock: SystemClock,
    done: Vec<(String, f64)>,
    since: Duration,
}

impl Stages {
    fn start() -> Self {
        Self { clock: SystemClock::new(), done: Vec::new(), since: Duration::ZERO }
    }

    fn end(&mut self, name: &str) {
        let now = self.clock.monotonic();
        self.done.push((name.to_owned(), (now - self.since).as_secs_f64()));
        self.since = now;
    }

    fn total(&self) -> f64 {
        self.clock.monotonic().as_secs_f64()
    }
}

/// Runs the demo; fails when anything disagrees with the truth.
pub async fn run(args: &DemoArgs, mut config: Config, data_given: bool) -> anyhow::Result<()> {
    if !data_given {
        config.data_dir = PathBuf::from("data/demo");
    }
    fresh_folder(&config.data_dir)?;
    let temporary = tempfile::Builder::new().prefix("minqiao-city-").tempdir()?;
    let city = args.city.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut stages = Stages::start();
    let bars = MultiProgress::new();
    if !std::io::stderr().is_terminal() {
        bars.set_draw_target(ProgressDrawTarget::hidden());
    }
    say(&format!("民桥 Minqiao · 模拟城市 simulated city: {} residents, seed {}", args.residents, args.seed))?;

    let made = make_city(args, &city, &bars).await?;
    stages.end("city");

    let cast = cast::Cast::make(&config, &made)?;
    config.city = made.counties.first().and_then(|county| county.get(..4)?.parse().ok());
    std::fs::copy(city.join("parameters.json"), config.parameters())?;
    // Ports of the configuration when they are free; a second demo on the machine takes others.
    config.http.listen = free(config.http.listen);
    config.operations.listen = free(config.operations.listen);
    if let Some(bootstrap) = &args.kafka {
        use_kafka(&mut config, bootstrap).await?;
    }
    // Where the configuration has its lake, a place that nobody else has, like the topics on Kafka.
    if let Some(location) = &mut config.lake.location {
        *location = format!("{}/demo-{}", location.trim_end_matches('/'), uuid::Uuid::new_v4());
        say(&format!("  lake {location}"))?;
    }
    let elsewhere = config.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(made.opening));
    let hub = Hub::open(config, clock).await?;
    let running = hub.start().await?;
    stages.end("start");

    let outcome = exercise(args, &running, &cast, &city, &made, &bars, &mut stages).await;
    let summary = match outcome {
        Ok(summary) => summary,
        Err(error) => {
            running.stop().await;
            leave(args, &elsewhere, data_given).await?;
            return Err(error);
        }
    };
    if let Some(file) = &args.summary {
        std::fs::write(file, serde_json::to_vec_pretty(&summary)?)
            .with_context(|| format!("cannot write the summary `{}`", file.display()))?;
    }
    drop(temporary);
    let mut ended = Ok(());
    if !args.exit {
        say(&show::where_to_go(&running, &cast))?;
        ended = super::serve::until_end(&running.hub).await;
    }
    running.stop().await;
    leave(args, &elsewhere, data_given).await?;
    ended?;
    if !summary.agrees() {
        bail!("the hub and the city's truth disagree; see the lines above");
    }
    Ok(())
}

/// The configuration's way to Kafka, or a plain one, to this cluster and in topics that nobody else has.
async fn use_kafka(config: &mut Config, bootstrap: &str) -> anyhow::Result<()> {
    let mut options = config.bus.kafka.take().unwrap_or_else(|| KafkaOptions::at(bootstrap));
    bootstrap.clone_into(&mut options.bootstrap);
    options.only_writer = true;
    config.bus.kafka = Some(crate::bus::fitted(options).await?);
    config.bus.namespace = format!("demo-{}.", uuid::Uuid::new_v4().simple());
    say(&format!("  Kafka {bootstrap}: topics `{}minqiao.*`", config.bus.namespace))?;
    Ok(())
}

/// Takes away what the demo put where others have things, too. Whoever names a data folder wants to look at what it
/// holds; then the lake stays as well.
async fn leave(args: &DemoArgs, config: &Config, data_given: bool) -> anyhow::Result<()> {
    if let Some(location) = config.lake.location.as_ref().filter(|_| !data_given) {
        crate::lake::location(config).await?.delete_all().await?;
        if std::path::Path::new(location).is_absolute() {
            std::fs::remove_dir_all(location)?;
        }
    }
    if args.kafka.is_some() { crate::bus::remove_namespace(config).await } else { Ok(()) }
}

/// What the simulated city says about itself.
#[derive(Debug)]
pub struct Made {
    /// Six-digit codes of its counties, the first is the demo caseworker's.
    pub counties: Vec<String>,
    /// The city's division code, for the connectors' provider codes.
    pub division: String,
    /// 08:00 of the city's today.
    pub opening: Timestamp,
    /// The moment that applications are verified for.
    pub as_of: Timestamp,
    /// Rows written.
    pub rows: u64,
}

/// Generates the city below `city`.
pub async fn make_city(args: &DemoArgs, city: &Path, bars: &MultiProgress) -> anyhow::Result<Made> {
    let options = CityOptions { residents: args.residents, seed: args.seed, counties: args.counties };
    let bar = bars.add(ProgressBar::new(args.residents).with_style(bar_style()));
    bar.set_message("生成城市 generating lives and department files");
    let folder = city.to_owned();
    let shown = bar.clone();
    let made = tokio::task::spawn_blocking(move || {
        generate(&folder, &options, &|progress| shown.set_position(progress.residents))
    })
    .await
    .context("the city panicked")?
    .context("the city could not be generated")?;
    bar.finish_and_clear();
    say(&format!(
        "  {} source rows of {} departments, {} households, {} of them applied for assistance",
        summary::thousands(made.rows()),
        made.departments().len(),
        summary::thousands(made.households),
        summary::thousands(made.applications)
    ))?;
    Made::read(city, made.rows())
}

/// `city.json`, as far as the demo needs it.
#[derive(Deserialize)]
struct CityFile {
    counties: Vec<String>,
    today: String,
    as_of: String,
}

impl Made {
    /// Reads `city.json` below `city`.
    pub fn read(city: &Path, rows: u64) -> anyhow::Result<Self> {
        let file: CityFile = serde_json::from_slice(&std::fs::read(city.join("city.json"))?)?;
        let moment = |text: &str| Timestamp::parse(text).with_context(|| format!("city.json: `{text}` is no time"));
        let county = file.counties.first().context("city.json: no county")?;
        Ok(Self {
            division: format!("{}00", &county[..4.min(county.len())]),
            opening: moment(&format!("{}T08:00:00+08:00", file.today))?,
            as_of: moment(&file.as_of)?,
            counties: file.counties,
            rows,
        })
    }
}

async fn exercise(
    args: &DemoArgs,
    running: &Running,
    cast: &cast::Cast,
    city: &Path,
    made: &Made,
    bars: &MultiProgress,
    stages: &mut Stages,
) -> anyhow::Result<Summary> {
    let reports = connectors::run_all(running.http.port(), cast, city, bars).await?;
    for report in &reports {
        let sheets = running.hub.config.below_data("return-sheets");
        report.write_return_sheet(&sheets.join(format!("{}.csv", report.department)))?;
    }
    stages.end("connectors");
    let hub = &running.hub;
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(600)).await.context("the lake did not catch up")?;
    stages.end("lake");

    let rows = truth::compare_rows(city, &reports)?;
    let households = verify_all(hub, city, made.as_of, bars).await?;
    stages.end("verification");

    let mut summary = Summary {
        residents: args.residents,
        seed: args.seed,
        departments: reports.iter().filter(|report| report.counts.rows > 0).count() as u64,
        items: reports.iter().flat_map(|r| &r.items).filter(|item| item.counts.accepted > 0).count() as u64,
        truth: rows.truth,
        verifications: households.verifications,
        categories: households.categories,
        by_department: reports.iter().map(department_line).collect(),
        ..Summary::default()
    };
    for line in &summary.by_department {
        summary.rows.add(line.rows);
    }
    summary.rows.generated = made.rows;
    let county = cast.people[0].principal.county.as_deref().unwrap_or_default();
    let case = households.of_county.get(county).map(String::as_str);
    let shown = show::three_principals(running, cast, case).await?;
    summary.stored_rows = hub.lake.row_counts().values().map(|rows| rows.changes).sum();
    stages.end("queries");
    summary.stages = std::mem::take(&mut stages.done);
    summary.seconds = stages.total();
    summary.peak_rss_bytes = peak_rss_bytes();

    say("")?;
    say(&summary.page())?;
    for example in rows.examples.iter().chain(&households.examples) {
        say(&format!("  不一致 disagreement: {example}"))?;
    }
    for report in reports.iter().filter(|report| !report.is_complete()) {
        say(&format!("  未完成 incomplete: {} (its log lines say why)", report.department))?;
    }
    say(&shown)?;
    say(&format!("  {}", summary.cost()))?;
    show::write_metrics(hub)?;
    Ok(summary)
}

fn department_line(report: &RunReport) -> DepartmentLine {
    DepartmentLine {
        code: report.department.clone(),
        name_zh: report.name_zh.clone(),
        rows: Rows {
            generated: report.counts.rows,
            accepted: report.counts.accepted,
            duplicate: report.counts.duplicate,
            quarantined: report.counts.quarantined,
        },
        reasons: report.counts.by_reason.clone(),
        seconds: report.elapsed.as_secs_f64(),
    }
}

async fn verify_all(
    hub: &Arc<Hub>,
    city: &Path,
    as_of: Timestamp,
    bars: &MultiProgress,
) -> anyhow::Result<truth::HouseholdComparison> {
    let households = truth::Households::read(city)?;
    let bar = bars.add(ProgressBar::new(households.len() as u64).with_style(bar_style()));
    bar.set_message("核对 verifying every application");
    let mut comparison = truth::HouseholdComparison::default();
    hub.verifications
        .all("demo", as_of, |run, result| {
            match result {
                Ok(result) => comparison.add(&households, &serde_json::to_value(&result).unwrap_or_default()),
                Err(why) => comparison.failed(&run.application_no, why.code()),
            }
            bar.inc(1);
            true
        })
        .await?;
    comparison.missing(&households);
    bar.finish_and_clear();
    Ok(comparison)
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("  {msg:<48} {bar:30} {human_pos:>9}/{human_len} {elapsed:>4}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// An empty folder: a demo's folder is cleared, anything else is left alone.
fn fresh_folder(folder: &Path) -> anyhow::Result<()> {
    if std::fs::exists(folder)? {
        let empty = std::fs::read_dir(folder)?.next().is_none();
        if !empty && !std::fs::exists(folder.join(MARKER))? {
            bail!("`{}` holds something that no demo made; name another folder with --data", folder.display());
        }
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
    }
    crate::certificates::secret_folder(folder)?;
    std::fs::write(folder.join(MARKER), "made by `minqiao demo`; the next demo clears this folder\n")?;
    Ok(())
}

/// The address, or the same host with any free port when it is taken.
fn free(address: SocketAddr) -> SocketAddr {
    match std::net::TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

/// Largest resident memory of this process so far, bytes.
pub fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
