//! Scripts of a room and its neighbours. The verdict lists what came of each, in alphabetical order.

use treehouse_tests::fuzz::room::{step, subject};

use crate::Seed;

/// Messages by their number in section 9 of the protocol.
const BYE: u8 = 2;
const JOIN: u8 = 3;
const RESUME: u8 = 4;
const ADMITTED: u8 = 5;
const REFUSED: u8 = 6;
const OFFER: u8 = 8;
const SUBSCRIBE: u8 = 13;
const SUBSCRIBED: u8 = 14;
const HAND: u8 = 19;
const STATE: u8 = 20;
const STAGE_PART: u8 = 21;
const REDIRECT: u8 = 25;

/// A script, and what is noted of it.
fn seed(name: &str, bytes: Vec<u8>, told: &str) -> Seed {
    crate::seed(name, bytes, &format!("Room({told:?})"))
}

/// Nobody in particular: the one who speaks.
const SELF: u8 = 0xff;

fn up(peer: u8) -> Vec<u8> {
    vec![step::LINK_UP, peer]
}

fn say(from: u8, message: u8, details: &[u8]) -> Vec<u8> {
    [&[step::MESSAGE, from, message], details].concat()
}

fn packet(from: u8, speaker: u8, first: u8, bits: u8) -> Vec<u8> {
    vec![step::PACKET, from, speaker, 0, first, bits]
}

/// Half a second.
fn wait() -> Vec<u8> {
    vec![step::TIME, 50]
}

fn script(subject: u8, steps: &[Vec<u8>]) -> Vec<u8> {
    [vec![subject], steps.concat()].concat()
}

pub fn seeds() -> Vec<Seed> {
    [admission(), newcomers(), feeds(), packets(), words()].into_iter().flatten().collect()
}

fn admission() -> Vec<Seed> {
    let host = |steps: &[Vec<u8>]| script(subject::HOST, steps);
    let join = |peer, kind, as_who, flags| [up(peer), say(peer, JOIN, &[kind, as_who, flags])].concat();
    vec![
        seed(
            "two-join-and-one-leaves",
            host(&[join(0, 0, SELF, 0), join(2, 0, SELF, 0), wait(), say(0, BYE, &[0])]),
            "0 admitted, 2 admitted",
        ),
        seed(
            "a-member-speaks",
            host(&[
                join(2, 0, SELF, 0),
                say(2, HAND, &[2]),
                wait(),
                say(2, SUBSCRIBED, &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                packet(2, 2, 3, 0),
                packet(2, 2, 4, 0),
            ]),
            "2 admitted, heard 2 x2",
        ),
        seed(
            "replayed-invite-for-one",
            host(&[join(0, 1, SELF, 0), join(2, 1, SELF, 0)]),
            "0 admitted, 2 refused UsedUp",
        ),
        seed("expired-invite", host(&[join(0, 2, SELF, 0)]), "0 refused Expired"),
        seed("wrongly-bound-proof-of-another", host(&[join(0, 0, 2, 0)]), "0 refused Invalid"),
        seed("wrongly-bound-proof-of-nobody", host(&[join(0, 0, SELF, 2)]), "0 refused Invalid"),
        seed("expired-certificate-resumed", host(&[up(0), say(0, RESUME, &[SELF, 2, 0, 0])]), "0 refused Expired"),
        seed(
            "wrongly-bound-certificate-resumed",
            host(&[up(0), say(0, RESUME, &[2, 0, 0, 0])]),
            "0 accused of OutOfRole",
        ),
        seed("forged-certificate-resumed", host(&[up(0), say(0, RESUME, &[SELF, 1, 0, 0])]), "0 refused Invalid"),
        seed(
            "wrongly-bound-voice-in-a-hand",
            host(&[join(2, 0, SELF, 0), say(2, HAND, &[0x83])]),
            "2 accused of Forged, 2 admitted",
        ),
        seed("a-hand-of-no-member", host(&[up(2), say(2, HAND, &[2])]), "2 accused of OutOfRole"),
    ]
}

fn newcomers() -> Vec<Seed> {
    let newcomer = |steps: &[Vec<u8>]| script(subject::NEWCOMER, steps);
    let sent_on = say(0, REDIRECT, &[2, 0, 2, 0]);
    vec![
        seed("newcomer-is-refused", newcomer(&[up(0), say(0, REFUSED, &[4])]), "the host refused: UsedUp"),
        seed(
            "newcomer-gets-another's-certificate",
            newcomer(&[up(0), say(0, ADMITTED, &[2, 0, 0])]),
            "the host's answer does not verify",
        ),
        seed(
            "newcomer-gets-an-expired-certificate",
            newcomer(&[up(0), say(0, ADMITTED, &[SELF, 2, 0])]),
            "the host's clock and this machine's are too far apart",
        ),
        seed(
            "newcomer-is-sent-round-in-circles",
            newcomer(&[vec![up(0)], vec![sent_on; 5]].concat()),
            "it was redirected too often",
        ),
    ]
}

fn feeds() -> Vec<Seed> {
    let relay = |steps: &[Vec<u8>]| script(subject::RELAY, steps);
    // Certificate of, how; no lease; primary; no rank; adopts nobody; replay of all.
    let subscribe = |peer, of, how| [up(peer), say(peer, SUBSCRIBE, &[of, how, 0, 0, 0, SELF, 1, 0])].concat();
    vec![
        seed(
            "a-child-is-fed",
            relay(&[packet(1, 0, 3, 0), subscribe(3, SELF, 0), packet(1, 0, 4, 0), wait()]),
            "heard 0 x2",
        ),
        seed(
            "more-children-than-slots",
            relay(&[subscribe(2, SELF, 0), subscribe(3, SELF, 0), subscribe(4, SELF, 0), subscribe(5, SELF, 0)]),
            "5 declined Full",
        ),
        seed("expired-certificate-shown", relay(&[subscribe(3, SELF, 2)]), "3 declined NotCertified"),
        seed("forged-certificate-shown", relay(&[subscribe(3, SELF, 1)]), "3 declined NotCertified"),
        seed("wrongly-bound-certificate-shown", relay(&[subscribe(3, 4, 0)]), "3 declined NotCertified"),
        seed("wrongly-bound-certificate-of-another-room", relay(&[subscribe(3, SELF, 3)]), "3 declined NotCertified"),
        seed("a-parent-asks-its-child", relay(&[subscribe(1, SELF, 0)]), "1 declined Order"),
        // Found by fuzzing: of those that it feeds the first was asked for a standby before, and grants it.
        seed(
            "a-child-that-was-asked-grants-it",
            relay(&[
                subscribe(2, SELF, 0),
                subscribe(3, SELF, 0),
                subscribe(4, SELF, 0),
                [up(5), say(0x80, SUBSCRIBED, &[SELF, 0, 0, 0, 0, SELF, 1, 0])].concat(),
            ]),
            "",
        ),
    ]
}

fn packets() -> Vec<Seed> {
    let relay = |steps: &[Vec<u8>]| script(subject::RELAY, steps);
    let again = |peer| vec![step::PACKET_AGAIN, peer];
    let raw = |bytes: &[u8]| [&[step::RAW_PACKET, 1, 0, bytes.len() as u8], bytes].concat();
    let stray = [packet(5, 0, 3, 0), vec![step::TIME, 0x80 | 19]].concat();
    vec![
        seed(
            "heard-from-the-parent",
            relay(&[packet(1, 0, 3, 0), packet(1, 0, 4, 0), packet(1, 2, 6, 1)]),
            "heard 0 x2, heard 2 x3",
        ),
        seed("replayed-packet", relay(&[packet(1, 0, 3, 0), again(1), again(1), wait(), again(1)]), "heard 0"),
        seed("replayed-packet-by-the-other-feed", relay(&[packet(1, 0, 3, 0), again(0)]), "heard 0"),
        seed("replayed-in-another-packetisation", relay(&[packet(1, 0, 3, 0), packet(1, 0, 3, 1)]), "heard 0 x3"),
        seed("forged-packet", relay(&[packet(1, 0, 3, 2), packet(1, 0, 4, 0)]), "1 accused of Forged"),
        seed("packet-of-a-voice-that-is-not-on-stage", relay(&[packet(1, 4, 3, 0)]), ""),
        seed("malformed-packet", relay(&[raw(&[1; 40])]), "1 accused of Malformed"),
        seed(
            "packets-that-nobody-asked-for",
            relay(&[up(5), stray.clone(), stray.clone(), stray]),
            "5 accused of Unsolicited",
        ),
        seed(
            "frames-at-the-end-of-numbers",
            relay(&[vec![step::PACKET, 1, 0, 0xfe, 0, 0], vec![step::PACKET, 1, 2, 0xfe, 1, 1]]),
            "heard 0, heard 2 x3",
        ),
    ]
}

fn words() -> Vec<Seed> {
    let relay = |steps: &[Vec<u8>]| script(subject::RELAY, steps);
    let raw = |bytes: &[u8]| [&[step::RAW_MESSAGE, 1, 0, bytes.len() as u8], bytes].concat();
    let flood = vec![vec![step::MESSAGE_AGAIN, 1]; 210].concat();
    let state = |from, version, mask, flags| say(from, STATE, &[version, mask, flags, SELF, 4]);
    vec![
        seed("malformed-message", relay(&[raw(&[16, 0])]), "1 accused of Malformed"),
        seed("forged-state", relay(&[state(1, 9, 0b111, 4)]), "1 accused of Forged"),
        seed("replayed-state", relay(&[state(1, 2, 0b111, 0), state(1, 1, 0b11, 0), packet(1, 2, 3, 0)]), "heard 2"),
        seed(
            "wrongly-bound-piece-of-the-stage",
            relay(&[state(1, 2, 0b11, 0), say(1, STAGE_PART, &[0b11, 1])]),
            "1 accused of Malformed",
        ),
        seed("piece-of-another-stage", relay(&[state(1, 2, 0b11, 0), say(1, STAGE_PART, &[0b100, 0])]), ""),
        seed("offer-of-one-that-does-not-lead", relay(&[say(1, OFFER, &[1, 2, 3, 4])]), "1 accused of OutOfRole"),
        seed("flood-of-messages", relay(&[say(1, 0, &[0, 1]), flood]), "1 accused of Flood"),
    ]
}
