//! The two sides of a comparison: runs of one world in the simulator, and with real nodes.

use std::{sync::Arc, time::Instant};

use treehouse_sim::{
    measure::Outcome,
    plan::Plan,
    random::mix,
    results::{Meta, peak_rss_mib},
    scenario::Scenario,
    strategies::{Name, run_packets},
};

use crate::run::{Load, RunError, run};

/// A run: what it was, and what came of it.
pub type Run = (Meta, Outcome);

/// One of the simulated runs that this world can have. They differ in what nodes draw, which decides who is told of whom; number 0
/// is what `treehouse-sim run` gives.
pub fn simulate(scenario: &Scenario, plan: &Plan, number: u32) -> Run {
    let begun = Instant::now();
    let seed = if number == 0 { plan.seed } else { mix(plan.seed ^ mix(u64::from(number))) };
    let world = Arc::new(Plan { seed, ..plan.clone() });
    let outcome = run_packets(Name::Treehouse, &scenario.settings, world, &mut |_| true);
    let mut meta = Meta::new(scenario, plan, "treehouse");
    meta.changes = vec![format!("what nodes draw: number {number}")];
    meta.wall_s = begun.elapsed().as_secs_f64();
    (meta, outcome)
}

/// A run with real nodes. In results its strategy is called `treehouse-real`.
///
/// # Errors
/// [`RunError`].
pub fn live(scenario: &Scenario, plan: &Arc<Plan>) -> Result<(Run, Load), RunError> {
    let begun = Instant::now();
    let reality = run(plan, scenario.settings.treehouse)?;
    let simulated = Meta::new(scenario, plan, "treehouse");
    let meta = Meta {
        strategy: "treehouse-real".to_owned(),
        wall_s: begun.elapsed().as_secs_f64(),
        rss_mib: peak_rss_mib(),
        ..simulated
    };
    Ok(((meta, reality.outcome), reality.load))
}
