//! From a GBK file to a queryable lake, as a department's connector and the hub do it: the connector's reader and mapper,
//! validation, sealing, a bus that syncs before it answers, the Delta lake. Like the peer it is one process; `--tls`
//! comes over HTTPS with mutual TLS on loopback, as departments do.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use async_trait::async_trait;
use indicatif::MultiProgress;
use minqiao_connector_api::http::{arrow_stream, ndjson};
use minqiao_connector_api::progress::Bars;
use minqiao_connector_api::{Gateway, GatewayError, Rejection, Submission};
use minqiao_core::{Clock, KindOf, ProviderCode, Receipt, SystemClock, Timestamp};
use minqiao_intake::{Format, Intake, IntakeError};
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::commands::demo::{Made, connectors, peak_rss_bytes};
use minqiao_server::config::Config;
use minqiao_server::hub::Hub;
use serde_json::{Value, json};

use crate::figures::{Meter, rounded};
use crate::{city, peer, tax_file};

pub(crate) const ITEM: &str = "individual_income_tax";
pub(crate) const DEPARTMENT: &str = "taxation";

pub(crate) async fn run(work: &Path, rows: u64, tls: bool, alone: bool) -> anyhow::Result<Value> {
    let folder = tempfile::Builder::new().prefix("intake-").tempdir_in(work)?;
    let (exports, broken) = exports(work, rows)?;
    let bytes = std::fs::metadata(exports.join(tax_file::NAME))?.len();
    let ours = ours(folder.path(), &exports, rows, broken, tls).await?;
    let peer = if alone {
        Value::Null
    } else {
        let parquet = folder.path().join("peer.parquet");
        let theirs = peer::run(work, include_str!("../peer/intake.py"), &[&exports.join(tax_file::NAME), &parquet])?;
        ensure!(theirs["accepted"].as_u64() == Some(rows - broken), "the peer accepts other rows: {theirs}");
        theirs
    };
    let ratio = peer["seconds"].as_f64().map(|theirs| rounded(ours["seconds"].as_f64().unwrap_or(f64::NAN) / theirs));
    Ok(json!({
        "benchmark": "intake", "item": ITEM, "rows": rows, "file_bytes": bytes,
        "over": if tls { "HTTPS with mutual TLS on loopback" } else { "one process" },
        "minqiao": ours, "peer": peer, "seconds_minqiao_to_peer": ratio,
    }))
}

async fn ours(folder: &Path, exports: &Path, rows: u64, broken: u64, tls: bool) -> anyhow::Result<Value> {
    let config = city::config(folder);
    let cast = people(&config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::starting_at(opening()?));
    let running = Hub::open(config, clock).await?.start().await?;
    let hub = running.hub.clone();

    let meter = Meter::start();
    let progress = Arc::new(Bars::new(MultiProgress::new()));
    let player = cast.connectors.iter().find(|p| p.department == DEPARTMENT).context("a connector")?;
    let mut connector = connectors::connector(running.http.port(), &cast, player, folder, progress)?;
    connector.exports_dir = exports.to_owned();
    if !tls {
        connector.gateway = Arc::new(InProcess { intake: hub.intake.clone(), provider: connector.provider.clone() });
    }
    let report = connector.run().await?;
    let acknowledged = meter.cost();
    hub.writer.wait_for_all(&*hub.bus, Duration::from_secs(600)).await?;
    let cost = meter.cost();

    let counts = &report.counts;
    ensure!(counts.accepted == rows - broken && counts.quarantined == broken, "other rows were accepted: {counts:?}");
    let stored = hub.lake.row_counts().get(ITEM).map_or(0, |rows| rows.changes);
    ensure!(stored == counts.accepted, "the lake holds {stored} of {} rows", counts.accepted);
    running.stop().await;
    Ok(json!({
        "seconds": rounded(cost.seconds),
        "cpu_seconds": rounded(cost.cpu_seconds),
        "seconds_until_acknowledged": rounded(acknowledged.seconds),
        "rows_per_second": (rows as f64 / cost.seconds).round(),
        "accepted": counts.accepted,
        "quarantined": counts.quarantined,
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}

/// The folder of a file of so many rows, made unless it is there, and how many of them break a rule.
pub(crate) fn exports(work: &Path, rows: u64) -> anyhow::Result<(PathBuf, u64)> {
    let city = work.join(format!("tax-{rows}"));
    let exports = city.join("exports").join(DEPARTMENT);
    std::fs::create_dir_all(city.join("exports"))?;
    let broken = tax_file::make(&exports, rows)?;
    Ok((exports, broken))
}

/// When the hub of these benchmarks runs.
pub(crate) fn opening() -> anyhow::Result<Timestamp> {
    Timestamp::parse("2026-07-20T08:00:00+08:00").context("a fixed time")
}

/// Certificates, users and parameters of a hub without a city.
pub(crate) fn people(config: &Config) -> anyhow::Result<Cast> {
    let opening = opening()?;
    let made = Made { counties: vec!["371002".into()], division: "371000".into(), opening, as_of: opening, rows: 0 };
    let cast = Cast::make(config, &made)?;
    std::fs::write(config.parameters(), "[]")?;
    Ok(cast)
}

/// The hub of this process, without a network.
#[derive(Debug)]
pub(crate) struct InProcess {
    pub(crate) intake: Arc<Intake>,
    pub(crate) provider: ProviderCode,
}

fn refused(error: &IntakeError) -> GatewayError {
    GatewayError::Refused {
        status: error.kind().http_status(),
        code: error.code().to_owned(),
        detail: error.to_string(),
    }
}

#[async_trait]
impl Gateway for InProcess {
    async fn submit(&self, submission: Submission) -> Result<Receipt, GatewayError> {
        let Submission { item, batch_id, after, batch } = submission;
        let body = arrow_stream(&batch)?;
        let taken = self.intake.submit(&self.provider, &item, &batch_id, after.as_ref(), body, Format::Arrow).await;
        taken.map_err(|error| refused(&error))
    }

    async fn reject(&self, rejection: Rejection) -> Result<Receipt, GatewayError> {
        let Rejection { item, batch_id, rows } = rejection;
        let taken = self.intake.reject(&self.provider, &item, &batch_id, ndjson(&rows)?).await;
        taken.map_err(|error| refused(&error))
    }

    fn window(&self) -> usize {
        6
    }
}
