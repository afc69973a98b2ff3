//! An object store on loopback, by `tests/servers/s3`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kafka::run;

/// versitygw, which ends with this value.
#[derive(Debug)]
pub struct ObjectStore {
    folder: PathBuf,
    endpoint: String,
}

impl ObjectStore {
    /// Starts a new one whose data lies in `folder`. Needs Go the first time.
    pub fn start(folder: &Path) -> io::Result<Self> {
        let mut store = Self { folder: folder.to_owned(), endpoint: String::new() };
        store.endpoint = store.ask(&["start", "versitygw"])?;
        Ok(store)
    }

    /// `http://host:port`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// File of its keys, as `lake.s3.credentials_file` wants it.
    pub fn credentials(&self) -> PathBuf {
        self.folder.join("credentials")
    }

    /// Its bucket.
    pub fn bucket(&self) -> io::Result<String> {
        std::fs::read_to_string(self.folder.join("bucket"))
    }

    /// SIGKILL.
    pub fn kill(&self) -> io::Result<()> {
        self.ask(&["kill"]).map(drop)
    }

    /// Starts it again, if it does not run.
    pub fn revive(&self) -> io::Result<()> {
        self.ask(&["start", "versitygw"]).map(drop)
    }

    fn ask(&self, what: &[&str]) -> io::Result<String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/s3");
        run(Command::new(script).args(what).arg("--dir").arg(&self.folder))
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _ended = self.kill();
    }
}
