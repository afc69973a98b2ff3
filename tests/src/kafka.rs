//! Three brokers on loopback, by `tests/servers/kafka`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many brokers a cluster has; they are numbered from 1.
pub const BROKERS: u64 = 3;

/// A cluster that ends with this value.
#[derive(Debug)]
pub struct Brokers {
    folder: PathBuf,
    bootstrap: String,
}

impl Brokers {
    /// Starts a new cluster whose data lies in `folder`. Needs Java and, the first time, Maven.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut brokers = Self { folder: folder.to_owned(), bootstrap: String::new() };
        brokers.bootstrap = brokers.ask(&["start", "--brokers", &BROKERS.to_string()])?;
        Ok(brokers)
    }

    /// `host:port,host:port,host:port`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// SIGKILL to one broker.
    pub fn kill(&self, broker: u64) -> io::Result<()> {
        self.ask(&["kill", &broker.to_string()]).map(drop)
    }

    /// Starts a killed broker again.
    pub fn revive(&self, broker: u64) -> io::Result<()> {
        self.ask(&["start-one", &broker.to_string()]).map(drop)
    }

    fn ask(&self, what: &[&str]) -> io::Result<String> {
        run(script().args(what).arg("--dir").arg(&self.folder))
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let _ended = self.ask(&["stop"]);
    }
}

/// Folder of Kafka's jars, for its own tools.
pub fn libraries() -> io::Result<String> {
    run(script().arg("libs"))
}

/// Runs a command to its end; its standard output, or what it said on standard error.
pub fn run(command: &mut Command) -> io::Result<String> {
    let done = command.output()?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
    } else {
        Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr))))
    }
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/kafka"))
}
