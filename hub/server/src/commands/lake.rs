//! `minqiao lake compact | rebuild | rebuild-index | counts`.

use std::io::Write;
use std::sync::Arc;

use clap::Subcommand;
use minqiao_core::SystemClock;

use crate::config::Config;
use crate::hub::Hub;

/// Maintenance.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// Rows per item: all versions, folded, still to be folded.
    Counts,
    /// Fold every item and put small files together.
    Compact,
    /// Make `current` of an item anew from its `changes`.
    Rebuild {
        /// Item code.
        item: String,
    },
    /// Make the point index anew.
    RebuildIndex,
}

/// Runs the command.
pub async fn run(command: &LakeCommand, config: Config) -> anyhow::Result<()> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    match command {
        LakeCommand::Counts => {}
        LakeCommand::Compact => hub.lake.compact_all().await?,
        LakeCommand::Rebuild { item } => hub.lake.rebuild(item).await?,
        LakeCommand::RebuildIndex => hub.lake.rebuild_index().await?,
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:<36} {:>12} {:>12} {:>12}", "item", "changes", "folded", "tail")?;
    for (item, rows) in hub.lake.row_counts() {
        if rows.changes > 0 {
            writeln!(out, "{item:<36} {:>12} {:>12} {:>12}", rows.changes, rows.folded, rows.tail)?;
        }
    }
    drop(out);
    hub.close().await;
    Ok(())
}
