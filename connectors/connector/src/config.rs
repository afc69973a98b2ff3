//! `connector.yaml` of one connector: read raw, overridden from the environment, resolved once, all mistakes at once.
//!
//! ```yaml
//! department: civil-affairs          # one of the 17
//! division: "371002"                 # county or city of the source system; provider = civil-affairs.371002
//! exports: /srv/exports              # where the department drops its files
//! state: /var/lib/minqiao-connector  # checkpoint and journals
//! reports: /srv/reports              # outcomes and return sheet of each run
//! mappings: /etc/minqiao/mappings    # optional: a folder like connectors/departments/<department>; default: built in
//! gateway: { url: "https://hub:8443", ca: ca.pem, certificate: me.pem, key: me.key, timeout: 120s, retry_for: 10m }
//! run: { items_at_once: 2, rows_per_batch: 8192 }
//! ```
//!
//! `MINQIAO_CONNECTOR__GATEWAY__URL` and the like override the file; relative paths are relative to the file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minqiao_core::ProviderCode;
use serde_norway::Value;

/// Prefix of environment variables; `__` separates keys.
const ENVIRONMENT: &str = "MINQIAO_CONNECTOR__";

const KEYS: [&str; 16] = [
    "department",
    "division",
    "exports",
    "state",
    "reports",
    "mappings",
    "gateway.url",
    "gateway.ca",
    "gateway.certificate",
    "gateway.key",
    "gateway.timeout",
    "gateway.retry_for",
    "run.items_at_once",
    "run.rows_per_batch",
    "run.items",
    "run.check_digest",
];

/// A validated configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) department: String,
    pub(crate) provider: ProviderCode,
    pub(crate) exports: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) reports: PathBuf,
    pub(crate) mappings: Option<PathBuf>,
    pub(crate) gateway: GatewayConfig,
    pub(crate) items_at_once: usize,
    pub(crate) rows_per_batch: usize,
    pub(crate) items: Vec<String>,
}

/// How to reach the hub.
#[derive(Debug, Clone)]
pub(crate) struct GatewayConfig {
    pub(crate) url: String,
    pub(crate) ca: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) timeout: Duration,
    pub(crate) retry_for: Duration,
    pub(crate) check_digest: bool,
}

/// Everything that is wrong with a configuration: key path and what would be right, in both languages.
#[derive(Debug)]
pub(crate) struct Mistakes(Vec<(String, String, String)>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "配置有误 / the configuration has mistakes:")?;
        for (key, zh, en) in &self.0 {
            write!(f, "\n  {key}: {zh} / {en}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

impl Config {
    /// Resolves the text of the file in `folder`, overridden by the environment.
    pub(crate) fn resolve(
        text: &str,
        folder: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Mistakes> {
        let mut raw = Raw { values: BTreeMap::new(), mistakes: Vec::new() };
        match serde_norway::from_str::<Value>(text) {
            Ok(tree) => raw.flatten("", &tree),
            Err(error) => raw.mistake("", format!("YAML 语法错误：{error}"), format!("not YAML: {error}")),
        }
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(ENVIRONMENT) else { continue };
            raw.set(rest.to_ascii_lowercase().replace("__", "."), value);
        }
        let path = |raw: &mut Raw, key: &str, default: Option<&str>| {
            folder.join(raw.required(key, default).unwrap_or_default())
        };
        let department = raw.required("department", None).unwrap_or_default();
        let division = raw.required("division", None).unwrap_or_default();
        if !division.is_empty() && (division.len() != 6 || !division.bytes().all(|b| b.is_ascii_digit())) {
            raw.mistake("division", "应为六位行政区划代码".into(), "must be six digits of GB/T 2260".into());
        }
        let provider = ProviderCode::new(format!("{department}.{division}"));
        if provider.is_err() {
            raw.mistake(
                "department",
                "应为部门代码，如 civil-affairs".into(),
                "must be a code such as `civil-affairs`".into(),
            );
        }
        let gateway = GatewayConfig {
            url: raw.required("gateway.url", None).unwrap_or_default(),
            ca: path(&mut raw, "gateway.ca", None),
            certificate: path(&mut raw, "gateway.certificate", None),
            key: path(&mut raw, "gateway.key", None),
            timeout: raw.duration("gateway.timeout", Duration::from_secs(120)),
            retry_for: raw.duration("gateway.retry_for", Duration::from_secs(600)),
            check_digest: raw.number("run.check_digest", 1, 0..=1) == 1,
        };
        let config = Self {
            exports: path(&mut raw, "exports", None),
            state: path(&mut raw, "state", Some("state")),
            reports: path(&mut raw, "reports", Some("reports")),
            mappings: raw.values.remove("mappings").map(|p| folder.join(p)),
            items_at_once: raw.number("run.items_at_once", 2, 1..=16),
            rows_per_batch: raw.number("run.rows_per_batch", 8192, 1..=65_536),
            items: raw
                .values
                .remove("run.items")
                .map(|list| list.split(',').map(|i| i.trim().to_owned()).collect())
                .unwrap_or_default(),
            department,
            provider: provider.clone().unwrap_or_else(|_| ProviderCode::new("invalid").expect("a valid code")),
            gateway,
        };
        if raw.mistakes.is_empty() { Ok(config) } else { Err(Mistakes(raw.mistakes)) }
    }
}

struct Raw {
    values: BTreeMap<String, String>,
    mistakes: Vec<(String, String, String)>,
}

impl Raw {
    fn mistake(&mut self, key: &str, zh: String, en: String) {
        self.mistakes.push((key.to_owned(), zh, en));
    }

    fn set(&mut self, key: String, value: String) {
        if KEYS.contains(&key.as_str()) {
            self.values.insert(key, value);
        } else {
            let list = KEYS.join(", ");
            self.mistake(&key, format!("未知的键，可用：{list}"), "unknown key".into());
        }
    }

    fn flatten(&mut self, prefix: &str, value: &Value) {
        match value {
            Value::Mapping(map) => {
                for (key, value) in map {
                    let Some(key) = key.as_str() else {
                        self.mistake(prefix, "键必须是文字".into(), "keys must be text".into());
                        continue;
                    };
                    let path = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
                    self.flatten(&path, value);
                }
            }
            Value::Sequence(list) => {
                let texts: Vec<String> = list.iter().filter_map(|v| v.as_str()).map(str::to_owned).collect();
                self.set(prefix.to_owned(), texts.join(","));
            }
            Value::String(text) => self.set(prefix.to_owned(), text.clone()),
            Value::Number(number) => self.set(prefix.to_owned(), number.to_string()),
            Value::Bool(truth) => self.set(prefix.to_owned(), u8::from(*truth).to_string()),
            Value::Null | Value::Tagged(_) => {}
        }
    }

    fn required(&mut self, key: &str, default: Option<&str>) -> Option<String> {
        let value = self.values.remove(key).or_else(|| default.map(str::to_owned)).filter(|v| !v.is_empty());
        if value.is_none() {
            self.mistake(key, "缺少此项".into(), "is missing".into());
        }
        value
    }

    fn number(&mut self, key: &str, default: usize, range: std::ops::RangeInclusive<usize>) -> usize {
        let Some(text) = self.values.remove(key) else { return default };
        match text.parse().ok().filter(|n| range.contains(n)) {
            Some(number) => number,
            None => {
                let (low, high) = (range.start(), range.end());
                self.mistake(
                    key,
                    format!("应为 {low} 到 {high} 的整数"),
                    format!("must be a whole number from {low} to {high}"),
                );
                default
            }
        }
    }

    fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let Some(text) = self.values.remove(key) else { return default };
        let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
        let found = units.iter().find_map(|(unit, millis)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*millis).filter(|ms| (1..=86_400_000).contains(ms)).map(Duration::from_millis)
        });
        found.unwrap_or_else(|| {
            self.mistake(key, "应为时长，如 30s、10m".into(), "must be a duration such as `30s` or `10m`".into());
            default
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, environment: &[(&str, &str)]) -> Result<Config, Mistakes> {
        let environment = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Config::resolve(text, Path::new("/etc/minqiao"), environment)
    }

    const GOOD: &str = "department: civil-affairs\ndivision: '371002'\nexports: /srv/in\n\
        gateway: { url: 'https://hub:8443', ca: ca.pem, certificate: me.pem, key: me.key, retry_for: 5m }\n";

    #[test]
    fn the_environment_overrides_the_file_and_paths_are_relative_to_it() {
        let config = resolve(GOOD, &[("MINQIAO_CONNECTOR__GATEWAY__URL", "https://other:1"), ("PATH", "/bin")])
            .unwrap_or_else(|m| panic!("{m}"));
        assert_eq!(config.gateway.url, "https://other:1");
        assert_eq!(config.gateway.ca, Path::new("/etc/minqiao/ca.pem"));
        assert_eq!(config.exports, Path::new("/srv/in"));
        assert_eq!(config.provider.as_str(), "civil-affairs.371002");
        assert_eq!(config.gateway.retry_for, Duration::from_secs(300));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let bad = "department: civil affairs\ndivision: 12\ncolour: red\nrun: { items_at_once: 99 }\ngateway: { timeout: soon }\n";
        let mistakes = resolve(bad, &[("MINQIAO_CONNECTOR__RUN__SPEED", "9")]).expect_err("many mistakes");
        let mut keys: Vec<&str> = mistakes.0.iter().map(|(key, _, _)| key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "colour",
                "department",
                "division",
                "exports",
                "gateway.ca",
                "gateway.certificate",
                "gateway.key",
                "gateway.timeout",
                "gateway.url",
                "run.items_at_once",
                "run.speed",
            ]
        );
    }
}
