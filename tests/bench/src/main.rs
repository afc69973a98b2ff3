//! `minqiao-bench NAME`: a figure of Minqiao and its peer's from the same run, as JSON on standard output.
//!
//! Nothing here is a test: figures depend on the machine and are never asserted. What is checked is that both sides did
//! the same work. `RESULTS.md` beside this crate holds the last figures and how they came about.

mod bus;
mod city;
mod delay;
mod figures;
mod intake;
mod peer;
mod policy;
mod tax_file;
mod verify;

use std::io::Write;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Benchmarks of Minqiao, each beside its peer in the same run.
#[derive(Debug, Parser)]
#[command(
    name = "minqiao-bench",
    after_help = "\
Run on an idle machine. The peers (DuckDB) are fetched once, as pinned Python packages, into a virtual environment \
below the work folder; that needs python3 with venv."
)]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,
    /// Folder for cities, lakes and the peers' environment; large, kept between runs, safe to delete.
    #[arg(long, global = true, default_value = "target/bench", value_name = "DIR")]
    work: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// GBK CSV → normalised → sealed → durable bus → queryable lake.
    /// Peer: DuckDB reads the same file with the same checks and writes Parquet.
    Intake {
        /// Rows of the file.
        #[arg(long, default_value_t = 10_000_000, value_name = "N")]
        rows: u64,
        /// Come over HTTPS with mutual TLS instead of within the process.
        #[arg(long)]
        tls: bool,
        /// Leave the peer out.
        #[arg(long)]
        alone: bool,
    },
    /// Every application of a city. Peer: DuckDB sums income and property of the same families from the same facts.
    Verify {
        #[command(flatten)]
        city: city::CityArgs,
        /// Leave the peer out.
        #[arg(long)]
        alone: bool,
        /// Times that both sides run, by turns; the median counts.
        #[arg(long, default_value_t = 3, value_name = "N")]
        repeat: usize,
    },
    /// One application at a time: p50 and p99.
    VerifyOne {
        #[command(flatten)]
        city: city::CityArgs,
        /// Applications, drawn by a seeded draw.
        #[arg(long, default_value_t = 1000, value_name = "N")]
        runs: usize,
    },
    /// Sealed batches into and out of the embedded bus and Kafka. Peer: Kafka's own performance tools on the same
    /// brokers. Needs Java and Maven.
    Bus {
        /// Messages.
        #[arg(long, default_value_t = 4000, value_name = "N")]
        messages: usize,
        /// Bytes of each.
        #[arg(long, default_value_t = 200_000, value_name = "N")]
        bytes: usize,
    },
    /// From acknowledgement to queryable, at a tenth and at half of the greatest rate.
    Freshness,
    /// kill -9 of a hub with a long log, and its return.
    Recovery {
        /// Rows in the log.
        #[arg(long, default_value_t = 10_000_000, value_name = "N")]
        rows: u64,
    },
    /// Ten queries through the barrier. Peer: the same queries on the stored tables, without policy and audit.
    Policy {
        #[command(flatten)]
        city: city::CityArgs,
        /// Times each query is run; the best counts.
        #[arg(long, default_value_t = 7, value_name = "N")]
        repeat: usize,
    },
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let _installed = rustls::crypto::ring::default_provider().install_default();
    std::fs::create_dir_all(&cli.work)?;
    let work = cli.work.canonicalize()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        match &cli.benchmark {
            Benchmark::Intake { rows, tls, alone } => Box::pin(intake::run(&work, *rows, *tls, *alone)).await,
            Benchmark::Verify { city, alone, repeat } => Box::pin(verify::all(&work, city, *alone, *repeat)).await,
            Benchmark::VerifyOne { city, runs } => Box::pin(verify::one(&work, city, *runs)).await,
            Benchmark::Bus { messages, bytes } => {
                let load = bus::Load { messages: *messages, bytes: *bytes };
                Box::pin(bus::run(&work, load)).await
            }
            Benchmark::Freshness => Box::pin(delay::freshness(&work)).await,
            Benchmark::Recovery { rows } => Box::pin(delay::recovery(&work, *rows)).await,
            Benchmark::Policy { city, repeat } => Box::pin(policy::run(&work, city, *repeat)).await,
        }
    })?;
    let machine = figures::machine();
    let page = serde_json::json!({ "machine": machine, "figures": figures });
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&page)?)?)
}
