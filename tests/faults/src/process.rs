//! The hub that faults strike, as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use minqiao_server::config::Config;

use crate::shim::Shim;

/// A hub as a process of its own.
#[derive(Debug)]
pub(crate) struct HubProcess {
    /// What faults call it: by its roles, or just a hub.
    pub(crate) kind: &'static str,
    /// Its own clock and disk.
    pub(crate) shim: Shim,
    config: PathBuf,
    log: PathBuf,
    probe: String,
    child: Option<Child>,
    /// How often it was found to have ended by itself, as it does when its disk refuses a write.
    pub(crate) ended_by_itself: u64,
}

impl HubProcess {
    /// Of the program beside this one; configuration, log and shim are in `folder`.
    pub(crate) fn new(kind: &'static str, config: &Config, folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join("minqiao.toml");
        std::fs::write(&file, config.effective())?;
        let probe = format!("http://{}/readyz", config.operations.listen);
        let (shim, log) = (Shim::make(folder)?, folder.join("hub.log"));
        Ok(Self { kind, shim, config: file, log, probe, child: None, ended_by_itself: 0 })
    }

    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        self.child = Some(minqiao_tests::hub::serve(&self.config, &self.log, self.shim.environment())?);
        Ok(())
    }

    /// Waits until it says that it is ready. A hub that ended by itself is started again.
    pub(crate) async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        let log = self.log.display().to_string();
        let wait = async {
            loop {
                let answer = client.get(&self.probe).timeout(Duration::from_secs(2)).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return anyhow::Ok(());
                }
                if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                    self.ended_by_itself += u64::from(self.child.is_some());
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    self.start()?;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(within, wait).await.with_context(|| format!("the hub is not ready, see {log}"))?
    }

    /// SIGKILL, and waits for its end.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), "TERM")?;
        for _ in 0..600 {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        child.kill()?;
        child.wait()?;
        bail!("the hub did not end within a minute of SIGTERM")
    }

    /// SIGSTOP for a while: a machine that hangs, a disk that does not answer.
    pub(crate) async fn freeze(&self, pause: Duration) -> anyhow::Result<()> {
        let Some(child) = &self.child else { return Ok(()) };
        signal(child.id(), "STOP")?;
        tokio::time::sleep(pause).await;
        signal(child.id(), "CONT")
    }

    /// Lines of its log that tell of a panic.
    pub(crate) fn panics(&self) -> usize {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.contains("a part of the hub failed") || line.contains("panicked")).count()
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        // Nothing of ours stays behind, also when a judgement failed.
        let _ended = self.kill();
    }
}

fn signal(process: u32, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(process.to_string()).status()?;
    ensure!(sent.success(), "the signal was not delivered");
    Ok(())
}
