//! Data files: how they are encoded, written, opened.
//!
//! Parquet, sorted by order key, row groups of 64 Ki rows, pages of 4 Ki rows with a page index, so that a few rows
//! are read without the rest of the file. Ciphertext is random: its columns are stored plain, without dictionary,
//! statistics or compression. Tokens and `_key` are random too but searched: plain with statistics. All other columns
//! are dictionary-encoded while that pays, and compressed with zstd level 1.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use object_store::buffered::BufWriter;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{ChunkReader, Length};
use parquet::schema::types::ColumnPath;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::LakeError;
use crate::blocks::Blocks;
use crate::error::read_failed;
use crate::table::{DataFile, Table, sync_files};

/// Rows of a row group.
const GROUP_ROWS: usize = 64 * 1024;
/// Rows of a page.
pub(crate) const PAGE_ROWS: usize = 4096;
/// Part size of an upload, and the most that a written file holds in memory beside its open row group.
const UPLOAD_BYTES: usize = 8 << 20;

/// How an item's files are encoded.
pub(crate) fn properties(schema: &SchemaRef) -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap_or_default());
    let mut builder = WriterProperties::builder()
        .set_created_by("minqiao".to_owned())
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_dictionary_page_size_limit(128 << 10)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(32))
        .set_column_index_truncate_length(Some(32));
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        match field.data_type() {
            DataType::Binary => {
                builder = builder
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_statistics_enabled(column.clone(), EnabledStatistics::None)
                    .set_column_compression(column, Compression::UNCOMPRESSED);
            }
            DataType::FixedSizeBinary(_) => {
                builder = builder
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_compression(column, Compression::UNCOMPRESSED);
            }
            _ if field.name() == crate::layout::CONTENT_HASH => {
                builder = builder
                    .set_column_dictionary_enabled(column.clone(), false)
                    .set_column_statistics_enabled(column, EnabledStatistics::None);
            }
            _ => {}
        }
    }
    builder.build()
}

/// Encodes batches into a file and sends its bytes off as row groups fill. Blocking; run it on a blocking thread.
pub(crate) struct FileEncoder {
    writer: ArrowWriter<Vec<u8>>,
    out: mpsc::Sender<Bytes>,
    sent: u64,
}

impl FileEncoder {
    pub(crate) fn new(schema: &SchemaRef, out: mpsc::Sender<Bytes>) -> Result<Self, LakeError> {
        let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties(schema)))?;
        Ok(Self { writer, out, sent: 0 })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        self.writer.write(batch)?;
        if self.writer.inner().len() >= UPLOAD_BYTES {
            let bytes = std::mem::take(self.writer.inner_mut());
            self.send(bytes)?;
        }
        Ok(())
    }

    /// Answers the file's size.
    pub(crate) fn finish(mut self) -> Result<u64, LakeError> {
        self.writer.finish()?;
        let bytes = std::mem::take(self.writer.inner_mut());
        self.send(bytes)?;
        Ok(self.sent)
    }

    fn send(&mut self, bytes: Vec<u8>) -> Result<(), LakeError> {
        self.sent += bytes.len() as u64;
        self.out.blocking_send(Bytes::from(bytes)).map_err(|_| LakeError::Task)
    }
}

impl std::fmt::Debug for FileEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileEncoder").field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// Stores what an encoder sends under `path` of the table; the file is there, durable, when this returns.
pub(crate) async fn upload(
    store: Arc<dyn ObjectStore>,
    path: String,
    mut parts: mpsc::Receiver<Bytes>,
    durable: Option<(PathBuf, String)>,
) -> Result<(), LakeError> {
    let mut writer = BufWriter::with_capacity(store, StorePath::from(path.as_str()), UPLOAD_BYTES);
    while let Some(part) = parts.recv().await {
        if let Err(error) = writer.put(part).await {
            // A store that is away keeps the parts until its own rules remove them.
            let _tried = writer.abort().await;
            return Err(error.into());
        }
    }
    let stored = writer.shutdown().await;
    stored.map_err(|e| object_store::Error::Generic { store: "upload", source: e.into() })?;
    match durable {
        // The file, the partition's directory that names it, the table's directory that names that one.
        Some((table, path)) => {
            let file = table.join(path);
            let partition = file.parent().map_or_else(|| table.clone(), std::path::Path::to_owned);
            sync_files(vec![file, partition, table]).await
        }
        None => Ok(()),
    }
}

/// A file opened for blocking reads of ranges. Thread-safe: no shared position.
#[derive(Debug, Clone)]
pub(crate) enum FileReader {
    /// Of this machine.
    Local { file: Arc<File>, bytes: u64 },
    /// Anywhere else; must not be used on a thread of the runtime's core.
    Remote {
        store: Arc<dyn ObjectStore>,
        path: StorePath,
        bytes: u64,
        runtime: Handle,
        name: String,
        blocks: Arc<Blocks>,
    },
}

impl FileReader {
    fn read_range(&self, range: Range<u64>) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local { file, .. } => {
                let length = usize::try_from(range.end - range.start).map_err(|e| ParquetError::External(e.into()))?;
                let mut bytes = vec![0; length];
                read_exact_at(file, &mut bytes, range.start)?;
                Ok(Bytes::from(bytes))
            }
            Self::Remote { store, path, bytes, runtime, name, blocks } => {
                let fetch = |range| runtime.block_on(store.get_range(path, range));
                let wanted = range.end - range.start;
                let read = blocks.read(name, *bytes, range, fetch).map_err(read_failed)?;
                if read.len() as u64 == wanted {
                    Ok(read)
                } else {
                    Err(ParquetError::EOF("the object is shorter than the log says".to_owned()))
                }
            }
        }
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    use std::io::Seek;
    let mut file = file.try_clone()?;
    file.seek(std::io::SeekFrom::Start(at))?;
    file.read_exact(bytes)
}

impl Length for FileReader {
    fn len(&self) -> u64 {
        match self {
            Self::Local { bytes, .. } | Self::Remote { bytes, .. } => *bytes,
        }
    }
}

impl ChunkReader for FileReader {
    type T = RangeRead;

    fn get_read(&self, start: u64) -> parquet::errors::Result<RangeRead> {
        Ok(RangeRead { reader: self.clone(), at: start, buffer: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.read_range(start..start + length as u64)
    }
}

/// Sequential reading in steps of 64 KiB.
#[derive(Debug)]
pub(crate) struct RangeRead {
    reader: FileReader,
    at: u64,
    buffer: Bytes,
}

impl Read for RangeRead {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.buffer.is_empty() {
            let end = self.reader.len().min(self.at + (64 << 10));
            if self.at >= end {
                return Ok(0);
            }
            self.buffer = self.reader.read_range(self.at..end).map_err(std::io::Error::other)?;
            self.at = end;
        }
        let length = out.len().min(self.buffer.len());
        out[..length].copy_from_slice(&self.buffer.split_to(length));
        Ok(length)
    }
}

/// Opens files and keeps their footers, the oldest dropped first.
#[derive(Debug)]
pub(crate) struct FileOpener {
    bytes_max: usize,
    footers: Mutex<Footers>,
    blocks: Arc<Blocks>,
}

#[derive(Debug, Default)]
struct Footers {
    by_path: std::collections::HashMap<String, ArrowReaderMetadata>,
    order: VecDeque<(String, usize)>,
    bytes: usize,
}

impl FileOpener {
    /// Room for footers, and for blocks of files on an object store.
    pub(crate) fn new(bytes_max: usize, block_bytes_max: usize) -> Self {
        Self { bytes_max, footers: Mutex::default(), blocks: Arc::new(Blocks::new(block_bytes_max)) }
    }

    /// A reader of the file; blocking for local files (one `open`).
    pub(crate) fn open(&self, place: &FilePlace) -> Result<FileReader, LakeError> {
        Ok(match &place.local {
            Some(path) => FileReader::Local {
                file: Arc::new(File::open(path).map_err(|e| LakeError::Parquet(ParquetError::External(e.into())))?),
                bytes: place.file.bytes,
            },
            None => FileReader::Remote {
                store: Arc::clone(&place.store),
                path: StorePath::from(place.file.path.as_str()),
                bytes: place.file.bytes,
                runtime: place.runtime.clone(),
                name: place.location.to_string(),
                blocks: Arc::clone(&self.blocks),
            },
        })
    }

    /// The file's footer with its page index.
    pub(crate) fn footer(&self, place: &FilePlace, reader: &FileReader) -> Result<ArrowReaderMetadata, LakeError> {
        let name = place.location.to_string();
        if let Some(footer) = self.footers.lock().by_path.get(&name) {
            return Ok(footer.clone());
        }
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let footer = ArrowReaderMetadata::load(reader, options)?;
        let bytes = footer.metadata().memory_size();
        let mut footers = self.footers.lock();
        if footers.by_path.insert(name.clone(), footer.clone()).is_none() {
            footers.order.push_back((name, bytes));
            footers.bytes += bytes;
        }
        while footers.bytes > self.bytes_max && footers.order.len() > 1 {
            if let Some((oldest, bytes)) = footers.order.pop_front() {
                footers.by_path.remove(&oldest);
                footers.bytes -= bytes;
            }
        }
        Ok(footer)
    }
}

/// A live file and how to get at it. Holding one keeps the file from being deleted.
#[derive(Debug, Clone)]
pub(crate) struct FilePlace {
    /// In the lake's store.
    pub(crate) location: StorePath,
    pub(crate) file: Arc<DataFile>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) local: Option<PathBuf>,
    pub(crate) runtime: Handle,
}

impl FilePlace {
    /// `directory` is the table's, when it is local.
    pub(crate) fn new(table: &Table, directory: Option<&PathBuf>, file: Arc<DataFile>, runtime: Handle) -> Self {
        Self {
            location: StorePath::from(format!("{}/{}", table.prefix(), file.path)),
            local: directory.map(|directory| directory.join(&file.path)),
            store: Arc::clone(table.store()),
            file,
            runtime,
        }
    }
}
