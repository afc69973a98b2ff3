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
                detail: serde_json::json!({"versions": versions}),
            };
            hub.audit.append(entry).await?;
            hub.close().await;
            versions
        }
    };
    write!(std::io::stdout(), "{}", table(&versions))?;
    Ok(())
}

/// One line a key, oldest first.
fn table(versions: &KeyVersions) -> String {
    let sealing = versions.data.iter().map(|version| {
        let state = if *version == versions.data_active { "seals" } else { "opens what it sealed" };
        ("sealing", version.to_string(), state)
    });
    let signing = versions.sign.iter().map(|key_id| {
        let state = if *key_id == versions.sign_active { "signs" } else { "checks what it signed" };
        ("signing", key_id.clone(), state)
    });
    let rows: Vec<_> = sealing.chain(signing).collect();
    let width = rows.iter().map(|(_, key, _)| key.len()).max().unwrap_or(0).max(3);
    let head = format!("{:7}  {:width$}  {}\n", "use", "key", "state");
    rows.iter().fold(head, |all, (of, key, state)| format!("{all}{of:7}  {key:width$}  {state}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_one_a_line() {
        let versions = KeyVersions {
            data_active: 2,
            data: vec![1, 2],
            sign_active: "sm-2-0badcafe".to_owned(),
            sign: vec!["sm-1-42f1b451".to_owned(), "sm-2-0badcafe".to_owned()],
        };
        let expected = "use      key            state\n\
                        sealing  1              opens what it sealed\n\
                        sealing  2              seals\n\
                        signing  sm-1-42f1b451  checks what it signed\n\
                        signing  sm-2-0badcafe  signs\n";
        assert_eq!(table(&versions), expected);
    }
}
