//! `minqiao bus inspect`.

use std::io::Write;
use std::sync::Arc;

use clap::Subcommand;
use minqiao_bus::api::item_of;
use minqiao_bus::{Bus, Record, TopicInfo};
use minqiao_core::SystemClock;
use minqiao_lake::{Lake, LakeOptions};
use minqiao_schemas::Catalogue;
use prometheus::Registry;

use super::CommandError;
use crate::config::Config;

const FETCH_BYTES: usize = 1 << 20;

/// The log.
#[derive(Debug, Subcommand)]
pub enum BusCommand {
    /// Topics, their positions and the lake's, and headers of messages. Never what messages hold.
    ///
    /// The embedded log and the lake belong to one process: stop the hub first. On Kafka topics and headers can be
    /// read beside a running hub; what the lake lacks is then in its metrics (`minqiao_lake_lag_messages`).
    Inspect {
        /// Only the topic of this item.
        #[arg(long, value_name = "ITEM")]
        item: Option<String>,
        /// Show the headers of the last N messages of each partition.
        #[arg(long, default_value_t = 0, value_name = "N")]
        headers: u64,
        /// Show headers from this position on instead of the last ones.
        #[arg(long, value_name = "OFFSET", requires = "headers")]
        from: Option<u64>,
    },
}

/// Runs the command.
pub async fn run(command: &BusCommand, config: Config) -> anyhow::Result<()> {
    let bus = crate::bus::open(&config, &Registry::new()).await?;
    let inspected = inspect(command, &config, &*bus).await;
    bus.close().await?;
    inspected
}

async fn inspect(command: &BusCommand, config: &Config, bus: &dyn Bus) -> anyhow::Result<()> {
    let BusCommand::Inspect { item, headers, from } = command;
    let mut topics = bus.topics().await?;
    if let Some(item) = item {
        topics.retain(|topic| code(topic) == item);
        // An item of which nothing came yet has no topic.
        if topics.is_empty() && Catalogue::embedded().item(item).is_none() {
            return Err(CommandError::UnknownItem(item.clone()).into());
        }
    }
    let lake = lake_of(config).await;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<44} {:>9} {:>12} {:>12} {:>12} {:>9}  topic id",
        "topic", "partition", "from", "to", "in lake", "lag"
    )?;
    for topic in topics {
        let code = code(&topic);
        let reached = match &lake {
            Some(lake) => lake.reached(code, &topic).await?,
            None => Vec::new(),
        };
        for partition in 0..topic.partitions {
            let end = bus.end_offset(&topic.name, partition).await?;
            let kept = bus.first_offset(&topic.name, partition).await?;
            let known = reached.get(partition as usize).map(|(position, _)| *position);
            let text = |figure: Option<u64>| figure.map_or_else(|| "-".to_owned(), |figure| figure.to_string());
            let lag = known.map(|position| end.saturating_sub(position));
            writeln!(
                out,
                "{:<44} {partition:>9} {kept:>12} {end:>12} {:>12} {:>9}  {}",
                topic.name,
                text(known),
                text(lag),
                topic.id
            )?;
            if *headers > 0 {
                let first = from.unwrap_or_else(|| end.saturating_sub(*headers)).max(kept);
                show_headers(&mut out, bus, &topic, partition, first, end.min(first.saturating_add(*headers))).await?;
            }
        }
    }
    if lake.is_none() {
        writeln!(out, "the lake is open in another process: its positions are not shown")?;
    }
    Ok(())
}

/// Item of a topic; a topic of something else goes by its name.
fn code(topic: &TopicInfo) -> &str {
    item_of(&topic.name).unwrap_or(&topic.name)
}

async fn show_headers(
    out: &mut impl Write,
    bus: &dyn Bus,
    topic: &TopicInfo,
    partition: u32,
    mut next: u64,
    end: u64,
) -> anyhow::Result<()> {
    while next < end {
        let records: Vec<Record> = bus.fetch(&topic.name, partition, next, FETCH_BYTES).await?;
        if records.is_empty() {
            break;
        }
        for record in records.iter().filter(|record| record.offset < end) {
            let headers = &record.headers;
            writeln!(
                out,
                "    {:>8}  {} rows from {} of batch {} by {}, catalogue {}, {} bytes",
                record.offset,
                headers.span.rows,
                headers.span.first_row,
                headers.batch_id,
                headers.provider,
                headers.catalogue_version,
                record.payload.len()
            )?;
        }
        next = records.last().map_or(end, |record| record.offset + 1);
    }
    Ok(())
}

/// The lake, unless another process has it.
async fn lake_of(config: &Config) -> Option<Arc<Lake>> {
    // Looking makes nothing.
    if config.lake.location.is_none() && !config.below_data("lake").is_dir() {
        return None;
    }
    let clock = Arc::new(SystemClock::new());
    crate::lake::open(config, Catalogue::embedded(), LakeOptions::default(), clock, &Registry::new()).await.ok()
}
