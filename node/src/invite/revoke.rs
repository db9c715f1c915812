//! `treehouse invite revoke`: takes an invite back, and all that was put behind it.

use std::collections::BTreeSet;

use super::{Desk, ID_DIGITS, full_id, read_id, short_id};
use crate::{
    cli::RevokeArgs,
    control::{self, Request},
    failure::Failure,
    inspect,
    store::KeptRoom,
};

/// `treehouse invite revoke`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn run(args: &RevokeArgs) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let (room, link) = meant(&mut desk, args)?;
    desk.store.revoke(&room.id, link, inspect::now())?;
    let request = Request::RevokeInvite { room: room.id.to_string(), link: full_id(&link) };
    let told = control::tell(&desk.folder, &request)
        .map_err(|error| Failure::Failed(format!("{} is revoked, but {error}", short_id(&link))))?;
    let title = room.charter.title.as_str();
    let when = if told { "from now on" } else { "when it is open again" };
    say!("{} is revoked, and all that was put behind it: the room \"{title}\" refuses them {when}", short_id(&link));
    say!("whoever is in the room stays");
    Ok(())
}

/// Which link of which room: an invite's last one, or the one whose id is given.
fn meant(desk: &mut Desk, args: &RevokeArgs) -> Result<(KeptRoom, [u8; 32]), Failure> {
    if args.id.trim_start().starts_with("TREEHOUSE:") || std::path::Path::new(&args.id).is_file() {
        let invite = inspect::read(&args.id)?;
        let room = desk.room(Some(&invite.room().to_string())).map_err(|_| {
            Failure::Usage("the invite is to no room of yours: only a room's host can revoke it".to_owned())
        })?;
        let link = invite.links().next_back().map_or([0; 32], |link| *link.id());
        return Ok((room, link));
    }
    let room = desk.room(args.room.as_deref())?;
    let link = find(&known(desk, &room)?, &args.id)?;
    Ok((room, link))
}

/// All links of a room that this node has heard of: those of its own invites, and those that were redeemed.
fn known(desk: &mut Desk, room: &KeptRoom) -> Result<BTreeSet<[u8; 32]>, Failure> {
    let issued = desk.store.invites(&room.id)?;
    let mut known: BTreeSet<[u8; 32]> =
        issued.iter().flat_map(|issued| issued.invite.links().map(|link| *link.id())).collect();
    known.extend(desk.store.used(&room.id)?.into_iter().flat_map(|used| [used.link, used.chain]));
    Ok(known)
}

/// A link by its id or the first digits of it; a whole id may be one that is not known.
fn find(known: &BTreeSet<[u8; 32]>, given: &str) -> Result<[u8; 32], Failure> {
    let digits = given.trim().to_ascii_lowercase();
    if let Some(id) = read_id(&digits) {
        return Ok(id);
    }
    let matching: Vec<&[u8; 32]> = known.iter().filter(|id| full_id(id).starts_with(&digits)).collect();
    match matching.as_slice() {
        [id] if digits.len() >= ID_DIGITS => Ok(**id),
        [_, _, ..] if digits.len() >= ID_DIGITS => {
            Err(Failure::Usage(format!("'{given}' begins more than one id: give more of its digits")))
        }
        _ => Err(Failure::Usage(format!(
            "'{given}' is no invite to this room: give an id as `treehouse invite list` shows it, or the invite"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_named_by_enough_of_its_digits() {
        let (mut one, mut other) = ([0xaa; 32], [0xaa; 32]);
        (one[4], other[4]) = (1, 2);
        let known = BTreeSet::from([one, other, [0xbb; 32]]);
        let find = |given: &str| find(&known, given).map_err(|failure| failure.to_string());
        assert_eq!(find("BBBBBBBB"), Ok([0xbb; 32]));
        assert_eq!(find("aaaaaaaa01"), Ok(one));
        assert!(find("aaaaaaaa").is_err_and(|sentence| sentence.contains("more than one")));
        assert!(find("bb").is_err_and(|sentence| sentence.contains("invite list")), "too short to be sure");
        assert_eq!(find(&full_id(&[0xcc; 32])), Ok([0xcc; 32]), "somebody else's link, by its whole id");
    }
}
