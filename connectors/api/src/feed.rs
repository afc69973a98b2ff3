//! Reading a feed of the hub into files, page by page, so that a crash at any moment loses no row.
//!
//! ```text
//! page from P ──► written aside, fsync, rename ──► state: position behind it, pages + 1 ──► position told to the hub
//! ```
//!
//! `CON-6` The state never runs ahead of what is written. A page that was written and not counted is read again from the
//! same position and replaces its own file, because a file is named by the number of the page and a digest of the
//! position that it was read from. It then holds what it held, and at most more. When the state is lost, reading goes on
//! at the position that the hub was told last, under names that no earlier file has.
//!
//! Bodies are written as they come: the hub encodes, this side understands headers only.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::ACCEPT;
use reqwest::{RequestBuilder, Url};
use serde::{Deserialize, Serialize};

use crate::gateway::GatewayError;
use crate::http::{Answer, HttpGateway};
use crate::source::FastDigest;

const VERSION: u32 = 1;

/// Form of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedFormat {
    /// For spreadsheets: UTF-8 with a mark and a header line.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Arrow IPC stream.
    Arrow,
}

impl FeedFormat {
    fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Ndjson => "application/x-ndjson",
            Self::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// Ending of file names.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Arrow => "arrow",
        }
    }
}

/// A feed that may be read.
#[derive(Debug, Clone, Deserialize)]
pub struct FeedInfo {
    /// Name, `receipts` or `items/…`.
    pub feed: String,
    /// Chinese name.
    pub name_zh: String,
    /// English name.
    pub name_en: String,
    /// Position that the hub was told last.
    #[serde(default)]
    pub confirmed_position: Option<String>,
    /// When.
    #[serde(default)]
    pub confirmed_at: Option<String>,
}

/// A feed that does not exist yet.
#[derive(Debug, Clone, Deserialize)]
pub struct NotBuilt {
    /// Its name.
    pub feed: String,
    /// Why, Chinese.
    pub note_zh: String,
    /// Why, English.
    pub note_en: String,
}

/// What the hub says there is.
#[derive(Debug, Clone, Deserialize)]
pub struct FeedList {
    /// What may be read.
    pub feeds: Vec<FeedInfo>,
    /// What nobody can read yet.
    #[serde(default)]
    pub not_built: Vec<NotBuilt>,
}

/// A page to ask for.
#[derive(Debug, Clone)]
pub struct PageRequest<'a> {
    /// Feed.
    pub feed: &'a str,
    /// Purpose that is told to the hub.
    pub purpose: &'a str,
    /// Position, `start` or `now`.
    pub after: &'a str,
    /// Rows at most.
    pub limit: usize,
    /// How long to wait for rows.
    pub wait: Duration,
    /// Form.
    pub format: FeedFormat,
}

/// A page as the hub sent it.
#[derive(Debug, Clone)]
pub struct FeedPage {
    /// The rows in the form asked for.
    pub body: Bytes,
    /// How many.
    pub rows: usize,
    /// Whether to ask again at once.
    pub more: bool,
    /// Where the next page begins.
    pub position: String,
}

impl HttpGateway {
    /// Feeds that may be read for `purpose`.
    pub async fn feeds(&self, purpose: &str) -> Result<FeedList, GatewayError> {
        let url = self.endpoint(&["v1", "feeds"])?;
        let answer = self.ask("feeds", || self.client().get(url.clone()).header("X-Minqiao-Purpose", purpose)).await?;
        serde_json::from_slice(&answer.body).map_err(|_| GatewayError::BadReceipt("not a list of feeds"))
    }

    /// One page.
    pub async fn feed_page(&self, request: &PageRequest<'_>) -> Result<FeedPage, GatewayError> {
        let mut url = self.feed_url(request.feed, &[])?;
        url.query_pairs_mut()
            .append_pair("after", request.after)
            .append_pair("limit", &request.limit.to_string())
            .append_pair("wait", &format!("{}s", request.wait.as_secs()));
        let make = || -> RequestBuilder {
            let get = self.client().get(url.clone()).header("X-Minqiao-Purpose", request.purpose);
            get.header(ACCEPT, request.format.media_type())
        };
        let answer = self.ask(request.feed, make).await?;
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let no_page = || GatewayError::BadReceipt("not a page of a feed");
        Ok(FeedPage {
            rows: header("minqiao-rows").and_then(|rows| rows.parse().ok()).ok_or_else(no_page)?,
            more: header("minqiao-more") == Some("true"),
            position: header("minqiao-position").filter(|text| !text.is_empty()).ok_or_else(no_page)?.to_owned(),
            body: answer.body.into(),
        })
    }

    /// Tells the hub where reading has come to.
    pub async fn confirm_position(&self, feed: &str, purpose: &str, position: &str) -> Result<(), GatewayError> {
        let url = self.feed_url(feed, &["position"])?;
        let body = serde_json::json!({"position": position});
        let put = || self.client().put(url.clone()).header("X-Minqiao-Purpose", purpose).json(&body);
        self.ask(feed, put).await.map(|_: Answer| ())
    }

    fn feed_url(&self, feed: &str, more: &[&str]) -> Result<Url, GatewayError> {
        let path: Vec<&str> = ["v1", "feeds"].into_iter().chain(feed.split('/')).chain(more.iter().copied()).collect();
        self.endpoint(&path)
    }
}

/// Why a page could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum FeedStateError {
    /// Reading or writing failed.
    #[error("cannot access `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no state of this feed and version.
    #[error("`{}` is no state of feed `{feed}` in this version; move it away to go on from the hub's position", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// Which feed.
        feed: String,
    },
    /// Another program reads this feed into the same state.
    #[error("feed `{feed}` is being read by another program")]
    Busy {
        /// Which feed.
        feed: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    feed: String,
    position: String,
    pages: u64,
}

/// How far a feed was read on this machine.
#[derive(Debug)]
pub struct FeedState {
    path: PathBuf,
    stored: Option<Stored>,
    feed: String,
    _lock: File,
}

impl FeedState {
    /// Opens the state of `feed` below `folder` and keeps other programs out until it is dropped.
    pub fn open(folder: &Path, feed: &str) -> Result<Self, FeedStateError> {
        let folder = folder.join("feeds");
        let path = folder.join(format!("{}.json", file_name(feed)));
        let fail = |source| FeedStateError::Io { path: path.clone(), source };
        fs::create_dir_all(&folder).map_err(fail)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.with_extension("lock"));
        let lock = lock.map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FeedStateError::Busy { feed: feed.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(fail(error)),
        }
        let stored = match fs::read(&path) {
            Ok(bytes) => {
                let stored: Option<Stored> = serde_json::from_slice(&bytes).ok();
                let ours = stored.filter(|stored| stored.version == VERSION && stored.feed == feed);
                let foreign = || FeedStateError::Foreign { path: path.clone(), feed: feed.to_owned() };
                Some(ours.ok_or_else(foreign)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        Ok(Self { path, stored, feed: feed.to_owned(), _lock: lock })
    }

    /// Position behind what was written; `None` when nothing was.
    pub fn position(&self) -> Option<&str> {
        self.stored.as_ref().map(|stored| stored.position.as_str())
    }

    /// File name of the page that is read from `after`: the same whenever it is read from there.
    pub fn page_name(&self, after: &str, format: FeedFormat) -> String {
        let pages = self.stored.as_ref().map_or(0, |stored| stored.pages);
        let mut digest = FastDigest::default();
        digest.update(after.as_bytes());
        format!("{}_{pages:08}_{:016x}.{}", file_name(&self.feed), digest.finish(), format.ending())
    }

    /// Writes a page into `folder`; durable when this returns.
    pub fn write_page(&self, folder: &Path, name: &str, body: &[u8]) -> Result<PathBuf, FeedStateError> {
        let path = folder.join(name);
        let written = fs::create_dir_all(folder).and_then(|()| replace(&path, body));
        written.map(|()| path.clone()).map_err(|source| FeedStateError::Io { path, source })
    }

    /// Counts a page that is written and goes on behind it.
    pub fn advance(&mut self, position: &str) -> Result<(), FeedStateError> {
        let pages = self.stored.as_ref().map_or(0, |stored| stored.pages) + 1;
        let next = Stored { version: VERSION, feed: self.feed.clone(), position: position.to_owned(), pages };
        let body = serde_json::to_vec_pretty(&next).map_err(io::Error::from);
        let kept = body.and_then(|body| replace(&self.path, &body));
        kept.map_err(|source| FeedStateError::Io { path: self.path.clone(), source })?;
        self.stored = Some(next);
        Ok(())
    }
}

fn file_name(feed: &str) -> String {
    feed.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

/// The old file or the new one, whatever happens.
fn replace(path: &Path, body: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("part");
    let mut file = File::create(&aside)?;
    file.write_all(body)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_was_written_and_not_counted_replaces_its_own_file() {
        let folder = std::env::temp_dir().join(format!("minqiao-feed-state-{}", std::process::id()));
        let pages = folder.join("pages");
        let mut state = FeedState::open(&folder, "items/bank_deposit").expect("opens");
        assert!(matches!(FeedState::open(&folder, "items/bank_deposit"), Err(FeedStateError::Busy { .. })));
        assert_eq!(state.position(), None);
        let name = state.page_name("start", FeedFormat::Ndjson);
        state.write_page(&pages, &name, b"1\n").expect("written");
        drop(state);
        // Killed here: the same page again, with a row that came meanwhile.
        state = FeedState::open(&folder, "items/bank_deposit").expect("opens");
        assert_eq!(state.page_name("start", FeedFormat::Ndjson), name);
        state.write_page(&pages, &name, b"1\n2\n").expect("written");
        state.advance("p1").expect("kept");
        drop(state);
        let state = FeedState::open(&folder, "items/bank_deposit").expect("opens");
        assert_eq!(state.position(), Some("p1"));
        let next = state.page_name("p1", FeedFormat::Ndjson);
        assert!(next.starts_with("items-bank_deposit_00000001_") && next.ends_with(".ndjson"), "{next}");
        assert_ne!(state.page_name("p2", FeedFormat::Ndjson), next, "a lost state takes no name of before");
        let files: Vec<_> = fs::read_dir(&pages).expect("a folder").collect();
        assert_eq!(files.len(), 1);
        assert_eq!(fs::read(pages.join(name)).expect("read"), b"1\n2\n");
        drop(state);
        fs::write(folder.join("feeds/items-bank_deposit.json"), b"{}").expect("written");
        assert!(matches!(FeedState::open(&folder, "items/bank_deposit"), Err(FeedStateError::Foreign { .. })));
        fs::remove_dir_all(&folder).expect("removed");
    }
}
