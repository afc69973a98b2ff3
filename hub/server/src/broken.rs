//! Parts that a refused write has ended.
//!
//! When the disk refuses a write (it is full, it fails), the log, the index of versions and the index of the lake take no
//! further one until they are opened again, because what the disk holds is unknown from then on. A hub that went on would
//! answer `unavailable` for ever; this one ends with an error, so that whatever watches it (systemd, Kubernetes) starts
//! it again. What was acknowledged is durable; until there is space again it ends again at each start.

use std::time::Duration;

use minqiao_core::{Kind, KindOf};

use crate::hub::Hub;

/// How often the parts are asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, thiserror::Error)]
#[error(
    "the disk refused a write of {part} (is it full? `df` tells): the hub ends, and goes on when it is started again \
     / 磁盘拒绝写入，平台退出，请检查磁盘空间后重新启动"
)]
pub struct Broken {
    part: &'static str,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl KindOf for Broken {
    fn kind(&self) -> Kind {
        Kind::Unavailable { retry_after: ASK_EVERY }
    }

    fn code(&self) -> &'static str {
        "write_refused"
    }
}

impl Broken {
    /// Answers when a part of the hub has ended in this way.
    pub(crate) async fn of(hub: &Hub) -> Self {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            let found = hub
                .bus
                .check()
                .await
                .map_err(|error| Self { part: "the log", source: error.into() })
                .and(
                    hub.intake
                        .check()
                        .await
                        .map_err(|error| Self { part: "the index of versions", source: error.into() }),
                )
                .and(hub.lake.check().await.map_err(|error| Self { part: "the lake's index", source: error.into() }));
            if let Err(broken) = found {
                return broken;
            }
        }
    }
}
