//! `treehouse join`: enters a room with an invite.

use treehouse_invite::Role;
use treehouse_net::parse_address;
use treehouse_wire::{Address, NodeId, control::Name};

use crate::{
    cli::JoinArgs,
    events::Event,
    failure::Failure,
    identity::data_folder,
    inspect,
    peer::{peer_id, short},
    session::{Part, Session, Setup},
};

/// Where a node listens whose room is on this machine alone.
const LOOPBACK: [&str; 2] = ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"];

/// Enters a room and stays until it ends, or this node leaves.
///
/// # Errors
/// [`Failure`], one sentence.
pub async fn run(args: JoinArgs) -> Result<(), Failure> {
    let invite = inspect::read(&args.invite)?;
    if invite.links().next_back().is_some_and(|link| link.terms.role == Role::Booster) {
        let sentence = "this link is for boosters, which relay and hear nothing: use `treehouse boost` with it";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    enter(args, |me| format!("guest {}", short(&peer_id(me)))).await
}

/// Enters a room as the invite says, and stays until it ends or this node leaves; `named`: what it is called where the user does not say.
///
/// # Errors
/// [`Failure`], one sentence.
pub async fn enter(args: JoinArgs, named: impl Fn(&NodeId) -> String) -> Result<(), Failure> {
    let invite = inspect::read(&args.invite)?;
    inspect::verify(&invite)?;
    if invite.bootstrap().is_empty() {
        return Err(Failure::Usage("the invite names no address of the host: ask for one that does".to_owned()));
    }
    let name = args.name.as_deref().unwrap_or_default().trim();
    if Name::new(name).is_none() {
        return Err(Failure::Usage("the name must be at most 48 bytes of printable text: give another".to_owned()));
    }
    let setup =
        Setup { microphone: args.microphone, ..Setup::check(name, &args.say, &args.hear, &args.listen, args.node)? };
    let addresses = invite.bootstrap().iter().flat_map(|contact| contact.addresses.iter());
    let instead = if addresses.into_iter().all(is_loopback) { LOOPBACK.as_slice() } else { &[] };
    let instead: Vec<Address> = instead.iter().filter_map(|text| parse_address(text).ok()).collect();
    let mut session = Session::start(setup, Part::Member, &instead).await?;
    if name.is_empty() {
        session.set_name(&named(&session.node()));
    }
    if session.node() == invite.host() {
        return Err(Failure::Failed(
            "this is an invite to a room of your own, which is not open: open it with `treehouse host`".to_owned(),
        ));
    }
    session.show(Event::Joining {
        room: invite.room().to_string(),
        host: peer_id(&invite.host()),
        policy: invite.founding().policy.to_string(),
    });
    if !session.is_temporary() {
        session.listen_control(&data_folder()?);
    }
    session.join(invite)?;
    session.stay().await
}

fn is_loopback(address: &Address) -> bool {
    let text = treehouse_net::address_text(address);
    text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_other_addresses() {
        let parse = |text| parse_address(text).expect("an address");
        assert!(is_loopback(&parse("/ip4/127.0.0.1/udp/4001/quic-v1")) && is_loopback(&parse("/ip6/::1/tcp/4001")));
        assert!(!is_loopback(&parse("/ip4/192.168.1.7/tcp/4001")) && !is_loopback(&parse("/dns4/localhost/tcp/1")));
        assert!(LOOPBACK.iter().all(|text| is_loopback(&parse(text))));
    }
}
