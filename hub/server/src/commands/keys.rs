//! `minqiao keys list | public | rotate`.

use std::io::Write;
use std::sync::Arc;

use clap::Subcommand;
use minqiao_core::SystemClock;
use minqiao_store::AuditEntry;
use minqiao_vault::{KeyVersions, Vault, VaultOptions};

use crate::config::Config;
use crate::hub::Hub;

/// The key ring.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Versions in the ring; no key is shown.
    List,
    /// Public keys of all signing versions as PEM, oldest first: they check receipts and reports (ops/receipts.md).
    Public,
    /// Make a new version for sealing and signing. What was sealed before stays readable; tokens do not change.
    Rotate,
}

/// Runs the command.
pub async fn run(command: &KeysCommand, config: Config) -> anyhow::Result<()> {
    let versions: KeyVersions = match command {
        KeysCommand::List => Vault::open(VaultOptions::at(config.keys()))?.versions(),
        KeysCommand::Public => {
            for key in Vault::open(VaultOptions::at(config.keys()))?.public_keys() {
                write!(std::io::stdout(), "# key_id {}\n{}", key.key_id, key.pem)?;
            }
            return Ok(());
        }
        KeysCommand::Rotate => {
            let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
            let versions = hub.vault.rotate()?;
            let entry = AuditEntry {
                principal: "operator".to_owned(),
                purpose: "operations".to_owned(),
                action: "keys.rotated".to_owned(),
                detail: serde_json::json!({"versions": format!("{versions:?}")}),
            };
            hub.audit.append(entry).await?;
            hub.close().await;
            versions
        }
    };
    writeln!(std::io::stdout(), "{versions:?}")?;
    Ok(())
}
