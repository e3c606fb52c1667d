"""Headers, their checks and the key slots."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from make_vectors import (
    BUNDLE_KEY,
    KEY,
    OTHER,
    Pairs,
    Raw,
    Sealed,
    Vector,
    bare,
    fixed_passphrase_slot,
    key_slot,
    mac,
    noise,
    pack,
    passphrase_slot,
    wrap,
)


def headers() -> Iterator[Vector]:
    """The header's map."""
    fields: dict[str, Any] = {
        "aead": "chacha20-poly1305",
        "commit": noise("c"),
        "payload_salt": noise("p"),
        "salt": noise("s"),
        "slots": [key_slot()],
    }

    def case(name: str, comment: str, header: Any, expect: str = "header refused") -> Vector:
        return Vector(f"header-{name}", expect, comment, Sealed(header=header).bytes())

    for name in fields:
        less = {k: v for k, v in fields.items() if k != name}
        yield case(f"no-{name}", f"{name} is missing", less)
    yield case("more", "a field that version 1 does not have", {**fields, "title": "x"})
    yield case("empty", "a map without fields", {})
    yield case("list", "a list instead of a map", [1, 2])
    yield case("text", "text instead of a map", "header")
    yield case("nil", "nil instead of a map", Raw(b"\xc0"))
    yield case("order", "the keys do not ascend", Pairs(reversed(list(fields.items()))))
    yield case("twice", "a key is there twice", Pairs([("aead", "chacha20-poly1305"), *fields.items()]))
    yield case("bytes-key", "a key is bytes", Pairs([(b"aead", "chacha20-poly1305"), *list(fields.items())[1:]]))
    yield case("trailing", "a byte follows the map", Raw(pack(fields) + b"\xc0"))
    yield case("two-values", "a second map follows", Raw(pack(fields) + pack({})))
    yield case("long-map", "a map of 5 in the form for 16 bits", Raw(b"\xde\x00\x05" + pack(fields)[1:]))
    yield case("long-text", "text in a longer form", Raw(pack(fields).replace(b"\xa4aead", b"\xd9\x04aead")))
    yield case("long-bytes", "bytes in a longer form", Raw(pack(fields).replace(b"\xc4\x20", b"\xc5\x00\x20", 1)))
    yield case("float", "a float", {**fields, "aead": Raw(b"\xca\x3f\x80\x00\x00")})
    yield case("extension", "an extension type", {**fields, "aead": Raw(b"\xd4\x01\x00")})
    yield case("timestamp", "a timestamp", {**fields, "aead": Raw(b"\xd6\xff\x00\x00\x00\x01")})
    yield case("unused", "the code that msgpack never uses", {**fields, "aead": Raw(b"\xc1")})
    yield case("surrogate", "text that is not UTF-8", {**fields, "aead": Raw(b"\xa3\xed\xa0\x80")})
    yield case("overlong", "UTF-8 in a longer form", {**fields, "aead": Raw(b"\xa2\xc0\x80")})
    yield case("deep", "lists nested 17 deep", {**fields, "aead": Raw(b"\x91" * 17 + b"\xc0")})
    yield case("deeper", "lists nested 10,000 deep", {**fields, "aead": Raw(b"\x91" * 10_000 + b"\xc0")})
    yield case("claims", "bytes of 4 GiB are claimed", {**fields, "salt": Raw(b"\xc6\xff\xff\xff\xff")})
    yield case("claims-list", "a list of 2^32-1 values is claimed", {**fields, "slots": Raw(b"\xdd\xff\xff\xff\xff")})
    yield case("claims-map", "a map of 2^32-1 entries is claimed", Raw(b"\xdf\xff\xff\xff\xff"))
    for name in ("salt", "payload_salt", "commit"):
        yield case(f"{name}-short", f"31 bytes of {name}", {**fields, name: bytes(31)})
        yield case(f"{name}-long", f"33 bytes of {name}", {**fields, name: bytes(33)})
        yield case(f"{name}-text", f"text as {name}", {**fields, name: "x" * 32})
    yield case("aead-number", "a number as aead", {**fields, "aead": 1})
    yield case("aead-unknown", "another AEAD", {**fields, "aead": "xsalsa20-poly1305"}, "unsupported")
    yield case("aead-capitals", "an AEAD is not spelled so", {**fields, "aead": "ChaCha20-Poly1305"}, "unsupported")
    yield case("aead-empty", "an AEAD without a name", {**fields, "aead": ""}, "unsupported")
    yield case("slots-map", "a map as slots", {**fields, "slots": {}})
    salt = {"salt": noise("s")}
    for name, comment, header in (
        ("more", "a field too many", {**salt, "slots": []}), ("empty", "no salt", {}), ("list", "a list", [1]),
        ("salt-short", "31 bytes of salt", {"salt": bytes(31)}), ("trailing", "a byte follows", Raw(pack(salt) + b"\xc0")),
    ):  # fmt: skip
        yield Vector(f"bare-header-{name}", "header refused", comment, bare(header=header))
    good = bare()
    changed = bytearray(good)
    changed[good.index(b"first") - 1] ^= 1
    yield Vector("bare-header-check", "header refused", "a bit of the header's checksum", bytes(changed))


def checks() -> Iterator[Vector]:
    """MAC and commitment."""
    data = Sealed().bytes()
    end = 16 + struct.unpack_from("<I", data, 12)[0]
    for name, at in (("first", end), ("last", end + 31)):
        changed = bytearray(data)
        changed[at] ^= 1
        yield Vector(f"mac-{name}", "MAC wrong", f"the {name} byte of the MAC", bytes(changed))
    yield Vector("mac-zeros", "MAC wrong", "a MAC of zeros", Sealed(check=bytes(32)).bytes())
    covered = data[:end]
    yield Vector(
        "mac-other-key", "MAC wrong", "a MAC under another bundle key", Sealed(check=mac(covered, noise("x"))).bytes()
    )
    yield Vector(
        "mac-plain-hash", "MAC wrong", "SHA-256 in place of the MAC", Sealed(check=sha256(covered).digest()).bytes()
    )
    yield Vector("commit-zeros", "MAC wrong", "a commitment of zeros", Sealed(fields={"commit": bytes(32)}).bytes())
    yield Vector(
        "commit-other",
        "MAC wrong",
        "the commitment of another bundle key",
        Sealed(fields={"commit": noise("x")}).bytes(),
    )
    yield Vector(
        "salt-other",
        "MAC wrong",
        "another salt, the MAC as it was",
        Sealed(fields={"salt": noise("x")}, check=data[end : end + 32]).bytes(),
    )
    yield Vector(
        "payload-salt-other",
        "MAC wrong",
        "another salt of the payload, the MAC as it was",
        Sealed(fields={"payload_salt": noise("x")}, check=data[end : end + 32]).bytes(),
    )
    aes = Sealed(aead="aes-256-gcm", check=data[end : end + 32], payload=data[end + 32 :]).bytes()
    yield Vector("aead-swapped", "MAC wrong", "the name of the AEAD was changed", aes)
    added = Sealed(slots=[key_slot(), key_slot(OTHER, "added")], check=data[end : end + 32]).bytes()
    yield Vector("slot-added", "MAC wrong", "a slot was added without the bundle key", added)
    two = Sealed(slots=[key_slot(), key_slot(OTHER, "second")]).bytes()
    stop = 16 + struct.unpack_from("<I", two, 12)[0]
    yield Vector(
        "slot-removed",
        "MAC wrong",
        "a slot was taken out without the bundle key",
        Sealed(check=two[stop : stop + 32]).bytes(),
    )


def slots() -> Iterator[Vector]:
    """Key slots."""
    good_slot = key_slot()

    def case(
        name: str, expect: str, comment: str, *made: Any, key: bytes | None = KEY, text: str | None = None
    ) -> Vector:
        return Vector(f"slot-{name}", expect, comment, Sealed(slots=list(made)).bytes(), key, text)

    yield case("other-key", "no slot opens", "sealed for another key", key_slot(OTHER))
    yield case("key-for-passphrase", "no slot opens", "a key where a passphrase opens", passphrase_slot("x"))
    yield case("passphrase-for-key", "no slot opens", "a passphrase where a key opens", good_slot, key=None, text="x")
    yield case(
        "wrong-passphrase", "no slot opens", "another passphrase", passphrase_slot("right"), key=None, text="wrong"
    )
    yield case("passphrase-case", "no slot opens", "capitals count", passphrase_slot("word"), key=None, text="Word")
    yield case("passphrase-space", "no slot opens", "spaces count", passphrase_slot("word"), key=None, text="word ")
    changed = bytearray(good_slot["wrapped"])
    changed[-1] ^= 1
    yield case("tag", "no slot opens", "a bit of the slot's tag", {**good_slot, "wrapped": bytes(changed)})
    changed = bytearray(good_slot["wrapped"])
    changed[0] ^= 1
    yield case("wrapped", "no slot opens", "a bit of the wrapped key", {**good_slot, "wrapped": bytes(changed)})
    yield case("salt", "no slot opens", "another salt", {**good_slot, "salt": noise("x")})
    cheap = passphrase_slot("word")
    yield case("cost-changed", "no slot opens", "the cost was changed", {**cheap, "t": 2}, key=None, text="word")
    yield case(
        "other-bundle", "MAC wrong", "a slot with another bundle key", key_slot(KEY, "a", noise("another bundle key"))
    )
    yield case("none", "header refused", "no slot")
    yield case("33", "over limit", "33 slots", *(key_slot(KEY, f"{i}") for i in range(33)))
    yield case(
        "9-passphrases",
        "over limit",
        "9 passphrases",
        *(fixed_passphrase_slot(salt=noise(f"{i}", 16)) for i in range(9)),
    )
    yield case("kind", "unsupported", "another kind", {**good_slot, "kind": "plugin"})
    yield case(
        "kind-second", "unsupported", "another kind behind a good slot", good_slot, {**good_slot, "kind": "plugin"}
    )
    yield case("kind-number", "header refused", "a number as kind", {**good_slot, "kind": 1})
    yield case("not-a-map", "header refused", "text as a slot", "slot")
    yield case("more", "header refused", "a field too many", {**good_slot, "note": "x"})
    for name in ("kind", "salt", "wrapped"):
        yield case(
            f"no-{name}", "header refused", f"{name} is missing", {k: v for k, v in good_slot.items() if k != name}
        )
    for name, size in (("salt", 32), ("wrapped", 48)):
        yield case(
            f"{name}-short", "header refused", f"{size - 1} bytes of {name}", {**good_slot, name: bytes(size - 1)}
        )
        yield case(
            f"{name}-long", "header refused", f"{size + 1} bytes of {name}", {**good_slot, name: bytes(size + 1)}
        )
    long_key = wrap({"kind": "key", "salt": noise("long")}, KEY, BUNDLE_KEY + b"\0")
    yield case("bundle-key-long", "header refused", "a bundle key of 33 bytes", long_key)
    for name in ("m_kib", "p", "t", "salt", "wrapped"):
        less = {k: v for k, v in fixed_passphrase_slot().items() if k != name}
        yield case(f"passphrase-no-{name}", "header refused", f"{name} is missing", less)
    yield case("passphrase-salt-long", "header refused", "a salt of 32 bytes", fixed_passphrase_slot(salt=bytes(32)))
    for name, value, comment in (
        ("t", 0, "no passes"), ("t", 17, "17 passes"), ("t", 2**64 - 1, "2^64-1 passes"), ("t", -1, "passes below 0"),
        ("p", 0, "no lanes"), ("p", 17, "17 lanes"), ("p", -1, "lanes below 0"),
        ("m_kib", 0, "no memory"), ("m_kib", 7, "less than 8 KiB a lane"), ("m_kib", 2**20 + 1, "more than 1 GiB"),
        ("m_kib", 2**32, "4 TiB"), ("m_kib", -1, "memory below 0"),
    ):  # fmt: skip
        made = fixed_passphrase_slot(**{name: value})
        expect = "over limit" if value > 16 else "header refused"  # too little is not a limit, but nonsense
        yield case(f"argon2-{name}-{value}", expect, comment, made, key=None, text="x")
    yield case("argon2-t-text", "header refused", "passes as text", fixed_passphrase_slot(t="1"), key=None, text="x")
    yield case(
        "argon2-t-true", "header refused", "passes as a boolean", fixed_passphrase_slot(t=True), key=None, text="x"
    )
    yield case(
        "argon2-t-float",
        "header refused",
        "passes as a float",
        fixed_passphrase_slot(t=Raw(b"\xca\x3f\x80\0\0")),
        key=None,
        text="x",
    )
    yield case(
        "argon2-t-long",
        "header refused",
        "passes in a longer form",
        fixed_passphrase_slot(t=Raw(b"\xcc\x01")),
        key=None,
        text="x",
    )
    good_one = fixed_passphrase_slot(t=17)
    yield case("argon2-behind", "over limit", "a costly slot behind a good one", good_slot, good_one)
