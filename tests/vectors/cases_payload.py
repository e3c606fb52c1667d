"""Chunks, trailer and directory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from make_vectors import Pairs, Raw, Sealed, Vector, bare, chunk, directory, listed, noise, pack, plaintext

SECTIONS = [b"first section", b"second"]


def streams() -> Iterator[Vector]:
    """The payload of one chunk."""
    plain = plaintext(SECTIONS)
    yield Vector("stream-none", "truncated", "no chunk", Sealed(payload=b"").bytes())
    yield Vector("stream-15", "truncated", "15 bytes", Sealed(payload=bytes(15)).bytes())
    yield Vector(
        "stream-16", "truncated", "16 bytes: no room for a byte of plaintext", Sealed(payload=bytes(16)).bytes()
    )
    yield Vector(
        "stream-empty", "payload damaged", "an empty plaintext, which a bundle never has", Sealed(plain=b"").bytes()
    )
    yield Vector(
        "stream-not-last",
        "payload damaged",
        "the only chunk is short and not marked as the last",
        Sealed(payload=chunk(plain, 0, False)).bytes(),
    )
    yield Vector(
        "stream-number-1",
        "payload damaged",
        "the only chunk has the number 1",
        Sealed(payload=chunk(plain, 1, True)).bytes(),
    )
    other = chunk(plain, 0, True, bundle_key=noise("another bundle key"))
    yield Vector(
        "stream-other-bundle", "payload damaged", "the payload of another bundle", Sealed(payload=other).bytes()
    )
    aes = chunk(plain, 0, True, "aes-256-gcm")
    yield Vector("stream-other-aead", "payload damaged", "encrypted with the other AEAD", Sealed(payload=aes).bytes())
    yield Vector("stream-zeros", "payload damaged", "zeros", Sealed(payload=bytes(200)).bytes())
    yield Vector("stream-clear", "payload damaged", "in clear", Sealed(payload=plain + bytes(16)).bytes())
    data = chunk(plain, 0, True)
    for i, name in ((0, "first"), (len(data) // 2, "middle"), (len(data) - 17, "last")):
        changed = bytearray(data)
        changed[i] ^= 0x80
        yield Vector(
            f"stream-bit-{name}", "payload damaged", f"a bit of the {name} byte", Sealed(payload=bytes(changed)).bytes()
        )


def directories() -> Iterator[Vector]:
    """Trailer and directory, of a sealed and of a bare bundle."""
    body = b"".join(SECTIONS)
    packed = pack(directory(listed(SECTIONS)))
    at, size = len(body), len(packed)

    def entry(**changed: Any) -> bytes:
        entries = listed(SECTIONS)
        entries[1] |= changed
        return pack(directory([{k: v for k, v in e.items() if v is not ...} for e in entries]))

    def case(name: str, comment: str, plain: bytes, expect: str = "payload damaged") -> Iterator[Vector]:
        yield Vector(f"directory-{name}", expect, comment, Sealed(plain=plain).bytes())
        yield Vector(f"bare-directory-{name}", expect, f"{comment}, in a bare bundle", bare(plain=plain))

    yield from case("no-trailer", "nothing but 15 bytes", bytes(15))
    for name, offset, length in (
        ("offset-more", at + 1, size), ("offset-less", at - 1, size), ("length-more", at, size + 1), ("length-less", at, size - 1),
        ("offset-huge", 2**64 - 1, size), ("length-huge", at, 2**64 - 1), ("wraps", 2**64 - 8, 8 + at + size - (at + size)),
        ("zero", 0, 0),
    ):  # fmt: skip
        trailer = struct.pack("<QQ", offset, length)
        yield from case(
            f"trailer-{name}", f"the trailer says {offset} and {length}", plaintext(SECTIONS, packed, trailer)
        )
    for name, comment, value in (
        ("offset-gap", "a gap between sections", entry(offset=14)), ("offset-overlap", "sections overlap", entry(offset=12)),
        ("offset-first", "the second begins where the first does", entry(offset=0)), ("length-over", "a section ends in the directory", entry(length=7)),
        ("length-under", "a gap before the directory", entry(length=5)), ("length-negative", "a length below 0", entry(length=-1)),
        ("offset-negative", "an offset below 0", entry(offset=-1)), ("segment-negative", "a segment below 0", entry(segment=-1)),
        ("segment-text", "text as segment", entry(segment="1")), ("kind-empty", "an empty kind", entry(kind="")),
        ("kind-long", "a kind of 65 bytes", entry(kind="k" * 65)), ("kind-bytes", "bytes as kind", entry(kind=b"flow")),
        ("twice", "two sections of one kind and segment", entry(segment=0)), ("no-kind", "no kind", entry(kind=...)),
        ("no-segment", "no segment", entry(segment=...)), ("no-offset", "no offset", entry(offset=...)), ("no-length", "no length", entry(length=...)),
        ("length-true", "a boolean as length", entry(length=True)),
    ):  # fmt: skip
        yield from case(f"section-{name}", comment, plaintext(SECTIONS, value))
    yield from case(
        "section-huge", "a section of more than 1 GiB", plaintext(SECTIONS, entry(length=2**30 + 1)), "over limit"
    )
    for name, comment, value in (
        ("list", "a list instead of a map", pack([1])), ("nil", "nil", pack(None)),
        ("more", "a field too many", pack(directory(listed(SECTIONS), extra=1))),
        ("metadata-list", "a list as metadata", pack(directory(listed(SECTIONS), metadata=[]))),
        ("sections-map", "a map as sections", pack(directory({}))),
        ("entry-text", "text as a section", pack(directory([*listed(SECTIONS)[:1], "x"]))),
        ("order", "keys do not ascend", pack(Pairs(reversed(list(directory(listed(SECTIONS)).items()))))),
        ("trailing", "a byte behind it", packed + b"\xc0"),
        ("float", "a float in the metadata", pack(directory(listed(SECTIONS), metadata={"x": Raw(b"\xca\x3f\x80\0\0")}))),
        ("deep", "metadata nested 1,000 deep", pack(directory(listed(SECTIONS), metadata={"x": Raw(b"\x91" * 1000 + b"\xc0")}))),
        ("claims", "a list of 2^32-1 sections is claimed", pack(directory(Raw(b"\xdd\xff\xff\xff\xff")))),
        ("empty", "no bytes", b""),
    ):  # fmt: skip
        yield from case(name, comment, plaintext(SECTIONS, value))
    for version in (0, 2, 2**32):
        value = pack(directory(listed(SECTIONS), version=version))
        yield from case(
            f"version-{version}", "another version of the directory", plaintext(SECTIONS, value), "unsupported"
        )
    yield from case(
        "version-text", "a version as text", plaintext(SECTIONS, pack(directory(listed(SECTIONS), version="1")))
    )
