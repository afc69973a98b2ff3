//! The catalogue from outside: what is embedded, what a broken one says, what a batch is told, what may change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod broken;
mod check;
mod compat;
mod embedded;
mod golden;

use std::fs;
use std::path::{Path, PathBuf};

use minqiao_schemas::{Catalogue, CatalogueError};

/// A copy of the catalogue's files that a test may spoil.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue"), folder.path());
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Replaces the first occurrence of `from`, which must be there.
    fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {file}");
        fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
        self
    }

    fn load(&self) -> Result<Catalogue, CatalogueError> {
        Catalogue::load_dir(self.0.path())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}
