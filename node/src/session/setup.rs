//! What the user wants of a session, checked before anything is opened.

use std::{fs::OpenOptions, io::BufWriter};

use treehouse_audio::{Hear, MixOptions, Say, SinkError};
use treehouse_net::parse_address;
use treehouse_wire::Address;

use crate::{
    cli::{LoudnessArg, MicrophoneArgs, NodeArgs},
    failure::Failure,
    framelog::{self, Entry},
    output::Lines,
};

/// What the user wants of a session.
pub struct Setup {
    /// What others call this node.
    pub name: String,
    /// What it says.
    pub say: Say,
    /// Where it hears.
    pub hear: Hear,
    /// Where it listens; empty for the default.
    pub listen: Vec<Address>,
    /// How a microphone is sent.
    pub microphone: MicrophoneArgs,
    /// What every node takes.
    pub node: NodeArgs,
}

impl Setup {
    /// Reads and checks what a person may get wrong: a source that is missing, empty or no sound, a sink that is none,
    /// an address that is none.
    ///
    /// # Errors
    /// [`Failure::Usage`], one sentence that says what to do.
    pub fn check(name: &str, say: &str, hear: &str, listen: &[String], node: NodeArgs) -> Result<Self, Failure> {
        let usage = |sentence: String| Failure::Usage(sentence);
        let Ok(say) = say.parse::<Say>();
        say.check().map_err(|error| usage(error.to_string()))?;
        let hear = hear.parse::<Hear>().map_err(|error| usage(error.to_string()))?;
        if say.takes_standard_input() && node.until_stdin_closes {
            return Err(usage(
                "standard input cannot be said and watched at once: leave out --until-stdin-closes".to_owned(),
            ));
        }
        let listen = listen
            .iter()
            .map(|text| parse_address(text).map_err(|error| usage(error.to_string())))
            .collect::<Result<_, _>>()?;
        Ok(Setup { name: name.to_owned(), say, hear, listen, microphone: MicrophoneArgs::default(), node })
    }

    /// How voices are mixed.
    pub fn mix(&self) -> MixOptions {
        MixOptions { even_loudness: self.node.loudness == LoudnessArg::Even, spatial: self.node.spatial }
    }

    /// Starts the frame log, where one is wanted.
    pub(super) fn frame_log(&self) -> Result<Option<Lines<Entry>>, Failure> {
        let Some(path) = &self.node.frame_log else { return Ok(None) };
        let failed = |error: std::io::Error| {
            Failure::Usage(format!("cannot write the frame log {}: {error}; name another file", path.display()))
        };
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path).map_err(failed)?;
        let lines = Lines::start("treehouse-frames", framelog::QUEUE_ENTRIES, BufWriter::new(file));
        lines.map(Some).map_err(failed)
    }
}

/// The failure that a sink's error is.
pub(super) fn sink_failure(error: SinkError) -> Failure {
    match error {
        SinkError::File { .. } | SinkError::Terminal => Failure::Usage(error.to_string()),
        _ => Failure::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(say: &str, hear: &str, listen: &str) -> Result<Setup, Failure> {
        let node = NodeArgs {
            max_children: 8,
            stay: None,
            loudness: LoudnessArg::Even,
            spatial: false,
            stereo: false,
            repeat: false,
            record: None,
            json: false,
            frame_log: None,
            until_stdin_closes: say == "s16le:-",
        };
        Setup::check("ann", say, hear, &[listen.to_owned()], node)
    }

    #[test]
    fn what_cannot_be_said_or_heard_is_wrong_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let (empty, noise) = (folder.path().join("empty.wav"), folder.path().join("noise.wav"));
        std::fs::write(&empty, []).expect("a file");
        std::fs::write(&noise, "this is no sound at all, whatever its name says".repeat(40)).expect("a file");
        let path = |path: &std::path::Path| path.to_str().expect("unicode").to_owned();
        let address = "/ip4/127.0.0.1/tcp/0";
        for (say, hear, listen) in [
            (path(&folder.path().join("missing.wav")).as_str(), "none", address),
            (path(&empty).as_str(), "none", address),
            (path(&noise).as_str(), "none", address),
            ("none", "trumpet", address),
            ("none", "mp3:-", address),
            ("https://radio.example/live", "none", address),
            ("http://", "none", address),
            (path(folder.path().join("no.m3u").as_path()).as_str(), "none", address),
            ("s16le:-", "none", address),
            ("none", "none", "127.0.0.1:4001"),
        ] {
            let failure = check(say, hear, listen).err().expect("a failure");
            assert_eq!(failure.exit_status(), 2, "{failure}");
        }
        for (say, hear) in [("sample:1", "a.wav"), ("-", "-"), ("http://radio.example:8000/live", "opus:-")] {
            assert!(check(say, hear, address).is_ok(), "{say}");
        }
    }
}
