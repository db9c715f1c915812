//! What a user can get wrong on the command line, or find wrong: each ends in one sentence that says what to do and in
//! the documented exit status, never in a panic and never in a wait without end.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tempfile::{TempDir, tempdir};
use treehouse_invite::{Founding, Holder, Invite, Policy, Role, Terms};
use treehouse_tests::program::{Finished, Program, run};
use treehouse_wire::{Address, Contact, List, NodeId, Shipped, Suite, UnixSeconds};

/// Far longer than any of these needs, on a busy machine too.
const LIMIT: Duration = Duration::from_secs(30);
/// How soon a host that does not answer is given up, by promise.
const UNANSWERED_MAX: Duration = Duration::from_secs(10);
/// Whoever issues the invites of these tests.
const FOUNDER_SEED: [u8; 32] = [7; 32];

fn run_here(arguments: &[&str]) -> Finished {
    let folder = tempdir().unwrap();
    run(folder.path(), arguments, LIMIT)
}

fn join(invite: &str) -> Finished {
    run_here(&["join", invite, "--hear", "none", "--for", "1s"])
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// An invite that names `addresses` as `host`'s, by the founder of these tests.
fn invite(not_before: u64, expires: u64, host: NodeId, addresses: &[Address]) -> Invite {
    let signer = Shipped.signer(&FOUNDER_SEED);
    let founder = NodeId(Shipped.public_key(&signer));
    let terms = Terms {
        role: Role::Listener,
        not_before: UnixSeconds(not_before),
        expires: UnixSeconds(expires),
        uses: None,
        depth: 0,
    };
    let contact = Contact { node: host, addresses: List::truncated(addresses.iter().cloned()) };
    let founding = Founding { founder, salt: [1; 16], policy: Policy::Social };
    Invite::issue(&Shipped, &signer, founding, terms, Holder::Bearer { seed: [2; 32] }, [contact]).unwrap()
}

fn founder() -> NodeId {
    NodeId(Shipped.public_key(&Shipped.signer(&FOUNDER_SEED)))
}

/// `/ip4/127.0.0.1/tcp/PORT`, in binary.
fn tcp(port: u16) -> Address {
    let [high, low] = port.to_be_bytes();
    List::truncated([4, 127, 0, 0, 1, 6, high, low])
}

/// The port of what [`tcp`] makes.
fn port_of(address: &Address) -> u16 {
    assert_eq!(address[..6], tcp(0)[..6]);
    u16::from_be_bytes([address[6], address[7]])
}

/// `/ip4/127.0.0.1/udp/PORT/quic-v1`, in binary.
fn quic(port: u16) -> Address {
    let [high, low] = port.to_be_bytes();
    List::truncated([4, 127, 0, 0, 1, 0x91, 2, high, low, 0xcd, 3])
}

/// An invite as a valid one would be that nobody answers to.
fn sound_invite() -> String {
    invite(now() - 60, now() + 3600, founder(), &[tcp(9)]).to_string()
}

#[test]
fn what_is_no_invite_is_wrong_use() {
    for text in ["", "hello", "TREEHOUSE:", "treehouse:abc", "TREEHOUSE:é", "--", "/nowhere/at/all"] {
        let text = if text.is_empty() { " " } else { text };
        let finished = run_here(&["join", "--hear", "none", "--", text]);
        assert!(finished.sentence(2).contains("invite"), "{text}: {finished:?}");
    }
}

#[test]
fn an_invite_that_is_cut_short_is_wrong_use() {
    let whole = sound_invite();
    for kept in [whole.len() - 1, whole.len() - 2, whole.len() - 8, whole.len() / 2, 11] {
        let finished = join(&whole[..kept]);
        assert!(finished.sentence(2).contains("copy the whole text again"), "{kept} kept: {finished:?}");
    }
}

#[test]
fn an_invite_that_is_altered_in_any_one_character_is_wrong_use() {
    let whole = sound_invite();
    let folder = tempdir().unwrap();
    for at in 0..whole.len() {
        // Another character of the alphabet, for some places one that the alphabet does not have.
        let other = match (at % 9, &whole[at..=at]) {
            (0, _) => "!",
            (_, "A") => "B",
            _ => "A",
        };
        let altered = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
        let finished = run(folder.path(), &["invite", "inspect", &altered], LIMIT);
        let sentence = finished.sentence(2);
        assert!(sentence.contains("invite") && finished.out.is_empty(), "character {at}: {finished:?}");
    }
}

#[test]
fn an_invite_of_another_version_names_it() {
    let mut bytes = data_encoding::BASE32_NOPAD.decode(&sound_invite().as_bytes()["TREEHOUSE:".len()..]).unwrap();
    bytes[0] = 9;
    let body = bytes.len() - 4;
    let checksum = <sha2::Sha256 as sha2::Digest>::digest(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum[..4]);
    let finished = join(&format!("TREEHOUSE:{}", data_encoding::BASE32_NOPAD.encode(&bytes)));
    assert!(finished.sentence(2).contains("version 9"), "{finished:?}");
}

#[test]
fn an_invite_whose_signature_is_forged_is_wrong_use() {
    // Signed by another key than the founder's that it names: the checksum fits, the signature does not.
    let text = sound_invite();
    let mut bytes = data_encoding::BASE32_NOPAD.decode(&text.as_bytes()["TREEHOUSE:".len()..]).unwrap();
    bytes[1] ^= 1;
    let body = bytes.len() - 4;
    let checksum = <sha2::Sha256 as sha2::Digest>::digest(&bytes[..body]);
    bytes[body..].copy_from_slice(&checksum[..4]);
    let finished = join(&format!("TREEHOUSE:{}", data_encoding::BASE32_NOPAD.encode(&bytes)));
    assert!(finished.sentence(2).contains("ask for another"), "{finished:?}");
}

#[test]
fn an_invite_outside_its_time_says_when() {
    let expired = join(&invite(now() - 9000, now() - 5400, founder(), &[tcp(9)]).to_string());
    assert!(expired.sentence(1).contains("expired 90 minutes ago"), "{expired:?}");
    let early = join(&invite(now() + 3600, now() + 7200, founder(), &[tcp(9)]).to_string());
    assert!(early.sentence(1).contains("becomes valid"), "{early:?}");
}

#[test]
fn an_invite_that_leads_nowhere_is_wrong_use() {
    let finished = join(&invite(now() - 60, now() + 3600, founder(), &[]).to_string());
    assert!(finished.sentence(2).contains("address"), "{finished:?}");
}

#[test]
fn a_host_that_does_not_answer_is_given_up_with_a_reason_for_each_address() {
    // A port that nobody listens on, one that takes connections and says nothing, and one that swallows packets.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let swallowing = UdpSocket::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ports = [silent.local_addr().unwrap().port(), swallowing.local_addr().unwrap().port(), closed];
    let addresses = [tcp(ports[0]), quic(ports[1]), tcp(ports[2])];
    let invite = invite(now() - 60, now() + 3600, founder(), &addresses).to_string();
    let folder = tempdir().unwrap();

    let finished = run(folder.path(), &["join", &invite, "--hear", "none", "--json"], LIMIT);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.took <= UNANSWERED_MAX, "{finished:?}");
    let failure = finished.event("join_failed").expect("an event");
    let attempts = failure["attempts"].as_array().expect("a list");
    for port in ports {
        let tried = |attempt: &&serde_json::Value| {
            attempt["address"].as_str().is_some_and(|address| address.contains(&format!("/{port}")))
        };
        let attempt = attempts.iter().find(tried).unwrap_or_else(|| panic!("port {port} not in {failure}"));
        assert!(attempt["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{failure}");
    }

    let finished = run(folder.path(), &["join", &invite, "--hear", "none"], LIMIT);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let said = format!("{}{}", finished.out, finished.err);
    assert!(said.contains("does not answer"), "{finished:?}");
    assert!(ports.iter().all(|port| said.contains(&format!("/{port}"))), "each address is named: {finished:?}");
}

/// A host on loopback, and its invite. `port` 0 lets the system choose.
fn host(folder: &Path, name: &str, port: u16) -> (Program, Invite) {
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let arguments = ["host", "--say", "none", "--hear", "none", "--listen", &listen, "--json"];
    let mut host = Program::start(folder, name, &arguments);
    let invite = host.wait_for("invite", LIMIT)["invite"].as_str().unwrap().to_owned();
    (host, Invite::parse(&invite).unwrap())
}

#[test]
fn an_invite_to_another_host_is_not_taken() {
    let folder = tempdir().unwrap();
    let (_host, theirs) = host(folder.path(), "host", 0);
    let there = &theirs.bootstrap()[0];
    // Our founder's invite leads to their address. Whoever answers there is another than the invite names, and neither
    // is it when the invite names them, since our founder's room is not theirs.
    for named in [founder(), there.node] {
        let misled = invite(now() - 60, now() + 3600, named, &there.addresses).to_string();
        let finished = run(folder.path(), &["join", &misled, "--hear", "none", "--json"], LIMIT);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.took <= UNANSWERED_MAX, "{finished:?}");
        assert!(finished.event("admitted").is_none() && finished.event("join_failed").is_some(), "{finished:?}");
    }
}

#[test]
fn an_invite_to_an_earlier_room_of_the_same_host_is_refused() {
    let folder = tempdir().unwrap();
    let (first, invite) = host(folder.path(), "host", 0);
    let port = port_of(&invite.bootstrap()[0].addresses[0]);
    first.interrupt();
    assert_eq!(first.finish(LIMIT).code, Some(0));
    let (_second, _) = host(folder.path(), "host", port);
    let finished = join(&invite.to_string());
    assert!(finished.sentence(1).contains("another room"), "{finished:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let (udp, tcp) = (UdpSocket::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let (udp, tcp) = (udp.local_addr().map(|a| (udp, a.port())), tcp.local_addr().map(|a| (tcp, a.port())));
    let ((_udp, udp_port), (_tcp, tcp_port)) = (udp.unwrap(), tcp.unwrap());
    for address in [format!("/ip4/127.0.0.1/udp/{udp_port}/quic-v1"), format!("/ip4/127.0.0.1/tcp/{tcp_port}")] {
        let finished = run_here(&["host", "--say", "none", "--hear", "none", "--listen", &address, "--for", "1s"]);
        let sentence = finished.sentence(1);
        assert!(sentence.contains(&address) && sentence.contains("in use"), "{finished:?}");
    }
}

#[test]
fn an_address_that_is_none_is_wrong_use() {
    for address in ["127.0.0.1:4001", "/ip4/300.0.0.1/tcp/1", "/ip4/127.0.0.1"] {
        let finished = run_here(&["host", "--say", "none", "--hear", "none", "--listen", address, "--for", "1s"]);
        assert!(matches!(finished.code, Some(1 | 2)), "{address}: {finished:?}");
        assert!(finished.err.contains(address), "{address}: {finished:?}");
    }
}

fn say(file: &Path) -> Finished {
    run_here(&["host", "--say", file.to_str().unwrap(), "--hear", "none", "--for", "1s"])
}

#[test]
fn a_source_that_is_missing_empty_or_no_audio_is_wrong_use() {
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing.wav");
    assert!(say(&missing).sentence(2).contains("no file"));
    let empty = folder.path().join("empty.wav");
    fs::write(&empty, []).unwrap();
    assert!(say(&empty).sentence(2).contains("empty"));
    for (name, bytes) in [
        ("text.wav", b"this is no sound, whatever its name says. ".repeat(100)),
        ("noise.mp3", (0..50_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("header.wav", b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec()),
        ("header.flac", b"fLaC\x00\x00\x00\x22".to_vec()),
        ("header.opus", b"OggS\x00\x02".to_vec()),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        let finished = say(&file);
        assert!(finished.sentence(2).contains(name), "{finished:?}");
    }
    // A folder is a list of its files, and none of these is sound.
    let finished = say(folder.path());
    assert!(finished.sentence(2).contains("nothing of the list"), "{finished:?}");
}

#[test]
fn a_sink_that_cannot_be_written_is_wrong_use() {
    let finished = run_here(&["host", "--say", "none", "--hear", "/nowhere/at/all.wav", "--for", "1s"]);
    assert!(finished.sentence(2).contains("/nowhere/at/all.wav"), "{finished:?}");
    let finished = run_here(&["host", "--say", "none", "--hear", "trumpet", "--for", "1s"]);
    assert!(finished.sentence(2).contains("trumpet"), "{finished:?}");
}

#[test]
fn without_a_sound_device_the_room_opens_and_says_so() {
    let folder: TempDir = tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    // No sound server, and ALSA with a configuration that has no device.
    let settings = folder.path().join("alsa.conf");
    fs::write(&settings, "").unwrap();
    let variables = [
        ("PULSE_SERVER", nowhere.as_os_str()),
        ("XDG_RUNTIME_DIR", nowhere.as_os_str()),
        ("ALSA_CONFIG_PATH", settings.as_os_str()),
    ];
    let host = Program::start_with(folder.path(), "host", &["host", "--for", "2s", "--json"], &variables);
    let finished = host.finish(LIMIT);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.event("invite").is_some(), "{finished:?}");
    let notices: Vec<_> = finished.events().into_iter().filter(|event| event["event"] == "sound").collect();
    let heard =
        |word: &str| notices.iter().any(|event| event["notice"].as_str().is_some_and(|said| said.contains(word)));
    assert!(heard("microphone") && heard("speakers"), "{finished:?}");
}

#[test]
fn wrong_flags_are_wrong_use() {
    for arguments in [
        &["host", "--max-children", "many"][..],
        &["host", "--for", "soon"],
        &["host", "--protection", "some"],
        &["join"],
        &["sing"],
        &[],
    ] {
        let finished = run_here(arguments);
        assert_eq!(finished.code, Some(2), "{arguments:?}: {finished:?}");
        assert!(!finished.err.contains("panicked"), "{finished:?}");
    }
}
