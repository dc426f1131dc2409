//! Numbers that a seed repeats.

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    /// Of one round, so that what one round has drawn is nothing to the next.
    pub(super) fn of(seed: u64, round: u64) -> Self {
        // splitmix64, so that neighbouring rounds have nothing in common.
        let mut mixed = seed.wrapping_add(round.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ mixed >> 31) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % bound
    }

    pub(super) fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    pub(super) fn happens(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
