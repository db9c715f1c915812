//! What a member says that lies about where it is, in place of what its room says.

use treehouse_wire::{
    Control, NodeId,
    control::{Position, Report},
};

use crate::{
    plan::{CoordinateLie, NodeIx},
    random::mix,
};

/// Farthest that disorder claims to be from the origin along each axis, in tenths of milliseconds: a second.
const FAR: u64 = 10_000;
/// The relative error that it claims, in hundredths: the least that can be said.
const ERROR: u8 = 1;

/// The message as a liar sends it; none where it has nothing to lie about. `salt` changes from message to message.
pub(super) fn retold(lie: CoordinateLie, me: NodeIx, id: NodeId, bytes: &[u8], salt: u64) -> Option<Vec<u8>> {
    let at = match lie {
        CoordinateLie::Attract => [0; 3],
        CoordinateLie::Disorder { .. } => {
            let axis = |axis: u64| mix(mix(u64::from(me.0)) ^ mix(salt).rotate_left(9) ^ axis) % (2 * FAR + 1);
            [1, 2, 3].map(|of| (axis(of) as i64 - FAR as i64) as i16)
        }
    };
    let position = Position { at, height: 0, error: ERROR };
    // Who wants to attract says that it hears at once, too.
    let delay = |exact_ms: u16| if lie == CoordinateLie::Attract { 0 } else { exact_ms };
    let mut message = Control::from_bytes(bytes).ok()?;
    match &mut message {
        Control::Tick(tick) | Control::Subscribed { tick, .. } => {
            (tick.position, tick.delay_ms) = (position, delay(tick.delay_ms));
        }
        Control::Status(status) => {
            (status.position, status.delay_ms) = (Some(position), delay(status.delay_ms));
        }
        Control::Reports(reports) => {
            let mut told = reports.clone().into_vec();
            for report in &mut told {
                if let Report::Status { node, status } = report
                    && *node == id
                {
                    (status.position, status.delay_ms) = (Some(position), delay(status.delay_ms));
                }
            }
            *reports = treehouse_wire::List::truncated(told);
        }
        _ => return None,
    }
    Some(message.to_bytes())
}

/// The number of a ping that is answered late, and by how much in microseconds.
pub(super) fn late_pong(lie: CoordinateLie, bytes: &[u8]) -> Option<(u32, u64)> {
    let CoordinateLie::Disorder { late_us } = lie else { return None };
    match Control::from_bytes(bytes) {
        Ok(Control::Pong { nonce }) => Some((nonce, late_us)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use treehouse_wire::control::{Rank, Status};

    use super::*;

    fn told(lie: CoordinateLie, salt: u64) -> Status {
        let position = Position { at: [100, 200, 300], height: 50, error: 40 };
        let status = Status {
            parent: None,
            standby: None,
            rank: Rank { depth: 2, admission: 9 },
            children: 1,
            standbys: 0,
            slots: 8,
            position: Some(position),
            delay_ms: 120,
        };
        let bytes = retold(lie, NodeIx(7), NodeId([7; 32]), &Control::Status(status).to_bytes(), salt);
        match Control::from_bytes(&bytes.expect("it lies")) {
            Ok(Control::Status(status)) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_attracts_is_at_the_origin_and_hears_at_once() {
        let status = told(CoordinateLie::Attract, 1);
        assert_eq!(status.position, Some(Position { at: [0; 3], height: 0, error: ERROR }));
        assert_eq!((status.delay_ms, status.slots), (0, 8));
    }

    #[test]
    fn disorder_is_elsewhere_each_time_and_answers_late() {
        let lie = CoordinateLie::Disorder { late_us: 300_000 };
        let (a, b) = (told(lie, 1), told(lie, 2));
        assert_ne!(a.position, b.position);
        assert_eq!(a.delay_ms, 120);
        assert_eq!(late_pong(lie, &Control::Pong { nonce: 5 }.to_bytes()), Some((5, 300_000)));
        assert_eq!(late_pong(CoordinateLie::Attract, &Control::Pong { nonce: 5 }.to_bytes()), None);
        assert_eq!(retold(lie, NodeIx(7), NodeId([7; 32]), &Control::StateWanted.to_bytes(), 1), None);
    }
}
