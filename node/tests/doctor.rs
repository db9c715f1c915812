//! `treehouse doctor` on a machine where something is wrong, and where the data folder, the clock and the network are not.

mod support;

use std::{fs, net::UdpSocket, os::unix::fs::PermissionsExt, path::Path};

use support::{Place, program};

/// Runs it with a home in which no sound server is; returns its exit status, its lines, and what it said at the end.
fn doctor(place: &Place, data: &Path, more: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let mut command = program(data);
    command.arg("doctor").args(more).env("HOME", place.path("")).env("XDG_RUNTIME_DIR", place.path(""));
    let output = command.env_remove("PULSE_SERVER").output().expect("it runs");
    let lines = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    (output.status.code(), lines, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn line<'a>(lines: &'a [String], check: &str) -> &'a str {
    let found = lines.iter().find(|line| line.contains(&format!(" {check}: ")));
    found.unwrap_or_else(|| panic!("no {check} in {lines:?}"))
}

#[test]
fn what_is_right_is_ok_and_missing_devices_are_wrong() {
    let place = Place::new();
    let (status, lines, end) = doctor(&place, &place.path("data"), &["--listen", "/ip4/127.0.0.1/udp/0/quic-v1"]);
    for check in ["data folder", "clock", "ports", "UDP", "uplink"] {
        assert!(line(&lines, check).starts_with("ok "), "{lines:?}");
    }
    // A machine with a sound card needs no server.
    if Path::new("/proc/asound").exists() {
        return;
    }
    for check in ["microphone", "speakers"] {
        let wrong = line(&lines, check);
        assert!(wrong.starts_with("WRONG ") && wrong.contains("start a sound server"), "{wrong}");
    }
    assert_eq!((status, lines.len(), end.trim()), (Some(1), 7, "treehouse: 2 things are wrong: see above what to do"));
}

#[test]
fn a_broken_data_folder_is_told_what_to_do() {
    let place = Place::new();
    let (file, open, damaged) = (place.path("file"), place.path("open"), place.path("damaged"));
    fs::write(&file, "").expect("a file");
    for folder in [&open, &damaged] {
        assert!(program(folder).args(["identity", "show"]).output().expect("it runs").status.success());
    }
    fs::set_permissions(open.join("identity"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    fs::write(damaged.join("treehouse.sqlite"), "this is no database, and long enough to be seen as none")
        .expect("a file");
    fs::set_permissions(damaged.join("treehouse.sqlite"), fs::Permissions::from_mode(0o600)).expect("it is ours");
    for (data, advice) in [(file, "set TREEHOUSE_DATA"), (open, "chmod 600"), (damaged, "move it away")] {
        let (status, lines, _) = doctor(&place, &data, &[]);
        let wrong = line(&lines, "data folder");
        assert!(wrong.starts_with("WRONG ") && wrong.contains(advice), "{wrong}");
        assert_eq!((status, lines.len()), (Some(1), 7), "the rest is looked at all the same");
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = Place::new();
    let taken = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let (status, lines, _) =
        doctor(&place, &place.path("data"), &["--json", "--listen", &format!("/ip4/127.0.0.1/udp/{port}/quic-v1")]);
    let rows: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let ports = rows.iter().find(|row| row["check"] == "ports").expect("it is checked");
    let says = ports["says"].as_str().expect("text");
    assert!(ports["ok"] == false && says.contains(&port.to_string()), "{says}");
    assert_eq!((status, rows.len()), (Some(1), 7));
}
