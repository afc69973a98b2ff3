//! Makes a city: `cargo run --release -p minqiao-municipality --example city -- DIR [RESIDENTS [SEED [COUNTIES [case]]]]`; with
//! `case`, the case folder of its applications instead.

use std::{path::PathBuf, process::ExitCode};

use minqiao_municipality::{CityOptions, case_folder, generate};

#[allow(clippy::print_stdout, reason = "a program prints its result")]
fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let Some(dir) = args.next().map(PathBuf::from) else { return ExitCode::from(2) };
    let mut number = |default: u64| args.next().and_then(|a| a.parse().ok()).unwrap_or(default);
    let options = CityOptions { residents: number(20_000), seed: number(1), counties: number(4) as usize };
    if args.next().is_some_and(|a| a == "case") {
        return match case_folder(&dir, &options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    match generate(&dir, &options, &|_| {}) {
        Ok(summary) => {
            println!("{}", serde_json::to_string_pretty(&summary).unwrap_or_default());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}
