//! Every bound of the wire, by name.
//!
//! A length that arrives from the network is compared with its limit before anything is allocated for it.

/// Largest control message, in bytes, without its two-byte length.
pub const CONTROL_BYTES_MAX: usize = 4096;
/// Largest media packet, in bytes: it must fit one QUIC packet on common paths.
pub const PACKET_BYTES_MAX: usize = 1200;
/// Largest Opus frame, in bytes: 144 kbit/s at 20 ms, and three of them still fit [`PACKET_BYTES_MAX`].
pub const OPUS_FRAME_BYTES_MAX: usize = 360;
/// Long-lived substreams that carry the packets of one feed.
pub const MEDIA_LANES: usize = 4;
/// Largest binary multiaddress, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Addresses that one contact lists.
pub const ADDRESSES_MAX: usize = 4;
/// Longest display name or room title, in bytes of UTF-8.
pub const NAME_BYTES_MAX: usize = 48;
/// Candidates that an offer names: enough to find out where a newcomer is.
pub const CANDIDATES_MAX: usize = 6;
/// Members that a placement names to try next. With parent and standby they are five contacts, the most that fit a
/// control message at their largest.
pub const SPARES_MAX: usize = 3;
/// Reports of members in one message up the tree.
pub const REPORTS_MAX: usize = 32;
/// Longest root path that a tick carries; a deeper tree is refused.
pub const PATH_MAX: usize = 32;
/// Voices that one `Subscribe` names a position for; at most 12 microphones are open at once.
pub const VOICES_MAX: usize = 16;
/// Voices that go down the tree at once.
pub const CHOSEN_MAX: usize = 3;
/// Voices that a beacon gives an account of: those that are chosen, and those that were within the second before.
pub const CARRIED_MAX: usize = 12;
/// Members on stage.
pub const STAGE_MAX: usize = 50;
/// Largest signed payload in a control message: charter, certificate, head of the room state.
pub const SIGNED_BYTES_MAX: usize = 512;
/// Largest invite, in bytes, and so the largest chain of links in a `Join`.
pub const INVITE_BYTES_MAX: usize = 1024;
/// Links that an invite's chain has at most.
pub const LINKS_MAX: usize = 4;
/// Largest piece of a list that the room state names, in one message.
pub const STATE_PART_BYTES_MAX: usize = 3800;
/// Pieces that the stage list may come in.
pub const STAGE_PARTS_MAX: usize = 4;
/// Those who may not come, or may not come any more, in one room at a time.
pub const BANS_MAX: usize = 1000;
/// Pieces that their list may come in.
pub const BAN_PARTS_MAX: usize = 12;
/// Leaders that a joiner is redirected to at once; it takes the one that it reaches first.
pub const LEADERS_MAX: usize = 3;
/// Redirects after which a joiner gives up.
pub const REDIRECTS_MAX: u8 = 3;
/// Members in one message of a handover: the most that fit at their largest.
pub const RECORDS_MAX: usize = 5;
/// Hubs that the host tells another of in one message: the most that fit at their largest.
pub const HUBS_MAX: usize = 6;
