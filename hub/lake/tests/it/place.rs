//! Where a test has its lake: in memory, or on an S3-compatible server.
//!
//! `MINQIAO_S3_VERSITYGW` and `MINQIAO_S3_MINIO` name the folders of servers that `tests/servers/s3` started.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minqiao_lake::{Location, S3Credentials, S3Options};
use minqiao_tests::servers::named;
use object_store::ObjectStore;
use object_store::memory::InMemory;

/// An object store for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Memory,
    Versitygw,
    Minio,
}

/// Runs every scenario on every store, as a test of its own.
macro_rules! on_every_store {
    ($($scenario:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                super::$scenario(crate::place::Place::Memory).await;
            })*
        }
        crate::place::on_every_server!($($scenario),*);
    };
}
pub(crate) use on_every_store;

/// Runs every scenario on every real server.
macro_rules! on_every_server {
    ($($scenario:ident),* $(,)?) => {
        mod versitygw {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                let Some(place) = crate::place::Place::Versitygw.when_it_runs() else { return };
                super::$scenario(place).await;
            })*
        }
        mod minio {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scenario() {
                let Some(place) = crate::place::Place::Minio.when_it_runs() else { return };
                super::$scenario(place).await;
            })*
        }
    };
}
pub(crate) use on_every_server;

impl Place {
    /// Its name for `tests/servers/s3`.
    pub(crate) fn engine(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Versitygw => "versitygw",
            Self::Minio => "minio",
        }
    }

    fn folder(self) -> Option<PathBuf> {
        let server = self != Self::Memory;
        server.then(|| named(&format!("MINQIAO_S3_{}", self.engine().to_uppercase()), "s3"))?.map(PathBuf::from)
    }

    /// The place, if its server runs.
    pub(crate) fn when_it_runs(self) -> Option<Self> {
        self.folder().map(|_| self)
    }

    /// A store and an address in it that nobody else has.
    pub(crate) async fn store(self) -> (Arc<dyn ObjectStore>, String) {
        let Some(folder) = self.folder() else { return (Arc::new(InMemory::new()), "memory:///lake/".to_owned()) };
        let options = options_of(&folder);
        let location = Location::s3(&options).await.unwrap();
        (Arc::clone(location.store()), options.url())
    }
}

/// How to get at a new place of the server in a folder.
pub(crate) fn options_of(folder: &Path) -> S3Options {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let credentials = read("credentials");
    let key = |name: &str| {
        let line = credentials.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let credentials = S3Credentials {
        access_key_id: key("access_key_id"),
        secret_access_key: key("secret_access_key"),
        session_token: None,
    };
    let url = format!("s3://{}/test-{}/lake", read("bucket"), uuid::Uuid::new_v4());
    S3Options { endpoint: Some(read("endpoint")), ..S3Options::at(&url, credentials).unwrap() }
}
