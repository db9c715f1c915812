//! The files of the workspace, without what builds and test runs leave behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The root of the workspace: the folder above this package.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The crates and versions that `Cargo.lock` names.
///
/// # Errors
/// Where it cannot be read.
pub fn locked_packages() -> Result<Vec<(String, semver::Version)>, String> {
    #[derive(serde::Deserialize)]
    struct Lock {
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
    }
    let text = fs::read_to_string(root().join("Cargo.lock")).map_err(|error| error.to_string())?;
    let lock: Lock = toml::from_str(&text).map_err(|error| error.to_string())?;
    let parsed = |package: Package| Ok((package.name, package.version.parse().map_err(|_| package.version.clone())?));
    lock.package.into_iter().map(parsed).collect()
}

/// Every file of the project, as paths relative to `root`, in order.
///
/// Files that are not committed yet count, so that a rule speaks before the commit. The folders that the root's
/// `.gitignore` names with a leading slash do not, nor does `.git`.
///
/// # Errors
/// When a folder cannot be read.
pub fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let ignored = ignored(root)?;
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if ignored.contains(&path) {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file()
                && let Ok(relative) = path.strip_prefix(root)
            {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The files whose names end with `.extension`.
///
/// # Errors
/// When a folder cannot be read.
pub fn files_ending(root: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    Ok(files(root)?.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension)).collect())
}

fn ignored(root: &Path) -> io::Result<Vec<PathBuf>> {
    let list = match fs::read_to_string(root.join(".gitignore")) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    let mut ignored: Vec<PathBuf> =
        list.lines().filter_map(|line| line.trim().strip_prefix('/')).map(|name| root.join(name)).collect();
    ignored.push(root.join(".git"));
    Ok(ignored)
}
