//! A publisher: batches one after the other, each sent until the hub answers for it, as a connector does.
//!
//! Now and then it gives up in the middle of a request and sends the same batch again: what a killed connector does when
//! it comes back to its checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use minqiao_connector_api::gateway::{Gateway, GatewayError, Submission};
use minqiao_connector_api::http::HttpGateway;
use minqiao_core::BatchId;
use minqiao_tests::Schedule;
use tokio_util::sync::CancellationToken;

use crate::oracle::Oracle;

/// What publishers went through.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) batches: AtomicU64,
    pub(crate) given_up: AtomicU64,
    pub(crate) failed: AtomicU64,
}

pub(crate) struct Publisher {
    pub(crate) number: usize,
    pub(crate) oracle: Arc<Oracle>,
    pub(crate) gateway: Arc<HttpGateway>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) schedule: Schedule,
}

impl Publisher {
    /// Publishes until `stop`; the batch under way is carried to its end.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut batch = 0_u64;
        while !stop.is_cancelled() {
            self.batch(batch).await?;
            batch += 1;
            let pause = self.schedule.millis(5, 90);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        Ok(())
    }

    async fn batch(&mut self, number: u64) -> anyhow::Result<()> {
        let rows = self.oracle.issue(self.number, 1 + self.schedule.below(300));
        let submission = Submission {
            item: Oracle::item(self.number).into(),
            batch_id: BatchId::new(format!("faults-{}-{number}", self.number))?,
            after: None,
            batch: self.oracle.batch(self.number, rows.clone())?,
        };
        loop {
            let patience = match self.schedule.below(15) {
                0 => self.schedule.millis(1, 60),
                _ => Duration::from_secs(600),
            };
            match tokio::time::timeout(patience, self.gateway.submit(submission.clone())).await {
                Err(_) => self.counts.given_up.fetch_add(1, Ordering::Relaxed),
                Ok(Ok(receipt)) => {
                    ensure!(receipt.quarantined == 0, "a row of the oracle was quarantined");
                    self.oracle.acknowledge(self.number, rows);
                    self.counts.batches.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Err(GatewayError::Unavailable { .. })) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    self.counts.failed.fetch_add(1, Ordering::Relaxed)
                }
                Ok(Err(error)) => return Err(error).context("the hub refused a batch of the oracle"),
            };
        }
    }
}
