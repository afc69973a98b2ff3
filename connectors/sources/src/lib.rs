//! Sources that connectors read: delimited text files and Office Open XML workbooks.
//!
//! In reading order: [`files`] (finding them in a directory), [`csv`] and [`xlsx`] (one module each). [`FileSources`] opens
//! whichever a mapping asks for.
//!
//! What all promise: no input makes them panic or hold more than their [`Limits`] allow, rows keep their physical numbers,
//! and a damaged row costs that row only. A file as a whole is refused with a bilingual reason when it cannot be
//! what the mapping says.

pub mod csv;
pub mod files;
pub mod xlsx;

use std::path::Path;

use minqiao_connector_api::mapping::{SourceKind, SourceSpec};
use minqiao_connector_api::source::{FileRef, Limits, Position, Source, SourceError, Sources};

/// Files below a directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSources;

impl Sources for FileSources {
    fn discover(&self, directory: &Path, spec: &SourceSpec) -> Result<Vec<FileRef>, SourceError> {
        files::discover(directory, &spec.files)
    }

    fn open(
        &self,
        file: &FileRef,
        spec: &SourceSpec,
        limits: &Limits,
        from: Option<Position>,
    ) -> Result<Box<dyn Source>, SourceError> {
        match spec.kind {
            SourceKind::Csv => Ok(Box::new(csv::CsvSource::open(file, spec, limits, from)?)),
            SourceKind::Xlsx => Ok(Box::new(xlsx::XlsxSource::open(file, spec, limits, from)?)),
        }
    }

    fn content_id(&self, file: &FileRef) -> Result<String, SourceError> {
        files::content_id(file)
    }
}

/// An I/O error of a file.
fn io_error(file: &FileRef) -> impl Fn(std::io::Error) -> SourceError + use<> {
    let name = file.name.clone();
    move |source| SourceError::Io { file: name.clone(), source }
}
