//! Where the lake is.
//!
//! ```toml
//! [lake]
//! location = "s3://minqiao/weihai"                 # or an absolute folder; default: lake below the data folder
//!
//! [lake.s3]
//! endpoint = "https://s3.weihai.example:9000"      # without it: Amazon's
//! region = "us-east-1"
//! credentials_file = "/etc/minqiao/lake-keys.toml" # access_key_id = "…", secret_access_key = "…"
//! ```
//!
//! Keys are never in the configuration: they come from a file of their own, or from `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN` in the environment, which the file goes before. Neither is printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use minqiao_lake::{S3Credentials, S3Options};
use serde::{Deserialize, Serialize};

use super::bounds::{Mistakes, minutes, ms};
use super::{Config, ConfigError};
use crate::units::Span;

/// An S3-compatible object store.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeS3 {
    /// `https://host:port`; without it, Amazon's of the region.
    pub endpoint: Option<String>,
    /// Region that requests are signed for.
    pub region: String,
    /// File of the keys, TOML: `access_key_id`, `secret_access_key` and, for keys on loan, `session_token`.
    pub credentials_file: Option<PathBuf>,
    /// Authority of the store's certificate, PEM; default: the system's.
    pub authority: Option<PathBuf>,
    /// Allows `http://` to other machines, where rows travel in clear.
    pub allow_http: bool,
    /// The bucket stands in the host's name.
    pub virtual_hosted: bool,
    /// Time of one request.
    pub request_timeout: Span,
    /// Time for the attempts of one request.
    pub retry_for: Span,
    /// Keys of the environment.
    #[serde(skip)]
    pub(super) environment: Option<Keys>,
}

/// Keys of an account: read, never shown.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Keys {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Keys {
    /// Takes a variable of the environment, if it is one of the three.
    pub(super) fn take(keys: &mut Option<Self>, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let value = value.to_owned();
        match name {
            "AWS_ACCESS_KEY_ID" => keys.get_or_insert_default().access_key_id = value,
            "AWS_SECRET_ACCESS_KEY" => keys.get_or_insert_default().secret_access_key = value,
            "AWS_SESSION_TOKEN" => keys.get_or_insert_default().session_token = Some(value),
            _ => {}
        }
    }

    fn read(file: &Path) -> Result<Self, ConfigError> {
        let key = "lake.s3.credentials_file";
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::File { key, path: file.to_owned(), source })?;
        // What a parser says of a mistake quotes the line, which holds a key.
        toml::from_str(&text).map_err(|_| {
            let wanted = "two lines, `access_key_id = \"…\"` and `secret_access_key = \"…\"`";
            ConfigError::Content(vec![format!("`{}` (`{key}`) does not hold {wanted}", file.display())])
        })
    }
}

impl Default for LakeS3 {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            credentials_file: None,
            authority: None,
            allow_http: false,
            virtual_hosted: false,
            request_timeout: Span(Duration::from_secs(30)),
            retry_for: Span(Duration::from_secs(20)),
            environment: None,
        }
    }
}

/// What the configuration says about the lake's place.
#[derive(Debug)]
pub enum LakePlace {
    /// A folder of this machine, or one that several share.
    Folder(PathBuf),
    /// A bucket.
    S3(Box<S3Options>),
}

impl super::Lake {
    fn is_s3(&self) -> bool {
        self.location.as_ref().is_some_and(|location| location.contains("://"))
    }

    pub(super) fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("lake.commit_every", self.commit_every, ms(1), minutes(10));
        mistakes.within("lake.compact_every", self.compact_every, ms(10), minutes(60));
        mistakes.within("lake.follow_every", self.follow_every, ms(10), minutes(5));
        if let Some(location) = self.location.as_ref().filter(|_| !self.is_s3()) {
            mistakes.want(
                Path::new(location).is_absolute(),
                "`lake.location` must be an absolute folder or `s3://bucket/prefix`",
            );
        }
        if let Some(location) = self.location.as_ref().filter(|_| self.is_s3())
            && let Err(mistake) = S3Options::check(location, self.s3.endpoint.as_deref(), self.s3.allow_http)
        {
            mistakes.want(false, format!("`lake.location`, `lake.s3.endpoint`: {mistake}"));
        }
        let s3 = &self.s3;
        let named = s3.endpoint.is_some() || s3.credentials_file.is_some() || s3.authority.is_some();
        mistakes.want(self.is_s3() || !named, "`lake.s3` needs `lake.location = \"s3://bucket/prefix\"`");
        mistakes.name("lake.s3.region", &s3.region);
        mistakes.path("lake.s3.credentials_file", s3.credentials_file.as_deref());
        mistakes.path("lake.s3.authority", s3.authority.as_deref());
        mistakes.within("lake.s3.request_timeout", s3.request_timeout, ms(100), minutes(10));
        mistakes.within("lake.s3.retry_for", s3.retry_for, ms(0), minutes(10));
    }
}

impl Config {
    /// Where the lake is. Reads the files of the keys and of the authority.
    pub fn lake_place(&self) -> anyhow::Result<LakePlace> {
        let location = match &self.lake.location {
            None => return Ok(LakePlace::Folder(self.below_data("lake"))),
            Some(folder) if !self.lake.is_s3() => return Ok(LakePlace::Folder(PathBuf::from(folder))),
            Some(location) => location,
        };
        let s3 = &self.lake.s3;
        let keys = match (&s3.credentials_file, &s3.environment) {
            (Some(file), _) => Keys::read(file)?,
            (None, Some(keys)) => keys.clone(),
            (None, None) => Keys::default(),
        };
        if keys.access_key_id.is_empty() || keys.secret_access_key.is_empty() {
            let mistake = "the object store has no keys: set `lake.s3.credentials_file`, or AWS_ACCESS_KEY_ID and \
                           AWS_SECRET_ACCESS_KEY";
            return Err(ConfigError::Content(vec![mistake.to_owned()]).into());
        }
        let credentials = S3Credentials {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: keys.session_token,
        };
        let mut options = S3Options::at(location, credentials)?;
        let read = |file: &PathBuf| {
            std::fs::read(file).map_err(|source| {
                let key = "lake.s3.authority";
                ConfigError::File { key, path: file.clone(), source }
            })
        };
        options.authority = s3.authority.as_ref().map(read).transpose()?;
        options.endpoint.clone_from(&s3.endpoint);
        options.region.clone_from(&s3.region);
        options.allow_http = s3.allow_http;
        options.virtual_hosted = s3.virtual_hosted;
        options.request_timeout = s3.request_timeout.0;
        options.retry_for = s3.retry_for.0;
        Ok(LakePlace::S3(Box::new(options)))
    }

    /// The point index: a process's own, wherever the lake is.
    pub fn lake_index(&self) -> PathBuf {
        self.below_data("lake").join("index")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let path = dir.path().join("minqiao.toml");
        std::fs::write(&path, file).expect("written");
        Config::load(Some(&path), environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    const SECTION: &str = "[lake]\nlocation = \"s3://city/lake\"\n[lake.s3]\nendpoint = \"http://127.0.0.1:9000\"\n";
    const ENVIRONMENT: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "account"), ("AWS_SECRET_ACCESS_KEY", "geheim")];

    #[test]
    fn the_lake_is_below_the_data_folder_unless_it_is_told_where() {
        let place = |file: &str| match load(file, &ENVIRONMENT).expect("valid").lake_place().expect("a place") {
            LakePlace::Folder(folder) => folder.display().to_string(),
            LakePlace::S3(options) => options.url(),
        };
        assert_eq!(place("data_dir = \"/srv/minqiao\""), "/srv/minqiao/lake");
        assert_eq!(place("[lake]\nlocation = \"/shared/lake\""), "/shared/lake");
        assert_eq!(place(SECTION), "s3://city/lake/");
    }

    #[test]
    fn keys_come_from_a_file_or_the_environment_and_are_never_shown() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let file = dir.path().join("keys.toml");
        let named = format!("{SECTION}credentials_file = \"{}\"\n", file.display());
        std::fs::write(&file, "access_key_id = \"account\"\nsecret_access_key = \"geheim\"\n").expect("written");
        for config in [load(&named, &[]).expect("valid"), load(SECTION, &ENVIRONMENT).expect("valid")] {
            let LakePlace::S3(options) = config.lake_place().expect("a place") else { panic!("a folder") };
            assert_eq!(options.credentials.access_key_id, "account");
            assert_eq!(options.credentials.secret_access_key, "geheim");
            let shown = format!("{}{config:?}{options:?}", config.effective());
            assert!(shown.contains("s3://city/lake") && !shown.contains("geheim"), "{shown}");
            let again: Config = toml::from_str(&config.effective()).expect("reads back");
            assert_eq!(again.effective(), config.effective());
        }
        std::fs::write(&file, "secret_access_key = geheim").expect("written");
        let told = format!("{:?}", load(&named, &[]).expect("valid").lake_place().expect_err("no TOML"));
        assert!(told.contains("credentials_file") && !told.contains("geheim"), "{told}");
        let told = load(SECTION, &[]).expect("valid").lake_place().expect_err("no keys").to_string();
        assert!(told.contains("AWS_SECRET_ACCESS_KEY"), "{told}");
    }

    #[test]
    fn mistakes_are_told_at_load() {
        let mistakes = [
            ("[lake]\nlocation = \"lake\"", "absolute"),
            ("[lake]\nlocation = \"s3://\"", "s3://bucket/prefix"),
            ("[lake]\nlocation = \"gs://city/lake\"", "s3://bucket/prefix"),
            ("[lake.s3]\nendpoint = \"https://s3.example\"", "lake.location"),
            ("[lake]\nlocation = \"s3://city/lake\"\n[lake.s3]\nendpoint = \"http://10.0.0.8:9000\"", "allow_http"),
            (
                "[lake]\nlocation = \"s3://city/lake\"\n[lake.s3]\nsecret_access_key = \"geheim\"",
                "`lake.s3.secret_access_key` is no key",
            ),
        ];
        for (file, expected) in mistakes {
            let error = load(file, &[]).expect_err("a mistake").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
