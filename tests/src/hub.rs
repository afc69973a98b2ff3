//! The hub's program as a process of its own.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `minqiao`, built beside the caller: a program, or a test one folder below.
pub fn program() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join("minqiao"));
    let missing = || io::Error::other("build the program first: cargo build --release -p minqiao-server");
    beside.into_iter().find(|program| program.is_file()).ok_or_else(missing)
}

/// Starts `minqiao serve` with the configuration in a file; what it says is added to `log`. The caller ends it.
pub fn serve<'a>(
    config: &Path,
    log: &Path,
    environment: impl IntoIterator<Item = (&'a str, &'a Path)>,
) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(log)?;
    Command::new(program()?)
        .arg("--config")
        .arg(config)
        .arg("serve")
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
}
