//! From where in the room this node hears: how much voices are to be delayed goes by it.

use treehouse_audio::{
    JitterConfig,
    jitter::{Listener, Protection as Feeds},
};
use treehouse_room::Protection;

use super::{Part, sound::Ears};

/// What the room has said of this node's place in it.
#[derive(Debug)]
pub struct Hearing {
    /// It may speak, so others' voices come directly.
    pub on_stage: bool,
    /// Who has a second feed.
    pub protection: Protection,
    /// Hops from the roots.
    pub depth: u8,
    told: Option<JitterConfig>,
}

impl Hearing {
    /// Before the room has said anything: on stage for a host, in the last row for a member.
    pub fn of(part: Part) -> Self {
        Hearing { on_stage: part == Part::Host, protection: Protection::Off, depth: 1, told: None }
    }

    /// How much voices are to be delayed.
    fn config(&self) -> JitterConfig {
        let protection = match self.protection {
            Protection::Off => Feeds::Off,
            Protection::Relays => Feeds::Relays,
            Protection::All => Feeds::All,
        };
        JitterConfig::of(if self.on_stage {
            Listener::Stage
        } else {
            Listener::Audience { protection, depth: u32::from(self.depth) }
        })
    }

    /// Tells the ears what has changed, once they are open; whether they heard of it.
    pub fn tell(&mut self, ears: &Ears) -> bool {
        let config = self.config();
        let told = self.told != Some(config) && ears.set_jitter(config);
        if told {
            self.told = Some(config);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_stage_voices_are_delayed_less_than_far_down_the_tree() {
        let mut hearing = Hearing::of(Part::Member);
        let near = hearing.config();
        hearing.depth = 4;
        let far = hearing.config();
        hearing.protection = Protection::All;
        let protected = hearing.config();
        hearing.on_stage = true;
        let stage = hearing.config();
        assert_eq!(stage, Hearing::of(Part::Host).config());
        assert_eq!([stage, near, protected, far].map(|config| config.floor_ms), [20, 40, 55, 95]);
        assert_eq!(stage.target_max_ms, 60);
    }
}
