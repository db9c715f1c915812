//! The node's identity: 32 random bytes in a file that only its owner can read.
//!
//! The bytes are the seed of the Ed25519 key that is the node's name in every room. The file is written aside, flushed
//! and then linked into place, so that it is either whole or absent, and two processes that start at once agree on one.
//!
//! Two processes with one identity in one room would look like one member that is in two places. A session therefore
//! locks the file; where another session holds it, this one takes an identity that lasts until it ends.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use treehouse_wire::{NodeId, Shipped, Suite};
use zeroize::Zeroizing;

/// Names the folder that holds the identity, instead of the one of the XDG base directory specification.
pub const DATA_VARIABLE: &str = "TREEHOUSE_DATA";
/// The identity's file in the data folder.
pub const IDENTITY_FILE: &str = "identity";
const SEED_BYTES: usize = 32;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Neither of the variables that name a folder is set.
    #[error("there is no home folder to keep the identity in: set {DATA_VARIABLE} to a folder of yours")]
    NoFolder,
    /// Others than the owner can read the file.
    #[error("others can read {path}, which is your identity: run `chmod 600 {path}` and try again", path = .0.display())]
    Readable(PathBuf),
    /// It belongs to another user of the machine.
    #[error("{path} belongs to another user: set {DATA_VARIABLE} to a folder of yours", path = .0.display())]
    Foreign(PathBuf),
    /// It is not 32 bytes long.
    #[error("{path} is no identity, it is damaged: move it away, and a new one is made", path = .0.display())]
    Damaged(PathBuf),
    /// The system refused a file or a folder.
    #[error("cannot {what} {path}: {source}; check the folder, or set {DATA_VARIABLE} to another one", path = .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system has no randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// An identity that a session uses.
pub struct Identity {
    /// The seed of the key. Wiped when dropped, never printed.
    pub seed: Zeroizing<[u8; SEED_BYTES]>,
    /// Where it is kept; absent for one that ends with the session.
    pub path: Option<PathBuf>,
    /// Held for as long as the session lives.
    _lock: Option<File>,
}

impl Identity {
    /// The identity kept in `folder`, made first where there is none.
    ///
    /// # Errors
    /// [`IdentityError`], one sentence that says what to do.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        make_folder(folder)?;
        let path = folder.join(IDENTITY_FILE);
        if !path.exists() {
            create(&path)?;
        }
        let seed = read(&path)?;
        Ok(Identity { seed, path: Some(path), _lock: None })
    }

    /// The identity for a session: the kept one, or a temporary one while another session uses that.
    ///
    /// # Errors
    /// [`IdentityError`], one sentence that says what to do.
    pub fn for_session(folder: &Path) -> Result<Self, IdentityError> {
        let kept = Self::load(folder)?;
        let Some(path) = kept.path.clone() else { return Ok(kept) };
        let file =
            File::open(&path).map_err(|source| IdentityError::Io { what: "open", path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Identity { _lock: Some(file), ..kept }),
            Err(TryLockError::WouldBlock) => Ok(Identity { seed: random_seed()?, path: None, _lock: None }),
            Err(TryLockError::Error(source)) => Err(IdentityError::Io { what: "lock", path, source }),
        }
    }

    /// The node's public name.
    pub fn node(&self) -> NodeId {
        NodeId(Shipped.public_key(&Shipped.signer(&self.seed)))
    }

    /// It ends with the session.
    pub fn is_temporary(&self) -> bool {
        self.path.is_none()
    }
}

/// 32 bytes from the system's secure source.
///
/// # Errors
/// [`IdentityError::Random`] where there is none.
pub fn random_seed() -> Result<Zeroizing<[u8; SEED_BYTES]>, IdentityError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    getrandom::fill(seed.as_mut_slice()).map_err(IdentityError::Random)?;
    Ok(seed)
}

/// The data folder: `$TREEHOUSE_DATA`, else `$XDG_DATA_HOME/treehouse`, else `~/.local/share/treehouse`.
///
/// # Errors
/// [`IdentityError::NoFolder`] where none of them is known.
pub fn data_folder() -> Result<PathBuf, IdentityError> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(DATA_VARIABLE)
        .or_else(|| set("XDG_DATA_HOME").filter(|path| path.is_absolute()).map(|path| path.join("treehouse")))
        .or_else(|| set("HOME").map(|path| path.join(".local/share/treehouse")))
        .ok_or(IdentityError::NoFolder)
}

fn make_folder(folder: &Path) -> Result<(), IdentityError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| IdentityError::Io {
        what: "make the folder",
        path: folder.to_owned(),
        source,
    })
}

/// Writes a new identity aside and links it into place; one that came first stays.
fn create(path: &Path) -> Result<(), IdentityError> {
    let seed = random_seed()?;
    let mut salt = [0; 8];
    getrandom::fill(&mut salt).map_err(IdentityError::Random)?;
    let aside = path.with_extension(format!("new-{:016x}", u64::from_be_bytes(salt)));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(seed.as_slice())?;
        file.sync_all()?;
        match fs::hard_link(&aside, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    };
    let written = write();
    let _ = fs::remove_file(&aside);
    written.map_err(|source| IdentityError::Io { what: "write", path: path.to_owned(), source })
}

fn read(path: &Path) -> Result<Zeroizing<[u8; SEED_BYTES]>, IdentityError> {
    let failed = |source| IdentityError::Io { what: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(IdentityError::Foreign(path.to_owned()));
    }
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(IdentityError::Readable(path.to_owned()));
    }
    read_seed(file).map_err(failed)?.ok_or_else(|| IdentityError::Damaged(path.to_owned()))
}

/// The seed in an identity file; none where it is no identity. No more is read than one that is too long takes.
///
/// # Errors
/// Where the file cannot be read.
pub fn read_seed(file: impl Read) -> io::Result<Option<Zeroizing<[u8; SEED_BYTES]>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SEED_BYTES + 1));
    file.take(SEED_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes.as_slice().try_into().ok().map(Zeroizing::new))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_first_start_makes_an_identity_that_stays_and_that_others_cannot_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("deep/down");
        let first = Identity::load(&folder).expect("a new identity");
        let again = Identity::load(&folder).expect("the same identity");
        assert_eq!(first.node(), again.node());
        let mode = fs::metadata(folder.join(IDENTITY_FILE)).expect("its file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).expect("its folder").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn processes_that_start_at_once_agree() {
        let folder = tempfile::tempdir().expect("a folder");
        let nodes: Vec<NodeId> = thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| Identity::load(folder.path()).expect("an identity").node())).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(nodes.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn an_identity_that_others_can_read_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().expect("a folder");
        Identity::load(folder.path()).expect("a new identity");
        let path = folder.path().join(IDENTITY_FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
        let refused = Identity::load(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("chmod 600"), "{refused}");
    }

    #[test]
    fn a_damaged_identity_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(IDENTITY_FILE);
        for len in [0, 31, 33] {
            fs::write(&path, vec![7; len]).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
            assert!(matches!(Identity::load(folder.path()), Err(IdentityError::Damaged(_))), "{len} bytes");
        }
    }

    #[test]
    fn a_second_session_takes_a_temporary_identity_until_the_first_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = Identity::for_session(folder.path()).expect("the kept identity");
        let second = Identity::for_session(folder.path()).expect("a temporary identity");
        assert!(!first.is_temporary() && second.is_temporary());
        assert_ne!(first.node(), second.node());
        let name = first.node();
        drop(first);
        assert_eq!(Identity::for_session(folder.path()).expect("the kept identity").node(), name);
    }
}
