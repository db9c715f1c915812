//! Compares the crates of the build with a copy of the RustSec advisory database: `treehouse-advisories FOLDER`.

use std::{env, path::Path, process::ExitCode};

use treehouse_tests::{advisories::check, tree};

fn main() -> ExitCode {
    let Some(folder) = env::args().nth(1) else {
        eprintln!("usage: treehouse-advisories FOLDER, a copy of the RustSec advisory database");
        return ExitCode::from(2);
    };
    let checked =
        tree::locked_packages().and_then(|packages| Ok((packages.len(), check(Path::new(&folder), &packages)?)));
    let (packages, (advisories, findings)) = match checked {
        Ok(checked) => checked,
        Err(error) => {
            eprintln!("treehouse-advisories: {error}");
            return ExitCode::FAILURE;
        }
    };
    findings.iter().for_each(|finding| println!("{}", finding.text));
    let grave = findings.iter().filter(|finding| finding.grave).count();
    println!(
        "{advisories} advisories against {packages} crates: {grave} vulnerabilities, {} notices",
        findings.len() - grave
    );
    // A database that is empty or of another form has not been looked at.
    if grave > 0 || advisories < 100 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
