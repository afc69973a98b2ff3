//! Runs a peer: a Python program in an environment of its own, with pinned packages, under the same clock.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

const PACKAGES: [&str; 1] = ["duckdb==1.5.5"];

/// Runs `program` with `arguments`; it prints one JSON object.
pub(crate) fn run(work: &Path, program: &str, arguments: &[&Path]) -> anyhow::Result<Value> {
    let python = environment(work)?;
    let script = tempfile::Builder::new().suffix(".py").tempfile()?;
    std::fs::write(script.path(), program)?;
    let output = Command::new(python).arg(script.path()).args(arguments).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the peer failed");
    serde_json::from_slice(&output.stdout).context("the peer's answer is no JSON")
}

fn environment(work: &Path) -> anyhow::Result<PathBuf> {
    let folder = work.join("peer");
    let python = folder.join("bin/python");
    let stamp = folder.join("packages");
    let wanted = PACKAGES.join(" ");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    let run = |command: &mut Command| -> anyhow::Result<()> {
        let status = command.stdout(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { bail!("the peer's environment could not be made: {command:?}") }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    std::fs::write(stamp, wanted)?;
    Ok(python)
}
