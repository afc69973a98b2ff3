//! `minqiao quarantine list | show | replay | drop`.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Subcommand;
use minqiao_core::SystemClock;
use minqiao_intake::Correction;
use minqiao_store::{AuditEntry, QuarantineFilter, QuarantineStatus};

use crate::config::Config;
use crate::hub::Hub;

/// Rejected records. Every access is recorded in the audit chain.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// Counts by item, provider, reason and status; with `--rows` the waiting rows of an item without their cells.
    List {
        /// Item code.
        #[arg(long)]
        item: Option<String>,
        /// List rows instead of counts, at most this many.
        #[arg(long, value_name = "N")]
        rows: Option<u32>,
    },
    /// One row with its cells in clear.
    Show {
        /// Id of the row.
        id: String,
        /// Who looks, for the audit chain.
        #[arg(long = "as", value_name = "ACCOUNT")]
        account: String,
    },
    /// Judge waiting rows again, with corrections, and send those that pass.
    Replay {
        /// Ids of the rows; none = all waiting rows of `--item`.
        ids: Vec<String>,
        /// Item code.
        #[arg(long)]
        item: Option<String>,
        /// JSON object `{"<id>": {"<field>": value, …}, …}`.
        #[arg(long, value_name = "FILE")]
        corrections: Option<PathBuf>,
    },
    /// Give rows up.
    Drop {
        /// Ids of the rows.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

/// Runs the command.
pub async fn run(command: &QuarantineCommand, config: Config) -> anyhow::Result<()> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let text = answer(command, &hub).await;
    hub.close().await;
    write!(std::io::stdout(), "{}", text?)?;
    Ok(())
}

fn waiting(item: Option<&String>) -> QuarantineFilter {
    QuarantineFilter { item: item.cloned(), status: Some(QuarantineStatus::Waiting), ..QuarantineFilter::default() }
}

async fn answer(command: &QuarantineCommand, hub: &Hub) -> anyhow::Result<String> {
    Ok(match command {
        QuarantineCommand::List { item, rows: None } => {
            let counts = hub.intake.quarantine_counts().await?;
            let counts = counts.into_iter().filter(|count| item.as_ref().is_none_or(|item| *item == count.item));
            counts
                .map(|c| {
                    format!(
                        "{:<36} {:<40} {:<22} {:<9} {:>9}\n",
                        c.item,
                        c.provider,
                        c.reason,
                        c.status.as_str(),
                        c.rows
                    )
                })
                .collect()
        }
        QuarantineCommand::List { item, rows: Some(limit) } => {
            let rows = hub.intake.quarantine_list(&waiting(item.as_ref()), *limit).await?;
            rows.into_iter()
                .map(|row| {
                    let reason = row.reasons.first().map_or("", |reason| reason.code.as_str());
                    format!("{}  {:<36} {reason}\n", row.id, row.item)
                })
                .collect()
        }
        QuarantineCommand::Show { id, account } => {
            let entry = AuditEntry {
                principal: account.clone(),
                purpose: "quarantine".to_owned(),
                action: "quarantine.shown".to_owned(),
                detail: serde_json::json!({ "id": id }),
            };
            // The record is durable before the row is opened (SEC-5).
            hub.audit.append(entry).await?;
            let shown = hub.intake.quarantine_show(id).await?;
            format!("{}\n", serde_json::to_string_pretty(&shown.cells)?)
        }
        QuarantineCommand::Replay { ids, item, corrections } => {
            let corrections: HashMap<String, Correction> = match corrections {
                None => HashMap::new(),
                Some(file) => {
                    let text = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
                    serde_json::from_slice(&text)
                        .context("the corrections are not `{\"<id>\": {\"<field>\": value}}`")?
                }
            };
            let ids = if ids.is_empty() {
                let rows = hub.intake.quarantine_list(&waiting(item.as_ref()), 10_000).await?;
                rows.into_iter().map(|row| row.id).collect()
            } else {
                ids.clone()
            };
            let summary = hub.intake.quarantine_replay(&ids, &corrections).await?;
            format!(
                "{} accepted, {} duplicate, {} still rejected, {} skipped\n",
                summary.accepted, summary.duplicate, summary.still_rejected, summary.skipped
            )
        }
        QuarantineCommand::Drop { ids } => format!("{} dropped\n", hub.intake.quarantine_drop(ids).await?),
    })
}
