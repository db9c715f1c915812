//! `treehouse host`: opens a room, gives out its invite, and keeps it until the end.
//!
//! The room is kept in the store and can be opened again: its charter and its invites stay the same, and so do the counts of
//! their uses. A session whose identity ends with the process keeps nothing, since nobody could open its room again.

use std::path::Path;

use treehouse_audio::Say;
use treehouse_invite::{Charter, Invite, Policy};
use treehouse_room::{HostConfig, Past};
use treehouse_wire::{
    Contact, List, NodeId, Shipped, Suite,
    control::{Name, Statement},
};

use crate::{
    cli::HostArgs,
    events::Event,
    failure::Failure,
    identity::{data_folder, random_seed},
    inspect,
    invite::{self, Desk},
    private,
    session::{Part, Session, Setup},
    store::{KeptRoom, Store, StoreLedger},
};

/// How the invite that a host prints is called in the list.
const DOOR: &str = "printed by the host";

/// A room that is about to open.
struct Opening {
    charter: Charter,
    statement: Statement,
    invite: Invite,
    past: Past,
    ledger: Option<StoreLedger>,
}

/// Opens a room and stays until it is closed.
///
/// # Errors
/// [`Failure`], one sentence.
pub async fn run(args: HostArgs) -> Result<(), Failure> {
    let title = Name::new(args.title.trim()).filter(|title| !title.as_str().is_empty()).ok_or_else(|| {
        Failure::Usage("the title must be 1 to 48 bytes of printable text: give another with --title".to_owned())
    })?;
    let setup =
        Setup { microphone: args.microphone, ..Setup::check("host", &args.say, &args.hear, &args.listen, args.node)? };
    // What is kept is looked at before anything is opened.
    let mut desk = Desk::open()?;
    let again = args.room.as_deref().map(|room| desk.room(Some(room))).transpose()?;
    let folder = data_folder()?;
    let mut session = Session::start(setup, Part::Host, &[]).await?;
    let signer = Shipped.signer(session.identity_seed());
    let contact = Contact { node: session.node(), addresses: List::truncated(session.addresses().iter().cloned()) };
    let (charter, statement) = match again {
        Some(KeptRoom { charter, statement, .. }) if session.node() == charter.founder => (charter, statement),
        Some(_) => return Err(in_use()),
        None => {
            let charter = charter(session.node(), title, args.policy)?;
            let statement = charter.sign(&Shipped, &signer);
            (charter, statement)
        }
    };
    let opening = if session.is_temporary() {
        let invite = invite::door(&signer, &charter, contact)?;
        Opening { charter, statement, invite, past: Past::default(), ledger: None }
    } else {
        // Commands that come from now on wait for the room; what they wrote before is read below.
        session.listen_control(&folder);
        keep(desk.store, &signer, charter, statement, contact)?
    };
    if let Some(path) = &args.invite_file {
        write_invite(path, &opening.invite)?;
    }
    let speaks = *session.say() != Say::None;
    let host = HostConfig {
        charter: opening.charter,
        charter_statement: opening.statement,
        protection: args.protection.0,
        media_seed: if speaks { Some(*random_seed()?) } else { None },
        region_max: HostConfig::REGION_MAX_DEFAULT,
        past: opening.past,
    };
    session.open(host, opening.ledger)?;
    session.show(Event::Invite { invite: opening.invite.to_string() });
    session.stay().await
}

fn in_use() -> Failure {
    let sentence = "another `treehouse` that runs uses your identity: stop it, then open the room again";
    Failure::Failed(sentence.to_owned())
}

fn charter(founder: NodeId, title: Name, policy: Policy) -> Result<Charter, Failure> {
    let mut salt = [0; 16];
    salt.copy_from_slice(&random_seed()?[..16]);
    Ok(Charter { founder, salt, title, policy, successors: List::default() })
}

/// Notes in the store that the room opens, and reads what it knows of before.
fn keep(
    mut store: Store,
    signer: &<Shipped as Suite>::Signer,
    charter: Charter,
    statement: Statement,
    contact: Contact,
) -> Result<Opening, Failure> {
    let (room, now) = (charter.room(), inspect::now());
    let openings = store.note_opening(&charter, &statement, &contact, now)?;
    let past = store.past(&room, openings)?;
    let invite = match kept_door(&mut store, &charter, &past)? {
        Some(invite) => invite.with_bootstrap([contact]),
        None => {
            let invite = invite::door(signer, &charter, contact)?;
            store.note_invite(&invite, DOOR, now)?;
            invite
        }
    };
    Ok(Opening { charter, statement, invite, past, ledger: Some(StoreLedger { store, room }) })
}

/// The newest invite that the host printed before, where it still lets somebody in.
fn kept_door(store: &mut Store, charter: &Charter, past: &Past) -> Result<Option<Invite>, Failure> {
    let invites = store.invites(&charter.room())?;
    let newest = invites.into_iter().rev().find(|issued| issued.label == DOOR);
    Ok(newest.map(|issued| issued.invite).filter(|invite| {
        invite.verify(&Shipped, inspect::now()).is_ok_and(|grant| {
            let taken = |link: &[u8; 32]| past.redemptions.iter().filter(|one| one.links.contains(link)).count();
            let spent = grant.uses.iter().any(|(link, uses)| taken(link) >= *uses as usize);
            !spent && !grant.path.iter().any(|link| past.revoked.contains(link))
        })
    }))
}

fn write_invite(path: &Path, invite: &Invite) -> Result<(), Failure> {
    private::write(path, format!("{invite}\n").as_bytes()).map_err(|error| {
        Failure::Usage(format!("cannot write the invite to {}: {error}; name another file", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use treehouse_invite::Role;

    use super::*;
    use crate::peer::peer_id;

    const SEED: [u8; 32] = [5; 32];

    fn room(policy: Policy) -> (Charter, Contact) {
        let founder = NodeId(Shipped.public_key(&Shipped.signer(&SEED)));
        let charter = charter(founder, Name::cleaned("Tea"), policy).expect("randomness");
        let address = treehouse_net::parse_address("/ip4/127.0.0.1/tcp/4001").expect("an address");
        (charter, Contact { node: founder, addresses: List::truncated([address]) })
    }

    fn door(policy: Policy) -> Invite {
        let (charter, contact) = room(policy);
        invite::door(&Shipped.signer(&SEED), &charter, contact).expect("an invite")
    }

    #[test]
    fn the_printed_invite_is_what_the_policy_says() {
        for (policy, role, uses, depth) in [
            (Policy::Open, Role::Listener, None, 0),
            (Policy::Social, Role::Speaker, None, 2),
            (Policy::Closed, Role::Speaker, Some(1), 0),
        ] {
            let invite = door(policy);
            let terms = invite.links().next().expect("a link").terms;
            assert_eq!((terms.role, terms.uses, terms.depth), (role, uses, depth), "{policy}");
            let (report, verified) = inspect::report(&invite, inspect::now());
            assert!(verified.is_ok());
            assert_eq!((report.kind, report.host), ("bearer", peer_id(invite.founder())));
            assert!(report.validity.starts_with("valid for another"), "{}", report.validity);
            assert_eq!(report.bootstrap.len(), 1);
        }
    }

    #[test]
    fn a_room_that_opens_again_prints_its_invite_again_until_it_is_spent_or_revoked() {
        let folder = tempfile::tempdir().expect("a folder");
        let signer = Shipped.signer(&SEED);
        let (charter, contact) = room(Policy::Closed);
        let statement = charter.sign(&Shipped, &signer);
        let open = || {
            let store = Store::open(folder.path()).expect("a store");
            keep(store, &signer, charter.clone(), statement.clone(), contact.clone()).expect("it opens")
        };
        let first = open();
        assert_eq!((first.past.openings, open().past.openings), (0, 1));
        assert_eq!(open().invite, first.invite);
        let id = *first.invite.links().next().expect("a link").id();
        let redemption = treehouse_room::Redemption { node: NodeId([1; 32]), chain: id, links: vec![id] };
        let mut ledger = first.ledger.expect("it is kept");
        treehouse_net::Ledger::keep(&mut ledger, &[redemption]).expect("a use");
        let second = open();
        assert_ne!(second.invite, first.invite, "its one use is taken");
        let id = *second.invite.links().next().expect("a link").id();
        ledger.store.revoke(&charter.room(), id, inspect::now()).expect("it is kept");
        assert_ne!(open().invite, second.invite);
    }

    #[test]
    fn an_invite_file_is_whole_private_and_alone() {
        use std::os::unix::fs::PermissionsExt;
        let invite = door(Policy::Social);
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
