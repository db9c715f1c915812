//! Files one after the other: an M3U or PLS list, or all sound files of a folder by name.
//!
//! An entry that cannot be played is named and passed over. A list that names nothing that can be played is an error, before
//! anything is said.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    FileSource, SourceError, SourceNotice, Width,
    pump::{Supply, Wanted},
    stream::{Stream, is_url},
};
use crate::mix::Block;

/// Longest list that is read.
const LIST_BYTES_MAX: u64 = 1 << 20;
/// Entries of a list, and files looked at in a folder, at most.
const ENTRIES_MAX: usize = 10_000;
/// Endings of files that are taken from a folder; others (covers, texts) are no mistake there.
const ENDINGS: [&str; 10] = ["aac", "aif", "aiff", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav"];
const LIST_ENDINGS: [&str; 3] = ["m3u", "m3u8", "pls"];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File(PathBuf),
    Stream(String),
}

enum Playing {
    File(Box<FileSource>),
    Stream(Box<Stream>),
}

/// A list being played.
pub(super) struct Playlist {
    path: PathBuf,
    width: Width,
    entries: Arc<[Entry]>,
    next: usize,
    playing: Option<Playing>,
    looped: bool,
    /// Something was heard since the list began, this time round.
    heard: bool,
}

impl Playlist {
    /// Whether this path names a list rather than a sound file.
    pub(super) fn is_one(path: &Path) -> bool {
        path.is_dir() || ending(path).is_some_and(|ending| LIST_ENDINGS.contains(&ending.as_str()))
    }

    /// Reads the list, and opens its first entry that can be played.
    ///
    /// # Errors
    /// [`SourceError`] where it cannot be read, or has no such entry.
    pub(super) fn open(path: &Path, looped: bool, width: Width) -> Result<Self, SourceError> {
        let entries = if path.is_dir() { files_of(path)? } else { read_list(path)? };
        let (path, entries) = (path.to_owned(), entries.into());
        let list = Playlist { path, width, entries, next: 0, playing: None, looped, heard: false };
        // Stations are believed: they are asked when their turn comes.
        let mut errors = list.entries.iter().map(|entry| match entry {
            Entry::File(path) => FileSource::open(path).err(),
            Entry::Stream(_) => None,
        });
        let mut first_error = None;
        let any = errors.any(|error| match error {
            None => true,
            Some(error) => {
                first_error.get_or_insert(error);
                false
            }
        });
        if any { Ok(list) } else { Err(list.nothing(first_error)) }
    }

    fn nothing(&self, first_error: Option<SourceError>) -> SourceError {
        let why = match first_error {
            Some(error) => format!("none of its {} entries can be played; of the first: {error}", self.entries.len()),
            None => "it names no sound file".to_owned(),
        };
        SourceError::Playlist { path: self.path.clone(), why }
    }

    /// Opens the next entry; false at the end of the list.
    fn advance(&mut self, wanted: &Wanted) -> Result<bool, SourceError> {
        if self.next >= self.entries.len() {
            if !self.looped {
                return Ok(false);
            }
            if !std::mem::take(&mut self.heard) {
                return Err(self.nothing(None));
            }
            self.next = 0;
        }
        let Some(entry) = self.entries.get(self.next) else { return Ok(false) };
        self.next += 1;
        let opened = match entry {
            Entry::File(path) => FileSource::open_as(path, self.width).map(|file| Playing::File(Box::new(file))),
            Entry::Stream(url) => Stream::new(url, self.width).map(|stream| Playing::Stream(Box::new(stream))),
        };
        match opened {
            Ok(playing) => {
                if let Entry::File(path) = entry {
                    wanted.tell(SourceNotice::Playing(path.display().to_string()));
                }
                self.playing = Some(playing);
            }
            Err(error) => wanted.tell(SourceNotice::Skipped(error.to_string())),
        }
        Ok(true)
    }
}

impl Supply for Playlist {
    fn next_frame(&mut self, pcm: &mut Block, wanted: &Wanted) -> Result<bool, SourceError> {
        loop {
            let read = match &mut self.playing {
                Some(Playing::File(file)) => file.next_block(pcm),
                Some(Playing::Stream(stream)) => stream.next_frame(pcm, wanted),
                None => {
                    if self.advance(wanted)? {
                        continue;
                    }
                    return Ok(false);
                }
            };
            match read {
                Ok(true) => {
                    self.heard = true;
                    return Ok(true);
                }
                Ok(false) => {}
                Err(error) => wanted.tell(SourceNotice::Skipped(error.to_string())),
            }
            self.playing = None;
        }
    }
}

fn ending(path: &Path) -> Option<String> {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase())
}

fn files_of(folder: &Path) -> Result<Vec<Entry>, SourceError> {
    let unreadable = |error| SourceError::Unreadable { path: folder.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(ENTRIES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && ending(&path).is_some_and(|ending| ENDINGS.contains(&ending.as_str())) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files.into_iter().map(Entry::File).collect())
}

fn read_list(path: &Path) -> Result<Vec<Entry>, SourceError> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(path.to_owned()),
        _ => SourceError::Unreadable { path: path.to_owned(), error },
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(LIST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        let why = format!("it is longer than the {LIST_BYTES_MAX} bytes that a list may have");
        return Err(SourceError::Playlist { path: path.to_owned(), why });
    }
    let text = String::from_utf8_lossy(&bytes);
    let is_pls = ending(path).is_some_and(|ending| ending == "pls");
    Ok(parse(&text, path.parent().unwrap_or(Path::new("")), is_pls))
}

/// The entries of a list; relative ones are meant from `folder`.
fn parse(text: &str, folder: &Path, is_pls: bool) -> Vec<Entry> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let names = lines.filter_map(|line| match is_pls {
        // `File12=...`, in any case; the rest are titles and lengths.
        true => {
            let (key, name) = line.split_once('=')?;
            let number = key.trim().to_ascii_lowercase().strip_prefix("file")?.to_owned();
            number.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.trim())
        }
        false => (!line.starts_with('#')).then_some(line),
    });
    let entry = |name: &str| {
        if is_url(name) { Entry::Stream(name.to_owned()) } else { Entry::File(folder.join(name)) }
    };
    names.filter(|name| !name.is_empty()).take(ENTRIES_MAX).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Entry {
        Entry::File(Path::new("/music").join(name))
    }

    #[test]
    fn lists_of_every_kind_are_read() {
        let m3u =
            "\u{feff}#EXTM3U\r\n#EXTINF:12,A song\r\na.mp3\r\n\r\n  sub/b c.ogg  \r\n/abs/c.wav\nhttp://host/live\n";
        let wanted = [file("a.mp3"), file("sub/b c.ogg"), file("/abs/c.wav"), Entry::Stream("http://host/live".into())];
        assert_eq!(parse(m3u, Path::new("/music"), false), wanted);
        let pls = "[playlist]\nNumberOfEntries=2\nFile1=a.mp3\nTitle1=Files=x\nLength1=-1\nfile2 = b.mp3\nFilex=c\n";
        assert_eq!(parse(pls, Path::new("/music"), true), [file("a.mp3"), file("b.mp3")]);
        assert!(parse("", Path::new("/music"), false).is_empty());
    }

    #[test]
    fn a_list_without_end_is_cut() {
        assert_eq!(parse(&"x\n".repeat(2 * ENTRIES_MAX), Path::new(""), false).len(), ENTRIES_MAX);
    }
}
