//! A Butterworth high-pass filter of second order, as R. Bristow-Johnson's "Cookbook formulae for audio EQ biquad filter
//! coefficients" gives it, in transposed direct form II.

use treehouse_wire::units::SAMPLE_RATE_HZ;

use super::BLOCK;

/// Below this the filter takes 12 dB an octave; the lowest male voices begin at 80 Hz.
pub const HIGH_PASS_HZ: f32 = 60.0;

#[derive(Debug)]
pub(super) struct HighPass {
    b: [f32; 3],
    a: [f32; 2],
    state: [f32; 2],
}

impl Default for HighPass {
    fn default() -> Self {
        let (sin, cos) = (std::f32::consts::TAU * HIGH_PASS_HZ / SAMPLE_RATE_HZ as f32).sin_cos();
        let alpha = sin * std::f32::consts::FRAC_1_SQRT_2;
        let norm = 1.0 + alpha;
        let outer = (1.0 + cos) / 2.0 / norm;
        HighPass { b: [outer, -2.0 * outer, outer], a: [-2.0 * cos / norm, (1.0 - alpha) / norm], state: [0.0; 2] }
    }
}

impl HighPass {
    pub(super) fn process(&mut self, block: &mut [f32; BLOCK]) {
        let ([b0, b1, b2], [a1, a2], [mut first, mut second]) = (self.b, self.a, self.state);
        for sample in block {
            let out = b0 * *sample + first;
            first = b1 * *sample - a1 * out + second;
            second = b2 * *sample - a2 * out;
            *sample = out;
        }
        self.state = [first, second];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a sine is left once the filter has settled, in dB.
    fn gain_db(hz: f32) -> f32 {
        let (mut filter, mut energy) = (HighPass::default(), 0.0);
        for n in 0..100 {
            let mut block: [f32; BLOCK] = std::array::from_fn(|i| {
                let phase = ((n * BLOCK + i) as f32 * hz / SAMPLE_RATE_HZ as f32).fract();
                (phase * std::f32::consts::TAU).sin()
            });
            filter.process(&mut block);
            if n >= 50 {
                energy += block.iter().map(|s| s * s).sum::<f32>();
            }
        }
        10.0 * (energy / (50 * BLOCK) as f32 * 2.0).log10()
    }

    #[test]
    fn rumble_goes_and_voices_stay() {
        assert!(gain_db(15.0) < -20.0, "{}", gain_db(15.0));
        assert!((-3.5..-2.5).contains(&gain_db(HIGH_PASS_HZ)), "{}", gain_db(HIGH_PASS_HZ));
        assert!((-1.3..0.1).contains(&gain_db(100.0)), "{}", gain_db(100.0));
        assert!((-0.1..0.1).contains(&gain_db(1_000.0)), "{}", gain_db(1_000.0));
    }

    #[test]
    fn an_offset_is_gone_within_a_tenth_of_a_second() {
        let mut filter = HighPass::default();
        let mut block = [0.0; BLOCK];
        for _ in 0..10 {
            block = [0.5; BLOCK];
            filter.process(&mut block);
        }
        assert!(block[BLOCK - 1].abs() < 0.001, "{}", block[BLOCK - 1]);
    }
}
