//! `treehouse room`: puts somebody out of a room of one's own, keeps them out, lets them in again.
//!
//! Bans are kept in the store and hold when the room is opened again; a node that has the room open acts on them at once.

use treehouse_invite::Banned;
use treehouse_wire::{LinkTag, NodeId};

use crate::{
    cli::{BansArgs, RoomCommand, Switch, WhomArgs},
    control::{self, Moderation, Request},
    failure::Failure,
    inspect,
    invite::{Desk, read_id, short_id},
    peer::peer_id,
    store::{Ban, KeptRoom},
};

/// `treehouse room`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn run(command: &RoomCommand) -> Result<(), Failure> {
    match command {
        RoomCommand::Kick { peer, room } => kick(*peer, room.as_deref()),
        RoomCommand::Ban(whom) => ban(whom),
        RoomCommand::Unban(whom) => unban(whom),
        RoomCommand::Bans(args) => bans(args),
        RoomCommand::Record { switch, room } => record(*switch == Switch::On, room.as_deref()),
    }
}

/// Whom the room's own list means by a ban of the store.
pub fn banned(ban: &Ban) -> Banned {
    match ban {
        Ban::Key(node) => Banned::Node(*node),
        Ban::Link(link) => Banned::Link(LinkTag::of(link)),
        Ban::Subtree(link) => Banned::Subtree(LinkTag::of(link)),
    }
}

fn kick(node: NodeId, room: Option<&str>) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(room)?;
    let title = room.charter.title.as_str();
    if !tell(&desk, &room, Moderation::Kick, &Ban::Key(node))? {
        return Err(Failure::Usage(format!(
            "the room \"{title}\" is not open here: who is in it can be put out by the node that hosts it; `treehouse room ban` holds \
             from its next opening on"
        )));
    }
    say!("{} is out of the room \"{title}\", for two hours", peer_id(&node));
    Ok(())
}

fn ban(whom: &WhomArgs) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(whom.room.as_deref())?;
    let ban = meant(whom)?;
    if ban == Ban::Key(desk.identity.node()) {
        return Err(Failure::Usage("that is yourself: nobody can be banned from a room of their own".to_owned()));
    }
    desk.store.ban(&room.id, ban, inspect::now())?;
    let told = tell(&desk, &room, Moderation::Ban, &ban)
        .map_err(|failure| Failure::Failed(format!("the ban is kept for the room's next opening, but {failure}")))?;
    let when = if told { "from now on" } else { "when it is open again" };
    say!("the room \"{}\" keeps out {} {when}", room.charter.title.as_str(), words(&ban));
    Ok(())
}

fn unban(whom: &WhomArgs) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(whom.room.as_deref())?;
    let ban = meant(whom)?;
    let kept = desk.store.unban(&room.id, ban)?;
    // One that was kicked is not in the store.
    let told = tell(&desk, &room, Moderation::Unban, &ban)?;
    if !kept && !told {
        return Err(Failure::Usage(format!("{} is not banned: `treehouse room bans` shows who is", words(&ban))));
    }
    say!("the room \"{}\" lets in {} again", room.charter.title.as_str(), words(&ban));
    Ok(())
}

fn bans(args: &BansArgs) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(args.room.as_deref())?;
    let bans = desk.store.bans(&room.id)?;
    if bans.is_empty() {
        say!("nobody is banned from the room \"{}\"", room.charter.title.as_str());
    }
    for ban in &bans {
        say!("{}", words(ban));
    }
    Ok(())
}

fn record(on: bool, room: Option<&str>) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(room)?;
    let title = room.charter.title.as_str();
    let request = Request::Record { room: room.id.to_string(), on };
    if !control::tell(&desk.folder, &request).map_err(|error| Failure::Failed(error.to_string()))? {
        return Err(Failure::Usage(format!(
            "the room \"{title}\" is not open here: the node that hosts it says whether it is recorded"
        )));
    }
    let what =
        if on { "may be recorded from now on, and everyone in it is told so" } else { "is not recorded any more" };
    say!("the room \"{title}\" {what}");
    Ok(())
}

/// Tells the node that has the room open; false where none has.
fn tell(desk: &Desk, room: &KeptRoom, what: Moderation, ban: &Ban) -> Result<bool, Failure> {
    let request = Request::Moderate { room: room.id.to_string(), what, whom: banned(ban) };
    control::tell(&desk.folder, &request).map_err(|error| Failure::Failed(error.to_string()))
}

/// The ban that is asked for: of a node, or of an invite by the whole id of a link.
fn meant(whom: &WhomArgs) -> Result<Ban, Failure> {
    match (&whom.peer, &whom.link) {
        (Some(node), None) => Ok(Ban::Key(*node)),
        (None, Some(link)) => {
            let id = read_id(&link.trim().to_ascii_lowercase()).ok_or_else(|| {
                Failure::Usage(format!(
                    "'{link}' is no id of an invite: give all 64 digits, as `treehouse invite list --json` shows them"
                ))
            })?;
            Ok(if whom.subtree { Ban::Subtree(id) } else { Ban::Link(id) })
        }
        _ => Err(Failure::Usage("say whom: a peer id, or --link and the id of an invite".to_owned())),
    }
}

fn words(ban: &Ban) -> String {
    match ban {
        Ban::Key(node) => peer_id(node),
        Ban::Link(link) => format!("whoever comes by the invite {}", short_id(link)),
        Ban::Subtree(link) => format!("whoever comes by the invite {} or one made from it", short_id(link)),
    }
}
