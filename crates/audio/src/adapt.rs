//! How a voice is encoded, by what its listeners lose. Pure: reports go in, settings come out.
//!
//! Redundancy costs bits that the sound itself then lacks, so there is as much as the loss needs. Single frames come back best from the
//! copy that the next packet carries (in-band FEC, RFC 6716 section 2.1.7). Where several are lost in a row that copy is
//! lost too, and deep redundancy, half a second of the voice in a few hundred bits, reaches over the gap. At 32 kbit/s there is room
//! for one of them: together FEC leaves deep redundancy so little that neither is of use.

use treehouse_wire::losses::Reckoned;

use crate::jitter::JitterCounts;

/// Fullband speech at this rate scores 4.4 in PESQ wideband; half of it loses what is above 8 kHz.
pub const BITRATE_BPS: i32 = 32_000;
/// What it may cost more where much is lost, unless all packets are to have one size: redundancy takes less from the sound then (10 % lost:
/// PESQ 3.72 for 3.59; bursts of 16 %: see `docs/architecture.md`), and a link carries a twentieth more.
const MORE_BPS: i32 = 4_000;
/// From this share on much is lost.
const MORE_LOSS_MIN: f32 = 0.05;
/// Of 0 to 10: 9 costs 0.2 ms a frame against 0.16 ms at 5, which a speaker can spare.
pub const COMPLEXITY: i32 = 9;
/// Told of before anybody has reported a loss: the first lost frame is rebuilt as well.
///
/// libopus adds the low-rate copy of the previous frame only when told to expect loss. From 5 % on nine of ten voiced
/// frames carry one; at 10 % the copies are better and speech without loss scores 0.03 to 0.06 less in PESQ.
pub const EXPECTED_LOSS_PERCENT_MIN: i32 = 5;
/// Beyond this the copies take more from the sound than they give back (10 % lost: 3.59 at 15, 3.62 at 20, 3.60 at 25).
const EXPECTED_LOSS_PERCENT_MAX: i32 = 20;
/// Told of more than is lost, libopus makes better copies.
const EXPECTED_OF_LOST: f32 = 2.0;
/// Less loss than this is none: without copies the sound itself scores 0.08 more.
const LOSS_MIN: f32 = 0.003;
/// Losses this long on average, in frames, are bursts: the copy in the next packet rebuilds fewer than half of the lost frames.
const BURST_FRAMES_MIN: f32 = 2.0;
/// Listeners say that their losses came in bursts, not how long these were; reckoned with where they do.
const BURST_FRAMES: f32 = 4.0;
/// Below this share of loss bursts are too seldom for redundancy that every packet pays for.
const BURST_LOSS_MIN: f32 = 0.03;
/// What deep redundancy covers: bursts of this many times the mean are one in fifty where lengths are geometric.
const DRED_BURSTS: f32 = 4.0;
/// Least and most of it, in milliseconds. A listener waits for the packet after the gap, and no longer than 400 ms.
const DRED_MS: (i32, i32) = (100, 400);
/// What remains of a reported loss when the next report is lower: a bad minute is believed at once, a good one slowly.
const REMEMBERED: f32 = 0.75;

/// Whether the sizes of packets may tell what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Open rooms: packets are as long as they need to be, and none is sent while nobody speaks.
    Free,
    /// Closed rooms: all packets have one size, and silence is sent as well.
    One,
}

/// What listeners lost of a voice lately, before redundancy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossReport {
    /// Share of frames that did not come in time, 0.0 to 1.0.
    pub loss: f32,
    /// How many were lost in a row on average; 1.0 where each was lost alone.
    pub burst_frames: f32,
}

impl LossReport {
    /// What a listener lost between two looks at its counts.
    #[must_use]
    pub fn between(before: &JitterCounts, after: &JitterCounts) -> Self {
        let since = |of: fn(&JitterCounts) -> u64| of(after).saturating_sub(of(before)) as f32;
        let (lost, bursts, came) =
            (since(|counts| counts.lost), since(|counts| counts.bursts), since(|counts| counts.decoded));
        LossReport { loss: lost / (lost + came).max(1.0), burst_frames: lost / bursts.max(1.0) }
    }
}

impl LossReport {
    /// What a speaker reckons with after its listeners' reports.
    #[must_use]
    pub fn of(reckoned: Reckoned) -> Self {
        let burst_frames = if reckoned.bursts { BURST_FRAMES } else { 1.0 };
        LossReport { loss: f32::from(reckoned.lost_permille) / 1000.0, burst_frames }
    }

    /// Whether deep redundancy helps this listener more than copies: what it lost was lost in bursts, and its build can rebuild them.
    #[must_use]
    pub fn wants_deep(&self) -> bool {
        cfg!(feature = "deep") && self.burst_frames >= BURST_FRAMES_MIN
    }
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Bits a second, redundancy included.
    pub bitrate_bps: i32,
    /// libopus's effort, 0 to 10.
    pub complexity: i32,
    /// What libopus is told to expect.
    pub expected_loss_percent: i32,
    /// Each packet carries a copy of the frame before it.
    pub fec: bool,
    /// How far back each packet rebuilds what was before it; 0 for not at all. Only builds with the feature `deep` do.
    pub dred_ms: i32,
    /// Nothing is sent while nobody speaks (discontinuous transmission).
    pub dtx: bool,
    /// All packets have one size.
    pub one_size: bool,
}

/// Follows the reports of a voice's listeners.
#[derive(Clone, Copy, Debug)]
pub struct Adaptation {
    sizes: Sizes,
    deep: bool,
    /// Bits a second of music; none for a voice.
    music_bps: Option<i32>,
    /// None before the first report.
    worst: Option<LossReport>,
}

impl Adaptation {
    /// Knows of no loss yet; uses deep redundancy if this build has it.
    #[must_use]
    pub fn new(sizes: Sizes) -> Self {
        Adaptation { sizes, deep: cfg!(feature = "deep"), music_bps: None, worst: None }
    }

    /// For music at so many bits a second. Copies and deep redundancy belong to the speech coder: of a loss the music coder learns only that
    /// frames are to lean less on those before them. Silence is sent as well, for quiet music is not silence.
    #[must_use]
    pub fn music(bitrate_bps: i32, sizes: Sizes) -> Self {
        Adaptation { music_bps: Some(bitrate_bps), ..Self::new(sizes) }
    }

    /// The same without deep redundancy, for listeners whose builds lack it.
    #[must_use]
    pub fn without_deep(self) -> Self {
        Adaptation { deep: false, ..self }
    }

    /// Takes in what listeners lost since the last report, the worst of those that count. Anything that is no share counts as none.
    pub fn report(&mut self, report: LossReport) {
        let sane = |value: f32, most: f32| if value.is_finite() { value.clamp(0.0, most) } else { 0.0 };
        let now = LossReport { loss: sane(report.loss, 1.0), burst_frames: sane(report.burst_frames, 50.0).max(1.0) };
        let remembered = self.worst.map_or(0.0, |worst| worst.loss * REMEMBERED);
        self.worst = match self.worst {
            Some(worst) if now.loss < remembered => Some(LossReport { loss: remembered, ..worst }),
            _ => Some(now),
        };
    }

    /// How to encode now.
    #[must_use]
    pub fn settings(&self) -> EncoderSettings {
        if let Some(bitrate_bps) = self.music_bps {
            return self.music_settings(bitrate_bps);
        }
        let (expected_loss_percent, fec, dred_ms) = self.redundancy();
        let more = self.sizes == Sizes::Free && self.worst.is_some_and(|worst| worst.loss >= MORE_LOSS_MIN);
        EncoderSettings {
            bitrate_bps: BITRATE_BPS + if more { MORE_BPS } else { 0 },
            complexity: COMPLEXITY,
            expected_loss_percent,
            fec,
            dred_ms,
            dtx: self.sizes == Sizes::Free,
            one_size: self.sizes == Sizes::One,
        }
    }

    fn music_settings(&self, bitrate_bps: i32) -> EncoderSettings {
        EncoderSettings {
            bitrate_bps,
            complexity: COMPLEXITY,
            expected_loss_percent: self.worst.map_or(EXPECTED_LOSS_PERCENT_MIN, |worst| expected(worst.loss)),
            fec: false,
            dred_ms: 0,
            dtx: false,
            one_size: self.sizes == Sizes::One,
        }
    }

    /// Expected loss in percent, whether copies are sent, and how many milliseconds of deep redundancy.
    fn redundancy(&self) -> (i32, bool, i32) {
        let Some(worst) = self.worst else { return (EXPECTED_LOSS_PERCENT_MIN, true, 0) };
        if worst.loss < LOSS_MIN {
            return (0, false, 0);
        }
        if self.deep && worst.burst_frames >= BURST_FRAMES_MIN && worst.loss >= BURST_LOSS_MIN {
            let dred_ms = (worst.burst_frames * 20.0 * DRED_BURSTS) as i32;
            // What deep redundancy is given of the bits goes by the expected loss (libopus, `compute_dred_bitrate`).
            return (expected(worst.loss), false, dred_ms.clamp(DRED_MS.0, DRED_MS.1));
        }
        (expected(worst.loss * EXPECTED_OF_LOST), true, 0)
    }
}

fn expected(loss: f32) -> i32 {
    ((loss * 100.0).round() as i32).clamp(EXPECTED_LOSS_PERCENT_MIN, EXPECTED_LOSS_PERCENT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(sizes: Sizes, deep: bool, reports: &[(f32, f32)]) -> EncoderSettings {
        let mut adaptation = Adaptation { deep, ..Adaptation::new(sizes) };
        reports.iter().for_each(|&(loss, burst_frames)| adaptation.report(LossReport { loss, burst_frames }));
        adaptation.settings()
    }

    #[test]
    fn before_any_report_a_lost_frame_can_be_rebuilt() {
        let settings = after(Sizes::Free, true, &[]);
        assert_eq!((settings.fec, settings.expected_loss_percent, settings.dred_ms), (true, 5, 0));
    }

    #[test]
    fn where_nothing_is_lost_all_bits_go_into_the_sound() {
        let settings = after(Sizes::Free, true, &[(0.0, 0.0)]);
        assert_eq!((settings.fec, settings.expected_loss_percent, settings.dred_ms), (false, 0, 0));
    }

    #[test]
    fn the_more_is_lost_the_better_are_the_copies() {
        let percent = |loss| after(Sizes::Free, true, &[(loss, 1.1)]).expected_loss_percent;
        assert_eq!([0.02, 0.07, 0.1, 0.9].map(percent), [5, 14, 20, 20]);
        assert!(after(Sizes::Free, true, &[(0.1, 1.1)]).fec);
    }

    #[test]
    fn where_much_is_lost_it_may_cost_more_unless_sizes_would_tell() {
        let rate = |sizes, loss| after(sizes, true, &[(loss, 1.0)]).bitrate_bps;
        assert_eq!([0.0, 0.04, 0.05, 0.3].map(|loss| rate(Sizes::Free, loss)), [32_000, 32_000, 36_000, 36_000]);
        assert_eq!([0.0, 0.3].map(|loss| rate(Sizes::One, loss)), [32_000, 32_000]);
    }

    #[test]
    fn bursts_take_deep_redundancy_instead_of_copies_where_it_is_built_in() {
        let bursts = [(0.16, 4.0)];
        let deep = after(Sizes::Free, true, &bursts);
        assert!(!deep.fec && deep.dred_ms > 200, "{deep:?}");
        let shallow = after(Sizes::Free, false, &bursts);
        assert!(shallow.fec && shallow.dred_ms == 0, "{shallow:?}");
        let seldom = after(Sizes::Free, true, &[(0.01, 4.0)]);
        assert!(seldom.fec && seldom.dred_ms == 0, "{seldom:?}");
    }

    #[test]
    fn music_keeps_its_bits_and_leans_less_on_what_may_be_lost() {
        let mut music = Adaptation::music(96_000, Sizes::Free);
        let before = music.settings();
        assert_eq!(
            (before.bitrate_bps, before.expected_loss_percent, before.fec, before.dtx),
            (96_000, 5, false, false)
        );
        music.report(LossReport { loss: 0.12, burst_frames: 4.0 });
        assert_eq!(music.settings(), EncoderSettings { expected_loss_percent: 12, ..before });
    }

    #[test]
    fn never_both_whatever_is_reported() {
        let values = [0.0, -1.0, 0.004, 0.03, 0.2, 1.0, 7.0, f32::NAN, f32::INFINITY];
        for (loss, burst) in values.iter().flat_map(|loss| values.iter().map(move |burst| (*loss, 10.0 * *burst))) {
            for sizes in [Sizes::Free, Sizes::One] {
                let settings = after(sizes, true, &[(0.1, 1.0), (loss, burst)]);
                assert!(!(settings.fec && settings.dred_ms > 0), "{settings:?}");
                assert!((0..=400).contains(&settings.dred_ms) && (0..=25).contains(&settings.expected_loss_percent));
                assert_eq!((settings.dtx, settings.one_size), (sizes == Sizes::Free, sizes == Sizes::One));
            }
        }
    }

    #[test]
    fn a_loss_is_believed_at_once_and_forgotten_slowly() {
        let lossy = (0.2, 1.0);
        assert_eq!(after(Sizes::Free, false, &[(0.0, 0.0), lossy]).expected_loss_percent, 20);
        assert!(after(Sizes::Free, false, &[lossy, (0.0, 0.0), (0.0, 0.0)]).fec);
        let long_ago = [&[lossy][..], &[(0.0, 0.0); 20]].concat();
        assert!(!after(Sizes::Free, false, &long_ago).fec);
    }
}
