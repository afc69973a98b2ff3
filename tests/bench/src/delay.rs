//! How long a row takes from its acknowledgement until it can be queried, under load; and how long a hub takes to come
//! back after kill -9 with a long log.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use async_trait::async_trait;
use indicatif::MultiProgress;
use minqiao_bus::api::topic_of;
use minqiao_connector_api::progress::Bars;
use minqiao_connector_api::{Gateway, GatewayError, Rejection, Submission};
use minqiao_core::{Clock, Receipt, SystemClock};
use minqiao_lake::Position;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::commands::demo::connectors;
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::city;
use crate::figures::{Meter, quantile, rounded};
use crate::intake::{DEPARTMENT, ITEM, InProcess, exports, opening, people};

/// How long rows are sent at a rate.
const SECONDS_AT_A_RATE: f64 = 20.0;
/// Rows of the run that finds the greatest rate.
const ROWS_AT_FULL_SPEED: u64 = 2_000_000;
/// A hub that takes longer to come back does not come back.
const PATIENCE: Duration = Duration::from_secs(600);

/// From acknowledgement to queryable at a tenth and at half of the greatest rate.
pub(crate) async fn freshness(work: &Path) -> anyhow::Result<Value> {
    let full = at_rate(work, ROWS_AT_FULL_SPEED, None).await?;
    let greatest = full["rows_per_second"].as_f64().context("a rate")?;
    let mut at = json!({});
    for (name, share) in [("a tenth", 0.1), ("half", 0.5)] {
        let rate = greatest * share;
        // In thousands, so that a file of an earlier run serves again.
        let rows = ((rate * SECONDS_AT_A_RATE / 250_000.0).ceil() * 250_000.0) as u64;
        at[name] = at_rate(work, rows, Some(rate)).await?;
    }
    Ok(json!({ "benchmark": "freshness", "item": ITEM, "at_full_speed": full, "at_a_share_of_it": at }))
}

/// Publishes a file at a rate of rows, or as fast as it goes.
async fn at_rate(work: &Path, rows: u64, rate: Option<f64>) -> anyhow::Result<Value> {
    let folder = tempfile::Builder::new().prefix("freshness-").tempdir_in(work)?;
    let (exports, _) = exports(work, rows)?;
    let config = city::config(folder.path());
    let cast = people(&config)?;
    let commit_every = config.lake.commit_every;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(opening()?));
    let running = Hub::open(config, clock).await?.start().await?;
    let player = cast.connectors.iter().find(|p| p.department == DEPARTMENT).context("a connector")?;
    let progress = Arc::new(Bars::new(MultiProgress::new()));
    let mut connector = connectors::connector(running.http.port(), &cast, player, folder.path(), progress)?;
    connector.exports_dir = exports;
    let inner = InProcess { intake: running.hub.intake.clone(), provider: connector.provider.clone() };
    let paced =
        Arc::new(Paced { inner, hub: running.hub.clone(), rate, sent: Mutex::default(), waits: Mutex::default() });
    connector.gateway = Arc::clone(&paced) as Arc<dyn Gateway>;
    let meter = Meter::start();
    let report = connector.run().await?;
    running.hub.writer.wait_for_all(&*running.hub.bus, PATIENCE).await?;
    let cost = meter.cost();
    let waits = std::mem::take(&mut *paced.waits.lock().await);
    let mut delays = waits.join_all().await.into_iter().collect::<anyhow::Result<Vec<f64>>>()?;
    delays.sort_by(f64::total_cmp);
    running.stop().await;
    Ok(json!({
        "rows": report.counts.accepted, "batches": delays.len(), "seconds": rounded(cost.seconds),
        "rows_per_second": (rows as f64 / cost.seconds).round(), "commit_every": commit_every.to_string(),
        "p50_seconds": rounded(quantile(&delays, 0.5)), "p99_seconds": rounded(quantile(&delays, 0.99)),
    }))
}

/// The hub of this process, with a pace; takes the time from each receipt until its rows can be queried.
#[derive(Debug)]
struct Paced {
    inner: InProcess,
    hub: Arc<Hub>,
    rate: Option<f64>,
    /// When the first batch was sent, and rows since.
    sent: Mutex<Option<(Instant, u64)>>,
    waits: Mutex<JoinSet<anyhow::Result<f64>>>,
}

impl Paced {
    async fn keep_pace(&self, rows: u64) {
        let Some(rate) = self.rate else { return };
        let due = {
            let mut sent = self.sent.lock().await;
            let (begun, before) = sent.get_or_insert_with(|| (Instant::now(), 0));
            let due = *begun + Duration::from_secs_f64(*before as f64 / rate);
            *before += rows;
            due
        };
        tokio::time::sleep_until(due).await;
    }

    /// Everything before the ends that the log has now, the batch just acknowledged with it.
    async fn queryable(hub: Arc<Hub>, acknowledged: Instant) -> anyhow::Result<f64> {
        let topic = topic_of(ITEM);
        let mut positions = Vec::new();
        for partition in 0..hub.config.bus.partitions {
            let end = hub.bus.end_offset(&topic, partition).await?;
            positions.push(Position { topic: topic.clone(), partition, end });
        }
        hub.writer.wait_until(&positions, PATIENCE).await?;
        Ok(acknowledged.elapsed().as_secs_f64())
    }
}

#[async_trait]
impl Gateway for Paced {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        self.keep_pace(submission.batch.num_rows() as u64).await;
        let receipt = self.inner.submit(submission).await?;
        self.waits.lock().await.spawn(Self::queryable(self.hub.clone(), Instant::now()));
        Ok(receipt)
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        self.inner.reject(rejection).await
    }

    fn window(&self) -> usize {
        self.inner.window()
    }
}

/// kill -9 of a hub that has just acknowledged the last of `rows`, and its return.
pub(crate) async fn recovery(work: &Path, rows: u64) -> anyhow::Result<Value> {
    let folder = tempfile::Builder::new().prefix("recovery-").tempdir_in(work)?;
    let (exports, broken) = exports(work, rows)?;
    let (more, _) = self::exports(work, 250_000)?;
    let mut config = city::config(folder.path());
    for address in [&mut config.http.listen, &mut config.operations.listen] {
        address.set_port(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
    }
    let cast = people(&config)?;
    let hub = Process::start(&config, folder.path())?;
    hub.ready(&config).await?;
    let accepted = publish(&config, &cast, folder.path(), exports).await?;
    ensure!(accepted == rows - broken, "{accepted} of {rows} rows were accepted");
    drop(hub);

    let meter = Meter::start();
    let hub = Process::start(&config, folder.path())?;
    let behind = hub.ready(&config).await?;
    let ready = meter.cost().seconds;
    while lag(&config).await.unwrap_or(i64::MAX) > 0 {
        ensure!(meter.cost().seconds < PATIENCE.as_secs_f64(), "the lake does not catch up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let queryable = meter.cost().seconds;
    // Another kill, to see how soon new rows are taken.
    drop(hub);
    let meter = Meter::start();
    let hub = Process::start(&config, folder.path())?;
    hub.ready(&config).await?;
    let first = publish(&config, &cast, &folder.path().join("more"), more).await?;
    let taken = meter.cost().seconds;
    drop(hub);
    Ok(json!({
        "benchmark": "recovery", "item": ITEM, "rows_in_the_log": accepted,
        "seconds_until_ready": rounded(ready), "messages_behind_then": behind,
        "seconds_until_everything_is_queryable": rounded(queryable),
        "seconds_until_250000_more_rows_were_taken": rounded(taken), "new_among_them": first,
    }))
}

/// Publishes a file over HTTPS. Answers how many rows were accepted.
async fn publish(config: &Config, cast: &Cast, folder: &Path, exports: PathBuf) -> anyhow::Result<u64> {
    let player = cast.connectors.iter().find(|p| p.department == DEPARTMENT).context("a connector")?;
    let progress = Arc::new(Bars::new(MultiProgress::new()));
    let mut connector = connectors::connector(config.http.listen.port(), cast, player, folder, progress)?;
    connector.exports_dir = exports;
    let report = connector.run().await?;
    ensure!(report.is_complete(), "the connector did not come to its end");
    Ok(report.counts.accepted)
}

/// A hub as a process of its own; dropping it is kill -9.
struct Process(Child);

impl Process {
    fn start(config: &Config, folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("hub.toml");
        std::fs::write(&file, config.effective())?;
        Ok(Self(minqiao_tests::hub::serve(&file, &folder.join("hub.log"), [])?))
    }

    /// Waits until it says that it is ready; answers how many messages the lake is behind then.
    async fn ready(&self, config: &Config) -> anyhow::Result<i64> {
        let url = format!("http://{}/readyz", config.operations.listen);
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if reqwest::get(&url).await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(lag(config).await.unwrap_or_default());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("the hub is not ready after {PATIENCE:?}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// Messages of the item that cannot be queried yet; nothing before the writer has looked.
async fn lag(config: &Config) -> Option<i64> {
    let page = reqwest::get(format!("http://{}/metrics", config.operations.listen)).await.ok()?.text().await.ok()?;
    let line =
        page.lines().find_map(|line| line.strip_prefix(&format!("minqiao_lake_lag_messages{{item=\"{ITEM}\"}} ")));
    line?.trim().parse().ok()
}
