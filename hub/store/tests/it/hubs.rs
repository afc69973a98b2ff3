//! Several hubs on one store: claims have one holder, the dead hold nothing, a view follows what happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use minqiao_store::{Membership, Store, View};

use crate::place::{Place, on_every_engine};

on_every_engine!(
    a_claim_has_one_holder_and_its_epoch_grows,
    hubs_that_claim_at_once_get_epochs_of_their_own,
    the_dead_are_taken_out_and_hold_nothing,
    a_hub_taken_for_dead_comes_back_under_a_new_name,
    the_first_word_stands,
);

async fn a_claim_has_one_holder_and_its_epoch_grows(place: Place) {
    let store = place.open().await;
    for hub in ["a", "b"] {
        store.enter_hub(hub, "gateway").await.expect("entered");
    }
    assert_eq!(store.claim("pension", "a").await.expect("claimed"), Some(1));
    assert_eq!(store.claim("pension", "a").await.expect("held"), Some(1), "the holder keeps its epoch");
    assert_eq!(store.claim("pension", "b").await.expect("asked"), None);
    assert_eq!(store.claim("marriage", "b").await.expect("claimed"), Some(1), "items are claimed one by one");
    assert_eq!(store.wanted_claims("a").await.expect("read"), ["pension"]);
    assert!(store.wanted_claims("b").await.expect("read").is_empty());
    // Who does not hold it cannot give it back.
    store.release_claim("pension", "b").await.expect("nothing happens");
    assert_eq!(store.claim("pension", "b").await.expect("asked"), None);
    store.release_claim("pension", "a").await.expect("released");
    assert_eq!(store.claim("pension", "b").await.expect("claimed"), Some(2));
    assert!(store.wanted_claims("b").await.expect("read").is_empty(), "a wish ends with the claim it waited for");
    // A holder that runs no more holds nothing, also when it was taken out with a claim.
    assert!(store.remove_hub("b", None).await.expect("removed"));
    assert_eq!(store.claim("pension", "a").await.expect("claimed"), Some(3));
}

async fn hubs_that_claim_at_once_get_epochs_of_their_own(place: Place) {
    let store = place.open().await;
    let mut epochs = BTreeSet::new();
    for round in 0..4 {
        let mut tasks = tokio::task::JoinSet::new();
        for hub in 0..6 {
            let store = store.clone();
            tasks.spawn(async move {
                let id = format!("hub-{round}-{hub}");
                store.enter_hub(&id, "gateway").await.expect("entered");
                store.claim("pension", &id).await.expect("asked").map(|epoch| (id, epoch))
            });
        }
        let held: Vec<(String, u64)> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(held.len(), 1, "one of six holds it: {held:?}");
        assert!(epochs.insert(held[0].1), "an epoch has one holder");
        store.release_claim("pension", &held[0].0).await.expect("released");
    }
}

async fn until(membership: &Membership, what: &str, holds: impl Fn(&View) -> bool) -> Arc<View> {
    let mut views = membership.watch();
    let found = tokio::time::timeout(Duration::from_secs(30), views.wait_for(|view| holds(view))).await;
    found.unwrap_or_else(|_| panic!("not within 30 s: {what}")).expect("it beats").clone()
}

async fn enter(store: &Store) -> Membership {
    Membership::enter(store.clone(), "gateway,writer").await.expect("entered")
}

async fn the_dead_are_taken_out_and_hold_nothing(place: Place) {
    let store = place.open().await;
    let (one, two, three) = (enter(&store).await, enter(&store).await, enter(&store).await);
    let all = until(&one, "three hubs", |view| view.hubs.len() == 3).await;
    assert!(all.hubs.iter().all(|hub| hub.roles == "gateway,writer"));
    let of_two = two.view().id.clone();
    assert_eq!(store.claim("pension", &of_two).await.expect("claimed"), Some(1));
    assert_eq!(store.claim("pension", &one.view().id).await.expect("asked"), None);
    until(&two, "it is wanted", |view| view.wanted.contains("pension")).await;
    // It stops without a word, as a killed process does; the third leaves as it should.
    drop(two);
    three.leave().await.expect("left");
    until(&one, "alone", |view| view.hubs.len() == 1).await;
    assert_eq!(store.claim("pension", &one.view().id).await.expect("claimed"), Some(2));
}

async fn a_hub_taken_for_dead_comes_back_under_a_new_name(place: Place) {
    let store = place.open().await;
    let hub = enter(&store).await;
    let before = hub.view().id.clone();
    assert_eq!(store.claim("pension", &before).await.expect("claimed"), Some(1));
    assert!(store.remove_hub(&before, None).await.expect("removed"));
    let now = until(&hub, "a new name", |view| view.id != before).await;
    assert_eq!(now.hubs.len(), 1);
    assert_eq!(store.claim("pension", &now.id).await.expect("claimed"), Some(2), "what it held is not its any more");
}

async fn the_first_word_stands(place: Place) {
    let store = place.open().await;
    assert_eq!(store.agree("lake", "one").await.expect("said"), "one");
    assert_eq!(store.agree("lake", "two").await.expect("said"), "one");
    assert_eq!(store.agree("keys", "two").await.expect("said"), "two");
}
