//! What the demo shows at its end: one query through three pairs of eyes, and where to go on.

use std::fmt::Write as _;

use arrow::util::pretty::pretty_format_batches_with_schema;
use minqiao_core::Purpose;
use minqiao_query::{QueryError, QueryRequest};
use prometheus::{Encoder, TextEncoder};
use uuid::Uuid;

use super::cast::{Cast, Person};
use crate::hub::{Hub, Running};

/// The query that three people ask.
const QUERY: &str = "SELECT applicant_name, applicant_citizen_id, household_size \
     FROM assistance_application ORDER BY household_size DESC LIMIT 3";
/// What a statistician may ask instead.
const STATISTICS: &str = "SELECT guarantee_category_code, COUNT(*) AS households \
     FROM assistance_application GROUP BY guarantee_category_code ORDER BY guarantee_category_code";

/// The answer as a table, or the refusal.
async fn answer(hub: &Hub, person: &Person, case: Option<&str>, sql: &str) -> anyhow::Result<String> {
    let request = QueryRequest {
        request_id: Uuid::now_v7().to_string(),
        door: "demo",
        principal: person.principal.clone(),
        purpose: Purpose { code: person.purpose.to_owned(), case: case.map(str::to_owned) },
        sql: sql.to_owned(),
        parameters: Vec::new(),
    };
    let answer: Result<_, QueryError> = async {
        let rows = hub.sql.query(request).await?;
        Ok((rows.schema(), rows.collect_batches().await?))
    }
    .await;
    Ok(match answer {
        Ok((schema, batches)) => {
            let table = pretty_format_batches_with_schema(schema, &batches)?.to_string();
            table.lines().map(|line| format!("    {line}\n")).collect()
        }
        Err(refusal) => format!("    refused: {refusal}\n"),
    })
}

/// Asks as caseworker (for `case`), analyst and statistician.
pub(super) async fn three_principals(running: &Running, cast: &Cast, case: Option<&str>) -> anyhow::Result<String> {
    let hub = &running.hub;
    let mut text = String::from("  同一查询, 三种身份 the same query as three people see it\n");
    writeln!(text, "  {QUERY}")?;
    for person in &cast.people[..3] {
        let case = case.filter(|_| person.principal.id == "caseworker");
        let about = case.map(|case| format!(", case {case}")).unwrap_or_default();
        writeln!(text, "\n  {} for `{}`{about}", person.principal.id, person.purpose)?;
        text.push_str(&answer(hub, person, case, QUERY).await?);
    }
    writeln!(text, "\n  statistician: {STATISTICS}")?;
    text.push_str(&answer(hub, &cast.people[2], None, STATISTICS).await?);
    Ok(text)
}

/// Addresses and commands to try, for the running demo.
pub(super) fn where_to_go(running: &Running, cast: &Cast) -> String {
    let url = format!("https://localhost:{}", running.http.port());
    let analyst = &cast.people[1];
    format!(
        "\n  浏览器 browser     {url}/   (certificate authority: {authority})\n  \
         指标 Prometheus    http://{operations}/metrics, ops/prometheus/prometheus.yml\n  \
         查询 curl          curl --cacert {authority} -H @{token} -H 'X-Minqiao-Purpose: {purpose}' -H 'Content-Type: application/json' \\\n                     \
         {url}/v1/sql -d '{{\"sql\": \"SELECT COUNT(*) AS n FROM bank_deposit\"}}'\n  \
         回执单 return sheets {sheets}\n\n  Ctrl-C 结束 ends the demo\n",
        authority = cast.authority.display(),
        token = analyst.header_file.display(),
        purpose = analyst.purpose,
        operations = running.operations,
        sheets = running.hub.config.below_data("return-sheets").display(),
    )
}

/// Writes the metrics as Prometheus would read them at this moment into the data folder.
pub(super) fn write_metrics(hub: &Hub) -> anyhow::Result<()> {
    let mut text = Vec::new();
    TextEncoder::new().encode(&hub.registry.gather(), &mut text)?;
    Ok(std::fs::write(hub.config.below_data("metrics.txt"), text)?)
}
