//! Chance that follows from a seed, so that a test meets the same one again.

use std::sync::atomic::{AtomicU64, Ordering};

/// A sequence of numbers that look random (splitmix64).
#[derive(Debug, Default)]
pub(super) struct Chance(AtomicU64);

impl Chance {
    /// The sequence that starts at `seed`.
    pub(super) const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `bound`, which is 0 only where nothing is left to chance.
    pub(super) fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// Whether one of the `per_mille` of 1,000 cases is met.
    pub(super) fn meets(&self, per_mille: u64) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }

    fn next(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
