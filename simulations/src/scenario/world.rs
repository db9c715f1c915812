//! From a scenario to a [`Plan`]: everything is drawn here, each subsystem from its own stream.

use super::{Place, Scenario, ScenarioError};
use crate::{
    models::{
        access::Line,
        arrivals::{Crowd, Model, Stay},
        media::voice_bps,
        trace::Trace,
    },
    plan::{Hostile, NodePlan, Plan},
    random::Stream,
};

impl Scenario {
    /// Draws the world of a seed.
    ///
    /// # Errors
    /// [`ScenarioError::Read`] and [`ScenarioError::Value`] for files that the scenario names.
    pub fn plan(&self, seed: u64) -> Result<Plan, ScenarioError> {
        let media = self.media.media(self.members);
        let stays = self.stays(seed)?;
        let persons = stays.iter().map(|stay| stay.person + 1).max().unwrap_or(1);
        let people = self.people(persons, voice_bps(&media), seed);
        let last_miles_us = people.iter().map(|(line, _)| line.last_mile_us).collect();
        let delay = self.delay.build(last_miles_us, seed, &self.folder);
        let delay = delay.map_err(|wrong| self.wrong_file(wrong.key, wrong.path.display(), &wrong.message))?;
        let node = |stay: &Stay| {
            let (line, hostile) = people[stay.person as usize];
            NodePlan {
                person: stay.person,
                site: stay.person,
                uplink_bps: line.uplink_bps,
                reachable: line.reachable,
                children_max: line.children_max,
                joins_us: stay.joins_us,
                leaves_us: stay.leaves_us,
                departure: stay.departure,
                hostile,
            }
        };
        let nodes: Vec<NodePlan> = stays.iter().map(node).collect();
        let starts_us: Vec<u64> = nodes.iter().take(self.talk.speakers as usize).map(|node| node.joins_us).collect();
        let packet_us = media.frame_us * u64::from(media.frames_per_packet);
        let talk = self.talk.draw(&starts_us, self.duration.0, packet_us, &mut Stream::Talk.rng(seed));
        let mut incidents: Vec<_> = (0_u64..)
            .zip(&self.incidents)
            .map(|(number, incident)| incident.incident(number, seed, &nodes, persons))
            .collect();
        incidents.sort_by_key(|incident| incident.0);
        Ok(Plan {
            seed,
            duration_us: self.duration.0,
            warmup_us: self.warmup.0,
            nodes,
            persons,
            talk,
            incidents,
            media,
            delay,
            loss: self.network.loss(),
            jitter_us: self.network.jitter.0,
            idle_us: self.network.idle.0,
            dial_us: self.network.dial.0,
            distance_error: self.network.distance_error.0,
        })
    }

    /// Who comes and goes when, host and speakers first, the others in the order of their coming.
    fn stays(&self, seed: u64) -> Result<Vec<Stay>, ScenarioError> {
        let crowd = Crowd {
            seed,
            members: self.members,
            speakers: self.talk.speakers,
            duration_us: self.duration.0,
            sessions: &self.sessions,
        };
        let mut stays = if self.arrivals.model == Model::Trace {
            let path = self.folder.join(&self.arrivals.trace.file);
            let wrong = |message: String| self.wrong_file("arrivals.trace.file", path.display(), &message);
            let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
            Trace::stays(&text, &self.arrivals, &crowd).map_err(|error| wrong(error.to_string()))?
        } else {
            self.arrivals.draw(&crowd)
        };
        let audience = stays.get_mut(self.talk.speakers as usize..).unwrap_or_default();
        audience.sort_by_key(|stay| (stay.joins_us, stay.person));
        Ok(stays)
    }

    /// What each person connects by, and what it does wrong.
    fn people(&self, persons: u32, voice_bps: f64, seed: u64) -> Vec<(Line, Option<Hostile>)> {
        let (mut members, mut adversaries) = (Stream::Members.rng(seed), Stream::Adversaries.rng(seed));
        let mut person = |number: u32| {
            let drawn = self.access.draw(voice_bps, &mut members);
            let line = if number == 0 { self.access.host(voice_bps) } else { drawn };
            let hostile = self.adversaries.draw(line.children_max > 0, &mut adversaries);
            (line, hostile.filter(|_| number >= self.talk.speakers))
        };
        (0..persons).map(&mut person).collect()
    }

    fn wrong_file(&self, key: &str, path: impl std::fmt::Display, message: &str) -> ScenarioError {
        ScenarioError::Value {
            place: Place::Whole { file: self.name.clone() },
            key: key.to_owned(),
            message: format!("{path}: {message}"),
        }
    }
}
