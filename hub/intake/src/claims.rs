//! Whose item it is, where several hubs take batches of one city.
//!
//! One hub at a time decides which rows of an item are new and appends them; any hub may be asked, so the right to do it
//! goes round:
//!
//! ```text
//! claim the item in the store ─► append a mark of the claim's epoch to each partition ─► read the bus up to the marks
//!        ▲                                                                                        │ batches, one by one
//!        └─ another hub waits and a second has passed: give it back ◄─────────────────────────────┘
//! ```
//!
//! After the marks every version on the bus is known here, and nothing that a former holder still gets in counts any
//! more (BUS-7). Should this hub itself be the one that was taken for dead, it finds the next holder's mark before its own
//! rows and answers [`IntakeError::TurnLost`]; the sender tries again, at whichever hub. Safety rests on the bus alone:
//! the store may forget, answer late or be wrong, and rows are counted slower, never twice.
//!
//! A hub that is alone has no claims and appends in the greatest epoch that the bus has.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use minqiao_bus::{Headers, Message, Span};
use minqiao_schemas::Item;
use minqiao_store::Membership;
use minqiao_store::membership::BEAT;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::IntakeError;
use crate::intake::Core;
use crate::lane::Lane;

/// How long an item is kept from a hub that waits for it.
const SLICE: Duration = Duration::from_secs(1);
/// How often a hub asks for an item that another one holds.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// How long a batch waits for its item. Longer than it takes to notice that a holder is dead.
const PATIENCE: Duration = Duration::from_secs(10);
/// When to come again.
const RETRY: Duration = Duration::from_millis(500);

/// The right to append to an item.
#[derive(Debug)]
pub(crate) struct Claim {
    /// This hub's name when it claimed.
    holder: String,
    epoch: u64,
    since: Instant,
}

impl Core {
    /// Makes sure that this hub may append to the lane's item, and that it knows what is on the bus. Answers the epoch to
    /// append in.
    pub(crate) async fn claim(&self, item: &Item, lane: &mut Lane) -> Result<u64, IntakeError> {
        if let Some(membership) = &self.membership {
            self.hold(membership, item, lane).await?;
        }
        let Lane { topic, known, claim, settled } = lane;
        let known = match known {
            Some(known) => known,
            None => known.insert(self.known.item(topic.clone())?),
        };
        if !*settled || claim.is_none() {
            self.known.catch_up(known, &*self.bus).await?;
            *settled = true;
        }
        match claim {
            Some(claim) if known.epoch() > claim.epoch => {
                lane.claim = None;
                Err(self.turn_lost())
            }
            Some(claim) => Ok(claim.epoch),
            None => Ok(known.epoch()),
        }
    }

    /// Another hub has taken the item over.
    pub(crate) fn turn_lost(&self) -> IntakeError {
        self.metrics.turns.with_label_values(&["lost"]).inc();
        IntakeError::TurnLost { retry_after: RETRY }
    }

    async fn hold(&self, membership: &Membership, item: &Item, lane: &mut Lane) -> Result<(), IntakeError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let view = membership.view();
            if let Some(claim) = lane.claim.take_if(|claim| claim.holder == view.id) {
                if !view.wanted.contains(&item.code) || claim.since.elapsed() < SLICE {
                    lane.claim = Some(claim);
                    return Ok(());
                }
                self.give_back(item, &claim).await?;
                tokio::time::sleep(ASK_EVERY).await;
            }
            match self.store.claim(&item.code, &view.id).await? {
                Some(epoch) => {
                    lane.settled = false;
                    self.mark(item, lane, epoch).await?;
                    self.metrics.turns.with_label_values(&["taken"]).inc();
                    lane.claim = Some(Claim { holder: view.id.clone(), epoch, since: Instant::now() });
                }
                None if Instant::now() >= until => {
                    self.metrics.turns.with_label_values(&["waited_in_vain"]).inc();
                    return Err(IntakeError::ItemBusy { retry_after: RETRY });
                }
                None => tokio::time::sleep(ASK_EVERY).await,
            }
        }
    }

    async fn give_back(&self, item: &Item, claim: &Claim) -> Result<(), IntakeError> {
        self.metrics.turns.with_label_values(&["given"]).inc();
        Ok(self.store.release_claim(&item.code, &claim.holder).await?)
    }

    /// Makes the epoch known in every partition. Repeating it changes nothing (BUS-3).
    async fn mark(&self, item: &Item, lane: &Lane, epoch: u64) -> Result<(), IntakeError> {
        let headers = Headers {
            item: item.code.clone(),
            catalogue_version: item.catalogue_version.clone(),
            batch_id: "turn".to_owned(),
            provider: String::new(),
            span: Span { first_row: 0, rows: 0 },
            epoch,
        };
        for partition in 0..lane.topic.partitions {
            let mark = Message { headers: headers.clone(), payload: bytes::Bytes::new() };
            self.bus.append(&lane.topic.name, partition, vec![mark]).await?;
        }
        Ok(())
    }

    /// Gives back what no batch here is using: what others wait for, or everything.
    async fn give_back_idle(&self, items: impl Iterator<Item = &String>, all: bool) {
        for code in items {
            let Some((item, lane)) =
                minqiao_schemas::Catalogue::embedded().item(code).zip(self.lanes.get(code.as_str()))
            else {
                continue;
            };
            // A lane at work gives it back itself.
            let Ok(mut lane) = lane.try_lock() else { continue };
            let Some(claim) = lane.claim.take_if(|claim| all || claim.since.elapsed() >= SLICE) else { continue };
            if let Err(error) = self.give_back(item, &claim).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(item = code, error, "a claim was not given back; it ends with this hub");
            }
        }
    }

    /// Gives back everything; for an orderly end.
    pub(crate) async fn give_all_back(&self) {
        let items: Vec<String> = self.lanes.keys().map(|code| (*code).to_owned()).collect();
        self.give_back_idle(items.iter(), true).await;
    }
}

/// Gives back items that others wait for and that are idle here, for as long as the intake lives.
pub(crate) fn spawn_giver(core: &Arc<Core>) {
    let Some(membership) = core.membership.clone() else { return };
    let core: Weak<Core> = Arc::downgrade(core);
    tokio::spawn(async move {
        let mut views = membership.watch();
        drop(membership);
        while views.wait_for(|view| !view.wanted.is_empty()).await.is_ok() {
            let Some(core) = core.upgrade() else { return };
            let wanted = views.borrow().wanted.clone();
            core.give_back_idle(wanted.iter(), false).await;
            drop(core);
            tokio::time::sleep(BEAT).await;
        }
    });
}

/// Lanes by item code.
pub(crate) type Lanes = HashMap<&'static str, Arc<Mutex<Lane>>>;
