//! `treehouse invite list`: what was given out, how much of it is left, and who has used it.

use std::time::Duration;

use serde::Serialize;
use treehouse_invite::HolderKey;
use treehouse_wire::UnixSeconds;

use super::{Desk, full_id, short_id};
use crate::{
    cli::ListArgs,
    duration,
    failure::Failure,
    inspect,
    peer::{peer_id, short},
    store::{Issued, Used},
};

/// One invite in the list.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    role: String,
    label: String,
    bound_to: Option<String>,
    uses: Option<u32>,
    uses_left: Option<u32>,
    expires_unix_s: u64,
    depth: u8,
    revoked: bool,
    used_by: Vec<By>,
}

/// Somebody who has used an invite.
#[derive(Debug, Serialize)]
struct By {
    peer: String,
    at_unix_s: u64,
    /// The last link of what was redeemed, where somebody has put it behind this one.
    by_link: Option<String>,
}

/// `treehouse invite list`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn run(args: &ListArgs) -> Result<(), Failure> {
    let mut desk = Desk::open()?;
    let room = desk.room(args.room.as_deref())?;
    let (issued, used) = (desk.store.invites(&room.id)?, desk.store.used(&room.id)?);
    let revoked = desk.store.revoked(&room.id)?;
    let rows: Vec<Row> = issued.iter().map(|issued| row(issued, &used, &revoked)).collect();
    if args.json {
        for row in &rows {
            say!("{}", serde_json::to_string(row).unwrap_or_default());
        }
        return Ok(());
    }
    let (title, policy) = (room.charter.title.as_str(), room.charter.policy);
    say!("invites to \"{title}\", {policy}, room {}", short_id(&room.id.0));
    let now = inspect::now();
    for row in &rows {
        say!("{}", row.lines(now).join("\n"));
    }
    if rows.is_empty() {
        say!("none yet: make one with `treehouse invite new`");
    }
    Ok(())
}

fn row(issued: &Issued, used: &[Used], revoked: &[[u8; 32]]) -> Row {
    let id = issued.id();
    let links: Vec<_> = issued.invite.links().collect();
    let taken =
        |link: &[u8; 32]| u32::try_from(used.iter().filter(|used| used.link == *link).count()).unwrap_or(u32::MAX);
    // Each counted link of the chain has to have a use left.
    let left = links.iter().filter_map(|link| Some(link.terms.uses?.saturating_sub(taken(link.id())))).min();
    let terms = links.last().map(|link| link.terms);
    let by = |used: &Used| By {
        peer: peer_id(&used.node),
        at_unix_s: used.at.0,
        by_link: (used.chain != id).then(|| full_id(&used.chain)),
    };
    Row {
        id: full_id(&id),
        role: terms.map(|terms| terms.role.to_string()).unwrap_or_default(),
        label: issued.label.clone(),
        bound_to: match issued.invite.holder() {
            HolderKey::Bound(node) => Some(peer_id(node)),
            HolderKey::Bearer(_) => None,
        },
        uses: links.iter().filter_map(|link| link.terms.uses).min(),
        uses_left: left,
        expires_unix_s: terms.map_or(0, |terms| terms.expires.0),
        depth: terms.map_or(0, |terms| terms.depth),
        revoked: links.iter().any(|link| revoked.contains(link.id())),
        // An uncounted link behind a counted one is found by the chain.
        used_by: {
            let mut users: Vec<&Used> = used.iter().filter(|used| used.link == id || used.chain == id).collect();
            users.dedup_by_key(|used| (used.chain, used.node));
            users.into_iter().map(by).collect()
        },
    }
}

impl Row {
    fn lines(&self, now: UnixSeconds) -> Vec<String> {
        let uses = match (self.uses_left, self.uses) {
            (Some(left), Some(uses)) => format!("{left} of {uses} uses left"),
            _ => "not counted".to_owned(),
        };
        let expires = UnixSeconds(self.expires_unix_s);
        let until = match now.0.checked_sub(expires.0) {
            Some(_) => format!("expired {}", duration::utc(expires)),
            None => format!("until {}", duration::utc(expires)),
        };
        let state = if self.revoked { ", revoked" } else { "" };
        let id: String = self.id.chars().take(super::ID_DIGITS).collect();
        let mut lines = vec![format!("{id}  {}, {uses}, {until}{state}, for {}", self.role, self.label)];
        lines.extend(self.used_by.iter().map(|by| {
            let ago = duration::in_words(Duration::from_secs(now.0.saturating_sub(by.at_unix_s)));
            let through = by.by_link.as_ref().map(|link| {
                let link: String = link.chars().take(super::ID_DIGITS).collect();
                format!(", through {link}")
            });
            format!("          used by …{} {ago} ago{}", short(&by.peer), through.unwrap_or_default())
        }));
        lines
    }
}
