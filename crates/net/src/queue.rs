//! What waits to be written to one peer: a lane's packets, and control messages.
//!
//! Both are plain data with the clock passed in. A lane prefers to lose: audio that comes too late is of no use, so the
//! oldest packet goes when the queue is full and any packet goes once its deadline has passed. Only a packet of which
//! some bytes are already written stays, since what follows it on the substream would be unreadable without its rest.
//! Control messages are never dropped: a peer that does not take them is hung up.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use crate::limits::{CONTROL_QUEUE_BYTES_MAX, CONTROL_QUEUE_MESSAGES_MAX, LANE_QUEUE_PACKETS_MAX};

/// The peer has not taken its control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer does not take its control messages")]
pub(crate) struct ControlQueueFull;

/// The packets of one lane towards one peer, each with its length before it.
#[derive(Debug, Default)]
pub(crate) struct LaneQueue {
    packets: VecDeque<(Bytes, Instant)>,
    /// Bytes of the first packet that are written.
    written: usize,
    dropped: u32,
}

impl LaneQueue {
    /// Adds a packet that is of no use after `deadline`; drops what has expired, and the oldest beyond the bound.
    pub(crate) fn push(&mut self, packet: Bytes, deadline: Instant, now: Instant) {
        self.expire(now);
        if self.packets.len() >= LANE_QUEUE_PACKETS_MAX {
            let oldest = usize::from(self.written > 0);
            self.packets.remove(oldest);
            self.count(1);
        }
        self.packets.push_back((packet, deadline));
    }

    /// Drops the packets whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        let Some((_, first)) = self.packets.front() else { return };
        let started = self.written > 0;
        if self.packets.len() == 1 && (started || *first >= now) {
            return;
        }
        let before = self.packets.len();
        let mut keep_first = started;
        self.packets.retain(|(_, deadline)| std::mem::take(&mut keep_first) || *deadline >= now);
        self.count(before - self.packets.len());
    }

    /// The bytes to write next.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.packets.front().and_then(|(packet, _)| packet.get(self.written..))
    }

    /// `count` bytes of [`LaneQueue::front`] are written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        if self.packets.front().is_some_and(|(packet, _)| self.written >= packet.len()) {
            self.packets.pop_front();
            self.written = 0;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Packets dropped since this was last asked.
    pub(crate) fn take_dropped(&mut self) -> u32 {
        std::mem::take(&mut self.dropped)
    }

    fn count(&mut self, dropped: usize) {
        self.dropped = self.dropped.saturating_add(u32::try_from(dropped).unwrap_or(u32::MAX));
    }
}

/// The control messages towards one peer, each with its length before it.
#[derive(Debug, Default)]
pub(crate) struct ControlQueue {
    messages: VecDeque<Bytes>,
    bytes: usize,
    written: usize,
}

impl ControlQueue {
    /// Adds a message.
    ///
    /// # Errors
    /// [`ControlQueueFull`]; the message is not added.
    pub(crate) fn push(&mut self, message: Bytes) -> Result<(), ControlQueueFull> {
        let bytes = self.bytes + message.len();
        if bytes > CONTROL_QUEUE_BYTES_MAX || self.messages.len() >= CONTROL_QUEUE_MESSAGES_MAX {
            return Err(ControlQueueFull);
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        Ok(())
    }

    /// The bytes to write next.
    pub(crate) fn front(&self) -> Option<&[u8]> {
        self.messages.front().and_then(|message| message.get(self.written..))
    }

    /// `count` bytes of [`ControlQueue::front`] are written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        let Some(len) = self.messages.front().map(Bytes::len).filter(|len| self.written >= *len) else { return };
        self.messages.pop_front();
        self.bytes -= len;
        self.written = 0;
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[0, 1, n])
    }

    fn drain(queue: &mut LaneQueue) -> Vec<u8> {
        let mut numbers = Vec::new();
        while let Some(front) = queue.front() {
            let (n, len) = (front[front.len() - 1], front.len());
            numbers.push(n);
            queue.advance(len);
        }
        numbers
    }

    #[test]
    fn packets_leave_in_the_order_they_came() {
        let now = Instant::now();
        let mut queue = LaneQueue::default();
        (0..10).for_each(|n| queue.push(packet(n), now + Duration::from_secs(1), now));
        assert_eq!(drain(&mut queue), (0..10).collect::<Vec<_>>());
        assert!(queue.is_empty());
        assert_eq!(queue.take_dropped(), 0);
    }

    #[test]
    fn a_full_lane_drops_its_oldest_packet() {
        let now = Instant::now();
        let mut queue = LaneQueue::default();
        let max = u8::try_from(LANE_QUEUE_PACKETS_MAX).expect("a small bound");
        (0..max + 3).for_each(|n| queue.push(packet(n), now + Duration::from_secs(1), now));
        assert_eq!(queue.take_dropped(), 3);
        assert_eq!(drain(&mut queue), (3..max + 3).collect::<Vec<_>>());
    }

    #[test]
    fn packets_past_their_deadline_are_dropped_wherever_they_stand() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        let mut queue = LaneQueue::default();
        queue.push(packet(0), now + ms(300), now);
        queue.push(packet(1), now + ms(100), now);
        queue.push(packet(2), now + ms(300), now);
        queue.expire(now + ms(200));
        assert_eq!(queue.take_dropped(), 1);
        assert_eq!(drain(&mut queue), [0, 2]);
    }

    #[test]
    fn a_packet_that_is_half_written_is_finished_whatever_its_deadline() {
        let now = Instant::now();
        let late = now + Duration::from_secs(2);
        let mut queue = LaneQueue::default();
        queue.push(packet(0), now, now);
        queue.push(packet(1), now, now);
        queue.advance(2);
        queue.expire(late);
        assert_eq!(queue.take_dropped(), 1);
        assert_eq!(queue.front(), Some(&[0][..]));
        // Nor is it the one to go when the queue is full.
        (0..=LANE_QUEUE_PACKETS_MAX).for_each(|_| queue.push(packet(7), late, now));
        assert_eq!(queue.front(), Some(&[0][..]));
        assert_eq!(queue.take_dropped(), 2);
    }

    #[test]
    fn a_lone_packet_expires_too() {
        let now = Instant::now();
        let mut queue = LaneQueue::default();
        queue.push(packet(0), now, now);
        queue.expire(now + Duration::from_millis(1));
        assert!(queue.is_empty());
    }

    #[test]
    fn control_messages_are_refused_rather_than_dropped() {
        let mut queue = ControlQueue::default();
        for n in 0..CONTROL_QUEUE_MESSAGES_MAX {
            assert_eq!(queue.push(packet(n as u8)), Ok(()));
        }
        assert_eq!(queue.push(packet(0)), Err(ControlQueueFull));
        queue.advance(3);
        assert_eq!(queue.front(), Some(&[0, 1, 1][..]));
        assert_eq!(queue.push(packet(0)), Ok(()));
    }

    #[test]
    fn control_messages_are_bounded_in_bytes_as_well() {
        let mut queue = ControlQueue::default();
        let big = Bytes::from(vec![0; 4098]);
        let fit = CONTROL_QUEUE_BYTES_MAX / big.len();
        (0..fit).for_each(|_| assert_eq!(queue.push(big.clone()), Ok(())));
        assert_eq!(queue.push(big.clone()), Err(ControlQueueFull));
        queue.advance(4000);
        assert_eq!(queue.push(big.clone()), Err(ControlQueueFull));
        queue.advance(98);
        assert_eq!(queue.push(big), Ok(()));
    }
}
