"""Writes the test vectors of the `.ncv` format, from docs/format.md alone: no code of the package is used.

    python tests/vectors/make_vectors.py

Every file in `files/` says what must happen, and why, in a few lines of text before an empty line and the bundle:

    expect: opens | not a bundle | unsupported | over limit | truncated | header refused | MAC wrong |
            no slot opens | payload damaged
    key: 64 hexadecimal digits, or  passphrase: text
    payload: SHA-256 of the sections one after another, where it opens
    comment: what is special about it

All bytes that are random in a real bundle are derived from labels, so that the files come out the same each time.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FILES = Path(__file__).parent / "files"
MAGIC = bytes.fromhex("894e43560d0a1a0a")
CHUNK = 65_536


def noise(label: str, count: int = 32) -> bytes:
    """Bytes in place of random ones."""
    blocks = (sha256(f"{label} {i}".encode()).digest() for i in range(-(-count // 32)))
    return b"".join(blocks)[:count]


KEY = noise("key file")
OTHER = noise("another key file")
BUNDLE_KEY = noise("bundle key")
SALT = noise("header salt")
PAYLOAD_SALT = noise("payload salt")


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


class Raw(bytes):
    """Bytes of msgpack that are put in as they are."""


class Pairs(list[tuple[Any, Any]]):
    """A map with its entries in this order, whatever it is."""


def pack(value: Any) -> bytes:  # noqa: PLR0911  (one line for each type)
    """Canonical msgpack, section 2."""
    if isinstance(value, Raw):
        return bytes(value)
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, str):
        data = value.encode()
        short = bytes([0xA0 | len(data)]) if len(data) < 32 else None
        return (short or _sized(len(data), 0xD9, 0xDA, 0xDB)) + data
    if isinstance(value, bytes):
        return _sized(len(value), 0xC4, 0xC5, 0xC6) + value
    if isinstance(value, Pairs) or not isinstance(value, (dict, list)):
        entries = list(value)
        return _count(len(entries), 0x80, 0xDE) + b"".join(pack(k) + pack(v) for k, v in entries)
    if isinstance(value, list):
        return _count(len(value), 0x90, 0xDC) + b"".join(map(pack, value))
    ordered = sorted(value.items(), key=lambda item: item[0].encode())
    return _count(len(ordered), 0x80, 0xDE) + b"".join(pack(k) + pack(v) for k, v in ordered)


def _integer(value: int) -> bytes:
    if value >= 0:
        if value < 128:
            return bytes([value])
        for code, width in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
            if value < 256**width:
                return bytes([code]) + value.to_bytes(width, "big")
    if value >= -32:
        return struct.pack("b", value)
    for code, width in ((0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)):
        if value >= -(256**width) // 2:
            return bytes([code]) + value.to_bytes(width, "big", signed=True)
    raise ValueError(value)


def _sized(length: int, *codes: int) -> bytes:
    for code, width in zip(codes, (1, 2, 4), strict=True):
        if length < 256**width:
            return bytes([code]) + length.to_bytes(width, "big")
    raise ValueError(length)


def _count(count: int, short: int, code: int) -> bytes:
    if count < 16:
        return bytes([short | count])
    return bytes([code]) + count.to_bytes(2, "big") if count < 65536 else bytes([code + 1]) + count.to_bytes(4, "big")


def key_slot(secret: bytes = KEY, label: str = "slot", wraps: bytes = BUNDLE_KEY) -> dict[str, Any]:
    """A slot for a key file, section 4."""
    fields: dict[str, Any] = {"kind": "key", "salt": noise(f"salt of {label}")}
    return wrap(fields, secret, wraps)


def wrap(fields: dict[str, Any], secret: bytes, wraps: bytes = BUNDLE_KEY) -> dict[str, Any]:
    """The slot of these fields, whatever they are, with `wrapped`."""
    kek = hkdf(secret, fields["salt"], b"ncv1 slot " + str(fields["kind"]).encode())
    wrapped = ChaCha20Poly1305(kek).encrypt(bytes(12), wraps, pack(fields))
    return {**fields, "wrapped": wrapped}


def passphrase_slot(text: str, label: str = "slot", *, t: int = 1, m_kib: int = 64, p: int = 1) -> dict[str, Any]:
    """A slot for a passphrase, as cheap as it may be."""
    salt = noise(f"salt of {label}", 16)
    fields = {"kind": "passphrase", "m_kib": m_kib, "p": p, "salt": salt, "t": t}
    stretched = Argon2id(salt=salt, length=32, iterations=t, lanes=p, memory_cost=m_kib).derive(text.encode())
    return wrap(fields, stretched)


def fixed_passphrase_slot(**changed: Any) -> dict[str, Any]:
    """A slot whose parameters a reader must refuse before it computes anything, so nothing is computed here."""
    fields = {"kind": "passphrase", "m_kib": 64, "p": 1, "salt": noise("fixed", 16), "t": 1, **changed}
    return {**fields, "wrapped": noise("wrapped", 48)}


def commit(bundle_key: bytes = BUNDLE_KEY) -> bytes:
    return hkdf(bundle_key, SALT, b"ncv1 commit")


def directory(sections: Any, **changed: Any) -> dict[str, Any]:
    return {"metadata": {"title": "a vector"}, "sections": sections, "version": 1, **changed}


def listed(sections: list[bytes]) -> list[dict[str, Any]]:
    """The entries of sections, one after another, section 7."""
    entries, offset = [], 0
    for index, data in enumerate(sections):
        entries.append({"kind": "flow", "length": len(data), "offset": offset, "segment": index})
        offset += len(data)
    return entries


def plaintext(sections: list[bytes], packed: bytes | None = None, trailer: bytes | None = None) -> bytes:
    body = b"".join(sections)
    packed = pack(directory(listed(sections))) if packed is None else packed
    trailer = struct.pack("<QQ", len(body), len(packed)) if trailer is None else trailer
    return body + packed + trailer


def chunks(plain: bytes, aead: str = "chacha20-poly1305", bundle_key: bytes = BUNDLE_KEY) -> list[bytes]:
    """The payload, section 6, as its chunks."""
    pieces = [plain[at : at + CHUNK] for at in range(0, len(plain), CHUNK)] or [b""]
    return [chunk(piece, i, i == len(pieces) - 1, aead, bundle_key) for i, piece in enumerate(pieces)]


def chunk(
    piece: bytes, number: int, last: bool, aead: str = "chacha20-poly1305", bundle_key: bytes = BUNDLE_KEY
) -> bytes:
    cipher = {"chacha20-poly1305": ChaCha20Poly1305, "aes-256-gcm": AESGCM}[aead]
    nonce = number.to_bytes(11, "big") + bytes([last])
    return cipher(hkdf(bundle_key, PAYLOAD_SALT, b"ncv1 payload")).encrypt(nonce, piece, None)


def preamble(
    header: bytes, *, suite: int = 1, version: int = 1, magic: bytes = MAGIC, length: int | None = None
) -> bytes:
    """Everything before the check."""
    return magic + struct.pack("<HHI", version, suite, len(header) if length is None else length) + header


def mac(covered: bytes, bundle_key: bytes = BUNDLE_KEY) -> bytes:
    return hmac.digest(hkdf(bundle_key, SALT, b"ncv1 header"), covered, "sha256")


@dataclass
class Sealed:
    """A sealed bundle, of which every part can be replaced."""

    sections: list[bytes] = field(default_factory=lambda: [b"first section", b"second"])
    slots: list[Any] = field(default_factory=lambda: [key_slot()])
    aead: Any = "chacha20-poly1305"
    header: Any = None
    fields: dict[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    plain: bytes | None = None
    payload: bytes | None = None
    check: bytes | None = None
    start: dict[str, Any] = field(default_factory=dict)

    def bytes(self) -> bytes:
        salts = {"payload_salt": PAYLOAD_SALT, "salt": SALT}
        fields = {"aead": self.aead, "commit": commit(), **salts, "slots": self.slots, **self.fields}
        for name in self.without:
            del fields[name]
        header = pack(fields) if self.header is None else pack(self.header)
        covered = preamble(header, **self.start)
        plain = plaintext(self.sections) if self.plain is None else self.plain
        aead = self.aead if self.aead in ("chacha20-poly1305", "aes-256-gcm") else "chacha20-poly1305"
        payload = b"".join(chunks(plain, aead)) if self.payload is None else self.payload
        return covered + (mac(covered) if self.check is None else self.check) + payload


def bare(sections: list[bytes] | None = None, *, header: Any = None, plain: bytes | None = None, **start: Any) -> bytes:
    """A bare bundle."""
    covered = preamble(pack({"salt": SALT} if header is None else header), suite=0, **start)
    body = plaintext([b"first section", b"second"] if sections is None else sections) if plain is None else plain
    whole = covered + sha256(covered).digest() + body
    return whole + sha256(whole).digest()


@dataclass
class Vector:
    """One file."""

    name: str
    expect: str
    comment: str
    data: bytes
    key: bytes | None = KEY
    passphrase: str | None = None
    payload: bytes = b"first sectionsecond"

    def text(self) -> bytes:
        lines = [f"expect: {self.expect}"]
        if self.passphrase is not None:
            lines.append(f"passphrase: {self.passphrase}")
        elif self.key is not None:
            lines.append(f"key: {self.key.hex()}")
        if self.expect == "opens":
            lines.append(f"payload: {sha256(self.payload).hexdigest()}")
        lines.append(f"comment: {self.comment}")
        return "\n".join(lines).encode() + b"\n\n" + self.data


Make = Callable[[], Iterator[Vector]]


def main() -> None:
    from cases_header import checks, headers, slots
    from cases_payload import directories, streams
    from cases_whole import good, large, lengths, magic

    cases: list[Make] = [good, large, magic, lengths, headers, checks, slots, streams, directories]
    FILES.mkdir(exist_ok=True)
    for old in FILES.iterdir():
        old.unlink()
    vectors = [vector for make in cases for vector in make()]
    names = [vector.name for vector in vectors]
    assert len(set(names)) == len(names), "two vectors have one name"
    for vector in vectors:
        (FILES / vector.name).write_bytes(vector.text())
    size = sum(path.stat().st_size for path in FILES.iterdir())
    print(f"{len(vectors)} vectors, {size:,} bytes")


if __name__ == "__main__":
    main()
