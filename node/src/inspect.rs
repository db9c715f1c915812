//! Invites as they are given on a command line, and what `treehouse invite inspect` says of them.

use std::{
    fs::File,
    io::{self, Read},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use treehouse_invite::{HolderKey, INVITE_TEXT_MAX, Invite, InviteError, Link, Terms};
use treehouse_net::address_text;
use treehouse_wire::{Contact, Shipped, UnixSeconds};

use crate::{
    duration,
    failure::Failure,
    invite::{ID_DIGITS, full_id},
    peer::peer_id,
};

const PREFIX: &str = "TREEHOUSE:";

/// The wall clock.
pub fn now() -> UnixSeconds {
    UnixSeconds(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Reads an invite that is given as its text, as the name of a file that holds it, or as `-` for standard input.
///
/// # Errors
/// [`Failure::Usage`] where it is no invite.
pub fn read(given: &str) -> Result<Invite, Failure> {
    let text = if given == "-" {
        read_text(io::stdin().lock(), "standard input")?
    } else if given.trim_start().starts_with(PREFIX) {
        given.to_owned()
    } else {
        match File::open(given) {
            Ok(file) => read_text(file, given)?,
            Err(_) => given.to_owned(),
        }
    };
    Invite::parse(&text).map_err(|error| Failure::Usage(error.to_string()))
}

fn read_text(source: impl Read, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    // One byte more than an invite may have, so that a longer file is refused as such.
    source.take(INVITE_TEXT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| {
        Failure::Usage(format!("cannot read the invite from {name}: {error}; paste its text instead"))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("{name} holds no invite: name a file that --invite-file wrote")))
}

/// Checks an invite's signatures and its time.
///
/// # Errors
/// [`Failure::Usage`] where it does not verify, [`Failure::Failed`] where only its time is wrong.
pub fn verify(invite: &Invite) -> Result<(), Failure> {
    let failed = |error: InviteError| match error {
        InviteError::Expired { .. } | InviteError::NotYetValid { .. } => Failure::Failed(error.to_string()),
        _ => Failure::Usage(error.to_string()),
    };
    // Time is looked at before signatures; a forged invite is not to be reported as one that is merely old.
    if let Some(valid) = span(invite).map(|(from, _)| from) {
        invite.verify(&Shipped, valid).map(drop).map_err(failed)?;
    }
    invite.verify(&Shipped, now()).map(drop).map_err(failed)
}

/// When all links are valid: from, and until.
fn span(invite: &Invite) -> Option<(UnixSeconds, UnixSeconds)> {
    let from = invite.links().map(|link| link.terms.not_before).max()?;
    let until = invite.links().map(|link| link.terms.expires).min()?;
    (from < until).then_some((from, until))
}

/// What an invite says.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The room's id.
    pub room: String,
    /// Who issued it, and who admits: the room's founder.
    pub host: String,
    /// Who may come: `open`, `social` or `closed`.
    pub policy: String,
    /// The highest role that it grants.
    pub role: String,
    /// `bearer`: whoever has the text; `bound`: one person.
    pub kind: &'static str,
    /// The person that it is bound to.
    pub bound_to: Option<String>,
    /// Not valid before, in seconds since 1970.
    pub not_before_unix_s: u64,
    /// Not valid from then on, in seconds since 1970.
    pub expires_unix_s: u64,
    /// The same in words.
    pub validity: String,
    /// How many may be admitted by it; unlimited where absent.
    pub uses: Option<u32>,
    /// How many further links may be put behind it.
    pub further_links: u8,
    /// Links in its chain.
    pub links: usize,
    /// Who invited whom: the links, the founder's first.
    pub chain: Vec<Step>,
    /// Whom to ask first, and where.
    pub bootstrap: Vec<Reachable>,
    /// Why it cannot be used, if so.
    pub problem: Option<String>,
}

/// One link of an invite: who invited whom, and to what.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its id; uses are counted and links are revoked under it.
    pub id: String,
    /// Who made it: a person's peer id; none where it was whoever had the text of the link before.
    pub by: Option<String>,
    /// Whom it is made out to; none where that is whoever has the text.
    pub to: Option<String>,
    /// The highest role.
    pub role: String,
    /// Not valid before, in seconds since 1970.
    pub not_before_unix_s: u64,
    /// Not valid from then on, in seconds since 1970.
    pub expires_unix_s: u64,
    /// How many may come in by it; unlimited where absent.
    pub uses: Option<u32>,
    /// How many further links may be put behind it.
    pub further_links: u8,
}

impl Step {
    /// The links of an invite.
    fn all(invite: &Invite) -> Vec<Step> {
        let mut by = Some(peer_id(invite.founder()));
        let step = |link: &Link| {
            let to = match &link.holder {
                HolderKey::Bound(node) => Some(peer_id(node)),
                HolderKey::Bearer(_) => None,
            };
            Step {
                id: full_id(link.id()),
                by: std::mem::replace(&mut by, to.clone()),
                to,
                role: link.terms.role.to_string(),
                not_before_unix_s: link.terms.not_before.0,
                expires_unix_s: link.terms.expires.0,
                uses: link.terms.uses,
                further_links: link.terms.depth,
            }
        };
        invite.links().map(step).collect()
    }

    /// The link in words.
    fn words(&self, number: usize) -> String {
        let by = match (&self.by, number) {
            (Some(peer), 1) => format!("the host, {peer},"),
            (Some(peer), _) => peer.clone(),
            (None, _) => "whoever had the text before".to_owned(),
        };
        let to = self.to.as_deref().unwrap_or("whoever has the text");
        let uses = match self.uses {
            None => "any number of times".to_owned(),
            Some(1) => "once".to_owned(),
            Some(uses) => format!("{uses} times in all"),
        };
        let further = match self.further_links {
            0 => "not to be passed on".to_owned(),
            1 => "to be passed on once".to_owned(),
            links => format!("to be passed on {links} times over"),
        };
        let until = duration::utc(UnixSeconds(self.expires_unix_s));
        let id: String = self.id.chars().take(ID_DIGITS).collect();
        format!("link {number}     {by} invited {to} as {}, {uses}, until {until}, {further} (id {id})", self.role)
    }
}

/// A node and where it can be reached.
#[derive(Debug, Serialize)]
pub struct Reachable {
    /// The node.
    pub peer: String,
    /// Multiaddresses, best first.
    pub addresses: Vec<String>,
}

impl From<&Contact> for Reachable {
    fn from(contact: &Contact) -> Self {
        let addresses = contact.addresses.iter().map(address_text).collect();
        Reachable { peer: peer_id(&contact.node), addresses }
    }
}

/// Who may come into a room of this policy, in words.
pub fn who_comes(policy: &str) -> &'static str {
    match policy {
        "open" => "open: whoever has the published invite may come",
        "social" => "social: whom members invite may come",
        _ => "closed: only who is invited by name or counted may come",
    }
}

/// What an invite says at this time of day, and whether it can be used.
pub fn report(invite: &Invite, now: UnixSeconds) -> (Report, Result<(), Failure>) {
    let verified = verify(invite);
    let terms = invite.links().last().map(|link| link.terms);
    let (from, until) = span(invite).unwrap_or_default();
    let bound_to = match invite.holder() {
        HolderKey::Bound(node) => Some(peer_id(node)),
        HolderKey::Bearer(_) => None,
    };
    let report = Report {
        room: invite.room().to_string(),
        host: peer_id(&invite.host()),
        policy: invite.founding().policy.to_string(),
        role: terms.map(|terms| terms.role.to_string()).unwrap_or_default(),
        kind: if bound_to.is_some() { "bound" } else { "bearer" },
        bound_to,
        not_before_unix_s: from.0,
        expires_unix_s: until.0,
        validity: validity(from, until, now),
        uses: uses(invite.links().map(|link| link.terms)),
        further_links: terms.map_or(0, |terms| terms.depth),
        links: invite.links().count(),
        chain: Step::all(invite),
        bootstrap: invite.bootstrap().iter().map(Reachable::from).collect(),
        problem: verified.as_ref().err().map(ToString::to_string),
    };
    (report, verified)
}

fn uses(links: impl Iterator<Item = Terms>) -> Option<u32> {
    links.filter_map(|terms| terms.uses).min()
}

fn validity(from: UnixSeconds, until: UnixSeconds, now: UnixSeconds) -> String {
    let span = |a: UnixSeconds, b: UnixSeconds| duration::in_words(Duration::from_secs(a.0.saturating_sub(b.0)));
    if now < from {
        format!("not valid yet, in {}", span(from, now))
    } else if now >= until {
        format!("expired {} ago", span(now, until))
    } else {
        format!("valid for another {}", span(until, now))
    }
}

impl Report {
    /// The report for a person.
    pub fn lines(&self) -> Vec<String> {
        let holder = match &self.bound_to {
            Some(peer) => format!("one person, {peer}"),
            None => "whoever has its text: treat it like a key".to_owned(),
        };
        let uses = self.uses.map_or("as often as you like".to_owned(), |uses| format!("{uses} times in all"));
        let mut lines = vec![
            format!("room       {}", self.room),
            format!("host       {}", self.host),
            format!("policy     {}", who_comes(&self.policy)),
            format!("grants     the role of {}", self.role),
            format!("for        {holder}"),
            format!("validity   {}", self.validity),
            format!("uses       {uses}"),
            format!("chain      {} link(s), {} more may follow", self.links, self.further_links),
        ];
        lines.extend((1..).zip(&self.chain).map(|(number, step)| step.words(number)));
        for reachable in &self.bootstrap {
            lines.extend(
                reachable.addresses.iter().map(|address| format!("address    {address}/p2p/{}", reachable.peer)),
            );
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use treehouse_invite::{Founding, Holder, Policy, Role};
    use treehouse_wire::{NodeId, Suite};

    use super::*;

    fn invite(from: u64, until: u64) -> Invite {
        let signer = Shipped.signer(&[1; 32]);
        let founder = NodeId(Shipped.public_key(&signer));
        let terms = Terms {
            role: Role::Speaker,
            not_before: UnixSeconds(from),
            expires: UnixSeconds(until),
            uses: Some(3),
            depth: 1,
        };
        let founding = Founding { founder, salt: [2; 16], policy: Policy::Closed };
        Invite::issue(&Shipped, &signer, founding, terms, Holder::Bearer { seed: [3; 32] }, []).expect("valid")
    }

    #[test]
    fn an_invite_may_be_its_text_or_a_file_that_holds_it() {
        let invite = invite(0, u64::MAX);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("invite");
        fs::write(&path, format!("{invite}\n")).expect("a file");
        assert_eq!(read(&invite.to_string()).expect("its text"), invite);
        assert_eq!(read(path.to_str().expect("unicode")).expect("its file"), invite);
    }

    #[test]
    fn what_is_no_invite_is_wrong_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("noise");
        fs::write(&path, vec![0xff; 10_000]).expect("a file");
        let cut = invite(0, u64::MAX).to_string();
        for given in [
            "hello",
            "TREEHOUSE:",
            &cut[..cut.len() - 8],
            path.to_str().expect("unicode"),
            folder.path().to_str().expect("unicode"),
        ] {
            assert_eq!(read(given).err().map(|failure| failure.exit_status()), Some(2), "{given}");
        }
    }

    #[test]
    fn an_expired_invite_is_told_from_a_broken_one() {
        let now = now();
        let (report, verified) = report(&invite(now.0 - 7200, now.0 - 3600), now);
        assert_eq!(verified.err().map(|failure| failure.exit_status()), Some(1));
        assert_eq!(report.validity, "expired 1 hour ago");
        assert!(report.problem.is_some_and(|problem| problem.contains("expired")));
    }

    #[test]
    fn a_report_says_who_invited_whom_along_the_whole_chain() {
        let ann = NodeId(Shipped.public_key(&Shipped.signer(&[7; 32])));
        let first = invite(0, 1_800_000_000);
        let terms = first.links().next().expect("a link").terms;
        let narrower = Terms { role: Role::Listener, uses: Some(1), depth: 0, ..terms };
        let second = first.narrow(&Shipped, None, narrower, Holder::Bound(ann)).expect("narrower");
        let (report, _) = report(&second, now());
        let (host, ann) = (peer_id(first.founder()), peer_id(&ann));
        assert_eq!(
            report.chain.iter().map(|step| (step.by.as_ref(), step.to.as_ref())).collect::<Vec<_>>(),
            [(Some(&host), None), (None, Some(&ann)),]
        );
        let until = "until 2027-01-15 08:00 UTC";
        for wanted in [
            format!(
                "the host, {host}, invited whoever has the text as speaker, 3 times in all, {until}, to be passed on once"
            ),
            format!("whoever had the text before invited {ann} as listener, once, {until}, not to be passed on"),
        ] {
            assert!(report.lines().iter().any(|line| line.contains(&wanted)), "{wanted}: {:?}", report.lines());
        }
    }

    #[test]
    fn a_report_says_what_an_invite_grants_in_words() {
        let (report, verified) = report(&invite(0, now().0 + 7205), now());
        assert!(verified.is_ok());
        assert_eq!((report.role.as_str(), report.kind, report.uses, report.links), ("speaker", "bearer", Some(3), 1));
        assert!(report.validity.starts_with("valid for another 2 hours"), "{}", report.validity);
        assert!(report.lines().iter().any(|line| line == "uses       3 times in all"));
    }
}
