//! How much of what was said is in what was heard.

/// Samples of a piece: 100 ms. The rate of a voice moves by 0.4 % at most while its delay is held, so that longer pieces are alike in sound
/// and not in phase.
pub const PIECE: usize = 4_800;

/// Where in `heard` it is most like `said`, and how much: 1.0 is the same but for its loudness.
pub fn find(said: &[f32], heard: &[f32]) -> (usize, f32) {
    let like = |lag: usize, step: usize| {
        let (mut dot, mut a2, mut b2) = (0.0, 1e-9, 1e-9);
        for (a, b) in said.iter().zip(&heard[lag..]).step_by(step) {
            dot += a * b;
            a2 += a * a;
            b2 += b * b;
        }
        dot / f32::sqrt(a2 * b2)
    };
    let best = |lags: &mut dyn Iterator<Item = usize>, step: usize| {
        lags.map(|lag| (lag, like(lag, step))).fold((0, -1.0), |a, b| if b.1 > a.1 { b } else { a })
    };
    // Speech has its energy below 6 kHz.
    let last = heard.len().saturating_sub(said.len() / 2);
    let (coarse, _) = best(&mut (0..last).step_by(3), 7);
    best(&mut (coarse.saturating_sub(6)..(coarse + 6).min(last)), 1)
}

/// The median of how alike the loud pieces of `said` are, each with its place.
pub fn median(said: &[f32], mut alike: impl FnMut(usize, &[f32]) -> f32) -> f32 {
    let power = |piece: &[f32]| piece.iter().map(|sample| sample * sample).sum::<f32>() / piece.len() as f32;
    let pieces = said.chunks_exact(PIECE).enumerate().filter(|(_, piece)| power(piece) > power(said) / 2.0);
    let mut each: Vec<f32> = pieces.map(|(number, piece)| alike(number * PIECE, piece)).collect();
    each.sort_by(f32::total_cmp);
    each[each.len() / 2]
}
