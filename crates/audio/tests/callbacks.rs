//! The audio callbacks neither allocate nor lock: they run here as the sound system runs them, under an allocator that counts.
//!
//! A program of its own, since the allocator is the program's, and one thread, since it counts for all.

use std::{
    alloc::System,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
};

use libtest_mimic::{Arguments, Failed, Trial};
use rtrb::{Consumer, Producer, RingBuffer};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use treehouse_audio::device::callback::{Health, MicrophoneCallback, SpeakersCallback};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Sample frames in a callback: what devices ask for, and odd ones.
const SIZES: [usize; 6] = [480, 1, 0, 441, 1_024, 4_800];
/// Channels of devices.
const CHANNELS: [usize; 3] = [1, 2, 8];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trials = vec![
        Trial::test("the_allocator_counts_what_is_allocated", counts),
        Trial::test("a_microphone_callback_allocates_nothing", microphone),
        Trial::test("a_speakers_callback_allocates_nothing", speakers),
        Trial::test("callbacks_know_nothing_that_locks", locks),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What was allocated and given back while `work` ran.
fn allocated(work: impl FnOnce()) -> Stats {
    let region = Region::new(ALLOCATOR);
    work();
    region.change()
}

fn nothing(what: &str, work: impl FnOnce()) -> Result<(), Failed> {
    let stats = allocated(work);
    let calls = stats.allocations + stats.deallocations + stats.reallocations;
    if calls == 0 { Ok(()) } else { Err(format!("{what}: {stats:?}").into()) }
}

fn counts() -> Result<(), Failed> {
    let stats = allocated(|| drop(std::hint::black_box(vec![0_u8; 64])));
    if (stats.allocations, stats.deallocations) == (1, 1) { Ok(()) } else { Err(format!("{stats:?}").into()) }
}

fn microphone() -> Result<(), Failed> {
    for device_channels in CHANNELS {
        for channels in [1, 2] {
            // Room for some callbacks: the last ones meet a full ring.
            let (ring, mut taken): (Producer<f32>, Consumer<f32>) = RingBuffer::new(8_000);
            let health = Arc::new(Health::default());
            let mut callback = MicrophoneCallback { device_channels, channels, ring, health: health.clone() };
            let float = vec![0.25_f32; 4_800 * device_channels];
            let short = vec![8_192_i16; 4_800 * device_channels];
            for size in SIZES {
                let what = format!("{device_channels} channels into {channels}, {size} frames");
                nothing(&what, || {
                    callback.run(&float[..size * device_channels]);
                    callback.run(&short[..size * device_channels]);
                })?;
            }
            let passed = 2 * SIZES.iter().sum::<usize>();
            assert_eq!(health.samples.load(Ordering::Relaxed), passed as u64);
            let kept = taken.slots() / channels;
            assert_eq!(health.missed.load(Ordering::Relaxed), (passed - kept) as u64, "a full ring drops what comes");
            assert!((taken.pop()? - 0.25).abs() < 1e-4);
        }
    }
    Ok(())
}

fn speakers() -> Result<(), Failed> {
    for device_channels in CHANNELS {
        let (mut written, ring) = RingBuffer::new(4_000);
        // The echo canceller's copy meets a full ring too.
        let (far_end, mut played) = RingBuffer::new(6_000);
        let health = Arc::new(Health::default());
        let mut callback = SpeakersCallback { device_channels, ring, far_end, last: [0.0; 2], health: health.clone() };
        let _ = written.push_partial_slice(&[0.75, 0.25].repeat(1_500));
        let mut float = vec![0.0_f32; 4_800 * device_channels];
        let mut short = vec![0_i16; 4_800 * device_channels];
        for size in SIZES {
            nothing(&format!("{device_channels} channels, {size} frames"), || {
                callback.run(&mut float[..size * device_channels]);
                callback.run(&mut short[..size * device_channels]);
            })?;
        }
        let passed = 2 * SIZES.iter().sum::<usize>();
        assert_eq!(health.missed.load(Ordering::Relaxed), passed as u64 - 1_500);
        assert_eq!(played.slots(), 6_000);
        let pair = if device_channels == 1 { [0.5; 2] } else { [0.75, 0.25] };
        assert_eq!([played.pop()?, played.pop()?], pair);
    }
    Ok(())
}

/// A lock that nobody holds cannot be seen at work; that there is none can be read.
fn locks() -> Result<(), Failed> {
    let source = include_str!("../src/device/callback.rs");
    let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        for word in
            ["Mutex", "RwLock", "Condvar", "Once", "mpsc", "lock(", "tracing", "println", "sleep", "Vec", "Box<"]
        {
            if line.contains(word) {
                return Err(format!("{word} in a callback: {line}").into());
            }
        }
    }
    Ok(())
}
