//! Blocks of files on an object store, kept for a while.
//!
//! Lookups and merges read pages, some of them a few hundred bytes long. On a disk that is what they should do; on an
//! object store each read is a request, which takes a millisecond at best. So blocks are read instead of pages: the
//! next page of a column, and the neighbouring columns' pages of a small file, are then already here. Data files never
//! change and their names are never used again, so a block that is kept is right for ever.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// Small, because a merge holds one of each column of each file at least.
const BLOCK_BYTES: u64 = 128 << 10;

/// A file and the number of a block in it.
type Place = (String, u64);

/// See the module.
#[derive(Debug)]
pub(crate) struct Blocks {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_place: HashMap<Place, Bytes>,
    order: VecDeque<Place>,
    bytes: usize,
}

impl Blocks {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    /// A range of a file that is `length` long; `fetch` is asked at most once, for whole blocks.
    pub(crate) fn read<E>(
        &self,
        file: &str,
        length: u64,
        range: Range<u64>,
        fetch: impl FnOnce(Range<u64>) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let end = range.end.min(length);
        if range.start >= end {
            return Ok(Bytes::new());
        }
        let numbers = range.start / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        let mut blocks: Vec<Option<Bytes>> = self.look(file, numbers.clone());
        if let Some(first) = blocks.iter().position(Option::is_none) {
            let last = blocks.iter().rposition(Option::is_none).unwrap_or(first);
            let missing = numbers.start + first as u64..numbers.start + last as u64 + 1;
            let bytes = fetch(missing.start * BLOCK_BYTES..(missing.end * BLOCK_BYTES).min(length))?;
            for (number, block) in missing.zip(&mut blocks[first..=last]) {
                let at = bytes.len().min((number - numbers.start - first as u64) as usize * BLOCK_BYTES as usize);
                let bytes = bytes.slice(at..bytes.len().min(at + BLOCK_BYTES as usize));
                self.keep((file.to_owned(), number), bytes.clone());
                *block = Some(bytes);
            }
        }
        let blocks: Vec<Bytes> = blocks.into_iter().flatten().collect();
        let skipped = (range.start - numbers.start * BLOCK_BYTES) as usize;
        let wanted = skipped..skipped + (end - range.start) as usize;
        Ok(match blocks.as_slice() {
            // A block that the store cut short makes a read that is too short, which the reader notices.
            [block] => block.slice(wanted.start.min(block.len())..wanted.end.min(block.len())),
            many => {
                let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|block| all.extend_from_slice(block));
                let all = all.freeze();
                all.slice(wanted.start.min(all.len())..wanted.end.min(all.len()))
            }
        })
    }

    fn look(&self, file: &str, numbers: Range<u64>) -> Vec<Option<Bytes>> {
        let kept = self.kept.lock();
        numbers.map(|number| kept.by_place.get(&(file.to_owned(), number)).cloned()).collect()
    }

    /// The oldest go first.
    fn keep(&self, place: Place, block: Bytes) {
        let mut kept = self.kept.lock();
        let bytes = block.len();
        if kept.by_place.insert(place.clone(), block).is_none() {
            kept.order.push_back(place);
            kept.bytes += bytes;
        }
        while kept.bytes > self.bytes_max {
            let Some(oldest) = kept.order.pop_front() else { break };
            kept.bytes -= kept.by_place.remove(&oldest).map_or(0, |block| block.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn every_range_is_what_the_file_holds_and_neighbours_are_fetched_once() {
        let length = 5 * BLOCK_BYTES + 77;
        let file: Bytes = (0..length).map(|n| (n % 251) as u8 ^ (n >> 16) as u8).collect();
        for room in [0, 3 * BLOCK_BYTES as usize, 1 << 30] {
            let (blocks, mut fetched) = (Blocks::new(room), 0);
            let mut state = 7_u64;
            for _ in 0..500 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let start = (state >> 20) % length;
                let end = start + (state >> 40) % (3 * BLOCK_BYTES);
                let read = blocks.read("a", length, start..end, |range| {
                    fetched += 1;
                    Ok::<_, Infallible>(file.slice(range.start as usize..range.end as usize))
                });
                let Ok(read) = read;
                assert_eq!(read, file.slice(start as usize..end.min(length) as usize));
            }
            assert!(blocks.kept.lock().bytes <= room, "bounded");
            assert!(if room > 1 << 20 { fetched <= 6 } else { fetched > 100 }, "{fetched} with room for {room}");
        }
    }

    #[test]
    fn a_failed_fetch_keeps_nothing() {
        let blocks = Blocks::new(1 << 20);
        assert_eq!(blocks.read("a", 10, 0..10, |_| Err("away")), Err("away"));
        assert_eq!(blocks.read("a", 10, 2..4, |_| Ok::<_, &str>(Bytes::from_static(b"0123456789"))).unwrap(), "23");
    }
}
