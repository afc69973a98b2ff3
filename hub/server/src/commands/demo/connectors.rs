//! Runs the seventeen connectors against the hub, as the departments' own machines would: files, mutual TLS, receipts.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::MultiProgress;
use minqiao_connector_api::departments::Department;
use minqiao_connector_api::http::{HttpGateway, HttpOptions};
use minqiao_connector_api::progress::Bars;
use minqiao_connector_api::report::RunReport;
use minqiao_connector_api::runner::{ConnectorRun, RunOptions};
use minqiao_connector_sources::FileSources;
use minqiao_core::{ProviderCode, SystemClock};
use minqiao_schemas::Catalogue;
use tokio_util::sync::CancellationToken;

use super::cast::{Cast, Player};

/// Connectors that run at the same time; two cores.
const AT_ONCE: usize = 2;

/// Runs all of them against the hub on `port`; reports in catalogue order of departments. Checkpoints lie in the city's
/// folder, so that a second call goes on where the first one stopped.
pub async fn run_all(port: u16, cast: &Cast, city: &Path, bars: &MultiProgress) -> anyhow::Result<Vec<RunReport>> {
    let progress = Arc::new(Bars::new(bars.clone()));
    let mut runs = Vec::new();
    for player in &cast.connectors {
        let run = connector(port, cast, player, city, progress.clone())?;
        let department = player.department.clone();
        runs.push(async move { run.run().await.with_context(|| format!("the connector of `{department}`")) });
    }
    let mut reports: Vec<RunReport> = stream::iter(runs).buffer_unordered(AT_ONCE).try_collect().await?;
    let departments = Catalogue::embedded().departments();
    reports.sort_by_key(|report| departments.iter().position(|d| d.code == report.department));
    Ok(reports)
}

/// The connector of one department.
pub fn connector(
    port: u16,
    cast: &Cast,
    player: &Player,
    city: &Path,
    progress: Arc<Bars>,
) -> anyhow::Result<ConnectorRun> {
    let options = HttpOptions::new(
        format!("https://localhost:{}", port),
        &cast.authority,
        &player.pair.certificate,
        &player.pair.key,
    );
    let clock = Arc::new(SystemClock::new());
    Ok(ConnectorRun {
        department: Arc::new(Department::embedded(&player.department)?),
        provider: ProviderCode::new(player.provider.clone())?,
        exports_dir: city.join("exports").join(&player.department),
        checkpoint: city.join("connectors").join(&player.department),
        sources: Arc::new(FileSources),
        gateway: Arc::new(HttpGateway::new(options, clock.clone())?),
        progress,
        clock,
        cancel: CancellationToken::new(),
        options: RunOptions::default(),
    })
}
