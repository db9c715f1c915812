//! Lists, pipes and stations as speakers: played through, broken in the middle, and wrong from the start.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use treehouse_audio::{
    FRAME, Sample, Say, SourceNotice,
    mix::Block,
    sink::Samples,
    source::{FileSource, Next, TimedSource, Width},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const PATIENCE: Duration = Duration::from_secs(40);

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(FIXTURES).join(name)).unwrap()
}

/// What a source gives when it is asked without a pause.
struct Played {
    pcm: Vec<f32>,
    notices: Vec<String>,
    /// How it ended, if not as it should.
    error: Option<String>,
}

fn play(say: &Say, looped: bool, enough: impl Fn(&Played) -> bool) -> Played {
    let mut played = Played { pcm: Vec::new(), notices: Vec::new(), error: None };
    let mut source = match TimedSource::open(say, looped, Width::Mono) {
        Ok(source) => source.expect("no microphone"),
        Err(error) => {
            played.error = Some(error.to_string());
            return played;
        }
    };
    let (mut pcm, began) = (Block::default(), Instant::now());
    while !enough(&played) {
        assert!(began.elapsed() < PATIENCE, "{} samples, {:?}", played.pcm.len(), played.notices);
        let next = source.next(&mut pcm);
        played.notices.extend(std::iter::from_fn(|| source.notice()).map(|notice: SourceNotice| notice.to_string()));
        match next {
            Ok(Next::Frame) => played.pcm.extend(pcm.left),
            Ok(Next::Nothing) => thread::sleep(Duration::from_millis(1)),
            Ok(Next::End) => break,
            Err(error) => {
                played.error = Some(error.to_string());
                break;
            }
        }
    }
    played
}

fn to_the_end(say: &Say) -> Played {
    play(say, false, |_| false)
}

fn seconds(played: &Played) -> f32 {
    played.pcm.len() as f32 / 48_000.0
}

#[test]
fn a_list_is_played_in_order_and_what_is_broken_is_named_and_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["clip.mp3", "clip.opus", "clip.ogg"] {
        fs::write(dir.path().join(name), fixture(name)).unwrap();
    }
    fs::write(dir.path().join("letter.mp3"), "Dear Ann, this is no sound. ".repeat(300)).unwrap();
    let list = dir.path().join("evening.m3u8");
    fs::write(&list, "#EXTM3U\r\ngone.mp3\r\nclip.mp3\r\nletter.mp3\r\nclip.opus\r\n").unwrap();
    let played = to_the_end(&Say::File(list.clone()));
    assert_eq!(played.error, None);
    assert!((3.95..4.15).contains(&seconds(&played)), "{} s", seconds(&played));
    let starts = ["left out: there is no file", "now playing:", "left out:", "now playing:"];
    assert_eq!(played.notices.len(), starts.len(), "{:?}", played.notices);
    for (notice, start) in played.notices.iter().zip(starts) {
        assert!(notice.starts_with(start), "{notice}");
    }
    assert!(played.notices[0].contains("gone.mp3") && played.notices[2].contains("letter.mp3"));

    let again = play(&Say::File(list), true, |played| seconds(played) > 9.0);
    assert_eq!(again.error, None, "a list that is to go on begins anew");
    let folder = to_the_end(&Say::File(dir.path().to_owned()));
    assert!((5.9..6.2).contains(&seconds(&folder)), "three clips of a folder: {} s", seconds(&folder));
}

#[test]
fn a_list_of_which_nothing_can_be_played_is_an_error_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("a.pls");
    for (text, wanted) in [
        ("", "names no sound file"),
        ("[playlist]\nFile1=gone.wav\nFile2=away.wav\n", "none of its 2 entries"),
        (&"x".repeat(2 << 20), "longer than"),
    ] {
        fs::write(&list, text).unwrap();
        for error in
            [to_the_end(&Say::File(list.clone())).error, Say::File(list.clone()).check().err().map(|e| e.to_string())]
        {
            let error = error.expect("an error");
            assert!(error.contains(wanted) && error.contains("a.pls"), "{error}");
        }
    }
    assert!(Say::File("gone.m3u".into()).check().unwrap_err().to_string().starts_with("there is no file"));
    assert!(Say::File(dir.path().join("nobody")).check().is_err());
}

/// A byte after the other, and how many were read.
struct Endless<F>(F, Arc<AtomicU64>);

impl<F: FnMut(u64) -> u8> Read for Endless<F> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let at = self.1.fetch_add(out.len() as u64, Ordering::Relaxed);
        (at..).zip(out.iter_mut()).for_each(|(at, byte)| *byte = (self.0)(at));
        Ok(out.len())
    }
}

#[test]
fn input_without_an_end_that_is_no_sound_is_refused_and_read_no_further() {
    for byte in [|_| 0_u8, |at: u64| b"All work and no play. "[at as usize % 22]] {
        let read = Arc::new(AtomicU64::new(0));
        let endless = Endless(byte, read.clone());
        let error = FileSource::stream(Path::new("standard input"), Path::new(""), endless, Width::Mono)
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().starts_with("standard input is not sound that can be read"), "{error}");
        assert!(read.load(Ordering::Relaxed) < 8 << 20, "{} bytes were read", read.load(Ordering::Relaxed));
    }
}

#[test]
fn sound_without_an_end_is_read_no_further_than_it_is_played() {
    let read = Arc::new(AtomicU64::new(0));
    let mut source = FileSource::raw(Path::new("pipe"), Samples::S16le, Endless(|at| at as u8, read.clone())).unwrap();
    let mut pcm = [0.0; FRAME];
    (0..1_000).for_each(|_| assert!(source.next_frame(&mut pcm).unwrap()));
    let played = 1_001 * 2 * FRAME as u64;
    assert!(read.load(Ordering::Relaxed) <= played + 4 * FRAME as u64, "{}", read.load(Ordering::Relaxed));
}

#[test]
fn bare_samples_are_read_whatever_the_size_of_the_pieces_and_half_a_sample_is_left_out() {
    struct Dribble(Vec<u8>, usize);
    impl Read for Dribble {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let n = (self.1 % 7 + 1).min(out.len()).min(self.0.len());
            self.1 += 1;
            self.0.drain(..n).zip(out).for_each(|(byte, out)| *out = byte);
            Ok(n)
        }
    }
    let said: Vec<i16> = (0..3_000).map(|i| (i * 7 % 30_000) as i16).collect();
    let mut bytes: Vec<u8> = said.iter().flat_map(|s| s.to_le_bytes()).collect();
    bytes.push(9);
    let mut source = FileSource::raw(Path::new("pipe"), Samples::S16le, Dribble(bytes, 0)).unwrap();
    let (mut pcm, mut heard) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm).unwrap() {
        heard.extend(pcm.map(|s| (s * 32_768.0) as i16));
    }
    assert_eq!(heard[..3_000], said);
    assert!(heard[3_000..].iter().all(|s| *s == 0));
}

/// A server that answers the connection with number n as `answer(n)` says, and counts them. It ends with the test.
fn server(
    answer: impl Fn(usize, &str, &mut TcpStream) -> io::Result<()> + Send + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while !request.ends_with("\r\n\r\n") && lines.read_line(&mut request).is_ok_and(|n| n > 0) {}
            let _ = answer(count.fetch_add(1, Ordering::Relaxed), &request, &mut stream);
        }
    });
    (format!("http://{address}/live"), connections)
}

/// Sound with a title after every `every` bytes, as Shoutcast has it.
fn with_titles(sound: &[u8], every: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, piece) in sound.chunks(every).enumerate() {
        out.extend(piece);
        if piece.len() == every {
            let mut title = format!("StreamTitle='Song {} \x1b[31m';StreamUrl='x';", n / 4).into_bytes();
            title.resize(title.len().next_multiple_of(16), 0);
            if n % 4 == 0 {
                out.push((title.len() / 16) as u8);
                out.extend(title);
            } else {
                out.push(0);
            }
        }
    }
    out
}

#[test]
fn a_station_is_heard_without_its_titles_and_again_after_its_connection_broke() {
    let (url, connections) = server(|n, request, stream| {
        assert!(request.starts_with("GET /live HTTP/1.0\r\n") && request.contains("Icy-MetaData: 1\r\n"), "{request}");
        if n == 1 {
            return stream.write_all(b"HTTP/1.0 503 Service Unavailable\r\n\r\n");
        }
        stream.write_all(b"ICY 200 OK\r\nicy-name: x\r\nicy-metaint: 1000\r\nContent-Type: audio/mpeg\r\n\r\n")?;
        stream.write_all(&with_titles(&fixture("clip.mp3"), 1_000))
    });
    let played = play(&Say::Stream(url), false, |played| seconds(played) > 5.0);
    assert_eq!(played.error, None);
    assert!(connections.load(Ordering::Relaxed) >= 3);
    let notice = |what: &str| played.notices.iter().filter(|notice| notice.contains(what)).count();
    assert_eq!((notice("tried again in 1 s"), notice("tried again in 2 s")), (1, 1), "{:?}", played.notices);
    assert!(notice("answers 503") == 1 && notice("is back") >= 1);
    assert!(played.notices.contains(&"now playing: Song 0 [31m".to_owned()), "{:?}", played.notices);
    // With a title left in the sound an MP3 frame breaks, and what comes after it is in another place.
    let said = {
        let mut source = FileSource::open(&Path::new(FIXTURES).join("clip.mp3")).unwrap();
        let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
        while source.next_frame(&mut pcm).unwrap() {
            all.extend(pcm);
        }
        all
    };
    let (said, heard) = (&said[2 * FRAME..90 * FRAME], &played.pcm[2 * FRAME..90 * FRAME]);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let likeness = dot(said, heard) / (dot(said, said) * dot(heard, heard)).sqrt();
    assert!(likeness > 0.95, "{likeness}");
}

#[test]
fn what_has_a_length_ends_where_it_ends_in_one_piece_or_in_chunks_and_behind_redirects() {
    let (url, connections) = server(|n, _, stream| {
        let sound = fixture("clip.opus");
        match n {
            0 => stream.write_all(b"HTTP/1.1 302 Found\r\nLocation: /other?a=b\r\nContent-Length: 0\r\n\r\n"),
            1 => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sound.len())?;
                stream.write_all(&sound)
            }
            _ => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                for piece in sound.chunks(777) {
                    write!(stream, "{:x};x=y\r\n", piece.len())?;
                    stream.write_all(piece)?;
                    stream.write_all(b"\r\n")?;
                }
                stream.write_all(b"0\r\n\r\n")
            }
        }
    });
    for _ in 0..2 {
        let played = to_the_end(&Say::Stream(url.clone()));
        assert_eq!((played.pcm.len(), played.error, played.notices.len()), (96_000, None, 0));
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[test]
fn addresses_that_lead_to_no_sound_are_each_said_so() {
    let answers: [(&[u8], &str); 8] = [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "nothing at this address"),
        (b"HTTP/1.0 403 No\r\n\r\n", "does not let us in"),
        (b"HTTP/1.0 500 Oh\r\n\r\n", "answers 500"),
        (b"HTTP/1.0 301 Moved\r\nLocation: https://elsewhere/\r\n\r\n", "only http: addresses"),
        (b"HTTP/1.0 301 Moved\r\nLocation: /live\r\n\r\n", "in circles"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "no HTTP server"),
        (b"", "hangs up"),
        (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "is not sound that can be read"),
    ];
    for (answer, wanted) in answers {
        let (url, _) = server(move |_, _, stream| stream.write_all(answer));
        let error = to_the_end(&Say::Stream(url.clone())).error.expect("an error");
        assert!(error.contains(wanted) && error.contains(&url), "{error}");
    }
    let (url, _) = server(|_, _, stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\n")?;
        (0..10_000).try_for_each(|n| write!(stream, "X-{n}: {n}\r\n"))
    });
    assert!(to_the_end(&Say::Stream(url)).error.expect("an error").contains("header has no end"));
    // Nobody listens at a port that was just let go.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = to_the_end(&Say::Stream(format!("http://{closed}/"))).error.expect("an error");
    assert!(error.contains("cannot be reached"), "{error}");
    for (address, wanted) in [("https://radio.example/", "only http: addresses"), ("http://", "empty host")] {
        let error = address.parse::<Say>().unwrap().check().unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains(address), "{error}");
    }
}

#[test]
fn a_station_that_sends_faster_than_anybody_listens_is_held_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = sent.clone();
    let (url, _) = server(move |_, _, stream| {
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n")?;
        stream.write_all(&treehouse_audio::sink::wav_header(1))?;
        loop {
            stream.write_all(&[1; 9_600])?;
            count.fetch_add(9_600, Ordering::Relaxed);
        }
    });
    let mut source = TimedSource::open(&Say::Stream(url), false, Width::Mono).unwrap().unwrap();
    let (mut pcm, began) = (Block::default(), Instant::now());
    while source.next(&mut pcm).unwrap() != Next::Frame {
        assert!(began.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    // Whoever sends fills the system's own buffers and then stands still.
    let still = (0..400).any(|_| {
        let before = sent.load(Ordering::Relaxed);
        thread::sleep(Duration::from_millis(50));
        sent.load(Ordering::Relaxed) == before
    });
    assert!(still, "{} bytes were taken", sent.load(Ordering::Relaxed));
    assert!(sent.load(Ordering::Relaxed) < 64 << 20);
}

#[test]
fn samples_of_the_program_are_no_list() {
    assert!((20.0..23.0).contains(&seconds(&to_the_end(&Say::Sample(Sample::One)))));
}
