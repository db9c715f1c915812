//! What a speaker's processing costs: high-pass, echo, noise, gain.
//!
//! `cargo bench -p treehouse-audio --profile dev --bench microphone`
//!
//! The other side speaks without end, and its echo comes 40 ms later at a third of its loudness. Prints the CPU time as a share of the time that the
//! sound lasts, which is a share of one core, at first, while the echo's path is looked for, and later; and the longest that
//! 10 ms took. Shares of one run are to be compared, not those of two machines.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use treehouse_audio::{
    FRAME, Processing, Sample,
    process::{BLOCK, Processor},
    source::FileSource,
};

const SECOND_BLOCKS: usize = 100;
/// While the echo's path is looked for, and as long afterwards as it takes to look for another three times.
const FIRST_S: usize = 5;
const ALL_S: usize = 40;
const ECHO_BLOCKS: usize = 4;

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn speech() -> Vec<[f32; BLOCK]> {
    let mut source = FileSource::sample(Sample::Two).expect("a sample of the program's own");
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm).expect("a sample of the program's own") {
        all.extend(pcm);
    }
    all.as_chunks().0.iter().copied().cycle().take(ALL_S * SECOND_BLOCKS).collect()
}

/// Percent of a core at first and later, and the longest block in milliseconds.
fn cost(on: Processing, played: &[[f32; BLOCK]], right: f32, echo: f32) -> (f64, f64, f64) {
    let mut processor = Processor::new(on);
    let mut longest = Duration::ZERO;
    let mut began = cpu_time();
    let mut first = Duration::ZERO;
    for (at, far) in played.iter().enumerate() {
        if at == FIRST_S * SECOND_BLOCKS {
            first = cpu_time() - began;
            began = cpu_time();
        }
        let mut block = at.checked_sub(ECHO_BLOCKS).map_or([0.0; BLOCK], |at| played[at].map(|s| s * echo));
        let start = Instant::now();
        processor.far_end(&[*far, far.map(|s| s * right)]);
        black_box(processor.near_end(&mut block));
        longest = longest.max(start.elapsed());
    }
    let later = cpu_time() - began;
    let percent = |took: Duration, seconds: usize| 100.0 * took.as_secs_f64() / seconds as f64;
    (percent(first, FIRST_S), percent(later, ALL_S - FIRST_S), 1_000.0 * longest.as_secs_f64())
}

fn main() {
    let played = speech();
    let silence = vec![[0.0; BLOCK]; played.len()];
    let echo = Processing { echo: true, ..Processing::NONE };
    let without = Processing { echo: false, ..Processing::default() };
    println!("{:<42} {:>12} {:>12} {:>12}", "", "first 5 s", "later", "longest 10 ms");
    for (name, on, played, right, gain) in [
        ("all but echo", without, &silence, 1.0, 0.3),
        ("echo, nothing played", echo, &silence, 1.0, 0.3),
        ("echo", echo, &played, 1.0, 0.3),
        ("echo, where none of it comes back", echo, &played, 1.0, 0.0),
        ("echo of two loudspeakers", echo, &played, 0.3, 0.3),
        ("all", Processing::default(), &played, 1.0, 0.3),
    ] {
        let (first, later, longest) = cost(on, played, right, gain);
        println!("{name:<42} {first:>10.2} % {later:>10.2} % {longest:>9.2} ms");
    }
}
