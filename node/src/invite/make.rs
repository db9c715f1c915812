//! New invites, and narrower ones behind those that one holds.

use std::time::Duration;

use treehouse_invite::{Charter, Holder, Invite, InviteError, Policy, Role, Terms, Widening};
use treehouse_wire::{Contact, NodeId, Shipped, Suite, UnixSeconds, limits::LINKS_MAX};

use super::{Desk, full_id};
use crate::{
    cli::{GrantArgs, InviteNewArgs, NarrowArgs},
    failure::Failure,
    identity::{Identity, data_folder, random_seed},
    inspect,
    peer::peer_id,
    qr::Qr,
    store::{STORE_FILE, Store},
    terminal,
};

/// How long an invite is valid unless its issuer says otherwise.
const VALID: Duration = Duration::from_secs(24 * 3600);
/// Clocks of those who are invited may be behind by this much.
const CLOCK_SLACK_S: u64 = 600;
/// How many further links a social room's invites let their holders add.
const SOCIAL_DEPTH: u8 = 2;

/// The invite that a host prints when it opens its room, by the room's policy: an open one's for all who want to listen, a
/// social one's for whoever gets it from whom, a closed one's for one person.
///
/// # Errors
/// [`Failure`] where the system gives no random numbers.
pub fn door(signer: &<Shipped as Suite>::Signer, charter: &Charter, contact: Contact) -> Result<Invite, Failure> {
    let (role, uses, depth) = match charter.policy {
        Policy::Open => (Role::Listener, None, 0),
        Policy::Social => (Role::Speaker, None, SOCIAL_DEPTH),
        Policy::Closed => (Role::Speaker, Some(1), 0),
    };
    let (not_before, expires) = span(VALID);
    issue(signer, charter, Terms { role, not_before, expires, uses, depth }, None, contact)
}

fn span(valid: Duration) -> (UnixSeconds, UnixSeconds) {
    let now = inspect::now().0;
    (UnixSeconds(now.saturating_sub(CLOCK_SLACK_S)), UnixSeconds(now.saturating_add(valid.as_secs())))
}

fn issue(
    signer: &<Shipped as Suite>::Signer,
    charter: &Charter,
    terms: Terms,
    to: Option<NodeId>,
    contact: Contact,
) -> Result<Invite, Failure> {
    Invite::issue(&Shipped, signer, charter.founding(), terms, holder(to)?, [contact])
        .map_err(|error| Failure::Failed(error.to_string()))
}

fn holder(to: Option<NodeId>) -> Result<Holder, Failure> {
    Ok(match to {
        Some(node) => Holder::Bound(node),
        None => Holder::Bearer { seed: *random_seed()? },
    })
}

/// `treehouse invite new`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn new(args: &InviteNewArgs) -> Result<(), Failure> {
    args.grant.qr_file.as_deref().map_or(Ok(()), Qr::check_name)?;
    let mut desk = Desk::open()?;
    let room = desk.room(args.room.as_deref())?;
    let grant = &args.grant;
    if room.charter.policy == Policy::Closed && grant.uses.is_none() && grant.to.is_none() {
        let sentence = "the room is closed: make the invite out to one person with --to, or count it with --uses";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    let (not_before, expires) = span(grant.expires.unwrap_or(VALID));
    let social = room.charter.policy == Policy::Social;
    let terms = Terms {
        role: grant.role.unwrap_or(Role::Listener),
        not_before,
        expires,
        uses: grant.uses,
        depth: grant.depth.unwrap_or(if social { SOCIAL_DEPTH } else { 0 }),
    };
    let signer = Shipped.signer(&desk.identity.seed);
    let invite = issue(&signer, &room.charter, terms, grant.to, room.contact)?;
    // Kept before it is shown: what was given out can always be found and revoked.
    desk.store.note_invite(&invite, &label(args.label.as_deref(), grant.to.as_ref()), inspect::now())?;
    give_out(&invite, grant)
}

/// For whom an invite is, for the list.
fn label(given: Option<&str>, to: Option<&NodeId>) -> String {
    match (given.map(str::trim), to) {
        (Some(label), _) if !label.is_empty() => label.to_owned(),
        (_, Some(node)) => peer_id(node),
        _ => "whoever has it".to_owned(),
    }
}

/// `treehouse invite narrow`.
///
/// # Errors
/// [`Failure`], one sentence.
pub fn narrow(args: &NarrowArgs) -> Result<(), Failure> {
    args.grant.qr_file.as_deref().map_or(Ok(()), Qr::check_name)?;
    let held = inspect::read(&args.invite)?;
    inspect::verify(&held)?;
    let folder = data_folder()?;
    let identity = Identity::load(&folder)?;
    let invite = narrowed(&held, &args.grant, &Shipped.signer(&identity.seed), inspect::now())?;
    // Whose room it is wants to find it in its list; nobody else keeps anything.
    if *held.founder() == identity.node() && folder.join(STORE_FILE).exists() {
        let mut store = Store::open(&folder)?;
        if store.rooms()?.iter().any(|room| room.id == held.room()) {
            store.note_invite(&invite, &label(None, args.grant.to.as_ref()), inspect::now())?;
        }
    }
    give_out(&invite, &args.grant)
}

/// What is not said is as in the invite that one holds, but for the depth, which must shrink.
fn narrowed(
    held: &Invite,
    grant: &GrantArgs,
    own: &<Shipped as Suite>::Signer,
    now: UnixSeconds,
) -> Result<Invite, Failure> {
    let Some(last) = held.links().next_back().map(|link| link.terms) else {
        return Err(Failure::Usage("the invite has no link: ask for another one".to_owned()));
    };
    if last.depth == 0 || held.links().count() >= LINKS_MAX {
        let sentence = "the invite may not be passed on: ask whoever gave it to you for one with more depth";
        return Err(Failure::Usage(sentence.to_owned()));
    }
    let expires = grant.expires.map_or(last.expires, |valid| UnixSeconds(now.0.saturating_add(valid.as_secs())));
    let terms = Terms {
        role: grant.role.unwrap_or(last.role),
        not_before: last.not_before,
        expires,
        uses: grant.uses.or(last.uses),
        depth: grant.depth.unwrap_or(last.depth - 1),
    };
    held.narrow(&Shipped, Some(own), terms, holder(grant.to)?).map_err(|error| Failure::Usage(refused(&error, &last)))
}

fn refused(error: &InviteError, held: &Terms) -> String {
    let InviteError::Widened { what, .. } = error else { return error.to_string() };
    let most = match what {
        Widening::Role => format!("--role {} at most", held.role),
        Widening::Expires => format!("an end before {}", crate::duration::utc(held.expires)),
        Widening::Uses => held.uses.map_or_else(String::new, |uses| format!("--uses {uses} at most")),
        Widening::Depth => format!("--depth {} at most", held.depth.saturating_sub(1)),
        Widening::NotBefore => "a later start".to_owned(),
    };
    format!("your invite does not let you give out {what}: give {most}")
}

/// Shows an invite: its text alone on the first line, for scripts; to a person the code too.
fn give_out(invite: &Invite, grant: &GrantArgs) -> Result<(), Failure> {
    let text = invite.to_string();
    let qr = Qr::of(&text)?;
    if let Some(path) = &grant.qr_file {
        qr.write(path)?;
    }
    let id = invite.links().next_back().map_or([0; 32], |link| *link.id());
    if grant.json {
        let line = serde_json::json!({ "invite": text, "id": full_id(&id), "room": invite.room().to_string() });
        say!("{line}");
        return Ok(());
    }
    say!("{text}");
    let shown = terminal::is_terminal();
    if grant.qr || shown && qr.columns() <= terminal::columns() {
        print!("\n{}", qr.terminal());
    } else if shown {
        say!("\nthe QR code needs {} columns: make the window wider, or write it with --qr-file", qr.columns());
    }
    if shown {
        say!("\nits id is {}; `treehouse invite list` shows its uses", super::short_id(&id));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use treehouse_wire::{List, control::Name};

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn grant() -> GrantArgs {
        GrantArgs {
            role: None,
            uses: None,
            expires: None,
            depth: None,
            to: None,
            qr: false,
            qr_file: None,
            json: false,
        }
    }

    fn founder() -> NodeId {
        NodeId(Shipped.public_key(&Shipped.signer(&[5; 32])))
    }

    fn held(depth: u8, to: Option<NodeId>) -> Invite {
        let title = Name::cleaned("Tea");
        let charter =
            Charter { founder: founder(), salt: [2; 16], title, policy: Policy::Social, successors: List::default() };
        let terms = Terms {
            role: Role::Speaker,
            not_before: UnixSeconds(NOW.0 - 60),
            expires: UnixSeconds(NOW.0 + 7200),
            uses: Some(5),
            depth,
        };
        let contact = Contact { node: founder(), addresses: List::default() };
        issue(&Shipped.signer(&[5; 32]), &charter, terms, to, contact).expect("an invite")
    }

    fn narrow_as(held: &Invite, grant: &GrantArgs, seed: u8) -> Result<Invite, String> {
        narrowed(held, grant, &Shipped.signer(&[seed; 32]), NOW).map_err(|failure| {
            assert_eq!(failure.exit_status(), 2);
            failure.to_string()
        })
    }

    #[test]
    fn whoever_holds_an_invite_with_depth_left_narrows_it() {
        let first = narrow_as(&held(2, None), &grant(), 9).expect("a narrower one");
        let terms = first.links().next_back().expect("a link").terms;
        assert_eq!((terms.role, terms.uses, terms.depth), (Role::Speaker, Some(5), 1));
        let less = GrantArgs { role: Some(Role::Listener), uses: Some(1), depth: Some(0), ..grant() };
        let second = narrow_as(&first, &less, 9).expect("a narrower one still");
        assert_eq!(second.verify(&Shipped, NOW).expect("it holds").uses.len(), 3);
        assert!(narrow_as(&second, &grant(), 9).is_err_and(|sentence| sentence.contains("may not be passed on")));
    }

    #[test]
    fn what_is_wider_is_refused_with_what_is_allowed() {
        for (wider, allowed) in [
            (GrantArgs { role: Some(Role::Moderator), ..grant() }, "--role speaker at most"),
            (GrantArgs { uses: Some(6), ..grant() }, "--uses 5 at most"),
            (GrantArgs { depth: Some(2), ..grant() }, "--depth 1 at most"),
            (GrantArgs { expires: Some(Duration::from_secs(9000)), ..grant() }, "an end before 2027-01-15 10:00 UTC"),
        ] {
            let refused = narrow_as(&held(2, None), &wider, 9).expect_err("it is wider");
            assert!(refused.contains(allowed), "{refused}");
        }
    }

    #[test]
    fn a_bound_invite_is_narrowed_by_its_person_alone() {
        let ann = NodeId(Shipped.public_key(&Shipped.signer(&[7; 32])));
        let bound = held(1, Some(ann));
        assert!(narrow_as(&bound, &grant(), 9).is_err_and(|sentence| sentence.contains("another person's key")));
        assert!(narrow_as(&bound, &grant(), 7).is_ok());
    }
}
