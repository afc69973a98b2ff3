//! Several hubs on one city.
//!
//! Hubs that share the bus (Kafka) and the store (PostgreSQL) find each other in the store; nothing has to be told to any
//! of them when one is added or goes. What they share out:
//!
//! - **Gateways** take turns at an item ([`minqiao_store::hubs`], the intake's claims).
//! - **Writers** divide the items among themselves: each item belongs to the running writer that a hash picks for it, so
//!   that all come to the same answer without talking, and a writer that comes or goes moves only its own share. While two
//!   have different views of who runs, both may write an item; the positions in its commits let one of them win.
//! - **Query** hubs need no share: they follow the lake.
//!
//! What they must have in common, the keys and the lake, is proved at the start: with other keys the same person would
//! have other tokens, with another lake rows would be spread over two.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;
use minqiao_lake::Lake;
use minqiao_store::{Membership, Store, View};
use minqiao_vault::{Vault, sm3};
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use tokio_util::sync::CancellationToken;

use crate::config::{Role, Roles};

/// Domain of the token that proves the key ring.
const PROOF_DOMAIN: &str = "key-ring-proof";

/// Refuses a hub whose keys or lake are not those of the hubs that share its store.
pub(crate) async fn agree(store: &Store, vault: &Vault, lake_identity: &str) -> anyhow::Result<()> {
    // A keyed value of a fixed text: it tells rings apart and nothing else.
    let keys = hex::encode(&vault.tokens().token(PROOF_DOMAIN, "minqiao").0[..8]);
    let of_city = store.agree("keys", &keys).await.context("the operational store does not answer")?;
    anyhow::ensure!(
        of_city == keys,
        "this hub has other keys than the hubs that share its store: give every hub the same key ring (`keys_dir`)"
    );
    let of_city = store.agree("lake", lake_identity).await.context("the operational store does not answer")?;
    anyhow::ensure!(
        of_city == lake_identity,
        "this hub has another lake than the hubs that share its store: set `lake.location` to the city's"
    );
    Ok(())
}

/// Names of the running hubs that have a role.
fn having(view: &View, role: Role) -> Vec<&str> {
    let has = |hub: &&minqiao_store::Hub| hub.roles.parse::<Roles>().is_ok_and(|roles| roles.has(role));
    view.hubs.iter().filter(has).map(|hub| hub.id.as_str()).collect()
}

/// Which items a hub writes, given who runs.
pub(crate) fn share<'a>(view: &View, items: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let writers = having(view, Role::Writer);
    let mine = |item: &&str| {
        let weight = |hub: &&&str| sm3(format!("{hub}\u{1f}{item}").as_bytes());
        writers.iter().max_by_key(weight).is_some_and(|hub| **hub == view.id)
    };
    items.filter(mine).map(str::to_owned).collect()
}

/// Keeps the lake's share in step with who runs, until `stop`.
pub(crate) async fn keep_share(
    membership: Arc<Membership>,
    lake: Arc<Lake>,
    figures: Figures,
    stop: CancellationToken,
) {
    let mut views = membership.watch();
    loop {
        take_share(&Arc::clone(&views.borrow_and_update()), &lake, &figures);
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Takes the share that the view gives.
pub(crate) fn take_share(view: &View, lake: &Lake, figures: &Figures) {
    let share = share(view, lake.items().map(minqiao_lake::ItemLayout::code));
    figures.items.set(i64::try_from(share.len()).unwrap_or(i64::MAX));
    for role in Role::ALL {
        let count = i64::try_from(having(view, role).len()).unwrap_or(i64::MAX);
        figures.hubs.with_label_values(&[role.as_str()]).set(count);
    }
    let items = share.len();
    if lake.set_share(Some(share)) {
        tracing::info!(hubs = view.hubs.len(), items, "shared out");
    }
}

/// What operations see of it.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    hubs: IntGaugeVec,
    items: IntGauge,
}

impl Figures {
    pub(crate) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let figures = Self {
            hubs: IntGaugeVec::new(Opts::new("minqiao_hubs", "Running hubs that share this city, by role"), &["role"])?,
            items: IntGauge::new("minqiao_lake_items_written", "Items that this hub writes to the lake")?,
        };
        registry.register(Box::new(figures.hubs.clone()))?;
        registry.register(Box::new(figures.items.clone()))?;
        Ok(figures)
    }
}

#[cfg(test)]
mod tests {
    use minqiao_store::Hub;

    use super::*;

    fn view(id: &str, hubs: &[(&str, &str)]) -> View {
        let hub = |(id, roles): &(&str, &str)| Hub { id: (*id).to_owned(), roles: (*roles).to_owned(), beat: 0 };
        View { id: id.to_owned(), hubs: hubs.iter().map(hub).collect(), wanted: BTreeSet::new() }
    }

    #[test]
    fn every_item_has_one_writer_and_only_the_share_of_who_goes_moves() {
        let catalogue = minqiao_schemas::Catalogue::embedded();
        let items = || catalogue.items().iter().map(|item| item.code.as_str());
        let all =
            [("a", "writer"), ("b", "gateway,writer"), ("c", "gateway,writer,query"), ("d", "gateway"), ("e", "")];
        let shares = |hubs: &[(&str, &str)]| ["a", "b", "c", "d"].map(|id| share(&view(id, hubs), items()));
        let before = shares(&all);
        assert_eq!(before.iter().map(BTreeSet::len).sum::<usize>(), catalogue.items().len());
        assert_eq!(before.iter().flatten().collect::<BTreeSet<_>>().len(), catalogue.items().len());
        assert!(before[..3].iter().all(|share| share.len() > 10), "{:?}", before.each_ref().map(BTreeSet::len));
        assert!(before[3].is_empty(), "a gateway writes nothing");
        let after = shares(&all[1..]);
        assert!(before[1].is_subset(&after[1]) && before[2].is_subset(&after[2]));
        assert_eq!(after[1].len() + after[2].len(), catalogue.items().len());
    }
}
