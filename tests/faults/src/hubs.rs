//! The hubs that faults strike: one that does everything, or the gateways and writers of a cluster.

use std::time::Duration;

use anyhow::Context;
use minqiao_tests::{Balancer, Schedule};

use crate::process::HubProcess;
use crate::stage::Stage;

/// See the module.
#[derive(Debug)]
pub(crate) struct Hubs {
    all: Vec<HubProcess>,
    /// In front of several gateways.
    balancer: Option<Balancer>,
    port: u16,
}

impl Hubs {
    /// Starts them and waits until they are ready.
    pub(crate) async fn start(stage: &Stage, within: Duration) -> anyhow::Result<Self> {
        let (mut all, mut ports) = (Vec::new(), Vec::new());
        for (name, roles) in stage.shape.hubs() {
            let config = stage.config(name, roles)?;
            if roles.contains("gateway") {
                ports.push(config.http.listen.port());
            }
            let kind = if stage.shape.hubs().len() > 1 { roles } else { name };
            let mut hub = HubProcess::new(kind, &config, &stage.folder(name)?)?;
            hub.start()?;
            all.push(hub);
        }
        let balancer = if ports.len() > 1 { Some(Balancer::start(ports.clone()).await?) } else { None };
        let port = balancer.as_ref().map(Balancer::port).or(ports.first().copied()).context("a gateway")?;
        let mut hubs = Self { all, balancer, port };
        hubs.ready(within).await?;
        Ok(hubs)
    }

    /// Where publishers reach a gateway.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What kinds there are: `hub`, or `gateway` and `writer`.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.all.iter().map(|hub| hub.kind).collect();
        kinds.dedup();
        kinds
    }

    /// One of a kind.
    pub(crate) fn draw(&mut self, kind: &str, schedule: &mut Schedule) -> anyhow::Result<&mut HubProcess> {
        let mut of_kind: Vec<_> = self.all.iter_mut().filter(|hub| hub.kind == kind).collect();
        let at = usize::try_from(schedule.below(of_kind.len() as u64))?;
        anyhow::ensure!(at < of_kind.len(), "there is no {kind}");
        Ok(of_kind.swap_remove(at))
    }

    /// Waits until all say that they are ready.
    pub(crate) async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        for hub in &mut self.all {
            hub.ready(within).await?;
        }
        Ok(())
    }

    /// SIGTERM to one after the other.
    pub(crate) async fn terminate(&mut self) -> anyhow::Result<()> {
        self.balancer = None;
        for hub in &mut self.all {
            hub.terminate().await?;
        }
        Ok(())
    }

    /// Lines of their logs that tell of a panic.
    pub(crate) fn panics(&self) -> usize {
        self.all.iter().map(HubProcess::panics).sum()
    }

    /// How often one was found to have ended by itself.
    pub(crate) fn ended_by_themselves(&self) -> u64 {
        self.all.iter().map(|hub| hub.ended_by_itself).sum()
    }
}
