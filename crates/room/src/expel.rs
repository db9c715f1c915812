//! Letting go of those whom the room state bans: the state goes to them, so that they see why, and the room key does not.

use treehouse_invite::{Certificate, StateList};
use treehouse_wire::{Control, Lineage, NodeId, Suite, control::Farewell};

use crate::{api::Closing, room::Room};

impl<S: Suite> Room<S> {
    /// Whether the room state bans a node that came by these links.
    pub(crate) fn is_banned(&self, node: &NodeId, lineage: &Lineage) -> bool {
        *node != self.host && self.state.bans().of(node, lineage, self.wall).is_some()
    }

    /// The bans have changed: lets go of children, feeds and members of the region that are banned now. False where this node is.
    pub(crate) fn expel_banned(&mut self) -> bool {
        if self.is_banned_itself() {
            self.close(Closing::Removed);
            return false;
        }
        let children = self.children.came_by().filter(|(node, lineage)| self.is_banned(node, lineage));
        let mut banned: Vec<NodeId> = children.map(|(node, _)| node).collect();
        let members = self.region.iter().flat_map(|region| region.directory.all());
        banned.extend(members.filter(|of| self.is_banned(&of.node, &of.lineage)).map(|of| of.node));
        // Whom a feed or a stage link leads to is known by its key alone.
        let feeds = self.feeds.all.iter().map(|feed| feed.node());
        let others = feeds.chain(self.stage_links.listeners().iter().copied()).chain(self.stage_links.speakers());
        banned.extend(others.filter(|node| self.is_banned(node, &Lineage::default())));
        banned.sort_unstable();
        banned.dedup();
        for node in banned {
            self.expel(node);
        }
        true
    }

    fn is_banned_itself(&self) -> bool {
        let own = self.certificate.as_ref().and_then(|held| Certificate::read(&held.statement).ok());
        own.is_some_and(|own| self.is_banned(&self.me, &own.lineage))
    }

    fn expel(&mut self, node: NodeId) {
        let linked = self.links.is_up(&node);
        if linked {
            let bans = self.state.bans().parts();
            let head = self.state.messages().into_iter().filter(|message| matches!(message, Control::State(_)));
            let stage = self.state.stage().parts();
            for message in head.chain(stage).chain(bans).collect::<Vec<_>>() {
                self.send(node, &message);
            }
        }
        self.hub_left(node);
        self.forget_member(node, true);
        if linked {
            // As when the link is lost: children, feeds and stage links end with it.
            self.hang_up(node, Farewell::Removed);
        }
    }
}
