//! What a person sees of a room: one line for what has happened, and a block that says how things are.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    events::{Event, OnStage},
    inspect::who_comes,
    peer::short,
};

/// A voice that was not heard for this long is silent.
const SPEAKING_FOR: Duration = Duration::from_millis(400);
/// Width of a level meter, in characters.
const METER: usize = 16;
/// The quietest level that moves the meter, in -dBov.
const METER_FLOOR: u8 = 60;

/// How things are, from the events so far.
#[derive(Debug, Default)]
pub struct View {
    me: String,
    title: String,
    role: String,
    members: u32,
    hands: u32,
    stage: Vec<OnStage>,
    names: BTreeMap<String, String>,
    levels: BTreeMap<String, (u8, Instant)>,
    parent: Option<String>,
    standby: Option<String>,
    children: Vec<String>,
    standbys: Vec<String>,
    host_lost: bool,
    recording: bool,
    /// Bytes that were sent to others, and bits in the last second.
    carried: u64,
    rate_bps: u64,
}

impl View {
    /// Takes an event in, and says what a person is told of it, if anything.
    pub fn apply(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Started { peer, temporary, listening } => {
                self.me = peer.clone();
                let kind = if *temporary { "temporary identity" } else { "identity" };
                Some(format!("{kind} {peer}, listening on {}", listening.join(" ")))
            }
            Event::Joining { host, policy, .. } => {
                Some(format!("joining a room of …{} (policy {})", short(host), who_comes(policy)))
            }
            Event::Invite { invite } => Some(format!("invite, for those who should come:\n\n{invite}\n")),
            Event::Admitted { title, role, policy, .. } => {
                (self.title, self.role) = (title.clone(), role.clone());
                let comes = who_comes(policy);
                Some(match role.as_str() {
                    "booster" => {
                        format!("relaying the room \"{title}\" as a booster (policy {comes}); Ctrl-C leaves it")
                    }
                    "host" => format!("the room \"{title}\" is open (policy {comes}); Ctrl-C closes it"),
                    _ => format!("in the room \"{title}\" as {role} (policy {comes}); Ctrl-C leaves it"),
                })
            }
            Event::MemberJoined { peer, name, role } => {
                self.names.insert(peer.clone(), name.clone());
                Some(format!("{name} came in as {role}"))
            }
            Event::MemberLeft { peer, polite } => {
                let name = self.name(peer);
                self.names.remove(peer);
                Some(if *polite { format!("{name} left") } else { format!("{name} is gone without a word") })
            }
            Event::Hand { name, raised, .. } => {
                Some(if *raised { format!("{name} raises a hand") } else { format!("{name} lowers the hand") })
            }
            _ => self.apply_state(event),
        }
    }

    fn apply_state(&mut self, event: &Event) -> Option<String> {
        match event {
            Event::Members { count } => self.members = *count,
            Event::Stats(stats) => {
                self.rate_bps = stats.bytes_sent.saturating_sub(self.carried) * 8;
                self.carried = stats.bytes_sent;
            }
            Event::Hands { count } => self.hands = *count,
            Event::Stage { members } => {
                for member in members {
                    self.names.insert(member.peer.clone(), member.name.clone());
                }
                self.stage = members.clone();
            }
            Event::Feeds { parent, standby, .. } => (self.parent, self.standby) = (parent.clone(), standby.clone()),
            Event::Children { primary, standby } => {
                (self.children, self.standbys) = (primary.clone(), standby.clone());
            }
            Event::Recording { on } => {
                self.recording = *on;
                return Some(if *on { "the room is recorded".to_owned() } else { "recording has ended".to_owned() });
            }
            Event::HostLost => {
                self.host_lost = true;
                return Some("the link to the host is lost; it is dialled again".to_owned());
            }
            Event::HostBack => {
                self.host_lost = false;
                return Some("the link to the host is back".to_owned());
            }
            Event::Repaired { after_ms } => return Some(format!("feeds repaired after {after_ms} ms")),
            Event::Offence { peer, kind } => {
                return Some(format!("{} broke the protocol ({kind}); what it sent was dropped", self.name(peer)));
            }
            Event::Live { .. } => return Some("you are on stage: the room hears you".to_owned()),
            Event::Sound { notice } => return Some(notice.clone()),
            Event::JoinFailed { attempts, .. } => {
                let tried = attempts.iter().map(|attempt| format!("tried {}: {}", attempt.address, attempt.reason));
                return Some(tried.collect::<Vec<_>>().join("\n")).filter(|lines| !lines.is_empty());
            }
            Event::Closed { reason, .. } => {
                return Some(match reason.as_str() {
                    "closed_by_host" => "the host has closed the room".to_owned(),
                    "removed" => "the host has put you out of the room".to_owned(),
                    "left" => "left the room".to_owned(),
                    other => format!("the room has ended: {other}"),
                });
            }
            _ => {}
        }
        None
    }

    /// Notes how loud somebody is, in -dBov.
    pub fn level(&mut self, peer: &str, minus_dbov: u8, now: Instant) {
        self.levels.insert(peer.to_owned(), (minus_dbov, now));
    }

    /// The block that says how things are.
    pub fn block(&self, now: Instant) -> Vec<String> {
        if self.title.is_empty() {
            return Vec::new();
        }
        let recorded = if self.recording { "  ● recorded" } else { "" };
        let lost = if self.host_lost { "  (no link to the host)" } else { "" };
        let listening = (self.members as usize).saturating_sub(self.stage.len());
        let hands = if self.hands > 0 { format!(", {} with a hand up", self.hands) } else { String::new() };
        let mut lines = vec![format!("── {} ── {listening} listening{hands}{recorded}{lost}", self.title)];
        for member in &self.stage {
            let level = self.levels.get(&member.peer).filter(|(_, at)| now.duration_since(*at) < SPEAKING_FOR);
            let meter = meter(level.map_or(127, |(level, _)| *level));
            lines.push(format!("   {meter}  {} ({})", self.name(&member.peer), member.role));
        }
        let feeds = match (&self.parent, &self.standby) {
            (None, None) if self.role == "host" => "you are the root".to_owned(),
            (None, _) => "looking for a feed".to_owned(),
            (Some(parent), None) => format!("fed by {}", self.name(parent)),
            (Some(parent), Some(standby)) => format!("fed by {}, standby {}", self.name(parent), self.name(standby)),
        };
        lines.push(format!("   {feeds}; you feed {}", self.whom_i_feed()));
        if self.role == "booster" {
            let (kbps, mb) = (self.rate_bps / 1000, self.carried as f64 / 1e6);
            lines.push(format!(
                "   you carry {kbps} kbit/s, {mb:.1} MB so far, and hear nothing: the key is the members'"
            ));
        }
        lines
    }

    fn whom_i_feed(&self) -> String {
        let mut fed: Vec<String> = self.children.iter().map(|peer| self.name(peer)).collect();
        fed.extend(self.standbys.iter().map(|peer| format!("{} (as standby)", self.name(peer))));
        match fed.len() {
            0 => "nobody yet".to_owned(),
            1..=6 => fed.join(", "),
            more => format!("{} and {} more", fed.iter().take(5).cloned().collect::<Vec<_>>().join(", "), more - 5),
        }
    }

    fn name(&self, peer: &str) -> String {
        match self.names.get(peer) {
            _ if peer == self.me => "you".to_owned(),
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("…{}", short(peer)),
        }
    }
}

/// A bar that is full at full scale and empty at the floor.
fn meter(minus_dbov: u8) -> String {
    let above = usize::from(METER_FLOOR.saturating_sub(minus_dbov));
    let filled = (above * METER).div_ceil(usize::from(METER_FLOOR));
    format!("{}{}", "█".repeat(filled), "·".repeat(METER - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(peer: &str, name: &str, role: &str) -> OnStage {
        OnStage { peer: peer.to_owned(), name: name.to_owned(), role: role.to_owned(), voice: None }
    }

    fn view() -> View {
        let mut view = View::default();
        let text = str::to_owned;
        let admitted = Event::Admitted {
            room: "0".repeat(64),
            title: text("Tea"),
            policy: text("closed"),
            role: text("listener"),
            after_ms: 9,
        };
        let told = View::default().apply(&admitted).unwrap_or_default();
        assert!(told.contains("as listener (policy closed"), "{told}");
        view.apply(&Event::Started { peer: "me".to_owned(), temporary: false, listening: Vec::new() });
        view.apply(&admitted);
        view.apply(&Event::Members { count: 7 });
        let members = vec![member("H", "host", "host"), member("A", "ann", "speaker")];
        view.apply(&Event::Stage { members });
        view.apply(&Event::Feeds {
            parent: Some("H".to_owned()),
            standby: Some("12D3KooWabcdef".to_owned()),
            depth: 0,
        });
        view
    }

    #[test]
    fn the_block_says_who_is_on_stage_who_speaks_and_who_feeds_whom() {
        let mut view = view();
        let now = Instant::now();
        view.level("A", 20, now);
        view.apply(&Event::Children { primary: vec!["A".to_owned()], standby: vec!["H".to_owned()] });
        assert_eq!(
            view.block(now),
            [
                "── Tea ── 5 listening",
                "   ················  host (host)",
                "   ███████████·····  ann (speaker)",
                "   fed by host, standby …abcdef; you feed ann, host (as standby)",
            ]
        );
        let later = view.block(now + SPEAKING_FOR);
        assert!(
            later.iter().any(|line| line == "   ················  ann (speaker)"),
            "ann is silent again: {later:?}"
        );
    }

    #[test]
    fn before_admission_there_is_nothing_to_show() {
        assert!(View::default().block(Instant::now()).is_empty());
    }

    #[test]
    fn a_person_is_told_what_matters_in_words() {
        let mut view = view();
        let left = |polite| Event::MemberLeft { peer: "A".to_owned(), polite };
        assert_eq!(view.apply(&left(true)).as_deref(), Some("ann left"));
        assert_eq!(view.apply(&left(false)).as_deref(), Some("…A is gone without a word"));
        assert_eq!(view.apply(&Event::Members { count: 3 }), None);
    }

    #[test]
    fn meters_are_empty_at_the_floor_and_full_at_full_scale() {
        assert_eq!(meter(127), "·".repeat(METER));
        assert_eq!(meter(METER_FLOOR), "·".repeat(METER));
        assert_eq!(meter(0), "█".repeat(METER));
    }
}
