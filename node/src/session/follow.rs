//! What a session does about what happens.

use std::time::{Duration, Instant};

use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use treehouse_audio::{CaptureOptions, CapturedFrame, Hear, Say, Talk, Volume, encode::LossReport};
use treehouse_invite::{Policy, Role, StageMember};
use treehouse_net::{Captured, Handle, address_text};
use treehouse_room::{Command, Event as RoomEvent, JoinFailure, RoomError};
use treehouse_wire::{NodeId, VoiceId};

use super::{
    Part, Session,
    outlet::Outlet,
    sound::{Told, start_voice},
    stop,
};
use crate::{
    control::{Answer, Asked, Control, Request, Sound},
    events::{self, Event, Stats, from_room},
    failure::Failure,
    framelog::Entry,
    identity::random_seed,
    invite::read_id,
    peer::peer_id,
    process,
};

/// The session looks around this often: at the view, at who has ceased to speak.
const LOOK: Duration = Duration::from_millis(100);
/// Counters are told once in so many looks.
const STATS_EVERY: u32 = 10;
/// From the end of the own voice to the goodbye, so that its last frames are still somebody's who is on stage.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// Members whose volume is remembered; of more the first by peer id are forgotten.
const VOLUMES_MAX: usize = 64;
/// A room that was told to end does so within this.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// Why a session is over.
enum End {
    /// Somebody wanted it to stop.
    Stopped,
    /// The room has ended.
    Room(&'static str),
    /// It could not be joined, or the network has stopped.
    Failed(Failure, &'static str),
}

impl Session {
    /// Follows the room until it ends or somebody wants to stop, and leaves in order.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the room could not be joined or the network stopped.
    pub async fn stay(mut self) -> Result<(), Failure> {
        let end = self.follow().await;
        self.leave(end).await
    }

    async fn follow(&mut self) -> End {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0_u32;
        loop {
            let Some(handle) = &mut self.handle else {
                return End::Failed(Failure::Failed("there is no room".to_owned()), "failed");
            };
            tokio::select! {
                event = handle.event() => match event {
                    Some(event) => if let Some(end) = self.on_event(&event).await { return end },
                    None => {
                        let sentence = "the network has stopped: look into the log and start again";
                        return End::Failed(Failure::Failed(sentence.to_owned()), "failed");
                    }
                },
                Some(told) = self.told.recv() => match told {
                    Told::Unheard => return End::Stopped,
                    told => self.on_told(told).await,
                },
                asked = asked(&mut self.control) => self.on_asked(asked).await,
                () = self.stops.wait() => return End::Stopped,
                _ = look.tick() => {
                    looks = looks.wrapping_add(1);
                    self.look_around(looks);
                    if self.outlet.is_broken() {
                        return End::Stopped;
                    }
                }
            }
        }
    }

    fn look_around(&mut self, looks: u32) {
        let now = Instant::now();
        for node in self.speaking.ceased(now) {
            self.outlet.event(Event::Speaking { peer: peer_id(&node), on: false });
        }
        self.outlet.refresh(now);
        if self.hearing.tell(&self.ears) {
            // Volumes that were chosen before there was anything to hear with.
            let chosen = self.heard_as.iter().filter_map(|(node, voice)| Some((voice, self.volumes.get(node)?)));
            chosen.for_each(|(voice, volume)| self.ears.set_volume(*voice, *volume));
        }
        if looks.is_multiple_of(STATS_EVERY) {
            let stats = self.stats();
            self.outlet.event(Event::Stats(stats));
        }
    }

    fn stats(&self) -> Stats {
        let counted = self.handle.as_ref().map(Handle::stats).unwrap_or_default();
        Stats {
            bytes_sent: counted.bytes_sent,
            frames_sent: counted.frames_sent,
            frames_received: counted.frames_received,
            frames_verified: self.ears.frames_verified(),
            frames_unsent: counted.captured_dropped,
            packets_dropped: counted.packets_dropped,
            cpu_ms: process::cpu_ms(),
            rss_kib_max: process::rss_kib_max(),
        }
    }

    async fn on_event(&mut self, event: &RoomEvent) -> Option<End> {
        if let RoomEvent::Closed(closing) = event {
            return Some(End::Room(events::closing_word(*closing)));
        }
        let after_ms = self.began.elapsed().as_millis() as u64;
        self.outlet.event(from_room(event, after_ms, address_text));
        match event {
            RoomEvent::Admitted { role, policy, .. } => {
                self.policy = *policy;
                self.on_admitted(*role).await;
            }
            RoomEvent::JoinFailed(failure) => return Some(join_failed(failure)),
            RoomEvent::MemberJoined { peer, role, .. } => {
                self.roles.insert(*peer, *role);
            }
            RoomEvent::MemberLeft { peer, .. } => {
                self.roles.remove(peer);
            }
            RoomEvent::Hand { peer, raised: true, .. } => self.on_hand(*peer).await,
            RoomEvent::Stage(members) => {
                self.hearing.on_stage = members.iter().any(|member| member.node == self.node);
                self.on_stage(members).await;
            }
            RoomEvent::Protection(protection) => self.hearing.protection = *protection,
            RoomEvent::Feeds { depth, .. } => self.hearing.depth = *depth,
            RoomEvent::Losses(reckoned) => {
                if let Some(voice) = &self.voice {
                    voice.report_loss(LossReport::of(*reckoned));
                }
            }
            _ => {}
        }
        None
    }

    /// A member that has something to say raises its hand as soon as it is in.
    async fn on_admitted(&mut self, role: Role) {
        if self.admitted {
            return;
        }
        self.admitted = true;
        if self.part == Part::Host && self.recorder.is_some() {
            self.command(Command::SetRecording(true)).await;
        }
        if self.part != Part::Member || self.setup.say == Say::None {
            return;
        }
        if role < Role::Speaker {
            let notice = "your invite lets you listen, not speak: you stay in the audience".to_owned();
            return self.outlet.event(Event::Sound { notice });
        }
        match random_seed() {
            Ok(seed) => self.command(Command::RaiseHand { media_seed: *seed }).await,
            Err(error) => self.outlet.event(Event::Sound { notice: format!("you cannot speak: {error}") }),
        }
    }

    /// Host: whoever's invite grants a speaker's role comes onto the stage.
    async fn on_hand(&mut self, peer: NodeId) {
        if self.part == Part::Host && self.roles.get(&peer).is_some_and(|role| *role >= Role::Speaker) {
            self.command(Command::Promote(peer)).await;
        }
    }

    /// Speaks as long as this node is on stage. Whoever was turned up or down stays so with a new key.
    async fn on_stage(&mut self, members: &[StageMember]) {
        self.heard_as =
            members.iter().filter_map(|member| Some((member.node, member.claim.as_ref()?.key.voice()))).collect();
        for (node, voice) in &self.heard_as {
            if let Some(volume) = self.volumes.get(node) {
                self.ears.set_volume(*voice, *volume);
            }
        }
        let claim = members.iter().find(|member| member.node == self.node).and_then(|member| member.claim.as_ref());
        match (claim.map(|claim| claim.key.voice()), self.voice.is_some()) {
            (Some(voice), false) => self.speak(voice).await,
            (None, true) => self.fall_silent().await,
            _ => {}
        }
    }

    async fn speak(&mut self, voice: VoiceId) {
        if self.spoken || self.setup.say == Say::None {
            return;
        }
        let Some(sender) = self.handle.as_ref().map(Handle::captured) else { return };
        let send = move |frame: CapturedFrame| {
            let CapturedFrame { number, captured, level, opus, .. } = frame;
            sender.send(Captured { number, captured, level, opus });
        };
        let microphone = &self.setup.microphone;
        // Who may not come in is not to tell from the sizes of packets what is said.
        let options = CaptureOptions {
            looped: self.setup.node.repeat,
            one_size: self.policy == Policy::Closed,
            muted: self.muted,
            talk: microphone.talk(),
            processing: microphone.processing(),
            music: microphone.music(),
            ..CaptureOptions::default()
        };
        match start_voice(self.setup.say.clone(), options, (self.node, voice), self.taps.clone(), send).await {
            Ok(capture) => {
                capture.set_talking(self.talking);
                self.voice = Some(capture);
                self.outlet.event(Event::Live { voice: Some(voice.to_string()) });
            }
            Err(error) => {
                self.spoken = true;
                self.outlet.event(Event::Sound { notice: format!("you are not heard: {error}") });
                self.command(Command::LowerHand).await;
            }
        }
    }

    /// Stops the own voice; its thread ends within a frame.
    async fn fall_silent(&mut self) {
        if let Some(voice) = self.voice.take() {
            self.spoken = true;
            let _ = tokio::task::spawn_blocking(move || voice.stop()).await;
        }
    }

    async fn on_told(&mut self, told: Told) {
        match told {
            Told::Level(node, level) => {
                let (now, peer) = (Instant::now(), peer_id(&node));
                self.outlet.level(&peer, level.minus_dbov(), now);
                if self.speaking.level(node, level, now) {
                    self.outlet.event(Event::Speaking { peer, on: true });
                }
            }
            Told::FirstAudio(at) => {
                let after_ms = at.duration_since(self.began).as_millis() as u64;
                self.outlet.event(Event::FirstAudio { after_ms });
            }
            Told::Unheard => {}
            Told::Lost(voice, losses) => self.command(Command::ReportLosses { voice, losses }).await,
            Told::Notice(notice) => self.outlet.event(Event::Sound { notice }),
            Told::VoiceOver => {
                self.outlet.event(Event::Sound { notice: "you have said all that you had to say".to_owned() });
                self.fall_silent().await;
                sleep(LAST_WORDS).await;
                self.command(Command::LowerHand).await;
            }
        }
    }

    /// A command beside this node wants something of the room that is open here.
    async fn on_asked(&mut self, asked: Asked) {
        let answer = match &asked.request {
            Request::RevokeInvite { room, .. } | Request::Moderate { room, .. } | Request::Record { room, .. }
                if self.room.map(|room| room.to_string()).as_ref() != Some(room) =>
            {
                Answer::OtherRoom
            }
            Request::RevokeInvite { link, .. } => match read_id(link) {
                Some(link) => self.ask(Command::RevokeInvite(link)).await,
                None => Answer::Refused("the invite's id must be 64 hexadecimal digits".to_owned()),
            },
            Request::Record { on, .. } => self.ask(Command::SetRecording(*on)).await,
            Request::Moderate { what, whom, .. } => self.ask(what.command(*whom)).await,
            Request::Sound(sound) => self.change_sound(*sound),
        };
        asked.answer(answer);
    }

    /// A command beside this node changes what it sends or hears.
    fn change_sound(&mut self, sound: Sound) -> Answer {
        let refused = |why: &str| Answer::Refused(why.to_owned());
        match sound {
            Sound::Muted(_) | Sound::Talking(_) if self.setup.say == Say::None => {
                return refused("this node says nothing: start it with --say mic");
            }
            Sound::Talking(_)
                if self.setup.microphone.talk() != Talk::Push || !matches!(self.setup.say, Say::Mic(_)) =>
            {
                return refused("this node sends without a key: start it with --say mic --talk push");
            }
            Sound::Talking(true) if self.muted => {
                return refused("this node is muted: `treehouse sound unmute` first");
            }
            Sound::Volume { .. } if self.setup.hear == Hear::None => {
                return refused("this node hears nothing: start it with --hear speakers");
            }
            Sound::Muted(muted) => {
                self.muted = muted;
                self.voice.iter().for_each(|voice| voice.set_muted(muted));
            }
            Sound::Talking(talking) => {
                self.talking = talking;
                self.voice.iter().for_each(|voice| voice.set_talking(talking));
            }
            Sound::Volume { whom, percent } => {
                let Some(voice) = self.heard_as.get(&whom) else {
                    return refused(
                        "nobody with this peer id is on stage: who is, the view of the room says, and the event `stage`",
                    );
                };
                let volume = Volume::new(f32::from(percent) / 100.0);
                self.ears.set_volume(*voice, volume);
                if self.volumes.len() >= VOLUMES_MAX && !self.volumes.contains_key(&whom) {
                    self.volumes.pop_first();
                }
                self.volumes.insert(whom, volume);
            }
        }
        Answer::Done
    }

    async fn ask(&mut self, command: Command) -> Answer {
        let Some(handle) = &self.handle else { return Answer::OtherRoom };
        match handle.ask(command).await {
            Ok(()) => Answer::Done,
            Err(RoomError::NoSuchBan) => Answer::NoSuchBan,
            Err(error) => Answer::Refused(error.to_string()),
        }
    }

    async fn command(&mut self, command: Command) {
        if let Some(handle) = &self.handle {
            handle.command(command).await;
        }
    }

    /// The own voice ends first, then the neighbours are told, then the sound ends, then the logs.
    async fn leave(mut self, end: End) -> Result<(), Failure> {
        stop::end_at_once();
        let spoke = self.voice.is_some();
        self.fall_silent().await;
        let (reason, outcome) = match end {
            End::Stopped => {
                if spoke {
                    sleep(LAST_WORDS).await;
                }
                self.say_goodbye().await;
                ("left", Ok(()))
            }
            End::Room(reason) => (reason, Ok(())),
            End::Failed(failure, reason) => (reason, Err(failure)),
        };
        let stats = self.stats();
        if let Some(handle) = self.handle.take() {
            let _ = timeout(LEAVE_MAX, handle.stop()).await;
        }
        self.ears.close().await;
        if let Some(recorder) = self.recorder.take() {
            let _ = tokio::task::spawn_blocking(move || recorder.finish()).await;
            tell_rest(&mut self.told, &mut self.outlet);
        }
        if let (Some(log), Some(lines)) = (self.taps.log.take(), self.frame_log.take()) {
            log.send(Entry::End { dropped: log.dropped() });
            lines.finish();
        }
        if self.outlet.is_json() {
            self.outlet.event(Event::Stats(stats));
        }
        self.outlet.close(reason);
        outcome
    }

    /// Tells the room, and waits until it has ended.
    async fn say_goodbye(&mut self) {
        self.command(Command::Leave).await;
        let after_ms = self.began.elapsed().as_millis() as u64;
        let (Some(handle), outlet) = (&mut self.handle, &mut self.outlet) else { return };
        let over = async {
            loop {
                match handle.event().await {
                    None | Some(RoomEvent::Closed(_)) => return,
                    Some(event) => outlet.event(from_room(&event, after_ms, address_text)),
                }
            }
        };
        let _ = timeout(LEAVE_MAX, over).await;
    }
}

/// Shows what the sound had to say until the end.
fn tell_rest(told: &mut mpsc::Receiver<Told>, outlet: &mut Outlet) {
    while let Ok(told) = told.try_recv() {
        if let Told::Notice(notice) = told {
            outlet.event(Event::Sound { notice });
        }
    }
}

/// The next request of a command; never where none can come.
async fn asked(control: &mut Option<Control>) -> Asked {
    if let Some(control) = control
        && let Some(asked) = control.asked().await
    {
        return asked;
    }
    std::future::pending().await
}

fn join_failed(failure: &JoinFailure) -> End {
    let mut sentence = events::join_failure(failure).to_owned();
    if let JoinFailure::Unanswered { attempts } = failure {
        let tried: Vec<String> =
            attempts.iter().map(|(address, reason)| format!("{}: {reason}", address_text(address))).collect();
        if !tried.is_empty() {
            sentence = format!("{sentence} (tried {})", tried.join("; "));
        }
    }
    End::Failed(Failure::Failed(sentence), "join_failed")
}
