//! Loudness of a frame, as packets carry it and as the root picks voices by it.
//!
//! RFC 6464 counts it in -dBov: decibels below the overload point, 0 the loudest, 127 digital silence. RFC 6465
//! (appendix A) gives the computation: the root mean square over the overload level, here 1.0.

use treehouse_wire::Level;

/// Quieter than this counts as silence: room noise of a quiet office through a decent microphone is near -60 dBov.
pub const SILENCE_MINUS_DBOV: u8 = 60;

/// The level of `pcm`, samples in -1.0 to 1.0; an empty slice is silence.
pub fn level(pcm: &[f32]) -> Level {
    if pcm.is_empty() {
        return Level::SILENCE;
    }
    let mean_square = pcm.iter().map(|s| s * s).sum::<f32>() / pcm.len() as f32;
    if !mean_square.is_finite() || mean_square <= 0.0 {
        return Level::SILENCE;
    }
    Level::from_minus_dbov((-10.0 * mean_square.log10()).round().clamp(0.0, 127.0) as u8)
}

/// Whether `pcm` is quiet enough that taking a piece out of it is not heard.
pub fn is_silence(pcm: &[f32]) -> bool {
    level(pcm).minus_dbov() >= SILENCE_MINUS_DBOV
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scale_sine_is_3_dbov_and_each_halving_6_db_less() {
        let sine = |gain: f32| -> Vec<f32> { (0..960).map(|i| gain * (i as f32 * 0.1309).sin()).collect() };
        assert_eq!(level(&sine(1.0)).minus_dbov(), 3);
        assert_eq!(level(&sine(0.5)).minus_dbov(), 9);
        assert_eq!(level(&sine(0.25)).minus_dbov(), 15);
    }

    #[test]
    fn silence_nothing_and_nonsense_are_the_lowest_level() {
        assert_eq!(level(&[0.0; 960]), Level::SILENCE);
        assert_eq!(level(&[]), Level::SILENCE);
        assert_eq!(level(&[f32::NAN; 8]), Level::SILENCE);
        assert_eq!(level(&[f32::INFINITY; 8]), Level::SILENCE);
    }

    #[test]
    fn louder_than_full_scale_stays_at_0() {
        assert_eq!(level(&[4.0; 960]).minus_dbov(), 0);
    }
}
