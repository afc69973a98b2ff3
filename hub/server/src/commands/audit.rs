//! `minqiao audit verify | tail`.

use std::io::Write;

use clap::Subcommand;
use minqiao_store::{Store, audit};
use minqiao_vault::{Vault, VaultOptions};

use crate::config::Config;

/// The audit chain.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prove that no record was changed, left out or moved. Works beside a running hub.
    Verify {
        /// A checkpoint that was kept elsewhere, `NUMBER:HASH`: proves that the end was not cut off either.
        #[arg(long, value_name = "NUMBER:HASH", value_parser = known_checkpoint)]
        known: Option<(u64, String)>,
    },
}

fn known_checkpoint(text: &str) -> Result<(u64, String), String> {
    let (number, hash) = text.split_once(':').ok_or("expected NUMBER:HASH")?;
    let number = number.parse().map_err(|_| "the number before `:` is none")?;
    Ok((number, hash.to_ascii_lowercase()))
}

/// Runs the command.
pub async fn run(command: &AuditCommand, config: &Config) -> anyhow::Result<()> {
    let vault = Vault::open(VaultOptions::at(config.keys()))?;
    let store = Store::open(config.store_options()?).await?;
    let AuditCommand::Verify { known } = command;
    let known = known.as_ref().map(|(number, hash)| (*number, hash.as_str()));
    let summary = audit::verify(&store, &vault.signer(), known).await?;
    writeln!(
        std::io::stdout(),
        "{} records hold, {} signed checkpoints hold (up to record {})\nkeep elsewhere: {}:{}",
        summary.records,
        summary.checkpoints,
        summary.signed_until,
        summary.records,
        summary.head
    )?;
    Ok(())
}
