//! Invites by real processes: made with and without a running host, narrowed, revoked, listed; and a count that outlives the host.

mod support;

use std::{path::Path, thread, time::Duration};

use rustix::process::Signal;
use serde_json::Value;
use support::{Ended, Place, Running, host, program, start};

/// Runs a command to its end.
fn run(data: &Path, arguments: &[&str]) -> Ended {
    start(data, arguments).ended()
}

/// What a command that succeeds prints.
fn printed(data: &Path, arguments: &[&str]) -> String {
    let ended = run(data, arguments);
    assert!(ended.status.success(), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// The one sentence of a command that fails with this status.
fn sentence(data: &Path, arguments: &[&str], status: i32) -> String {
    let ended = run(data, arguments);
    assert_eq!(ended.status.code(), Some(status), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with("treehouse: ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.stderr);
    lines[0].to_owned()
}

fn list(data: &Path) -> Vec<Value> {
    let lines = printed(data, &["invite", "list", "--json"]);
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Somebody tries to come in: the events that were told.
fn join(data: &Path, invite: &str) -> (Vec<Value>, String) {
    let ended = run(data, &["join", invite, "--hear", "none", "--json", "--for", "1s"]);
    (ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), ended.stderr)
}

fn came_in(events: &[Value]) -> bool {
    events.iter().any(|event| event["event"] == "admitted")
}

fn quiet_host(place: &Place, more: &[&str]) -> (Running, String) {
    host(place, "none", &[&["--hear", "none", "--json"], more].concat())
}

fn stop(host: Running) {
    host.signal(Signal::INT);
    assert!(host.ended().status.success());
}

#[test]
fn a_closed_room_says_so_and_admits_whom_its_invites_name_or_count() {
    let place = Place::new();
    let (mut running, invite) = quiet_host(&place, &["--policy", "closed", "--title", "Tea"]);
    let host = place.path("host");
    assert_eq!(running.event("admitted", |_| true)["policy"], "closed");
    let (events, _) = join(&place.path("ann"), &invite);
    let admitted = events.iter().find(|event| event["event"] == "admitted").expect("the printed invite lets one in");
    assert_eq!((&admitted["policy"], &admitted["title"]), (&Value::from("closed"), &Value::from("Tea")));
    let (_, told) = join(&place.path("bob"), &invite);
    assert!(told.contains("used as often as it allows"), "{told}");

    assert!(sentence(&host, &["invite", "new"], 2).contains("--to"), "neither bound nor counted");
    let bob = printed(&place.path("bob"), &["identity", "show"]);
    let bob = bob.lines().next().expect("a peer id");
    let bound = printed(&host, &["invite", "new", "--to", bob, "--role", "speaker"]);
    assert!(came_in(&join(&place.path("bob"), bound.trim()).0));
    let (_, told) = join(&place.path("eve"), bound.trim());
    assert!(told.contains("does not accept this invite") || told.contains("another person's key"), "{told}");
    stop(running);
}

#[test]
fn an_invite_is_revoked_while_the_host_runs_with_all_behind_it() {
    let place = Place::new();
    let (running, _) = quiet_host(&place, &["--title", "Tea"]);
    let host = place.path("host");
    let made: Value =
        serde_json::from_str(&printed(&host, &["invite", "new", "--depth", "2", "--json"])).expect("JSON");
    let (invite, id) = (made["invite"].as_str().expect("text"), made["id"].as_str().expect("an id"));
    let narrower = printed(&place.path("ann"), &["invite", "narrow", invite, "--uses", "3"]);
    assert!(came_in(&join(&place.path("ann"), narrower.trim()).0));
    let revoked = printed(&host, &["invite", "revoke", &id[..8]]);
    assert!(revoked.contains("from now on"), "{revoked}");
    for text in [invite, narrower.trim()] {
        let (events, told) = join(&place.path("bob"), text);
        assert!(!came_in(&events) && told.contains("has taken this invite back"), "{told}");
    }
    let row = list(&host).into_iter().find(|row| row["id"] == id).expect("it is listed");
    assert_eq!(row["revoked"], true);
    stop(running);
}

#[test]
fn invites_are_made_and_revoked_without_a_host_and_hold_when_it_opens_the_room_again() {
    let place = Place::new();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
    let data = place.path("host");
    let open = |more: &[&str]| {
        let arguments = ["host", "--say", "none", "--hear", "none", "--json", "--listen", &address];
        let mut host = start(&data, &[&arguments, more].concat());
        let invite = host.event("invite", |_| true)["invite"].as_str().expect("text").to_owned();
        (host, invite)
    };
    assert!(sentence(&data, &["invite", "new"], 2).contains("treehouse host"), "there is no room yet");
    let (host, printed_first) = open(&["--title", "Tea"]);
    let counted = printed(&data, &["invite", "new", "--uses", "2", "--label", "the neighbours"]);
    let counted = counted.trim();
    assert!(came_in(&join(&place.path("ann"), counted).0));
    stop(host);

    let offline = printed(&data, &["invite", "new", "--room", "Tea", "--label", "whoever likes"]);
    let taken_back = printed(&data, &["invite", "new"]);
    let revoked = printed(&data, &["invite", "revoke", taken_back.trim()]);
    assert!(revoked.contains("when it is open again"), "{revoked}");

    let (host, printed_again) = open(&["--room", "Tea"]);
    assert_eq!(printed_again, printed_first);
    assert!(came_in(&join(&place.path("ann"), counted).0), "she takes no further use");
    assert!(came_in(&join(&place.path("bob"), counted).0));
    assert!(join(&place.path("carl"), counted).1.contains("used as often as it allows"));
    assert!(came_in(&join(&place.path("carl"), offline.trim()).0));
    assert!(join(&place.path("dora"), taken_back.trim()).1.contains("has taken this invite back"));
    let row = list(&data).into_iter().find(|row| row["label"] == "the neighbours").expect("it is listed");
    assert_eq!((&row["uses_left"], row["used_by"].as_array().map(Vec::len)), (&Value::from(0), Some(2)));
    let row = list(&data).into_iter().find(|row| row["label"] == "whoever likes").expect("it is listed");
    assert_eq!(
        (&row["uses_left"], row["used_by"].as_array().map(Vec::len)),
        (&Value::Null, Some(1)),
        "carl came by it"
    );
    let shown = printed(&data, &["invite", "list"]);
    assert!(shown.contains("0 of 2 uses left") && shown.contains("used by"), "{shown}");
    stop(host);
}

/// No crash of the host, at whatever instant, loses a use or lets more in than the invite allows.
#[test]
fn killing_the_host_at_any_time_loses_no_use_and_admits_nobody_beyond_the_count() {
    const USES: usize = 6;
    let place = Place::new();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
    let data = place.path("host");
    let arguments = ["host", "--say", "none", "--hear", "none", "--json", "--listen", &address];
    let mut host = start(&data, &[&arguments[..], &["--title", "Tea"]].concat());
    host.event("invite", |_| true);
    let counted = printed(&data, &["invite", "new", "--uses", &USES.to_string(), "--label", "counted"]);
    let mut inside = Vec::new();
    for round in 0..14_u64 {
        let who = place.path(&format!("guest {round}"));
        let peer = printed(&who, &["identity", "show"]).lines().next().expect("a peer id").to_owned();
        let joiner = start(&who, &["join", counted.trim(), "--hear", "none", "--json", "--for", "3s"]);
        // The whole of a join is some hundred milliseconds; each round dies at another instant of it.
        thread::sleep(Duration::from_millis(20 + round * 37 % 350));
        host.signal(Signal::KILL);
        drop(host);
        let ended = joiner.ended();
        if ended.stdout.lines().any(|line| line.contains(r#""event":"admitted""#)) {
            inside.push(peer);
        }
        host = start(&data, &[&arguments[..], &["--room", "Tea"]].concat());
        host.event("admitted", |_| true);
    }
    let used_by = |data: &Path| {
        let row = list(data).into_iter().find(|row| row["label"] == "counted").expect("it is listed");
        let used = row["used_by"].as_array().expect("users").clone();
        used.iter().map(|by| by["peer"].as_str().expect("a peer").to_owned()).collect::<Vec<_>>()
    };
    let used = used_by(&data);
    assert!(inside.iter().all(|peer| used.contains(peer)), "whoever was let in is counted: {inside:?}, {used:?}");
    assert!(used.len() <= USES, "{used:?}");
    // What is left is left: exactly as many more come in, and then nobody.
    for extra in 0..=USES {
        let (events, told) = join(&place.path(&format!("late {extra}")), counted.trim());
        let allowed = extra < USES - used.len();
        assert_eq!(came_in(&events), allowed, "late guest {extra} after {} uses: {told}", used.len());
    }
    assert_eq!(used_by(&data).len(), USES);
}

#[test]
fn what_is_wrong_with_an_invite_command_is_one_sentence() {
    let place = Place::new();
    let (running, social) = quiet_host(&place, &["--title", "Tea"]);
    let data = place.path("host");
    for (arguments, word) in [
        (&["invite", "new", "--room", "Nothing"][..], "no room 'Nothing'"),
        (&["invite", "new", "--qr-file", "invite.gif"], ".png or .svg"),
        (&["invite", "new", "--qr-file", "/no/such/folder/invite.png"], "name another file"),
        (&["invite", "narrow", "TREEHOUSE:ABC"], "invite"),
        (&["invite", "narrow", &social, "--role", "moderator"], "--role speaker at most"),
        (&["invite", "narrow", &social, "--depth", "2"], "--depth 1 at most"),
        (&["invite", "revoke", "12345678"], "invite list"),
        (&["invite", "list", "--room", "Nothing"], "no room 'Nothing'"),
        (&["host", "--say", "none", "--hear", "none", "--room", "Nothing"], "no room 'Nothing'"),
    ] {
        let told = sentence(&data, arguments, 2);
        assert!(told.contains(word), "{arguments:?}: {told}");
    }
    assert!(sentence(&place.path("ann"), &["invite", "revoke", &social], 2).contains("no room of yours"));
    let again = ["host", "--say", "none", "--hear", "none", "--room", "Tea", "--listen", "/ip4/127.0.0.1/tcp/0"];
    assert!(sentence(&data, &again, 1).contains("stop it"), "it is open already");
    stop(running);
    // The last to close the store works its log into the file.
    printed(&data, &["invite", "list"]);
    std::fs::write(data.join("treehouse.sqlite"), "no database".repeat(1000)).expect("a file");
    for arguments in [&["invite", "list"][..], &["host", "--say", "none", "--hear", "none"]] {
        assert!(sentence(&data, arguments, 1).contains("is damaged"), "{arguments:?}");
    }
}

#[test]
fn a_qr_code_is_shown_and_written() {
    let place = Place::new();
    let (running, _) = quiet_host(&place, &[]);
    let data = place.path("host");
    for name in ["invite.png", "invite.svg"] {
        let file = place.text(name);
        let shown = printed(&data, &["invite", "new", "--qr", "--qr-file", &file]);
        assert!(shown.starts_with("TREEHOUSE:") && shown.contains('▀'), "{shown}");
        assert!(std::fs::metadata(&file).is_ok_and(|meta| meta.len() > 500), "{name}");
    }
    // Whoever reads the text by a program gets it alone.
    let text = printed(&data, &["invite", "new"]);
    let inspected = program(&place.path("ann")).args(["invite", "inspect", text.trim()]).output();
    let inspected = inspected.expect("the program runs");
    let said = String::from_utf8_lossy(&inspected.stdout);
    assert!(inspected.status.success() && said.contains("invited whoever has the text as listener"), "{said}");
    stop(running);
}
