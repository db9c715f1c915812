//! `treehouse-sim scenarios`: what is shipped, and what a scenario may say.

use std::path::Path;

use treehouse_sim::scenario::{Scenario, ScenarioError, shipped};

use super::{args::ScenariosArgs, keys, output};

/// Lists the shipped scenarios, prints one, or lists the keys.
///
/// # Errors
/// Where there is no scenario of that name.
pub fn run(args: &ScenariosArgs) -> anyhow::Result<()> {
    if args.keys {
        for (key, default) in keys::keys() {
            output::say(&default.map_or_else(|| key.clone(), |default| format!("{key} = {default}")))?;
        }
        return Ok(());
    }
    let Some(name) = &args.name else { return list() };
    match shipped().iter().find(|(shipped, _)| shipped == name) {
        Some((_, text)) => output::say(text.trim_end())?,
        // Loading knows the nearest name.
        None if !Path::new(name).exists() => drop(Scenario::load(name, &[])?),
        None => {
            let error = "only shipped scenarios are printed, and this is a file".to_owned();
            return Err(ScenarioError::Read { path: name.into(), message: error }.into());
        }
    }
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let width = shipped().iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, _) in shipped() {
        let scenario = Scenario::load(name, &[])?;
        let members = scenario.members;
        let first = scenario.description.lines().next().unwrap_or_default();
        output::say(&format!("{name:width$}  {members:>9}  {first}"))?;
    }
    Ok(())
}
