//! `feed`: what the hub has for this department, and reading it into files.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use minqiao_connector_api::feed::{FeedFormat, FeedPage, FeedState, PageRequest};
use minqiao_connector_api::{GatewayError, HttpGateway};
use minqiao_core::{Clock, SystemClock};

use crate::config::Config;

/// Longest wait of one request while following.
const WAIT: Duration = Duration::from_secs(30);

/// 订阅。
#[derive(Debug, Subcommand)]
pub(crate) enum FeedCommand {
    /// 列出本单位可读的订阅 · Lists the feeds that this department may read.
    List {
        /// Configuration of this connector.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// 用途 · What the data is for.
        #[arg(long, value_name = "CODE", default_value = "exchange")]
        purpose: String,
    },
    /// 读取订阅，从上次的位置继续 · Reads a feed, going on where it was left.
    Read(Box<ReadArgs>),
}

/// What to read, and where to.
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// 订阅名称，如 receipts、items/disability_certificate · Name of the feed.
    #[arg(value_name = "FEED")]
    feed: String,
    /// Configuration of this connector.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// 用途 · What the data is for.
    #[arg(long, value_name = "CODE", default_value = "exchange")]
    purpose: String,
    /// 持续读取，直到 Ctrl-C · Goes on waiting for rows, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// 格式，缺省：文件为 csv，标准输出为 ndjson · Form of the rows; csv for files and ndjson for standard output when left out.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// 输出目录，每页一个文件；缺省写到标准输出 · Folder for one file per page; standard output without it.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
    /// 不从上次的位置继续，而从头 (start) 或从现在 (now) 开始 · Begins anew, at the start or with what comes from now on.
    #[arg(long, value_enum, value_name = "WHERE")]
    from: Option<From>,
    /// 每页行数 · Rows of a page at most.
    #[arg(long, value_name = "ROWS", default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    limit: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    Csv,
    Ndjson,
    Arrow,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    Start,
    Now,
}

/// Prints the feeds; the exit status.
#[expect(clippy::print_stdout, reason = "the list is this command's output")]
pub(crate) async fn list(config: &Config, purpose: &str) -> anyhow::Result<u8> {
    let list = match hub(config)?.feeds(purpose).await {
        Ok(list) => list,
        Err(error) => return Ok(told(error)),
    };
    for feed in &list.feeds {
        let at = feed.confirmed_at.as_deref().unwrap_or("–");
        println!("{:<40} {} / {}（已确认 / confirmed: {at}）", feed.feed, feed.name_zh, feed.name_en);
    }
    if list.feeds.is_empty() {
        println!("没有可读的订阅 / there is no feed for you and this purpose");
    }
    for missing in &list.not_built {
        println!("{:<40} ✗ {} / {}", missing.feed, missing.note_zh, missing.note_en);
    }
    Ok(0)
}

/// Reads pages until there are no more, or until the end; the exit status.
pub(crate) async fn read(config: &Config, args: &ReadArgs) -> anyhow::Result<u8> {
    let hub = hub(config)?;
    let mut state = FeedState::open(&config.state, &args.feed).context("无法使用断点 / the state cannot be used")?;
    // Every page of CSV has a header line, which is in the way where pages follow each other.
    let usual = if args.to.is_some() { Form::Csv } else { Form::Ndjson };
    let format = match args.format.unwrap_or(usual) {
        Form::Csv => FeedFormat::Csv,
        Form::Ndjson => FeedFormat::Ndjson,
        Form::Arrow => FeedFormat::Arrow,
    };
    let mut after = match begin(&hub, &state, args).await {
        Ok(after) => after,
        Err(error) => return Ok(told(error)),
    };
    // A hub that is asked to wait longer than this client does would never answer in time.
    let wait = if args.follow { WAIT.min(config.gateway.timeout / 2) } else { Duration::ZERO };
    let (mut rows, mut first) = (0, true);
    loop {
        let limit = args.limit.into();
        let request = PageRequest { feed: &args.feed, purpose: &args.purpose, after: &after, limit, wait, format };
        let page = tokio::select! {
            page = hub.feed_page(&request) => page,
            pressed = tokio::signal::ctrl_c() => {
                pressed.context("Ctrl-C")?;
                break;
            }
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => return Ok(told(error)),
        };
        // Also of an empty page: `now` is a place only once it is kept.
        if page.rows > 0 || first {
            keep(&mut state, &after, &page, args, format)?;
            confirm(&hub, args, &page).await;
        }
        first = false;
        rows += page.rows;
        after = page.position;
        if !args.follow && !page.more {
            break;
        }
    }
    eprintln!("{}: {rows} 行，下次从此继续 / rows; the next run goes on from here", args.feed);
    Ok(0)
}

/// Where reading begins: as asked, behind what was written here, or where the hub was told.
async fn begin(hub: &HttpGateway, state: &FeedState, args: &ReadArgs) -> Result<String, GatewayError> {
    match (args.from, state.position()) {
        (Some(From::Start), _) => Ok("start".to_owned()),
        (Some(From::Now), _) => Ok("now".to_owned()),
        (None, Some(position)) => Ok(position.to_owned()),
        (None, None) => {
            let known = hub.feeds(&args.purpose).await?.feeds.into_iter().find(|feed| feed.feed == args.feed);
            Ok(known.and_then(|feed| feed.confirmed_position).unwrap_or_else(|| "start".to_owned()))
        }
    }
}

/// Writes a page, and only then goes on behind it.
fn keep(
    state: &mut FeedState,
    after: &str,
    page: &FeedPage,
    args: &ReadArgs,
    format: FeedFormat,
) -> anyhow::Result<()> {
    if page.rows > 0 {
        match &args.to {
            Some(folder) => {
                let name = state.page_name(after, format);
                let path = state.write_page(folder, &name, &page.body).context("无法写入 / cannot write")?;
                eprintln!("{}: {} 行 / rows", path.display(), page.rows);
            }
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(&page.body).and_then(|()| out.flush()).context("无法输出 / cannot write")?;
            }
        }
    }
    state.advance(&page.position).context("无法保存位置 / the position cannot be kept")
}

/// The hub's copy of the position is for the day when ours is lost: without it everything goes on.
async fn confirm(hub: &HttpGateway, args: &ReadArgs, page: &FeedPage) {
    if let Err(error) = hub.confirm_position(&args.feed, &args.purpose, &page.position).await {
        let error = anyhow::Error::from(error);
        eprintln!("位置已保存在本机，但未能告知平台 / the position is kept here, the hub could not be told: {error:#}");
    }
}

fn hub(config: &Config) -> anyhow::Result<HttpGateway> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    crate::run::gateway(&config.gateway, &clock)
}

/// Says what the hub said; the exit status.
fn told(error: GatewayError) -> u8 {
    let status = if matches!(error, GatewayError::Unavailable { .. }) { 75 } else { 65 };
    eprintln!("✗ {:#}", anyhow::Error::from(error));
    status
}
