//! What the room hands out to one who records.
//!
//! The host switches recording on in the signed room state and draws a new room key with it, in one state. So an epoch is recorded
//! from its beginning or not at all, and the epoch in a packet, which its speaker signs, says whether the speaker could know that
//! it was recorded. What is sealed under a key of before is left out, and so is all that comes while the flag is off.

use treehouse_invite::StateList;
use treehouse_wire::{Epoch, MediaKey, Packet, Suite, control::Statement};

use crate::{
    api::{Output, Recorded},
    room::Room,
};

/// Recorded epochs whose packets may be under way. Past it the oldest go.
const EPOCHS_MAX: usize = 24;

/// What one who records knows.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// The flag in the newest state.
    on: bool,
    /// Epochs that a state has named as recorded.
    epochs: Vec<Epoch>,
    /// Flag, epoch and stage of the last state that was handed out.
    told: Option<(bool, Epoch, [u8; 32])>,
}

impl Recording {
    fn holds(&self, epoch: Epoch) -> bool {
        self.on && self.epochs.contains(&epoch)
    }
}

impl<S: Suite> Room<S> {
    /// From now on what a recording needs is handed out.
    pub(crate) fn record(&mut self) {
        self.recording.get_or_insert_default();
        if let Some(charter) = self.acting.as_ref().map(|acting| acting.charter.clone()) {
            self.record_charter(&charter);
        }
        self.record_state();
    }

    pub(crate) fn record_charter(&mut self, charter: &Statement) {
        if self.recording.is_some() {
            self.outputs.push_back(Output::Record(Box::new(Recorded::Charter(charter.clone()))));
        }
    }

    /// A room state was taken over.
    pub(crate) fn record_state(&mut self) {
        let Some(recording) = &mut self.recording else { return };
        let Some((state, head)) = self.state.signed() else { return };
        let told = (state.recording, state.epoch, state.stage_digest);
        if recording.told == Some(told) || (recording.told.is_none() && !state.recording) {
            return;
        }
        recording.told = state.recording.then_some(told);
        recording.on = state.recording;
        if state.recording && !recording.epochs.contains(&state.epoch) {
            if recording.epochs.len() >= EPOCHS_MAX {
                recording.epochs.remove(0);
            }
            recording.epochs.push(state.epoch);
        }
        let stage = self.state.stage().to_bytes().into();
        let recorded = Recorded::State { recording: state.recording, head: head.clone(), stage };
        self.outputs.push_back(Output::Record(Box::new(recorded)));
    }

    /// A packet was verified and opened, or sealed here; `new`: a bit for each frame that had not come before.
    pub(crate) fn record_packet(&mut self, packet: &Packet, key: &MediaKey, new: u8) {
        let epoch = packet.header().epoch;
        if new == 0 || !self.recording.as_ref().is_some_and(|recording| recording.holds(epoch)) {
            return;
        }
        let Some(room_key) = self.keys.opening(epoch).cloned() else { return };
        let recorded = Recorded::Packet { packet: packet.bytes().clone(), key: *key, room_key, new };
        self.outputs.push_back(Output::Record(Box::new(recorded)));
    }

    pub(crate) fn record_beacon(&mut self, statement: &Statement) {
        if self.recording.as_ref().is_some_and(|recording| recording.on) {
            self.outputs.push_back(Output::Record(Box::new(Recorded::Beacon(statement.clone()))));
        }
    }
}
