//! `minqiao config check`.

use std::io::Write;

use clap::Subcommand;

use crate::config::Config;

/// The configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print what is in force.
    Check,
}

/// Prints the effective configuration; an invalid one never gets here.
pub fn run(command: &ConfigCommand, config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => write!(out, "{}", config.effective())?,
    }
    Ok(())
}
