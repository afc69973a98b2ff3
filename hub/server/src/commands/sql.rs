//! `minqiao sql`.

use std::io::Write;
use std::sync::Arc;

use arrow::util::pretty::pretty_format_batches_with_schema;
use clap::Args;
use minqiao_core::{Purpose, SystemClock};
use minqiao_query::QueryRequest;
use uuid::Uuid;

use super::{AsPrincipal, CommandError};
use crate::config::Config;
use crate::hub::Hub;

/// Run a query.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// One SELECT. Tables are named as items; `SELECT * FROM information_schema.tables` lists what is visible.
    pub sql: String,
    #[command(flatten)]
    who: AsPrincipal,
}

/// Opens the data folder (no hub may be running on it), answers as a table.
pub async fn run(args: &SqlArgs, config: Config) -> anyhow::Result<()> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let answer = ask(&hub, args).await;
    hub.close().await;
    writeln!(std::io::stdout(), "{}", answer?)?;
    Ok(())
}

async fn ask(hub: &Hub, args: &SqlArgs) -> anyhow::Result<String> {
    let principal = hub.access.user(&args.who.principal).ok_or_else(|| CommandError::UnknownUser {
        account: args.who.principal.clone(),
        list: hub.config.access_list(),
    })?;
    let rows = hub
        .sql
        .query(QueryRequest {
            request_id: Uuid::now_v7().to_string(),
            door: "cli",
            principal: (*principal).clone(),
            purpose: Purpose { code: args.who.purpose.clone(), case: args.who.case.clone() },
            sql: args.sql.clone(),
            parameters: Vec::new(),
        })
        .await?;
    // Without a row, too, an answer has columns.
    let schema = rows.schema();
    let batches = rows.collect_batches().await?;
    Ok(pretty_format_batches_with_schema(schema, &batches)?.to_string())
}
