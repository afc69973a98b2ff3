//! A whole city in a lake, made once per size and seed and kept in the work folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::MultiProgress;
use minqiao_core::{Clock, SystemClock, Timestamp};
use minqiao_municipality::{CityOptions, generate};
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::commands::demo::{Made, connectors, peak_rss_bytes};
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use serde_json::{Value, json};

use crate::figures::{Meter, rounded};

/// Which city.
#[derive(Debug, Args)]
pub(crate) struct CityArgs {
    /// People in the city.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    residents: u64,
    /// Everything about the city follows from it.
    #[arg(long, default_value_t = 1, value_name = "S")]
    seed: u64,
}

/// The open hub of a city; it does not serve.
pub(crate) struct City {
    pub(crate) hub: Arc<Hub>,
    pub(crate) folder: PathBuf,
    pub(crate) as_of: Timestamp,
    /// How the city came into the lake.
    pub(crate) filling: Value,
}

impl City {
    /// Opens the city; fills its lake first when nobody has.
    pub(crate) async fn open(work: &Path, args: &CityArgs) -> anyhow::Result<Self> {
        let folder = work.join(format!("city-{}-{}", args.residents, args.seed));
        let filled = folder.join("filled.json");
        if !std::fs::exists(&filled)? {
            if std::fs::exists(&folder)? {
                std::fs::remove_dir_all(&folder)?;
            }
            let filling = fill(&folder, args).await?;
            std::fs::write(&filled, serde_json::to_vec_pretty(&filling)?)?;
            std::fs::remove_dir_all(folder.join("city/exports"))?;
        }
        let filling = serde_json::from_slice(&std::fs::read(&filled)?)?;
        let made = Made::read(&folder.join("city"), 0)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(made.as_of));
        let hub = Hub::open(config(&folder), clock).await?;
        Ok(Self { hub, folder, as_of: made.as_of, filling })
    }
}

/// A hub on free ports of loopback that turns no load away.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config { data_dir: folder.join("data"), ..Config::default() };
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.operations.listen = ([127, 0, 0, 1], 0).into();
    config.limits.provider_rows_per_second = 10_000_000;
    config.limits.user_queries_per_minute = 1_000_000;
    config
}

/// The demo's way: files, seventeen connectors, mutual TLS, receipts, lake.
async fn fill(folder: &Path, args: &CityArgs) -> anyhow::Result<Value> {
    let bars = MultiProgress::new();
    let city = folder.join("city");
    let meter = Meter::start();
    let options = CityOptions { residents: args.residents, seed: args.seed, ..CityOptions::default() };
    let made = Made::read(&city, generate(&city, &options, &|_| {})?.rows())?;
    let making = meter.cost();
    let peak_after_making = peak_rss_bytes();
    let config = config(folder);
    let cast = Cast::make(&config, &made)?;
    std::fs::copy(city.join("parameters.json"), config.parameters())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(made.opening));
    let running = Hub::open(config, clock).await?.start().await?;
    let hub = running.hub.clone();
    let meter = Meter::start();
    let reports = connectors::run_all(running.http.port(), &cast, &city, &bars).await?;
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(3600)).await.context("the lake did not catch up")?;
    let cost = meter.cost();
    ensure!(reports.iter().all(|report| report.is_complete()), "a connector did not come to its end");
    let stored: u64 = hub.lake.row_counts().values().map(|rows| rows.changes).sum();
    let accepted: u64 = reports.iter().map(|report| report.counts.accepted).sum();
    ensure!(stored == accepted, "{accepted} rows were accepted and {stored} stored");
    hub.lake.compact_all().await?;
    running.stop().await;
    Ok(json!({
        "rows": made.rows, "accepted": accepted,
        "making_seconds": rounded(making.seconds), "peak_rss_bytes_after_making": peak_after_making,
        "ingest_seconds": rounded(cost.seconds), "ingest_cpu_seconds": rounded(cost.cpu_seconds),
        "rows_per_second": (made.rows as f64 / cost.seconds).round(),
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}
