//! `minqiao verify APPLICATION_NO | --all | --from-folder DIR`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use minqiao_core::{Principal, Purpose, Role, SystemClock, Timestamp};
use minqiao_vault::{Vault, VaultOptions};
use minqiao_verify::calendar::Day;
use minqiao_verify::compute::{Engine, Run, RunError};
use minqiao_verify::folder::CaseFolder;
use minqiao_verify::lake_source::LakeSource;
use minqiao_verify::number::Citizen;
use minqiao_verify::rendering::{self, RenderOptions};
use minqiao_verify::result::Verification;
use minqiao_verify::source::{Question, verify_runs};
use minqiao_verify::throwaway;
use serde_json::json;

use super::CommandError;
use crate::config::Config;
use crate::hub::Hub;

/// Verify households.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["application_no", "all", "from_folder"]))]
pub struct VerifyArgs {
    /// Application to verify; prints the report.
    pub application_no: Option<String>,
    /// Every application: one JSON result a line, citizen numbers clear. For the operator's own checks.
    #[arg(long)]
    pub all: bool,
    /// Rows, parameters and runs of a case folder, through a throw-away lake: one JSON answer a line, in the order of its
    /// runs.json.
    #[arg(long, value_name = "DIR")]
    pub from_folder: Option<PathBuf>,
    /// What was known then (RFC 3339); default now.
    #[arg(long, value_name = "TIME")]
    pub as_of: Option<String>,
    /// Base date of a periodic re-verification.
    #[arg(long, value_name = "DATE")]
    pub reverify_on: Option<String>,
    /// Caseworker of the access list on whose behalf one application is verified.
    #[arg(long = "as", value_name = "ACCOUNT")]
    pub account: Option<String>,
    /// Print the report as JSON instead of readable Chinese.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub async fn run(args: &VerifyArgs, config: Config) -> anyhow::Result<()> {
    if let Some(folder) = &args.from_folder {
        return from_folder(folder).await;
    }
    let as_of = given(args.as_of.as_deref(), Timestamp::parse, "RFC 3339 time")?;
    let reverify_on = given(args.reverify_on.as_deref(), Day::parse, "date")?;
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let done = match &args.application_no {
        Some(application_no) => one(&hub, args, application_no, as_of, reverify_on).await,
        None => all(&hub, as_of).await,
    };
    hub.close().await;
    done
}

/// What an argument means, if it is given.
fn given<T>(
    text: Option<&str>,
    parse: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<Option<T>, CommandError> {
    let wrong = |text: &str| CommandError::Argument { text: text.to_owned(), expected };
    text.map(|text| parse(text).ok_or_else(|| wrong(text))).transpose()
}

async fn one(
    hub: &Hub,
    args: &VerifyArgs,
    application_no: &str,
    as_of: Option<Timestamp>,
    reverify_on: Option<Day>,
) -> anyhow::Result<()> {
    let purpose = Purpose { code: "dibao_verification".to_owned(), case: Some(application_no.to_owned()) };
    let principal = match &args.account {
        Some(account) => {
            let unknown = || CommandError::UnknownUser { account: account.clone(), list: hub.config.access_list() };
            (*hub.access.user(account).ok_or_else(unknown)?).clone()
        }
        None => Principal { id: "cli".to_owned(), role: Role::Caseworker, department: None, county: None },
    };
    let report = hub.verifications.verify(&principal, &purpose, application_no, as_of, reverify_on).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)?
    } else {
        rendering::text(&report, RenderOptions { mask_numbers: true })
    };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

async fn all(hub: &Hub, as_of: Option<Timestamp>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(std::io::stdout());
    let mut written = Ok(());
    let as_of = as_of.unwrap_or_else(|| hub.clock.now());
    hub.verifications
        .all("cli", as_of, |run, result| {
            written = writeln!(out, "{}", answer(run, result));
            written.is_ok()
        })
        .await?;
    written?;
    Ok(out.flush()?)
}

/// The result object, or `{"application_no", "error"}`.
fn answer(run: &Run, result: Result<Verification, RunError>) -> String {
    let error = |code: &str| json!({"application_no": run.application_no, "error": code}).to_string();
    match result {
        Ok(result) => serde_json::to_string(&result).unwrap_or_else(|_| error("internal")),
        Err(reason) => error(reason.code()),
    }
}

/// Seals the folder's rows into a throw-away lake, as any other rows, and answers its runs from there.
async fn from_folder(folder: &Path) -> anyhow::Result<()> {
    let case = CaseFolder::read(folder)?;
    let place = tempfile::Builder::new().prefix("minqiao-case-").tempdir()?;
    let vault = Vault::open(VaultOptions::at(place.path().join("keys")))?;
    let folder = place.path().join("lake");
    let lake = throwaway::lake_of(&case.rows, &vault.sealer(), &folder, Arc::new(SystemClock::new())).await?;
    let engine = Engine::new()?;
    let source = LakeSource::new(lake, vault.unsealer(), vault.tokens());
    let show = |number: Citizen| number.to_string();
    let question = Question { engine: &engine, inputs: &case.inputs, parameters: &case.parameters, show: &show };
    let results = verify_runs(&source, &question, &case.runs).await?;
    let mut out = BufWriter::new(std::io::stdout());
    for (run, result) in case.runs.iter().zip(results) {
        writeln!(out, "{}", answer(run, result))?;
    }
    Ok(out.flush()?)
}
