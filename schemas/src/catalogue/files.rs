//! Where catalogue files come from: the binary, or a folder. Both give the same list of names and texts.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};

use super::CatalogueError;

static EMBEDDED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/catalogue");

/// A catalogue file is far smaller; anything larger is not one.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// 73 items and 151 tables today.
const FILE_COUNT_MAX: usize = 2_000;

/// Texts by path relative to the catalogue's folder, sorted.
pub(super) type Files = Vec<(String, Cow<'static, str>)>;

pub(super) fn embedded() -> Result<Files, CatalogueError> {
    let mut files = Vec::new();
    collect(&EMBEDDED, &mut files);
    files.sort();
    Ok(files)
}

fn collect(folder: &'static Dir<'static>, files: &mut Files) {
    for file in folder.files() {
        let text = String::from_utf8_lossy(file.contents());
        files.push((file.path().to_string_lossy().replace('\\', "/"), text));
    }
    for below in folder.dirs() {
        collect(below, files);
    }
}

pub(super) fn from_folder(folder: &Path) -> Result<Files, CatalogueError> {
    let mut files = Vec::new();
    for entry in read_dir(folder)? {
        if entry.is_dir() {
            for file in read_dir(&entry)? {
                push(folder, &file, &mut files)?;
            }
        } else {
            push(folder, &entry, &mut files)?;
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> CatalogueError {
    let path = path.display().to_string();
    move |source| CatalogueError::Unreadable { path, source }
}

fn read_dir(folder: &Path) -> Result<Vec<std::path::PathBuf>, CatalogueError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        paths.push(entry.map_err(unreadable(folder))?.path());
    }
    Ok(paths)
}

fn push(folder: &Path, path: &Path, files: &mut Files) -> Result<(), CatalogueError> {
    if path.extension().is_none_or(|e| e != "yaml") {
        return Ok(());
    }
    let refuse = |why: &str| CatalogueError::Unreadable {
        path: path.display().to_string(),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, why),
    };
    if files.len() >= FILE_COUNT_MAX {
        return Err(refuse("too many files"));
    }
    if fs::metadata(path).map_err(unreadable(path))?.len() > FILE_BYTES_MAX {
        return Err(refuse("file too large"));
    }
    let text = fs::read_to_string(path).map_err(unreadable(path))?;
    let name = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/");
    files.push((name, Cow::Owned(text)));
    Ok(())
}
