//! The command line. Its flags are a contract: scripts rely on them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use treehouse_sim::sweep::{Seeds, Shard};

/// Simulate live audio rooms: a thousand to a million members in virtual time.
#[derive(Debug, Parser)]
#[command(name = "treehouse-sim", version, about, long_about = None, max_term_width = 110)]
#[command(
    after_help = "Exit status: 0 done; 1 it did not work, or a baseline differs; 2 wrong use, or a scenario that says \
    something wrong; 130 interrupted, and what was finished is kept."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one scenario once.
    Run(RunArgs),
    /// Run a scenario over lists of settings and seeds, on all cores or as a job array.
    Sweep(SweepArgs),
    /// Compare runs or folders of results, paired by seed.
    Compare(CompareArgs),
    /// Write a page with plots of folders of results.
    Report(ReportArgs),
    /// List the shipped scenarios, or print one.
    Scenarios(ScenariosArgs),
    /// Run the small variants of the shipped scenarios and compare them with what is committed.
    Baselines(BaselinesArgs),
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The name of a shipped scenario, or a file.
    pub scenario: String,
    /// Seed of all random streams. Without it: the scenario's.
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// Change a setting of the scenario, for example --set members=2000 or --set gossipsub.d=6; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Write the results into this folder, which must not exist or be empty.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Print progress as lines of JSON, and as the last line the summary.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The name of a shipped scenario, or a file.
    #[arg(required_unless_present = "from")]
    pub scenario: Option<String>,
    /// Take the sweep from this file instead: it has the keys scenario, seeds, [set] and [over].
    #[arg(long, value_name = "FILE", conflicts_with_all = ["scenario", "over", "seeds", "sets"])]
    pub from: Option<PathBuf>,
    /// Vary a setting, for example --over members=1000,10000; may be given several times.
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub over: Vec<String>,
    /// Seeds: a count such as 10, a range such as 11-20, or a list such as 1,5,9. Without it: 1.
    #[arg(long, value_name = "SEEDS")]
    pub seeds: Option<Seeds>,
    /// Change a setting for all cells; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
    /// Folder of the results; finished cells in it are skipped. Without it: the scenario's name below `results`.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Run one part of the cells, for example 3/10: for schedulers that start the same command several times.
    #[arg(long, value_name = "I/N", default_value = "1/1", hide_default_value = true)]
    pub shard: Shard,
    /// Write a script for a scheduler into the folder instead of running anything.
    #[arg(long, value_name = "SCHEDULER", conflicts_with = "shard")]
    pub emit: Option<Scheduler>,
    /// Cells at once. Without it: one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Print each finished cell's summary as a line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Schedulers that scripts are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scheduler {
    /// A job array: `sbatch sweep.sbatch`.
    Slurm,
}

/// Flags of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The folders, the one that the others are compared with first. One alone: the strategies in it.
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Print lines of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Flags of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Folders of results, each of one run or of many.
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Where to write the page. Without it: report.html in the first folder.
    #[arg(long, value_name = "FILE", conflicts_with = "targets")]
    pub out: Option<PathBuf>,
    /// Print the table of targets instead, as Markdown.
    #[arg(long)]
    pub targets: bool,
}

/// Flags of `scenarios`.
#[derive(Debug, Args)]
pub struct ScenariosArgs {
    /// Print this one, to read or to begin an own one with.
    pub name: Option<String>,
    /// List every key that a scenario may have.
    #[arg(long, conflicts_with = "name")]
    pub keys: bool,
}

/// Flags of `baselines`.
#[derive(Debug, Args)]
pub struct BaselinesArgs {
    /// Folder of the baselines, one file each.
    #[arg(long, value_name = "DIR", default_value = "simulations/baselines")]
    pub folder: PathBuf,
    /// Only these, by the names of their files.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Write what is seen instead of comparing it.
    #[arg(long)]
    pub update: bool,
    /// Runs at once. Without it: one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_sweep_is_a_scenario_and_lists_or_a_file() {
        let line = "treehouse-sim sweep smoke --over members=10,20 --over strategy=star --seeds 10 --shard 2/4";
        let Ok(Cli { command: Command::Sweep(sweep) }) = parse(line) else { panic!("it is a sweep") };
        assert_eq!(sweep.scenario.as_deref(), Some("smoke"));
        assert_eq!(sweep.over, ["members=10,20", "strategy=star"]);
        assert_eq!(sweep.seeds.map(|seeds| seeds.list().len()), Some(10));
        assert_eq!(Ok(sweep.shard), "2/4".parse());
        assert!(parse("treehouse-sim sweep --from sweep.toml").is_ok());
    }

    #[test]
    fn wrong_use_is_refused_with_status_2() {
        for line in [
            "treehouse-sim",
            "treehouse-sim run",
            "treehouse-sim run smoke --seed x",
            "treehouse-sim sweep",
            "treehouse-sim sweep smoke --from sweep.toml",
            "treehouse-sim sweep smoke --shard 5/4",
            "treehouse-sim sweep smoke --seeds 0",
            "treehouse-sim sweep smoke --threads 0",
            "treehouse-sim sweep smoke --emit cron",
            "treehouse-sim compare",
            "treehouse-sim report",
            "treehouse-sim report out --targets --out page.html",
            "treehouse-sim fly",
        ] {
            assert_eq!(parse(line).err().map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
