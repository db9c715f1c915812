//! The file by which PulseAudio's clients show that they are the user's.
//!
//! A server takes whoever is the same user, whatever the cookie, but hangs up on one without any. libpulse makes one where there is none; the client
//! below cpal does not, and the user would read that there is no microphone.

use std::{
    env, fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
    process,
    sync::Once,
};

/// What the protocol asks for (PulseAudio, `PA_NATIVE_COOKIE_LENGTH`).
const LENGTH: usize = 256;

/// Makes one where there is none, once a process.
pub(super) fn ensure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(error) = make() {
            tracing::debug!(%error, "PulseAudio's cookie could not be made");
        }
    });
}

fn make() -> io::Result<()> {
    let Some(home) = env::home_dir() else { return Ok(()) };
    let folder = home.join(".config/pulse");
    let named = env::var_os("PULSE_COOKIE").map(Into::into);
    let mut known = named.into_iter().chain([folder.join("cookie"), home.join(".pulse-cookie")]);
    // One that is cut short, by a full disk for instance, is none.
    if known.any(|path: PathBuf| fs::metadata(path).is_ok_and(|file| file.len() >= LENGTH as u64)) {
        return Ok(());
    }
    let mut cookie = [0; LENGTH];
    getrandom::fill(&mut cookie).map_err(|error| io::Error::other(error.to_string()))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    let aside = folder.join(format!("cookie.{}", process::id()));
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?.write_all(&cookie)?;
    fs::rename(aside, folder.join("cookie"))
}
