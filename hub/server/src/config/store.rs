//! Where the operational store is.
//!
//! ```toml
//! [store]
//! engine = "postgres"
//! url_file = "/etc/minqiao/store-url"      # one line: postgres://USER:PASSWORD@HOST:PORT/DATABASE
//! ```
//!
//! The URL holds a password, so the configuration names a file that holds it. `MINQIAO__STORE__URL` in the environment
//! goes before the file; the key `url` in the configuration file is refused. Neither is ever printed.

use std::fmt;
use std::path::PathBuf;

use minqiao_store::{PostgresOptions, PostgresTls, StoreOptions};
use serde::{Deserialize, Serialize};

use super::bounds::{Mistakes, minutes, ms};
use super::{Config, ConfigError};
use crate::units::Span;

/// The operational store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// `sqlite`: a file below the data folder, for one hub. `postgres`: a server that several hubs share.
    pub engine: StoreEngine,
    /// File that holds the URL of the PostgreSQL database.
    pub url_file: Option<PathBuf>,
    /// The URL itself, from the environment only.
    #[serde(skip_serializing)]
    pub(super) url: Option<StoreUrl>,
    /// Connections of this process to the server at most.
    pub connections_max: u32,
    /// Time to wait for a free connection, or for a server that starts again.
    pub acquire_timeout: Span,
    /// Time of one statement.
    pub statement_timeout: Span,
    /// Encryption of the way to the server.
    pub tls: StoreTls,
}

/// Engine of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreEngine {
    /// Embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// Encryption of the way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreTls {
    /// What the URL says with `sslmode`; otherwise none on this machine and `verify-full` elsewhere.
    Auto,
    /// None.
    Off,
    /// Certificate and host name are verified; `sslrootcert` in the URL names an authority of one's own.
    VerifyFull,
}

/// A URL with a password: it is read, never shown.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct StoreUrl(String);

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Default for StoreSection {
    fn default() -> Self {
        Self {
            engine: StoreEngine::Sqlite,
            url_file: None,
            url: None,
            connections_max: 10,
            acquire_timeout: Span(std::time::Duration::from_secs(10)),
            statement_timeout: Span(std::time::Duration::from_secs(30)),
            tls: StoreTls::Auto,
        }
    }
}

impl StoreSection {
    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        let named = self.url_file.is_some() || self.url.is_some();
        let postgres = self.engine == StoreEngine::Postgres;
        mistakes.want(!postgres || named, "`store.engine = \"postgres\"` needs `store.url_file`");
        mistakes.want(postgres || !named, "`store.url_file` needs `store.engine = \"postgres\"`");
        mistakes.path("store.url_file", self.url_file.as_deref());
        mistakes.within("store.connections_max", self.connections_max, 2, 1000);
        mistakes.within("store.acquire_timeout", self.acquire_timeout, ms(100), minutes(10));
        mistakes.within("store.statement_timeout", self.statement_timeout, ms(100), minutes(60));
    }
}

impl Config {
    /// How to open the operational store. Reads the file of the URL.
    pub fn store_options(&self) -> anyhow::Result<StoreOptions> {
        let store = &self.store;
        if store.engine == StoreEngine::Sqlite {
            return Ok(StoreOptions::at(self.below_data("store.sqlite")));
        }
        let url = match (&store.url, &store.url_file) {
            (Some(StoreUrl(url)), _) => url.clone(),
            (None, Some(file)) => std::fs::read_to_string(file).map_err(|source| ConfigError::File {
                key: "store.url_file",
                path: file.clone(),
                source,
            })?,
            (None, None) => return Err(ConfigError::Content(vec!["`store.url_file` is not set".to_owned()]).into()),
        };
        let mut options = PostgresOptions::parse(&url)?;
        options.connections_max = store.connections_max;
        options.acquire_timeout = store.acquire_timeout.0;
        options.statement_timeout = store.statement_timeout.0;
        options.tls = match store.tls {
            StoreTls::Auto => PostgresTls::Auto,
            StoreTls::Off => PostgresTls::Off,
            StoreTls::VerifyFull => PostgresTls::VerifyFull,
        };
        Ok(options.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const URL: &str = "postgres://hub:geheim@127.0.0.1:5432/minqiao";

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, crate::config::ConfigError> {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let path = dir.path().join("minqiao.toml");
        std::fs::write(&path, file).expect("written");
        Config::load(Some(&path), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn the_url_comes_from_a_file_or_the_environment_and_is_never_shown() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let file = dir.path().join("url");
        std::fs::write(&file, format!("{URL}\n")).expect("written");
        let named = format!("[store]\nengine = \"postgres\"\nurl_file = \"{}\"", file.display());
        let from_file = load(&named, &[]).expect("valid");
        let environment = [("MINQIAO__STORE__ENGINE", "postgres"), ("MINQIAO__STORE__URL", URL)];
        let from_environment = load("", &environment).expect("valid");
        for config in [from_file, from_environment] {
            let StoreOptions::Postgres(options) = config.store_options().expect("options") else { panic!("sqlite") };
            assert_eq!((options.server().as_str(), options.user()), ("127.0.0.1:5432/minqiao", "hub"));
            let shown = format!("{}{config:?}{options:?}", config.effective());
            assert!(!shown.contains("geheim"), "{shown}");
        }
    }

    #[test]
    fn mistakes_are_told_without_the_password() {
        let in_file = format!("[store]\nengine = \"postgres\"\nurl = \"{URL}\"");
        let mistakes = [
            (in_file.as_str(), "url_file"),
            ("[store]\nengine = \"postgres\"", "store.url_file"),
            ("[store]\nurl_file = \"/x\"", "store.engine"),
            ("[store]\nengine = \"mysql\"", "postgres"),
        ];
        for (file, expected) in mistakes {
            let error = load(file, &[]).expect_err("a mistake").to_string();
            assert!(error.contains(expected) && !error.contains("geheim"), "{error}");
        }
        let gone = load("[store]\nengine = \"postgres\"\nurl_file = \"/nowhere/url\"", &[]).expect("valid");
        let error = gone.store_options().expect_err("no file").to_string();
        assert!(error.contains("/nowhere/url"), "{error}");
    }
}
