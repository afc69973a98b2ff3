//! The one thread that writes: many appends, one journal sync.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{GROUP_BYTES, Log, Topic, layout, storage};
use crate::{BusError, Message};

/// One call of `append` on its way.
pub(crate) struct Append {
    pub(crate) topic: Arc<Topic>,
    pub(crate) partition: u32,
    pub(crate) messages: Vec<Message>,
    pub(crate) answer: oneshot::Sender<Result<Vec<u64>, BusError>>,
    /// Returned to the queue when the append is answered.
    pub(crate) _queued: OwnedSemaphorePermit,
}

impl Append {
    fn bytes(&self) -> usize {
        self.messages.iter().map(Message::len).sum()
    }
}

/// Commits groups until every sender is gone.
pub(crate) fn run(log: &Log, mut queue: mpsc::Receiver<Append>) {
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while bytes < GROUP_BYTES {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.bytes();
            group.push(next);
        }
        let outcome = commit(log, &group);
        answer(group, outcome);
    }
    log.noted.sync();
}

/// Writes a group as one batch and syncs it; answers the positions per append. The ends move only after the sync.
fn commit(log: &Log, group: &[Append]) -> Result<Vec<Vec<u64>>, BusError> {
    let mut batch = log.db.batch().durability(Some(PersistMode::SyncAll));
    let mut ends: HashMap<(u32, u32), (Arc<Topic>, u64)> = HashMap::new();
    let mut fresh: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut positions = Vec::with_capacity(group.len());
    for append in group {
        let number = append.topic.number;
        let place = (number, append.partition);
        let (_, end) = ends.entry(place).or_insert_with(|| {
            let end = *append.topic.ends[append.partition as usize].borrow();
            (Arc::clone(&append.topic), end)
        });
        let mut own = Vec::with_capacity(append.messages.len());
        for message in &append.messages {
            let identity = layout::identity_key(number, append.partition, message);
            let known = match fresh.get(&identity) {
                Some(offset) => Some(*offset),
                None => match log.identities.get(&identity).map_err(storage)? {
                    Some(value) => Some(layout::read_offset(&value)?),
                    None => None,
                },
            };
            let offset = known.unwrap_or(*end);
            if known.is_none() {
                batch.insert(
                    &log.messages,
                    layout::message_key(number, append.partition, offset),
                    layout::write_message(message),
                );
                batch.insert(&log.identities, identity.clone(), offset.to_be_bytes());
                fresh.insert(identity, offset);
                *end += 1;
            }
            own.push(offset);
        }
        positions.push(own);
    }
    batch.commit().map_err(storage)?;
    for (place @ (_, partition), (topic, end)) in ends {
        log.noted.note(place, end);
        topic.ends[partition as usize].send_replace(end);
    }
    Ok(positions)
}

fn answer(group: Vec<Append>, outcome: Result<Vec<Vec<u64>>, BusError>) {
    match outcome {
        Ok(positions) => {
            for (append, positions) in group.into_iter().zip(positions) {
                // The caller may have gone; the messages are stored all the same.
                append.answer.send(Ok(positions)).ok();
            }
        }
        Err(error) => {
            tracing::error!(error = ?error, "the bus could not commit");
            let error = Arc::new(error);
            for append in group {
                append.answer.send(Err(BusError::Storage(Box::new(GroupFailed(Arc::clone(&error)))))).ok();
            }
        }
    }
}

/// One failure told to every caller of a group.
#[derive(Debug)]
struct GroupFailed(Arc<BusError>);

impl fmt::Display for GroupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the group commit failed")
    }
}

impl std::error::Error for GroupFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}
