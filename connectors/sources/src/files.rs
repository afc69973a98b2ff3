//! Finding files and telling whether they have changed.
//!
//! Only the folders that a pattern can reach are listed, hidden files and symbolic links are left alone, and the order is that of
//! names, so that a later run meets the files of an earlier one in the same places.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::UNIX_EPOCH;

use minqiao_connector_api::mapping::Glob;
use minqiao_connector_api::source::{FileRef, SourceError};
use sm3::{Digest, Sm3};

/// Entries that one folder may have.
const ENTRIES_MAX: usize = 100_000;
/// Bytes of beginning and end that identify a file's content.
const SAMPLE_BYTES: u64 = 64 << 10;

/// Files below `directory` whose relative path matches, by name.
pub fn discover(directory: &Path, pattern: &Glob) -> Result<Vec<FileRef>, SourceError> {
    let mut found = Vec::new();
    walk(directory, "", pattern, pattern.depth(), &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn walk(
    folder: &Path,
    prefix: &str,
    pattern: &Glob,
    depth: usize,
    found: &mut Vec<FileRef>,
) -> Result<(), SourceError> {
    let shown = if prefix.is_empty() { folder.display().to_string() } else { prefix.to_owned() };
    let fail = |source| SourceError::Io { file: shown.clone(), source };
    for (count, entry) in fs::read_dir(folder).map_err(fail)?.enumerate() {
        if count >= ENTRIES_MAX {
            return Err(fail(std::io::Error::other("more than 100000 entries in one folder")));
        }
        let entry = entry.map_err(fail)?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let kind = entry.file_type().map_err(fail)?;
        if name.starts_with('.') || kind.is_symlink() {
            continue;
        }
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), &path, pattern, depth - 1, found)?;
        } else if kind.is_file() && depth == 0 && pattern.matches(&path) {
            let metadata = entry.metadata().map_err(fail)?;
            let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            found.push(FileRef {
                path: entry.path(),
                name: path,
                bytes: metadata.len(),
                modified_millis: since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            });
        }
    }
    Ok(())
}

/// SM3 over size, beginning and end, hex. What lies between is covered by the digest of each piece.
pub fn content_id(file: &FileRef) -> Result<String, SourceError> {
    let fail = crate::io_error(file);
    let mut from = File::open(&file.path).map_err(&fail)?;
    let size = from.metadata().map_err(&fail)?.len();
    let mut hash = Sm3::new();
    hash.update(size.to_le_bytes());
    let mut sample = Vec::new();
    for start in [0, size.saturating_sub(SAMPLE_BYTES).max(SAMPLE_BYTES.min(size))] {
        from.seek(SeekFrom::Start(start)).map_err(&fail)?;
        sample.clear();
        Read::by_ref(&mut from).take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(&fail)?;
        hash.update(&sample);
    }
    Ok(hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_in_the_folders_that_the_pattern_names() {
        let root = tempfile::tempdir().expect("temporary folder");
        fs::create_dir(root.path().join("b")).expect("folder");
        for name in ["x_2.csv", "x_10.csv", ".x_1.csv", "b/x_3.csv", "y.csv"] {
            fs::write(root.path().join(name), name).expect("file");
        }
        let names = |pattern: &str| -> Vec<String> {
            let found = discover(root.path(), &Glob::new(pattern).expect("pattern")).expect("readable");
            found.into_iter().map(|f| f.name).collect()
        };
        assert_eq!(names("x_*.csv"), ["x_10.csv", "x_2.csv"]);
        assert_eq!(names("*/x_*.csv"), ["b/x_3.csv"]);
        assert!(names("z*").is_empty());
    }

    #[test]
    fn content_id_sees_beginning_and_end() {
        let root = tempfile::tempdir().expect("temporary folder");
        let path = root.path().join("f");
        let id = |bytes: &[u8]| {
            fs::write(&path, bytes).expect("file");
            content_id(&FileRef { path: path.clone(), name: "f".into(), bytes: 0, modified_millis: 0 })
                .expect("readable")
        };
        let mut long = vec![b'a'; 200_000];
        let first = id(&long);
        assert_eq!(first, id(&long));
        long[199_999] = b'b';
        assert_ne!(first, id(&long));
        assert_ne!(id(b""), id(b"a"));
    }
}
