//! The command line. One module per command; this one says what can be typed and what the exit code means.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub mod audit;
pub mod catalogue;
pub mod configuration;
pub mod demo;
pub mod keys;
pub mod lake;
pub mod policy;
pub mod quarantine;
pub mod serve;
pub mod sql;
pub mod verify;

/// Minqiao 民桥: data-exchange hub for social assistance.
///
/// 社会救助数据交换平台。`minqiao demo` 演示全流程，`minqiao serve` 启动服务。
#[derive(Debug, Parser)]
#[command(name = "minqiao", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration file (TOML); every key can be overridden by MINQIAO__SECTION__KEY.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder; overrides `data_dir` of the configuration.
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A simulated city from 17 departments' files to reports and policy-checked SQL; then serves until Ctrl-C.
    Demo(demo::DemoArgs),
    /// Run the hub.
    Serve,
    /// The 73 information items.
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Verify the economic status of households (核对).
    Verify(verify::VerifyArgs),
    /// Run a query as a principal, for a purpose.
    Sql(sql::SqlArgs),
    /// Check the policies, or explain what they let a principal see.
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Rejected records: list, show, replay.
    #[command(subcommand)]
    Quarantine(quarantine::QuarantineCommand),
    /// The audit chain.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The key ring.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Maintenance of the lake, while no hub is running on it.
    #[command(subcommand)]
    Lake(lake::LakeCommand),
}

/// Who asks and what for, as flags.
#[derive(Debug, Clone, Args)]
pub struct AsPrincipal {
    /// Account of the access list.
    #[arg(long = "as", value_name = "PRINCIPAL")]
    pub principal: String,
    /// What the data is for, e.g. `dibao_verification`, `statistics`.
    #[arg(long, value_name = "CODE")]
    pub purpose: String,
    /// Application or alert number worked on.
    #[arg(long, value_name = "NUMBER")]
    pub case: Option<String>,
}
