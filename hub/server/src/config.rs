//! What an operator writes, and what it means.
//!
//! The file is TOML; every key has a default that is right for one machine, unknown keys are refused, and
//! `MINQIAO__SECTION__KEY` in the environment overrides the file. What is written and what it means are one type here,
//! because every value is checked by its own type. [`Config::load`] reports all mistakes at once: keys that there are not
//! and values of another form (`keys`), values that cannot work (`bounds`).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use minqiao_bus_kafka::KafkaOptions;
use minqiao_core::{Kind, KindOf};
use minqiao_doors::feeds::FeedLimits;
use minqiao_doors::tls::TlsFiles;
use serde::{Deserialize, Serialize};

use crate::units::{Size, Span};

mod bounds;
mod keys;
mod lake;
mod roles;
mod store;

pub use lake::{LakePlace, LakeS3};
pub use roles::{Role, Roles};
pub use store::{StoreEngine, StoreSection, StoreTls};

/// Prefix of the variables that override the file.
pub const ENVIRONMENT_PREFIX: &str = "MINQIAO__";

/// Configuration of one process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Everything that must survive lives below this folder.
    pub data_dir: PathBuf,
    /// What this process does, e.g. `gateway,writer`; everything by default. Several processes share a city when they have
    /// its bus (Kafka), store (PostgreSQL), lake and keys in common.
    pub roles: Roles,
    /// Folder of the key ring. Default: `<data_dir>/keys`.
    pub keys_dir: Option<PathBuf>,
    /// The city that the hub serves: the first four digits of its division code (GB/T 2260), e.g. `3710`. Batches of
    /// other cities' providers are refused. Without it every city is served.
    pub city: Option<u16>,
    /// The public port.
    pub http: Http,
    /// Probes and metrics.
    pub operations: Operations,
    /// Receipts, quarantine, reports, evidence.
    pub store: StoreSection,
    /// The log between intake and lake.
    pub bus: Bus,
    /// The lake.
    pub lake: Lake,
    /// Bounds (D12).
    pub limits: Limits,
    /// What departments read.
    pub feeds: Feeds,
    /// Who may come in, what they may see, what the rules' parameters are.
    pub access: Access,
    /// Logging.
    pub log: Log,
}

/// The public port.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Server certificate chain, PEM. Default: `<data_dir>/tls/server.pem`.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM. Default: `<data_dir>/tls/server.key`.
    pub private_key: Option<PathBuf>,
    /// Authority of client certificates, PEM. Default: `<data_dir>/tls/authority.pem`.
    pub client_authority: Option<PathBuf>,
    /// Connections served at the same time.
    pub connections_max: usize,
    /// Time open requests get on shutdown.
    pub drain: Span,
}

/// Probes and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operations {
    /// Where it listens; plain HTTP, keep it on loopback or the pod network.
    pub listen: SocketAddr,
}

/// The log between intake and lake.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bus {
    /// Partitions of each topic; fixed once the first batch is stored.
    pub partitions: u32,
    /// Messages that the lake holds are removed after so long; without it, the log keeps everything, and the lake can be
    /// made anew from it.
    pub retention_hours: Option<u32>,
    /// The log is a Kafka cluster's; without it, files below `data_dir`.
    pub kafka: Option<KafkaOptions>,
    /// Goes before the names of topics, so that several hubs can share a cluster, e.g. `weihai.`.
    pub namespace: String,
}

/// The lake.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lake {
    /// An item is committed once in so long while rows keep coming, and at once after a pause.
    pub commit_every: Span,
    /// How often the compactor looks for work.
    pub compact_every: Span,
    /// How often the tables are asked for what other hubs committed.
    pub follow_every: Span,
    /// Where the tables are: an absolute folder, or `s3://bucket/prefix`. Default: `<data_dir>/lake`.
    pub location: Option<String>,
    /// How the object store is spoken to.
    pub s3: LakeS3,
}

/// Bounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest request body.
    pub body_bytes_max: Size,
    /// Rows of one batch.
    pub batch_rows_max: usize,
    /// Rows per second of one provider, averaged; bursts of ten seconds' worth.
    pub provider_rows_per_second: u32,
    /// Messages of one item that may wait for the lake; above, its batches are sent away until half of them are in.
    pub lake_behind_messages_max: u64,
    /// Memory of one query.
    pub query_memory_max: Size,
    /// Time of one query.
    pub query_timeout: Span,
    /// Rows of one answer.
    pub query_rows_max: usize,
    /// Queries of one user per minute.
    pub user_queries_per_minute: u32,
}

/// Bounds of what departments read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Feeds {
    /// Rows of one page.
    pub rows_max: usize,
    /// Longest wait for rows.
    pub wait_max: Span,
    /// Longest event stream; the client comes again.
    pub stream_max: Span,
    /// Waits and streams of one reader at the same time.
    pub polls_of_one_max: usize,
    /// Waits and streams of all readers.
    pub polls_max: usize,
}

/// Who may come in, what they may see, what the rules' parameters are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Users and connectors, YAML. Default: `<data_dir>/access.yaml`.
    pub list: Option<PathBuf>,
    /// Folder of Cedar policies; default: the ones built in.
    pub policies: Option<PathBuf>,
    /// Parameters of the rules, JSON list. Default: `<data_dir>/parameters.json`.
    pub parameters: Option<PathBuf>,
}

/// Logging to standard error.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `tracing` filter, e.g. `warn,minqiao=info,minqiao_lake=debug`.
    pub filter: String,
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            roles: Roles::all(),
            keys_dir: None,
            city: None,
            http: Http::default(),
            operations: Operations::default(),
            store: StoreSection::default(),
            bus: Bus::default(),
            lake: Lake::default(),
            limits: Limits::default(),
            feeds: Feeds::default(),
            access: Access::default(),
            log: Log::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8443)),
            certificate: None,
            private_key: None,
            client_authority: None,
            connections_max: 512,
            drain: Span(std::time::Duration::from_secs(20)),
        }
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self { partitions: 2, retention_hours: None, kafka: None, namespace: String::new() }
    }
}

impl Default for Lake {
    fn default() -> Self {
        Self {
            commit_every: Span(std::time::Duration::from_secs(1)),
            compact_every: Span(std::time::Duration::from_millis(500)),
            follow_every: Span(std::time::Duration::from_secs(1)),
            location: None,
            s3: LakeS3::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: Size(32 << 20),
            batch_rows_max: 100_000,
            provider_rows_per_second: 200_000,
            lake_behind_messages_max: 100_000,
            query_memory_max: Size(512 << 20),
            query_timeout: Span(std::time::Duration::from_secs(30)),
            query_rows_max: 100_000,
            user_queries_per_minute: 120,
        }
    }
}

impl Default for Feeds {
    fn default() -> Self {
        let FeedLimits { rows_max, wait_max, stream_max, polls_of_one_max, polls_max, .. } = FeedLimits::default();
        Self { rows_max, wait_max: Span(wait_max), stream_max: Span(stream_max), polls_of_one_max, polls_max }
    }
}

impl Feeds {
    pub(crate) fn limits(&self) -> FeedLimits {
        let defaults = FeedLimits::default();
        FeedLimits {
            rows_max: self.rows_max,
            rows_default: defaults.rows_default.min(self.rows_max),
            wait_max: self.wait_max.0,
            stream_max: self.stream_max.0,
            polls_of_one_max: self.polls_of_one_max,
            polls_max: self.polls_max,
            ..defaults
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "warn,minqiao=info".to_owned(), format: LogFormat::Text }
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    /// A file that the configuration names cannot be read.
    #[error("cannot read `{path}` (`{key}`)")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("`{origin}` is not TOML: {message}")]
    Form {
        /// The file.
        origin: String,
        /// Line and what is expected.
        message: String,
    },
    /// Keys that there are not, values of another form, values that cannot work.
    #[error("the configuration has mistakes: {}", .0.join("; "))]
    Content(Vec<String>),
}

impl KindOf for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::Read(_, source) | Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            Self::Read(..) | Self::File { .. } | Self::Form { .. } | Self::Content(_) => Kind::InvalidArgument,
        }
    }
    fn code(&self) -> &'static str {
        "configuration"
    }
}

impl Config {
    /// Reads `file` (or takes the defaults), lets `environment` override, and checks the whole.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut table = match file {
            None => toml::Table::new(),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
                text.parse().map_err(|e| no_toml(path, &text, &e))?
            }
        };
        let mut mistakes = keys::take_unknown(&mut table);
        let mut account = None;
        for (name, value) in environment {
            lake::Keys::take(&mut account, &name, &value);
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let key = key.replace("__", ".").to_ascii_lowercase();
            if keys::is_known(&key) {
                keys::set(&mut table, &key, &value);
            } else {
                mistakes.push(format!("`{name}` in the environment names no key"));
            }
        }
        let of_form = keys::of_another_form::<Self>(&table);
        if !of_form.is_empty() {
            mistakes.extend(of_form);
            return Err(ConfigError::Content(mistakes));
        }
        let mut config: Self =
            toml::Value::Table(table).try_into().map_err(|e| ConfigError::Content(vec![e.message().to_owned()]))?;
        config.lake.s3.environment = account;
        mistakes.extend(config.mistakes());
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigError::Content(mistakes)) }
    }

    /// Refuses what cannot work, all mistakes at once.
    pub fn check(self) -> Result<Self, ConfigError> {
        let mistakes = self.mistakes();
        if mistakes.is_empty() { Ok(self) } else { Err(ConfigError::Content(mistakes)) }
    }

    /// A path below the data folder.
    pub fn below_data(&self, part: &str) -> PathBuf {
        self.data_dir.join(part)
    }

    /// Whether other hubs may work on the same city: bus and store are servers, and the bus expects company.
    pub fn is_shared(&self) -> bool {
        self.store.engine == StoreEngine::Postgres && self.bus.kafka.as_ref().is_some_and(|kafka| !kafka.only_writer)
    }

    /// Where the key ring is.
    pub fn keys(&self) -> PathBuf {
        self.keys_dir.clone().unwrap_or_else(|| self.below_data("keys"))
    }

    /// Where the access list is.
    pub fn access_list(&self) -> PathBuf {
        self.access.list.clone().unwrap_or_else(|| self.below_data("access.yaml"))
    }

    /// Where the parameters of the rules are.
    pub fn parameters(&self) -> PathBuf {
        self.access.parameters.clone().unwrap_or_else(|| self.below_data("parameters.json"))
    }

    /// Where certificate, key and authority of the public port are.
    pub fn tls_files(&self) -> TlsFiles {
        let file = |set: &Option<PathBuf>, name| set.clone().unwrap_or_else(|| self.below_data("tls").join(name));
        TlsFiles {
            certificate: file(&self.http.certificate, "server.pem"),
            private_key: file(&self.http.private_key, "server.key"),
            client_authority: file(&self.http.client_authority, "authority.pem"),
        }
    }

    /// Of another hub of the same city: a data folder of its own; keys, people and certificates are this one's.
    pub fn beside(&self, data_dir: PathBuf) -> Self {
        let mut other = self.clone();
        let tls = self.tls_files();
        other.data_dir = data_dir;
        other.keys_dir = Some(self.keys());
        other.access.list = Some(self.access_list());
        other.access.parameters = Some(self.parameters());
        other.http.certificate = Some(tls.certificate);
        other.http.private_key = Some(tls.private_key);
        other.http.client_authority = Some(tls.client_authority);
        other
    }

    /// Effective configuration as TOML, keys without a value commented out. It names files of secrets, never their
    /// content.
    pub fn effective(&self) -> String {
        keys::with_all_keys(self).unwrap_or_else(|e| format!("# cannot be printed: {e}"))
    }
}

/// Says the line; what the parser quotes of it might be a password.
fn no_toml(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    ConfigError::Form { origin: path.display().to_string(), message: format!("line {line}: {}", error.message()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn the_environment_overrides_and_unknown_keys_are_refused() {
        let config = Config::load(
            None,
            env(&[("MINQIAO__HTTP__LISTEN", "127.0.0.1:1"), ("MINQIAO__LIMITS__QUERY_TIMEOUT", "5s"), ("PATH", "x")]),
        )
        .expect("valid");
        assert_eq!(config.http.listen.port(), 1);
        assert_eq!(config.limits.query_timeout.to_string(), "5s");
        assert_eq!(Config::load(None, env(&[("MINQIAO__CITY", "3710")])).expect("a city").city, Some(3710));
        let error = Config::load(None, env(&[("MINQIAO__CITY", "9999")])).expect_err("no city");
        assert!(error.to_string().contains("division code"), "{error}");

        // No file holds a password.
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("minqiao.toml");
        std::fs::write(&file, "[bus.kafka.security]\npassword = \"geheim\"\n").expect("written");
        let error = Config::load(Some(&file), env(&[])).expect_err("a secret in the file").to_string();
        assert!(error.contains("password_file") && !error.contains("geheim"), "{error}");

        let error = Config::load(None, env(&[("MINQIAO__HTTP__LISTN", "x")])).expect_err("unknown key");
        assert!(error.to_string().contains("`MINQIAO__HTTP__LISTN` in the environment names no key"), "{error}");
        let error =
            Config::load(None, env(&[("MINQIAO__BUS__PARTITIONS", "0"), ("MINQIAO__LIMITS__QUERY_ROWS_MAX", "0")]))
                .expect_err("two mistakes");
        assert!(error.to_string().contains("partitions") && error.to_string().contains("query_rows_max"), "{error}");
    }

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("minqiao.toml");
        std::fs::write(&path, file).expect("written");
        Config::load(Some(&path), env(environment))
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let file = "data_dri = \"/srv\"\n[http]\nlistn = \"x\"\nconnections_max = \"many\"\n[limits]\n\
                    query_timeout = \"11\"\n[bus.kafka]\nbootstrap = \"b:9092\"\nreplication = \"three\"\n[doors]\na = 1\n";
        let error = load(file, &[("MINQIAO__LAKE__FOLOW_EVERY", "1s"), ("MINQIAO__", "x")]).expect_err("mistakes");
        let ConfigError::Content(mut mistakes) = error else { panic!("{error}") };
        mistakes.sort();
        let begin = [
            "`MINQIAO__LAKE__FOLOW_EVERY` in the environment names no key",
            "`MINQIAO__` in the environment names no key",
            "`bus.kafka.replication`: ",
            "`data_dri` is no key",
            "`doors` is no key",
            "`http.connections_max`: ",
            "`http.listn` is no key",
            "`limits.query_timeout`: expected a duration",
        ];
        assert_eq!(mistakes.len(), begin.len(), "{mistakes:?}");
        assert!(mistakes.iter().zip(begin).all(|(mistake, begin)| mistake.starts_with(begin)), "{mistakes:?}");

        // A key that there is not beside a value that cannot work, and a value where a section must be.
        let error = load("[http]\nlistn = 1\nconnections_max = 9223372036854775807", &[]).expect_err("two mistakes");
        assert!(error.to_string().contains("`http.listn` is no key; `http.connections_max` is 9223"), "{error}");
        let error = load("http = 1", &[("MINQIAO__HTTP__LISTEN", "127.0.0.1:1")]).expect_err("no section");
        assert!(error.to_string().contains("`http`: invalid type: integer `1`"), "{error}");
    }

    #[test]
    fn a_mistake_of_the_form_is_told_by_its_line_and_without_what_stands_there() {
        let error = load("[bus.kafka.security]\npassword = \"geheim", &[]).expect_err("no TOML").to_string();
        assert!(error.contains("is not TOML: line 2: ") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn a_file_that_is_not_there_is_not_found() {
        let error = Config::load(Some(Path::new("/nowhere/minqiao.toml")), env(&[])).expect_err("no file");
        assert_eq!(error.kind(), Kind::NotFound);
        assert_eq!(load("a = 1", &[]).expect_err("no key").kind(), Kind::InvalidArgument);
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let text = Config::default().effective();
        let again: Config = toml::from_str(&text).expect("reads back");
        assert_eq!(again.effective(), text);
    }
}
