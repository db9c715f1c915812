//! What goes wrong is one sentence on standard error that says what to do, and a status: 2 for wrong use, 1 for the rest.

mod support;

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use support::{Ended, Place, start};
use treehouse_invite::{Founding, Holder, Invite, Policy, Role, Terms};
use treehouse_net::parse_address;
use treehouse_wire::{Contact, List, NodeId, Shipped, Suite, UnixSeconds};

fn run(arguments: &[&str]) -> Ended {
    let place = Place::new();
    start(&place.path("data"), arguments).ended()
}

/// One sentence, from the program, with this status.
fn assert_refused(ended: &Ended, status: i32, word: &str) {
    assert_eq!(ended.status.code(), Some(status), "{}", ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("treehouse: ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    assert!(lines[0].contains(word), "{}", ended.stderr);
}

/// An invite to a host that does not run, at an address where nobody answers.
fn invite(role: Role, expires: u64, address: &str) -> Invite {
    let signer = Shipped.signer(&[1; 32]);
    let founder = NodeId(Shipped.public_key(&signer));
    let terms = Terms { role, not_before: UnixSeconds(0), expires: UnixSeconds(expires), uses: None, depth: 1 };
    let address = parse_address(address).expect("an address");
    let contact = Contact { node: founder, addresses: List::truncated([address]) };
    let holder = Holder::Bearer { seed: [3; 32] };
    let founding = Founding { founder, salt: [2; 16], policy: Policy::Social };
    Invite::issue(&Shipped, &signer, founding, terms, holder, [contact]).expect("terms")
}

#[test]
fn an_invite_that_is_none_is_wrong_use() {
    let whole = invite(Role::Speaker, u64::MAX, "/ip4/127.0.0.1/tcp/9").to_string();
    let cut = &whole[..whole.len() - 10];
    let altered = format!("{}{}{}", &whole[..50], if &whole[50..51] == "A" { "B" } else { "A" }, &whole[51..]);
    for given in ["hello", "TREEHOUSE:", cut, &altered] {
        assert_refused(&run(&["join", given]), 2, "invite");
        assert_refused(&run(&["invite", "inspect", given]), 2, "invite");
    }
}

#[test]
fn an_expired_invite_is_well_formed_and_of_no_use() {
    let old = invite(Role::Speaker, 1_000, "/ip4/127.0.0.1/tcp/9").to_string();
    assert_refused(&run(&["join", &old]), 1, "expired");
    let inspected = run(&["invite", "inspect", &old, "--json"]);
    assert_refused(&inspected, 1, "expired");
    let report: serde_json::Value = serde_json::from_str(&inspected.stdout).expect("JSON");
    assert_eq!(report["role"], "speaker");
}

#[test]
fn a_host_that_does_not_answer_is_given_up_within_ten_seconds_with_a_reason_for_each_address() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let silent = format!("/ip4/127.0.0.1/udp/{}/quic-v1", socket.local_addr().expect("bound").port());
    let began = Instant::now();
    let ended = run(&["join", &invite(Role::Listener, u64::MAX, &silent).to_string(), "--hear", "none"]);
    assert_refused(&ended, 1, &silent);
    assert!(began.elapsed() < Duration::from_secs(11), "{:?}", began.elapsed());
}

#[test]
fn a_port_in_use_is_named() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let taken = format!("/ip4/127.0.0.1/udp/{}/quic-v1", socket.local_addr().expect("bound").port());
    assert_refused(&run(&["host", "--say", "none", "--hear", "none", "--listen", &taken]), 1, "in use");
}

#[test]
fn sources_sinks_and_addresses_are_checked_before_a_room_opens() {
    let place = Place::new();
    let (missing, noise) = (place.text("missing.wav"), place.text("noise.wav"));
    std::fs::write(&noise, "no sound").expect("a file");
    let nowhere = place.text("no/where.wav");
    assert_refused(&run(&["host", "--say", &missing]), 2, "no file");
    assert_refused(&run(&["host", "--say", &noise]), 2, "noise.wav");
    assert_refused(&run(&["host", "--say", "none", "--hear", "trumpet"]), 2, "trumpet");
    assert_refused(&run(&["host", "--say", "none", "--hear", &nowhere]), 2, "where.wav");
    assert_refused(&run(&["host", "--listen", "127.0.0.1:4001"]), 2, "multiaddress");
    assert_refused(&run(&["host", "--title", ""]), 2, "title");
}

#[test]
fn an_identity_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let shown = start(&place.path("data"), &["identity", "show"]).ended();
    assert!(shown.status.success() && shown.stdout.starts_with("12D3KooW"), "{}", shown.stdout);
    let file = place.path("data").join("identity");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    assert_refused(&start(&place.path("data"), &["identity", "show"]).ended(), 1, "chmod 600");
}
