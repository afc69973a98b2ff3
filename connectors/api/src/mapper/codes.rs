//! A department's codes to canonical values, by a small open-addressing table over the cell's bytes.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use crate::convert::Canonical;
use crate::convert::text::fold;
use crate::source::FastDigest;

/// Code → index of its value.
#[derive(Debug)]
pub(super) struct CodeMap {
    /// Power of two, at most half full; `u32::MAX` = free.
    slots: Vec<u32>,
    keys: Vec<Box<str>>,
    values: Vec<Canonical>,
}

impl CodeMap {
    /// Compiles a list; values were checked to be of the type when the mapping was resolved.
    pub(super) fn new(codes: &BTreeMap<String, String>, ty: &DataType) -> Self {
        let size = (codes.len() * 2).next_power_of_two().max(8);
        let mut map = Self { slots: vec![u32::MAX; size], keys: Vec::new(), values: Vec::new() };
        for (from, to) in codes {
            if let Some(value) = Canonical::parse(ty, to) {
                let key = fold(from);
                if map.get(&key).is_none() {
                    let mut slot = map.slot(&key);
                    while map.slots[slot] != u32::MAX {
                        slot = (slot + 1) & (size - 1);
                    }
                    map.slots[slot] = map.keys.len() as u32;
                    map.keys.push(key.into());
                    map.values.push(value);
                }
            }
        }
        map
    }

    /// Index of a trimmed code's value; folds the code when it is not known as it stands.
    #[inline]
    pub(super) fn get(&self, code: &str) -> Option<usize> {
        self.find(code).or_else(|| match fold(code) {
            std::borrow::Cow::Owned(folded) => self.find(&folded),
            std::borrow::Cow::Borrowed(_) => None,
        })
    }

    /// The value at an index that [`Self::get`] gave.
    #[inline]
    pub(super) fn value(&self, at: usize) -> &Canonical {
        &self.values[at]
    }

    #[inline]
    fn find(&self, code: &str) -> Option<usize> {
        let mut slot = self.slot(code);
        loop {
            let at = self.slots[slot];
            if at == u32::MAX {
                return None;
            }
            if *self.keys[at as usize] == *code {
                return Some(at as usize);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    #[inline]
    fn slot(&self, code: &str) -> usize {
        let mut digest = FastDigest::default();
        digest.update(code.as_bytes());
        digest.finish() as usize & (self.slots.len() - 1)
    }
}
