use realfft::num_complex::Complex32;

use super::*;

/// Numbers between -1 and 1, the same each time.
fn noise(state: &mut u32) -> f32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    (*state >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// What is played where nobody plays music: below 2 kHz, with pauses.
struct Voice {
    state: u32,
    low: [f32; 3],
}

impl Voice {
    fn block(&mut self, at: usize) -> [f32; BLOCK] {
        let loud = if at % 40 < 30 { 1.0 } else { 0.0 };
        std::array::from_fn(|_| {
            let mut sample = loud * noise(&mut self.state);
            for low in &mut self.low {
                *low += 0.25 * (sample - *low);
                sample = *low;
            }
            sample
        })
    }
}

/// Plays for so many blocks, with an echo 20 ms later at half its loudness; returns how much of it each path that was found leaves, in
/// dB, and when it was found.
fn found(blocks: usize, gain: impl Fn(usize) -> f32, near: impl Fn(usize, &mut u32) -> f32) -> Vec<(usize, f32)> {
    const DELAY: usize = 20 * 48;
    let (mut estimator, mut state) = (BatchEstimator::new(), 5);
    let mut voice = Voice { state: 1, low: [0.0; 3] };
    let mut played = vec![0.0; DELAY];
    let mut all = Vec::new();
    for at in 0..blocks {
        let far = voice.block(at);
        played.extend(far);
        let came: [f32; BLOCK] = std::array::from_fn(|i| gain(at) * played[at * BLOCK + i] + near(at, &mut state));
        // Nothing else takes any of it out.
        if let Some(found) = estimator.process([&far, &[0.0; BLOCK]], &came, &came) {
            // The path is one tap; what low-passes make of the edge of the band is of no interest.
            let spectrum = |hz: f32| -> Complex32 {
                let taps = found.taps[0].iter().enumerate();
                taps.map(|(at, tap)| *tap * Complex32::cis(-std::f32::consts::TAU * hz * at as f32 / 16_000.0)).sum()
            };
            let left = (3..20).map(|n| {
                let hz = 100.0 * n as f32;
                let wanted = gain(at) * Complex32::cis(-std::f32::consts::TAU * hz * DELAY as f32 / 48_000.0);
                (spectrum(hz) - wanted).norm_sqr() / gain(at).powi(2)
            });
            all.push((at, 10.0 * (left.sum::<f32>() / 17.0).log10()));
        }
    }
    all
}

#[test]
fn an_echo_is_known_within_a_second_and_better_later() {
    let found = found(500, |_| 0.5, |_, state| 1e-4 * noise(state));
    let (first, left) = found[0];
    assert!(first < 100 && left < -15.0, "{found:?}");
    assert!(found.last().is_some_and(|(_, left)| *left < -30.0), "{found:?}");
}

#[test]
fn who_speaks_here_does_not_keep_the_echo_from_being_known() {
    // As loud as the echo, half of the time.
    let found = found(900, |_| 0.5, |at, state| if at % 70 < 35 { 0.1 * noise(state) } else { 1e-4 * noise(state) });
    assert!(found.last().is_some_and(|(_, left)| *left < -15.0), "{found:?}");
}

#[test]
fn without_an_echo_there_is_no_path() {
    let found = found(900, |_| 0.0, |_, state| 0.1 * noise(state));
    assert_eq!(found, []);
}

#[test]
fn where_the_path_has_changed_the_new_one_is_known_from_what_came_since() {
    let mut estimator = BatchEstimator::new();
    let mut voice = Voice { state: 1, low: [0.0; 3] };
    let mut last = None;
    for at in 0..700 {
        if at == 500 {
            estimator.forget(0);
        }
        let far = voice.block(at);
        let came = far.map(|sample| if at < 500 { 0.5 } else { -0.3 } * sample);
        if let Some(found) = estimator.process([&far, &[0.0; BLOCK]], &came, &came) {
            last = Some((at, found.taps[0].iter().take(3).sum::<f32>()));
        }
    }
    assert!(last.is_some_and(|(at, tap)| at > 500 && (tap + 0.3).abs() < 0.03), "{last:?}");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut estimator = BatchEstimator::new();
    for _ in 0..3 * KEPT_MAX {
        estimator.process([&[0.0; BLOCK]; 2], &[0.0; BLOCK], &[0.0; BLOCK]);
    }
    assert_eq!(estimator.kept.room(), [KEPT_MAX * LOW_BLOCK; 3]);
    assert_eq!(estimator.kept.blocks(), 3 * KEPT_MAX + PATH_BLOCKS);
}
