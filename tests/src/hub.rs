//! The hub's programs as processes of their own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `minqiao` or `minqiao-connector`, built beside the caller: a program, or a test one folder below.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let missing = || io::Error::other(format!("build `{name}` first: cargo build --release --workspace --bins"));
    beside.into_iter().find(|program| program.is_file()).ok_or_else(missing)
}

/// Starts `minqiao serve` with the configuration in a file; what it says is added to `log`. The caller ends it.
pub fn serve<'a>(
    config: &Path,
    log: &Path,
    environment: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new(program("minqiao")?)
        .arg("--config")
        .arg(config)
        .arg("serve")
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}
