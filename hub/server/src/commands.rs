//! The command line. One module per command; this one says what can be typed and what the exit code means.

use std::error::Error;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use minqiao_core::{Kind, KindOf};
use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

pub mod audit;
pub mod bus;
pub mod catalogue;
pub mod configuration;
pub mod demo;
pub mod error;
pub mod keys;
pub mod lake;
pub mod policy;
pub mod quarantine;
pub mod serve;
pub mod sql;
pub mod verify;

pub use error::CommandError;

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

type Cause = dyn Error + 'static;

fn kind<E: KindOf + 'static>(cause: &Cause) -> Option<Kind> {
    cause.downcast_ref::<E>().map(KindOf::kind)
}

/// Every error of ours that a command can end with.
const KINDS: [fn(&Cause) -> Option<Kind>; 20] = [
    kind::<CommandError>,
    kind::<crate::config::ConfigError>,
    kind::<crate::broken::Broken>,
    kind::<minqiao_query::QueryError>,
    kind::<minqiao_doors::verification::VerificationError>,
    kind::<minqiao_doors::access::AccessError>,
    kind::<minqiao_doors::tls::TlsError>,
    kind::<minqiao_intake::IntakeError>,
    kind::<minqiao_lake::LakeError>,
    kind::<minqiao_bus::BusError>,
    kind::<minqiao_store::StoreError>,
    kind::<minqiao_store::AuditError>,
    kind::<minqiao_vault::VaultError>,
    kind::<minqiao_policy::PolicyError>,
    kind::<minqiao_verify::folder::FolderError>,
    kind::<minqiao_verify::throwaway::ThrowawayError>,
    kind::<minqiao_verify::source::SourceError>,
    kind::<minqiao_verify::parameters::ParametersError>,
    kind::<minqiao_verify::fact_map::MapError>,
    kind::<minqiao_verify::facts::LoadError>,
];

/// Exit code of a failure: the kind of the first of our errors in the chain, 1 for anything else.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(|cause| KINDS.iter().find_map(|kind| kind(cause))).map_or(1, Kind::exit_code)
}

/// A failure and its causes on one line. What an error says of its cause is not said twice.
pub fn told(error: &anyhow::Error) -> String {
    let mut line = String::new();
    let mut above = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if above.is_empty() || !above.ends_with(&text) {
            line = if line.is_empty() { text.clone() } else { format!("{line}: {text}") };
        }
        above = text;
    }
    line
}

/// Runs a command that needs the parts of the hub.
pub fn run_with_runtime(cli: &Cli, config: Config) -> anyhow::Result<()> {
    // The demo draws its own progress; a log of the ordinary course would tear it.
    let quiet = matches!(cli.command, Command::Demo(_)) && config.log.filter == Config::default().log.filter;
    let filter = EnvFilter::try_new(if quiet { "warn" } else { &config.log.filter })?;
    start_log(config.log.format, filter);
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

fn start_log(format: LogFormat, filter: EnvFilter) {
    // Colours are for terminals; a file or a collector would keep their codes.
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first.
    let _kept = match format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use anyhow::Context;

    use super::*;

    /// Types behind `before` in the sources below a folder.
    fn types(folder: &Path, before: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder").filter_map(Result::ok) {
            let path = entry.path();
            if path.is_dir() {
                types(&path, before, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                found.extend(
                    text.lines()
                        .filter_map(|line| line.strip_prefix(before))
                        .map(|rest| rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()),
                );
            }
        }
    }

    #[test]
    fn every_error_that_knows_its_kind_has_an_exit_code() {
        let hub = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the hub's folder");
        let mut errors = BTreeSet::new();
        for folder in std::fs::read_dir(hub).expect("crates").filter_map(Result::ok) {
            let sources = folder.path().join("src");
            if sources.is_dir() {
                types(&sources, "impl KindOf for ", &mut errors);
            }
        }
        let listed: BTreeSet<String> = include_str!("commands.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("kind::<")?.strip_suffix(">,")?.rsplit("::").next())
            .map(str::to_owned)
            .collect();
        assert_eq!(errors, listed);
    }

    #[test]
    fn the_first_of_our_errors_decides_however_deep_it_is() {
        let locked = || minqiao_bus::BusError::Locked;
        assert_eq!(exit_code(&locked().into()), 75);
        let wrapped = Err::<(), _>(locked()).context("cannot open the bus").context("the hub").expect_err("an error");
        assert_eq!(exit_code(&wrapped), 75);
        // The cause of an error that knows no kind.
        #[derive(Debug, thiserror::Error)]
        #[error("outside")]
        struct Outside(#[source] minqiao_store::StoreError);
        let outside = Outside(minqiao_store::StoreError::NotFound { what: "batch" });
        assert_eq!(exit_code(&outside.into()), 66);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), 1);
    }

    #[test]
    fn a_cause_that_was_said_is_not_said_again() {
        #[derive(Debug, thiserror::Error)]
        #[error("the application cannot be verified: {0}")]
        struct Quoting(#[source] CommandError);
        let error = anyhow::Error::new(Quoting(CommandError::Mistakes("it is not known".to_owned())));
        assert_eq!(told(&error), "the application cannot be verified: it is not known");
        assert_eq!(
            told(&error.context("at the door")),
            "at the door: the application cannot be verified: it is not known"
        );
        let plain = anyhow::anyhow!("no space").context("cannot write");
        assert_eq!(told(&plain), "cannot write: no space");
    }
}
