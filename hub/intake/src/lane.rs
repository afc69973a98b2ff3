//! An item's lane: steps 4 to 7 of the path of a batch ([`crate::intake`]).
//!
//! Who holds the lane decides which rows are new, appends them and remembers them; nobody else of the item does
//! meanwhile, so what is decided still holds when it is appended. The lane is given free only after every append has been
//! answered.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use minqiao_bus::TopicInfo;
use minqiao_core::BatchEnvelope;
use minqiao_schemas::Item;
use tokio::sync::OwnedMutexGuard;

use crate::IntakeError;
use crate::claims::Claim;
use crate::intake::{Core, Prepared};
use crate::known::{BatchTag, Fingerprint, KnownItem, Uniform, fingerprints};
use crate::publish::{Cut, ForPartition, messages};

/// One item's turn: who holds it decides and appends.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) topic: TopicInfo,
    pub(crate) known: Option<KnownItem>,
    /// Where several hubs share the work: whether this one may append.
    pub(crate) claim: Option<Claim>,
    /// Under a claim: `known` has everything on the bus that counts, so that the bus need not be asked.
    pub(crate) settled: bool,
}

/// A batch after step 5.
#[derive(Default)]
pub(crate) struct Decision {
    pub(crate) accepted: u32,
    /// Rows as sent.
    pub(crate) duplicates: Vec<u32>,
    messages: Vec<ForPartition>,
    added: Vec<Fingerprint>,
}

impl Core {
    /// Steps 4 to 7.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        item: &'static Item,
        prepared: Prepared,
        envelope: &BatchEnvelope,
    ) -> Result<(Prepared, Decision), IntakeError> {
        if prepared.sealed.is_none() {
            return Ok((prepared, Decision::default()));
        }
        let unknown = || IntakeError::UnknownItem { item: item.code.clone() };
        let lane = Arc::clone(self.lanes.get(item.code.as_str()).ok_or_else(unknown)?);
        let mut lane = lane.lock_owned().await;
        let epoch = self.claim(item, &mut lane).await?;

        let (core, sent) = (Arc::clone(self), envelope.clone());
        let decide = move || {
            let decision = core.decide(item, &lane, &prepared, &sent, epoch)?;
            Ok((lane, prepared, decision))
        };
        let (mut lane, prepared, mut decision) = self.work(decide).await?;
        lane.settled = false;
        let positions = self.append(&lane.topic, std::mem::take(&mut decision.messages)).await?;
        self.flow.count(item, positions.iter().map(|(_, offsets)| offsets.len()).sum());
        // The bus knows these messages by batch and span, but the rows in them are new: an attempt that never got its
        // receipt used this batch id for another content (INT-3). Its rows must not be taken for these.
        if lane.known.as_ref().is_some_and(|known| known.is_old(&positions)) {
            return Err(IntakeError::BatchConflict { batch_id: envelope.batch_id.to_string() });
        }
        self.still_counts(&mut lane, epoch, &positions).await?;

        let (core, sent) = (Arc::clone(self), envelope.clone());
        let remember = move || {
            let mut lane: OwnedMutexGuard<Lane> = lane;
            let tag = BatchTag::of(sent.provider.as_str(), sent.batch_id.as_str());
            let added = std::mem::take(&mut decision.added).into_iter().map(|fingerprint| (fingerprint, tag));
            if let Some(known) = &mut lane.known {
                core.known.appended(known, added, &positions)?;
            }
            Ok(decision)
        };
        let decision = self.work(remember).await?;
        Ok((prepared, decision))
    }

    /// Where hubs take turns, another one's may have begun while this one appended: then what was appended counts for
    /// nothing (BUS-7), and nobody may be told that it does.
    async fn still_counts(
        &self,
        lane: &mut Lane,
        epoch: u64,
        positions: &[(u32, Vec<u64>)],
    ) -> Result<(), IntakeError> {
        let Lane { known: Some(known), claim: claim @ Some(_), settled, .. } = lane else { return Ok(()) };
        if !known.continues(positions) {
            self.known.catch_up(known, &*self.bus).await?;
        }
        *settled = true;
        if known.epoch() > epoch {
            *claim = None;
            return Err(self.turn_lost());
        }
        Ok(())
    }

    /// Step 5: every row is new, known by this very batch (an attempt that got no receipt), or a duplicate.
    fn decide(
        &self,
        item: &Item,
        lane: &Lane,
        prepared: &Prepared,
        envelope: &BatchEnvelope,
        epoch: u64,
    ) -> Result<Decision, IntakeError> {
        let (Some(sealed), Some(known)) = (&prepared.sealed, &lane.known) else { return Ok(Decision::default()) };
        let own = BatchTag::of(envelope.provider.as_str(), envelope.batch_id.as_str());
        let mut decision = Decision::default();
        let mut seen: HashSet<Fingerprint, BuildHasherDefault<Uniform>> =
            HashSet::with_capacity_and_hasher(sealed.num_rows(), BuildHasherDefault::default());
        let mut append: Vec<u32> = Vec::with_capacity(sealed.num_rows());
        for (row, fingerprint) in (0..).zip(fingerprints(sealed)?) {
            let duplicate = if seen.insert(fingerprint) {
                match self.known.find(known, fingerprint)? {
                    Some(tag) => tag != own,
                    None => {
                        append.push(row);
                        decision.added.push(fingerprint);
                        false
                    }
                }
            } else {
                true
            };
            if duplicate {
                decision.duplicates.push(prepared.origin[row as usize]);
            } else {
                decision.accepted += 1;
            }
        }
        let bytes_max = self.bus.limits().message_bytes_max;
        let cut = Cut { partitions: lane.topic.partitions, epoch, bytes_max };
        decision.messages = messages(item, sealed, &append, &prepared.origin, envelope, cut)?;
        Ok(decision)
    }

    /// Step 6: all partitions at once, so that they share a sync.
    async fn append(
        &self,
        topic: &TopicInfo,
        messages: Vec<ForPartition>,
    ) -> Result<Vec<(u32, Vec<u64>)>, IntakeError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let begun = self.clock.monotonic();
        let count: usize = messages.iter().map(|(_, messages)| messages.len()).sum();
        let mut appends = tokio::task::JoinSet::new();
        for (partition, messages) in messages {
            let (bus, name) = (Arc::clone(&self.bus), topic.name.clone());
            appends.spawn(async move { (partition, bus.append(&name, partition, messages).await) });
        }
        let mut positions = Vec::with_capacity(topic.partitions as usize);
        let mut failed = None;
        // All are awaited even if one fails: nothing may land after the item's lane is given free.
        while let Some(appended) = appends.join_next().await {
            match appended {
                Ok((partition, Ok(offsets))) => {
                    if let Some(last) = offsets.last() {
                        let end = i64::try_from(last + 1).unwrap_or(i64::MAX);
                        let labels = [topic.name.as_str(), &partition.to_string()];
                        self.metrics.end_offset.with_label_values(&labels).set(end);
                    }
                    positions.push((partition, offsets));
                }
                Ok((_, Err(error))) => failed = Some(error.into()),
                Err(_) => failed = Some(IntakeError::Worker),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        self.metrics.messages.inc_by(count as u64);
        self.metrics.append_seconds.observe(self.clock.monotonic().saturating_sub(begun).as_secs_f64());
        Ok(positions)
    }
}
