//! `treehouse-sim`: drives many Rooms in virtual time. Its program comes with the overlay that it is to develop; until then
//! `crates/room/tests` drives scripted and random networks of Rooms.
