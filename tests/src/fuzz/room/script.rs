//! An input read as a script: bytes from the front, zeros once it is at its end.

/// What is left of an input.
#[derive(Clone, Debug)]
pub struct Script<'a>(&'a [u8]);

/// Numbers that are often at a border.
const BORDERS: [u32; 8] = [0, 1, 127, 128, 65_535, i32::MAX as u32, u32::MAX - 2, u32::MAX];

impl<'a> Script<'a> {
    /// The whole of an input.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Script(input)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number of two bytes: small ones as they are, large ones near a border.
    pub fn number(&mut self) -> u32 {
        let (high, low) = (self.byte(), self.byte());
        match BORDERS.get(usize::from(high.wrapping_sub(0xf8))) {
            Some(border) if high >= 0xf8 => border.wrapping_sub(u32::from(low)),
            _ => u32::from(high) << 8 | u32::from(low),
        }
    }

    /// So many bytes, or what is left.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
