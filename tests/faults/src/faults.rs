//! What is done to the hub, and to the brokers below it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use minqiao_tests::kafka::BROKERS;
use minqiao_tests::{Brokers, Schedule};

use crate::disk::Disk;
use crate::process::HubProcess;

/// How long a hub may take to be ready after anything.
const READY_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGKILL and a new start.
    Kill,
    /// SIGKILL again while it starts.
    KillTwice,
    /// SIGTERM: it drains.
    Terminate,
    /// SIGSTOP for seconds.
    Freeze,
    /// SIGKILL, and half a record at the end of the embedded log: a write that the crash cut.
    TornTail,
    /// No space on the disk of log, lake and store; then space again.
    DiskFull,
    /// SIGKILL of one broker.
    Broker,
    /// SIGKILL of all brokers.
    AllBrokers,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "hub killed",
            Self::KillTwice => "hub killed while starting",
            Self::Terminate => "hub terminated",
            Self::Freeze => "hub frozen",
            Self::TornTail => "log's tail torn",
            Self::DiskFull => "disk full",
            Self::Broker => "broker killed",
            Self::AllBrokers => "all brokers killed",
        }
    }
}

/// Strikes, one fault after the other.
pub(crate) struct Striker<'a> {
    pub(crate) hub: &'a mut HubProcess,
    pub(crate) brokers: Option<&'a Brokers>,
    pub(crate) disk: &'a Disk,
    pub(crate) log_folder: PathBuf,
    pub(crate) schedule: Schedule,
    pub(crate) fired: BTreeMap<&'static str, u64>,
}

impl Striker<'_> {
    fn kinds(&self) -> Vec<Fault> {
        use Fault::{AllBrokers, Broker, DiskFull, Freeze, Kill, KillTwice, Terminate, TornTail};
        let mut kinds = vec![Kill, Kill, Kill, KillTwice, Terminate, Freeze, Freeze];
        if self.brokers.is_some() {
            kinds.extend([Broker, Broker, Broker, AllBrokers]);
        } else {
            kinds.extend([TornTail, TornTail]);
        }
        if self.disk.can_be_filled() {
            kinds.push(DiskFull);
        }
        kinds
    }

    /// Kinds of which none has fired.
    pub(crate) fn never_fired(&self) -> Vec<&'static str> {
        let mut names: Vec<_> =
            self.kinds().into_iter().map(Fault::name).filter(|name| !self.fired.contains_key(name)).collect();
        names.dedup();
        names
    }

    /// One fault. Each kind comes once before chance decides.
    pub(crate) async fn strike(&mut self) -> anyhow::Result<()> {
        let kinds = self.kinds();
        let new = kinds.iter().copied().find(|kind| !self.fired.contains_key(kind.name()));
        let drawn = kinds[usize::try_from(self.schedule.below(kinds.len() as u64))?];
        let fault = new.unwrap_or(drawn);
        self.run(fault).await.with_context(|| format!("fault `{}`", fault.name()))?;
        *self.fired.entry(fault.name()).or_default() += 1;
        if self.schedule.below(4) > 0 {
            self.hub.ready(READY_WITHIN).await?;
        }
        Ok(())
    }

    async fn run(&mut self, fault: Fault) -> anyhow::Result<()> {
        match fault {
            Fault::Kill => {
                self.hub.kill()?;
                self.pause(0, 1500).await;
                self.hub.start()
            }
            Fault::KillTwice => {
                self.hub.kill()?;
                self.hub.start()?;
                self.pause(0, 800).await;
                self.hub.kill()?;
                self.hub.start()
            }
            Fault::Terminate => {
                self.hub.terminate().await?;
                self.hub.start()
            }
            Fault::Freeze => {
                let pause = self.schedule.millis(200, 5000);
                self.hub.freeze(pause).await
            }
            Fault::TornTail => {
                self.hub.kill()?;
                let garbage: Vec<u8> = (0..self.schedule.below(4000) + 1).map(|_| self.schedule.draw() as u8).collect();
                tear(&self.log_folder, &garbage)?;
                self.hub.start()
            }
            Fault::DiskFull => self.fill_disk().await,
            Fault::Broker => {
                let (brokers, which) = (self.brokers.context("brokers")?, self.schedule.below(BROKERS) + 1);
                brokers.kill(which)?;
                self.pause(200, 6000).await;
                Ok(brokers.revive(which)?)
            }
            Fault::AllBrokers => {
                let brokers = self.brokers.context("brokers")?;
                for which in 1..=BROKERS {
                    brokers.kill(which)?;
                }
                self.pause(1000, 60_000).await;
                for which in 1..=BROKERS {
                    brokers.revive(which)?;
                }
                Ok(())
            }
        }
    }

    /// The log refuses to go on after a write that failed, until it is opened anew; the hub is not ready then, and
    /// whoever runs it starts it again.
    async fn fill_disk(&mut self) -> anyhow::Result<()> {
        let full = self.disk.fill()?;
        self.pause(500, 4000).await;
        self.disk.free()?;
        anyhow::ensure!(full, "the disk never said that it was full");
        self.hub.kill()?;
        self.hub.start()
    }

    async fn pause(&mut self, from: u64, to: u64) {
        let pause = self.schedule.millis(from, to);
        tokio::time::sleep(pause).await;
    }
}

/// Appends bytes to the newest journal of the embedded log.
fn tear(folder: &Path, garbage: &[u8]) -> anyhow::Result<()> {
    let mut journals: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "jnl") {
                journals.push(path);
            }
        }
    }
    journals.sort_by_key(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok());
    let newest = journals.last().context("the embedded log has no journal")?;
    let mut journal = std::fs::File::options().append(true).open(newest)?;
    Ok(journal.write_all(garbage)?)
}
