//! All of it together: a department's files, item by item, to the hub, with receipts led back to physical rows.
//!
//! ```text
//!  reader thread            rayon pool                 run's task (one per item)
//!  next_piece ──► slot ──► rows → map ──► oneshot ──► submit + reject ──► receipt ──► journal ──► checkpoint
//!            └─ bounded queue keeps the order of slots ─┘
//! ```
//!
//! Several items are under way at once, the files and batches of one item strictly in order (`CON-3`). A file that is refused
//! does not stop its item; a hub that refuses or stays away stops the item, and the others go on. Cancelling stops after
//! what is under way; the next run continues where this one was.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use minqiao_core::{Clock, ProviderCode};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::departments::Department;
use crate::gateway::{Gateway, GatewayError};
use crate::mapping::Mapping;
use crate::progress::{Progress, ProgressEvent};
use crate::report::{Counts, FileReport, ItemReport, RunReport};
use crate::source::{FileRef, Limits, SourceError, Sources};

mod file;

/// Knobs of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// Items under way at once.
    pub items_at_once: usize,
    /// Pieces of one file that are read ahead of the hub's answers.
    pub pieces_ahead: usize,
    /// Bounds of reading.
    pub limits: Limits,
    /// Least time between checkpoints of one file.
    pub checkpoint_every: Duration,
    /// Items to run; empty = all of the department.
    pub items: Vec<String>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            items_at_once: 2,
            pieces_ahead: 6,
            limits: Limits::default(),
            checkpoint_every: Duration::from_secs(1),
            items: Vec::new(),
        }
    }
}

/// One run of one department's connector. All handles are shared; nothing global is touched.
#[derive(Debug, Clone)]
pub struct ConnectorRun {
    /// Whose files, and how they map.
    pub department: Arc<Department>,
    /// As the hub knows us; part of every batch id.
    pub provider: ProviderCode,
    /// Where the files are.
    pub exports_dir: PathBuf,
    /// Folder of the checkpoint and the journals.
    pub checkpoint: PathBuf,
    /// Opens files.
    pub sources: Arc<dyn Sources>,
    /// Takes batches.
    pub gateway: Arc<dyn Gateway>,
    /// Is told what happens.
    pub progress: Arc<dyn Progress>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Stops the run.
    pub cancel: CancellationToken,
    /// Knobs.
    pub options: RunOptions,
}

/// Why a run could not begin, or not keep its promises. What befalls single files and items is in the report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The checkpoint is not usable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The directory cannot be searched.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Asked for an item that the department does not deliver.
    #[error("the department delivers no item `{0}`")]
    UnknownItem(String),
}

/// Why an item stops.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("cannot write the journal of outcomes")]
    Journal(#[source] std::io::Error),
    #[error("a worker stopped: {0}")]
    Worker(&'static str),
    #[error("stopped by request")]
    Cancelled,
}

impl ConnectorRun {
    /// Runs to the end of all files, or until cancelled.
    pub async fn run(&self) -> Result<RunReport, RunError> {
        let begun = self.clock.monotonic();
        let mappings = self.mappings()?;
        let checkpoint = Checkpoint::open(&self.checkpoint, self.provider.as_str())?;
        let checkpoint = Arc::new(Mutex::new(checkpoint));
        let mut work = Vec::new();
        for mapping in mappings {
            let files = self.sources.discover(&self.exports_dir, &mapping.source)?;
            work.push((mapping, files));
        }
        // An item per file counts its bytes: two items of one workbook read it twice.
        let named: BTreeSet<&str> = work.iter().flat_map(|(_, files)| files.iter().map(|f| f.name.as_str())).collect();
        self.progress.event(&ProgressEvent::Started {
            department: &self.department.code,
            name_zh: &self.department.name_zh,
            files: named.len(),
            bytes: work.iter().flat_map(|(_, files)| files.iter().map(|f| f.bytes)).sum(),
        });
        let items = futures::stream::iter(work)
            .map(|(mapping, files)| {
                let checkpoint = Arc::clone(&checkpoint);
                Box::pin(async move { self.item(checkpoint, mapping, files).await })
            })
            .buffered(self.options.items_at_once.max(1));
        let items: Vec<ItemReport> = items.collect().await;
        let mut counts = Counts::default();
        items.iter().for_each(|item| counts.add(&item.counts));
        let elapsed = self.clock.monotonic().saturating_sub(begun);
        self.progress.event(&ProgressEvent::Finished { department: &self.department.code, rows: &counts, elapsed });
        Ok(RunReport {
            department: self.department.code.clone(),
            name_zh: self.department.name_zh.clone(),
            provider: self.provider.to_string(),
            counts,
            items,
            interrupted: self.cancel.is_cancelled(),
            elapsed,
        })
    }

    fn mappings(&self) -> Result<Vec<Arc<Mapping>>, RunError> {
        let known = |code: &String| self.department.mappings.iter().any(|m| m.item.code == *code);
        if let Some(unknown) = self.options.items.iter().find(|code| !known(code)) {
            return Err(RunError::UnknownItem(unknown.clone()));
        }
        let wanted = |m: &&Mapping| self.options.items.is_empty() || self.options.items.contains(&m.item.code);
        Ok(self.department.mappings.iter().filter(wanted).cloned().map(Arc::new).collect())
    }

    async fn item(&self, checkpoint: Arc<Mutex<Checkpoint>>, mapping: Arc<Mapping>, files: Vec<FileRef>) -> ItemReport {
        let item = mapping.item.code.clone();
        let mut report = ItemReport { item: item.clone(), counts: Counts::default(), files: Vec::new(), failed: None };
        if files.is_empty() {
            tracing::warn!(item = item.as_str(), pattern = mapping.source.files.as_str(), "no files");
        }
        for file in files {
            if self.cancel.is_cancelled() {
                break;
            }
            let (done, stop) = file::deliver(self, &checkpoint, &mapping, file).await;
            report.counts.add(&done.counts);
            self.tell(&item, &done);
            report.files.push(done);
            match stop {
                None => {}
                Some(Stop::Cancelled) => break,
                Some(stop) => {
                    let message = chain(&stop);
                    self.progress.event(&ProgressEvent::ItemFailed {
                        department: &self.department.code,
                        item: &item,
                        message: &message,
                    });
                    report.failed = Some(message);
                    break;
                }
            }
        }
        report
    }

    fn tell(&self, item: &str, file: &FileReport) {
        if let Some(refused) = &file.refused {
            self.progress.event(&ProgressEvent::FileRefused {
                department: &self.department.code,
                item,
                file: &file.file,
                code: &refused.code,
                message_zh: &refused.message_zh,
                message_en: &refused.message_en,
            });
        }
    }
}

/// An error with its causes, for people.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
