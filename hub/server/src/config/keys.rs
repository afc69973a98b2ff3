//! Which keys there are.
//!
//! A key has a value from the start, or it is optional and stands in [`OPTIONAL`], or it is a secret of the environment
//! ([`SECRETS`]). What is none of the three is refused, all of them at once; what is optional and not set is printed
//! commented out, so that `minqiao config check` shows every key.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::LazyLock;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::Config;

/// Keys that only the environment may hold, and the keys that name a file instead.
const SECRETS: [(&str, &str); 2] =
    [("store.url", "store.url_file"), ("bus.kafka.security.password", "bus.kafka.security.password_file")];

/// A table that is there as a whole or not at all: its keys mean nothing alone.
const WHOLE: &str = "bus.kafka";

/// Keys that have no value from the start: an example or, in `bus.kafka`, what holds until it is set, and the meaning.
const OPTIONAL: [(&str, &str, &str); 34] = [
    ("keys_dir", "\"/etc/minqiao/keys\"", "folder of the key ring; default: `keys` below `data_dir`"),
    ("city", "3710", "first four digits of the city's division code; without it every city is served"),
    ("http.certificate", "\"/etc/minqiao/tls/server.pem\"", "PEM chain; default: `tls/server.pem` below `data_dir`"),
    ("http.private_key", "\"/etc/minqiao/tls/server.key\"", "its key, PEM; default: `tls/server.key` below `data_dir`"),
    (
        "http.client_authority",
        "\"/etc/minqiao/tls/authority.pem\"",
        "authority of client certificates, PEM; default: `tls/authority.pem` below `data_dir`",
    ),
    ("store.url_file", "\"/etc/minqiao/store-url\"", "file of PostgreSQL's URL, or MINQIAO__STORE__URL"),
    ("bus.retention_hours", "8760", "what the lake holds leaves the log after so long; without it, never"),
    ("bus.kafka.bootstrap", "\"kafka-1:9092,kafka-2:9092\"", "some brokers of the cluster that is the log"),
    ("bus.kafka.client_id", "\"minqiao\"", "names this process in the brokers' logs and quotas"),
    ("bus.kafka.topic_prefix", "\"minqiao.\"", "how the hub's topics begin, after `bus.namespace`"),
    ("bus.kafka.replication", "3", "copies of each partition"),
    ("bus.kafka.min_insync", "2", "copies that have a message before it is acknowledged"),
    ("bus.kafka.message_bytes_max", "1048576", "largest payload of a message"),
    ("bus.kafka.queued_bytes_max", "33554432", "bytes that may wait for acknowledgement"),
    ("bus.kafka.window_messages", "2048", "messages of a partition whose repetition is recognised"),
    ("bus.kafka.only_writer", "false", "no other process appends: saves a question per append"),
    ("bus.kafka.readers_max", "4", "readers busy at once"),
    ("bus.kafka.request_timeout_ms", "15000", "time for questions to brokers"),
    ("bus.kafka.append_timeout_ms", "30000", "time for an acknowledgement"),
    ("bus.kafka.poll_interval_ms", "50", "how often a partition is asked for news from other processes"),
    ("bus.kafka.statistics_interval_ms", "5000", "how often figures of the client are taken"),
    ("bus.kafka.security.protocol", "\"plaintext\"", "`plaintext` (loopback), `tls` or `sasl_scram`"),
    ("bus.kafka.security.ca", "\"/etc/minqiao/kafka-ca.pem\"", "tls, sasl_scram: authorities to trust, PEM"),
    ("bus.kafka.security.cert", "\"/etc/minqiao/kafka.pem\"", "tls: certificate of this process, PEM"),
    ("bus.kafka.security.key", "\"/etc/minqiao/kafka.key\"", "tls: its key, PEM"),
    ("bus.kafka.security.username", "\"minqiao\"", "sasl_scram: who this process is"),
    (
        "bus.kafka.security.password_file",
        "\"/etc/minqiao/kafka-password\"",
        "sasl_scram: file of the password, or MINQIAO__BUS__KAFKA__SECURITY__PASSWORD",
    ),
    ("lake.location", "\"/srv/minqiao/lake\"", "folder or `s3://bucket/prefix`; default: `lake` below `data_dir`"),
    ("lake.s3.endpoint", "\"https://s3.weihai.example:9000\"", "without it, Amazon's of the region"),
    (
        "lake.s3.credentials_file",
        "\"/etc/minqiao/lake-keys.toml\"",
        "access_key_id and secret_access_key; or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY",
    ),
    (
        "lake.s3.authority",
        "\"/etc/minqiao/s3-ca.pem\"",
        "authority of the store's certificate, PEM; default: the system's",
    ),
    ("access.list", "\"/etc/minqiao/access.yaml\"", "users and connectors; default: `access.yaml` below `data_dir`"),
    ("access.policies", "\"/etc/minqiao/policies\"", "folder of Cedar policies; default: those built in"),
    (
        "access.parameters",
        "\"/etc/minqiao/parameters.json\"",
        "parameters of the rules; default: `parameters.json` below `data_dir`",
    ),
];

static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut known = Table::try_from(Config::default()).map(|table| leaves(&table)).unwrap_or_default();
    known.extend(OPTIONAL.iter().map(|(key, ..)| (*key).to_owned()));
    known.extend(SECRETS.iter().map(|(key, _)| (*key).to_owned()));
    known
});

/// Whether there is such a key, `section.key`.
pub(super) fn is_known(key: &str) -> bool {
    KNOWN.contains(key)
}

/// Removes from a file's table what is no key or may not stand in a file, and says so.
pub(super) fn take_unknown(table: &mut Table) -> Vec<String> {
    let mut mistakes = Vec::new();
    take_from(table, "", &mut mistakes);
    mistakes
}

fn take_from(table: &mut Table, section: &str, mistakes: &mut Vec<String>) {
    table.retain(|name, value| {
        let key = within(section, name);
        let is_section = KNOWN.iter().any(|known| known.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')));
        if let Some((_, file)) = SECRETS.iter().find(|(secret, _)| *secret == key) {
            mistakes
                .push(format!("`{key}` holds a password: write it into a file of its own and name that in `{file}`"));
            return false;
        }
        match value {
            Value::Table(table) if is_section => take_from(table, &key, mistakes),
            // A value where a section must be is of another form.
            _ if is_section || is_known(&key) => {}
            _ => {
                mistakes.push(format!("`{key}` is no key"));
                return false;
            }
        }
        true
    });
}

/// Sets `section.key` to `text`, as a number or boolean where it reads as one and is no secret. Does nothing where a
/// value is in a section's place: that is a mistake of its own.
pub(super) fn set(table: &mut Table, key: &str, text: &str) {
    let value = match (text.parse::<i64>(), text.parse::<bool>()) {
        // A password of digits is still a text.
        _ if SECRETS.iter().any(|(secret, _)| *secret == key) => text.into(),
        (Ok(number), _) => number.into(),
        (_, Ok(truth)) => truth.into(),
        _ => text.into(),
    };
    let mut table = table;
    let mut rest = key;
    while let Some((section, key)) = rest.split_once('.') {
        let Some(inner) = table.entry(section).or_insert_with(|| Table::new().into()).as_table_mut() else { return };
        (table, rest) = (inner, key);
    }
    table.insert(rest.to_owned(), value);
}

/// Values that are not of the form of their key, all of them: each is read alone.
pub(super) fn of_another_form<T: DeserializeOwned>(table: &Table) -> Vec<String> {
    let mut mistakes = Vec::new();
    each(table, "", &mut |key, value| {
        let mut alone = Table::new();
        let (sections, last) = key.rsplit_once('.').unwrap_or(("", key));
        let mut at = &mut alone;
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            let Some(inner) = at.entry(section).or_insert_with(|| Table::new().into()).as_table_mut() else { return };
            at = inner;
        }
        at.insert(last.to_owned(), value.clone());
        if let Err(error) = Value::Table(alone).try_into::<T>() {
            // Of what is read as a whole, the parser knows which key it was.
            let text = error.to_string();
            let of = text.rsplit_once("in `").and_then(|(_, key)| key.trim_end().strip_suffix('`'));
            mistakes.push(format!("`{}`: {}", of.filter(|of| of.starts_with(key)).unwrap_or(key), error.message()));
        }
    });
    mistakes
}

/// Every value with its key.
fn each(table: &Table, section: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, value) in table {
        let key = within(section, name);
        match value {
            Value::Table(table) if key != WHOLE => each(table, &key, visit),
            value => visit(&key, value),
        }
    }
}

fn within(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

fn leaves(table: &Table) -> BTreeSet<String> {
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(table) => leaves(table).iter().map(|key| within(name, key)).collect(),
            _ => vec![name.clone()],
        })
        .collect()
}

/// The configuration as TOML, and what it leaves open commented out in its section.
pub(super) fn with_all_keys(config: &Config) -> Result<String, toml::ser::Error> {
    let set = leaves(&Table::try_from(config)?);
    let text = toml::to_string(config)?;
    // Section and lines, in the order in which they are written.
    let mut sections: Vec<(String, String)> = vec![(String::new(), String::new())];
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(section) => sections.push((section.to_owned(), format!("[{section}]\n"))),
            None => {
                if let Some((_, lines)) = sections.last_mut() {
                    lines.push_str(line);
                    lines.push('\n');
                }
            }
        }
    }
    for (key, value, meaning) in OPTIONAL.iter().filter(|(key, ..)| !set.contains(*key)) {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        let at = match sections.iter().position(|(known, _)| known == section) {
            Some(at) => at,
            None => {
                // A section of which nothing is set stands behind the one that it is part of.
                let part_of = section.split('.').next().unwrap_or_default();
                let last = sections.iter().rposition(|(known, _)| known.split('.').next() == Some(part_of));
                let at = last.map_or(sections.len(), |last| last + 1);
                sections.insert(at, (section.to_owned(), format!("# [{section}]\n")));
                at
            }
        };
        let line = format!("# {name} = {value}");
        writeln!(sections[at].1, "{line:<56} # {meaning}")?;
    }
    Ok(sections.into_iter().map(|(_, lines)| lines).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every key that the parser takes: asked for one that there is not, it tells those that there are.
    fn parsed(section: &str) -> BTreeSet<String> {
        let names = if section == "bus.kafka.security" {
            // A table of several forms tells the keys of its form.
            let of = |protocol: &str| {
                let mut table = Table::new();
                set(&mut table, "bus.kafka.security.protocol", protocol);
                expected(table, section)
            };
            [vec!["protocol".to_owned()], of("tls"), of("sasl_scram")].concat()
        } else {
            expected(Table::new(), section)
        };
        names
            .iter()
            .flat_map(|name| {
                let key = within(section, name);
                let inside = parsed(&key);
                if inside.is_empty() { BTreeSet::from([key]) } else { inside }
            })
            .collect()
    }

    fn expected(mut table: Table, section: &str) -> Vec<String> {
        set(&mut table, &within(section, "?"), "");
        let error = Value::Table(table).try_into::<Config>().expect_err("no such key");
        let Some((_, names)) = error.message().split_once("unknown field `?`, expected ") else { return Vec::new() };
        names.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_is_known_and_has_a_value_or_a_meaning() {
        let optional: BTreeSet<String> = OPTIONAL.iter().map(|(key, ..)| (*key).to_owned()).collect();
        assert_eq!(optional.len(), OPTIONAL.len());
        let from_the_start = leaves(&Table::try_from(Config::default()).expect("serialises"));
        assert_eq!(optional.intersection(&from_the_start).collect::<Vec<_>>(), Vec::<&String>::new());
        assert_eq!(parsed(""), *KNOWN);
    }

    #[test]
    fn what_is_commented_out_reads_as_what_holds_without_it() {
        let text = Config::default().effective();
        let keys: Vec<&str> = text.lines().filter(|line| line.starts_with("# ") && line.contains('=')).collect();
        assert_eq!(keys.len(), OPTIONAL.len(), "{text}");
        // All of it in force; of the forms of the way to Kafka, one.
        let uncommented: String = text
            .lines()
            .filter(|line| {
                !["# cert ", "# key ", "# username", "# password_file"].iter().any(|not| line.starts_with(not))
            })
            .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or(line).replace("\"plaintext\"", "\"tls\"")))
            .collect();
        let config: Config = toml::from_str(&uncommented).unwrap_or_else(|error| panic!("{error}: {uncommented}"));
        let kafka = config.bus.kafka.expect("Kafka");
        assert_eq!(
            minqiao_bus_kafka::KafkaOptions { security: Default::default(), ..kafka },
            minqiao_bus_kafka::KafkaOptions::at("kafka-1:9092,kafka-2:9092")
        );
        assert_eq!((config.city, config.bus.retention_hours), (Some(3710), Some(8760)));
        assert!(config.access.parameters.is_some() && config.lake.s3.authority.is_some());
        assert!(config.http.client_authority.is_some() && config.store.url_file.is_some());
    }

    #[test]
    fn a_key_stands_in_its_section_and_a_set_one_is_not_repeated() {
        let mut config = Config { keys_dir: Some("/keys".into()), ..Config::default() };
        config.bus.kafka = Some(minqiao_bus_kafka::KafkaOptions::at("b:9092"));
        let text = config.effective();
        assert_eq!(text.matches("keys_dir").count(), 1, "{text}");
        assert_eq!(text.matches("bootstrap").count(), 1, "{text}");
        let section = |name: &str| {
            let after = text.split_once(&format!("\n[{name}]\n")).expect(name).1;
            after.split("\n\n").next().unwrap_or_default().to_owned()
        };
        assert!(section("http").contains("\n# certificate = "), "{text}");
        assert!(section("bus").contains("\n# retention_hours = "), "{text}");
        assert!(section("bus.kafka.security").contains("\n# password_file = "), "{text}");
        assert!(section("lake.s3").contains("\n# credentials_file = "), "{text}");
        assert!(text.starts_with("data_dir") && text.find("# city") < text.find("[http]"), "{text}");
    }

    #[test]
    fn digits_of_a_password_are_not_a_number() {
        let mut table = Table::new();
        set(&mut table, "bus.kafka.security.password", "0123");
        assert_eq!(table["bus"]["kafka"]["security"]["password"].as_str(), Some("0123"));
    }
}
