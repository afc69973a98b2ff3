//! Which messages a partition's last part holds, and which are on their way: how BUS-3 is kept.
//!
//! Kafka numbers what one producer sends and so recognises its own repetitions; it does not know that two messages are
//! the same batch span sent by two calls, two processes, or before and after a restart. The window does: identities of
//! the last messages with their offsets. It is filled from the log itself, so it cannot disagree with it:
//!
//! ```text
//!   0 ............ start ................ known .............. end
//!   (forgotten)     | identities are here |  not read yet       |
//!                                            `catch_up` reads it before anything is sent
//! ```
//!
//! Pure: no clock, no network. The caller keeps it under a lock.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

/// How a message that was sent ended: its offset, or the code of the failure.
pub(crate) type Ending = Result<u64, rdkafka::error::RDKafkaErrorCode>;

/// A message's place, or where to learn it.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// In the log.
    Stored(u64),
    /// Given to the producer.
    OnItsWay(watch::Receiver<Option<Ending>>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Window {
    places: HashMap<Vec<u8>, Place>,
    /// Stored identities, oldest first.
    order: VecDeque<(u64, Vec<u8>)>,
    capacity: usize,
    /// Everything before this offset was seen; `None` before the first look into the log.
    known: Option<u64>,
    /// Messages given to the producer and not ended.
    on_their_way: usize,
    /// Counts reasons to look into the log before the next message is sent, whoever else writes.
    doubts: u64,
    /// The doubts that a look has settled.
    settled: u64,
}

impl Window {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            places: HashMap::new(),
            order: VecDeque::new(),
            capacity,
            known: None,
            on_their_way: 0,
            doubts: 1,
            settled: 0,
        }
    }

    pub(crate) fn known(&self) -> Option<u64> {
        self.known
    }

    pub(crate) fn is_uncertain(&self) -> bool {
        self.doubts > self.settled
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.on_their_way > 0
    }

    /// The log is about to be read, the first time from `start` on. Answers what to settle when that is done; doubts
    /// that come up meanwhile stay.
    pub(crate) fn begin(&mut self, start: u64) -> u64 {
        self.known.get_or_insert(start);
        self.doubts
    }

    /// The log was read to the end that it had when the look began.
    pub(crate) fn settle(&mut self, doubts: u64) {
        self.settled = self.settled.max(doubts);
    }

    /// Retention removed what was not read yet.
    pub(crate) fn skip_to(&mut self, first: u64) {
        self.known = self.known.map(|known| known.max(first));
    }

    /// Where the message is, if it is known to be anywhere.
    pub(crate) fn place(&self, identity: &[u8]) -> Option<&Place> {
        self.places.get(identity)
    }

    /// A message is given to the producer.
    pub(crate) fn sent(&mut self, identity: Vec<u8>, ending: watch::Receiver<Option<Ending>>) {
        self.places.insert(identity, Place::OnItsWay(ending));
        self.on_their_way += 1;
    }

    /// A message that was sent when everything before `after` was known is in the log, or is not known to be. Answers
    /// whether the offset can be right: one before `after` belongs to another log.
    pub(crate) fn ended(&mut self, identity: Vec<u8>, after: u64, ending: &Ending) -> bool {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        match ending {
            Ok(offset) => {
                let fits = *offset >= after;
                self.store(identity, *offset);
                match self.known {
                    Some(known) if known == *offset => self.known = Some(offset + 1),
                    // Somebody else's messages lie between: they are read with the next look.
                    Some(known) if known < *offset => self.doubts += 1,
                    _ => {}
                }
                fits
            }
            Err(_) => {
                if matches!(self.places.get(&identity), Some(Place::OnItsWay(_))) {
                    self.places.remove(&identity);
                }
                self.doubts += 1;
                true
            }
        }
    }

    /// A message was read from the log.
    pub(crate) fn read(&mut self, identity: Vec<u8>, offset: u64) {
        match self.places.get(&identity) {
            // The producer will tell, and its callers wait for that.
            Some(Place::OnItsWay(_)) => {}
            // The first one counts, should there be two.
            Some(Place::Stored(first)) if *first <= offset => {}
            _ => self.store(identity, offset),
        }
        self.known = Some(self.known.map_or(offset + 1, |known| known.max(offset + 1)));
    }

    fn store(&mut self, identity: Vec<u8>, offset: u64) {
        self.places.insert(identity.clone(), Place::Stored(offset));
        self.order.push_back((offset, identity));
        while self.order.len() > self.capacity {
            if let Some((offset, identity)) = self.order.pop_front()
                && matches!(self.places.get(&identity), Some(Place::Stored(at)) if *at == offset)
            {
                self.places.remove(&identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::RDKafkaErrorCode;

    use super::*;

    fn id(n: u64) -> Vec<u8> {
        n.to_be_bytes().to_vec()
    }

    fn stored(window: &Window, n: u64) -> Option<u64> {
        match window.place(&id(n)) {
            Some(Place::Stored(offset)) => Some(*offset),
            _ => None,
        }
    }

    fn begun(capacity: usize) -> Window {
        let mut window = Window::new(capacity);
        assert!(window.is_uncertain(), "nothing may be sent before the log was looked into");
        let doubts = window.begin(0);
        assert!(window.is_uncertain(), "a look that was given up settles nothing");
        window.settle(doubts);
        window
    }

    fn send(window: &mut Window, n: u64) -> watch::Sender<Option<Ending>> {
        let (ending, ended) = watch::channel(None);
        window.sent(id(n), ended);
        ending
    }

    #[test]
    fn own_messages_move_what_is_known() {
        let mut window = begun(10);
        let _endings = [send(&mut window, 7), send(&mut window, 8)];
        assert!(window.is_waiting() && matches!(window.place(&id(7)), Some(Place::OnItsWay(_))));
        assert!(window.ended(id(7), 0, &Ok(0)) && window.ended(id(8), 0, &Ok(1)));
        assert_eq!((window.known(), window.is_uncertain(), window.is_waiting()), (Some(2), false, false));
        assert_eq!((stored(&window, 7), stored(&window, 8)), (Some(0), Some(1)));
    }

    #[test]
    fn a_gap_is_somebody_elses_and_is_read() {
        let mut window = begun(10);
        let _ending = send(&mut window, 7);
        assert!(window.ended(id(7), 0, &Ok(2)));
        assert_eq!((window.known(), window.is_uncertain()), (Some(0), true));
        for (n, offset) in [(1, 0), (2, 1), (7, 2)] {
            window.read(id(n), offset);
        }
        assert_eq!((window.known(), stored(&window, 1), stored(&window, 7)), (Some(3), Some(0), Some(2)));
    }

    #[test]
    fn a_failure_leaves_doubt_and_no_place() {
        let mut window = begun(10);
        let _ending = send(&mut window, 7);
        assert!(window.ended(id(7), 0, &Err(RDKafkaErrorCode::Fatal)));
        assert!(window.is_uncertain() && window.place(&id(7)).is_none());
        // Another one fails during the look: that is settled by the next look only.
        let doubts = window.begin(0);
        let _ending = send(&mut window, 8);
        window.ended(id(8), 0, &Err(RDKafkaErrorCode::Fatal));
        window.settle(doubts);
        assert!(window.is_uncertain());
        // It had landed after all.
        window.read(id(7), 0);
        assert_eq!(stored(&window, 7), Some(0));
    }

    #[test]
    fn what_was_read_while_it_was_on_its_way_is_still_told_by_the_producer() {
        let mut window = begun(10);
        let _ending = send(&mut window, 7);
        window.read(id(7), 0);
        assert!(matches!(window.place(&id(7)), Some(Place::OnItsWay(_))));
        // Reading came first: the offset is not from another log.
        assert_eq!(window.known(), Some(1));
        assert!(window.ended(id(7), 0, &Ok(0)));
        assert_eq!(stored(&window, 7), Some(0));
    }

    #[test]
    fn an_offset_before_what_was_known_is_from_another_log() {
        let mut window = begun(10);
        window.read(id(1), 0);
        let _ending = send(&mut window, 7);
        assert!(!window.ended(id(7), 1, &Ok(0)));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut window = begun(3);
        for n in 0..5 {
            window.read(id(n), n);
        }
        assert_eq!((0..5).map(|n| stored(&window, n)).collect::<Vec<_>>(), [None, None, Some(2), Some(3), Some(4)]);
        assert_eq!(window.places.len(), 3);
    }
}
