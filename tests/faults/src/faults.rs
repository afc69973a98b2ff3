//! What is done to the hub, and to the brokers below it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use minqiao_tests::kafka::BROKERS;
use minqiao_tests::{Brokers, ObjectStore, Schedule};

use crate::disk::Disk;
use crate::process::HubProcess;
use crate::shim::{Counter, Shim};

/// How long a hub may take to be ready after anything.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Bytes of a journal's first record that are no whole record yet: its head (13) and part of an item's.
const HEADS: usize = 30;

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
    /// SIGKILL, and behind the last record of the embedded log what a write leaves that the crash cut.
    TornTail,
    /// The wall clock jumps, minutes to days, either way, and back again; sometimes the hub starts in between.
    ClockJump,
    /// Every sync takes 50 to 2000 ms, and so do some writes.
    SlowDisk,
    /// No space on the disk of log, lake and store; then space again.
    DiskFull,
    /// SIGKILL of one broker.
    Broker,
    /// SIGKILL of all brokers.
    AllBrokers,
    /// SIGKILL of the object store that holds the lake.
    ObjectStore,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "hub killed",
            Self::KillTwice => "hub killed while starting",
            Self::Terminate => "hub terminated",
            Self::Freeze => "hub frozen",
            Self::TornTail => "log's tail torn",
            Self::ClockJump => "clock jumped",
            Self::SlowDisk => "disk slow",
            Self::DiskFull => "disk full",
            Self::Broker => "broker killed",
            Self::AllBrokers => "all brokers killed",
            Self::ObjectStore => "object store killed",
        }
    }
}

/// Strikes, one fault after the other.
pub(crate) struct Striker<'a> {
    pub(crate) hub: &'a mut HubProcess,
    pub(crate) brokers: Option<&'a Brokers>,
    pub(crate) objects: Option<&'a ObjectStore>,
    pub(crate) disk: &'a Disk,
    pub(crate) shim: &'a Shim,
    pub(crate) log_folder: PathBuf,
    pub(crate) schedule: Schedule,
    pub(crate) fired: BTreeMap<&'static str, u64>,
}

impl Striker<'_> {
    fn kinds(&self) -> Vec<Fault> {
        use Fault::{AllBrokers, Broker, ClockJump, DiskFull, Freeze, Kill, KillTwice, SlowDisk, Terminate, TornTail};
        let mut kinds = vec![Kill, Kill, Kill, KillTwice, Terminate, Freeze, Freeze];
        kinds.extend([ClockJump, ClockJump, SlowDisk, SlowDisk]);
        if self.brokers.is_some() {
            kinds.extend([Broker, Broker, Broker, AllBrokers]);
        } else {
            kinds.extend([TornTail, TornTail]);
        }
        if self.objects.is_some() {
            kinds.extend([Fault::ObjectStore, Fault::ObjectStore]);
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
                self.tear()?;
                self.hub.start()
            }
            Fault::ClockJump => self.jump().await,
            Fault::SlowDisk => self.slow_disk().await,
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
            Fault::ObjectStore => {
                let objects = self.objects.context("an object store")?;
                objects.kill()?;
                self.pause(200, 10_000).await;
                Ok(objects.revive()?)
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
        // A hub whose write was refused ends by itself and is started again by whoever watches it: `ready` does.
        self.pause(4000, 6000).await;
        self.hub.ready(READY_WITHIN).await
    }

    async fn jump(&mut self) -> anyhow::Result<()> {
        self.hub.ready(READY_WITHIN).await?;
        let before = self.shim.count(Counter::ClocksShifted)?;
        // As many jumps of minutes as of hours and of days.
        let unit = [60, 3600, 86_400][usize::try_from(self.schedule.below(3))?];
        let seconds = unit * i64::try_from(self.schedule.below(20) + 1)?;
        let forward = self.schedule.below(2) == 0;
        self.shim.shift_clock(if forward { seconds } else { -seconds })?;
        self.pause(300, 3000).await;
        if self.schedule.below(3) == 0 {
            self.hub.kill()?;
            self.hub.start()?;
            self.pause(300, 3000).await;
        }
        self.await_more(Counter::ClocksShifted, before).await?;
        self.shim.shift_clock(0)
    }

    async fn slow_disk(&mut self) -> anyhow::Result<()> {
        // A hub that was started while its clock was wrong may have ended by itself: an object store refuses it.
        self.hub.ready(READY_WITHIN).await?;
        let before = self.shim.count(Counter::SyncsDelayed)?;
        self.shim.slow_down(Duration::from_millis(50), Duration::from_millis(2000), 8)?;
        self.pause(1000, 6000).await;
        let struck = self.await_more(Counter::SyncsDelayed, before).await;
        self.shim.speed_up()?;
        struck
    }

    /// Until a fault really struck.
    async fn await_more(&mut self, counter: Counter, before: i64) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + READY_WITHIN;
        while self.shim.count(counter)? <= before {
            anyhow::ensure!(tokio::time::Instant::now() < until, "nothing met the fault: {counter:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Writes behind the last record of the newest journal: noise, or a record's beginning and no end.
    fn tear(&mut self) -> anyhow::Result<()> {
        let journal = newest_journal(&self.log_folder)?;
        let bytes = std::fs::read(&journal)?;
        // The journal is preallocated with zeros, and no record ends with one.
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let length = usize::try_from(self.schedule.below(4000) + 1)?;
        let torn: Vec<u8> = match self.schedule.below(2) {
            0 => (0..length).map(|_| self.schedule.draw() as u8).collect(),
            _ => bytes[..length.min(HEADS).min(end)].to_vec(),
        };
        let file = std::fs::File::options().write(true).open(journal)?;
        Ok(file.write_all_at(&torn, end as u64)?)
    }

    async fn pause(&mut self, from: u64, to: u64) {
        let pause = self.schedule.millis(from, to);
        tokio::time::sleep(pause).await;
    }
}

/// The journal of the embedded log that is written to.
fn newest_journal(folder: &Path) -> anyhow::Result<PathBuf> {
    let number = |path: &Path| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let mut journals = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jnl") {
            journals.push((number(&path), path));
        }
    }
    journals.sort();
    journals.pop().map(|(_, path)| path).context("the embedded log has no journal")
}
