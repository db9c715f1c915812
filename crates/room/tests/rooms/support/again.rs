//! Who comes again, invites that are passed on, and what a room would not have sent.

use treehouse_invite::{Holder, Invite, Role, Terms};
use treehouse_room::{Config, Input, JoinConfig, Room};
use treehouse_wire::{Bytes, Contact, Control, List, Suite, UnixSeconds};

use super::{Ix, WALL, World};

impl<S: Suite> World<S> {
    /// A node that was in the room comes again, by an invite.
    pub fn rejoin(&mut self, ix: Ix, invite: Invite) -> Ix {
        let config = Config { identity_seed: self.nodes[ix].identity_seed, ..self.config("again", 0) };
        let identity_seed = config.identity_seed;
        let room = Room::join(self.now, UnixSeconds(WALL), self.suite.clone(), config, JoinConfig { invite });
        let ix = self.add(room, identity_seed);
        self.input(ix, Input::Listening(Vec::new()));
        ix
    }

    /// An invite of the founder's behind which so many further links may stand.
    pub fn deep_invite(&self, depth: u8) -> Invite {
        let signer = self.suite.signer(&self.nodes[0].identity_seed);
        let (not_before, expires) = (UnixSeconds(WALL - 10), UnixSeconds(WALL + 7200));
        let terms = Terms { role: Role::Listener, not_before, expires, uses: None, depth };
        let contact = Contact { node: self.nodes[0].id, addresses: List::truncated([Self::address(0)]) };
        let holder = Holder::Bearer { seed: [19; 32] };
        let founding = self.invite.as_ref().expect("the room is open").founding();
        Invite::issue(&self.suite, &signer, founding, terms, holder, [contact]).expect("an invite")
    }

    /// A message from `from` that its room did not send, at the other end of their link.
    pub fn slip_control(&mut self, from: Ix, to: Ix, message: &Control) {
        let from = self.nodes[from].id;
        self.hostile.insert(from);
        self.input(to, Input::Control { from, bytes: &message.to_bytes() });
    }

    /// A packet from `from` that its room did not send.
    pub fn slip_media(&mut self, from: Ix, to: Ix, packet: Bytes) {
        let from = self.nodes[from].id;
        self.hostile.insert(from);
        self.input(to, Input::Media { from, packet });
    }
}
