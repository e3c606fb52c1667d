"""A reader of `.ncv` in fewer than 200 lines, from docs/format.md alone: it holds everything in memory."""

from __future__ import annotations

import hmac
import struct
import unicodedata
from hashlib import sha256
from typing import Any

import msgpack
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = bytes.fromhex("894e43560d0a1a0a")
AEADS = {"chacha20-poly1305": ChaCha20Poly1305, "aes-256-gcm": AESGCM}
SLOT = {"kind": str, "salt": bytes, "wrapped": bytes}
PASSPHRASE_SLOT = {**SLOT, "m_kib": int, "p": int, "t": int}
Sections = list[tuple[dict[str, Any], bytes]]


class Refused(Exception):  # noqa: N818  (it is what a reader says)
    """The file is not a bundle that this secret opens."""


def need(condition: bool, what: str) -> None:
    if not condition:
        raise Refused(what)


def read(data: bytes, secret: bytes | str) -> tuple[dict[str, Any], Sections]:
    """(metadata, [(entry, bytes)]) of a bundle. secret: 32 bytes of a key file, or a passphrase."""
    need(data[:8] == MAGIC and len(data) >= 16, "magic")
    version, suite, length = struct.unpack_from("<HHI", data, 8)
    need(version == 1 and suite in (0, 1) and length <= 65_536, "version, suite or length")
    covered, check, payload = data[: 16 + length], data[16 + length : 48 + length], data[48 + length :]
    need(len(check) == 32, "cut")
    header = canonical(covered[16:])
    if suite == 0:
        fields(header, {"salt": bytes})
        need(len(header["salt"]) == 32 and check == sha256(covered).digest(), "header")
        need(len(payload) >= 32 and payload[-32:] == sha256(data[:-32]).digest(), "checksum")
        return directory(payload[:-32])
    fields(header, {"aead": str, "commit": bytes, "payload_salt": bytes, "salt": bytes, "slots": list})
    need(header["aead"] in AEADS, "AEAD")
    need(all(len(header[name]) == 32 for name in ("commit", "payload_salt", "salt")), "header")
    slots = header["slots"]
    for slot in slots:
        check_slot(slot)
    need(1 <= len(slots) <= 32 and sum(s["kind"] == "passphrase" for s in slots) <= 8, "number of slots")
    root = bundle_key(slots, secret, header)
    need(hmac.compare_digest(check, hmac.digest(hkdf(root, header["salt"], b"ncv1 header"), covered, "sha256")), "MAC")
    cipher = AEADS[header["aead"]](hkdf(root, header["payload_salt"], b"ncv1 payload"))
    pieces = [payload[at : at + 65_552] for at in range(0, len(payload), 65_552)]
    need(bool(pieces) and (len(pieces) == 1 or len(pieces[-1]) > 16), "chunks")
    try:
        plain = [
            cipher.decrypt(index.to_bytes(11, "big") + bytes([index == len(pieces) - 1]), piece, None)
            for index, piece in enumerate(pieces)
        ]
    except (InvalidTag, ValueError):
        raise Refused("a chunk") from None
    return directory(b"".join(plain))


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(secret)


def canonical(data: bytes) -> Any:
    """The value of canonical msgpack: what encodes to the same bytes again."""
    try:
        value = msgpack.unpackb(data, strict_map_key=True, ext_hook=refuse_extension)
        plain_types(value)
        again = msgpack.packb(ordered(value))
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError, OverflowError, TypeError):
        raise Refused("msgpack") from None
    need(again == data, "not canonical")
    return value


def refuse_extension(code: int, data: bytes) -> None:
    raise Refused("extension")


def plain_types(value: Any, depth: int = 0) -> None:
    need(depth <= 16 and not isinstance(value, (float, msgpack.Timestamp)), "type or depth")
    if isinstance(value, dict):
        need(all(isinstance(key, str) for key in value), "keys")
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        plain_types(part, depth + 1)


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value, key=str.encode)}
    return [ordered(part) for part in value] if isinstance(value, list) else value


def fields(value: Any, types: dict[str, type], *, more: bool = False) -> None:
    need(isinstance(value, dict) and (set(value) == set(types) or (more and set(value) > set(types))), "fields")
    need(all(type(value[name]) is kind for name, kind in types.items()), "types")


def check_slot(slot: Any) -> None:
    need(isinstance(slot, dict) and slot.get("kind") in ("key", "passphrase"), "kind of slot")
    secret_kind = slot["kind"] == "key"
    fields(slot, SLOT if secret_kind else PASSPHRASE_SLOT)
    need(len(slot["salt"]) == (32 if secret_kind else 16) and len(slot["wrapped"]) == 48, "sizes in a slot")
    if not secret_kind:
        need(1 <= slot["t"] <= 16 and 1 <= slot["p"] <= 16 and 8 * slot["p"] <= slot["m_kib"] <= 2**20, "cost")


def bundle_key(slots: list[dict[str, Any]], secret: bytes | str, header: dict[str, Any]) -> bytes:
    """From the first slot that opens with the right commitment."""
    for slot in slots:
        if (slot["kind"] == "key") != isinstance(secret, bytes):
            continue
        ikm = secret if isinstance(secret, bytes) else stretch(secret, slot)
        kek = hkdf(ikm, slot["salt"], b"ncv1 slot " + slot["kind"].encode())
        rest = {name: slot[name] for name in sorted(slot) if name != "wrapped"}
        try:
            found = ChaCha20Poly1305(kek).decrypt(bytes(12), slot["wrapped"], msgpack.packb(rest))
        except InvalidTag:
            continue
        if hmac.compare_digest(hkdf(found, header["salt"], b"ncv1 commit"), header["commit"]):
            return found
    raise Refused("no slot opens")


def stretch(passphrase: str, slot: dict[str, Any]) -> bytes:
    text = unicodedata.normalize("NFC", passphrase).encode()
    cost = {"iterations": slot["t"], "memory_cost": slot["m_kib"], "lanes": slot["p"]}
    return Argon2id(salt=slot["salt"], length=32, **cost).derive(text)


def directory(plain: bytes) -> tuple[dict[str, Any], Sections]:
    need(len(plain) >= 16, "trailer")
    at, length = struct.unpack("<QQ", plain[-16:])
    need(at + length + 16 == len(plain) and length <= 2**26, "trailer")
    value = canonical(plain[at : at + length])
    fields(value, {"metadata": dict, "sections": list, "version": int})
    need(value["version"] == 1 and len(value["sections"]) <= 2**18, "directory")
    sections: Sections = []
    names, end = set(), 0
    for entry in value["sections"]:
        fields(entry, {"kind": str, "segment": int, "offset": int, "length": int}, more=True)
        need(1 <= len(entry["kind"].encode()) <= 64 and entry["segment"] >= 0, "section")
        need(entry["offset"] == end and 0 <= entry["length"] <= 2**30, "place of a section")
        names.add((entry["kind"], entry["segment"]))
        end += entry["length"]
        sections.append((entry, plain[entry["offset"] : end]))
    need(end == at and len(names) == len(sections), "sections")
    return value["metadata"], sections
