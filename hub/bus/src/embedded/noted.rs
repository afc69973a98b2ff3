//! What was acknowledged, noted beside the log: where each partition ends.
//!
//! The engine takes a record that it cannot read for the tail that a crash tore, and cuts the journal there. So does a
//! flipped bit in the middle of the journal, and everything acknowledged after it would be gone without a word. The
//! note tells the two apart: what a crash tears was never acknowledged, and is not in the note.
//!
//! ```text
//! file `acknowledged`, a slot per partition: number u32 ‖ partition u32 ‖ end u64 ‖ check u64 ‖ 0 u64   (big endian)
//! ```
//!
//! A slot is overwritten after the journal was synced and before the callers hear of it. The note itself is synced when
//! the bus is closed, and by the system sooner or later: after a loss of power it may tell of an earlier end, never of a
//! later one. A log that lacks what was acknowledged does not open; `ops/README.md` says what to do then.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use parking_lot::Mutex;

use crate::BusError;

const SLOT_BYTES: usize = 32;
const FILE: &str = "acknowledged";

/// Partition of a topic, by the topic's number.
pub(crate) type Place = (u32, u32);

/// See the module.
#[derive(Debug)]
pub(crate) struct Noted(Mutex<Note>);

#[derive(Debug)]
struct Note {
    file: File,
    slots: HashMap<Place, u64>,
}

impl Noted {
    /// Opens or makes the note; answers what it says.
    pub(crate) fn open(dir: &Path) -> Result<(Self, BTreeMap<Place, u64>), BusError> {
        let (file, bytes) = load(dir).map_err(|error| BusError::Storage(Box::new(error)))?;
        let (mut slots, mut ends) = (HashMap::new(), BTreeMap::new());
        for (slot, bytes) in (0..).zip(bytes.chunks_exact(SLOT_BYTES)) {
            match read(bytes) {
                Some((place, end)) => {
                    slots.insert(place, slot);
                    ends.insert(place, end);
                }
                // A slot whose first writing a loss of power took.
                None if bytes.iter().all(|byte| *byte == 0) => {}
                None => return Err(BusError::Damaged { what: "note of what was acknowledged" }),
            }
        }
        Ok((Self(Mutex::new(Note { file, slots })), ends))
    }

    /// Notes that everything before `end` is durable and about to be acknowledged. A note that cannot be written tells of
    /// an earlier end, which is safe.
    pub(crate) fn note(&self, place: Place, end: u64) {
        let mut note = self.0.lock();
        let next = note.slots.values().max().map_or(0, |last| last + 1);
        let slot = *note.slots.entry(place).or_insert(next);
        let written = note
            .file
            .seek(SeekFrom::Start(slot * SLOT_BYTES as u64))
            .and_then(|_| note.file.write_all(&write(place, end)));
        if let Err(error) = written {
            tracing::error!(error = &error as &dyn std::error::Error, "what was acknowledged could not be noted");
        }
    }

    /// Makes the note durable.
    pub(crate) fn sync(&self) {
        if let Err(error) = self.0.lock().file.sync_all() {
            tracing::error!(error = &error as &dyn std::error::Error, "what was acknowledged could not be synced");
        }
    }
}

fn load(dir: &Path) -> std::io::Result<(File, Vec<u8>)> {
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(dir.join(FILE))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((file, bytes))
}

fn write((number, partition): Place, end: u64) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes[4..8].copy_from_slice(&partition.to_be_bytes());
    bytes[8..16].copy_from_slice(&end.to_be_bytes());
    bytes[16..24].copy_from_slice(&check((number, partition), end).to_be_bytes());
    bytes
}

fn read(bytes: &[u8]) -> Option<(Place, u64)> {
    let small = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let large = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
    let (place, end) = ((small(0)?, small(4)?), large(8)?);
    (large(16)? == check(place, end) && large(24)? == 0).then_some((place, end))
}

/// Every bit of a slot changes about half of these; no slot of zeros has zeros here.
fn check((number, partition): Place, end: u64) -> u64 {
    let mixed = |n: u64| {
        let n = (n ^ (n >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        n ^ (n >> 31)
    };
    mixed(mixed((u64::from(number) << 32 | u64::from(partition)) ^ 0x6D69_6E71_6961_6F21) ^ end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_was_noted_last_and_a_changed_one_says_so() {
        let dir = tempfile::TempDir::new().expect("a temporary directory");
        let (noted, ends) = Noted::open(dir.path()).expect("opened");
        assert!(ends.is_empty());
        for end in 1..50 {
            noted.note((0, 0), end);
            noted.note((7, 1), end * 3);
        }
        noted.sync();
        let said = || Noted::open(dir.path()).map(|(_, ends)| ends);
        assert_eq!(said().expect("whole"), BTreeMap::from([((0, 0), 49), ((7, 1), 147)]));
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).expect("a file");
        assert_eq!(whole.len(), 2 * SLOT_BYTES);
        for bit in 0..whole.len() * 8 {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, changed).expect("written");
            assert!(matches!(said(), Err(BusError::Damaged { .. })), "bit {bit}");
        }
        // Half a slot at the end, and one of zeros: what a loss of power leaves.
        let torn = [&whole[..], &[0; SLOT_BYTES], &whole[..9]].concat();
        std::fs::write(&path, torn).expect("written");
        assert_eq!(said().expect("whole").len(), 2);
    }
}
