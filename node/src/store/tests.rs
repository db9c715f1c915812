//! The store by itself: what it keeps, and which files it refuses.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use proptest::{collection::vec, prelude::*, sample::Index};
use treehouse_invite::{Charter, Holder, Invite, Policy, Role, Terms};
use treehouse_room::Redemption;
use treehouse_wire::{Contact, List, NodeId, Shipped, Suite, UnixSeconds, control::Name};

use super::{Ban, STORE_FILE, Store, StoreError};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const SEED: [u8; 32] = [1; 32];

/// A store with one room that was opened once.
fn store() -> (tempfile::TempDir, Store, Charter) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open(folder.path()).expect("a new store");
    let charter = charter();
    assert_eq!(open(&mut store, &charter), 0, "it is new");
    (folder, store, charter)
}

fn charter() -> Charter {
    let founder = NodeId(Shipped.public_key(&Shipped.signer(&SEED)));
    let title = Name::cleaned("Tea");
    Charter { founder, salt: [4; 16], title, policy: Policy::Closed, successors: List::default() }
}

fn open(store: &mut Store, charter: &Charter) -> u32 {
    let statement = charter.sign(&Shipped, &Shipped.signer(&SEED));
    let contact = Contact { node: charter.founder, addresses: List::truncated([]) };
    store.note_opening(charter, &statement, &contact, NOW).expect("it is kept")
}

fn invite(charter: &Charter) -> Invite {
    let terms =
        Terms { role: Role::Listener, not_before: NOW, expires: UnixSeconds(u64::MAX), uses: Some(2), depth: 1 };
    let holder = Holder::Bearer { seed: [9; 32] };
    Invite::issue(&Shipped, &Shipped.signer(&SEED), charter.founding(), terms, holder, []).expect("terms")
}

#[test]
fn a_room_its_invites_and_their_uses_are_there_after_a_restart() {
    let (folder, mut store, charter) = store();
    let (room, invite) = (charter.room(), invite(&charter));
    store.note_invite(&invite, "for ann", NOW).expect("it is kept");
    let redemption = |n, links: Vec<[u8; 32]>| Redemption { node: NodeId([n; 32]), chain: [5; 32], links };
    let all = [redemption(1, vec![[5; 32], [6; 32]]), redemption(2, vec![[5; 32], [6; 32]])];
    store.redeem(&room, &all, NOW).expect("they are kept");
    store.redeem(&room, &all[..1], NOW).expect("the same again changes nothing");
    store.revoke(&room, [7; 32], NOW).expect("it is kept");
    drop(store);

    let mut store = Store::open(folder.path()).expect("the same store");
    let rooms = store.rooms().expect("rooms");
    assert_eq!(rooms.iter().map(|room| &room.charter).collect::<Vec<_>>(), [&charter]);
    let issued = store.invites(&room).expect("invites");
    assert_eq!((issued.len(), &issued[0].invite, issued[0].label.as_str()), (1, &invite, "for ann"));
    assert_eq!(open(&mut store, &charter), 1);
    let past = store.past(&room, 1).expect("the past");
    assert_eq!((past.redemptions, past.revoked), (all.to_vec(), vec![[7; 32]]));
}

#[test]
fn bans_are_kept_and_taken_back() {
    let (folder, mut store, charter) = store();
    let room = charter.room();
    let bans = [Ban::Key(NodeId([1; 32])), Ban::Link([2; 32]), Ban::Subtree([2; 32])];
    for ban in bans.into_iter().chain([bans[0]]) {
        store.ban(&room, ban, NOW).expect("it is kept");
    }
    drop(store);
    let mut store = Store::open(folder.path()).expect("the same store");
    assert_eq!(store.bans(&room).expect("bans"), bans);
    assert!(store.unban(&room, bans[1]).expect("it is there") && !store.unban(&room, bans[1]).expect("it is gone"));
    assert_eq!(store.bans(&room).expect("bans"), [bans[0], bans[2]]);
}

#[test]
fn the_file_is_its_owners_alone() {
    let (folder, store, _) = store();
    for entry in fs::read_dir(folder.path()).expect("a folder") {
        let entry = entry.expect("a file");
        let mode = entry.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.path());
    }
    drop(store);
    let path = folder.path().join(STORE_FILE);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    let refused = Store::open(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[test]
fn a_newer_version_is_refused_and_left_as_it_is() {
    let (folder, mut store, _) = store();
    store.sql(|connection| connection.pragma_update(None, "user_version", 99)).expect("a version");
    drop(store);
    let Err(refused) = Store::open(folder.path()) else { panic!("a refusal") };
    assert!(matches!(refused, StoreError::Newer { version: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("update the program"), "{refused}");
    let version = rusqlite::Connection::open(folder.path().join(STORE_FILE))
        .and_then(|file| file.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)));
    assert_eq!(version, Ok(99));
}

#[test]
fn a_damaged_file_is_refused_with_the_way_out() {
    let (folder, mut store, _) = store();
    // The log goes into the file, so that the damage is not behind it.
    store
        .sql(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .expect("a checkpoint");
    drop(store);
    let path = folder.path().join(STORE_FILE);
    let whole = fs::read(&path).expect("the file");
    let mut torn = whole.clone();
    torn[4096..].iter_mut().for_each(|byte| *byte ^= 0x5a);
    // The version that a writer must know (the SQLite file format, 1.3.3).
    let mut read_only = whole.clone();
    read_only[18] = 9;
    let noise = b"no database at all ".repeat(500);
    for (what, bytes) in [("noise", noise), ("torn pages", torn), ("a header that forbids to write", read_only)] {
        fs::write(&path, bytes).expect("a file");
        let refused = Store::open(folder.path()).err().unwrap_or_else(|| panic!("{what} is no store"));
        assert!(matches!(refused, StoreError::Damaged { .. }), "{what}: {refused}");
        assert!(refused.to_string().contains("move it away"), "{refused}");
    }
    fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
    assert!(matches!(Store::open(folder.path()).err(), Some(StoreError::Damaged { .. })), "half a file");
}

/// A file with a row in each table, and its bytes.
fn filled() -> (tempfile::TempDir, Vec<u8>) {
    let (folder, mut store, charter) = store();
    let (room, invite) = (charter.room(), invite(&charter));
    store.note_invite(&invite, "for ann", NOW).expect("it is kept");
    let redemption = Redemption { node: NodeId([1; 32]), chain: [5; 32], links: vec![[5; 32], [6; 32]] };
    store.redeem(&room, &[redemption], NOW).expect("it is kept");
    store.revoke(&room, [7; 32], NOW).expect("it is kept");
    store.ban(&room, Ban::Subtree([2; 32]), NOW).expect("it is kept");
    store
        .sql(|connection| connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
        .expect("a checkpoint");
    drop(store);
    let bytes = fs::read(folder.path().join(STORE_FILE)).expect("the file");
    (folder, bytes)
}

/// All that a node reads of its store.
fn read_all(folder: &Path) -> Result<(), StoreError> {
    let mut store = Store::open(folder)?;
    let room = charter().room();
    store.rooms()?;
    store.invites(&room)?;
    store.past(&room, 1)?;
    Ok(())
}

/// Nothing that a reader of the sentence could not act on: the disk has room, and the program is not too old.
fn is_told_well(read: &Result<(), StoreError>) -> bool {
    matches!(read, Ok(()) | Err(StoreError::Damaged { .. } | StoreError::Newer { .. }))
}

proptest! {
    #[test]
    fn a_file_with_any_bytes_altered_or_cut_is_read_or_refused_in_words(
        altered in vec((any::<Index>(), any::<u8>()), 0..40),
        within in prop_oneof![Just(200), Just(usize::MAX)],
        kept in prop_oneof![3 => Just(None), 1 => any::<Index>().prop_map(Some)],
    ) {
        let (folder, mut bytes) = filled();
        // Half of them hit the header, which says how to read the rest.
        let end = bytes.len().min(within);
        for (at, byte) in altered {
            bytes[at.index(end)] = byte;
        }
        if let Some(kept) = kept {
            bytes.truncate(kept.index(bytes.len()));
        }
        fs::write(folder.path().join(STORE_FILE), bytes).expect("a file");
        let read = read_all(folder.path());
        prop_assert!(is_told_well(&read), "{read:?}");
    }
}

#[test]
fn a_row_that_holds_something_else_is_refused_in_words() {
    let (folder, whole) = filled();
    let path = folder.path().join(STORE_FILE);
    let columns = [
        ("room", "charter"),
        ("room", "contact"),
        ("room", "openings"),
        ("room", "opened_unix_s"),
        ("link", "text"),
        ("link", "issued_unix_s"),
        ("redemption", "at_unix_s"),
        ("ban", "kind"),
    ];
    for (table, column) in columns {
        for value in ["NULL", "-1", "9223372036854775807", "'x'", "x'ff00'", "zeroblob(100000)"] {
            fs::write(&path, &whole).expect("a file");
            let file = rusqlite::Connection::open(&path).expect("a database");
            // What the tables forbid somebody who alters them need not heed.
            file.execute_batch("PRAGMA ignore_check_constraints = ON").expect("a setting");
            let altered = file.execute(&format!("UPDATE {table} SET {column} = {value}"), []);
            drop(file);
            let read = read_all(folder.path());
            assert!(is_told_well(&read), "{table}.{column} = {value}: {read:?}");
            let is_believed = altered.is_ok() && read.is_ok();
            assert!(!is_believed || column.ends_with("unix_s"), "{table}.{column} = {value} is believed");
        }
        fs::write(&path, &whole).expect("a file");
        rusqlite::Connection::open(&path)
            .and_then(|file| file.execute_batch(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO other")))
            .expect("another table");
        let read = read_all(folder.path());
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{table} without {column}: {read:?}");
    }
}
