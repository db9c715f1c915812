//! Two speech samples that come with the program, for the demo and for trying things without a microphone.
//!
//! The project made them with espeak-ng; `assets/README.md` has the commands.

/// A speech sample of about 21 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sample {
    /// A low British voice; what a room is.
    One,
    /// A higher American voice; how one gets in.
    Two,
}

impl Sample {
    /// Both.
    pub const ALL: [Sample; 2] = [Sample::One, Sample::Two];

    /// The sound: FLAC, 48 kHz mono, 16 bits.
    pub const fn flac(self) -> &'static [u8] {
        match self {
            Sample::One => include_bytes!("../assets/sample-1.flac"),
            Sample::Two => include_bytes!("../assets/sample-2.flac"),
        }
    }

    /// Its file's name in the source tree.
    pub const fn file_name(self) -> &'static str {
        match self {
            Sample::One => "sample-1.flac",
            Sample::Two => "sample-2.flac",
        }
    }

    /// What is said in it.
    pub const fn text(self) -> &'static str {
        match self {
            Sample::One => include_str!("../assets/sample-1.txt"),
            Sample::Two => include_str!("../assets/sample-2.txt"),
        }
    }
}
