//! `run`: delivers everything and writes outcomes and return sheet.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::Context;
use indicatif::MultiProgress;
use minqiao_connector_api::source::Limits;
use minqiao_connector_api::{Bars, ConnectorRun, HttpGateway, HttpOptions, JsonLines, Progress, RunOptions, RunReport};
use minqiao_connector_sources::FileSources;
use minqiao_core::{Clock, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, GatewayConfig};

/// Runs once; the exit status.
pub(crate) async fn run(config: &Config, json: bool) -> anyhow::Result<u8> {
    let department = crate::department(config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    let bars = !json && std::io::stderr().is_terminal();
    let progress: Arc<dyn Progress> =
        if bars { Arc::new(Bars::new(MultiProgress::new())) } else { Arc::new(JsonLines::new(std::io::stdout())) };
    let run = ConnectorRun {
        department,
        provider: config.provider.clone(),
        exports_dir: config.exports.clone(),
        checkpoint: config.state.clone(),
        sources: Arc::new(FileSources),
        gateway: Arc::new(gateway(&config.gateway, &clock)?),
        progress,
        clock,
        cancel,
        options: RunOptions {
            items_at_once: config.items_at_once,
            limits: Limits { piece_rows: config.rows_per_batch, ..Limits::default() },
            items: config.items.clone(),
            ..RunOptions::default()
        },
    };
    let report = run.run().await?;
    let sheet = config.reports.join(format!("回执单_{}.csv", report.provider));
    report.write_outcomes(&config.reports.join("outcomes")).context("无法写入报告 / cannot write the outcomes")?;
    report.write_return_sheet(&sheet).context("无法写入回执单 / cannot write the return sheet")?;
    if bars {
        summarise(&report);
        eprintln!("回执单 / return sheet: {}", sheet.display());
    }
    Ok(status(&report))
}

/// The client of the hub.
pub(crate) fn gateway(config: &GatewayConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<HttpGateway> {
    let options = HttpOptions {
        timeout: config.timeout,
        retry_for: config.retry_for,
        check_digest: config.check_digest,
        ..HttpOptions::new(&config.url, &config.ca, &config.certificate, &config.key)
    };
    HttpGateway::new(options, Arc::clone(clock)).context("gateway: 无法建立安全连接 / no secure connection can be made")
}

fn status(report: &RunReport) -> u8 {
    let refused = report.items.iter().any(|item| item.files.iter().any(|f| f.refused.is_some()));
    let failed = report.items.iter().any(|item| item.failed.is_some());
    match (report.interrupted || failed, refused) {
        (true, _) => 75,
        (false, true) => 65,
        (false, false) => 0,
    }
}

fn summarise(report: &RunReport) {
    eprintln!("{}（{}）", report.name_zh, report.provider);
    for item in &report.items {
        eprintln!("  {:<44} {}", item.item, item.counts.line());
        for (reason, count) in &item.counts.by_reason {
            eprintln!("    {reason:<42} {count}");
        }
        if let Some(failed) = &item.failed {
            eprintln!("    ✗ {failed}");
        }
    }
    if report.interrupted {
        eprintln!("已中断，再次运行将从断点继续 / interrupted: run again to continue");
    }
}
