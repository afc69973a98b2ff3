//! Who is waiting: bounded for each caller, so that nobody takes all places, and for all.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::IntGauge;

use super::{FeedLimits, FeedMetrics};

#[derive(Debug)]
pub(crate) struct Polls {
    waiting: Arc<Mutex<HashMap<String, usize>>>,
    of_one_max: usize,
    all_max: usize,
    open: IntGauge,
}

impl Polls {
    pub(crate) fn new(limits: &FeedLimits, metrics: &FeedMetrics) -> Self {
        Self {
            waiting: Arc::default(),
            of_one_max: limits.polls_of_one_max,
            all_max: limits.polls_max,
            open: metrics.polls.clone(),
        }
    }

    /// A place, unless there is none.
    pub(crate) fn enter(&self, caller: &str) -> Option<Poll> {
        let mut waiting = self.waiting.lock();
        let all: usize = waiting.values().sum();
        let own = waiting.get(caller).copied().unwrap_or_default();
        if all >= self.all_max || own >= self.of_one_max {
            return None;
        }
        waiting.insert(caller.to_owned(), own + 1);
        self.open.inc();
        Some(Poll { waiting: Arc::clone(&self.waiting), caller: caller.to_owned(), open: self.open.clone() })
    }
}

/// A place among those who wait.
#[derive(Debug)]
pub(crate) struct Poll {
    waiting: Arc<Mutex<HashMap<String, usize>>>,
    caller: String,
    open: IntGauge,
}

impl Drop for Poll {
    fn drop(&mut self) {
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&self.caller) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(waiting.remove(&self.caller)),
        }
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_their_places_and_a_place_comes_back() {
        let metrics = FeedMetrics::register(&prometheus::Registry::new()).expect("names are free");
        let limits = FeedLimits { polls_of_one_max: 2, polls_max: 3, ..FeedLimits::default() };
        let polls = Polls::new(&limits, &metrics);
        let (a1, a2) = (polls.enter("a").expect("room"), polls.enter("a").expect("room"));
        assert!(polls.enter("a").is_none(), "two of one caller");
        let b1 = polls.enter("b").expect("room for others");
        assert!(polls.enter("c").is_none(), "three of all");
        assert_eq!(metrics.polls.get(), 3);
        drop(a1);
        let c1 = polls.enter("c").expect("room again");
        drop((a2, b1, c1));
        assert!(polls.waiting.lock().is_empty());
        assert_eq!(metrics.polls.get(), 0);
    }
}
