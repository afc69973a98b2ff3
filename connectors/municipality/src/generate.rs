//! Makes a city on disk: lives, exports, truth.
//!
//! ```text
//! DIR/city.json               seed, residents, counties, today, as_of
//! DIR/parameters.json         parameters of the computation (form of the case folders)
//! DIR/runs.json               every application, as of today 20:00
//! DIR/exports/<department>/…  what the departments drop
//! DIR/truth/rows/<item>.csv   what must become of every row
//! DIR/truth/households.ndjson what is true of every application
//! ```
//!
//! Blocks are lived in parallel and written in order, one wave being written while the next is lived: memory holds two
//! waves, whatever the size of the city. The same options give the same bytes on any number of cores.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::{
    calendar::{SNAPSHOT, TODAY, print_ts},
    city::{City, CityOptions},
    export::{DepartmentFiles, ExportError, ExportOptions, ExportSummary},
    life::{Lived, kin::BLOCKS_MAX, live_block},
    parameters,
    row::Exporter,
    truth::{self, Household},
};

/// Residents of a block, while the numbers reach.
const BLOCK_RESIDENTS: u64 = 400;
/// More would exhaust a block's citizen numbers.
const RESIDENTS_MAX: u64 = BLOCKS_MAX * 6_000;

/// Why a city could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CityError {
    /// The options cannot be met.
    #[error("a city has 1 to {RESIDENTS_MAX} residents and at least one county")]
    Options,
    /// The exports failed.
    #[error("cannot export the city")]
    Export(#[from] ExportError),
    /// Writing failed.
    #[error("cannot write the city")]
    Io(#[from] io::Error),
}

/// How far the making of a city is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Residents whose lives are written.
    pub residents: u64,
    /// Residents asked for.
    pub residents_total: u64,
    /// Rows told so far.
    pub rows: u64,
}

/// Rows of an item.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct ItemRows {
    /// Item number.
    pub no: usize,
    /// Item code.
    pub item: String,
    /// Department code.
    pub department: String,
    /// Rows in the files, injected duplicates counted.
    pub rows: u64,
    /// Of these: the hub must accept.
    pub accepted: u64,
    /// Of these: exact repetitions.
    pub duplicate: u64,
    /// Of these: lost.
    pub quarantined: u64,
}

/// What was made.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct CitySummary {
    /// Living residents.
    pub residents: u64,
    /// Households with living members.
    pub households: u64,
    /// Applications, each with a run and a truth.
    pub applications: u64,
    /// Per item, in order of number.
    pub items: Vec<ItemRows>,
}

impl CitySummary {
    /// All rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.items.iter().map(|i| i.rows).sum()
    }

    /// (department, rows), in order of the catalogue.
    #[must_use]
    pub fn departments(&self) -> Vec<(String, u64)> {
        let mut all: Vec<(String, u64)> = Vec::new();
        for item in &self.items {
            match all.last_mut() {
                Some((code, rows)) if *code == item.department => *rows += item.rows,
                _ => all.push((item.department.clone(), item.rows)),
            }
        }
        all
    }
}

/// The truth of one application, as a line of `truth/households.ndjson`.
#[derive(Debug, Serialize)]
struct Line {
    #[serde(flatten)]
    knowable: Household,
    /// What is really so, where lost rows hide it; null where the hub can know all.
    really: Option<Household>,
}

/// What a block yields beside its exports.
#[derive(Debug)]
struct BlockTruth {
    lived: Lived,
    households: Vec<u8>,
    applications: Vec<String>,
}

/// Lives a block into `sink` and judges its applications.
fn fill(city: &City, block: u64, quota: u64, sink: &mut dyn crate::row::RowSink) -> BlockTruth {
    let mut households = Vec::new();
    let mut applications = Vec::new();
    let lived = live_block(city, block, quota, sink, |number, seat, rows| {
        let Some(knowable) = truth::judge(number, seat, rows, false) else { return };
        let really = truth::judge(number, seat, rows, true).filter(|r| *r != knowable);
        applications.push(knowable.application_no.clone());
        // Writing to memory does not fail.
        if serde_json::to_writer(&mut households, &Line { knowable, really }).is_ok() {
            households.push(b'\n');
        }
    });
    BlockTruth { lived, households, applications }
}

/// Blocks of the city with their quotas.
pub(crate) fn blocks(residents: u64) -> Vec<(u64, u64)> {
    let size = BLOCK_RESIDENTS.max(residents.div_ceil(BLOCKS_MAX));
    (0..residents.div_ceil(size)).map(|b| (b, size.min(residents - b * size))).collect()
}

/// Makes the city of `options` under `dir`.
///
/// # Errors
/// The options cannot be met, or writing fails.
pub fn generate(dir: &Path, options: &CityOptions, progress: &dyn Fn(Progress)) -> Result<CitySummary, CityError> {
    if options.residents == 0 || options.residents > RESIDENTS_MAX || options.counties == 0 {
        return Err(CityError::Options);
    }
    let city = City::found(options);
    std::fs::create_dir_all(dir.join("truth"))?;
    let mut exporter = DepartmentFiles::create(&ExportOptions {
        dir: dir.to_owned(),
        seed: options.seed,
        city: "威海市".to_owned(),
        last_day: SNAPSHOT,
        counties: city.seats.iter().map(|s| (s.place.code, s.place.name.to_owned())).collect(),
    })?;
    let mut households = BufWriter::new(File::create(dir.join("truth/households.ndjson"))?);
    let mut runs = BufWriter::new(File::create(dir.join("runs.json"))?);
    runs.write_all(b"[")?;
    let as_of = print_ts(truth::as_of());
    let mut summary = CitySummary { residents: 0, households: 0, applications: 0, items: Vec::new() };
    let mut rows = 0;
    let all = blocks(options.residents);
    let mut waves = all.chunks(2 * rayon::current_num_threads().max(1));
    let open = |exporter: &DepartmentFiles, wave: Option<&[(u64, u64)]>| {
        wave.unwrap_or_default().iter().map(|(b, quota)| (*b, *quota, exporter.open_block(*b))).collect::<Vec<_>>()
    };
    let live = |wave: Vec<_>| -> Vec<_> {
        wave.into_par_iter()
            .map(|(block, quota, mut sink)| {
                let truth = fill(&city, block, quota, &mut sink);
                (sink, truth)
            })
            .collect()
    };
    let mut ready = live(open(&exporter, waves.next()));
    while !ready.is_empty() {
        let next = open(&exporter, waves.next());
        let write = || -> io::Result<()> {
            for (sink, truth) in ready {
                exporter.append(sink)?;
                households.write_all(&truth.households)?;
                for application in &truth.applications {
                    let comma = if summary.applications == 0 { "\n" } else { ",\n" };
                    let run = json!({"application_no": application, "as_of": as_of, "reverify_on": null});
                    write!(runs, "{comma}{run}")?;
                    summary.applications += 1;
                }
                summary.residents += truth.lived.residents;
                summary.households += truth.lived.households;
                rows += truth.lived.counts.iter().sum::<u64>();
            }
            Ok(())
        };
        let (written, lived) = rayon::join(write, || live(next));
        written?;
        ready = lived;
        progress(Progress { residents: summary.residents, residents_total: options.residents, rows });
    }
    runs.write_all(b"\n]\n")?;
    runs.flush()?;
    households.flush()?;
    summary.items = item_rows(&exporter.finish()?);
    let codes: Vec<&str> = city.seats.iter().map(|s| s.place.code_text).collect();
    write_json(&dir.join("parameters.json"), &parameters::file(&codes))?;
    write_json(
        &dir.join("city.json"),
        &json!({"seed": options.seed, "residents": summary.residents, "households": summary.households,
            "counties": codes, "today": TODAY.to_string(), "as_of": as_of}),
    )?;
    Ok(summary)
}

fn item_rows(exported: &ExportSummary) -> Vec<ItemRows> {
    exported
        .items
        .iter()
        .enumerate()
        .map(|(i, count)| ItemRows {
            no: i + 1,
            item: count.item.clone(),
            department: count.department.clone(),
            rows: count.rows(),
            accepted: count.accepted,
            duplicate: count.duplicate,
            quarantined: count.quarantined.values().sum(),
        })
        .collect()
}

fn write_json(path: &Path, value: &serde_json::Value) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer_pretty(&mut file, value)?;
    file.write_all(b"\n")?;
    file.flush()
}
