//! Rooms in virtual time. They are one program, since each program would compile the room for itself.

mod support;

mod boosters;
mod capacity;
mod complaints;
mod counted;
mod doubts;
mod floor;
mod hostile;
mod hubs;
mod hushed;
mod losses;
mod lossy;
mod moderation;
mod paging;
mod protection;
mod random;
mod recording;
mod scripted;
mod talkspurts;
mod withholding;
