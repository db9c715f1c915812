//! A hash of what a run came to, to tell whether two runs are the same.

use sha2::{Digest, Sha256};

use crate::measure::Outcome;

/// The first 16 hexadecimal digits of SHA-256 over all that an outcome holds: delays, seconds, outages, members, events and the
/// strategy's own counts. The same on any machine, in debug and release builds and on any number of threads; how long the run
/// took is no part of it.
pub fn hash(outcome: &Outcome) -> String {
    let mut hasher = Hasher(Sha256::new());
    hasher.numbers(&[outcome.warmup_us, outcome.ended_us, outcome.listened_us, outcome.events]);
    hasher.delays(outcome);
    hasher.seconds(outcome);
    hasher.outages(outcome);
    hasher.nodes(outcome);
    hasher.numbers(&[outcome.counts.len() as u64]);
    for (name, count) in &outcome.counts {
        hasher.numbers(&[name.len() as u64]);
        hasher.0.update(name.as_bytes());
        hasher.numbers(&[*count]);
    }
    let digest = hasher.0.finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Feeds numbers to SHA-256, eight little-endian bytes each; lists with their lengths before them.
struct Hasher(Sha256);

impl Hasher {
    fn numbers(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.0.update(number.to_le_bytes());
        }
    }

    /// No number is a number of its own.
    fn maybe(&mut self, number: Option<u64>) {
        self.numbers(&[u64::from(number.is_some()), number.unwrap_or(0)]);
    }

    fn delays(&mut self, outcome: &Outcome) {
        self.numbers(&[outcome.delays.bins().count() as u64]);
        for (delay_us, frames) in outcome.delays.bins() {
            self.numbers(&[delay_us, frames]);
        }
    }

    fn seconds(&mut self, outcome: &Outcome) {
        self.numbers(&[outcome.seconds.len() as u64]);
        for of in &outcome.seconds {
            self.numbers(&[of.due, of.on_time, of.present.into(), of.with_parent.into(), of.with_standby.into()]);
            self.numbers(&[of.with_depth.into(), of.depth_sum.to_bits(), of.depth_max.to_bits()]);
            self.numbers(&[of.control_bytes, of.media_bytes, of.host_control_bytes]);
        }
    }

    fn outages(&mut self, outcome: &Outcome) {
        self.numbers(&[outcome.outages.len() as u64]);
        for of in &outcome.outages {
            self.numbers(&[of.node.0.into(), of.at_us, of.length_us]);
        }
    }

    fn nodes(&mut self, outcome: &Outcome) {
        self.numbers(&[outcome.nodes.len() as u64]);
        for of in &outcome.nodes {
            self.numbers(&[of.joined_us, of.due, of.on_time, of.heard, of.late_for_target, of.delay_sum_us]);
            self.numbers(&[of.copies, of.fresh, of.direct_us]);
            self.maybe(of.left_us);
            self.maybe(of.first_audio_us);
            self.maybe(of.depth.map(f64::to_bits));
            self.maybe(of.parent.map(|parent| parent.0.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{NodeRow, Outage, Second},
        plan::NodeIx,
    };

    fn outcome() -> Outcome {
        let mut outcome = Outcome { ended_us: 5_000_000, events: 12, ..Outcome::default() };
        outcome.delays.add(40_000, 3);
        outcome.seconds.push(Second { due: 3, on_time: 3, depth_sum: 1.5, ..Second::default() });
        outcome.outages.push(Outage { node: NodeIx(1), at_us: 3, length_us: 300_000 });
        outcome.nodes.push(NodeRow { heard: 3, depth: Some(1.5), ..NodeRow::default() });
        outcome.counts.insert("uplink_drops", 2);
        outcome
    }

    /// The value is written down: another machine, build or version must come to it too.
    #[test]
    fn a_hash_is_the_same_everywhere() {
        assert_eq!(hash(&outcome()), "47cd9b85930861de");
    }

    #[test]
    fn each_part_of_an_outcome_counts() {
        let changes: [fn(&mut Outcome); 8] = [
            |of| of.events += 1,
            |of| of.delays.add(40_000, 1),
            |of| of.seconds[0].due += 1,
            |of| of.seconds[0].depth_sum += 0.5,
            |of| of.outages[0].length_us += 1,
            |of| of.nodes[0].left_us = Some(0),
            |of| of.nodes[0].late_for_target += 1,
            |of| of.counts.clear(),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = outcome();
            change(&mut changed);
            assert_ne!(hash(&changed), hash(&outcome()), "change {number}");
        }
    }
}
