//! A hub among the hubs that share a store.
//!
//! Every half second a hub beats, looks at the others and asks which of its claims are wanted. Another hub whose beat did
//! not move over [`LOOKS_WITHOUT_BEAT`] looks that were answered is taken out, by whoever notices first. Looks are
//! counted, not seconds: while the store does not answer nobody can beat, and nobody is taken out for it.
//!
//! A hub that was taken out although it lives (it was stopped for a while) notices at its next beat and enters again
//! under a new name. What it held under the old one is lost to it; that costs time and nothing else (BUS-7).

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::hubs::Hub;
use crate::{Store, StoreError};

/// Time between beats.
pub const BEAT: Duration = Duration::from_millis(500);
/// Looks in a row that a hub's beat may stand still.
const LOOKS_WITHOUT_BEAT: u32 = 10;

/// What a hub knows of itself and the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// This hub's name now.
    pub id: String,
    /// Hubs that run, this one included, by id.
    pub hubs: Vec<Hub>,
    /// Items that this hub holds and another waits for.
    pub wanted: BTreeSet<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Membership {
    store: Store,
    view: watch::Receiver<Arc<View>>,
    roles: Arc<Mutex<String>>,
    task: JoinHandle<()>,
}

impl Membership {
    /// Enters a hub with its roles, and beats until [`Membership::leave`] or drop.
    pub async fn enter(store: Store, roles: &str) -> Result<Self, StoreError> {
        let id = new_id();
        store.enter_hub(&id, roles).await?;
        let roles = Arc::new(Mutex::new(roles.to_owned()));
        let mut beating = Beating { store: store.clone(), roles: Arc::clone(&roles), id, seen: HashMap::new() };
        let (out, view) = watch::channel(Arc::new(beating.look().await?));
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                match beating.beat().await {
                    Ok(next) => {
                        out.send_if_modified(|view| {
                            let changed = **view != next;
                            *view = Arc::new(next);
                            changed
                        });
                    }
                    Err(error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, "the store does not answer this hub's beat, trying again");
                    }
                }
            }
        });
        Ok(Self { store, view, roles, task })
    }

    /// Says what this hub does from now on. The next view has it.
    pub async fn announce(&self, roles: &str) -> Result<(), StoreError> {
        roles.clone_into(&mut self.roles.lock().unwrap_or_else(PoisonError::into_inner));
        self.store.set_hub_roles(&self.view().id, roles).await
    }

    /// The newest view.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Tells of every new view.
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Takes this hub out: what it holds is free at once.
    pub async fn leave(&self) -> Result<(), StoreError> {
        self.task.abort();
        self.store.remove_hub(&self.view().id, None).await.map(|_| ())
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}

struct Beating {
    store: Store,
    roles: Arc<Mutex<String>>,
    id: String,
    /// Others' beats and over how many looks they have stood still.
    seen: HashMap<String, (i64, u32)>,
}

impl Beating {
    async fn beat(&mut self) -> Result<View, StoreError> {
        if !self.store.beat_hub(&self.id).await? {
            let id = new_id();
            let roles = self.roles.lock().unwrap_or_else(PoisonError::into_inner).clone();
            self.store.enter_hub(&id, &roles).await?;
            tracing::warn!("other hubs took this one for dead; it goes on under a new name");
            self.id = id;
        }
        self.look().await
    }

    async fn look(&mut self) -> Result<View, StoreError> {
        let mut hubs = self.store.hubs().await?;
        let mut seen = HashMap::with_capacity(hubs.len());
        for hub in hubs.iter().filter(|hub| hub.id != self.id) {
            let still = match self.seen.get(&hub.id) {
                Some((beat, still)) if *beat == hub.beat => still + 1,
                _ => 0,
            };
            seen.insert(hub.id.clone(), (hub.beat, still));
        }
        self.seen = seen;
        for (id, (beat, still)) in &self.seen {
            if *still >= LOOKS_WITHOUT_BEAT && self.store.remove_hub(id, Some(*beat)).await? {
                tracing::warn!(hub = id, "a hub gives no sign of life and was taken out");
                hubs.retain(|hub| hub.id != *id);
            }
        }
        // Its own and others' counts would make every view a new one.
        hubs.iter_mut().for_each(|hub| hub.beat = 0);
        let wanted = self.store.wanted_claims(&self.id).await?;
        Ok(View { id: self.id.clone(), hubs, wanted: wanted.into_iter().collect() })
    }
}
