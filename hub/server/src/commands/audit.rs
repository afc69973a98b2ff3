//! `minqiao audit verify`.

use std::io::Write;

use clap::Subcommand;
use minqiao_core::{Clock, SystemClock};
use minqiao_store::{AuditSummary, Store, audit};
use minqiao_vault::{Vault, VaultOptions};

use crate::config::Config;

/// The audit chain.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Prove that no record was changed, left out or moved. Works beside a running hub. Fails too when records at the end
    /// have been without a signature for more than ten minutes: a running hub signs within one.
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
    write!(std::io::stdout(), "{}", told(&summary))?;
    Ok(summary.check(SystemClock::new().now())?)
}

fn told(summary: &AuditSummary) -> String {
    let AuditSummary { records, checkpoints, signed_until, head, .. } = summary;
    let mut told =
        format!("{records} records hold, {checkpoints} signed checkpoints hold (up to record {signed_until})\n");
    if let Some(end) = summary.unsigned {
        let (count, since) = (end.records, end.since);
        told += &format!("no signature covers {end} at the end / 末尾 {count} 条记录（最早 {since}）尚无签名覆盖\n");
    }
    if let Some(late) = summary.signed_late {
        let (count, since) = (late.records, late.since);
        told += &format!(
            "{late} signed more than ten minutes after they were written / {count} 条记录（最早 {since}）写入十分钟后才签名\n"
        );
    }
    told + &format!("keep elsewhere: {records}:{head}\n")
}

#[cfg(test)]
mod tests {
    use minqiao_core::Timestamp;
    use minqiao_store::audit::Unsigned;

    use super::*;

    #[test]
    fn records_without_a_signature_are_told_in_both_languages() {
        let covered = AuditSummary {
            records: 437,
            checkpoints: 2,
            signed_until: 437,
            unsigned: None,
            signed_late: None,
            head: "ab".to_owned(),
        };
        let expected = "437 records hold, 2 signed checkpoints hold (up to record 437)\nkeep elsewhere: 437:ab\n";
        assert_eq!(told(&covered), expected);
        let since = Timestamp::parse("2026-03-01T08:00:00+08:00").expect("a time");
        let end = Some(Unsigned { records: 3, since });
        let open = told(&AuditSummary { signed_until: 434, unsigned: end, ..covered.clone() });
        assert!(
            open.contains("no signature covers 3 records (since 2026-03-01T08:00:00.000+08:00) at the end"),
            "{open}"
        );
        assert!(open.contains("末尾 3 条记录（最早 2026-03-01T08:00:00.000+08:00）尚无签名覆盖"), "{open}");
        let late = told(&AuditSummary { signed_late: end, ..covered });
        assert!(late.contains("3 records") && late.contains("十分钟后才签名"), "{late}");
    }
}
