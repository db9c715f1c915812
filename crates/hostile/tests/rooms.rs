//! Real rooms over libp2p with members that do not keep to the protocol.

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use support::Lab;
use treehouse_hostile::{Behaviour, Spell};
use treehouse_room::{Event, Offence, Protection};
use treehouse_wire::NodeId;

const SECOND: Duration = Duration::from_secs(1);
/// Who withholds is left within this, the issue says.
const LEFT: Duration = Duration::from_secs(3);

/// Seventy honest nodes, the host among them, and thirty relays that forge, withhold and delay; it begins when all have children.
#[tokio::test(flavor = "multi_thread")]
async fn where_three_in_ten_are_hostile_nobody_hears_a_forged_frame_and_few_are_missed() {
    let mut lab = Lab::open(None, 6, 14 * SECOND).await;
    let ways = [Behaviour::Forge, Behaviour::Drop { share: 0.5 }, Behaviour::Delay { by: 2 * SECOND }];
    for n in 0..99 {
        match n % 10 {
            1 | 4 | 7 => lab.join_hostile(ways[n / 10 % 3], 6).await,
            _ => lab.join(6).await,
        }
    }
    lab.until_wrong(32 * SECOND).await;
    assert_eq!((lab.hostile.len(), lab.honest.len()), (30, 69));
    assert!(lab.honest.iter().all(support::Honest::is_admitted));
    let began = lab.hostile.iter().filter(|(_, hostile)| !hostile.fed().is_empty()).count();
    assert!(began >= 15, "{began} of the hostile fed somebody");

    let frames = lab.said_between(Duration::ZERO, 30 * SECOND);
    let count = frames.clone().count();
    let (mut heard, mut forged, mut twice, mut worst) = (0, 0, 0, 1.0_f64);
    for honest in &lab.honest {
        let ears = honest.heard();
        let here = frames.clone().filter(|number| ears.frames.contains_key(&(lab.host.node, *number))).count();
        (heard, forged, twice) = (heard + here, forged + ears.forged, twice + ears.twice);
        worst = worst.min(here as f64 / count as f64);
    }
    let share = heard as f64 / (count * lab.honest.len()) as f64;
    println!("{count} frames, {:.3} % heard, the least {:.2} %, {forged} forged", 100.0 * share, 100.0 * worst);
    assert!(count > 1400, "the host spoke: {count} frames");
    assert_eq!((forged, twice), (0, 0));
    assert!(share >= 0.99, "{share}");

    // Each child drops a forger at its first packet, and does not come back.
    let mut caught: BTreeMap<(NodeId, NodeId), usize> = BTreeMap::new();
    for honest in &lab.honest {
        for (_, event) in &honest.heard().events {
            if let Event::Offence { peer, kind: Offence::Forged } = event {
                *caught.entry((honest.node, *peer)).or_default() += 1;
            }
        }
    }
    println!("{} children lost a forger, after {:?} packet at most", caught.len(), caught.values().max());
    assert!(!caught.is_empty() && caught.values().all(|times| *times == 1), "{caught:?}");
    let forgers: Vec<NodeId> =
        lab.hostile.iter().filter(|(way, _)| *way == Behaviour::Forge).map(|(_, of)| of.node()).collect();
    assert!(caught.keys().all(|(_, peer)| forgers.contains(peer)), "nobody honest is taken for a forger");
    lab.stop().await;
}

/// All children of a relay that withholds leave it within three seconds: those that it has when it begins, and who tries it again.
async fn is_left(behaviour: Behaviour, protection: Protection) {
    let mut lab = Lab::open(Some(protection), 4, 12 * SECOND).await;
    lab.join(0).await;
    lab.join_hostile(behaviour, 6).await;
    tokio::time::sleep(SECOND).await;
    for _ in 0..14 {
        lab.join(4).await;
    }
    lab.speak(0).await;
    lab.until_wrong(LEFT + 3 * SECOND).await;
    let fed = lab.hostile[0].1.fed();
    let spells = |spells: &Vec<_>| spells.iter().map(|of: &Spell<Instant>| (of.last - of.first).as_millis()).collect();
    let children: Vec<Vec<u128>> = fed.values().map(spells).collect();
    println!("{behaviour:?} {protection:?}: children fed for {children:?} ms more");
    assert!(!children.is_empty(), "it had children");
    assert!(children.iter().flatten().all(|ms| *ms <= LEFT.as_millis()), "{children:?}");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withholds_a_third_of_all_packets_is_left() {
    is_left(Behaviour::Drop { share: 0.3 }, Protection::Off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withholds_one_voice_is_left() {
    is_left(Behaviour::DropVoice, Protection::Off).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_two_seconds_late_is_left() {
    is_left(Behaviour::Delay { by: 2 * SECOND }, Protection::Relays).await;
}
