//! Deterministic chance: a small counter-based generator that can be split by label, so that adding a draw in one part
//! of a life does not move the others, and so that any block can be simulated alone.

/// SplitMix64 over a keyed counter.
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    state: u64,
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A well-mixed value of two words.
#[must_use]
pub(crate) fn hash2(a: u64, b: u64) -> u64 {
    mix(mix(a ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(b.wrapping_mul(0xd6e8_feb8_6659_fd93)))
}

impl Chance {
    /// The generator of (seed, label).
    #[must_use]
    pub(crate) fn new(seed: u64, label: u64) -> Chance {
        Chance { state: hash2(seed, label) }
    }

    /// A generator of its own for `label`, independent of the draws made so far.
    #[must_use]
    pub(crate) fn split(&mut self, label: u64) -> Chance {
        Chance { state: hash2(self.next_u64(), label) }
    }

    /// 64 random bits.
    pub(crate) fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Uniform in `0..n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// Uniform in `low..=high`; `low` when the range is empty.
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        if high <= low {
            return low;
        }
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True with probability `per_10k` in ten thousand.
    pub(crate) fn per_10k(&mut self, per_10k: u64) -> bool {
        self.below(10_000) < per_10k
    }

    /// True with probability `percent` in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// The index chosen by `weights`.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut at = self.below(total);
        for (i, w) in weights.iter().enumerate() {
            if at < u64::from(*w) {
                return i;
            }
            at -= u64::from(*w);
        }
        weights.len().saturating_sub(1)
    }

    /// Roughly bell-shaped around `mean` with standard deviation `spread` (sum of four uniforms).
    pub(crate) fn around(&mut self, mean: i64, spread: i64) -> i64 {
        let sum: i64 = (0..4).map(|_| self.range(-1000, 1000)).sum();
        mean + sum * spread / 1155
    }
}
