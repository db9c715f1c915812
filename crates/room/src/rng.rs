//! Random draws from the seed that the driver gave: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
//!
//! For choices that need no secrecy, such as a random candidate; keys are derived by the suite's hash instead.

#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// Takes the first eight bytes of a digest of the seed, so that draws reveal nothing of it.
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let voice = treehouse_wire::MediaKey(*seed).voice();
        Rng(u64::from_le_bytes(voice.0))
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// A number below `bound`, which must not be zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next_u64() % bound.max(1) as u64) as usize
    }
}
