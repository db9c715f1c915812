//! A sweep as a job array of Slurm (<https://slurm.schedmd.com/job_array.html>): a script for `sbatch`.

use std::path::Path;

/// Tasks of one array at most: Slurm's own `MaxArraySize` is 1001, and the numbers here begin with 1.
pub const TASKS_MAX: usize = 1000;

/// What the script says.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// The program that the tasks run, where the nodes of the cluster find it.
    pub program: &'a Path,
    /// The sweep's folder, which the nodes of the cluster share.
    pub folder: &'a Path,
    /// How many cells there are.
    pub cells: usize,
}

impl Script<'_> {
    /// How many tasks the array has: one a cell, up to [`TASKS_MAX`].
    pub fn tasks(&self) -> usize {
        self.cells.clamp(1, TASKS_MAX)
    }

    /// The text of the script.
    pub fn text(&self) -> String {
        let (tasks, cells) = (self.tasks(), self.cells);
        let program = quoted(&self.program.to_string_lossy());
        let folder = quoted(&self.folder.to_string_lossy());
        let sweep = quoted(&self.folder.join("sweep.toml").to_string_lossy());
        format!(
            r#"#!/bin/sh
#SBATCH --job-name=treehouse-sim
#SBATCH --array=1-{tasks}
#SBATCH --ntasks=1
#SBATCH --output=task-%a.log
# {cells} cells in {tasks} tasks. Submit it in the sweep's folder: sbatch sweep.sbatch. Options of sbatch go before its
# name, for example --partition, --time or --mem. Finished cells are skipped, so it may be submitted again.
exec {program} sweep --from {sweep} --out {folder} \
    --shard "$SLURM_ARRAY_TASK_ID/{tasks}" --threads "${{SLURM_CPUS_PER_TASK:-1}}"
"#
        )
    }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_a_task_a_cell_and_quotes_what_it_names() {
        let script = Script { program: Path::new("/opt/it's/sim"), folder: Path::new("/data/a b"), cells: 12 };
        let text = script.text();
        assert!(text.starts_with("#!/bin/sh\n#SBATCH "), "{text}");
        assert!(text.contains("#SBATCH --array=1-12\n"), "{text}");
        assert!(text.contains(r"exec '/opt/it'\''s/sim' sweep --from '/data/a b/sweep.toml'"), "{text}");
        assert!(text.contains(r#"--shard "$SLURM_ARRAY_TASK_ID/12" --threads "${SLURM_CPUS_PER_TASK:-1}""#), "{text}");
    }

    #[test]
    fn an_array_is_no_longer_than_slurm_allows() {
        let script = Script { program: Path::new("sim"), folder: Path::new("out"), cells: 5000 };
        assert_eq!(script.tasks(), TASKS_MAX);
        assert!(script.text().contains("--array=1-1000\n"));
    }
}
