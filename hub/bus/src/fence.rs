//! Which messages count when several hubs take turns in a partition.
//!
//! A hub that may append to an item has an epoch, greater than that of every hub before it (`hub/store`, claims). A hub
//! that was believed dead may still have a message on its way, which lands after the next hub has read the log and
//! decided what is new. No clock and no lock prevents that; so every reader applies one rule to the log itself:
//!
//! > BUS-7 A message counts only if no message before it in its partition has a greater epoch.
//!
//! The next hub first appends a mark of its epoch and then reads up to it. What stands before the mark it knows; what a
//! former hub still gets in behind the mark counts for nobody, and that hub finds out by looking at what stands before
//! its message before it answers anyone.

use crate::Headers;

/// The rule of the module for one partition, while its messages are read in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fence {
    epoch: u64,
}

impl Fence {
    /// A fence as it stands after messages that were read before.
    pub fn at(epoch: u64) -> Self {
        Self { epoch }
    }

    /// The greatest epoch so far.
    pub fn epoch(self) -> u64 {
        self.epoch
    }

    /// Whether the next message of the partition counts.
    pub fn admits(&mut self, headers: &Headers) -> bool {
        let counts = headers.epoch >= self.epoch;
        self.epoch = self.epoch.max(headers.epoch);
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    #[test]
    fn what_lands_behind_a_later_epoch_does_not_count() {
        let headers = |epoch| Headers {
            item: "item".to_owned(),
            catalogue_version: "1".to_owned(),
            batch_id: "b".to_owned(),
            provider: "p".to_owned(),
            span: Span { first_row: 0, rows: 1 },
            epoch,
        };
        let mut fence = Fence::default();
        let counted: Vec<bool> = [0, 0, 1, 1, 0, 1, 3, 2, 1, 3].map(|epoch| fence.admits(&headers(epoch))).into();
        assert_eq!(counted, [true, true, true, true, false, true, true, false, false, true]);
        assert_eq!(fence.epoch(), 3);
        assert_ne!(headers(1).identity(), headers(2).identity());
    }
}
