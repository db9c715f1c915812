//! Which scenarios real nodes can live through here.

use treehouse_net::limits::{ADDRESS_TIMEOUT, QUIC_IDLE_TIMEOUT};
use treehouse_sim::{
    network::Loss,
    plan::{NodeIx, Plan},
    scenario::{Mode, Scenario},
    strategies::Name,
};

/// Most nodes in one process: a thousand QUIC nodes with one voice take two cores (docs/measurements.md).
pub const NODES_MAX: usize = 500;

/// A scenario in which real nodes would meet something else than simulated ones.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("real nodes cannot live through `{scenario}`: {reason}")]
pub struct Unfit {
    scenario: String,
    reason: String,
}

/// Whether real nodes meet all that this scenario holds. Jitter they bring themselves: the relay adds none.
///
/// # Errors
/// [`Unfit`] with the setting to change.
pub fn check(scenario: &Scenario, plan: &Plan) -> Result<(), Unfit> {
    let idle_us = QUIC_IDLE_TIMEOUT.as_micros() as u64;
    let dial_us = ADDRESS_TIMEOUT.as_micros() as u64;
    let constant = matches!(&plan.talk[..], [spurt] if spurt.node == NodeIx::HOST);
    let bursty = matches!(plan.loss, Loss::Bursty { .. });
    let wrong = [
        (scenario.strategy != Name::Treehouse, "only --set strategy=treehouse has real nodes".to_owned()),
        (scenario.mode != Mode::Packet, "what they do is compared with --set mode=packet".to_owned()),
        (
            plan.nodes.len() > NODES_MAX,
            format!("{} nodes, and one machine holds {NODES_MAX}: lower `members`", plan.nodes.len()),
        ),
        (bursty, "the relay loses each datagram on its own: --set network.mean-burst=1".to_owned()),
        (plan.idle_us != idle_us, format!("their links are given up after {idle_us} us: --set network.idle={idle_us}us")),
        (plan.dial_us != dial_us, format!("their dials fail after {dial_us} us: --set network.dial={dial_us}us")),
        (!plan.incidents.is_empty(), "nothing is done to the network between them: leave out [[incidents]]".to_owned()),
        (!constant, "the host speaks, all the time: --set talk.model=constant --set talk.speakers=1".to_owned()),
        (
            plan.nodes.iter().any(|node| !node.reachable),
            "all of them can be reached: --set access.nat.symmetric=0%, and the other shares of [access.nat] make 100 %".to_owned(),
        ),
        (plan.nodes.iter().any(|node| node.hostile.is_some()), "none of them is hostile".to_owned()),
    ];
    match wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
        Some((_, reason)) => Err(Unfit { scenario: scenario.name.clone(), reason }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_with(name: &str, sets: &[(&str, &str)]) -> Result<(), String> {
        let sets: Vec<_> = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let scenario = Scenario::load(name, &sets).expect("the scenario is right");
        let plan = scenario.plan(1).expect("it needs no file");
        check(&scenario, &plan).map_err(|unfit| unfit.to_string())
    }

    #[test]
    fn the_shipped_scenario_fits_and_what_does_not_is_named() {
        assert_eq!(check_with("reality", &[]), Ok(()));
        for (key, value, word) in [
            ("strategy", "star", "strategy=treehouse"),
            ("mode", "flow", "mode=packet"),
            ("members", "600", "lower `members`"),
            ("network.idle", "10s", "network.idle=5000000us"),
            ("talk.model", "floor", "talk.model=constant"),
            ("adversaries.share", "30%", "hostile"),
        ] {
            let said = check_with("reality", &[(key, value)]).expect_err(key);
            assert!(said.contains(word), "{key}: {said}");
        }
        assert_eq!(check_with("reality", &[("network.loss", "1%")]), Ok(()));
        let bursts = check_with("reality", &[("network.loss", "1%"), ("network.mean-burst", "3")]);
        assert!(bursts.expect_err("bursts").contains("network.mean-burst=1"));
        assert!(check_with("partition", &[]).is_err());
    }
}
