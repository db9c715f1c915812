//! One node in one room, from its start to its end.
//!
//! [`Session::start`] brings up identity, network and sound; [`Session::open`] or [`Session::join`] puts a room on top;
//! [`Session::stay`] follows what happens until the room ends or somebody wants to stop, and then leaves in order:
//! the own voice first, then a goodbye to the neighbours, then the sound.
//!
//! Three kinds of thread meet here, and none waits for another: the driver's task, the sound threads, and this session's.

mod follow;
mod hearing;
mod outlet;
mod setup;
mod sound;
mod speaking;
mod stop;

use std::{collections::BTreeMap, path::Path, time::Instant};

use tokio::sync::mpsc;
use treehouse_audio::{Capture, FarEnd, Say, Volume};
use treehouse_invite::{Invite, Policy, Role};
use treehouse_net::{Endpoint, Handle, NetConfig, address_text};
use treehouse_room::{Config, HostConfig, Instant as RoomInstant, JoinConfig, Room};
use treehouse_wire::{Address, NodeId, RoomId, Shipped, VoiceId, control::Name};

use crate::{
    clock::Clock,
    control::{Control, SOCKET_FILE},
    events::Event,
    failure::Failure,
    framelog::Entry,
    identity::{Identity, data_folder, random_seed},
    inspect,
    output::Lines,
    peer::peer_id,
    record::{Files, Recorder},
    store::StoreLedger,
};
use hearing::Hearing;
use outlet::Outlet;
pub use setup::Setup;
use sound::{Ears, TOLD_MAX, Taps, Told};
use speaking::Speaking;
use stop::Stops;

/// What this node is in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// It opens the room and keeps it.
    Host,
    /// It enters.
    Member,
}

/// One node in one room.
pub struct Session {
    part: Part,
    setup: Setup,
    identity: Identity,
    node: NodeId,
    name: Name,
    addresses: Vec<Address>,
    endpoint: Option<Endpoint>,
    handle: Option<Handle>,
    outlet: Outlet,
    stops: Stops,
    ears: Ears,
    hearing: Hearing,
    voice: Option<Capture>,
    /// What commands have said of it, also before it begins.
    muted: bool,
    talking: bool,
    /// Who is heard as which voice, and how loud whoever was turned up or down.
    heard_as: BTreeMap<NodeId, VoiceId>,
    volumes: BTreeMap<NodeId, Volume>,
    taps: Taps,
    told: mpsc::Receiver<Told>,
    frame_log: Option<Lines<Entry>>,
    recorder: Option<Recorder>,
    speaking: Speaking,
    /// Host: the room that is open, and the way of commands to it.
    room: Option<RoomId>,
    control: Option<Control>,
    /// Host: what each member may do.
    roles: BTreeMap<NodeId, Role>,
    /// When it began to join.
    began: Instant,
    admitted: bool,
    /// It has said what it had to say; it does not start again.
    spoken: bool,
    /// Who may come into the room; known once this node is in it.
    policy: Policy,
}

impl Session {
    /// Brings up identity, network and sound, and shows where the node listens. Where the user names no address,
    /// `listen_instead` is used, and where that is empty all interfaces.
    ///
    /// # Errors
    /// [`Failure`], one sentence that says what to do.
    pub async fn start(setup: Setup, part: Part, listen_instead: &[Address]) -> Result<Self, Failure> {
        let stops = Stops::listen(setup.node.stay, setup.node.until_stdin_closes)?;
        let identity = Identity::for_session(&data_folder()?)?;
        let node = identity.node();
        let config = match (setup.listen.as_slice(), listen_instead) {
            ([], []) => NetConfig::default(),
            ([], instead) => net_config(instead)?,
            (wanted, _) => net_config(wanted)?,
        };
        let endpoint = treehouse_net::start(&identity.seed, &config).await.map_err(failed)?;
        let addresses = endpoint.addresses().to_vec();
        let mut outlet = Outlet::start(setup.node.json, setup.hear.takes_standard_output())?;
        let frame_log = setup.frame_log()?;
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let taps = Taps {
            clock: Clock::start(),
            log: frame_log.as_ref().map(Lines::sender),
            told: tell,
            far_end: FarEnd::default(),
        };
        let ears = Ears::open(setup.hear.clone(), (setup.mix(), setup.node.stereo), taps.clone()).await?;
        let notes = taps.clone();
        let tell = move |notice| notes.tell(Told::Notice(notice));
        let start = |files| Recorder::start(files, node, &identity.seed, Box::new(tell));
        // Last, so that nothing that fails leaves empty files behind.
        let recorder = setup.node.record.as_deref().map(Files::create).transpose()?.map(start).transpose()?;
        let listening = addresses.iter().map(address_text).collect();
        outlet.event(Event::Started { peer: peer_id(&node), temporary: identity.is_temporary(), listening });
        Ok(Session {
            part,
            name: Name::cleaned(&setup.name),
            identity,
            node,
            addresses,
            endpoint: Some(endpoint),
            handle: None,
            outlet,
            stops,
            ears,
            hearing: Hearing::of(part),
            voice: None,
            muted: setup.microphone.muted,
            talking: false,
            heard_as: BTreeMap::new(),
            volumes: BTreeMap::new(),
            taps,
            told,
            frame_log,
            recorder,
            speaking: Speaking::default(),
            room: None,
            control: None,
            roles: BTreeMap::new(),
            began: Instant::now(),
            admitted: false,
            spoken: false,
            setup,
            policy: Policy::Closed,
        })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The seed of its key.
    pub fn identity_seed(&self) -> &[u8; 32] {
        &self.identity.seed
    }

    /// Where others can reach it, best first.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// What it says.
    pub fn say(&self) -> &Say {
        &self.setup.say
    }

    /// What others call it.
    pub fn set_name(&mut self, name: &str) {
        self.name = Name::cleaned(name);
    }

    /// Shows an event that does not come from the room.
    pub fn show(&mut self, event: Event) {
        self.outlet.event(event);
    }

    /// This node's identity ends with the process.
    pub fn is_temporary(&self) -> bool {
        self.identity.is_temporary()
    }

    /// Listens to commands beside this node. Where that cannot be the room opens all the same, and says so.
    pub fn listen_control(&mut self, folder: &Path) {
        match Control::listen(folder) {
            Ok(control) => self.control = Some(control),
            Err(error) => {
                let path = folder.join(SOCKET_FILE);
                tracing::warn!("commands cannot reach this node: {}: {error}", path.display());
            }
        }
    }

    /// Opens a room. With a ledger, nobody is let in by a counted invite before it has kept that.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system gives no random numbers or no thread.
    pub fn open(&mut self, host: HostConfig, ledger: Option<StoreLedger>) -> Result<(), Failure> {
        let config = self.config()?;
        self.room = Some(host.charter.room());
        let Some(ledger) = ledger else {
            self.run(|now| Room::host(now, inspect::now(), Shipped, config, host));
            return Ok(());
        };
        let Some(endpoint) = self.recording_endpoint() else { return Ok(()) };
        let mut player = self.ears.player();
        self.began = Instant::now();
        let room = |now| Room::host(now, inspect::now(), Shipped, config, host);
        let play = move |frame, verified_at| player.play(frame, verified_at);
        self.handle = Some(endpoint.run_kept(room, play, ledger).map_err(failed)?);
        Ok(())
    }

    /// Begins to join a room by an invite that was verified.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the system gives no random numbers.
    pub fn join(&mut self, invite: Invite) -> Result<(), Failure> {
        let config = self.config()?;
        self.run(|now| Room::join(now, inspect::now(), Shipped, config, JoinConfig { invite }));
        Ok(())
    }

    fn run(&mut self, room: impl FnOnce(RoomInstant) -> Room<Shipped>) {
        let Some(endpoint) = self.recording_endpoint() else { return };
        let mut player = self.ears.player();
        self.began = Instant::now();
        self.handle = Some(endpoint.run(room, move |frame, verified_at| player.play(frame, verified_at)));
    }

    /// The network, with the recording's end in it where there is one.
    fn recording_endpoint(&mut self) -> Option<Endpoint> {
        let endpoint = self.endpoint.take()?;
        Some(match &self.recorder {
            Some(recorder) => endpoint.recording(recorder.inlet()),
            None => endpoint,
        })
    }

    fn config(&self) -> Result<Config, Failure> {
        Ok(Config {
            identity_seed: *self.identity.seed,
            random_seed: *random_seed()?,
            name: self.name.clone(),
            children_max: self.setup.node.max_children,
        })
    }
}

fn net_config(listen: &[Address]) -> Result<NetConfig, Failure> {
    NetConfig::listening_on(listen).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}
