//! Verification of every application of a city, and of one at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use arrow::array::RecordBatch;
use minqiao_core::{Principal, Purpose, Role};
use minqiao_schemas::Catalogue;
use minqiao_server::commands::demo::peak_rss_bytes;
use minqiao_verify::lake_source::LakeSource;
use minqiao_verify::source::RowSource;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};

use crate::city::{City, CityArgs};
use crate::figures::{Meter, quantile, rounded};
use crate::peer;

/// Items whose rows the peer needs: who applies, what they earn, what they own.
const FACTS: [&str; 23] = [
    "assistance_application",
    "declared_household_member",
    "individual_income_tax",
    "pension_contribution",
    "provident_fund_account",
    "employment_registration",
    "public_welfare_post",
    "employee_pension_benefit",
    "resident_pension_benefit",
    "unemployment_benefit",
    "work_injury_benefit",
    "provident_fund_withdrawal",
    "land_contract_right",
    "agri_subsidy_payment",
    "fishing_vessel",
    "bank_deposit",
    "securities_holding",
    "insurance_policy",
    "nonbank_payment_balance",
    "motor_vehicle",
    "real_estate_ownership",
    "presale_contract",
    "farm_machinery",
];

/// Both sides by turns, `repeat` times; the median of each counts.
pub(crate) async fn all(work: &Path, args: &CityArgs, alone: bool, repeat: usize) -> anyhow::Result<Value> {
    let city = City::open(work, args).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut verified, mut refused, mut peak) = (0_u64, 0_u64, Value::Null);
    for _ in 0..repeat.max(1) {
        (verified, refused) = (0, 0);
        let meter = Meter::start();
        city.hub
            .verifications
            .all("bench", city.as_of, |_, result| {
                *if result.is_ok() { &mut verified } else { &mut refused } += 1;
                true
            })
            .await?;
        ours.push(meter.cost());
        ensure!(verified > 0, "the city has no applications");
        if peak.is_null() {
            // Later it would count what the peer's facts took to write.
            peak = json!(peak_rss_bytes());
        }
        if !alone {
            theirs.push(peer_of(work, &city).await?);
        }
    }
    city.hub.close().await;
    ours.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let cost = ours[ours.len() / 2];
    theirs.sort_by(|a, b| seconds(a).total_cmp(&seconds(b)));
    let peer = theirs.get(theirs.len() / 2).cloned().unwrap_or_default();
    Ok(json!({
        "benchmark": "verify", "applications": verified + refused, "filling": city.filling, "repeat": ours.len(),
        "minqiao": {
            "seconds": rounded(cost.seconds), "cpu_seconds": rounded(cost.cpu_seconds),
            "seconds_all": ours.iter().map(|cost| rounded(cost.seconds)).collect::<Vec<_>>(),
            "verified": verified, "refused": refused,
            "applications_per_second": ((verified + refused) as f64 / cost.seconds).round(),
            "peak_rss_bytes": peak,
        },
        "peer_seconds_all": theirs.iter().map(seconds).collect::<Vec<_>>(), "peer": peer,
        "seconds_minqiao_to_peer": if alone { Value::Null } else { json!(rounded(cost.seconds / seconds(&peer))) },
    }))
}

fn seconds(peer: &Value) -> f64 {
    peer["seconds"].as_f64().unwrap_or(f64::NAN)
}

/// The peer gets every version that the lake holds, in clear: unsealing is on our side only, selecting what was known at
/// the moment on both.
async fn peer_of(work: &Path, city: &City) -> anyhow::Result<Value> {
    let facts = city.folder.join("facts");
    let complete = facts.join("complete");
    if !std::fs::exists(&complete)? {
        std::fs::create_dir_all(&facts)?;
        let source = LakeSource::new(city.hub.lake.clone(), city.hub.vault.unsealer(), city.hub.vault.tokens());
        let mut keys = serde_json::Map::new();
        for code in FACTS {
            let item = Catalogue::embedded().item(code).context("an item of the catalogue")?;
            let rows = source.history(item).await?;
            keys.insert(code.to_owned(), json!(item.natural_key));
            let file = facts.join(format!("{code}.parquet"));
            tokio::task::spawn_blocking(move || write(&file, &rows)).await??;
        }
        std::fs::write(facts.join("keys.json"), Value::Object(keys).to_string())?;
        std::fs::write(&complete, "")?;
    }
    let as_of: PathBuf = city.as_of.to_string().into();
    peer::run(work, include_str!("../peer/verify.py"), &[&facts, &as_of])
}

fn write(file: &Path, rows: &[RecordBatch]) -> anyhow::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer = ArrowWriter::try_new(File::create(file)?, first.schema(), Some(properties))?;
    for batch in rows {
        writer.write(batch)?;
    }
    writer.close()?;
    Ok(())
}

pub(crate) async fn one(work: &Path, args: &CityArgs, runs: usize) -> anyhow::Result<Value> {
    let city = City::open(work, args).await?;
    let applications = applications(&city).await?;
    let principal = Principal { id: "bench".into(), role: Role::Caseworker, department: None, county: None };
    let mut millis = Vec::with_capacity(runs);
    // A stride that shares no factor with the count visits applications all over the city, each once.
    let stride = (1..).map(|n| 7919 + n).find(|n| applications.len() % n != 0).unwrap_or(1);
    for at in 0..runs.min(applications.len()) {
        let application = &applications[at * stride % applications.len()];
        let purpose = Purpose { code: "dibao_verification".into(), case: Some(application.clone()) };
        let meter = Meter::start();
        let report = city.hub.verifications.verify(&principal, &purpose, application, Some(city.as_of), None).await;
        millis.push(meter.cost().seconds * 1000.0);
        report.with_context(|| format!("application {at} of the draw"))?;
    }
    city.hub.close().await;
    let first = millis.first().copied().unwrap_or(f64::NAN);
    millis.sort_by(f64::total_cmp);
    Ok(json!({
        "benchmark": "verify-one", "applications": applications.len(), "runs": millis.len(),
        "minqiao": {
            "p50_ms": rounded(quantile(&millis, 0.5)), "p99_ms": rounded(quantile(&millis, 0.99)),
            "max_ms": rounded(quantile(&millis, 1.0)), "first_ms": rounded(first),
            "peak_rss_bytes": peak_rss_bytes(),
        },
        "what": "signed report with its audit record and kept copy, one after the other",
    }))
}

/// Numbers of all applications that have an answer, ascending.
async fn applications(city: &City) -> anyhow::Result<Vec<String>> {
    let mut numbers = Vec::new();
    city.hub
        .verifications
        .all("bench", city.as_of, |run, result| {
            if result.is_ok() {
                numbers.push(run.application_no.clone());
            }
            true
        })
        .await?;
    ensure!(!numbers.is_empty(), "the city has no applications");
    Ok(numbers)
}
