//! `treehouse invite`: making, narrowing, revoking and listing invites.
//!
//! All of it works without a running node, from the identity and the store; a running one is told what it must know at once.

mod list;
mod make;
mod revoke;

pub use list::run as list;
pub use make::{door, narrow, new};
pub use revoke::run as revoke;

use std::path::PathBuf;

use treehouse_wire::{NodeId, RoomId};

use crate::{
    failure::Failure,
    identity::{Identity, data_folder},
    store::{KeptRoom, Store},
};

/// Digits of an id that are shown, and that it takes at least to name one.
pub const ID_DIGITS: usize = 8;

/// What these commands begin with.
pub(crate) struct Desk {
    /// The data folder.
    pub(crate) folder: PathBuf,
    /// Whose rooms these are.
    pub(crate) identity: Identity,
    /// What is kept.
    pub(crate) store: Store,
}

impl Desk {
    pub(crate) fn open() -> Result<Self, Failure> {
        let folder = data_folder()?;
        let identity = Identity::load(&folder)?;
        let store = Store::open(&folder)?;
        Ok(Desk { folder, identity, store })
    }

    /// The room of a title or an id, or the one that was opened last.
    pub(crate) fn room(&mut self, wanted: Option<&str>) -> Result<KeptRoom, Failure> {
        let me = self.identity.node();
        let rooms = self.store.rooms()?.into_iter().filter(|room| room.charter.founder == me).collect();
        pick(rooms, wanted)
    }
}

/// The one room that is meant.
fn pick(rooms: Vec<KeptRoom>, wanted: Option<&str>) -> Result<KeptRoom, Failure> {
    let usage = |sentence: String| Err(Failure::Usage(sentence));
    let Some(wanted) = wanted.map(str::trim) else {
        let newest = rooms.into_iter().next();
        return newest.map_or_else(|| usage("you have no room yet: open one with `treehouse host`".to_owned()), Ok);
    };
    let digits = wanted.len() >= ID_DIGITS && wanted.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = wanted.to_ascii_lowercase();
    let is_meant =
        |room: &KeptRoom| room.charter.title.as_str() == wanted || digits && room.id.to_string().starts_with(&id);
    let mut meant: Vec<KeptRoom> = rooms.into_iter().filter(is_meant).collect();
    match meant.len() {
        0 => usage(format!("you have no room '{wanted}': give its title as you opened it, or its id")),
        1 => Ok(meant.swap_remove(0)),
        _ => {
            let ids: Vec<String> = meant.iter().map(|room| short_id(&room.id.0)).collect();
            usage(format!("'{wanted}' is more than one room: give an id instead, one of {}", ids.join(", ")))
        }
    }
}

/// The first digits of a room's or a link's id.
pub fn short_id(id: &[u8; 32]) -> String {
    RoomId(*id).to_string().chars().take(ID_DIGITS).collect()
}

/// All digits of an id.
pub(crate) fn full_id(id: &[u8; 32]) -> String {
    RoomId(*id).to_string()
}

/// Reads an id that is given whole.
pub(crate) fn read_id(digits: &str) -> Option<[u8; 32]> {
    let mut id = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}

/// Reads a person's peer id as `treehouse identity show` prints it.
///
/// # Errors
/// A sentence that says what to give.
pub fn parse_peer(text: &str) -> Result<NodeId, String> {
    let wrong =
        || format!("'{text}' is no peer id: give what `treehouse identity show` prints for that person, 12D3KooW...");
    let peer: treehouse_net::PeerId = text.trim().parse().map_err(|_| wrong())?;
    treehouse_net::node_id(&peer).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use treehouse_invite::{Charter, Policy};
    use treehouse_wire::{Contact, List, Shipped, Suite, UnixSeconds, control::Name};

    use super::*;

    fn room(title: &str, salt: u8) -> KeptRoom {
        let signer = Shipped.signer(&[1; 32]);
        let founder = NodeId(Shipped.public_key(&signer));
        let title = Name::cleaned(title);
        let charter = Charter { founder, salt: [salt; 16], title, policy: Policy::Social, successors: List::default() };
        let statement = charter.sign(&Shipped, &signer);
        let contact = Contact { node: founder, addresses: List::default() };
        KeptRoom { id: charter.room(), charter, statement, contact, openings: 1, opened: UnixSeconds(0) }
    }

    #[test]
    fn a_room_is_named_by_its_title_or_its_id_and_the_newest_is_meant_otherwise() {
        let rooms = || vec![room("Tea", 1), room("Tea", 2), room("Work", 3)];
        let title =
            |wanted: Option<&str>| pick(rooms(), wanted).map(|room| room.id).map_err(|failure| failure.to_string());
        assert_eq!(title(None), Ok(room("Tea", 1).id));
        assert_eq!(title(Some("Work")), Ok(room("Work", 3).id));
        assert_eq!(title(Some(&short_id(&room("Tea", 2).id.0))), Ok(room("Tea", 2).id));
        assert!(title(Some("Tea")).is_err_and(|sentence| sentence.contains(&short_id(&room("Tea", 2).id.0))));
        assert!(title(Some("Nothing")).is_err_and(|sentence| sentence.contains("no room 'Nothing'")));
        assert_eq!(pick(Vec::new(), None).err().map(|failure| failure.exit_status()), Some(2));
    }

    #[test]
    fn ids_and_peers_read_back() {
        let id = [0xab; 32];
        assert_eq!((read_id(&full_id(&id)), short_id(&id)), (Some(id), "abababab".to_owned()));
        assert_eq!(read_id("abc").or(read_id(&"é".repeat(32))).or(read_id(&"x".repeat(64))), None);
        let node = room("Tea", 1).charter.founder;
        assert_eq!(parse_peer(&crate::peer::peer_id(&node)), Ok(node));
        assert!(parse_peer("bob").is_err_and(|sentence| sentence.contains("identity show")));
    }
}
