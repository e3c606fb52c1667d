"""Whole files: what must open, and what is wrong at the front or the end."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from make_vectors import (
    CHUNK,
    KEY,
    OTHER,
    Sealed,
    Vector,
    bare,
    chunk,
    chunks,
    directory,
    key_slot,
    listed,
    mac,
    noise,
    pack,
    passphrase_slot,
    plaintext,
    preamble,
)

SECTIONS = [b"first section", b"second"]


def good() -> Iterator[Vector]:
    """What must open."""
    yield Vector("ok-sealed", "opens", "two sections, one slot", Sealed().bytes())
    yield Vector("ok-aes", "opens", "the other AEAD", Sealed(aead="aes-256-gcm").bytes())
    yield Vector("ok-bare", "opens", "a bare bundle", bare())
    yield Vector("ok-bare-any-key", "opens", "a bare bundle has no check of the key", bare(), key=OTHER)
    yield Vector("ok-no-sections", "opens", "a directory alone", Sealed([]).bytes(), payload=b"")
    yield Vector("ok-empty-section", "opens", "a section of no bytes", Sealed([b"", b"x"]).bytes(), payload=b"x")
    yield Vector("ok-bare-no-sections", "opens", "a bare bundle of a directory alone", bare([]), payload=b"")
    for text, comment in (("open sesame", "a passphrase"), ("caf\u00e9", "NFC"), ("\u65e5\u672c\u8a9e", "not Latin")):
        slots = [passphrase_slot(text)]
        yield Vector(f"ok-passphrase-{len(text)}", "opens", comment, Sealed(slots=slots).bytes(), None, text)
    slots = [passphrase_slot("caf\u00e9")]
    yield Vector(
        "ok-passphrase-nfd", "opens", "typed as NFD, sealed as NFC", Sealed(slots=slots).bytes(), None, "cafe\u0301"
    )
    slots = [passphrase_slot("lanes", t=2, m_kib=128, p=4)]
    yield Vector(
        "ok-passphrase-lanes", "opens", "4 lanes, 2 passes, 128 KiB", Sealed(slots=slots).bytes(), None, "lanes"
    )
    slots = [key_slot(OTHER, "a"), key_slot(KEY, "b")]
    yield Vector("ok-second-slot", "opens", "the second slot opens", Sealed(slots=slots).bytes())
    slots = [passphrase_slot("first"), key_slot()]
    yield Vector("ok-mixed-key", "opens", "a passphrase and a key, by key", Sealed(slots=slots).bytes())
    yield Vector("ok-mixed-passphrase", "opens", "the same by passphrase", Sealed(slots=slots).bytes(), None, "first")
    slots = [key_slot(OTHER, f"slot {i}") for i in range(31)] + [key_slot()]
    yield Vector("ok-32-slots", "opens", "as many slots as there may be", Sealed(slots=slots).bytes())
    slots = [passphrase_slot(f"{i}", f"slot {i}") for i in range(8)]
    yield Vector(
        "ok-8-passphrases", "opens", "as many passphrases as there may be", Sealed(slots=slots).bytes(), None, "7"
    )
    yield Vector("ok-two-alike", "opens", "two slots that are alike", Sealed(slots=[key_slot(), key_slot()]).bytes())
    bad = {**key_slot(KEY, "a"), "wrapped": noise("damaged", 48)}
    yield Vector(
        "ok-damaged-slot-first", "opens", "a damaged slot before a good one", Sealed(slots=[bad, key_slot()]).bytes()
    )
    wrong = key_slot(KEY, "a", noise("another bundle key"))
    slots = [wrong, key_slot()]
    yield Vector(
        "ok-uncommitted-slot-first",
        "opens",
        "a slot with another bundle key before a good one",
        Sealed(slots=slots).bytes(),
    )
    for name, extra in (
        ("text", "x"),
        ("list", [1, [2]]),
        ("nil", None),
        ("big", 2**64 - 1),
        ("small", -(2**63)),
        ("map", {"a": True}),
    ):
        entries = listed(SECTIONS)
        entries[0]["zz"] = extra
        plain = plaintext(SECTIONS, pack(directory(entries)))
        yield Vector(f"ok-attribute-{name}", "opens", "a section with a further field", Sealed(plain=plain).bytes())
    entries = listed(SECTIONS)
    entries[1]["segment"] = 2**64 - 1
    plain = plaintext(SECTIONS, pack(directory(entries)))
    yield Vector("ok-last-segment", "opens", "the highest number of a segment", Sealed(plain=plain).bytes())
    entries = listed(SECTIONS)
    entries[0]["kind"] = "k" * 64
    plain = plaintext(SECTIONS, pack(directory(entries)))
    yield Vector("ok-long-kind", "opens", "a kind of 64 bytes", Sealed(plain=plain).bytes())
    entries = listed(SECTIONS)
    entries[0]["kind"] = "unknown"
    plain = plaintext(SECTIONS, pack(directory(entries)))
    yield Vector("ok-unknown-kind", "opens", "the container looks at no kind", Sealed(plain=plain).bytes())
    plain = plaintext(SECTIONS, pack(directory(listed(SECTIONS), metadata={})))
    yield Vector("ok-no-metadata", "opens", "an empty map of metadata", Sealed(plain=plain).bytes())


def large() -> Iterator[Vector]:
    """What needs more than one chunk: sections of zeros, which are not small on disk, so few of them."""
    # The plaintext of a section of `size` zeros has this many bytes more.
    more = len(plaintext([b""], pack(directory(listed([bytes(65_000)])))))
    full = bytes(CHUNK - more)
    assert len(plaintext([full])) == CHUNK
    yield Vector("ok-full-chunk", "opens", "the last chunk is full", Sealed([full]).bytes(), payload=full)
    one_more = bytes(CHUNK - more + 1)
    yield Vector("ok-two-chunks", "opens", "a last chunk of one byte", Sealed([one_more]).bytes(), payload=one_more)
    plain = plaintext([one_more])
    first, second = chunks(plain)
    yield Vector(
        "stream-swapped", "payload damaged", "the two chunks are swapped", Sealed(payload=second + first).bytes()
    )
    yield Vector("stream-first-missing", "payload damaged", "without the first chunk", Sealed(payload=second).bytes())
    yield Vector("stream-last-missing", "truncated", "cut after a whole chunk", Sealed(payload=first).bytes())
    tag = bytearray(first)
    tag[-1] ^= 1
    yield Vector(
        "stream-tag-first",
        "payload damaged",
        "a bit of the first chunk's tag",
        Sealed(payload=bytes(tag) + second).bytes(),
    )
    tag = bytearray(second)
    tag[-1] ^= 1
    yield Vector(
        "stream-tag-last",
        "payload damaged",
        "a bit of the last chunk's tag",
        Sealed(payload=first + bytes(tag)).bytes(),
    )
    two_last = chunk(plain[:CHUNK], 0, True) + second
    yield Vector(
        "stream-two-last", "payload damaged", "both chunks are marked as the last", Sealed(payload=two_last).bytes()
    )
    none_last = first + chunk(plain[CHUNK:], 1, False)
    yield Vector(
        "stream-none-last",
        "payload damaged",
        "no chunk is marked as the last, and no cut leaves a short one",
        Sealed(payload=none_last).bytes(),
    )
    same_number = first + chunk(plain[CHUNK:], 0, True)
    yield Vector(
        "stream-counter",
        "payload damaged",
        "the last chunk has the first one's number",
        Sealed(payload=same_number).bytes(),
    )
    empty_last = first + chunk(b"", 1, True)
    yield Vector(
        "stream-empty-last", "truncated", "an empty last chunk behind another", Sealed(payload=empty_last).bytes()
    )


def magic() -> Iterator[Vector]:
    """The first 16 bytes."""
    data = Sealed().bytes()
    yield Vector("magic-empty", "not a bundle", "no bytes", b"")
    yield Vector("magic-short", "truncated", "half of the magic", data[:4])
    yield Vector("magic-other", "not a bundle", "a PNG", bytes.fromhex("89504e470d0a1a0a") + data[8:])
    yield Vector("magic-crlf", "not a bundle", "copied as text: CR LF became LF", data.replace(b"\r\n", b"\n", 1))
    yield Vector("magic-lf", "not a bundle", "copied as text: LF became CR LF", data[:5] + b"\r\r\n" + data[6:])
    yield Vector("magic-7bit", "not a bundle", "the eighth bits are gone", bytes([data[0] & 127]) + data[1:])
    yield Vector("magic-behind", "not a bundle", "a byte before the magic", b"\n" + data)
    for i in range(8):
        changed = bytearray(data)
        changed[i] ^= 0x20
        yield Vector(f"magic-byte-{i}", "not a bundle", f"byte {i} of the magic", bytes(changed))
    for version in (0, 2, 256, 65535):
        yield Vector(f"version-{version}", "unsupported", "another version", Sealed(start={"version": version}).bytes())
    for suite in (2, 256, 65535):
        yield Vector(f"suite-{suite}", "unsupported", "another suite", Sealed(start={"suite": suite}).bytes())
    yield Vector(
        "suite-swapped-bare",
        "header refused",
        "a sealed header under the suite bare",
        Sealed(start={"suite": 0}).bytes(),
    )
    covered = preamble(pack({"salt": noise("salt")}), suite=1)
    yield Vector(
        "suite-swapped-sealed",
        "header refused",
        "a bare header under the suite sealed",
        covered + mac(covered) + bytes(99),
    )


def lengths() -> Iterator[Vector]:
    """H, and where the file ends."""
    data = Sealed().bytes()
    header_end = 16 + struct.unpack_from("<I", data, 12)[0]
    for length in (65_537, 2**31, 2**32 - 1):
        yield Vector(f"length-{length}", "over limit", "H is above its limit", Sealed(start={"length": length}).bytes())
    yield Vector("length-zero", "header refused", "H is 0", Sealed(start={"length": 0}).bytes())
    yield Vector(
        "length-one-less", "header refused", "H is one too small", Sealed(start={"length": header_end - 17}).bytes()
    )
    yield Vector(
        "length-one-more", "header refused", "H is one too large", Sealed(start={"length": header_end - 15}).bytes()
    )
    for name, at in (
        ("magic", 8), ("version", 10), ("suite", 12), ("length", 15), ("start", 16),
        ("header", header_end - 1), ("check-none", header_end), ("check", header_end + 31), ("payload-none", header_end + 32),
        ("tag", header_end + 32 + 16),
    ):  # fmt: skip
        expect = "truncated"
        yield Vector(f"cut-{name}", expect, f"the file ends after {at} bytes", data[:at])
    yield Vector("cut-last-byte", "payload damaged", "the last byte is missing: a cut and damage look alike", data[:-1])
    yield Vector("append-1", "payload damaged", "a byte after the end", data + b"\0")
    yield Vector("append-64", "payload damaged", "64 bytes after the end", data + bytes(64))
    yield Vector("append-bundle", "payload damaged", "a second bundle after the end", data + data)
    plain = bare()
    yield Vector("bare-cut", "payload damaged", "a bare bundle without its last byte", plain[:-1])
    yield Vector("bare-cut-checksum", "payload damaged", "a bare bundle without its checksum", plain[:-32])
    yield Vector("bare-append", "payload damaged", "a byte after a bare bundle", plain + b"\0")
    yield Vector(
        "bare-cut-payload",
        "truncated",
        "a bare bundle that ends in its header's checksum",
        plain[: plain.index(b"first") - 1],
    )
