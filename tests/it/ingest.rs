//! A city that connectors bring in while hubs are killed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressDrawTarget};
use minqiao_connector_api::report::RunReport;
use minqiao_server::commands::demo::cast::Cast;
use minqiao_server::commands::demo::{DemoArgs, Made, connectors, make_city, truth};
use minqiao_server::config::Config;
use minqiao_tests::Schedule;
use tempfile::TempDir;

/// A city and its truth. What happens follows from a seed, which is printed; `MINQIAO_TEST_SEED` repeats one.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    /// Folder of its exports.
    pub(crate) city: PathBuf,
    made: Made,
    seed: u64,
    pub(crate) bars: MultiProgress,
    is_in: AtomicBool,
}

impl Scene {
    #[expect(clippy::print_stdout, reason = "the harness shows it when the test fails")]
    pub(crate) async fn new(residents: u64) -> Self {
        let given = std::env::var_os("MINQIAO_TEST_SEED");
        let seed = given.map_or(20_260_701, |seed| seed.to_string_lossy().parse().expect("a seed is a number"));
        println!("seed {seed}");
        let folder = tempfile::tempdir().expect("a folder");
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let city = folder.path().join("city");
        let args = DemoArgs { residents, seed, counties: 2, exit: true, summary: None, city: None, kafka: None };
        let made = make_city(&args, &city, &bars).await.expect("a city");
        Self { folder, city, made, seed, bars, is_in: AtomicBool::new(false) }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        Schedule::new(self.seed)
    }

    /// Gives a hub of this configuration certificates, people and the city's parameters.
    pub(crate) fn cast(&self, config: &Config) -> Cast {
        let cast = Cast::make(config, &self.made).expect("certificates");
        std::fs::copy(self.city.join("parameters.json"), config.parameters()).expect("parameters");
        cast
    }

    /// Runs the connectors against a port until all is in.
    pub(crate) async fn ingest(&self, port: u16, cast: &Cast) -> Vec<RunReport> {
        // A run whose hub stays away too long stops; the next one goes on at its checkpoint.
        for _ in 0..50 {
            let reports = connectors::run_all(port, cast, &self.city, &self.bars).await.expect("connectors run");
            if reports.iter().all(|report| report.is_complete()) {
                self.is_in.store(true, Ordering::SeqCst);
                return reports;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the connectors never came to an end");
    }

    /// Whether the ingest has come to its end.
    pub(crate) fn is_in(&self) -> bool {
        self.is_in.load(Ordering::SeqCst)
    }

    /// Every row ended as the truth says.
    pub(crate) fn agrees_with(&self, reports: &[RunReport]) {
        let rows = truth::compare_rows(&self.city, reports).expect("a truth");
        assert_eq!(rows.truth.rows_disagree, 0, "{:?}", rows.examples);
        assert_eq!(rows.truth.rows_agree, self.made.rows);
    }
}

/// A hub of this configuration, which is written beside its log.
pub(crate) fn serve(config: &Config, log: &Path) -> Child {
    let file = log.with_extension("toml");
    std::fs::write(&file, config.effective()).expect("written");
    minqiao_tests::hub::serve(&file, log, []).expect("the hub starts")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port()
}
