//! A PostgreSQL on loopback, by `tests/servers/postgres`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kafka::run;

/// A server that ends with this value.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    url: String,
}

impl Postgres {
    /// Starts a new one whose data lies in `folder`, which a user of its own must be able to reach.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut server = Self { folder: folder.to_owned(), url: String::new() };
        server.url = server.ask(&["start"])?;
        Ok(server)
    }

    /// `postgres://user:password@host:port/database`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends it as a crash does: without a checkpoint.
    pub fn kill(&self) -> io::Result<()> {
        self.ask(&["stop", "--now"]).map(drop)
    }

    /// Starts it again, if it does not run.
    pub fn revive(&self) -> io::Result<()> {
        self.ask(&["start"]).map(drop)
    }

    fn ask(&self, what: &[&str]) -> io::Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/postgres");
        run(Command::new(script).args(what).arg("--dir").arg(&self.folder))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ended = self.kill();
    }
}
