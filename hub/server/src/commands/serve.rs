//! `minqiao serve`.

use std::sync::Arc;

use minqiao_core::SystemClock;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::hub::Hub;

/// Serves until SIGTERM or Ctrl-C, then drains.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let hub = Hub::open(config, Arc::new(SystemClock::new())).await?;
    let running = hub.start().await?;
    wait_for_end().await?;
    running.stop().await;
    Ok(())
}

/// Returns at SIGTERM or Ctrl-C.
pub async fn wait_for_end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted,
    }
}
