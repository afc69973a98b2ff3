//! What hubs stand on: their disk, the servers below them, certificates, configuration.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use minqiao_core::Timestamp;
use minqiao_server::certificates::secret_folder;
use minqiao_server::commands::demo::Made;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::config::{Config, StoreEngine};
use minqiao_server::units::Span;
use minqiao_tests::{Brokers, ObjectStore, Postgres};

use crate::disk::Disk;

/// Which of the city's parts are servers, or several processes.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Shape {
    /// The bus is a Kafka cluster of three brokers, started and struck by this program.
    #[arg(long)]
    kafka: bool,
    /// The lake is on an S3-compatible object store, started and struck by this program.
    #[arg(long)]
    s3: bool,
    /// Two gateways and two writers share the work over Kafka, an object store and PostgreSQL.
    #[arg(long)]
    cluster: bool,
}

impl Shape {
    pub(crate) fn kafka(self) -> bool {
        self.kafka || self.cluster
    }

    pub(crate) fn s3(self) -> bool {
        self.s3 || self.cluster
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.kafka(), self.s3()) {
            _ if self.cluster => {
                "two gateways and two writers; Kafka, three brokers; lake on an object store; PostgreSQL"
            }
            (false, false) => "embedded bus",
            (true, false) => "Kafka, three brokers",
            (false, true) => "embedded bus, lake on an object store",
            (true, true) => "Kafka, three brokers, lake on an object store",
        }
    }

    /// The hubs: their names and roles.
    pub(crate) fn hubs(self) -> &'static [(&'static str, &'static str)] {
        if self.cluster {
            &[("gateway-1", "gateway"), ("gateway-2", "gateway"), ("writer-1", "writer"), ("writer-2", "writer")]
        } else {
            &[("hub", ALL_ROLES)]
        }
    }
}

/// Of a hub that does everything.
pub(crate) const ALL_ROLES: &str = "gateway,writer,query";

/// See the module. Servers end with it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) shape: Shape,
    pub(crate) brokers: Option<Brokers>,
    pub(crate) objects: Option<ObjectStore>,
    pub(crate) postgres: Option<Postgres>,
    pub(crate) disk: Disk,
    pub(crate) cast: Cast,
    /// Of all hubs; each has a folder of its own beside this one's.
    shared: Config,
    work: PathBuf,
}

impl Stage {
    /// Starts the servers below `work` and writes what hubs read. A cluster's object store and PostgreSQL are on the disk
    /// that is filled, as a single hub's files are.
    pub(crate) fn set(shape: Shape, work: &Path, seconds: u64) -> anyhow::Result<Self> {
        let disk = Disk::make(work, seconds)?;
        let below = if shape.cluster { disk.folder.as_path() } else { work };
        let brokers = shape.kafka().then(|| Brokers::start(&work.join("kafka"))).transpose()?;
        let objects = shape.s3().then(|| ObjectStore::start(&below.join("s3"))).transpose()?;
        let postgres = if shape.cluster {
            // PostgreSQL has a user of its own, which must get to its folder.
            std::fs::set_permissions(work, std::fs::Permissions::from_mode(0o711))?;
            Some(Postgres::start(&below.join("postgres"))?)
        } else {
            None
        };
        let mut shared = Config { data_dir: disk.folder.join("data"), ..Config::default() };
        shared.lake.compact_every = Span(Duration::from_millis(500));
        if let Some(brokers) = &brokers {
            shared.bus.kafka = Some(minqiao_bus_kafka::KafkaOptions::at(brokers.bootstrap()));
        }
        if let Some(objects) = &objects {
            shared.lake.location = Some(format!("s3://{}/faults", objects.bucket()?));
            shared.lake.s3.endpoint = Some(objects.endpoint().to_owned());
            shared.lake.s3.credentials_file = Some(objects.credentials());
            shared.lake.s3.retry_for = Span(Duration::from_secs(2));
        }
        if let Some(postgres) = &postgres {
            let file = work.join("store-url");
            std::fs::write(&file, postgres.url())?;
            shared.store.engine = StoreEngine::Postgres;
            shared.store.url_file = Some(file);
        }
        secret_folder(&shared.data_dir)?;
        let opening = Timestamp::parse("2026-07-01T08:00:00+08:00").context("a time")?;
        let made =
            Made { counties: vec!["371002".into()], division: "371000".into(), opening, as_of: opening, rows: 0 };
        let cast = Cast::make(&shared, &made)?;
        std::fs::write(shared.parameters(), "[]")?;
        Ok(Self { shape, brokers, objects, postgres, disk, cast, shared, work: work.to_owned() })
    }

    /// Folder of a hub's configuration, log and shim.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The configuration of a hub of this name, at free ports.
    pub(crate) fn config(&self, name: &str, roles: &str) -> anyhow::Result<Config> {
        let mut config =
            if self.shape.cluster { self.shared.beside(self.disk.folder.join(name)) } else { self.shared.clone() };
        config.roles = roles.parse().map_err(anyhow::Error::msg)?;
        config.http.listen.set_port(free_port()?);
        config.operations.listen.set_port(free_port()?);
        Ok(config)
    }

    /// Folder of the embedded log.
    pub(crate) fn log_folder(&self) -> PathBuf {
        self.shared.below_data("bus")
    }

    /// Starts again what does not run after the disk was full.
    pub(crate) fn revive(&self) -> anyhow::Result<()> {
        if let Some(postgres) = &self.postgres {
            postgres.revive()?;
        }
        if let Some(objects) = &self.objects {
            objects.revive()?;
        }
        Ok(())
    }
}

fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
