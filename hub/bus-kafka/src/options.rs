//! How to reach the cluster and what its topics must be like.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minqiao_bus::{BusError, Limits};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::{Deserialize, Serialize};

/// Room for headers and framing above the payload of a message.
const OVERHEAD_BYTES: usize = 64 << 10;

/// See the module. Everything but `bootstrap` has a default that suits a cluster of three or more brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaOptions {
    /// Some brokers, `host:port,host:port`.
    pub bootstrap: String,
    /// How to connect to them.
    #[serde(default)]
    pub security: Security,
    /// Names this process in the brokers' logs and quotas.
    #[serde(default = "client_id")]
    pub client_id: String,
    /// `topics` lists only names that begin so: a cluster may serve others, too.
    #[serde(default = "topic_prefix")]
    pub topic_prefix: String,
    /// Copies of each partition.
    #[serde(default = "three")]
    pub replication: u16,
    /// Copies that must have a message before it is acknowledged.
    #[serde(default = "two")]
    pub min_insync: u16,
    /// Largest payload of a message, bytes.
    #[serde(default = "message_bytes")]
    pub message_bytes_max: usize,
    /// Bytes that may wait for acknowledgement before `append` makes its callers wait.
    #[serde(default = "queued_bytes")]
    pub queued_bytes_max: usize,
    /// Messages per partition whose repetition is recognised (BUS-3).
    #[serde(default = "window")]
    pub window_messages: usize,
    /// No other process appends to the partitions that this one appends to. Saves a question to the broker per append;
    /// wrongly set, a batch that is sent again through another process can be stored twice.
    #[serde(default)]
    pub only_writer: bool,
    /// Readers that may be busy at once; each holds up to 8 MiB of messages fetched ahead.
    #[serde(default = "readers")]
    pub readers_max: usize,
    /// How long opening, topic work and questions about positions may take, milliseconds.
    #[serde(default = "request_timeout")]
    pub request_timeout_ms: u32,
    /// How long `append` waits for acknowledgement, milliseconds.
    #[serde(default = "append_timeout")]
    pub append_timeout_ms: u32,
    /// How often a partition that somebody waits for is asked for news from other processes, milliseconds.
    #[serde(default = "poll_interval")]
    pub poll_interval_ms: u32,
    /// How often librdkafka's figures are taken, milliseconds.
    #[serde(default = "statistics_interval")]
    pub statistics_interval_ms: u32,
}

fn client_id() -> String {
    "minqiao".to_owned()
}
fn topic_prefix() -> String {
    "minqiao.".to_owned()
}
fn three() -> u16 {
    3
}
fn two() -> u16 {
    2
}
fn message_bytes() -> usize {
    Limits::default().message_bytes_max
}
fn queued_bytes() -> usize {
    Limits::default().queued_bytes_max
}
fn window() -> usize {
    2048
}
fn readers() -> usize {
    4
}
fn request_timeout() -> u32 {
    15_000
}
fn append_timeout() -> u32 {
    30_000
}
fn poll_interval() -> u32 {
    50
}
fn statistics_interval() -> u32 {
    5_000
}

/// How to connect to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case", tag = "protocol")]
pub enum Security {
    /// Neither encrypted nor authenticated: loopback only.
    #[default]
    Plaintext,
    /// TLS, with a certificate of our own when `cert` and `key` are given.
    Tls {
        /// Authorities to trust, PEM file.
        ca: PathBuf,
        /// Certificate, PEM file.
        #[serde(default)]
        cert: Option<PathBuf>,
        /// Its key, PEM file.
        #[serde(default)]
        key: Option<PathBuf>,
    },
    /// SCRAM-SHA-512 over TLS.
    SaslScram {
        /// Authorities to trust, PEM file.
        ca: PathBuf,
        /// Who we are.
        username: String,
        /// Shown to the brokers' SCRAM only. For the environment; a configuration file names `password_file`.
        #[serde(default, skip_serializing)]
        password: Option<Password>,
        /// File that holds the password alone; read when a client is made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password_file: Option<PathBuf>,
    },
}

/// A password: never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes the password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    fn of(file: &Path) -> Result<Self, BusError> {
        let text = std::fs::read_to_string(file).map_err(|_| wrong("names a `password_file` that cannot be read"))?;
        let password = text.trim_end_matches(['\r', '\n']);
        if password.is_empty() { Err(wrong("names an empty `password_file`")) } else { Ok(Self::new(password)) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl KafkaOptions {
    /// Defaults with these brokers, unencrypted.
    pub fn at(bootstrap: impl Into<String>) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            security: Security::default(),
            client_id: client_id(),
            topic_prefix: topic_prefix(),
            replication: three(),
            min_insync: two(),
            message_bytes_max: message_bytes(),
            queued_bytes_max: queued_bytes(),
            window_messages: window(),
            only_writer: false,
            readers_max: readers(),
            request_timeout_ms: request_timeout(),
            append_timeout_ms: append_timeout(),
            poll_interval_ms: poll_interval(),
            statistics_interval_ms: statistics_interval(),
        }
    }

    /// Refuses what cannot work, naming the key.
    pub fn check(&self) -> Result<(), BusError> {
        let refuse = |key, problem| Err(BusError::Misconfigured { key, problem });
        if self.security != Security::Plaintext && !cfg!(feature = "tls") {
            return refuse("security", "needs TLS, which this program was built without (cargo feature `kafka-tls`)");
        }
        if self.bootstrap.is_empty() {
            return refuse("bootstrap", "is empty");
        }
        if self.replication == 0 {
            return refuse("replication", "must be at least 1");
        }
        if self.min_insync == 0 || self.min_insync > self.replication {
            return refuse("min_insync", "must lie between 1 and `replication`");
        }
        if !(1024..=64 << 20).contains(&self.message_bytes_max) {
            return refuse("message_bytes_max", "must lie between 1 KiB and 64 MiB");
        }
        if !(self.message_bytes_max..=1 << 30).contains(&self.queued_bytes_max) {
            return refuse("queued_bytes_max", "must lie between `message_bytes_max` and 1 GiB");
        }
        if !(1..=1 << 20).contains(&self.window_messages) {
            return refuse("window_messages", "must lie between 1 and 1048576");
        }
        if !(1..=64).contains(&self.readers_max) {
            return refuse("readers_max", "must lie between 1 and 64");
        }
        for (key, value) in [
            ("request_timeout_ms", self.request_timeout_ms),
            ("append_timeout_ms", self.append_timeout_ms),
            ("poll_interval_ms", self.poll_interval_ms),
            ("statistics_interval_ms", self.statistics_interval_ms),
        ] {
            if !(1..=3_600_000).contains(&value) {
                return refuse(key, "must lie between 1 ms and an hour");
            }
        }
        if let Security::Tls { cert, key, .. } = &self.security
            && cert.is_some() != key.is_some()
        {
            return refuse("security", "needs `cert` and `key` together");
        }
        if let Security::SaslScram { password, password_file, .. } = &self.security
            && password.is_some() == password_file.is_some()
        {
            return refuse("security", "needs `password_file`, or the password from the environment, and not both");
        }
        Ok(())
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits { message_bytes_max: self.message_bytes_max, queued_bytes_max: self.queued_bytes_max }
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms.into())
    }

    pub(crate) fn append_timeout(&self) -> Duration {
        Duration::from_millis(self.append_timeout_ms.into())
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        Duration::from_millis(self.poll_interval_ms.into())
    }

    /// What a topic must take in one message, payload and the rest.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.message_bytes_max + OVERHEAD_BYTES
    }

    /// What every client of this process has.
    fn client(&self) -> Result<ClientConfig, BusError> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap)
            .set("client.id", &self.client_id)
            .set("message.max.bytes", self.record_bytes_max().to_string())
            // A cluster that comes back is found within a second.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.connection.setup.timeout.ms", "10000")
            .set("socket.nagle.disable", "true")
            .set("allow.auto.create.topics", "false")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        match &self.security {
            Security::Plaintext => {
                config.set("security.protocol", "plaintext");
            }
            Security::Tls { ca, cert, key } => {
                config.set("security.protocol", "ssl").set("ssl.ca.location", path(ca)?);
                if let (Some(cert), Some(key)) = (cert, key) {
                    config.set("ssl.certificate.location", path(cert)?).set("ssl.key.location", path(key)?);
                }
            }
            Security::SaslScram { ca, username, password, password_file } => {
                let password = match (password, password_file) {
                    (Some(password), _) => password.clone(),
                    (None, Some(file)) => Password::of(file)?,
                    (None, None) => return Err(wrong("has no password")),
                };
                config
                    .set("security.protocol", "sasl_ssl")
                    .set("ssl.ca.location", path(ca)?)
                    .set("sasl.mechanism", "SCRAM-SHA-512")
                    .set("sasl.username", username)
                    .set("sasl.password", &password.0);
            }
        }
        Ok(config)
    }

    pub(crate) fn producer(&self) -> Result<ClientConfig, BusError> {
        let mut config = self.client()?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Never given up: a message whose acknowledgement got lost is repeated under its sequence number, which
            // the broker knows; given up and sent anew, it could be stored twice. Callers give up waiting instead.
            .set("message.timeout.ms", "0")
            .set("request.timeout.ms", "10000")
            .set("socket.timeout.ms", "15000")
            .set("linger.ms", "1")
            .set("batch.size", self.record_bytes_max().to_string())
            // Our own queue is the bound; this one must never be the first to be full.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", (4 * self.queued_bytes_max / 1024 + (64 << 10)).to_string())
            .set("statistics.interval.ms", self.statistics_interval_ms.to_string());
        Ok(config)
    }

    pub(crate) fn reader(&self) -> Result<ClientConfig, BusError> {
        let mut config = self.client()?;
        config
            // librdkafka assigns partitions only to clients with a group; nothing is ever committed under it.
            .set("group.id", format!("{}-reader", self.client_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("check.crcs", "true")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "5")
            .set("fetch.message.max.bytes", (4 * self.record_bytes_max()).to_string())
            .set("queued.min.messages", "1000")
            .set("queued.max.messages.kbytes", "8192");
        Ok(config)
    }

    pub(crate) fn admin(&self) -> Result<ClientConfig, BusError> {
        let mut config = self.client()?;
        // Nobody takes log lines from this client; the producer, connected to the same brokers, tells the same.
        config.set_log_level(RDKafkaLogLevel::Emerg);
        Ok(config)
    }
}

fn path(path: &Path) -> Result<&str, BusError> {
    path.to_str().ok_or(wrong("names a file whose path is not UTF-8"))
}

fn wrong(problem: &'static str) -> BusError {
    BusError::Misconfigured { key: "security", problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let security = Security::SaslScram {
            ca: "ca.pem".into(),
            username: "minqiao".to_owned(),
            password: Some(Password::new("correct horse")),
            password_file: None,
        };
        let options = KafkaOptions { security, ..KafkaOptions::at("b:9092") };
        let shown = format!("{options:?} {}", serde_json::to_string(&options).expect("serialised"));
        assert!(shown.contains("minqiao") && !shown.contains("horse"), "{shown}");
    }

    #[test]
    fn what_cannot_work_is_refused_by_key() {
        type Change = fn(&mut KafkaOptions);
        let cases: [(&str, Change); 8] = [
            ("bootstrap", |o| o.bootstrap.clear()),
            ("replication", |o| o.replication = 0),
            ("min_insync", |o| o.min_insync = 4),
            ("message_bytes_max", |o| o.message_bytes_max = 1),
            ("queued_bytes_max", |o| o.queued_bytes_max = 1 << 10),
            ("window_messages", |o| o.window_messages = 0),
            ("readers_max", |o| o.readers_max = 0),
            ("append_timeout_ms", |o| o.append_timeout_ms = 0),
        ];
        KafkaOptions::at("b:9092").check().expect("the defaults are fine");
        let scram = |password: Option<&str>, password_file: Option<&str>| Security::SaslScram {
            ca: "ca.pem".into(),
            username: "minqiao".to_owned(),
            password: password.map(Password::new),
            password_file: password_file.map(PathBuf::from),
        };
        for security in [scram(None, None), scram(Some("p"), Some("f"))] {
            let refused = KafkaOptions { security, ..KafkaOptions::at("b:9092") }.check();
            assert!(matches!(refused, Err(BusError::Misconfigured { key: "security", .. })), "{refused:?}");
        }
        let absent = KafkaOptions { security: scram(None, Some("/no/such/file")), ..KafkaOptions::at("b:9092") };
        assert!(matches!(absent.client(), Err(BusError::Misconfigured { key: "security", .. })));
        for (wanted, change) in cases {
            let mut options = KafkaOptions::at("b:9092");
            change(&mut options);
            match options.check() {
                Err(BusError::Misconfigured { key, .. }) => assert_eq!(key, wanted),
                other => panic!("{wanted}: {other:?}"),
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let read = |text: &str| serde_json::from_str::<KafkaOptions>(text);
        read(r#"{"bootstrap": "b:9092"}"#).expect("the rest has defaults");
        read(r#"{"bootstrap": "b:9092", "security": {"protocol": "sasl_scram", "ca": "ca.pem", "username": "u", "password": "p"}}"#)
            .expect("understood");
        assert!(read(r#"{"bootstrap": "b:9092", "min_isr": 2}"#).is_err());
        assert!(
            read(r#"{"bootstrap": "b:9092", "security": {"protocol": "tls", "ca": "ca.pem", "user": "u"}}"#).is_err()
        );
    }
}
