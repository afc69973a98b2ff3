//! Where the lake lies and how much it may use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::local::LocalFileSystem;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use crate::LakeError;

/// The object store that holds the tables, and the address of the lake in it.
#[derive(Debug, Clone)]
pub struct Location {
    /// Directory URL with a slash at its end, e.g. `file:///var/lib/minqiao/lake/`.
    pub(crate) url: String,
    /// Rooted at the URL's scheme and authority.
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The same place as a directory, when it is one: its files are read without the detour.
    pub(crate) directory: Option<PathBuf>,
}

impl Location {
    /// A directory of this machine; made when it is missing.
    pub fn local(directory: &Path) -> Result<Self, LakeError> {
        std::fs::create_dir_all(directory).map_err(|e| LakeError::Location(e.into()))?;
        let directory = directory.canonicalize().map_err(|e| LakeError::Location(e.into()))?;
        let text = directory.to_str().ok_or_else(|| LakeError::Location("the path is not UTF-8".into()))?;
        let url = deltalake_core::ensure_table_uri(text).map_err(|e| LakeError::Location(Box::new(e)))?;
        let store = Arc::new(LocalFileSystem::new());
        Ok(Self { url: with_slash(url.as_str()), store, directory: Some(directory) })
    }

    /// Names this lake among all lakes: drawn by whoever asks first, kept beside the tables.
    pub async fn identity(&self) -> Result<String, LakeError> {
        let prefix = self.prefix().ok_or_else(|| LakeError::Location("its address is not a URL".into()))?;
        let path = prefix.join("_minqiao_lake");
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let drawn = PutPayload::from(uuid::Uuid::new_v4().to_string());
        match self.store.put_opts(&path, drawn, options).await {
            Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let stored = self.store.get(&path).await?.bytes().await?;
        let identity = std::str::from_utf8(&stored).ok().filter(|text| uuid::Uuid::try_parse(text).is_ok());
        let identity = identity.ok_or_else(|| LakeError::Location("`_minqiao_lake` is damaged".into()))?;
        Ok(identity.to_owned())
    }

    /// Any object store that is rooted at the scheme and authority of `url` (`s3://bucket/lake/`, `memory:///lake/`).
    /// It must honour put-if-absent, on which commits rest.
    pub fn on(store: Arc<dyn ObjectStore>, url: &str) -> Self {
        Self { url: with_slash(url), store, directory: None }
    }

    /// The store, rooted at the scheme and authority of the lake's address.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The lake's path in its store.
    pub fn prefix(&self) -> Option<StorePath> {
        StorePath::from_url_path(url::Url::parse(&self.url).ok()?.path()).ok()
    }
}

fn with_slash(url: &str) -> String {
    if url.ends_with('/') { url.to_owned() } else { format!("{url}/") }
}

/// Limits and pace. The defaults suit two cores.
#[derive(Debug, Clone)]
pub struct LakeOptions {
    /// The writer closes a micro-batch at this many rows …
    pub batch_rows: usize,
    /// … or this many bytes of messages …
    pub batch_bytes: usize,
    /// … or this long after the one before. Rows that come after a pause wait a moment only.
    pub batch_delay: Duration,
    /// Bytes of messages that may wait in all micro-batches together.
    pub buffered_bytes_max: usize,
    /// Files that may be encoded at the same time.
    pub encoders: usize,
    /// Make files durable before a commit names them, and commits before they count (local directories only; object
    /// stores are durable on answer).
    pub sync: bool,
    /// How often the compactor looks for work.
    pub maintain_every: Duration,
    /// An item is folded when nothing arrived for this long, so that reads become plain scans. Not while rows stream in:
    /// the same rows would be rewritten again and again.
    pub fold_idle: Duration,
    /// An item that is never quiet is folded when rows have waited this long; beyond a million rows in proportion.
    pub fold_age: Duration,
    /// An unfolded tail of more files than this is put together in fewer: it bounds what a read merges.
    pub tail_files_max: usize,
    /// A bucket of `current` with more rows is split in two.
    pub bucket_rows_max: u64,
    /// Files of `changes` below this size are put together when there are enough of them.
    pub small_file_bytes: u64,
    /// How many small files of a day make a compaction worthwhile.
    pub small_files_min: usize,
    /// How long files stay after the tables stopped naming them. Longer than the longest query of another process;
    /// queries of this process hold their files anyway.
    pub retention: Duration,
    /// How long files that no commit names are left alone where several processes share the lake: another one may still be
    /// about to commit them. Alone it is `retention`.
    pub orphan_age: Duration,
    /// How long commits stay readable behind a checkpoint.
    pub log_retention: Duration,
    /// Memory for file footers, bytes.
    pub footer_cache_bytes: usize,
    /// Memory for blocks of files on an object store, bytes; a directory's are the system's to keep.
    pub block_cache_bytes: usize,
    /// Memory for the point index's blocks, bytes.
    pub index_cache_bytes: u64,
}

impl Default for LakeOptions {
    fn default() -> Self {
        Self {
            batch_rows: 196_608,
            batch_bytes: 48 << 20,
            batch_delay: Duration::from_millis(500),
            buffered_bytes_max: 128 << 20,
            encoders: 2,
            sync: true,
            maintain_every: Duration::from_millis(500),
            fold_idle: Duration::from_secs(2),
            fold_age: Duration::from_secs(300),
            tail_files_max: 96,
            bucket_rows_max: 1 << 19,
            small_file_bytes: 32 << 20,
            small_files_min: 8,
            retention: Duration::from_secs(600),
            orphan_age: Duration::from_secs(86_400),
            log_retention: Duration::from_secs(30 * 86_400),
            footer_cache_bytes: 48 << 20,
            block_cache_bytes: 64 << 20,
            index_cache_bytes: 16 << 20,
        }
    }
}
