//! `treehouse-sim compare` and `report`: what results say.

use std::{fs, path::PathBuf};

use anyhow::Context;
use treehouse_sim::report;

use super::{
    args::{CompareArgs, ReportArgs},
    output,
};

/// Prints tables, or with `--json` a line for each row.
///
/// # Errors
/// Where a folder holds no results, or some that cannot be read.
pub fn compare(args: &CompareArgs) -> anyhow::Result<()> {
    tell_of_interrupted(&args.folders)?;
    let comparison = report::compare(&args.folders)?;
    if !args.json {
        return Ok(output::say(comparison.to_string().trim_end())?);
    }
    for row in &comparison.rows {
        output::say(&serde_json::to_string(row)?)?;
    }
    Ok(())
}

/// Writes the page, or prints the table of targets.
///
/// # Errors
/// Where a folder holds no results, or the page cannot be written.
pub fn report(args: &ReportArgs) -> anyhow::Result<()> {
    tell_of_interrupted(&args.folders)?;
    if args.targets {
        return Ok(output::say(report::targets(&args.folders)?.trim_end())?);
    }
    let beside = || args.folders.first().map(|folder| folder.join("report.html")).unwrap_or_default();
    let path = args.out.clone().unwrap_or_else(beside);
    let page = report::html(&args.folders)?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(output::say(&path.display().to_string())?)
}

/// Runs that were ended early are shorter than the others, and nobody should overlook that.
fn tell_of_interrupted(folders: &[PathBuf]) -> anyhow::Result<()> {
    for run in report::load(folders)?.iter().filter(|run| run.meta.interrupted) {
        let folder = run.folder.display();
        eprintln!("treehouse-sim: {folder} was interrupted after {:.0} s of it", run.summary.simulated_s);
    }
    Ok(())
}
