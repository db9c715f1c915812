//! Random changes to known inputs, as a fuzzer without a view of the code makes them.

/// A xorshift generator (Marsaglia, 2003): the run is a function of its seed.
pub struct Rng(u64);

impl Rng {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, or zero where that is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound.max(1)
    }
}

/// Bytes that are often at a border: of a varint, of a signed number, of a length.
const BORDERS: [u8; 8] = [0, 1, 0x7f, 0x80, 0x81, 0xfe, 0xff, 0x40];

/// Puts a changed copy of one of `seeds` into `input`: one to eight changes, in one of a hundred cases something new altogether.
pub fn mutate(rng: &mut Rng, seeds: &[Vec<u8>], input: &mut Vec<u8>, len_max: usize) {
    input.clear();
    if rng.below(100) == 0 || seeds.is_empty() {
        let len = rng.below(256.min(len_max + 1));
        input.extend((0..len).map(|_| rng.below(256) as u8));
        return;
    }
    input.extend_from_slice(&seeds[rng.below(seeds.len())]);
    for _ in 0..=rng.below(8) {
        change(rng, seeds, input);
    }
    input.truncate(len_max);
}

fn change(rng: &mut Rng, seeds: &[Vec<u8>], input: &mut Vec<u8>) {
    let at = rng.below(input.len());
    match rng.below(9) {
        0 if !input.is_empty() => input[at] ^= 1 << rng.below(8),
        1 if !input.is_empty() => input[at] = rng.below(256) as u8,
        2 if !input.is_empty() => input[at] = BORDERS[rng.below(BORDERS.len())],
        3 if !input.is_empty() => input[at] = input[at].wrapping_add(1).wrapping_sub(2 * (rng.below(2) as u8)),
        4 => input.insert(at, rng.below(256) as u8),
        5 if !input.is_empty() => {
            let len = 1 + rng.below((input.len() - at).min(16));
            input.drain(at..(at + len).min(input.len()));
        }
        6 => input.truncate(at),
        7 => {
            // A piece of itself again, somewhere else.
            let len = rng.below((input.len() - at).min(64));
            let piece = input[at..at + len].to_vec();
            let to = rng.below(input.len());
            input.splice(to..to, piece);
        }
        _ => {
            let Some(other) = seeds.get(rng.below(seeds.len())).filter(|other| !other.is_empty()) else { return };
            let from = rng.below(other.len());
            let len = rng.below(other.len() - from + 1);
            let end = (at + len).min(input.len());
            input.splice(at..end, other[from..from + len].iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stay_near_and_below_the_limit_and_come_again_from_the_same_seed() {
        let seeds = vec![vec![7; 100], vec![8; 40]];
        let run = |seed| {
            let (mut rng, mut input, mut all) = (Rng::new(seed), Vec::new(), Vec::new());
            for _ in 0..2000 {
                mutate(&mut rng, &seeds, &mut input, 120);
                assert!(input.len() <= 120);
                all.push(input.clone());
            }
            all
        };
        let all = run(3);
        assert_eq!(all, run(3));
        let near = all.iter().filter(|input| input.iter().filter(|byte| matches!(byte, 7 | 8)).count() > 20).count();
        assert!(near > 1000, "{near} of 2000 are near a seed");
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() > 1500, "most are new");
    }
}
