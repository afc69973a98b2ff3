//! A hub on loopback with its own folder, certificates and people, for tests that come through the door.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use minqiao_core::{SystemClock, Timestamp};
use minqiao_doors::access::AccessFile;
use minqiao_server::certificates::Authority;
use minqiao_server::commands::demo::Made;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::config::Config;
use minqiao_server::hub::{Hub, Running};
use minqiao_tests::servers::named;
use reqwest::{Client, Identity, RequestBuilder};
use tempfile::TempDir;

/// County of the test caseworker.
pub(crate) const COUNTY: &str = "371002";

/// A running hub and who may talk to it.
pub(crate) struct World {
    pub(crate) running: Running,
    pub(crate) cast: Cast,
    pub(crate) folder: TempDir,
}

/// What a city would say, for hubs without one.
pub(crate) fn made() -> Made {
    let opening = Timestamp::parse("2026-07-01T08:00:00+08:00").expect("valid");
    let as_of = Timestamp::parse("2026-07-01T20:00:00+08:00").expect("valid");
    Made { counties: vec![COUNTY.to_owned()], division: "371000".to_owned(), opening, as_of, rows: 0 }
}

/// A configuration below `folder` with free ports.
pub(crate) fn config(folder: &Path) -> Config {
    let mut config = Config { data_dir: folder.join("data"), ..Config::default() };
    config.http.listen = ([127, 0, 0, 1], 0).into();
    config.operations.listen = ([127, 0, 0, 1], 0).into();
    config
}

/// Puts the bus on a Kafka cluster, with topics that nobody else has. Whoever did it removes them with
/// `minqiao_server::bus::remove_namespace`.
pub(crate) fn bus_on_kafka(config: &mut Config, bootstrap: &str) {
    let options = serde_json::json!({ "bootstrap": bootstrap });
    config.bus.kafka = Some(serde_json::from_value(options).expect("options"));
    config.bus.namespace = format!("it-{}.", uuid::Uuid::new_v4().simple());
}

/// Puts the lake on the object store of `tests/servers/s3`, in a place that nobody else has. Answers the server's
/// folder, or says that there is none.
pub(crate) fn lake_on_s3(config: &mut Config) -> Option<PathBuf> {
    let server = PathBuf::from(named("MINQIAO_S3_VERSITYGW", "s3")?);
    let read = |name: &str| std::fs::read_to_string(server.join(name)).expect("a folder of tests/servers/s3");
    let unique = config.data_dir.parent()?.file_name()?.to_string_lossy().replace('.', "");
    config.lake.location = Some(format!("s3://{}/it-{unique}", read("bucket")));
    config.lake.s3.endpoint = Some(read("endpoint"));
    config.lake.s3.credentials_file = Some(server.join("credentials"));
    Some(server)
}

async fn serve(config: Config) -> Running {
    let clock = Arc::new(SystemClock::starting_at(made().opening));
    let hub = Hub::open(config, clock).await.expect("the hub opens");
    hub.start().await.expect("the hub starts")
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_among(change, |_| {}).await
    }

    /// With more people and connectors than the cast.
    pub(crate) async fn start_among(change: impl FnOnce(&mut Config), invite: impl FnOnce(&mut AccessFile)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut config = config(folder.path());
        change(&mut config);
        let made = made();
        let cast = Cast::make(&config, &made).expect("certificates");
        std::fs::write(config.parameters(), "[]").expect("parameters");
        let list = std::fs::read_to_string(config.access_list()).expect("the access list");
        let mut list: AccessFile = serde_norway::from_str(&list).expect("YAML");
        invite(&mut list);
        std::fs::write(config.access_list(), serde_norway::to_string(&list).expect("YAML")).expect("written");
        let running = serve(config).await;
        Self { running, cast, folder }
    }

    /// The same hub after it was stopped and started.
    pub(crate) async fn restart(self) -> Self {
        self.restart_after(|_| {}).await
    }

    /// The same, with something done to what is on its disk in between.
    pub(crate) async fn restart_after(self, act: impl FnOnce(&Config)) -> Self {
        let Self { running, cast, folder } = self;
        let config = running.hub.config.clone();
        running.stop().await;
        act(&config);
        Self { running: serve(config).await, cast, folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.running.http.port())
    }

    /// Client without an identity of its own.
    pub(crate) fn anonymous(&self) -> Client {
        self.builder().build().expect("client")
    }

    /// Client with the certificate of a department's connector.
    pub(crate) fn connector(&self, department: &str) -> Client {
        let player = self.cast.connectors.iter().find(|p| p.department == department).expect("a department");
        self.with_files(&player.pair.certificate, &player.pair.key)
    }

    /// Client with a certificate that `authority` signed.
    pub(crate) fn signed_by(&self, authority: &Authority, name: &str, expired: bool) -> Client {
        let (certificate, key) = authority.issue(name, false, expired).expect("certificate");
        let identity = Identity::from_pem(format!("{key}{certificate}").as_bytes()).expect("identity");
        self.builder().identity(identity).build().expect("client")
    }

    /// Client with a certificate of the hub's own authority for a name that is not listed.
    pub(crate) fn cast_client(&self, name: &str) -> Client {
        self.signed_by(&self.cast.signer, name, false)
    }

    fn with_files(&self, certificate: &PathBuf, key: &PathBuf) -> Client {
        let mut pem = std::fs::read(key).expect("key");
        pem.extend(std::fs::read(certificate).expect("certificate"));
        self.builder().identity(Identity::from_pem(&pem).expect("identity")).build().expect("client")
    }

    fn builder(&self) -> reqwest::ClientBuilder {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let authority = std::fs::read(&self.cast.authority).expect("authority");
        let authority = reqwest::Certificate::from_pem(&authority).expect("certificate");
        Client::builder().tls_backend_rustls().tls_certs_only([authority])
    }

    /// `POST /v1/sql` as a user of the cast.
    pub(crate) fn sql(&self, user: &str, sql: &str) -> RequestBuilder {
        let person = self.cast.people.iter().find(|p| p.principal.id == user).expect("a user");
        let header = std::fs::read_to_string(&person.header_file).expect("token");
        let token = header.trim().trim_start_matches("Authorization: Bearer ");
        self.anonymous()
            .post(self.url("/v1/sql"))
            .bearer_auth(token)
            .header("X-Minqiao-Purpose", person.purpose)
            .json(&serde_json::json!({ "sql": sql }))
    }

    pub(crate) async fn stop(self) -> TempDir {
        self.running.stop().await;
        self.folder
    }
}
