//! `treehouse sound`: what a running node sends and hears, changed by a command beside it.

use crate::{
    cli::SoundCommand,
    control::{self, Request, Sound},
    failure::Failure,
    identity::data_folder,
    peer::peer_id,
};

/// `treehouse sound`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn run(command: SoundCommand) -> Result<(), Failure> {
    let (sound, done) = match command {
        SoundCommand::Mute => (Sound::Muted(true), "you are muted: no microphone is open".to_owned()),
        SoundCommand::Unmute => (Sound::Muted(false), "you are no longer muted".to_owned()),
        SoundCommand::Press => (Sound::Talking(true), "what you say is sent".to_owned()),
        SoundCommand::Release => (Sound::Talking(false), "what you say is no longer sent".to_owned()),
        SoundCommand::Volume { peer, percent } => {
            (Sound::Volume { whom: peer, percent }, format!("{} is heard at {percent} %", peer_id(&peer)))
        }
    };
    let told = control::tell(&data_folder()?, &Request::Sound(sound));
    if !told.map_err(|error| Failure::Failed(error.to_string()))? {
        return Err(Failure::Usage(
            "no node of yours is in a room here: enter one with `treehouse host` or `treehouse join`".to_owned(),
        ));
    }
    say!("{done}");
    Ok(())
}
