//! The seam between the framework and where rows come from.
//!
//! Reading is split in two because one half must be sequential and the other need not be: [`Source::next_piece`] cuts the next
//! piece off the file (cheap: it only finds record boundaries), [`Piece::rows`] decodes and splits it (the larger
//! part) on any worker. A source keeps its [`Position`] in every piece, so that a checkpoint can name it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::mapping::SourceSpec;
use crate::rows::Rows;

/// A file found in a department's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// Where it is.
    pub path: PathBuf,
    /// Path below the department's directory, `/` between folders; what reports call it.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// Modification time, milliseconds since the epoch.
    pub modified_millis: i64,
}

/// How far a source has been read. Opaque to all but the source that made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Bytes (text files); unused by sheets.
    pub offset: u64,
    /// Last physical row read.
    pub row: u32,
    /// Pieces read.
    pub sequence: u64,
}

/// What stands above the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// Name of the sheet; empty for text files.
    pub sheet: String,
    /// Text of the skipped title rows.
    pub titles: Vec<String>,
    /// Cells of the header rows, top to bottom.
    pub header: Vec<Vec<String>>,
}

/// Bounds of what is read at once (D12).
#[derive(Debug, Clone)]
pub struct Limits {
    /// Rows of a piece, and so of a batch.
    pub piece_rows: usize,
    /// Bytes of a piece of text; a piece ends at whichever comes first.
    pub piece_bytes: usize,
    /// Bytes of one cell.
    pub field_bytes: usize,
    /// Bytes of one text record.
    pub record_bytes: usize,
    /// Columns of a file.
    pub columns: usize,
    /// Bytes of all parts of a workbook, unpacked.
    pub workbook_bytes: u64,
    /// Bytes of a workbook's shared strings, unpacked (they are held in memory).
    pub shared_strings_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            piece_rows: 16384,
            piece_bytes: 8 << 20,
            field_bytes: 64 << 10,
            record_bytes: 1 << 20,
            columns: 1024,
            workbook_bytes: 2 << 30,
            shared_strings_bytes: 256 << 20,
        }
    }
}

/// Why a file as a whole is refused, for department staff. Other files go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Code of the closed list of reasons (`schema_drift`, `encoding`, `oversize`, …).
    pub code: String,
    /// What is wrong and what to do.
    pub message_zh: String,
    /// The same in English.
    pub message_en: String,
}

impl Refusal {
    /// Puts the parts together.
    pub fn new(code: &str, message_zh: impl Into<String>, message_en: impl Into<String>) -> Self {
        Self { code: code.into(), message_zh: message_zh.into(), message_en: message_en.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.message_zh, self.message_en)
    }
}

/// What can go wrong while reading.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read at the moment.
    #[error("cannot read `{file}`")]
    Io {
        /// Name in reports.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file can be read and is not what the mapping describes.
    #[error("`{file}` is refused: {refusal}")]
    Refused {
        /// Name in reports.
        file: String,
        /// Why, and what to do.
        refusal: Refusal,
    },
}

/// Unparsed rows.
pub trait Piece: Send {
    /// Where reading goes on after this piece.
    fn end(&self) -> Position;
    /// Bytes of the source that the piece takes, for progress.
    fn source_bytes(&self) -> u64;
    /// Digest of the unparsed content; equal content, equal digest. Part of the idempotency key, no security property.
    fn digest(&self) -> u64;
    /// Cuts the piece into cells.
    fn rows(self: Box<Self>) -> Rows;
}

/// An opened source of rows.
pub trait Source: Send {
    /// What stands above the data.
    fn head(&self) -> &Head;
    /// Tells how many columns the header has; rows of another width are faults.
    fn set_width(&mut self, width: usize);
    /// The next rows in file order; `None` at the end. Blocks.
    fn next_piece(&mut self) -> Result<Option<Box<dyn Piece>>, SourceError>;
}

/// Finds and opens sources.
pub trait Sources: Send + Sync + fmt::Debug {
    /// Files below `directory` that match the mapping, by name.
    fn discover(&self, directory: &Path, spec: &SourceSpec) -> Result<Vec<FileRef>, SourceError>;
    /// Opens one of them and reads its head. `from` continues an earlier read of the same content.
    fn open(
        &self,
        file: &FileRef,
        spec: &SourceSpec,
        limits: &Limits,
        from: Option<Position>,
    ) -> Result<Box<dyn Source>, SourceError>;
    /// Digest of what identifies the content of a file (size, beginning, end), hex.
    fn content_id(&self, file: &FileRef) -> Result<String, SourceError>;
}

impl<T: Sources + ?Sized> Sources for Arc<T> {
    fn discover(&self, directory: &Path, spec: &SourceSpec) -> Result<Vec<FileRef>, SourceError> {
        (**self).discover(directory, spec)
    }

    fn open(
        &self,
        file: &FileRef,
        spec: &SourceSpec,
        limits: &Limits,
        from: Option<Position>,
    ) -> Result<Box<dyn Source>, SourceError> {
        (**self).open(file, spec, limits, from)
    }

    fn content_id(&self, file: &FileRef) -> Result<String, SourceError> {
        (**self).content_id(file)
    }
}

/// A fast digest of bytes: two multiply-rotate lanes over 8-byte words. Not keyed, not for hostile input.
#[derive(Debug, Clone)]
pub struct FastDigest {
    state: u64,
}

impl Default for FastDigest {
    fn default() -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15 }
    }
}

impl FastDigest {
    /// Adds bytes. The split into calls matters.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut state = self.state ^ bytes.len() as u64;
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state = (state.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(0x2545_f491_4f6c_dd1d);
            state ^= state >> 29;
        }
        for &byte in rest {
            state = (state.rotate_left(9) ^ u64::from(byte)).wrapping_mul(0x2545_f491_4f6c_dd1d);
        }
        self.state = state;
    }

    /// The digest.
    pub fn finish(&self) -> u64 {
        let mut out = self.state;
        out ^= out >> 32;
        out = out.wrapping_mul(0xd6e8_feb8_6659_fd93);
        out ^ (out >> 32)
    }
}
