//! Makes sound a little shorter or longer without changing its pitch, so that a voice's delay can move while it plays.
//!
//! Overlap and add with the lag of best waveform similarity (WSOLA; Verhelst and Roelands, ICASSP 1993): a stretch of
//! one pitch period is cut out or repeated, and the seam is cross-faded. In silence any length will do.

use crate::{FRAME, level::is_silence};

/// Length of the cross-fade at a seam: 5 ms.
const SEAM: usize = 240;
/// Pitch periods considered: 2.5 to 15 ms, voices of 67 to 400 Hz.
const LAG_MIN: usize = 120;
const LAG_MAX: usize = 720;
/// The coarse search compares every fourth sample: speech has its energy below 6 kHz.
const COARSE: usize = 4;
/// Below this similarity the seam would be heard, and the cut is left for a better moment.
const SIMILARITY_MIN: f32 = 0.6;

/// Removes up to `samples_max` samples at the start of all channels, the same in each; returns how many it removed.
///
/// `urgent` cuts even where it will be heard. Needs a lag and two seams to look at, else it does nothing.
pub(crate) fn shorten(channels: &mut [Vec<f32>], samples_max: usize, urgent: bool) -> usize {
    let Some(lag) = choose_lag(loudest(channels), samples_max, urgent) else { return 0 };
    for pcm in channels {
        for i in 0..SEAM {
            let fade = seam_weight(i);
            let (Some(&early), Some(&late)) = (pcm.get(i), pcm.get(i + lag)) else { continue };
            if let Some(sample) = pcm.get_mut(i + lag) {
                *sample = early * (1.0 - fade) + late * fade;
            }
        }
        pcm.drain(..lag.min(pcm.len()));
    }
    lag
}

/// Repeats up to `samples_max` samples at the start of all channels, the same in each; returns how many it added.
pub(crate) fn lengthen(channels: &mut [Vec<f32>], samples_max: usize) -> usize {
    let Some(lag) = choose_lag(loudest(channels), samples_max, false) else { return 0 };
    for pcm in channels {
        // Play the first period, fade from what follows it back to its own beginning, and go on from there.
        let seam = (0..SEAM).map(|i| {
            let fade = seam_weight(i);
            let at = |i: usize| pcm.get(i).copied().unwrap_or(0.0);
            at(i + lag) * (1.0 - fade) + at(i) * fade
        });
        let repeated: Vec<f32> = pcm.iter().take(lag).copied().chain(seam).collect();
        pcm.splice(..SEAM.min(pcm.len()), repeated);
    }
    lag
}

/// The channel by which it is decided where to cut.
fn loudest(channels: &[Vec<f32>]) -> &[f32] {
    let energy = |pcm: &[f32]| pcm.iter().map(|sample| sample * sample).sum::<f32>();
    // Of two that are alike the first.
    let louder = channels.iter().rev().max_by(|a, b| energy(a).total_cmp(&energy(b)));
    louder.map_or(&[], |pcm| pcm.as_slice())
}

fn seam_weight(i: usize) -> f32 {
    (i as f32 + 0.5) / SEAM as f32
}

/// How many samples to take out or repeat, if there is a length that will not be heard.
fn choose_lag(pcm: &[f32], samples_max: usize, urgent: bool) -> Option<usize> {
    let lag_max = samples_max.min(LAG_MAX).min(pcm.len().saturating_sub(2 * SEAM));
    if lag_max < LAG_MIN {
        return None;
    }
    let quiet_len = pcm.len().min(FRAME + SEAM);
    if is_silence(pcm.get(..quiet_len)?) {
        return Some(samples_max.min(quiet_len - SEAM));
    }
    let (lag, similarity) = best_lag(pcm, lag_max);
    (urgent || similarity >= SIMILARITY_MIN).then_some(lag)
}

/// The lag up to `lag_max` at which `pcm` is most like its own beginning, and how like: 1.0 is equal.
fn best_lag(pcm: &[f32], lag_max: usize) -> (usize, f32) {
    let best = |lags: &mut dyn Iterator<Item = usize>, step: usize| {
        lags.map(|lag| (lag, similarity(pcm, lag, step)))
            .fold((LAG_MIN, f32::MIN), |a, b| if b.1 > a.1 { b } else { a })
    };
    let (coarse, _) = best(&mut (LAG_MIN..=lag_max).step_by(COARSE), COARSE);
    let fine = coarse.saturating_sub(COARSE).max(LAG_MIN)..=(coarse + COARSE).min(lag_max);
    best(&mut fine.into_iter(), 1)
}

/// Normalized cross-correlation of the first two seams' worth of samples with those `lag` later.
fn similarity(pcm: &[f32], lag: usize, step: usize) -> f32 {
    let (mut dot, mut early_energy, mut late_energy) = (0.0, 1e-9, 1e-9);
    for i in (0..2 * SEAM).step_by(step) {
        let (Some(early), Some(late)) = (pcm.get(i), pcm.get(i + lag)) else { return f32::MIN };
        dot += early * late;
        early_energy += early * early;
        late_energy += late * late;
    }
    dot / f32::sqrt(early_energy * late_energy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, len: usize) -> Vec<f32> {
        (0..len).map(|i| 0.5 * (i as f32 * hz * std::f32::consts::TAU / 48_000.0).sin()).collect()
    }

    fn largest_step(pcm: &[f32]) -> f32 {
        pcm.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn a_voiced_sound_loses_whole_periods_and_no_seam_is_heard() {
        for hz in [80.0, 120.0, 200.0, 310.0] {
            let before = tone(hz, 2 * FRAME);
            let mut pcm = before.clone();
            let removed = shorten(std::slice::from_mut(&mut pcm), 800, false);
            let periods = removed as f32 * hz / 48_000.0;
            assert!(removed >= LAG_MIN && (periods - periods.round()).abs() < 0.05, "{hz} Hz: {removed}");
            assert_eq!(pcm.len(), before.len() - removed);
            assert!(largest_step(&pcm) < 1.1 * largest_step(&before));
        }
    }

    #[test]
    fn a_voiced_sound_gains_whole_periods_and_no_seam_is_heard() {
        let before = tone(150.0, 2 * FRAME);
        let mut pcm = before.clone();
        let added = lengthen(std::slice::from_mut(&mut pcm), 800);
        assert!(added > 0 && added.is_multiple_of(320), "{added}");
        assert_eq!(pcm.len(), before.len() + added);
        assert!(largest_step(&pcm) < 1.1 * largest_step(&before));
        assert_eq!(pcm[..320], before[..320]);
        assert_eq!(pcm[pcm.len() - 100..], before[before.len() - 100..]);
    }

    #[test]
    fn silence_gives_exactly_what_is_asked() {
        let mut pcm = vec![0.0; 2 * FRAME];
        assert_eq!(shorten(std::slice::from_mut(&mut pcm), 777, false), 777);
        assert_eq!(pcm.len(), 2 * FRAME - 777);
        let mut pcm = vec![0.0; FRAME];
        assert_eq!(lengthen(std::slice::from_mut(&mut pcm), 480), 480);
        assert_eq!(pcm.len(), FRAME + 480);
    }

    #[test]
    fn noise_is_cut_only_when_it_must_be() {
        let mut state = 1u32;
        let noise: Vec<f32> = (0..2 * FRAME)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        assert_eq!(shorten(&mut [noise.clone()], 800, false), 0);
        assert!(shorten(&mut [noise.clone()], 800, true) >= LAG_MIN);
    }

    #[test]
    fn too_little_sound_is_left_alone() {
        let mut pcm = tone(100.0, 500);
        assert_eq!(shorten(std::slice::from_mut(&mut pcm), 800, true), 0);
        assert_eq!(lengthen(std::slice::from_mut(&mut pcm), 800), 0);
        assert_eq!(pcm.len(), 500);
    }

    #[test]
    fn both_sides_of_a_stereo_sound_move_together() {
        let (left, right) = (tone(150.0, 2 * FRAME), tone(90.0, 2 * FRAME).iter().map(|s| s / 4.0).collect());
        let mut both = [left, right];
        let removed = shorten(&mut both, 800, false);
        assert!(removed > 0 && both.iter().all(|pcm: &Vec<f32>| pcm.len() == 2 * FRAME - removed));
        let mut alone = [tone(150.0, 2 * FRAME)];
        assert_eq!(shorten(&mut alone, 800, false), removed, "the louder one decides");
        assert_eq!(both[0], alone[0]);
        let added = lengthen(&mut both, 800);
        assert!(added > 0 && both.iter().all(|pcm| pcm.len() == 2 * FRAME - removed + added));
    }
}
