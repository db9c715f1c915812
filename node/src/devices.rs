//! `treehouse devices`: which microphones and speakers there are, and whether they work.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use serde::Serialize;
use treehouse_audio::{
    Direction,
    device::{DeviceInfo, MicrophoneCheck, check_microphone, list, play_test_tone, sound_system},
};
use treehouse_wire::Level;

use crate::{cli::DevicesArgs, failure::Failure};

/// The word for the system's default.
const DEFAULT: &str = "default";
/// How long the test tone sounds.
const TONE: Duration = Duration::from_secs(3);
/// How long a microphone is listened to.
const LISTEN: Duration = Duration::from_secs(3);
/// Quieter than this a microphone hears nothing: it is switched off, or muted by the system.
const PEAK_MIN: f32 = 0.000_1;
/// From here on sound is cut off.
const PEAK_MAX: f32 = 0.99;

/// One device, as a line of JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    /// `capture` or `playback`.
    direction: &'static str,
    id: &'a str,
    name: &'a str,
    default: bool,
    rate_hz: u32,
    channels: u16,
}

/// `treehouse devices`.
///
/// # Errors
/// [`Failure::Failed`], one sentence that says what to do.
pub fn run(args: &DevicesArgs) -> Result<(), Failure> {
    if args.test {
        let played = test_speakers(DEFAULT);
        // Speakers that do not work say nothing of the microphone.
        if let Err(Failure::Failed(sentence)) = &played {
            say!("{sentence}");
        }
        return test_microphone(DEFAULT).and(played);
    }
    if let Some(speakers) = &args.test_speakers {
        return test_speakers(speakers);
    }
    if let Some(microphone) = &args.test_microphone {
        return test_microphone(microphone);
    }
    let devices = list().map_err(failed)?;
    if args.json {
        for device in &devices {
            say!("{}", serde_json::to_string(&row(device)).unwrap_or_default());
        }
        return Ok(());
    }
    lines(&devices).iter().for_each(|line| say!("{line}"));
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

fn row(device: &DeviceInfo) -> Row<'_> {
    let direction = match device.direction {
        Direction::Capture => "capture",
        Direction::Playback => "playback",
    };
    let DeviceInfo { id, name, is_default, rate_hz, channels, .. } = device;
    Row { direction, id, name, default: *is_default, rate_hz: *rate_hz, channels: *channels }
}

fn lines(devices: &[DeviceInfo]) -> Vec<String> {
    let mut lines = vec![format!("sound system: {}", sound_system())];
    for (direction, title, say) in
        [(Direction::Capture, "microphones", "--say mic:ID"), (Direction::Playback, "speakers", "--hear speakers:ID")]
    {
        let of: Vec<&DeviceInfo> = devices.iter().filter(|device| device.direction == direction).collect();
        if of.is_empty() {
            lines.push(format!("no {title} found; plug some in, or start a sound server"));
            continue;
        }
        lines.push(format!("{title}, chosen with {say}; the default is marked *"));
        let wide = of.iter().map(|device| device.id.chars().count()).max().unwrap_or(0);
        for DeviceInfo { id, name, is_default, rate_hz, channels, .. } in of {
            let mark = if *is_default { '*' } else { ' ' };
            lines.push(format!("{mark} {id:wide$}  {name}, {rate_hz} Hz, {channels} channels"));
        }
    }
    lines
}

/// How loud it is, from -60 dB to the loudest, in one line of a fixed length.
fn bar(level: Level, peak: f32) -> String {
    const CELLS: usize = 30;
    let full = CELLS.saturating_sub(usize::from(level.minus_dbov()) / 2);
    let warning = if peak >= PEAK_MAX { "too loud" } else { "        " };
    format!("[{}{}] -{:3} dB {warning}", "#".repeat(full), " ".repeat(CELLS - full), level.minus_dbov())
}

/// None for the word that stands for the system's default.
fn chosen(id: &str) -> Option<String> {
    (id != DEFAULT).then(|| id.to_owned())
}

fn test_speakers(id: &str) -> Result<(), Failure> {
    let name = play_test_tone(chosen(id), TONE).map_err(failed)?;
    say!("{name} played a tone, half a second on and half off: if you did not hear it, turn the volume up");
    Ok(())
}

/// What is wrong with a microphone that opens, and what to do.
pub fn fault(heard: &MicrophoneCheck) -> Option<&'static str> {
    if heard.peak < PEAK_MIN {
        Some("it hears nothing: switch it on, or take it off mute in the system's settings")
    } else if heard.peak >= PEAK_MAX {
        Some("it is turned up too far: turn it down in the system's settings")
    } else {
        None
    }
}

fn test_microphone(id: &str) -> Result<(), Failure> {
    // A bar that moves is for people; whoever reads a file or a pipe gets the last line alone.
    let shown = io::stdout().is_terminal();
    let show = |level: Level, peak| {
        if shown {
            print!("\r{}", bar(level, peak));
            let _ = io::stdout().flush();
        }
    };
    let heard = check_microphone(chosen(id), LISTEN, show).map_err(failed)?;
    if shown {
        println!();
    }
    let (name, level) = (&heard.name, heard.level.minus_dbov());
    let verdict = fault(&heard).unwrap_or("it works");
    say!("{name} at {} Hz: {level} dB below the loudest, {verdict}", heard.rate_hz);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, direction: Direction, is_default: bool) -> DeviceInfo {
        DeviceInfo { id: id.into(), name: "A name".into(), direction, is_default, rate_hz: 48_000, channels: 2 }
    }

    #[test]
    fn devices_are_listed_by_direction_with_the_default_marked() {
        let all = [
            device("mic-1", Direction::Capture, false),
            device("microphone-2", Direction::Capture, true),
            device("spk", Direction::Playback, true),
        ];
        let lines = lines(&all);
        assert!(lines.contains(&"  mic-1         A name, 48000 Hz, 2 channels".to_owned()), "{lines:?}");
        assert!(lines.contains(&"* microphone-2  A name, 48000 Hz, 2 channels".to_owned()), "{lines:?}");
        assert!(lines.contains(&"* spk  A name, 48000 Hz, 2 channels".to_owned()), "{lines:?}");
    }

    #[test]
    fn the_meter_is_full_at_the_loudest_and_empty_in_silence() {
        assert_eq!(bar(Level::SILENCE, 0.0).matches('#').count(), 0);
        let loudest = bar(Level::from_minus_dbov(0), 1.0);
        assert!(loudest.matches('#').count() == 30 && loudest.ends_with("too loud"), "{loudest}");
        assert_eq!(bar(Level::from_minus_dbov(30), 0.1).matches('#').count(), 15);
    }

    #[test]
    fn a_direction_without_devices_says_what_to_do() {
        let lines = lines(&[device("spk", Direction::Playback, true)]);
        assert!(lines.iter().any(|line| line.starts_with("no microphones found; plug some in")), "{lines:?}");
    }

    #[test]
    fn a_line_of_json_has_what_a_script_needs() {
        let json = serde_json::to_value(row(&device("mic-1", Direction::Capture, true))).unwrap();
        assert_eq!(json["direction"], "capture");
        assert_eq!(json["id"], "mic-1");
        assert_eq!((&json["default"], &json["rate_hz"]), (&true.into(), &48_000.into()));
    }
}
