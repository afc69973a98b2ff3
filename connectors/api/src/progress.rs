//! What a run tells while it goes on: one callback, three audiences.
//!
//! [`Bars`] draws for a person at a terminal (and into the demo's own `MultiProgress`), [`JsonLines`] writes one object a
//! line for everything else, [`Silent`] nothing. Events hold counts and names of files, never values (`CON-5`).

use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::report::Counts;

/// Something happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProgressEvent<'a> {
    /// Files were found.
    Started {
        /// Department code.
        department: &'a str,
        /// Its Chinese name.
        name_zh: &'a str,
        /// Files of all items.
        files: usize,
        /// Their size.
        bytes: u64,
    },
    /// Rows were answered by the hub.
    Advanced {
        /// Department code.
        department: &'a str,
        /// Item code.
        item: &'a str,
        /// File.
        file: &'a str,
        /// Bytes of the source since the last event of this file.
        bytes: u64,
        /// Rows since the last event of this file.
        rows: Counts,
    },
    /// A file is done.
    FileDone {
        /// Department code.
        department: &'a str,
        /// Item code.
        item: &'a str,
        /// File.
        file: &'a str,
        /// All its rows.
        rows: &'a Counts,
        /// Bytes that were not read because an earlier run had read them.
        skipped_bytes: u64,
    },
    /// A file was refused as a whole.
    FileRefused {
        /// Department code.
        department: &'a str,
        /// Item code.
        item: &'a str,
        /// File.
        file: &'a str,
        /// Reason code.
        code: &'a str,
        /// What is wrong and what to do.
        message_zh: &'a str,
        /// The same in English.
        message_en: &'a str,
    },
    /// An item stopped: its later files were not sent.
    ItemFailed {
        /// Department code.
        department: &'a str,
        /// Item code.
        item: &'a str,
        /// Why.
        message: &'a str,
    },
    /// The run is over.
    Finished {
        /// Department code.
        department: &'a str,
        /// All rows of all items.
        rows: &'a Counts,
        /// How long it took.
        #[serde(serialize_with = "seconds")]
        elapsed: Duration,
    },
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((elapsed.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Is told what happens. Called from the run's task: must return quickly.
pub trait Progress: Send + Sync + fmt::Debug {
    /// Takes an event.
    fn event(&self, event: &ProgressEvent<'_>);
}

impl<T: Progress + ?Sized> Progress for Arc<T> {
    fn event(&self, event: &ProgressEvent<'_>) {
        (**self).event(event);
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &ProgressEvent<'_>) {}
}

/// One JSON object a line.
#[derive(Debug)]
pub struct JsonLines<W> {
    to: Mutex<W>,
}

impl<W: Write + Send> JsonLines<W> {
    /// Writes to `to`. A line that cannot be written is lost: progress is no reason to stop a delivery.
    pub fn new(to: W) -> Self {
        Self { to: Mutex::new(to) }
    }
}

impl<W: Write + Send + fmt::Debug> Progress for JsonLines<W> {
    fn event(&self, event: &ProgressEvent<'_>) {
        let Ok(mut line) = serde_json::to_vec(event) else { return };
        line.push(b'\n');
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = to.write_all(&line).and_then(|()| to.flush()) {
            tracing::debug!(%error, "progress line lost");
        }
    }
}

/// One bar per department.
#[derive(Debug)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, (ProgressBar, Counts)>>,
}

impl Bars {
    /// Draws into `all`, which may hold other bars.
    pub fn new(all: MultiProgress) -> Self {
        Self { all, bars: Mutex::default() }
    }

    fn with(&self, department: &str, act: impl FnOnce(&ProgressBar, &mut Counts)) {
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, counts)) = bars.get_mut(department) {
            act(bar, counts);
        }
    }
}

impl Progress for Bars {
    fn event(&self, event: &ProgressEvent<'_>) {
        match event {
            ProgressEvent::Started { department, name_zh, files, bytes } => {
                let bar = self.all.add(ProgressBar::new(*bytes));
                let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3}% {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(padded(name_zh, 24));
                bar.set_message(format!("{files} files"));
                let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
                bars.insert((*department).to_owned(), (bar, Counts::default()));
            }
            ProgressEvent::Advanced { department, bytes, rows, .. } => self.with(department, |bar, counts| {
                counts.add(rows);
                bar.inc(*bytes);
                bar.set_message(counts.line());
            }),
            ProgressEvent::FileDone { department, skipped_bytes, .. } => {
                self.with(department, |bar, _| bar.inc(*skipped_bytes));
            }
            ProgressEvent::FileRefused { file, message_zh, message_en, .. } => {
                self.note(&format!("✗ {file}\n  {message_zh}\n  {message_en}"));
            }
            ProgressEvent::ItemFailed { item, message, .. } => self.note(&format!("✗ {item}: {message}")),
            ProgressEvent::Finished { department, rows, .. } => self.with(department, |bar, _| {
                bar.set_position(bar.length().unwrap_or(0));
                bar.finish_with_message(rows.line());
            }),
        }
    }
}

impl Bars {
    fn note(&self, text: &str) {
        if let Err(error) = self.all.println(text) {
            tracing::debug!(%error, "progress note lost");
        }
    }
}

/// Pads to a display width; Chinese characters take two columns.
fn padded(text: &str, width: usize) -> String {
    let shown: usize = text.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum();
    format!("{text}{}", " ".repeat(width.saturating_sub(shown)))
}
