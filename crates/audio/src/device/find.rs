//! Which devices there are, and which of them is meant.

#[cfg(target_os = "linux")]
use std::time::Instant;
use std::{sync::mpsc::sync_channel, thread, time::Duration};

use cpal::{
    ErrorKind,
    traits::{DeviceTrait, HostTrait},
};

use super::{DeviceError, Direction};

/// A sound system answers within this, or it hangs.
const ANSWER_MAX: Duration = Duration::from_secs(6);

/// A socket that is open connects within this, unless whoever it belongs to hangs.
#[cfg(target_os = "linux")]
const CONNECT_MAX: Duration = Duration::from_millis(500);

/// PulseAudio asks the kernel who a client is once it has let it in; what the client sent in between comes from nobody, and is refused unless
/// it has the server's own cookie. That was 3 of 10 where the cookie was another's, so that as many tries leave 6 of 10^6.
#[cfg(target_os = "linux")]
const CONNECT_TRIES: u32 = 10;

/// A device that could be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What names it for good, across restarts of the program and of the sound system. `mic:ID` and `speakers:ID` take it.
    pub id: String,
    /// What people call it; two devices may have the same.
    pub name: String,
    /// Which way.
    pub direction: Direction,
    /// Whether it is what the system uses unless told otherwise.
    pub is_default: bool,
    /// The rate that it runs at by itself, in Hz; 0 where it does not say.
    pub rate_hz: u32,
    /// How many channels it has; 0 where it does not say.
    pub channels: u16,
}

/// The sound system's name, such as `PulseAudio` or `ALSA`.
pub fn sound_system() -> &'static str {
    System::new().0.id().name()
}

/// All microphones and speakers, in the system's order.
///
/// # Errors
/// [`DeviceError`] where the sound system does not answer, or refuses. No device at all is an empty list.
pub fn list() -> Result<Vec<DeviceInfo>, DeviceError> {
    let failed = |why: String| DeviceError::Failed { direction: Direction::Capture, why };
    let (answer, answered) = sync_channel(1);
    // Asking a sound server that hangs takes for ever.
    thread::Builder::new()
        .name("treehouse-devices".into())
        .spawn(move || answer.send(list_now()))
        .map_err(|error| failed(error.to_string()))?;
    answered.recv_timeout(ANSWER_MAX).map_err(|_| DeviceError::NoAnswer)?
}

fn list_now() -> Result<Vec<DeviceInfo>, DeviceError> {
    let system = System::new();
    let mut all = Vec::new();
    match system.absence(Direction::Capture) {
        None => {}
        Some(DeviceError::NoDevice(_)) => return Ok(all),
        Some(error) => return Err(error),
    }
    for direction in [Direction::Capture, Direction::Playback] {
        let default = system.default_device(direction).map(|device| id(&device));
        for device in system.devices(direction)? {
            let config = match direction {
                Direction::Capture => device.default_input_config(),
                Direction::Playback => device.default_output_config(),
            };
            let (rate_hz, channels) = config.map_or((0, 0), |config| (config.sample_rate(), config.channels()));
            let (id, name) = (id(&device), label(&device));
            all.push(DeviceInfo { is_default: default.as_ref() == Some(&id), id, name, direction, rate_hz, channels });
        }
    }
    Ok(all)
}

/// The sound system, connected.
pub(super) struct System(cpal::Host);

impl System {
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> Self {
        let listens = server_listens();
        if listens {
            super::cookie::ensure();
        }
        let start = Instant::now();
        let mut host = cpal::default_host();
        // A server that refuses somebody has done so at once; one that hangs is not asked again.
        for _ in 1..CONNECT_TRIES {
            if !listens || host.id() != cpal::HostId::Alsa || start.elapsed() > CONNECT_MAX {
                break;
            }
            host = cpal::default_host();
        }
        System(host)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> Self {
        System(cpal::default_host())
    }

    /// Without a sound server, ALSA on a machine without a card only fills standard error with its search for one.
    #[cfg(target_os = "linux")]
    fn has_any_card(&self) -> bool {
        self.0.id() != cpal::HostId::Alsa || std::fs::read_dir("/proc/asound").is_ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn has_any_card(&self) -> bool {
        true
    }

    /// Why there can be no device at all, if so.
    fn absence(&self, direction: Direction) -> Option<DeviceError> {
        if self.has_any_card() {
            None
        } else if server_listens() {
            // It has not answered, so cpal has taken ALSA.
            Some(DeviceError::NoAnswer)
        } else {
            Some(DeviceError::NoDevice(direction))
        }
    }

    fn default_device(&self, direction: Direction) -> Option<cpal::Device> {
        match direction {
            Direction::Capture => self.0.default_input_device(),
            Direction::Playback => self.0.default_output_device(),
        }
    }

    fn devices(&self, direction: Direction) -> Result<Vec<cpal::Device>, DeviceError> {
        let devices = self.0.devices().map_err(|error| DeviceError::from_system(direction, &error))?;
        let usable = devices.filter(|device| match direction {
            Direction::Capture => device.supports_input(),
            Direction::Playback => device.supports_output(),
        });
        // ALSA's `null` runs free at a thousand times real time.
        Ok(usable.filter(|device| id(device) != "null").collect())
    }

    /// The device that is meant: the default, or the one that `wanted` names.
    pub(super) fn find(&self, direction: Direction, wanted: Option<&str>) -> Result<cpal::Device, DeviceError> {
        if let Some(error) = self.absence(direction) {
            return Err(error);
        }
        let Some(wanted) = wanted else {
            let default = self.default_device(direction).filter(|device| id(device) != "null");
            return default.ok_or(DeviceError::NoDevice(direction));
        };
        let mut devices = self.devices(direction)?;
        let known: Vec<Known> = devices.iter().map(|device| Known { id: id(device), name: label(device) }).collect();
        let at = pick(direction, &known, wanted)?;
        Ok(devices.swap_remove(at))
    }

    /// The id of what [`System::find`] would find now.
    pub(super) fn current(&self, direction: Direction, wanted: Option<&str>) -> Option<String> {
        self.find(direction, wanted).ok().map(|device| id(&device))
    }
}

/// Whether a PulseAudio server, or one that stands in for it, has its socket open, which one that hangs has too.
#[cfg(target_os = "linux")]
fn server_listens() -> bool {
    let named = std::env::var("PULSE_SERVER").ok().and_then(|server| Some(server.strip_prefix("unix:")?.to_owned()));
    let below = |folder: &str, rest: &str| std::env::var(folder).ok().map(|folder| folder + rest);
    let usual = || below("PULSE_RUNTIME_PATH", "/native").or_else(|| below("XDG_RUNTIME_DIR", "/pulse/native"));
    let Some(socket) = named.or_else(usual) else { return false };
    let (answer, answered) = sync_channel(1);
    // Of a server that hangs the queue may be full, and then this waits for it.
    let connect = move || answer.send(std::os::unix::net::UnixStream::connect(socket).is_ok());
    let asked = thread::Builder::new().name("treehouse-devices".into()).spawn(connect);
    asked.is_ok() && answered.recv_timeout(CONNECT_MAX).unwrap_or(true)
}

#[cfg(not(target_os = "linux"))]
fn server_listens() -> bool {
    false
}

/// What a device can be chosen by.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: String,
    name: String,
}

/// Chooses by id, else by name, else by a part of the name, whatever its case; the last two only where one device alone fits.
fn pick(direction: Direction, known: &[Known], wanted: &str) -> Result<usize, DeviceError> {
    let bare = wanted.split_once(':').map_or(wanted, |(_, id)| id);
    if let Some(at) = known.iter().position(|device| device.id == wanted || device.id == bare) {
        return Ok(at);
    }
    let part = wanted.to_lowercase();
    let fits: [&dyn Fn(&Known) -> bool; 2] =
        [&|device| device.name == wanted, &|device| !part.is_empty() && device.name.to_lowercase().contains(&part)];
    for fit in fits {
        let found: Vec<usize> = (0..known.len()).filter(|at| known.get(*at).is_some_and(fit)).collect();
        match found.as_slice() {
            [] => {}
            [at] => return Ok(*at),
            several => {
                let ids = several.iter().filter_map(|at| known.get(*at)).map(|device| device.id.as_str());
                let ids = ids.collect::<Vec<_>>().join(", ");
                return Err(DeviceError::Ambiguous { direction, name: wanted.into(), ids });
            }
        }
    }
    let ids: Vec<&str> = known.iter().map(|device| device.id.as_str()).collect();
    let ids = if ids.is_empty() { "none".into() } else { ids.join(", ") };
    Err(DeviceError::Unknown { direction, name: wanted.into(), known: ids })
}

impl DeviceError {
    /// What the sound system says, as a sentence for a person.
    pub(super) fn from_system(direction: Direction, error: &cpal::Error) -> Self {
        match error.kind() {
            ErrorKind::DeviceBusy => DeviceError::Busy(direction),
            ErrorKind::PermissionDenied => DeviceError::Forbidden(direction),
            ErrorKind::DeviceNotAvailable | ErrorKind::HostUnavailable => DeviceError::NoDevice(direction),
            _ => DeviceError::Failed { direction, why: error.to_string() },
        }
    }
}

pub(super) fn id(device: &cpal::Device) -> String {
    device.id().map_or_else(|_| String::new(), |id| id.id().to_owned())
}

pub(super) fn label(device: &cpal::Device) -> String {
    device.description().map_or_else(|_| id(device), |description| description.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let device = |id: &str, name: &str| Known { id: id.into(), name: name.into() };
        vec![device("usb-1", "USB Headset"), device("usb-2", "USB Headset"), device("pci-0", "Built-in Audio")]
    }

    fn picked(wanted: &str) -> Result<usize, String> {
        pick(Direction::Capture, &known(), wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_device_is_chosen_by_id_by_name_or_by_a_part_of_its_name() {
        assert_eq!(picked("usb-2"), Ok(1));
        assert_eq!(picked("pulseaudio:usb-2"), Ok(1));
        assert_eq!(picked("Built-in Audio"), Ok(2));
        assert_eq!(picked("built-in"), Ok(2));
    }

    #[test]
    fn a_name_that_fits_several_devices_or_none_is_refused_with_what_there_is() {
        assert!(picked("usb").unwrap_err().contains("usb-1, usb-2"), "{:?}", picked("usb"));
        assert!(picked("USB Headset").unwrap_err().contains("treehouse devices"));
        assert!(picked("HDMI").unwrap_err().contains("usb-1, usb-2, pci-0"));
        assert!(picked("").is_err());
    }

    #[test]
    fn what_the_sound_system_refuses_is_a_sentence_that_says_what_to_do() {
        let sentence =
            |kind: ErrorKind| DeviceError::from_system(Direction::Capture, &cpal::Error::from(kind)).to_string();
        assert!(sentence(ErrorKind::DeviceBusy).contains("another program uses the microphone"));
        assert!(sentence(ErrorKind::PermissionDenied).contains("may not use the microphone"));
        assert!(sentence(ErrorKind::DeviceNotAvailable).contains("no microphone found"));
        assert!(sentence(ErrorKind::UnsupportedConfig).contains("cannot open the microphone"));
    }
}
