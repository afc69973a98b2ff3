//! Several hubs on one city, as processes: two gateways behind a balancer, two writers, a query hub; Kafka, PostgreSQL and
//! a lake on an object store or in a folder that all see. Any of them is killed at random moments; rows agree with the truth, none lost, none doubled.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use minqiao_connector_api::report::RunReport;
use minqiao_core::SystemClock;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::config::{Config, StoreEngine};
use minqiao_server::hub::Hub;
use minqiao_tests::Balancer;
use minqiao_tests::servers::named;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::ingest::{Scene, free_port, serve};

const KILLS: usize = 8;
/// What runs: name and roles.
const HUBS: [(&str, &str); 5] = [
    ("gateway-1", "gateway"),
    ("gateway-2", "gateway"),
    ("writer-1", "writer"),
    ("writer-2", "writer"),
    ("query", "query"),
];

/// Kafka's and PostgreSQL's address.
fn servers() -> Option<(String, String)> {
    named("MINQIAO_KAFKA_BOOTSTRAP", "kafka").zip(named("MINQIAO_POSTGRES_URL", "postgres"))
}

/// What the hubs share, and the hubs.
struct Cluster {
    /// Configuration of a hub without its own folder, ports and roles.
    shared: Config,
    folder: PathBuf,
    hubs: Vec<Running>,
}

struct Running {
    name: &'static str,
    config: Config,
    log: PathBuf,
    child: Child,
}

impl Running {
    /// kill -9, and another process in its place.
    fn replace(&mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("it is gone");
        self.child = serve(&self.config, &self.log);
    }
}

impl Cluster {
    async fn new(folder: &Path, kafka: &str, postgres: &str) -> Self {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let mut connection = PgConnection::connect(postgres).await.expect("PostgreSQL answers");
        let make = AssertSqlSafe(format!("CREATE SCHEMA cluster_{unique}"));
        sqlx::query(make).execute(&mut connection).await.expect("a schema");
        let and = if postgres.contains('?') { '&' } else { '?' };
        let common = folder.join("common");
        std::fs::create_dir_all(&common).expect("a folder");
        let url = common.join("store-url");
        std::fs::write(&url, format!("{postgres}{and}options[search_path]=cluster_{unique}")).expect("written");
        let mut shared = Config { data_dir: common.clone(), ..Config::default() };
        crate::world::bus_on_kafka(&mut shared, kafka);
        shared.store.engine = StoreEngine::Postgres;
        shared.store.url_file = Some(url);
        // On an object store where there is one, else in a folder that all see.
        if crate::world::lake_on_s3(&mut shared).is_none() {
            shared.lake.location = Some(common.join("lake").display().to_string());
        }
        Self { shared, folder: folder.to_owned(), hubs: Vec::new() }
    }

    /// The configuration of a process of this name.
    fn config(&self, name: &str, roles: &str) -> Config {
        let mut config = self.shared.beside(self.folder.join(name));
        config.roles = roles.parse().expect("roles");
        config.http.listen = ([127, 0, 0, 1], free_port()).into();
        config.operations.listen = ([127, 0, 0, 1], free_port()).into();
        config
    }

    fn start(&mut self) {
        let start = |(name, roles): &(&'static str, &str)| {
            let config = self.config(name, roles);
            let log = self.folder.join(format!("{name}.log"));
            Running { name, child: serve(&config, &log), config, log }
        };
        self.hubs = HUBS.iter().map(start).collect();
    }

    fn gateways(&self) -> Vec<u16> {
        let gateways = self.hubs.iter().filter(|hub| hub.name.starts_with("gateway"));
        gateways.map(|hub| hub.config.http.listen.port()).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for hub in &mut self.hubs {
            let _killed = hub.child.kill();
            let _ended = hub.child.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_that_share_a_city_are_killed_and_nothing_is_lost_or_doubled() {
    let Some((kafka, postgres)) = servers() else { return };
    let scene = Scene::new(4_000).await;
    let mut schedule = scene.schedule();
    let mut cluster = Cluster::new(scene.folder.path(), &kafka, &postgres).await;
    let cast = scene.cast(&cluster.shared);
    cluster.start();
    let balancer = Balancer::start(cluster.gateways()).await.expect("a port");

    let mut killed: BTreeMap<&str, usize> = BTreeMap::new();
    let kills = async {
        let mut during_ingest = 0;
        for kill in 0..KILLS {
            tokio::time::sleep(schedule.millis(700, 2500)).await;
            during_ingest += usize::from(!scene.is_in());
            // Each of the first four once, then whichever.
            let at = if kill < 4 { kill } else { schedule.below(HUBS.len() as u64) as usize };
            *killed.entry(HUBS[at].0).or_default() += 1;
            cluster.hubs[at].replace();
        }
        during_ingest
    };
    let both = async { tokio::join!(scene.ingest(balancer.port(), &cast), kills) };
    let (reports, during_ingest) = tokio::time::timeout(Duration::from_secs(400), both).await.expect("in time");
    println!("killed {killed:?}, {during_ingest} times during the ingest");
    assert!(during_ingest >= 3, "only {during_ingest} kills struck during the ingest: the city is too small");
    drop(balancer);
    for hub in &mut cluster.hubs {
        let ended = hub.child.try_wait().expect("a process");
        assert!(ended.is_none(), "{} ended by itself: {ended:?}", hub.name);
    }

    scene.agrees_with(&reports);
    // A hub that comes now, follows the writers and reads: they still run and nobody told them of it.
    let hub = Hub::open(cluster.config("reader", "query"), Arc::new(SystemClock::new())).await.expect("it opens");
    everything_is_in_the_lake(&hub, &reports).await;
    hub.close().await;
    let shared = cluster.shared.clone();
    drop(cluster);
    minqiao_server::bus::remove_namespace(&shared).await.expect("the topics go");
}

/// Waits until the lake holds each accepted row once, as a hub sees it that does not write.
async fn everything_is_in_the_lake(hub: &Hub, reports: &[RunReport]) {
    let accepted: BTreeMap<&str, u64> = reports
        .iter()
        .flat_map(|report| &report.items)
        .map(|item| (item.item.as_str(), item.counts.accepted))
        .collect();
    let mut differ = Vec::new();
    for _ in 0..300 {
        hub.lake.refresh().await.expect("the lake is read");
        let stored = hub.lake.row_counts();
        differ = accepted
            .iter()
            .map(|(item, accepted)| (*item, *accepted, stored.get(*item).map_or(0, |rows| rows.changes)))
            .filter(|(_, accepted, stored)| accepted != stored)
            .collect();
        if differ.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("accepted rows and stored versions differ: {differ:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hubs_with_other_keys_or_another_lake_are_refused() {
    let Some((kafka, postgres)) = servers() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::new(folder.path(), &kafka, &postgres).await;
    Cast::make(&cluster.shared, &crate::world::made()).expect("certificates");
    std::fs::write(cluster.shared.parameters(), "[]").expect("parameters");
    let open = |config: Config| Hub::open(config, Arc::new(SystemClock::new()));
    let first = open(cluster.config("first", "gateway,writer,query")).await.expect("the first says what is right");

    let mut other = cluster.config("other-keys", "gateway");
    other.keys_dir = Some(folder.path().join("keys-of-its-own"));
    let refused = format!("{:#}", open(other).await.expect_err("other keys"));
    assert!(refused.contains("keys_dir"), "{refused}");
    let mut other = cluster.config("other-lake", "writer");
    other.lake.location = Some(folder.path().join("lake-of-its-own").display().to_string());
    let refused = format!("{:#}", open(other).await.expect_err("another lake"));
    assert!(refused.contains("lake.location"), "{refused}");
    let second = open(cluster.config("second", "writer")).await.expect("the same keys and lake");
    second.close().await;
    first.close().await;
    minqiao_server::bus::remove_namespace(&cluster.shared).await.expect("the topics go");
}
