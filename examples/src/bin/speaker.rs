//! A headless speaker: joins a room, says a sound file once, and leaves. Run it with
//! `cargo run -p treehouse-examples --bin speaker INVITE FILE`, INVITE being the text or a file that holds it.

use anyhow::{Context, Result, bail};
use tokio::{sync::mpsc, time::timeout};
use treehouse_audio::{Capture, CaptureEvent, CaptureOptions, Say};
use treehouse_examples::{PATIENCE, invite_argument, newcomer, secret, wall};
use treehouse_net::Captured;
use treehouse_room::{Command, Event, JoinConfig, Room};
use treehouse_wire::Shipped;

const USAGE: &str = "speaker INVITE FILE";

#[tokio::main]
async fn main() -> Result<()> {
    let invite = invite_argument(USAGE)?;
    let file = std::env::args().nth(2).with_context(|| format!("usage: {USAGE}"))?;
    let say: Say = file.parse()?;
    say.check()?;
    let (endpoint, config) = newcomer("speaker").await?;
    let me = endpoint.node_id();
    let join = JoinConfig { invite };
    let mut node = endpoint.run(|now| Room::join(now, wall(), Shipped, config, join), |_, _| {});
    loop {
        match timeout(PATIENCE, node.event()).await.context("the room does not let this node speak")? {
            Some(Event::Admitted { title, .. }) => {
                println!("in the room {title}; raising a hand");
                node.command(Command::RaiseHand { media_seed: secret()? }).await;
            }
            Some(Event::Stage(stage)) if stage.iter().any(|member| member.node == me && member.claim.is_some()) => {
                break;
            }
            Some(Event::JoinFailed(why)) => bail!("{why}"),
            Some(_) => {}
            None => bail!("the room has ended"),
        }
    }
    println!("on stage; saying {file}");
    let voice = node.captured();
    // One message, at the end.
    let (ended, mut end) = mpsc::channel(1);
    let capture = Capture::start(say, CaptureOptions::default(), move |event| match event {
        CaptureEvent::Frame(frame) => {
            let (number, captured, level) = (frame.number, frame.captured, frame.level);
            voice.send(Captured { number, captured, level, opus: frame.opus });
        }
        CaptureEvent::Ended | CaptureEvent::Failed(_) => drop(ended.try_send(())),
        CaptureEvent::Device(_) | CaptureEvent::Meter(_) | CaptureEvent::Source(_) => {}
    })?;
    end.recv().await;
    capture.stop();
    node.command(Command::Leave).await;
    while node.event().await.is_some() {}
    println!("said, and left");
    Ok(())
}
