//! `treehouse doctor`: what rooms need on this machine, looked at one by one. Each line is ok or says what to do.
//!
//! Nothing here asks anybody else: what only others can see, such as whether this machine can be reached from outside, is not judged.

use std::{
    env, fs,
    io::{self, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::statvfs;
use serde::Serialize;
use treehouse_audio::{
    Direction,
    device::{check_microphone, check_speakers, list, sound_system},
};
use treehouse_net::{NetConfig, address_text, parse_address};

use crate::{
    boost::FEED_BPS,
    cli::DoctorArgs,
    devices,
    failure::Failure,
    identity::{Identity, data_folder, random_seed},
    peer::peer_id,
    store::Store,
};

/// Less room than this on the disk is soon none: an hour of a recording in WAV.
const FREE_BYTES_MIN: u64 = 350_000_000;
/// Clocks of one network differ by less; invites and certificates bear two minutes.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(120);
/// What an uplink is taken for unless one knows better.
const UPLINK_BPS: u64 = 5_000_000;
/// Feeds that a node gives unless told otherwise.
const FEEDS: u64 = 8;
/// How long a datagram to oneself may take.
const UDP_MAX: Duration = Duration::from_secs(1);
/// How long a device is tried once sound flows.
const DEVICE_TRY: Duration = Duration::from_secs(1);
/// Documentation's own network (RFC 5737): a route to it is a route to everywhere. Nothing is sent there.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
/// The same of IPv6 (RFC 3849).
const ELSEWHERE_V6: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)), 9);

/// What came of one check: what was seen, or what is wrong and what to do.
type Seen = Result<String, String>;

/// One check, as a line of JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    check: &'static str,
    ok: bool,
    says: &'a str,
}

/// `treehouse doctor`.
///
/// # Errors
/// [`Failure::Failed`] where anything is wrong; what it is has been printed.
pub async fn run(args: &DoctorArgs) -> Result<(), Failure> {
    // Each is told when it is known: some take seconds.
    let wrong = [
        tell(args, "data folder", folder()),
        tell(args, "clock", clock()),
        tell(args, "ports", ports(&args.listen).await),
        tell(args, "UDP", udp()),
        tell(args, "uplink", uplink()),
        tell(args, "microphone", microphone()),
        tell(args, "speakers", speakers()),
    ];
    match wrong.into_iter().filter(|wrong| *wrong).count() {
        0 => Ok(()),
        1 => Err(Failure::Failed("one thing is wrong: see above what to do".to_owned())),
        wrong => Err(Failure::Failed(format!("{wrong} things are wrong: see above what to do"))),
    }
}

/// Prints one check; whether anything is wrong.
fn tell(args: &DoctorArgs, check: &'static str, seen: Seen) -> bool {
    let (ok, says) = match &seen {
        Ok(says) => (true, says),
        Err(says) => (false, says),
    };
    if args.json {
        say!("{}", serde_json::to_string(&Row { check, ok, says }).unwrap_or_default());
    } else {
        say!("{} {check}: {says}", if ok { "ok   " } else { "WRONG" });
    }
    !ok
}

fn wrong(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The identity and the store can be made, read and written, and the disk has room.
fn folder() -> Seen {
    let folder = data_folder().map_err(wrong)?;
    let identity = Identity::load(&folder).map_err(wrong)?;
    let rooms = Store::open(&folder).and_then(|mut store| store.rooms()).map_err(wrong)?;
    let disk = statvfs(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < FREE_BYTES_MIN {
        return Err(format!(
            "only {} MB are free beside {}: make room on that disk",
            free / 1_000_000,
            folder.display()
        ));
    }
    let me = peer_id(&identity.node());
    Ok(format!("{}, rooms kept: {}, you are {me}, {} GB free", folder.display(), rooms.len(), free / 1_000_000_000))
}

/// The clock is not behind what has happened already. Whether it is right only another clock can say.
fn clock() -> Seen {
    let now = SystemTime::now();
    let newest = [env::current_exe().ok(), data_folder().ok().map(|folder| folder.join("identity"))]
        .into_iter()
        .flatten()
        .filter_map(|path| modified(&path))
        .max();
    judge_clock(now, newest)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn judge_clock(now: SystemTime, newest: Option<SystemTime>) -> Seen {
    let set = "set it, or let the system set it by the network: with a wrong clock invites are refused";
    let Ok(since) = now.duration_since(UNIX_EPOCH) else { return Err(format!("it is before 1970: {set}")) };
    if let Some(ahead) = newest.and_then(|newest| newest.duration_since(now).ok())
        && ahead > CLOCK_AHEAD_MAX
    {
        return Err(format!("it is {} s behind files that are here already: {set}", ahead.as_secs()));
    }
    let of_day = since.as_secs() % 86_400;
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    Ok(format!("{hour:02}:{minute:02}:{second:02} UTC; others' clocks may differ by two minutes from it"))
}

/// The node's own network can be opened where it is to listen.
async fn ports(listen: &[String]) -> Seen {
    let mut addresses = Vec::new();
    for text in listen {
        addresses.push(parse_address(text).map_err(wrong)?);
    }
    let config = match addresses.as_slice() {
        [] => NetConfig::default(),
        wanted => NetConfig::listening_on(wanted).map_err(wrong)?,
    };
    let seed = random_seed().map_err(wrong)?;
    let endpoint = treehouse_net::start(&seed, &config).await.map_err(wrong)?;
    let open: Vec<String> = endpoint.addresses().iter().map(address_text).collect();
    match open.as_slice() {
        [] => Err("no address can be told to others: connect this machine to a network".to_owned()),
        some => Ok(format!("open at {}", some.join(" "))),
    }
}

/// Datagrams pass this machine's own filter, and there is a way out.
fn udp() -> Seen {
    let here = match outward(ELSEWHERE).or_else(|error| outward(ELSEWHERE_V6).map_err(|_| error)) {
        Ok(here) => here,
        Err(error) if no_route(&error) => {
            loop_back(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
            return Ok(
                "passes within this machine; there is no way to the internet, so that rooms stay on this network"
                    .to_owned(),
            );
        }
        Err(error) => {
            return Err(format!(
                "the system refuses UDP ({error}): allow it in the firewall, or listen on TCP alone: --listen /ip4/0.0.0.0/tcp/0"
            ));
        }
    };
    loop_back(here)?;
    Ok(format!("passes on {here}, by which this machine reaches others"))
}

fn no_route(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::NetworkDown)
}

/// The address by which the system would reach the internet; nothing is sent.
fn outward(elsewhere: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(elsewhere)?;
    Ok(socket.local_addr()?.ip())
}

fn loop_back(here: IpAddr) -> Result<(), String> {
    let exchange = || -> io::Result<bool> {
        let (from, to) = (UdpSocket::bind((here, 0))?, UdpSocket::bind((here, 0))?);
        to.set_read_timeout(Some(UDP_MAX))?;
        from.send_to(b"treehouse", to.local_addr()?)?;
        let mut datagram = [0; 16];
        let (len, sender) = to.recv_from(&mut datagram)?;
        Ok(datagram.get(..len) == Some(b"treehouse") && sender == from.local_addr()?)
    };
    let advice = "allow UDP in this machine's firewall, or listen on TCP alone: --listen /ip4/0.0.0.0/tcp/0";
    match exchange() {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("a datagram to {here} came back as another: {advice}")),
        Err(error) => {
            Err(format!("a datagram from this machine to itself at {here} does not arrive ({error}): {advice}"))
        }
    }
}

/// Nobody can measure an uplink alone: what the network card says is a bound, and the rest a guess.
fn uplink() -> Seen {
    judge_uplink(card_mbps())
}

fn judge_uplink(card_mbps: Option<u64>) -> Seen {
    let card_bps = card_mbps.map(|mbps| mbps.saturating_mul(1_000_000));
    let guess_bps = card_bps.map_or(UPLINK_BPS, |card| card.min(UPLINK_BPS));
    let feeds = guess_bps / FEED_BPS;
    if feeds < FEEDS {
        return Err(format!(
            "the network card says {} Mbit/s, which carries {feeds} feeds and not the {FEEDS} that a node gives: say --max-children {feeds}",
            guess_bps / 1_000_000
        ));
    }
    let card = card_mbps.map_or_else(
        || "the network card does not say".to_owned(),
        |mbps| format!("the network card says {mbps} Mbit/s"),
    );
    Ok(format!(
        "taken for {} Mbit/s, which carries {feeds} feeds; {card}. If yours is slower, say --max-children",
        guess_bps / 1_000_000
    ))
}

/// The speed of the card that leads to the internet, as Linux knows it.
fn card_mbps() -> Option<u64> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let mut fields = routes.lines().skip(1).map(|line| line.split_whitespace());
    let card =
        fields.find_map(|mut fields| Some((fields.next()?, fields.next()?)).filter(|(_, to)| *to == "00000000"))?.0;
    let speed = fs::read_to_string(Path::new("/sys/class/net").join(card).join("speed")).ok()?;
    // Virtual cards say -1.
    speed.trim().parse().ok().filter(|mbps| *mbps > 0)
}

fn microphone() -> Seen {
    some(Direction::Capture, "microphone")?;
    let heard = check_microphone(None, DEVICE_TRY, |_, _| {}).map_err(wrong)?;
    match devices::fault(&heard) {
        Some(fault) => Err(format!("{}: {fault}", heard.name)),
        None => {
            Ok(format!("{} at {} Hz, {} dB below the loudest", heard.name, heard.rate_hz, heard.level.minus_dbov()))
        }
    }
}

fn speakers() -> Seen {
    some(Direction::Playback, "speakers")?;
    let name = check_speakers(None, DEVICE_TRY).map_err(wrong)?;
    Ok(format!("{name} take sound; `treehouse devices --test-speakers` plays a tone"))
}

fn some(direction: Direction, noun: &str) -> Result<(), String> {
    if list().map_err(wrong)?.iter().any(|device| device.direction == direction) {
        return Ok(());
    }
    Err(format!(
        "{} has no {noun}: plug some in or start a sound server; without, rooms can be heard and spoken to by files",
        sound_system()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_behind_what_has_happened_is_wrong() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000 + 3_661);
        assert!(judge_clock(now, None).is_ok_and(|says| says.starts_with("09:01:01 UTC")));
        assert!(judge_clock(now, Some(now + Duration::from_secs(60))).is_ok());
        let behind = judge_clock(now, Some(now + Duration::from_secs(7_200)));
        assert!(behind.is_err_and(|says| says.starts_with("it is 7200 s behind")));
        assert!(judge_clock(UNIX_EPOCH - Duration::from_secs(1), None).is_err());
    }

    #[test]
    fn an_uplink_that_carries_too_little_is_told_what_to_say() {
        assert!(judge_uplink(None).is_ok_and(|says| says.starts_with("taken for 5 Mbit/s, which carries 16 feeds")));
        assert!(judge_uplink(Some(1_000)).is_ok_and(|says| says.contains("the network card says 1000 Mbit/s")));
        assert!(judge_uplink(Some(2)).is_err_and(|says| says.ends_with("say --max-children 6")));
    }

    #[test]
    fn udp_passes_on_loopback() {
        assert_eq!(loop_back(IpAddr::V4(Ipv4Addr::LOCALHOST)), Ok(()));
        // An address that this machine does not have.
        assert!(loop_back(ELSEWHERE.ip()).is_err_and(|says| says.contains("allow UDP")));
    }
}
