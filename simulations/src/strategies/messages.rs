//! The messages of a run by their numbers, and which of them a node has seen: what the gossiping strategies share.

use crate::{plan::NodeIx, strategy::Packet};

/// Number of a message in the order of publication.
pub type MessageIx = u32;

/// Which messages a node has seen: a bit for each since a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    from: MessageIx,
    bits: Vec<u64>,
}

impl Seen {
    /// Whatever is older than this one counts as seen.
    pub fn new(from: MessageIx) -> Self {
        Seen { from: from / 64 * 64, bits: Vec::new() }
    }

    /// Whether it has seen one.
    pub fn contains(&self, message: MessageIx) -> bool {
        let Some(at) = message.checked_sub(self.from) else { return true };
        self.bits.get(at as usize / 64).is_some_and(|bits| bits >> (at % 64) & 1 == 1)
    }

    /// Marks one as seen; true where it is new.
    pub fn insert(&mut self, message: MessageIx) -> bool {
        let Some(at) = message.checked_sub(self.from) else { return false };
        let word = at as usize / 64;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (at % 64);
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        is_new
    }
}

impl Seen {
    /// Bytes that it takes beside itself.
    pub fn memory_bytes(&self) -> usize {
        self.bits.capacity() * size_of::<u64>()
    }
}

/// All messages of the run, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    messages: Vec<(Packet, NodeIx, u64)>,
}

impl Published {
    /// A packet is published.
    pub fn add(&mut self, packet: Packet, origin: NodeIx, now_us: u64) -> MessageIx {
        self.messages.push((packet, origin, now_us));
        self.messages.len() as MessageIx - 1
    }

    /// What it is.
    pub fn packet(&self, message: MessageIx) -> Packet {
        self.messages[message as usize].0
    }

    /// Who published it.
    pub fn origin(&self, message: MessageIx) -> NodeIx {
        self.messages[message as usize].1
    }

    /// When it was published.
    pub fn published_us(&self, message: MessageIx) -> u64 {
        self.messages[message as usize].2
    }

    /// The first message published at a time or later.
    pub fn first_since(&self, at_us: u64) -> MessageIx {
        self.messages.partition_point(|(_, _, published_us)| *published_us < at_us) as MessageIx
    }
}
