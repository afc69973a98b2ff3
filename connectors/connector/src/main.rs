//! `minqiao-connector`: reads a department's files and delivers them to the hub. Runs on the department's own front-end
//! machine; links no query engine and keeps no personal data.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Parser, Subcommand};
use minqiao_connector_api::Department;
use tracing_subscriber::EnvFilter;

mod check;
mod config;
mod feed;
mod preview;
mod run;

use config::Config;

/// 民桥前置连接器 · Delivers a department's files to the Minqiao hub.
///
/// Each row of the files ends as accepted, duplicate or quarantined, with reasons that name row, column, rule and fix in Chinese and
/// English. A run that is interrupted continues where it was. Nothing is changed in the department's directory.
#[derive(Debug, Parser)]
#[command(
    name = "minqiao-connector",
    version,
    after_long_help = "EXAMPLE connector.yaml

  department: civil-affairs            # 部门代码
  division: \"371002\"                   # 区划 (GB/T 2260); provider = civil-affairs.371002
  exports: /srv/exports                # 部门导出文件所在目录
  state: /var/lib/minqiao-connector    # 断点与流水
  reports: /srv/reports                # 回执单
  gateway:
    url: https://hub.example:8443
    ca: ca.pem
    certificate: civil-affairs.pem     # common name = provider code
    key: civil-affairs.key

Environment variables override the file: MINQIAO_CONNECTOR__GATEWAY__URL=…

EXIT STATUS
  0   everything was delivered (rows may be quarantined: see the return sheet)
  64  the configuration or a mapping has mistakes
  65  a file was refused, or the hub refused an item
  75  interrupted, or the hub could not be reached: run again"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// 检查：配置、映射、文件表头、证书和平台连通性 · Checks configuration, mappings, headers, certificates and the way to the hub; sends nothing.
    Check {
        /// Configuration of this connector.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Leave out the way to the hub.
        #[arg(long)]
        offline: bool,
    },
    /// 报送：读取文件并报送，可随时中断和继续 · Delivers all files; may be interrupted and run again at any time.
    Run {
        /// Configuration of this connector.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Only these items.
        #[arg(long, value_name = "ITEM", value_delimiter = ',')]
        items: Vec<String>,
        /// Progress as JSON lines, also at a terminal.
        #[arg(long)]
        json: bool,
    },
    /// 预览：规范化后的前若干行（脱敏）和将被退回的行，不报送 · Shows normalised rows, masked, and rows that would be refused; publishes nothing.
    Preview {
        /// Configuration of this connector.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Item to look at; all when left out.
        #[arg(long, value_name = "ITEM")]
        item: Option<String>,
        /// Rows of each file.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// 订阅：读取本单位的回执和共享给本单位的信息项 · Reads what the hub has for this department: receipts, shared items.
    #[command(subcommand)]
    Feed(feed::FeedCommand),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("MINQIAO_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::from(70);
        }
    };
    match runtime.block_on(dispatch(arguments.command)) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(64)
        }
    }
}

async fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Check { config, offline } => check::check(&load(&config)?, offline).await,
        Command::Run { config, items, json } => {
            let mut config = load(&config)?;
            if !items.is_empty() {
                config.items = items;
            }
            run::run(&config, json).await
        }
        Command::Feed(feed::FeedCommand::List { config, purpose }) => feed::list(&load(&config)?, &purpose).await,
        Command::Feed(feed::FeedCommand::Read(args)) => feed::read(&load(&args.config)?, &args).await,
        Command::Preview { config, item, limit } => preview::preview(&load(&config)?, item.as_deref(), limit.into()),
    }
}

fn load(path: &std::path::Path) -> anyhow::Result<Config> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("无法读取配置 / cannot read `{}`", path.display()))?;
    let folder = path.parent().unwrap_or(std::path::Path::new("."));
    Ok(Config::resolve(&text, folder, std::env::vars())?)
}

/// The department's mappings: the folder of the configuration, or those built in.
fn department(config: &Config) -> anyhow::Result<Arc<Department>> {
    let department = match &config.mappings {
        Some(folder) => Department::load(folder)?,
        None => Department::embedded(&config.department)?,
    };
    anyhow::ensure!(
        department.code == config.department,
        "mappings: 映射属于其他部门 / the mappings are those of `{}`",
        department.code
    );
    Ok(Arc::new(department))
}
