"""Ed25519 (RFC 8032), HKDF-SHA256 (RFC 5869) and ChaCha20-Poly1305 (RFC 8439), written out.

Slow, and not in constant time: for checking public test vectors only.
"""

import hashlib
import hmac
import struct

# --- Ed25519, RFC 8032 section 5.1, with the strict checks of section 5 of the page ---------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(a, b):
    """Sum of two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    i, j, k, l = f - e, h - g, h + g, f + e
    return i * j % P, k * l % P, j * k % P, i * l % P


def times(factor, point):
    result = NEUTRAL
    while factor:
        if factor & 1:
            result = add(result, point)
        point = add(point, point)
        factor >>= 1
    return result


def equal(a, b):
    return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0


def decode_point(data):
    """The point, or None if the bytes are no canonical point."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode_point(point):
    inverse = pow(point[2], P - 2, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def secret_scalar(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    return scalar, digest[32:]


def public_key(seed):
    return encode_point(times(secret_scalar(seed)[0], BASE))


def challenge(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % ORDER


def sign(seed, message):
    scalar, prefix = secret_scalar(seed)
    key, nonce = public_key(seed), challenge(prefix, message)
    point = encode_point(times(nonce, BASE))
    return point + ((nonce + challenge(point, key, message) * scalar) % ORDER).to_bytes(32, "little")


def verify(key, message, signature):
    a, r, s = decode_point(key), decode_point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER or equal(times(8, a), NEUTRAL) or equal(times(8, r), NEUTRAL):
        return False
    return equal(times(s, BASE), add(r, times(challenge(signature[:32], key, message), a)))


# --- HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439) -----------------------------------------------------------


def hkdf(salt, secret, info):
    """32 bytes of output: one block."""
    extracted = hmac.new(salt, secret, "sha256").digest()
    return hmac.new(extracted, info + b"\x01", "sha256").digest()


def chacha20_block(key, counter, nonce):
    start = struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce)
    state = list(start)

    def mix(a, b, c, d):
        for to, other, target, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            state[to] = (state[to] + state[other]) & 0xFFFFFFFF
            turned = state[target] ^ state[to]
            state[target] = (turned << left | turned >> (32 - left)) & 0xFFFFFFFF

    for _ in range(10):
        for column in range(4):
            mix(column, column + 4, column + 8, column + 12)
        for column in range(4):
            mix(column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(state, start)))


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def open_sealed(key, nonce, associated, sealed):
    """The clear text, or None if the tag does not fit."""
    text, tag = sealed[:-16], sealed[-16:]
    padded = [part + bytes(-len(part) % 16) for part in (associated, text)]
    lengths = struct.pack("<QQ", len(associated), len(text))
    if poly1305(chacha20_block(key, 0, nonce)[:32], b"".join(padded) + lengths) != tag:
        return None
    blocks = range(1, 2 + len(text) // 64)
    stream = b"".join(chacha20_block(key, counter, nonce) for counter in blocks)
    return bytes(a ^ b for a, b in zip(text, stream))
