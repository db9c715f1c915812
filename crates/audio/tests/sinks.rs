//! What a listener writes, read back: by this crate's own readers, packet by packet, and cut off anywhere.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Cursor, Write},
    path::Path,
    sync::mpsc::sync_channel,
    thread,
    time::Duration,
};

use ogg::{Packet, PacketReader};
use treehouse_audio::{
    FRAME, Format, Sample,
    encode::VoiceEncoder,
    mix::Block,
    ogg_opus::{Chapter, OggOpusError, OggOpusWriter, SILENCE, TAGS_BYTES, Track, headers},
    sink::{
        OpusSink, RawSink, Samples, SoundFile,
        recorder::{Ended, QUEUE_BLOCKS, Recorder},
    },
    source::{FileSource, Width},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// So many blocks of a sample, its first half second left out; on the right at half the level.
fn speech(blocks: usize) -> Vec<Block> {
    let mut source = FileSource::sample(Sample::One).unwrap();
    let mut pcm = [0.0; FRAME];
    let mut all = Vec::new();
    for n in 0..blocks + 25 {
        assert!(source.next_frame(&mut pcm).unwrap());
        if n >= 25 {
            all.push(Block { left: pcm, right: pcm.map(|s| s / 2.0) });
        }
    }
    all
}

fn left_of(blocks: &[Block]) -> Vec<f32> {
    blocks.iter().flat_map(|block| block.left).collect()
}

fn read(path: &Path) -> Vec<f32> {
    read_all(FileSource::open(path).unwrap())
}

fn read_all(mut source: FileSource) -> Vec<f32> {
    let (mut pcm, mut all) = ([0.0; FRAME], Vec::new());
    while source.next_frame(&mut pcm).unwrap() {
        all.extend(pcm);
    }
    all
}

fn likeness(a: &[f32], b: &[f32]) -> f32 {
    let dot: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
    let energy = |x: &[f32]| x.iter().map(|x| x * x).sum::<f32>();
    dot / (energy(a) * energy(b)).sqrt()
}

fn packets(bytes: &[u8]) -> Vec<Packet> {
    let mut reader = PacketReader::new(Cursor::new(bytes.to_vec()));
    std::iter::from_fn(|| reader.read_packet().ok().flatten()).collect()
}

fn opus_bytes(blocks: &[Block], channels: u16) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("room.opus");
    let mut sink = Box::new(OpusSink::new(fs::File::create(&path).unwrap(), channels).unwrap().unwrap());
    blocks.iter().for_each(|block| sink.write(block).unwrap());
    sink.finish().unwrap();
    fs::read(&path).unwrap()
}

fn encoded(frames: usize) -> Vec<bytes::Bytes> {
    let mut encoder = VoiceEncoder::new().unwrap();
    speech(frames).iter().map(|block| encoder.encode(&block.left).unwrap().1.unwrap()).collect()
}

#[test]
fn every_format_reads_back_as_what_was_written_sample_by_sample_or_alike() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = speech(100);
    for (name, format) in [("a.wav", Format::Wav), ("a.opus", Format::OggOpus)] {
        for channels in [1, 2] {
            let path = dir.path().join(format!("{channels}{name}"));
            let mut recorder = Recorder::create(&path, format, channels).unwrap();
            blocks.iter().for_each(|block| recorder.write(block));
            recorder.finish().unwrap();
            let heard = read(&path);
            assert_eq!(heard.len(), 100 * FRAME, "{name}, {channels} channels");
            // Nothing is later or earlier than it was, since the reader drops the pre-skip; libopus is three samples off by itself.
            let said = left_of(&blocks);
            let at = |lag: usize| likeness(&said[480..90_000], &heard[480 + lag - 24..][..90_000 - 480]);
            let best = (0..=48).max_by(|a, b| at(*a).total_cmp(&at(*b))).unwrap();
            assert!(best.abs_diff(24) <= 3 && at(best) > 0.95, "{name}, {channels} channels: {} at {best}", at(best));
        }
    }
}

#[test]
fn bare_samples_are_little_endian_and_the_left_channel_is_first() {
    let mut block = Block::default();
    (block.left[0], block.right[0]) = (0.5, -1.5);
    for (samples, channels, wanted) in [
        (Samples::S16le, 1, 16_384_i16.to_le_bytes().to_vec()),
        (Samples::S16le, 2, [16_384_i16, -32_768].map(i16::to_le_bytes).concat()),
        (Samples::F32le, 2, [0.5_f32, -1.5].map(f32::to_le_bytes).concat()),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("raw");
        let mut sink = Box::new(RawSink::new(fs::File::create(&path).unwrap(), samples, channels));
        sink.write(&block).unwrap();
        sink.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        let bytes_per_sample = if samples == Samples::S16le { 2 } else { 4 };
        assert_eq!(bytes.len(), FRAME * usize::from(channels) * bytes_per_sample);
        assert_eq!(bytes[..wanted.len()], wanted);
    }
}

#[test]
fn a_wav_stream_without_a_length_is_read_to_its_end_wherever_that_is() {
    let mut bytes = Vec::new();
    let mut sink = Box::new(RawSink::wav(&mut bytes, 1).unwrap());
    speech(50).iter().for_each(|block| sink.write(block).unwrap());
    sink.finish().unwrap();
    assert_eq!(bytes.len(), 44 + 2 * 50 * FRAME);
    for len in [bytes.len(), bytes.len() - 1, 44 + 3 * FRAME, 44 + 10 * FRAME + 7] {
        let cut = Cursor::new(bytes[..len].to_vec());
        let heard = read_all(FileSource::stream(Path::new("pipe"), Path::new(""), cut, Width::Mono).unwrap());
        assert_eq!(heard.len(), ((len - 44) / 2).next_multiple_of(FRAME), "{len} bytes");
    }
}

#[test]
fn ogg_opus_has_the_headers_and_granule_positions_of_rfc_7845() {
    let blocks = speech(120);
    let bytes = opus_bytes(&blocks, 1);
    let packets = packets(&bytes);
    // 120 frames, and one that brings out what the encoder looked ahead at.
    assert_eq!(packets.len(), 2 + 121);
    let head = &packets[0];
    assert!(head.first_in_stream() && head.last_in_page() && head.absgp_page() == 0);
    assert_eq!(head.data[..8], *b"OpusHead");
    assert_eq!((head.data[8], head.data[9], head.data[18], head.data.len()), (1, 1, 0, 19));
    let pre_skip = u64::from(u16::from_le_bytes([head.data[10], head.data[11]]));
    assert_eq!(pre_skip, 312);
    assert!(packets[1].data.starts_with(b"OpusTags") && packets[1].last_in_page() && packets[1].absgp_page() == 0);
    let mut samples = 0;
    for packet in &packets[2..packets.len() - 1] {
        samples += FRAME as u64;
        if packet.last_in_page() {
            assert_eq!(packet.absgp_page(), samples);
        }
    }
    let last = packets.last().unwrap();
    assert!(last.last_in_stream());
    assert_eq!(last.absgp_page(), 120 * FRAME as u64 + pre_skip);
}

#[test]
fn an_ogg_opus_file_that_was_cut_at_any_byte_plays_up_to_the_last_page_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = opus_bytes(&speech(100), 1);
    // Where pages end, and how many samples have come by then.
    let starts: Vec<usize> = bytes.windows(4).enumerate().filter(|(_, w)| *w == b"OggS").map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([bytes.len()]).collect();
    let audio_pages = packets(&bytes).into_iter().skip(2).filter(|p| p.last_in_page()).map(|p| p.absgp_page() - 312);
    let heard_by: BTreeMap<usize, u64> = ends.iter().skip(2).copied().zip(audio_pages).collect();
    assert_eq!(heard_by.len(), ends.len() - 2);
    let largest_page = heard_by.values().zip(heard_by.values().skip(1)).map(|(a, b)| b - a).max().unwrap();
    assert!(largest_page <= 48_000, "a page holds {largest_page} samples");
    let tags_end = ends[1];
    let near_pages = ends.iter().flat_map(|end| [end - 1, *end, end + 1]);
    let cuts = (0..bytes.len()).step_by(41).chain(near_pages).filter(|cut| *cut <= bytes.len());
    for cut in cuts {
        let path = dir.path().join("cut.opus");
        fs::write(&path, &bytes[..cut]).unwrap();
        let played = heard_by.range(..=cut).next_back().map_or(0, |(_, samples)| *samples);
        match FileSource::open(&path) {
            Ok(source) => {
                let heard = read_all(source).len() as u64;
                assert!(heard >= played && heard - played < FRAME as u64, "cut at {cut}: {heard} of {played}");
            }
            Err(error) => assert!(cut < tags_end || played == 0, "cut at {cut}: {error}"),
        }
    }
}

#[test]
fn packets_are_written_as_they_are_for_every_track_beside_the_others() {
    let said = encoded(130);
    let tracks = [Track::new(7, 1, 312), Track::new(8, 1, 0)];
    let mut file = OggOpusWriter::new(Vec::new(), &tracks, 300).unwrap();
    let mut pages = 0;
    for packet in &said {
        pages += usize::from(file.write(0, packet).unwrap());
        pages += usize::from(file.write(1, &SILENCE).unwrap());
    }
    assert_eq!((file.samples(0), file.samples(1)), (130 * 960 - 312, 130 * 960));
    assert_eq!(pages, 2 * 2, "a page a second of each track, but for the last");
    let all = packets(&file.finish().unwrap());
    assert!(all[..2].iter().all(|p| p.first_in_stream()) && all[2..].iter().all(|p| !p.first_in_stream()));
    for (serial, wanted) in [(7, said.iter().map(|p| p.to_vec()).collect::<Vec<_>>()), (8, vec![SILENCE.to_vec(); 130])]
    {
        let track: Vec<&Packet> = all.iter().filter(|p| p.stream_serial() == serial).collect();
        let written: Vec<Vec<u8>> = track[2..].iter().map(|p| p.data.clone()).collect();
        assert_eq!(written, wanted);
        assert!(track.last().unwrap().last_in_stream() && track.last().unwrap().absgp_page() == 130 * 960);
    }
    // Pages of both follow each other in time.
    let mut newest = 0;
    for packet in all.iter().filter(|p| p.last_in_page()) {
        assert!(packet.absgp_page() + 48_000 >= newest);
        newest = newest.max(packet.absgp_page());
    }
}

#[test]
fn the_silent_packet_is_silence_also_after_a_voice() {
    let mut decoder = treehouse_audio::decode::VoiceDecoder::new().unwrap();
    let mut pcm = [0.0; FRAME];
    for packet in encoded(60) {
        decoder.decode(&packet, &mut pcm);
    }
    for _ in 0..5 {
        assert_eq!(decoder.decode(&SILENCE, &mut pcm), treehouse_audio::Outcome::Decoded);
    }
    assert!(pcm.iter().all(|s| s.abs() < 1e-4));
}

#[test]
fn comments_and_chapters_can_be_written_over_earlier_ones() {
    let mut track = Track::new(1, 1, 312);
    track.comments.push(("TITLE".into(), "Tea at five".into()));
    let mut file = OggOpusWriter::new(Vec::new(), std::slice::from_ref(&track), TAGS_BYTES).unwrap();
    encoded(60).iter().for_each(|packet| assert!(file.write(0, packet).is_ok()));
    let mut bytes = file.finish().unwrap();
    let before = packets(&bytes);
    track.chapters = vec![
        Chapter { start: Duration::ZERO, title: "Ann speaks".into() },
        Chapter { start: Duration::from_millis(3_723_004), title: "Bob = too".into() },
    ];
    let rewritten = headers(&[track], TAGS_BYTES).unwrap();
    bytes[..rewritten.len()].copy_from_slice(&rewritten);
    let after = packets(&bytes);
    let tags = String::from_utf8_lossy(&after[1].data).into_owned();
    for wanted in [
        "TITLE=Tea at five",
        "CHAPTER001=00:00:00.000",
        "CHAPTER001NAME=Ann speaks",
        "CHAPTER002=01:02:03.004",
        "CHAPTER002NAME=Bob = too",
    ] {
        assert!(tags.contains(wanted), "{wanted}");
    }
    assert_eq!(after[1].data.len(), TAGS_BYTES);
    let data = |packets: &[Packet]| packets[2..].iter().map(|p| p.data.clone()).collect::<Vec<_>>();
    assert_eq!(data(&after), data(&before));
}

#[test]
fn tracks_comments_and_packets_that_cannot_be_written_are_refused() {
    let new = |tracks: &[Track], bytes| OggOpusWriter::new(Vec::new(), tracks, bytes).map(|_| ()).unwrap_err();
    let good = Track::new(1, 1, 0);
    for tracks in
        [vec![], vec![good.clone(); 2], vec![Track::new(1, 3, 0)], (0..65).map(|n| Track::new(n, 1, 0)).collect()]
    {
        assert!(matches!(new(&tracks, 300), OggOpusError::Tracks), "{tracks:?}");
    }
    let mut named = good.clone();
    named.comments.push(("A=B".into(), String::new()));
    assert!(matches!(new(&[named], 300), OggOpusError::CommentName(_)));
    let mut long = good.clone();
    long.comments.push(("TITLE".into(), "x".repeat(300)));
    assert!(matches!(new(&[long], 300), OggOpusError::TagsTooLong { bytes_max: 300, .. }));
    let mut file = OggOpusWriter::new(Vec::new(), &[good], 300).unwrap();
    for (track, packet) in [(0, &[][..]), (1, &SILENCE), (0, &[0xff; 2]), (0, &[0xf8; 5_000])] {
        assert!(matches!(file.write(track, packet), Err(OggOpusError::Packet)), "{track}, {} bytes", packet.len());
    }
}

/// A reader that goes away after so many bytes.
struct Leaves(usize);

impl Write for Leaves {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_goes_away_is_an_end_and_no_error() {
    for channels in [1, 2] {
        let sinks: [Box<dyn SoundFile>; 2] = [
            Box::new(RawSink::wav(Leaves(10_000), channels).unwrap()),
            Box::new(OpusSink::new(Leaves(10_000), channels).unwrap().unwrap()),
        ];
        for sink in sinks {
            let mut recorder = Recorder::start(sink, "a pipe".into()).unwrap();
            let ended = (0..4_000).find_map(|_| {
                recorder.write(&Block::default());
                thread::sleep(Duration::from_millis(1));
                recorder.poll()
            });
            assert!(matches!(ended, Some(Ended::Closed)), "{ended:?}");
            assert!(recorder.poll().is_none(), "told once");
            recorder.finish().unwrap();
        }
    }
}

#[test]
fn a_disk_that_fails_is_an_error_that_names_the_file() {
    struct Full;
    impl SoundFile for Full {
        fn write(&mut self, _: &Block) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn finish(self: Box<Self>) -> io::Result<()> {
            Ok(())
        }
    }
    let mut recorder = Recorder::start(Box::new(Full), "room.wav".into()).unwrap();
    recorder.write(&Block::default());
    let error = recorder.finish().unwrap_err().to_string();
    assert!(error.starts_with("cannot write room.wav"), "{error}");
}

#[test]
fn a_slow_reader_costs_sound_and_never_time_and_what_comes_later_keeps_its_place() {
    struct Stuck(std::sync::mpsc::Receiver<()>, std::sync::mpsc::SyncSender<Block>);
    impl SoundFile for Stuck {
        fn write(&mut self, block: &Block) -> io::Result<()> {
            let _ = self.0.recv();
            let _ = self.1.send(block.clone());
            Ok(())
        }
        fn finish(self: Box<Self>) -> io::Result<()> {
            Ok(())
        }
    }
    let (let_go, stuck) = sync_channel(0);
    let (put, written) = sync_channel(10_000);
    let mut recorder = Recorder::start(Box::new(Stuck(stuck, put)), "a pipe".into()).unwrap();
    let loud = Block { left: [0.5; FRAME], right: [0.5; FRAME] };
    let all = QUEUE_BLOCKS + 100;
    (0..all).for_each(|_| recorder.write(&loud));
    let dropped = recorder.dropped();
    assert!((99..=100).contains(&dropped), "{dropped}");
    drop(let_go);
    // Room again: what was dropped is made up for before what comes now.
    let blocks: Vec<Block> = (0..QUEUE_BLOCKS).map(|_| written.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(blocks.iter().all(|block| *block == loud));
    thread::sleep(Duration::from_millis(50));
    recorder.write(&loud);
    recorder.finish().unwrap();
    let rest: Vec<Block> = written.try_iter().collect();
    assert_eq!(blocks.len() + rest.len(), all + 1);
    assert_eq!(rest.iter().filter(|block| **block == Block::default()).count() as u64, dropped);
    assert_eq!(rest.last(), Some(&loud));
}
