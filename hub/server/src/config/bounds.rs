//! Which values can work.
//!
//! A bound is there because something breaks beyond it (a pause of nothing is a loop, a semaphore has a largest number,
//! files that left a table stay for a while only) or because nobody means such a value. Each is told with its key, all of
//! them together. What depends on the machine (whether a file is there, whether a port is free) shows at the start.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use minqiao_bus::api::topic_of;
use minqiao_bus_kafka::{KafkaOptions, Security};
use minqiao_lake::LakeOptions;
use minqiao_schemas::division;
use tracing_subscriber::EnvFilter;

use super::{Bus, Config, Feeds, Http, Limits};
use crate::units::{Size, Span};

pub(super) fn ms(ms: u64) -> Span {
    Span(Duration::from_millis(ms))
}

pub(super) fn minutes(minutes: u64) -> Span {
    Span(Duration::from_secs(60 * minutes))
}

/// What was found wrong.
#[derive(Debug, Default)]
pub(super) struct Mistakes(Vec<String>);

impl Mistakes {
    pub(super) fn want(&mut self, holds: bool, mistake: impl Into<String>) {
        if !holds {
            self.0.push(mistake.into());
        }
    }

    pub(super) fn within<T: PartialOrd + fmt::Display>(&mut self, key: &str, value: T, least: T, most: T) {
        let holds = value >= least && value <= most;
        self.want(holds, format!("`{key}` is {value}, it must be {least} to {most}"));
    }

    /// A file or folder, if one is named.
    pub(super) fn path(&mut self, key: &str, path: Option<&Path>) {
        let holds = path.is_none_or(|path| !path.as_os_str().is_empty());
        self.want(holds, format!("`{key}` names nothing: write a path or leave the key out"));
    }

    /// A name that servers take.
    pub(super) fn name(&mut self, key: &str, name: &str) {
        let holds = (1..=100).contains(&name.len()) && plain(name);
        self.want(holds, format!("`{key}` must have 1 to 100 characters of `A-Z a-z 0-9 . _ -`"));
    }
}

fn plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

impl Config {
    /// Everything that cannot work.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        mistakes.path("data_dir", Some(&self.data_dir));
        mistakes.path("keys_dir", self.keys_dir.as_deref());
        let known = self.city.is_none_or(|city| division::within(&format!("{city:04}")).next().is_some());
        mistakes.want(known, "`city` must be the first four digits of a city's division code, e.g. `3710`");
        mistakes.want(
            self.roles.is_all() || (self.is_shared() && self.lake.location.is_some()),
            "`roles` other than all need what the processes share: `bus.kafka` without `only_writer`, \
             `store.engine = \"postgres\"` and `lake.location`",
        );
        self.http.check(&mut mistakes);
        mistakes.want(
            !clash(self.http.listen, self.operations.listen),
            "`http.listen` and `operations.listen` must differ",
        );
        self.store.check(&mut mistakes);
        self.bus.check(&mut mistakes);
        self.lake.check(&mut mistakes);
        self.limits.check(&mut mistakes);
        let stay = Span(LakeOptions::default().retention);
        mistakes.want(
            self.limits.query_timeout > stay
                || self.limits.query_timeout.0.saturating_add(self.lake.follow_every.0) < stay.0,
            format!(
                "`limits.query_timeout` and `lake.follow_every` together must stay below {stay}: so long files that \
                 left a table can be read"
            ),
        );
        self.feeds.check(&mut mistakes);
        let access = [
            ("access.list", &self.access.list),
            ("access.policies", &self.access.policies),
            ("access.parameters", &self.access.parameters),
        ];
        for (key, path) in access {
            mistakes.path(key, path.as_deref());
        }
        if let Err(error) = EnvFilter::try_new(&self.log.filter) {
            mistakes.want(false, format!("`log.filter` must be a filter such as `warn,minqiao=info`: {error}"));
        }
        mistakes.0
    }
}

/// Whether the second address cannot be listened on beside the first.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || everywhere)
}

impl Http {
    fn check(&self, mistakes: &mut Mistakes) {
        let files = [
            ("http.certificate", &self.certificate),
            ("http.private_key", &self.private_key),
            ("http.client_authority", &self.client_authority),
        ];
        for (key, path) in files {
            mistakes.path(key, path.as_deref());
        }
        mistakes.within("http.connections_max", self.connections_max, 1, 100_000);
        mistakes.within("http.drain", self.drain, ms(0), minutes(60));
    }
}

impl Bus {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("bus.partitions", self.partitions, 1, 64);
        if let Some(hours) = self.retention_hours {
            // Ten years.
            mistakes.within("bus.retention_hours", hours, 1, 87_600);
        }
        mistakes.want(
            self.namespace.len() <= 100 && plain(&self.namespace),
            "`bus.namespace` must have at most 100 characters of `A-Z a-z 0-9 . _ -`",
        );
        if let Some(kafka) = &self.kafka {
            check_kafka(kafka, mistakes);
        }
    }
}

fn check_kafka(kafka: &KafkaOptions, mistakes: &mut Mistakes) {
    if let Err(mistake) = kafka.check() {
        mistakes.want(false, format!("`bus.kafka`: {mistake}"));
    }
    let is_server = |server: &str| {
        let (host, port) = server.trim().rsplit_once(':').unwrap_or_default();
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    mistakes.want(
        kafka.bootstrap.is_empty() || kafka.bootstrap.split(',').all(is_server),
        "`bus.kafka.bootstrap` must be brokers as `host:port,host:port`",
    );
    mistakes.name("bus.kafka.client_id", &kafka.client_id);
    mistakes.want(
        topic_of("").starts_with(&kafka.topic_prefix),
        format!("`bus.kafka.topic_prefix` must be `{}`: so the hub's topics begin", topic_of("")),
    );
    let files: BTreeSet<(&str, &Path)> = match &kafka.security {
        Security::Plaintext => BTreeSet::new(),
        Security::Tls { ca, cert, key } => {
            let own =
                cert.iter().map(|cert| ("cert", cert.as_path())).chain(key.iter().map(|key| ("key", key.as_path())));
            own.chain([("ca", ca.as_path())]).collect()
        }
        Security::SaslScram { ca, username, password_file, .. } => {
            mistakes.want(!username.is_empty(), "`bus.kafka.security.username` must not be empty");
            let password = password_file.iter().map(|file| ("password_file", file.as_path()));
            password.chain([("ca", ca.as_path())]).collect()
        }
    };
    for (key, path) in files {
        mistakes.path(&format!("bus.kafka.security.{key}"), Some(path));
    }
}

impl Limits {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("limits.body_bytes_max", self.body_bytes_max, Size(64 << 10), Size(1 << 30));
        mistakes.within("limits.batch_rows_max", self.batch_rows_max, 1, 1_000_000);
        mistakes.within("limits.provider_rows_per_second", self.provider_rows_per_second, 1, 100_000_000);
        mistakes.within("limits.lake_behind_messages_max", self.lake_behind_messages_max, 1, 1_000_000_000);
        mistakes.within("limits.query_memory_max", self.query_memory_max, Size(1 << 20), Size(1 << 40));
        mistakes.within("limits.query_timeout", self.query_timeout, ms(100), Span(LakeOptions::default().retention));
        mistakes.within("limits.query_rows_max", self.query_rows_max, 1, 100_000_000);
        mistakes.within("limits.user_queries_per_minute", self.user_queries_per_minute, 1, 1_000_000);
    }
}

impl Feeds {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("feeds.rows_max", self.rows_max, 1, 100_000);
        mistakes.within("feeds.wait_max", self.wait_max, ms(0), minutes(10));
        mistakes.within("feeds.stream_max", self.stream_max, ms(1000), minutes(24 * 60));
        mistakes.within("feeds.polls_max", self.polls_max, 1, 100_000);
        mistakes.want(
            (1..=self.polls_max).contains(&self.polls_of_one_max),
            "`feeds.polls_of_one_max` must be 1 to `feeds.polls_max`",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::LogFormat;

    type Change = fn(&mut Config);

    fn told(change: Change) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        config.mistakes()
    }

    /// The defaults on Kafka.
    fn kafka(config: &mut Config) -> &mut KafkaOptions {
        config.bus.kafka.insert(KafkaOptions::at("kafka-1:9092,kafka-2:9092"))
    }

    #[test]
    fn what_cannot_work_is_refused_by_key() {
        let cases: &[(&str, Change)] = &[
            ("data_dir", |c| c.data_dir = PathBuf::new()),
            ("keys_dir", |c| c.keys_dir = Some(PathBuf::new())),
            ("city", |c| c.city = Some(9999)),
            ("http.certificate", |c| c.http.certificate = Some(PathBuf::new())),
            ("http.private_key", |c| c.http.private_key = Some(PathBuf::new())),
            ("http.client_authority", |c| c.http.client_authority = Some(PathBuf::new())),
            ("http.connections_max", |c| c.http.connections_max = 0),
            // More than a semaphore holds.
            ("http.connections_max", |c| c.http.connections_max = usize::MAX >> 1),
            ("http.drain", |c| c.http.drain = minutes(61)),
            ("http.listen", |c| c.operations.listen = c.http.listen),
            ("http.listen", |c| c.operations.listen = ([0, 0, 0, 0], c.http.listen.port()).into()),
            ("store.connections_max", |c| c.store.connections_max = 1),
            ("store.acquire_timeout", |c| c.store.acquire_timeout = ms(0)),
            ("store.statement_timeout", |c| c.store.statement_timeout = minutes(61)),
            ("bus.partitions", |c| c.bus.partitions = 65),
            ("bus.retention_hours", |c| c.bus.retention_hours = Some(0)),
            ("bus.namespace", |c| c.bus.namespace = "two words".to_owned()),
            ("bus.kafka", |c| kafka(c).min_insync = 4),
            ("bus.kafka.bootstrap", |c| kafka(c).bootstrap = "kafka-1:9092,kafka-2".to_owned()),
            ("bus.kafka.client_id", |c| kafka(c).client_id.clear()),
            ("bus.kafka.topic_prefix", |c| kafka(c).topic_prefix = "weihai.".to_owned()),
            ("lake.commit_every", |c| c.lake.commit_every = ms(0)),
            ("lake.compact_every", |c| c.lake.compact_every = ms(0)),
            ("lake.follow_every", |c| c.lake.follow_every = ms(0)),
            ("lake.location", |c| c.lake.location = Some(String::new())),
            ("lake.s3", |c| c.lake.s3.authority = Some("ca.pem".into())),
            ("lake.s3.region", |c| c.lake.s3.region.clear()),
            ("lake.s3.request_timeout", |c| c.lake.s3.request_timeout = ms(0)),
            ("lake.s3.retry_for", |c| c.lake.s3.retry_for = minutes(11)),
            ("limits.body_bytes_max", |c| c.limits.body_bytes_max = Size(0)),
            ("limits.body_bytes_max", |c| c.limits.body_bytes_max = Size(2 << 30)),
            ("limits.batch_rows_max", |c| c.limits.batch_rows_max = usize::MAX),
            ("limits.provider_rows_per_second", |c| c.limits.provider_rows_per_second = u32::MAX),
            ("limits.lake_behind_messages_max", |c| c.limits.lake_behind_messages_max = 0),
            ("limits.query_memory_max", |c| c.limits.query_memory_max = Size(0)),
            ("limits.query_timeout", |c| c.limits.query_timeout = ms(0)),
            ("limits.query_timeout", |c| c.limits.query_timeout = minutes(11)),
            // The rows of an answer may be as old as the last look of a hub that follows.
            ("limits.query_timeout", |c| {
                c.limits.query_timeout = minutes(6);
                c.lake.follow_every = minutes(4);
            }),
            ("limits.query_rows_max", |c| c.limits.query_rows_max = 0),
            ("limits.user_queries_per_minute", |c| c.limits.user_queries_per_minute = 0),
            ("feeds.rows_max", |c| c.feeds.rows_max = 0),
            ("feeds.wait_max", |c| c.feeds.wait_max = minutes(11)),
            ("feeds.stream_max", |c| c.feeds.stream_max = ms(0)),
            ("feeds.polls_of_one_max", |c| c.feeds.polls_of_one_max = c.feeds.polls_max + 1),
            ("feeds.polls_max", |c| c.feeds.polls_max = usize::MAX),
            ("access.list", |c| c.access.list = Some(PathBuf::new())),
            ("access.policies", |c| c.access.policies = Some(PathBuf::new())),
            ("access.parameters", |c| c.access.parameters = Some(PathBuf::new())),
            ("log.filter", |c| c.log.filter = "!!!,=,=nonsense".to_owned()),
        ];
        for (key, change) in cases {
            let told = told(*change);
            assert!(told.iter().any(|mistake| mistake.starts_with(&format!("`{key}`"))), "{key}: {told:?}");
        }
    }

    #[test]
    fn what_can_work_is_taken() {
        let cases: &[Change] = &[
            |_| {},
            |c| c.limits.query_timeout = ms(595_000),
            |c| c.http.drain = ms(0),
            |c| c.feeds.wait_max = ms(0),
            |c| c.bus.retention_hours = Some(1),
            |c| c.operations.listen = ([127, 0, 0, 2], c.http.listen.port()).into(),
            |c| {
                c.http.listen = ([0, 0, 0, 0], 0).into();
                c.operations.listen = c.http.listen;
            },
            |c| {
                kafka(c);
            },
            |c| c.bus.namespace = "weihai.".to_owned(),
            |c| c.log.filter = "warn,minqiao=info,minqiao_lake=debug".to_owned(),
            |c| c.log.format = LogFormat::Json,
        ];
        for (at, change) in cases.iter().enumerate() {
            assert_eq!(told(*change), Vec::<String>::new(), "case {at}");
        }
    }

    #[test]
    fn the_bound_is_told() {
        let told = told(|c| c.limits.query_timeout = ms(0));
        assert_eq!(told, ["`limits.query_timeout` is 0s, it must be 100ms to 10m"]);
    }
}
