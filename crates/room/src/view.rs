//! What a test or a simulator may look at: a room's place in the tree, at one instant.

use treehouse_wire::{
    Epoch, NodeId, Suite,
    control::{Purpose, Rank},
};

use crate::{
    room::{Phase, Room},
    time::Instant,
};

/// A feed that a room has been granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedView {
    /// Who feeds.
    pub node: NodeId,
    /// What for.
    pub purpose: Purpose,
    /// The feeder's rank, as last told.
    pub rank: Rank,
    /// It is suspect at the moment.
    pub suspect: bool,
}

/// A room's place in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The node.
    pub node: NodeId,
    /// It is a member (or the host) and has not left.
    pub inside: bool,
    /// It feeds the tree.
    pub root: bool,
    /// Its rank.
    pub rank: Rank,
    /// Feeds granted to it, but for the stage.
    pub feeds: Vec<FeedView>,
    /// Feeds that it gives, but for the stage, and what for.
    pub children: Vec<(NodeId, Purpose)>,
    /// Children that were told to make way for another or to find another feed, and still are fed meanwhile.
    pub making_way: usize,
    /// Primary and live standby feeds that it is willing to give.
    pub children_max: u8,
    /// Who leads its region: the host, or a hub, which may be itself.
    pub leader: NodeId,
    /// Members of the region that it leads, itself not counted; none where it leads none.
    pub region: Option<usize>,
    /// Its link to its leader is up.
    pub host_linked: bool,
    /// Term and version of the room state that it has.
    pub state: (u16, u32),
    /// The epochs whose packets it can open, the oldest first.
    pub epochs: Vec<Epoch>,
}

/// What a room lives on, short: cheap enough to ask after every input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upstream {
    /// Who feeds it.
    pub parent: Option<NodeId>,
    /// Who stands by, where nothing speaks against it.
    pub standby: Option<NodeId>,
    /// Relays between the roots and it, as its feeds say.
    pub depth: u8,
    /// It feeds the tree itself.
    pub root: bool,
    /// Term and version of the room state that it has.
    pub state: (u16, u32),
}

impl<S: Suite> Room<S> {
    /// What the room lives on now.
    pub fn upstream(&self) -> Upstream {
        let feed = |wanted: fn(Purpose) -> bool, sound: bool| {
            let live = self.feeds.all.iter().filter(|feed| feed.is_live() && wanted(feed.purpose));
            live.filter(|feed| !sound || feed.suspect.is_none()).map(|feed| feed.node()).next()
        };
        let depth = self.feeds.upstream().map_or(0, |feed| u8::try_from(feed.path.len()).unwrap_or(u8::MAX));
        Upstream {
            parent: feed(|purpose| purpose == Purpose::Primary, false),
            standby: feed(|purpose| matches!(purpose, Purpose::LiveStandby | Purpose::IdleStandby), true),
            depth,
            root: self.is_root(),
            state: self.state.id(),
        }
    }

    /// The epoch whose key seals what it says, if it speaks.
    pub fn sealing(&self, now: Instant) -> Option<Epoch> {
        self.keys.sealing(now).filter(|_| self.own_voice.is_some()).map(|(epoch, _)| epoch)
    }

    /// Whether it can open packets of an epoch.
    pub fn opens(&self, epoch: Epoch) -> bool {
        self.keys.opening(epoch).is_some()
    }

    /// What a feed was asked for, if it is granted.
    pub fn feed_purpose(&self, node: &NodeId) -> Option<Purpose> {
        self.feeds.get(node).filter(|feed| feed.is_live()).map(|feed| feed.purpose)
    }

    /// Whom the room sends packets of the tree now.
    pub fn fed(&self) -> Vec<NodeId> {
        self.children.live(|_| true)
    }

    /// The room's place in the tree now.
    pub fn view(&self) -> View {
        let live = self.feeds.all.iter().filter(|feed| feed.is_live());
        let feeds = live.map(|feed| FeedView {
            node: feed.node(),
            purpose: feed.purpose,
            rank: feed.rank,
            suspect: feed.suspect.is_some(),
        });
        let purposes = [Purpose::Primary, Purpose::LiveStandby, Purpose::IdleStandby, Purpose::Provisional];
        let children = purposes.into_iter().flat_map(|purpose| {
            self.children.with_purpose(|of| of == purpose).into_iter().map(move |node| (node, purpose))
        });
        View {
            node: self.me,
            inside: self.phase == Phase::In,
            root: self.is_root(),
            rank: self.rank,
            feeds: feeds.collect(),
            children: children.collect(),
            making_way: self.children.making_way(),
            children_max: self.children_max,
            host_linked: self.is_host() || self.links.is_up(&self.registry()),
            leader: if self.region.is_some() { self.me } else { self.registry() },
            region: self.region.as_ref().map(|region| region.directory.len()),
            state: self.state.id(),
            epochs: self.keys.epochs().collect(),
        }
    }
}
