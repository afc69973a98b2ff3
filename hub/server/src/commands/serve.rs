//! `minqiao serve`: until it is asked to end, or a part cannot go on.

use std::sync::Arc;

use minqiao_core::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

use crate::broken::Broken;
use crate::config::Config;
use crate::hub::Hub;

/// Serves until [`until_end`], then drains.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let running = hub.start().await?;
    let ended = until_end(&running.hub).await;
    running.stop().await;
    ended
}

/// Returns at SIGTERM or Ctrl-C; fails when a part of the hub cannot go on.
pub async fn until_end(hub: &Hub) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        broken = Broken::of(hub) => {
            tracing::error!(error = &broken as &dyn std::error::Error, "the hub ends");
            Err(broken.into())
        }
    }
}
