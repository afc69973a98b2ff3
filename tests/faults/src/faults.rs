//! What is done to the hub, and to the brokers below it.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use minqiao_tests::Schedule;
use minqiao_tests::kafka::BROKERS;

use crate::hubs::Hubs;
use crate::shim::{Counter, Shim};
use crate::stage::Stage;

/// How long a hub may take to be ready after anything.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(120);

/// Bytes of a journal's first record that are no whole record yet: its head (13) and part of an item's.
const HEADS: usize = 30;

/// What may happen; to which kind of hub, where there are several.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL and a new start.
    Kill(&'static str),
    /// SIGKILL again while it starts.
    KillTwice(&'static str),
    /// SIGTERM: it drains.
    Terminate(&'static str),
    /// SIGSTOP for seconds: also longer than a cluster waits before it takes a hub for dead.
    Freeze(&'static str),
    /// SIGKILL, and behind the last record of the embedded log what a write leaves that the crash cut.
    TornTail(&'static str),
    /// Its wall clock jumps, minutes to days, either way, and back again; sometimes it starts in between.
    ClockJump(&'static str),
    /// Each of its syncs takes 50 to 2000 ms, and so do some writes.
    SlowDisk(&'static str),
    /// No space on the disk of log, lake and store; then space again.
    DiskFull,
    /// SIGKILL of one broker.
    Broker,
    /// SIGKILL of all brokers.
    AllBrokers,
    /// SIGKILL of the object store that holds the lake.
    ObjectStore,
    /// The end of PostgreSQL as after a crash.
    Postgres,
}

impl Fault {
    fn name(self) -> String {
        match self {
            Self::Kill(hub) => format!("{hub} killed"),
            Self::KillTwice(hub) => format!("{hub} killed while starting"),
            Self::Terminate(hub) => format!("{hub} terminated"),
            Self::Freeze(hub) => format!("{hub} frozen"),
            Self::TornTail(_) => "log's tail torn".to_owned(),
            Self::ClockJump(hub) => format!("clock of a {hub} jumped"),
            Self::SlowDisk(hub) => format!("disk of a {hub} slow"),
            Self::DiskFull => "disk full".to_owned(),
            Self::Broker => "broker killed".to_owned(),
            Self::AllBrokers => "all brokers killed".to_owned(),
            Self::ObjectStore => "object store killed".to_owned(),
            Self::Postgres => "PostgreSQL killed".to_owned(),
        }
    }
}

/// Strikes, one fault after the other.
pub(crate) struct Striker<'a> {
    pub(crate) hubs: &'a mut Hubs,
    pub(crate) stage: &'a Stage,
    pub(crate) schedule: Schedule,
    pub(crate) fired: BTreeMap<String, u64>,
}

impl Striker<'_> {
    /// What is drawn from; what stands there more often comes more often.
    fn kinds(&self) -> Vec<Fault> {
        use Fault::{ClockJump, Freeze, Kill, KillTwice, SlowDisk, Terminate, TornTail};
        let mut kinds = Vec::new();
        for hub in self.hubs.kinds() {
            kinds.extend([Kill(hub), Kill(hub), Kill(hub), KillTwice(hub), Terminate(hub), Freeze(hub), Freeze(hub)]);
            kinds.extend([ClockJump(hub), ClockJump(hub)]);
            // A gateway of a cluster writes to its disk so seldom that a slow one meets nothing.
            if hub != "gateway" {
                kinds.extend([SlowDisk(hub), SlowDisk(hub)]);
            }
            if self.stage.brokers.is_none() {
                kinds.extend([TornTail(hub), TornTail(hub)]);
            }
        }
        if self.stage.brokers.is_some() {
            kinds.extend([Fault::Broker, Fault::Broker, Fault::Broker, Fault::AllBrokers]);
        }
        if self.stage.objects.is_some() {
            kinds.extend([Fault::ObjectStore, Fault::ObjectStore]);
        }
        if self.stage.postgres.is_some() {
            kinds.extend([Fault::Postgres, Fault::Postgres]);
        }
        if self.stage.disk.can_be_filled() {
            kinds.push(Fault::DiskFull);
        }
        kinds
    }

    /// Kinds of which none has fired.
    pub(crate) fn never_fired(&self) -> Vec<String> {
        let mut names: Vec<_> =
            self.kinds().into_iter().map(Fault::name).filter(|name| !self.fired.contains_key(name)).collect();
        names.dedup();
        names
    }

    /// One fault. Each kind comes once before chance decides.
    pub(crate) async fn strike(&mut self) -> anyhow::Result<()> {
        let kinds = self.kinds();
        let new = kinds.iter().copied().find(|kind| !self.fired.contains_key(&kind.name()));
        let drawn = kinds[usize::try_from(self.schedule.below(kinds.len() as u64))?];
        let fault = new.unwrap_or(drawn);
        self.run(fault).await.with_context(|| format!("fault `{}`", fault.name()))?;
        *self.fired.entry(fault.name()).or_default() += 1;
        if self.schedule.below(4) > 0 {
            self.hubs.ready(READY_WITHIN).await?;
        }
        Ok(())
    }

    async fn run(&mut self, fault: Fault) -> anyhow::Result<()> {
        let Self { hubs, stage, schedule, fired } = self;
        match fault {
            Fault::Kill(kind) => {
                let hub = hubs.draw(kind, schedule)?;
                hub.kill()?;
                pause(schedule, 0, 1500).await;
                hub.start()
            }
            Fault::KillTwice(kind) => {
                let hub = hubs.draw(kind, schedule)?;
                hub.kill()?;
                hub.start()?;
                pause(schedule, 0, 800).await;
                hub.kill()?;
                hub.start()
            }
            Fault::Terminate(kind) => {
                let hub = hubs.draw(kind, schedule)?;
                hub.terminate().await?;
                hub.start()
            }
            Fault::Freeze(kind) => {
                let longest = if stage.shape.hubs().len() > 1 { 12_000 } else { 5_000 };
                let hub = hubs.draw(kind, schedule)?;
                hub.freeze(schedule.millis(200, longest)).await
            }
            Fault::TornTail(kind) => {
                let hub = hubs.draw(kind, schedule)?;
                hub.kill()?;
                tear(&stage.log_folder(), schedule)?;
                hub.start()
            }
            Fault::ClockJump(kind) => self.jump(kind).await,
            Fault::SlowDisk(kind) => self.slow_disk(kind).await,
            Fault::DiskFull => self.fill_disk().await,
            Fault::Broker => {
                let (brokers, which) = (stage.brokers.as_ref().context("brokers")?, schedule.below(BROKERS) + 1);
                brokers.kill(which)?;
                pause(schedule, 200, 6000).await;
                Ok(brokers.revive(which)?)
            }
            Fault::AllBrokers => {
                let brokers = stage.brokers.as_ref().context("brokers")?;
                for which in 1..=BROKERS {
                    brokers.kill(which)?;
                }
                // The first time a whole minute.
                let shortest = if fired.contains_key(&fault.name()) { 1000 } else { 60_000 };
                pause(schedule, shortest, 60_000).await;
                for which in 1..=BROKERS {
                    brokers.revive(which)?;
                }
                Ok(())
            }
            Fault::ObjectStore => {
                let objects = stage.objects.as_ref().context("an object store")?;
                objects.kill()?;
                pause(schedule, 200, 10_000).await;
                Ok(objects.revive()?)
            }
            Fault::Postgres => {
                let postgres = stage.postgres.as_ref().context("PostgreSQL")?;
                postgres.kill()?;
                pause(schedule, 200, 10_000).await;
                Ok(postgres.revive()?)
            }
        }
    }

    /// A hub whose write was refused ends by itself and is started again by whoever watches it, as `ready` does; so are
    /// the servers on the same disk.
    async fn fill_disk(&mut self) -> anyhow::Result<()> {
        let Self { hubs, stage, schedule, .. } = self;
        let full = stage.disk.fill()?;
        pause(schedule, 500, 4000).await;
        stage.disk.free()?;
        anyhow::ensure!(full, "the disk never said that it was full");
        stage.revive()?;
        pause(schedule, 4000, 6000).await;
        hubs.ready(READY_WITHIN).await
    }

    async fn jump(&mut self, kind: &str) -> anyhow::Result<()> {
        let Self { hubs, schedule, .. } = self;
        hubs.ready(READY_WITHIN).await?;
        let hub = hubs.draw(kind, schedule)?;
        let before = hub.shim.count(Counter::ClocksShifted)?;
        // As many jumps of minutes as of hours and of days.
        let unit = [60, 3600, 86_400][usize::try_from(schedule.below(3))?];
        let seconds = unit * i64::try_from(schedule.below(20) + 1)?;
        let forward = schedule.below(2) == 0;
        hub.shim.shift_clock(if forward { seconds } else { -seconds })?;
        pause(schedule, 300, 3000).await;
        if schedule.below(3) == 0 {
            hub.kill()?;
            hub.start()?;
            pause(schedule, 300, 3000).await;
        }
        await_more(&hub.shim, Counter::ClocksShifted, before).await?;
        hub.shim.shift_clock(0)
    }

    async fn slow_disk(&mut self, kind: &str) -> anyhow::Result<()> {
        let Self { hubs, schedule, .. } = self;
        // A hub that was started while its clock was wrong may have ended by itself: an object store refuses it.
        hubs.ready(READY_WITHIN).await?;
        let hub = hubs.draw(kind, schedule)?;
        let before = hub.shim.count(Counter::DiskDelayed)?;
        hub.shim.slow_down(Duration::from_millis(50), Duration::from_millis(2000), 8)?;
        pause(schedule, 1000, 6000).await;
        let struck = await_more(&hub.shim, Counter::DiskDelayed, before).await;
        hub.shim.speed_up()?;
        struck
    }
}

async fn pause(schedule: &mut Schedule, from: u64, to: u64) {
    tokio::time::sleep(schedule.millis(from, to)).await;
}

/// Until a fault really struck.
async fn await_more(shim: &Shim, counter: Counter, before: i64) -> anyhow::Result<()> {
    let until = tokio::time::Instant::now() + READY_WITHIN;
    while shim.count(counter)? <= before {
        anyhow::ensure!(tokio::time::Instant::now() < until, "nothing met the fault: {counter:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Writes behind the last record of the newest journal: noise, or a record's beginning and no end.
fn tear(log_folder: &Path, schedule: &mut Schedule) -> anyhow::Result<()> {
    let journal = newest_journal(log_folder)?;
    let bytes = std::fs::read(&journal)?;
    // The journal is preallocated with zeros, and no record ends with one.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let length = usize::try_from(schedule.below(4000) + 1)?;
    let torn: Vec<u8> = match schedule.below(2) {
        0 => (0..length).map(|_| schedule.draw() as u8).collect(),
        _ => bytes[..length.min(HEADS).min(end)].to_vec(),
    };
    let file = std::fs::File::options().write(true).open(journal)?;
    Ok(file.write_all_at(&torn, end as u64)?)
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
