//! A listener that only measures: joins a room, decodes nothing, and says how many frames came and how long the longest
//! silence within a talkspurt was. Run it with `cargo run -p treehouse-examples --bin listener INVITE [SECONDS]`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tokio::time::{sleep_until, timeout};
use treehouse_examples::{invite_argument, newcomer, wall};
use treehouse_net::address_text;
use treehouse_room::{Command, Event, JoinConfig, PlayFrame, Room};
use treehouse_wire::{Shipped, VoiceId};

/// What came of one voice.
#[derive(Debug)]
struct Heard {
    frames: u32,
    first: u32,
    newest: u32,
    at: Instant,
    gap_max: Duration,
}

impl Heard {
    fn note(&mut self, number: u32, at: Instant) {
        self.frames += 1;
        self.gap_max = self.gap_max.max(at.saturating_duration_since(self.at));
        self.at = at;
        self.first = self.first.min(number);
        self.newest = self.newest.max(number);
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let invite = invite_argument("listener INVITE [SECONDS]")?;
    let seconds = std::env::args().nth(2).map_or(Ok(10), |text| text.parse())?;
    let (endpoint, config) = newcomer("measuring").await?;
    let heard: Arc<Mutex<BTreeMap<VoiceId, Heard>>> = Arc::default();
    let notes = Arc::clone(&heard);
    let play = move |frame: PlayFrame, at| {
        let mut voices = notes.lock().unwrap_or_else(PoisonError::into_inner);
        let number = frame.number.0;
        let fresh = Heard { frames: 0, first: number, newest: number, at, gap_max: Duration::ZERO };
        voices.entry(frame.voice).or_insert(fresh).note(number, at);
    };
    let join = JoinConfig { invite };
    let mut node = endpoint.run(|now| Room::join(now, wall(), Shipped, config, join), play);
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    loop {
        tokio::select! {
            event = node.event() => match event {
                Some(Event::Admitted { title, .. }) => println!("in the room {title}"),
                Some(Event::JoinFailed(why)) => {
                    if let treehouse_room::JoinFailure::Unanswered { attempts } = &why {
                        attempts.iter().for_each(|(at, reason)| println!("{}: {reason}", address_text(at)));
                    }
                    bail!("{why}");
                }
                Some(_) => {}
                None => break,
            },
            () = sleep_until(end) => break,
        }
    }
    node.command(Command::Leave).await;
    let _ = timeout(Duration::from_secs(2), async { while node.event().await.is_some() {} }).await;
    let stats = node.stats();
    for (voice, heard) in heard.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let span = heard.newest - heard.first + 1;
        println!("voice {voice}: {} of {span} frames, longest gap {} ms", heard.frames, heard.gap_max.as_millis());
    }
    println!("{stats:?}");
    Ok(())
}
