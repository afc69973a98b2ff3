//! Where a reader is in a feed: opaque text for the reader, sealed by the vault.
//!
//! ```text
//! text  = base64url( sealed( JSON {"feed", "log", "next": [[offset, row, epoch] per partition], "turn"} ) )
//! ```
//!
//! `next` says for each partition which message comes next, how many of its rows were passed, and the greatest epoch
//! before it (BUS-7). Receipts have one partition, whose offset is the last place read. Sealing does two things that signing would not: numbers of messages,
//! which grow with rows that the reader may not see, are not told; and two texts of the same place differ, so that
//! a page without rows tells nothing either. Rotating keys leaves old positions readable.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minqiao_vault::{Sealer, Unsealer, VaultError};
use serde::{Deserialize, Serialize};

use super::FeedError;

/// Kind and id under which positions are sealed.
const SEALED_AS: (&str, &str) = ("feed position", "1");
/// Bodies are filled up to a multiple of this, so that the length of a text does not tell how long its numbers are.
const PADDED_TO: usize = 128;
/// Longest text that is looked at; 1024 partitions have room.
const TEXT_BYTES_MAX: usize = 48 << 10;

/// A place in a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Name of the feed.
    pub(crate) feed: String,
    /// Identity of the log, so that a position is never read against another one.
    pub(crate) log: String,
    /// Next message, rows of it that were passed, and the fence before it, by partition.
    pub(crate) next: Vec<(u64, u32, u64)>,
    /// Partition that the next page begins with: none is starved by another.
    pub(crate) turn: u32,
}

impl Position {
    /// The text of the position.
    pub fn seal(&self, sealer: &Sealer) -> Result<String, VaultError> {
        let mut body = serde_json::to_vec(self).expect("texts and numbers are JSON");
        body.resize(body.len().next_multiple_of(PADDED_TO), b' ');
        Ok(URL_SAFE_NO_PAD.encode(sealer.seal_blob(SEALED_AS.0, SEALED_AS.1, &body)?))
    }

    pub(crate) fn open(text: &str, unsealer: &Unsealer) -> Result<Self, FeedError> {
        let invalid = || FeedError::PositionInvalid;
        if text.len() > TEXT_BYTES_MAX {
            return Err(invalid());
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| invalid())?;
        let body = unsealer.open_blob(SEALED_AS.0, SEALED_AS.1, &sealed).map_err(|_| invalid())?;
        serde_json::from_slice(&body).map_err(|_| invalid())
    }

    /// For the audit record: `0:17+3 1:4`.
    pub(crate) fn in_words(&self) -> String {
        let one = |(partition, (offset, row, _)): (usize, &(u64, u32, u64))| match row {
            0 => format!("{partition}:{offset}"),
            row => format!("{partition}:{offset}+{row}"),
        };
        self.next.iter().enumerate().map(one).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_opens_again_and_nothing_else_does() {
        let keys = tempfile::tempdir().expect("a folder");
        let vault =
            minqiao_vault::Vault::open(minqiao_vault::VaultOptions::at(keys.path().join("keys"))).expect("keys");
        let position = Position { feed: "items/x".into(), log: "l".into(), next: vec![(17, 3, 0), (4, 0, 2)], turn: 1 };
        assert_eq!(position.in_words(), "0:17+3 1:4");
        let (sealer, unsealer) = (vault.sealer(), vault.unsealer());
        let (one, two) = (position.seal(&sealer).expect("sealed"), position.seal(&sealer).expect("sealed"));
        assert_ne!(one, two, "two texts of one place tell nothing");
        let farther = Position { next: vec![(1_700_000, 3999, 40), (4, 0, 2)], ..position.clone() };
        assert_eq!(farther.seal(&sealer).expect("sealed").len(), one.len(), "nor does their length");
        assert_eq!(Position::open(&one, &unsealer).expect("opens"), position);
        vault.rotate().expect("new keys");
        assert_eq!(Position::open(&two, &vault.unsealer()).expect("opens"), position);
        let foreign = sealer.seal_blob("report", "1", b"{}").expect("sealed");
        let mut changed = URL_SAFE_NO_PAD.decode(&one).expect("base64");
        *changed.last_mut().expect("bytes") ^= 1;
        for bad in ["", "0", "start?", &URL_SAFE_NO_PAD.encode(foreign), &URL_SAFE_NO_PAD.encode(changed), &one[1..]] {
            assert!(matches!(Position::open(bad, &unsealer), Err(FeedError::PositionInvalid)), "{bad}");
        }
    }
}
