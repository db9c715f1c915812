//! As much HTTP as a station needs (RFC 9112, and Shoutcast's ICY), over plain TCP.
//!
//! It asks once and reads what comes: redirects are followed, chunks put together, and the titles that stations weave into
//! the sound taken out. Every header has a bound, and a server that says nothing for ten seconds is let go. There is no encryption:
//! a station is public, and whoever wants it otherwise pipes it in.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
    time::{Duration, Instant},
};

use url::Url;

/// What is said where something else than `http:` is asked for.
pub(super) const ONLY_HTTP: &str =
    "only http: addresses can be used; for others, pipe it in, as in `curl -sL ADDRESS | treehouse join ... --say -`";
/// Longest response header.
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const REDIRECTS_MAX: usize = 5;
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The whole header must have come by then.
const HEADER_TIME_MAX: Duration = Duration::from_secs(15);
/// A server that is silent for longer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Longest line before a chunk, and longest title.
const LINE_BYTES_MAX: u64 = 256;
const TITLE_CHARS_MAX: usize = 200;
/// Sound between two titles, at most: far more than any station has.
const TITLE_EVERY_MAX: usize = 1 << 20;

type Bytes = Box<dyn Read + Send + Sync>;

/// What a server sends.
pub(super) struct Body {
    /// The sound, and nothing but.
    pub(super) bytes: Bytes,
    /// The ending that a file of this kind would have; empty where the server does not say.
    pub(super) ending: &'static str,
    pub(super) progress: Progress,
}

/// Whether all has come that the server has announced.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(super) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Asks for what is behind an address; titles go to `titles`, as far as there is room. The error is a few words.
pub(super) fn get(url: &Url, titles: SyncSender<String>) -> Result<Body, String> {
    let mut url = url.clone();
    for _ in 0..=REDIRECTS_MAX {
        let mut server = ask(&url)?;
        let head = Head::read(&mut server)?;
        match head.status {
            200 => return Ok(body(server, &head, titles)),
            301 | 302 | 303 | 307 | 308 => {
                let to = head.location.ok_or("the server sends us on, but not where to")?;
                url = url.join(&to).map_err(|error| format!("the server sends us on to nowhere: {error}"))?;
                if url.scheme() != "http" {
                    return Err(format!("the server sends us on to {}; {ONLY_HTTP}", url.scheme()));
                }
            }
            404 | 410 => return Err("the server has nothing at this address; check it".to_owned()),
            401 | 403 => return Err("the server does not let us in; check the address".to_owned()),
            status => return Err(format!("the server answers {status}; try again later")),
        }
    }
    Err("the server sends us round in circles; check the address".to_owned())
}

fn ask(url: &Url) -> Result<BufReader<TcpStream>, String> {
    let failed =
        |error: io::Error| format!("the server cannot be reached ({error}); check the address and the network");
    let addresses = url.socket_addrs(|| None).map_err(failed)?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    let connected = addresses
        .iter()
        .take(ADDRESSES_MAX)
        .find_map(|address| TcpStream::connect_timeout(address, CONNECT_MAX).map_err(|error| last = error).ok());
    let Some(mut server) = connected else { return Err(failed(last)) };
    server.set_read_timeout(Some(SILENCE_MAX)).map_err(failed)?;
    server.set_write_timeout(Some(SILENCE_MAX)).map_err(failed)?;
    let host = url.host_str().unwrap_or_default();
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    // Version 1.0, so that nothing comes in chunks from whoever minds the version.
    let request = format!(
        "GET {target} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: treehouse/{}\r\nAccept: */*\r\nIcy-MetaData: 1\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    server.write_all(request.as_bytes()).map_err(failed)?;
    Ok(BufReader::new(server))
}

/// What matters of a response's header.
#[derive(Debug, Default, PartialEq, Eq)]
struct Head {
    status: u16,
    location: Option<String>,
    kind: String,
    length: Option<u64>,
    chunked: bool,
    title_every: Option<usize>,
}

impl Head {
    fn read(server: &mut impl BufRead) -> Result<Self, String> {
        let began = Instant::now();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") && !bytes.ends_with(b"\n\n") {
            let line = server.take((HEADER_BYTES_MAX - bytes.len()) as u64).read_until(b'\n', &mut bytes);
            match line {
                Ok(0) if bytes.len() >= HEADER_BYTES_MAX => return Err("the server's header has no end".to_owned()),
                Ok(0) => return Err("the server hangs up before it has answered; try again later".to_owned()),
                Ok(_) if began.elapsed() < HEADER_TIME_MAX => {}
                Ok(_) => return Err("the server takes too long to answer; try again later".to_owned()),
                Err(error) => return Err(format!("the server does not answer ({error}); try again later")),
            }
        }
        // What Shoutcast says instead of a version.
        if bytes.starts_with(b"ICY ") {
            bytes.splice(..3, *b"HTTP/1.0");
        }
        Self::parse(&bytes).ok_or_else(|| "this is no HTTP server; check the address".to_owned())
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let mut parser = httparse::ParserConfig::default();
        parser.allow_spaces_after_header_name_in_responses(true).ignore_invalid_headers_in_responses(true);
        parser.parse_response(&mut response, bytes).ok()?;
        let mut head = Head { status: response.code?, ..Head::default() };
        for header in response.headers.iter() {
            let value = String::from_utf8_lossy(header.value).trim().to_owned();
            match header.name.to_ascii_lowercase().as_str() {
                "location" => head.location = Some(value),
                "content-type" => head.kind = value.to_ascii_lowercase(),
                "content-length" => head.length = value.parse().ok(),
                "transfer-encoding" => head.chunked = value.to_ascii_lowercase().contains("chunked"),
                "icy-metaint" => head.title_every = value.parse().ok().filter(|n| (1..=TITLE_EVERY_MAX).contains(n)),
                _ => {}
            }
        }
        Some(head)
    }

    fn ending(&self) -> &'static str {
        match self.kind.split(';').next().unwrap_or_default().trim() {
            "audio/mpeg" | "audio/mp3" | "audio/x-mpeg" => "mp3",
            "audio/aac" | "audio/aacp" | "audio/x-aac" => "aac",
            "audio/mp4" | "audio/x-m4a" => "m4a",
            "audio/flac" | "audio/x-flac" => "flac",
            "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
            "audio/ogg" | "application/ogg" | "audio/opus" => "ogg",
            _ => "",
        }
    }
}

fn body(server: BufReader<TcpStream>, head: &Head, titles: SyncSender<String>) -> Body {
    let progress = Progress::default();
    let mut bytes: Bytes = match (head.chunked, head.length) {
        (true, _) => {
            Box::new(Chunked { inner: server, left: 0, began: false, over: false, progress: progress.clone() })
        }
        (false, Some(left)) => Box::new(Counted { inner: server, left, progress: progress.clone() }),
        (false, None) => Box::new(server),
    };
    if let Some(every) = head.title_every {
        bytes = Box::new(Titled { inner: bytes, every, left: every, last: String::new(), titles });
    }
    Body { bytes, ending: head.ending(), progress }
}

/// A body whose length was announced.
struct Counted<R> {
    inner: R,
    left: u64,
    progress: Progress,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let read = self.inner.read(out.get_mut(..room).unwrap_or(&mut []))?;
        self.left -= read as u64;
        if self.left == 0 {
            self.progress.0.store(true, Ordering::Relaxed);
        }
        Ok(read)
    }
}

/// A body in chunks (RFC 9112, section 7.1).
struct Chunked<R> {
    inner: R,
    left: u64,
    began: bool,
    over: bool,
    progress: Progress,
}

impl<R: BufRead> Chunked<R> {
    fn next_chunk(&mut self) -> io::Result<()> {
        if self.began {
            self.line()?;
        }
        self.began = true;
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        if self.left == 0 {
            self.over = true;
            self.progress.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        (&mut self.inner).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.ends_with(b"\n") {
            Ok(String::from_utf8_lossy(&line).into_owned())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.over {
            self.next_chunk()?;
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let read = self.inner.read(out.get_mut(..room).unwrap_or(&mut []))?;
        self.left -= read as u64;
        Ok(read)
    }
}

/// Sound with a title after each `every` bytes: one byte that counts sixteens, and so many bytes of text.
struct Titled<R> {
    inner: R,
    every: usize,
    left: usize,
    last: String,
    titles: SyncSender<String>,
}

impl<R: Read> Titled<R> {
    fn take_title(&mut self) -> io::Result<()> {
        let mut sixteens = [0];
        self.inner.read_exact(&mut sixteens)?;
        let mut text = vec![0; usize::from(sixteens[0]) * 16];
        self.inner.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        let title = text.split_once("StreamTitle='").and_then(|(_, rest)| rest.split_once("';"));
        if let Some((title, _)) = title {
            let title: String = title.chars().filter(|c| !c.is_control()).take(TITLE_CHARS_MAX).collect();
            if !title.is_empty() && title != self.last {
                let _ = self.titles.try_send(title.clone());
                self.last = title;
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Titled<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.take_title()?;
            self.left = self.every;
        }
        let room = self.left.min(out.len());
        let read = self.inner.read(out.get_mut(..room).unwrap_or(&mut []))?;
        self.left -= read;
        Ok(read)
    }
}
