"""A second reading of docs/protocol.md: checks the vector files of wire and invite with nothing but that page.

Nothing here is derived from the Rust code. It uses Python's standard library alone; rfc.py has the cryptography.

    python3 -B check.py CRATES_FOLDER
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys
import unicodedata

from rfc import ORDER, hkdf, open_sealed, public_key, sign, verify

# --- Section 3: the canonical encoding. A type is a function from a reader to a value; bytes become hex digits -------


class Refused(Exception):
    """The bytes must be refused."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise Refused("cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, bits):
        value = 0
        for index in range((bits + 6) // 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value >> bits or (index and byte == 0):
                    raise Refused("varint too large or too long")
                return value
        raise Refused("varint without end")


def u8(reader):
    return reader.take(1)[0]


def flag(reader):
    value = reader.take(1)[0]
    if value > 1:
        raise Refused("neither 0 nor 1")
    return bool(value)


def u16(reader):
    return reader.varint(16)


def u32(reader):
    return reader.varint(32)


def u64(reader):
    return reader.varint(64)


def i16(reader):
    folded = reader.varint(16)
    return -(folded + 1) // 2 if folded % 2 else folded // 2


def array(count):
    return lambda reader: reader.take(count).hex()


def counted(reader, limit):
    count = reader.varint(64)
    if count > limit:
        raise Refused("past its limit")
    return count


def blob(limit):
    return lambda reader: reader.take(counted(reader, limit)).hex()


FORBIDDEN = [(0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F)]
FORBIDDEN += [(0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)]


def text(limit):
    def read(reader):
        try:
            value = reader.take(counted(reader, limit)).decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("not UTF-8") from None
        for letter in value:
            hidden = any(low <= ord(letter) <= high for low, high in FORBIDDEN)
            if hidden or unicodedata.category(letter) == "Cc":
                raise Refused("unprintable")
        return value

    return read


def listing(item, limit):
    return lambda reader: [item(reader) for _ in range(counted(reader, limit))]


def optional(item):
    return lambda reader: item(reader) if flag(reader) else None


def struct_of(**fields):
    return lambda reader: {name: item(reader) for name, item in fields.items()}


def pair(first, second):
    return lambda reader: [first(reader), second(reader)]


def triple(first, second, third):
    return lambda reader: [first(reader), second(reader), third(reader)]


def repeated(item, count):
    return lambda reader: [item(reader) for _ in range(count)]


def enum(*variants):
    """Variants are names, or pairs of a name and the type of what follows."""

    def read(reader):
        number = reader.varint(32)
        if number >= len(variants):
            raise Refused("no such variant")
        variant = variants[number]
        return variant if isinstance(variant, str) else {variant[0]: variant[1](reader)}

    return read


def decode(item, data, limit):
    if len(data) > limit:
        raise Refused("too long")
    reader = Reader(data)
    value = item(reader)
    if reader.at != len(data):
        raise Refused("bytes behind the value")
    return value


NODE = KEY = HASH = ROOM = array(32)
SIGNATURE, TAG, VOICE, SALT = array(64), array(4), array(8), array(16)
LINK_TAG = array(16)
STATEMENT = struct_of(payload=blob(512), signature=SIGNATURE)
EPOCH = struct_of(term=u16, number=u32)
ADDRESSES = listing(blob(128), 4)
CONTACT = struct_of(node=NODE, addresses=ADDRESSES)
NAME = text(48)
RANK = struct_of(depth=u8, admission=u32)
POSITION = struct_of(at=repeated(i16, 3), height=u16, error=u8)
PROFILE = struct_of(name=NAME, addresses=ADDRESSES, children_max=u8)
ROLES = ["Booster", "Listener", "Speaker", "Moderator", "Host"]
ROLE = enum(*ROLES)

# --- Section 9 ------------------------------------------------------------------------------------------------------

TICK = struct_of(
    path=listing(TAG, 32),
    rank=RANK,
    state=pair(u16, u32),
    repairing=flag,
    members=u32,
    position=POSITION,
    delay_ms=u16,
)
STATUS = struct_of(
    parent=optional(TAG),
    standby=optional(TAG),
    rank=RANK,
    children=u8,
    standbys=u8,
    slots=u8,
    position=optional(POSITION),
    delay_ms=u16,
)
REPORT = enum(
    ("Status", struct_of(node=NODE, status=STATUS)),
    ("Gone", struct_of(node=NODE, polite=flag)),
    ("Complaint", struct_of(node=NODE, of=TAG, at=u64, signature=SIGNATURE)),
)
PLACEMENT = struct_of(
    counter=u32,
    rank=RANK,
    parent=CONTACT,
    adopts=optional(NODE),
    standby=optional(CONTACT),
    spares=listing(CONTACT, 3),
    position=POSITION,
    review_s=u16,
)
FAREWELL = enum("Leaving", "RoomClosed", "Unused", "Misbehaved", "Removed")
REFUSAL = enum(
    "Invalid", "OtherRoom", "Expired", "NotYetValid", "UsedUp", "NotGranted", "NotHost", "RoomFull", "Busy", "Banned",
    "Revoked", "Uncounted"
)
PURPOSE = enum("Primary", "LiveStandby", "IdleStandby", "Provisional", "Stage")
DECLINE = enum("NotCertified", "Full", "Order", "NoFeed", "Leaving", "NotOnStage")
ADOPTION = struct_of(leaf=NODE, addresses=ADDRESSES)
SUBSCRIBE = {"certificate": STATEMENT, "lease": optional(STATEMENT), "purpose": PURPOSE, "relay": optional(RANK)}
SUBSCRIBE |= {"adopts": optional(ADOPTION), "replay": flag, "from": listing(pair(VOICE, u32), 16)}
ADMITTED = {"charter": STATEMENT, "certificate": STATEMENT, "lease": optional(STATEMENT), "host": ADDRESSES}
ADMITTED |= {"epoch": EPOCH, "key": optional(KEY)}
LINEAGE = listing(LINK_TAG, 4)
RECORD = struct_of(
    node=NODE, profile=PROFILE, role=u8, admission=u32, lineage=LINEAGE, age_s=u32, counter=u32, status=STATUS
)
HUB = struct_of(contact=CONTACT, members=u32, spare=u32)
CONTROL = enum(
    ("Ping", struct_of(nonce=u32)),
    ("Pong", struct_of(nonce=u32)),
    ("Bye", FAREWELL),
    ("Join", struct_of(chain=blob(1024), proof=SIGNATURE, profile=PROFILE, direct=flag)),
    ("Resume", struct_of(certificate=STATEMENT, lease=optional(STATEMENT), profile=PROFILE, direct=flag)),
    ("Admitted", struct_of(**ADMITTED)),
    ("Refused", REFUSAL),
    ("Seek", struct_of(failed=listing(NODE, 6), review=flag)),
    ("Offer", struct_of(round=u32, candidates=listing(CONTACT, 6))),
    ("Measured", struct_of(round=u32, round_trip_ms=listing(pair(NODE, optional(u16)), 6))),
    ("Placement", PLACEMENT),
    ("Status", STATUS),
    ("Reports", listing(REPORT, 32)),
    ("Subscribe", struct_of(**SUBSCRIBE)),
    ("Subscribed", struct_of(purpose=PURPOSE, tick=TICK)),
    ("Declined", struct_of(purpose=PURPOSE, reason=DECLINE)),
    "Unsubscribe",
    ("Moved", CONTACT),
    ("Tick", TICK),
    ("Hand", struct_of(claim=optional(triple(KEY, SIGNATURE, SIGNATURE)))),
    ("State", STATEMENT),
    ("StatePart", struct_of(digest=HASH, index=u8, of=u8, part=blob(3800))),
    "StateWanted",
    ("StageContact", CONTACT),
    ("Beacon", STATEMENT),
    ("Redirect", struct_of(leaders=listing(CONTACT, 3), direct=flag)),
    ("Leader", struct_of(leader=CONTACT, before=NODE, lease=STATEMENT)),
    ("LeaseWanted", struct_of(node=CONTACT, fresh=flag)),
    ("Lease", struct_of(lease=STATEMENT, charter=STATEMENT, host=ADDRESSES)),
    ("Records", listing(RECORD, 5)),
    ("HubStatus", struct_of(members=u32, spare=u32, hands=u32)),
    ("Hubs", listing(HUB, 6)),
    ("LeaderGone", NODE),
    ("HandsWanted", struct_of(count=u8)),
    ("Page", struct_of(path=listing(TAG, 32))),
    ("Key", struct_of(epoch=EPOCH, key=KEY)),
    ("Losses", listing(pair(VOICE, repeated(u32, 12)), 16)),
)

# --- Sections 6 to 8 ------------------------------------------------------------------------------------------------

CHARTER = struct_of(
    founder=NODE, salt=SALT, title=NAME, policy=enum("Open", "Social", "Closed"), successors=listing(NODE, 4)
)
CERTIFICATE = struct_of(node=NODE, role=ROLE, admission=u32, term=u16, issued=u64, expires=u64, lineage=LINEAGE)
LEASE = struct_of(
    hub=NODE,
    region=u32,
    role=ROLE,
    first=u32,
    quota=u32,
    members_max=u32,
    term=u16,
    not_before=u64,
    expires=u64,
)
STATE = struct_of(
    host=NODE,
    term=u16,
    version=u32,
    epoch=EPOCH,
    protection=enum("Off", "Relays", "All"),
    frames_per_packet=u8,
    recording=flag,
    co_root=optional(NODE),
    members=u32,
    stage_digest=HASH,
    bans_digest=HASH,
    key_digest=HASH,
)
CARRIED = struct_of(voice=VOICE, first=u32, last=u32, count=u32)
BEACON = struct_of(state=pair(u16, u32), number=u32, chosen=listing(VOICE, 3), carried=listing(CARRIED, 12))
STAGE = listing(
    struct_of(node=NODE, role=ROLE, name=NAME, claim=optional(struct_of(key=KEY, signature=SIGNATURE))), 50
)
BANNED = enum(("Node", NODE), ("Link", LINK_TAG), ("Subtree", LINK_TAG), ("Revoked", LINK_TAG))
BANS = listing(struct_of(who=BANNED, until=u64), 1000)
HOLDER = enum(("Bound", NODE), ("Bearer", KEY))
LINK_BODY = struct_of(role=ROLE, not_before=u64, expires=u64, uses=optional(u32), depth=u8, holder=HOLDER)
LINK = struct_of(payload=blob(64), signature=SIGNATURE)
POLICIES = ["Open", "Social", "Closed"]
POLICY = enum("Open", "Social", "Closed")
CHAIN = struct_of(founder=NODE, salt=SALT, policy=POLICY, links=listing(LINK, 4))
INVITE = struct_of(chain=CHAIN, seed=optional(KEY), bootstrap=listing(CONTACT, 4))


def unhex(digits):
    return bytes.fromhex(digits)


def sha256(data):
    return hashlib.sha256(data).digest()


def room_of(founder, salt):
    return sha256(b"treehouse/room/1" + founder + salt)


def signed_message(domain, room, payload):
    return bytes([len(domain)]) + domain.encode() + room + payload


def is_signed(domain, room, payload, key, signature):
    return verify(key, signed_message(f"treehouse/{domain}/1", room, payload), signature)


def read_chain(chain):
    if not chain["links"]:
        raise Refused("no links")
    for link in chain["links"]:
        payload = unhex(link["payload"])
        link["body"] = decode(LINK_BODY, payload, 64)
        if link["body"]["uses"] == 0:
            raise Refused("no uses")
        link["id"] = sha256(bytes([len(payload)]) + payload + unhex(link["signature"]))
    return chain


SPACE = " \t\n\r\f"
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def read_invite(pasted):
    if len(pasted.encode()) > 2048:
        raise Refused("too long")
    pasted = pasted.strip(SPACE)
    if not pasted.startswith("TREEHOUSE:"):
        raise Refused("not an invite")
    digits = "".join(letter for letter in pasted[len("TREEHOUSE:") :] if letter not in SPACE)
    if any(letter not in DIGITS for letter in digits) or len(digits) % 8 in (1, 3, 6):
        raise Refused("not base32")
    data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    if base64.b32encode(data).decode().rstrip("=") != digits:
        raise Refused("filling bits")
    if not 5 <= len(data) <= 1024 or sha256(data[:-4])[:4] != data[-4:]:
        raise Refused("length or checksum")
    if data[0] != 1:
        raise Refused("version")
    invite = decode(INVITE, data[1:-4], 1019)
    last = read_chain(invite["chain"])["links"][-1]["body"]["holder"]
    if (invite["seed"] is not None) != ("Bearer" in last):
        raise Refused("seed")
    return invite


def is_wider(link, parent):
    uses = [2**64 if body["uses"] is None else body["uses"] for body in (link, parent)]
    return (
        ROLES.index(link["role"]) > ROLES.index(parent["role"])
        or link["not_before"] < parent["not_before"]
        or link["expires"] > parent["expires"]
        or uses[0] > uses[1]
        or link["depth"] >= parent["depth"]
    )


def believe(chain, seed, now):
    """The key of the last holder, once the whole chain holds."""
    bodies = [link["body"] for link in chain["links"]]
    if any(is_wider(link, parent) for parent, link in zip(bodies, bodies[1:])):
        raise Refused("wider")
    if not bodies[-1]["not_before"] - 120 <= now < bodies[-1]["expires"] + 120:
        raise Refused("not now")
    key, previous = unhex(chain["founder"]), bytes([POLICIES.index(chain["policy"])]) + bytes(31)
    room = room_of(key, unhex(chain["salt"]))
    for link in chain["links"]:
        if not is_signed("invite-link", room, previous + unhex(link["payload"]), key, unhex(link["signature"])):
            raise Refused("signature")
        (key,) = map(unhex, link["body"]["holder"].values())
        previous = link["id"]
    if seed is not None and public_key(unhex(seed)) != key:
        raise Refused("other seed")
    return key


def read_stage(data):
    stage = decode(STAGE, data, 4 * 3800)
    nodes = [member["node"] for member in stage]
    voices = [sha256(unhex(member["claim"]["key"]))[:8] for member in stage if member["claim"]]
    if any(a >= b for a, b in zip(nodes, nodes[1:])) or len(set(voices)) < len(voices):
        raise Refused("out of order, or twice")
    return stage


def read_bans(data):
    bans = decode(BANS, data, 12 * 3800)
    kinds = ["Node", "Link", "Subtree", "Revoked"]
    who = [(kinds.index(kind), unhex(of)) for ban in bans for kind, of in ban["who"].items()]
    if any(a >= b for a, b in zip(who, who[1:])):
        raise Refused("out of order, or twice")
    return bans


# --- Section 11 -----------------------------------------------------------------------------------------------------


def read_header(packet):
    if not 110 <= len(packet) <= 1200:
        raise Refused("length")
    kind, k, term, number, voice, first, captured = struct.unpack(">BBHI8sIQ", packet[:28])
    if kind != 1 or k not in (1, 3) or first % k or first > 2**32 - 3:
        raise Refused("header")
    return {"k": k, "term": term, "number": number, "first": first, "captured": str(captured)}, voice


def split_frames(clear, k):
    level, rest, frames = clear[0], clear[1:], []
    for _ in range(k - 1):
        length = int.from_bytes(rest[:2], "big")
        frames.append(rest[2 : 2 + length].hex())
        rest = rest[2 + length :]
    return level, frames + [rest.hex()]


# --- The vector files -----------------------------------------------------------------------------------------------

checks = 0


def check(holds, what):
    global checks
    checks += 1
    if not holds:
        sys.exit(f"the page and the vectors disagree: {what}")


def check_refused(read, what):
    try:
        read()
    except Refused:
        return check(True, what)
    return check(False, f"{what} is not refused")


def check_ids(vectors):
    for entry in vectors["rooms"]:
        founder = public_key(unhex(entry["founder_seed"]))
        check(founder.hex() == entry["founder"] and founder[:4].hex() == entry["founder_tag"], entry["name"])
        check(room_of(founder, unhex(entry["salt"])).hex() == entry["room"], entry["name"])
    for entry in vectors["voices"]:
        key = public_key(unhex(entry["media_seed"]))
        check(key.hex() == entry["media_key"] and sha256(key)[:8].hex() == entry["voice"], entry["name"])
    for entry in vectors["signatures"]:
        message = signed_message(entry["name"], unhex(entry["room"]), unhex(entry["payload"]))
        check(message.hex() == entry["message"], entry["name"])
        check(sign(unhex(entry["seed"]), message).hex() == entry["signature"], entry["name"])
    seed = unhex(vectors["room_keys"]["seed"])
    for entry in vectors["room_keys"]["drawn"]:
        epoch = entry["term"].to_bytes(2, "big") + entry["number"].to_bytes(4, "big")
        key = sha256(b"treehouse/room-key/1" + epoch + seed)
        seed = sha256(b"treehouse/room-key-seed/1" + seed)
        room = unhex(vectors["room_keys"]["room"])
        digest = sha256(b"treehouse/room-key-digest/1" + room + epoch + key)
        check((key.hex(), digest.hex()) == (entry["key"], entry["digest"]), f"room key of epoch {entry['number']}")


def check_control(good, bad):
    for entry in good["messages"]:
        check(decode(CONTROL, unhex(entry["bytes"]), 4096) == entry["value"], entry["name"])
    for entry in bad["messages"]:
        check_refused(lambda: decode(CONTROL, unhex(entry["bytes"]), 4096), entry["name"])


def check_packets(good, bad):
    room, key = unhex(good["room"]), unhex(good["media_key"])
    check(public_key(unhex(good["media_seed"])) == key, "media key")
    for entry in good["packets"]:
        packet, name = unhex(entry["bytes"]), entry["name"]
        header, voice = read_header(packet)
        check(header.items() <= entry.items() and voice.hex() == good["voice"], name)
        check(header["first"] // header["k"] % 4 == entry["lane"], name)
        check(is_signed("packet", room, packet[:-64], key, packet[-64:]), name)
        voice_key = hkdf(room, unhex(good["room_key"]), b"treehouse/voice/1" + packet[2:8] + key)
        check(voice_key.hex() == entry["voice_key"], name)
        nonce = packet[16:20] + packet[1:2] + bytes(7)
        clear = open_sealed(voice_key, nonce, packet[:28], packet[28:-64])
        check(clear is not None and split_frames(clear, header["k"]) == (entry["level"], entry["frames"]), name)
    for entry in bad["packets"]:
        check_refused(lambda: read_header(unhex(entry["bytes"])), entry["name"])


def check_invites(good, bad):
    room, host, now = unhex(good["room"]), unhex(good["founder"]), good["now"]
    for entry in good["invites"]:
        name, invite = entry["name"], read_invite(entry["text"])
        links, last = invite["chain"]["links"], believe(invite["chain"], invite["seed"], now)
        described = [{**link["terms"], "holder": link["holder"]} for link in entry["links"]]
        check([link["body"] for link in links] == described, name)
        check([link["id"].hex() for link in links] == [link["id"] for link in entry["links"]], name)
        check(invite["bootstrap"] == entry["bootstrap"], name)
        counted_links = [
            {"link": link["id"].hex(), "uses": link["body"]["uses"]}
            for link in links
            if link["body"]["uses"] is not None
        ]
        body = links[-1]["body"]
        grant = {"role": body["role"], "expires": body["expires"], "uses": counted_links}
        check(grant == entry["grant"], name)
        check(read_chain(decode(CHAIN, unhex(entry["chain"]), 1024)) == invite["chain"], name)
        proven = links[-1]["id"] + unhex(entry["redeemer"]) + host
        check(is_signed("redemption", room, proven, last, unhex(entry["proof"])), name)
        wrapped = "\r\n".join(entry["text"][at : at + 72] for at in range(0, len(entry["text"]), 72))
        check(read_invite(f" {wrapped}\n") == invite, name)
    for entry in bad["not_read"]:
        check_refused(lambda: read_invite(entry["text"]), entry["name"])
    for entry in bad["not_believed"]:
        invite = read_invite(entry["text"])
        check_refused(lambda: believe(invite["chain"], invite["seed"], bad["now"]), entry["name"])


def check_statements(vectors):
    room, host = unhex(vectors["room"]), unhex(vectors["founder"])
    kinds = [("charters", CHARTER, "charter"), ("certificates", CERTIFICATE, "certificate")]
    kinds += [("leases", LEASE, "lease"), ("states", STATE, "room-state"), ("beacons", BEACON, "beacon")]
    for field, item, domain in kinds:
        for entry in vectors[field]:
            statement = decode(STATEMENT, unhex(entry["bytes"]), 600)
            payload, signature = unhex(statement["payload"]), unhex(statement["signature"])
            check(statement == {"payload": entry["payload"], "signature": entry["signature"]}, entry["name"])
            check(decode(item, payload, 512) == entry["value"], entry["name"])
            check(is_signed(domain, room, payload, host, signature), entry["name"])
    entry = vectors["certificate_under_the_lease"]
    statement = decode(STATEMENT, unhex(entry["bytes"]), 600)
    payload, signature = unhex(statement["payload"]), unhex(statement["signature"])
    check(decode(CERTIFICATE, payload, 512) == entry["value"], "certificate under a lease")
    check(is_signed("certificate", room, payload, unhex(entry["hub"]), signature), "certificate under a lease")
    check(entry["hub"] == vectors["leases"][0]["value"]["hub"], "certificate under a lease")
    for entry in vectors["media_claims"]:
        check_claim(room, entry["speaker"], entry["media_key"], entry["signature"])
        key, payload = unhex(entry["media_key"]), unhex(entry["speaker"] + entry["media_key"])
        check(is_signed("media-key-held", room, payload, key, unhex(entry["held"])), f"held: {entry['name']}")
    for entry in vectors["complaints"]:
        payload = unhex(entry["by"] + entry["of"]) + entry["at"].to_bytes(8, "big")
        check(is_signed("complaint", room, payload, unhex(entry["by"]), unhex(entry["signature"])), entry["name"])


def check_claim(room, node, key, signature):
    check(is_signed("media-key", room, unhex(node + key), unhex(node), unhex(signature)), f"claim of {node}")


def check_stage(vectors):
    room = unhex(vectors["room"])
    for entry in vectors["stages"]:
        data = unhex(entry["bytes"])
        check(read_stage(data) == entry["value"] and sha256(data).hex() == entry["digest"], entry["name"])
        for member in entry["value"]:
            if member["claim"]:
                check_claim(room, member["node"], member["claim"]["key"], member["claim"]["signature"])
        check_parts(entry)
    for entry in vectors["not_read"]:
        check_refused(lambda: read_stage(unhex(entry["bytes"])), entry["name"])
    for entry in vectors["bans"]:
        data = unhex(entry["bytes"])
        check(read_bans(data) == entry["value"] and sha256(data).hex() == entry["digest"], entry["name"])
        check_parts(entry)
    for entry in vectors["bans_not_read"]:
        check_refused(lambda: read_bans(unhex(entry["bytes"])), entry["name"])


def check_parts(entry):
    parts = [decode(CONTROL, unhex(part), 4096)["StatePart"] for part in entry["parts"]]
    check("".join(part["part"] for part in parts) == entry["bytes"], entry["name"])
    check([part["index"] for part in parts] == list(range(len(parts))), entry["name"])
    check(all(part["digest"] == entry["digest"] and part["of"] == len(parts) for part in parts), entry["name"])


def check_strictness():
    """Keys and signatures that a lax check accepts."""
    seed, message = bytes(32), b"message"
    key, signature = public_key(seed), sign(seed, message)
    check(verify(key, message, signature), "a good signature")
    larger = (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    check(not verify(key, message, signature[:32] + larger), "S past the order")
    neutral = (1).to_bytes(32, "little")
    check(not verify(neutral, message, neutral + bytes(32)), "a key of small order")


def main(crates):
    def load(crate, name):
        return json.loads((crates / crate / "vectors" / name).read_text(encoding="utf-8"))

    check_strictness()
    check_ids(load("wire", "ids.json"))
    check_control(load("wire", "control.json"), load("wire", "malformed_control.json"))
    check_packets(load("wire", "packets.json"), load("wire", "malformed_packets.json"))
    check_invites(load("invite", "invites.json"), load("invite", "malformed_invites.json"))
    check_statements(load("invite", "statements.json"))
    check_stage(load("invite", "stage.json"))
    print(f"{checks} checks hold")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
