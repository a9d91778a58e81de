//! `SplitMix64`: enough randomness for worlds, the same on every machine for ever.

/// A stream of numbers that its seed determines.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A stream.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; the bias of so few is of no matter.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() >> 32).unwrap_or(0) % end.max(1)
    }

    /// A 64-bit number below `end`.
    pub fn up_to(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.up_to(of) == 0
    }

    /// True so many times out of a hundred.
    pub fn percent(&mut self, share: usize) -> bool {
        self.below(100) < share
    }

    /// One of them; there is at least one.
    #[expect(clippy::indexing_slicing, reason = "an empty list is a mistake of the test")]
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}
