//! `treehouse host`: opens a room, gives out its invite, and keeps it until the end.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

use treehouse_audio::Say;
use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_room::{HostConfig, Past};
use treehouse_wire::{Address, Contact, List, NodeId, Shipped, Suite, UnixSeconds, control::Name};

use crate::{
    cli::HostArgs,
    events::Event,
    failure::Failure,
    identity::random_seed,
    inspect,
    session::{Part, Session, Setup},
};

/// How long the printed invite is valid.
const INVITE_VALID: Duration = Duration::from_secs(24 * 3600);
/// Clocks of those who are invited may be behind by this much.
const CLOCK_SLACK_S: u64 = 600;
/// How many further links may be put behind the printed invite.
const INVITE_DEPTH: u8 = 2;

/// Opens a room and stays until it is closed.
///
/// # Errors
/// [`Failure`], one sentence.
pub async fn run(args: HostArgs) -> Result<(), Failure> {
    let title = Name::new(args.title.trim()).filter(|title| !title.as_str().is_empty()).ok_or_else(|| {
        Failure::Usage("the title must be 1 to 48 bytes of printable text: give another with --title".to_owned())
    })?;
    let setup = Setup::check("host", &args.say, &args.hear, &args.listen, args.node)?;
    let mut session = Session::start(setup, Part::Host, &[]).await?;
    let signer = Shipped.signer(session.identity_seed());
    let founder = session.node();
    let charter = charter(founder, title)?;
    let invite = invite(&signer, &charter, session.addresses())?;
    if let Some(path) = &args.invite_file {
        write_invite(path, &invite)?;
    }
    let speaks = *session.say() != Say::None;
    let media_seed = if speaks { Some(*random_seed()?) } else { None };
    let charter_statement = charter.sign(&Shipped, &signer);
    session.open(HostConfig {
        charter,
        charter_statement,
        protection: args.protection.0,
        media_seed,
        region_max: HostConfig::REGION_MAX_DEFAULT,
        past: Past::default(),
    })?;
    session.show(Event::Invite { invite: invite.to_string() });
    session.stay().await
}

fn charter(founder: NodeId, title: Name) -> Result<Charter, Failure> {
    let mut salt = [0; 16];
    salt.copy_from_slice(&random_seed()?[..16]);
    Ok(Charter { founder, salt, title, policy: Policy::Social, successors: List::default() })
}

/// An invite for whoever has it, who may come onto the stage with it. It leads to this node's addresses.
fn invite(signer: &<Shipped as Suite>::Signer, charter: &Charter, addresses: &[Address]) -> Result<Invite, Failure> {
    let now = inspect::now().0;
    let terms = Terms {
        role: Role::Speaker,
        not_before: UnixSeconds(now.saturating_sub(CLOCK_SLACK_S)),
        expires: UnixSeconds(now.saturating_add(INVITE_VALID.as_secs())),
        uses: None,
        depth: INVITE_DEPTH,
    };
    let contact = Contact { node: charter.founder, addresses: List::truncated(addresses.iter().cloned()) };
    let holder = Holder::Bearer { seed: *random_seed()? };
    Invite::issue(&Shipped, signer, charter.founder, charter.salt, terms, holder, [contact])
        .map_err(|error| Failure::Failed(error.to_string()))
}

/// Writes the invite aside and moves it into place, so that nobody reads half of it. It is a secret: its owner alone can
/// read the file.
fn write_invite(path: &Path, invite: &Invite) -> Result<(), Failure> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".new-{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        writeln!(file, "{invite}")?;
        file.sync_all()?;
        fs::rename(&aside, path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&aside);
        Failure::Usage(format!("cannot write the invite to {}: {error}; name another file", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invite_lets_its_bearer_speak_for_a_day() {
        let signer = Shipped.signer(&[5; 32]);
        let founder = NodeId(Shipped.public_key(&signer));
        let charter = charter(founder, Name::cleaned("Tea")).expect("randomness");
        let address = treehouse_net::parse_address("/ip4/127.0.0.1/tcp/4001").expect("an address");
        let invite = invite(&signer, &charter, &[address]).expect("an invite");
        let (report, verified) = inspect::report(&invite, inspect::now());
        assert!(verified.is_ok());
        assert_eq!((report.role.as_str(), report.kind), ("speaker", "bearer"));
        assert!(report.validity.starts_with("valid for another"), "{}", report.validity);
        assert_eq!(report.bootstrap.len(), 1);
        assert_eq!(invite.room(), charter.room());
    }

    #[test]
    fn an_invite_file_is_whole_private_and_alone() {
        use std::os::unix::fs::PermissionsExt;
        let signer = Shipped.signer(&[5; 32]);
        let founder = NodeId(Shipped.public_key(&signer));
        let charter = charter(founder, Name::cleaned("Tea")).expect("randomness");
        let invite = invite(&signer, &charter, &[]).expect("an invite");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invite");
        write_invite(&path, &invite).expect("a file");
        write_invite(&path, &invite).expect("a file in its place");
        assert_eq!(fs::read_to_string(&path).expect("text"), format!("{invite}\n"));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let nowhere = folder.path().join("no/where");
        assert_eq!(write_invite(&nowhere, &invite).err().map(|failure| failure.exit_status()), Some(2));
    }
}
