//! The course of a demo: who is started when, what is waited for, and when everyone stops.

use std::{
    ffi::OsString,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    TAIL,
    children::{EVENTS_MAX, Node, Report},
    logjoin::{Listened, Spoken},
    progress::Progress,
    recording::Recording,
    report::{Kill, Listener, Observed},
    tree::{Part, Tree},
};
use crate::{
    cli::DemoArgs,
    clock::Clock,
    events::{Event, Stats},
    failure::Failure,
    framelog,
};

/// A host opens its room within this.
const HOST_MAX: Duration = Duration::from_secs(20);
/// Speakers are on stage within this.
const STAGE_MAX: Duration = Duration::from_secs(20);
/// The last listener hears something within this of its start.
const AUDIO_MAX: Duration = Duration::from_secs(30);
/// Between one start of a listener and the next: they come one by one, and the tree can be watched growing.
const SPACING: Duration = Duration::from_millis(150);
/// How long standbys are waited for before the talk is timed.
const STANDBY_MAX: Duration = Duration::from_secs(5);
/// Everyone has left within this of being told to.
const LEAVE_MAX: Duration = Duration::from_secs(12);
/// What the names of speakers are taken from, so that a tree reads well.
const SPEAKER: &str = "speaker";

/// What the children have said so far.
#[derive(Default)]
struct Said {
    invited: bool,
    live: bool,
    first_audio_ms: Option<u64>,
    stats: Stats,
}

/// One run.
pub(super) struct Run<'a> {
    args: &'a DemoArgs,
    folder: &'a Path,
    progress: &'a mut Progress,
    clock: Clock,
    nodes: Vec<Node>,
    said: Vec<Said>,
    tree: Tree,
    sender: mpsc::Sender<(usize, Report)>,
    reports: mpsc::Receiver<(usize, Report)>,
}

impl<'a> Run<'a> {
    pub(super) fn new(args: &'a DemoArgs, folder: &'a Path, progress: &'a mut Progress) -> Self {
        let (sender, reports) = mpsc::channel(EVENTS_MAX);
        let (nodes, said, tree) = (Vec::new(), Vec::new(), Tree::default());
        Run { args, folder, progress, clock: Clock::start(), nodes, said, tree, sender, reports }
    }

    /// Runs the room to its end and gathers what was seen. Ctrl-C ends it early.
    pub(super) async fn observe(mut self) -> Result<Observed, Failure> {
        let course = self.course();
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let outcome = tokio::select! {
            outcome = course => Some(outcome),
            () = interrupted => None,
        };
        match outcome {
            Some(Ok(observed)) => Ok(observed),
            failed => {
                self.end_all().await;
                Err(match failed {
                    Some(Err(failure)) => failure,
                    _ => Failure::Failed("interrupted: all nodes have been ended".to_owned()),
                })
            }
        }
    }

    async fn course(&mut self) -> Result<Observed, Failure> {
        self.open().await?;
        self.fill().await?;
        let host_before = self.host_stats();
        let half = self.args.stay / 2;
        self.listen_for(half).await?;
        self.show_tree("half-way, the tree is:");
        let (relays, depth_max) = (self.tree.relays(), self.tree.depth_max());
        let kill = if self.args.kill_relay { Some(self.kill_relay()?) } else { None };
        self.listen_for(self.args.stay - half).await?;
        if kill.is_some() {
            self.show_tree("at the end, the tree is:");
        }
        let until_ns = self.clock.now_ns();
        self.leave(Part::Speaker);
        self.listen_for(TAIL).await?;
        let host = (host_before, self.host_stats());
        self.leave(Part::Listener);
        self.all_ended(&[Part::Speaker, Part::Listener]).await?;
        self.leave(Part::Host);
        self.all_ended(&[Part::Host]).await?;
        self.progress.say("everyone has left; comparing what was said with what was heard");
        self.gather(until_ns, kill, (relays, depth_max), host)
    }

    /// Starts the host, then the speakers, and waits until all of them speak.
    async fn open(&mut self) -> Result<(), Failure> {
        let invite = self.invite_file();
        let mut host = words(&["host", "--title", "Demo", "--say", "none", "--hear", "none", "--invite-file"]);
        host.push(invite.into_os_string());
        host.extend(words(&["--protection", &self.args.protection.to_string()]));
        host.extend(words(&["--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--listen", "/ip4/127.0.0.1/tcp/0"]));
        self.start("host".to_owned(), Part::Host, host)?;
        self.wait(HOST_MAX, "the host opens no room", |run| run.said.iter().all(|said| said.invited)).await?;
        for number in 1..=self.args.speakers {
            let sample = if number % 2 == 1 { "sample:1" } else { "sample:2" };
            let name = format!("{SPEAKER}-{number:02}");
            let arguments = self.join(&name, sample, "none".into());
            self.start(name, Part::Speaker, arguments)?;
        }
        let speak =
            |run: &Run| run.nodes.iter().zip(&run.said).all(|(node, said)| node.part != Part::Speaker || said.live);
        self.wait(STAGE_MAX, "a speaker does not come onto the stage", speak).await?;
        self.progress.say(&format!("{} speaker(s) on stage", self.args.speakers));
        Ok(())
    }

    /// Starts the listeners one by one, and waits until all of them hear something.
    async fn fill(&mut self) -> Result<(), Failure> {
        for number in 1..=self.args.listeners {
            let name = format!("listener-{number:02}");
            let recording = self.folder.join(format!("{name}.wav"));
            let arguments = self.join(&name, "none", recording.into_os_string());
            self.start(name, Part::Listener, arguments)?;
            self.listen_for(SPACING).await?;
            if number.is_power_of_two() && number >= 4 && number < self.args.listeners {
                self.show_tree(&format!("{number} listeners have come, the tree is:"));
            }
        }
        let hear = |run: &Run| {
            let listeners = run.nodes.iter().zip(&run.said).filter(|(node, _)| node.part == Part::Listener);
            listeners.into_iter().all(|(_, said)| said.first_audio_ms.is_some())
        };
        self.wait(AUDIO_MAX, "a listener hears nothing", hear).await?;
        // Standbys are a matter of course, not of the demo: it goes on without them, and the result shows it.
        let deadline = Instant::now() + STANDBY_MAX;
        while self.tree.listeners_with_standby() < usize::from(self.args.listeners) && Instant::now() < deadline {
            self.listen_for(Duration::from_millis(100)).await?;
        }
        self.show_tree(&format!("all {} hear the room, the tree is:", self.args.listeners));
        Ok(())
    }

    fn join(&self, name: &str, say: &str, hear: OsString) -> Vec<OsString> {
        let mut arguments = words(&["join"]);
        arguments.push(self.invite_file().into_os_string());
        arguments.extend(words(&["--name", name, "--say", say, "--hear"]));
        arguments.push(hear);
        arguments
    }

    fn invite_file(&self) -> PathBuf {
        self.folder.join("invite")
    }

    fn start(&mut self, name: String, part: Part, mut arguments: Vec<OsString>) -> Result<(), Failure> {
        arguments.extend(words(&["--max-children", &self.args.max_children.to_string()]));
        let index = self.nodes.len();
        self.nodes.push(Node::start(index, (name, part), self.folder, arguments, self.sender.clone())?);
        self.said.push(Said::default());
        Ok(())
    }

    /// Takes reports in until something holds.
    async fn wait(&mut self, most: Duration, missing: &str, holds: impl Fn(&Run) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + most;
        while !holds(self) {
            if !self.take_until(deadline).await? {
                let folder = self.folder.display();
                return Err(Failure::Failed(format!(
                    "{missing} within {} s: look into the logs in {folder}",
                    most.as_secs()
                )));
            }
        }
        Ok(())
    }

    /// Takes reports in for a time.
    async fn listen_for(&mut self, time: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time;
        while self.take_until(deadline).await? {}
        Ok(())
    }

    /// Takes the next report in; false where none comes before the deadline. A child that ends by itself ends the demo.
    async fn take_until(&mut self, deadline: Instant) -> Result<bool, Failure> {
        if Instant::now() >= deadline {
            return Ok(false);
        }
        let Ok(Some((index, report))) = timeout_at(deadline, self.reports.recv()).await else { return Ok(false) };
        let (Some(node), Some(said)) = (self.nodes.get_mut(index), self.said.get_mut(index)) else { return Ok(true) };
        match report {
            Report::Ended(status) => {
                node.ended = Some(status);
                if !node.ending {
                    return Err(Failure::Failed(node.obituary()));
                }
            }
            Report::Event(Event::Started { peer, .. }) => {
                self.tree.add(&peer, &node.name, node.part);
                node.peer = Some(peer);
            }
            Report::Event(Event::Feeds { parent, standby, .. }) => {
                if let Some(peer) = &node.peer {
                    self.tree.set_feeds(peer, parent, standby);
                }
            }
            Report::Event(Event::Invite { .. }) => said.invited = true,
            Report::Event(Event::Live { .. }) => said.live = true,
            Report::Event(Event::FirstAudio { after_ms }) => said.first_audio_ms = Some(after_ms),
            Report::Event(Event::Stats(stats)) => said.stats = stats,
            Report::Event(_) => {}
        }
        Ok(true)
    }

    fn kill_relay(&mut self) -> Result<Kill, Failure> {
        let none = "no listener feeds another, so there is none to kill: take more listeners or fewer --max-children";
        let peer = self.tree.victim().ok_or_else(|| Failure::Failed(none.to_owned()))?.to_owned();
        let children = self.tree.children(&peer).count();
        let below = self.tree.listeners_below(&peer);
        let below: Vec<String> = below.iter().filter_map(|peer| self.tree.name(peer)).map(str::to_owned).collect();
        let at_ns = self.clock.now_ns();
        let Some(node) = self.nodes.iter_mut().find(|node| node.peer.as_deref() == Some(&peer)) else {
            return Err(Failure::Failed(none.to_owned()));
        };
        node.kill();
        let name = node.name.clone();
        self.tree.remove(&peer);
        self.progress
            .say(&format!("killed {name}: it fed {children}, and {} listener(s) heard through it", below.len()));
        Ok(Kill { peer, at_ns, children, below })
    }

    fn leave(&mut self, part: Part) {
        self.nodes.iter_mut().filter(|node| node.part == part).for_each(Node::leave);
    }

    async fn all_ended(&mut self, parts: &[Part]) -> Result<(), Failure> {
        let ended = |run: &Run| run.nodes.iter().all(|node| !parts.contains(&node.part) || node.ended.is_some());
        self.wait(LEAVE_MAX, "not all nodes leave", ended).await
    }

    /// After a failure: tells everyone to leave, and kills who does not.
    async fn end_all(&mut self) {
        self.nodes.iter_mut().for_each(Node::leave);
        let deadline = Instant::now() + Duration::from_secs(3);
        while self.nodes.iter().any(|node| node.ended.is_none()) {
            if Instant::now() >= deadline {
                self.nodes.iter_mut().for_each(Node::kill);
                sleep_until(deadline + Duration::from_millis(300)).await;
                return;
            }
            let _ = self.take_until(deadline).await;
        }
    }

    fn host_stats(&self) -> Stats {
        self.said.first().map(|said| said.stats).unwrap_or_default()
    }

    fn show_tree(&mut self, why: &str) {
        let facts = json!({
            "members": self.tree.members(),
            "fed": self.tree.fed(),
            "with_standby": self.tree.with_standby(),
            "relays": self.tree.relays(),
            "depth_max": self.tree.depth_max(),
        });
        self.progress.tree(why, &self.tree.render(), &facts);
    }

    fn gather(
        &self,
        until_ns: u64,
        kill: Option<Kill>,
        (relays, depth_max): (usize, usize),
        host: (Stats, Stats),
    ) -> Result<Observed, Failure> {
        let mut spoken = Spoken::default();
        let mut listeners = Vec::new();
        for (node, said) in self.nodes.iter().zip(&self.said) {
            match node.part {
                Part::Host => {}
                Part::Speaker => spoken.add(&read_log(node)?),
                Part::Listener => {
                    let killed = kill.as_ref().filter(|kill| node.peer.as_deref() == Some(&kill.peer));
                    listeners.push(Listener {
                        name: node.name.clone(),
                        listened: Listened::new(&read_log(node)?),
                        recording: killed.is_none().then(|| Recording::read(&node.recording())),
                        first_audio_ms: said.first_audio_ms,
                        stats: said.stats,
                        killed_ns: killed.map(|kill| kill.at_ns),
                    });
                }
            }
        }
        let rss_kib_max = self.said.iter().map(|said| said.stats.rss_kib_max).max().unwrap_or(0);
        let (speakers, protection) = (usize::from(self.args.speakers), self.args.protection);
        Ok(Observed { spoken, until_ns, listeners, speakers, relays, depth_max, kill, protection, host, rss_kib_max })
    }
}

fn read_log(node: &Node) -> Result<Vec<framelog::Entry>, Failure> {
    let path = node.frame_log();
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot read {}: {error}", path.display()));
    framelog::read(BufReader::new(File::open(&path).map_err(failed)?)).map_err(failed)
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}
