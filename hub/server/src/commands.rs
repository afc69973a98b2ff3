//! The command line. One module per command; this one says what can be typed and what the exit code means.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use minqiao_core::KindOf;

use crate::config::{Config, LogFormat};

pub mod audit;
pub mod bus;
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
    /// Run the hub, or a part of it.
    Serve {
        /// What this process does: any of gateway, writer and query with a comma between; overrides `roles` of the
        /// configuration. Processes find each other in the store; adding or removing one changes nothing elsewhere.
        #[arg(long, visible_alias = "roles", value_name = "ROLE,…")]
        role: Option<crate::config::Roles>,
    },
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
    /// The log between intake and lake.
    #[command(subcommand)]
    Bus(bus::BusCommand),
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

/// Exit code of a failure: the kind of the first of our errors in the chain, 1 for anything else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    fn code<E: KindOf + Send + Sync + 'static>(error: &anyhow::Error) -> Option<u8> {
        error.downcast_ref::<E>().map(|e| e.kind().exit_code())
    }
    code::<crate::config::ConfigError>(error)
        .or_else(|| code::<crate::broken::Broken>(error))
        .or_else(|| code::<minqiao_query::QueryError>(error))
        .or_else(|| code::<minqiao_doors::access::AccessError>(error))
        .or_else(|| code::<minqiao_store::StoreError>(error))
        .or_else(|| code::<minqiao_store::AuditError>(error))
        .or_else(|| code::<minqiao_vault::VaultError>(error))
        .unwrap_or(1)
}

/// Runs a command that needs the parts of the hub.
pub fn run_with_runtime(cli: &Cli, config: Config) -> anyhow::Result<()> {
    // The demo draws its own progress; a log of the ordinary course would tear it.
    let quiet = matches!(cli.command, Command::Demo(_)) && config.log.filter == Config::default().log.filter;
    start_log(&config, if quiet { "warn" } else { &config.log.filter });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("minqiao").build()?;
    let result = runtime.block_on(async {
        match &cli.command {
            Command::Demo(args) => Box::pin(demo::run(args, config, cli.data.is_some())).await,
            Command::Serve { role: _ } => serve::run(config).await,
            Command::Verify(args) => Box::pin(verify::run(args, config)).await,
            Command::Sql(args) => sql::run(args, config).await,
            Command::Policy(command) => policy::run(command, &config),
            Command::Quarantine(command) => quarantine::run(command, config).await,
            Command::Audit(command) => audit::run(command, &config).await,
            Command::Keys(command) => keys::run(command, config).await,
            Command::Bus(command) => bus::run(command, config).await,
            Command::Lake(command) => lake::run(command, config).await,
            Command::Catalogue(_) | Command::Config(_) => Ok(()),
        }
    });
    // Blocking work that a cancelled query left behind must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

fn start_log(config: &Config, filter: &str) {
    let filter =
        tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    // Colours are for terminals; a file or a collector would keep their codes.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _kept = match config.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}
