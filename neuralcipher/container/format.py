"""The public part of a bundle: magic, version, suite and header, between bytes and dataclasses.

docs/format.md is the normative text.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO

from neuralcipher.container import canonical
from neuralcipher.errors import (
    COPY_HINT,
    HeaderDamagedError,
    LimitError,
    NotABundleError,
    PayloadDamagedError,
    TruncatedError,
    UnsupportedError,
)
from neuralcipher.files import BUNDLE_MAGIC
from neuralcipher.keys import LABEL_HEADER, Argon2Parameters, BundleKey, KeySlot, PassphraseSlot, Slot, derive
from neuralcipher.keys.passphrase import argon2_excess, argon2_limits, argon2_sufficient
from neuralcipher.keys.slots import KEY_SALT_BYTES, PASSPHRASE_SALT_BYTES, WRAPPED_BYTES

MAGIC = BUNDLE_MAGIC
VERSION = 1
SUITE_BARE = "bare"
SUITE_SEALED = "sealed"
SUITES = (SUITE_BARE, SUITE_SEALED)  # in the order of their numbers
AEAD_NAMES = ("chacha20-poly1305", "aes-256-gcm")
DEFAULT_AEAD = AEAD_NAMES[0]

SALT_BYTES = 32
COMMIT_BYTES = 32
MAC_BYTES = 32
FIXED_BYTES = 16
MAX_HEADER_BYTES = 65_536
MAX_SLOTS = 32
MAX_PASSPHRASE_SLOTS = 8
_SLOTS_HINT = f"a bundle has at most {MAX_SLOTS} slots, {MAX_PASSPHRASE_SLOTS} of them for passphrases"
_MAX_HEADER_ITEMS = 1_024

# What text mode, 7-bit channels and a conversion to UTF-8 make of the magic bytes.
_DAMAGED_MAGICS = (b"\x89NCV", b"\x09NCV", b"\xc2\x89NCV", b"\xef\xbf\xbdNCV")


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """What a reader without a key sees of a sealed bundle.

    aead: one of AEAD_NAMES. salt: 32 bytes, the HKDF salt of every subkey but the payload's. payload_salt: 32 bytes,
    that of the payload's. commit: 32 bytes that fix the bundle key. slots: 1..32, at most 8 of them for a passphrase.
    """

    aead: str
    salt: bytes
    payload_salt: bytes
    commit: bytes
    slots: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class BareHeader:
    """The header of a bare bundle. salt: 32 bytes, the HKDF salt of the segments' seeds."""

    salt: bytes


Header = SealedHeader | BareHeader


@dataclass(frozen=True, slots=True)
class Preamble:
    """Everything in front of the payload: the header, the bytes [0, 16 + H) that hold it, and their check."""

    header: Header
    covered: bytes
    check: bytes

    @property
    def payload_offset(self) -> int:
        """Where the payload begins in the file, bytes."""
        return len(self.covered) + MAC_BYTES

    @property
    def suite(self) -> str:
        """ "sealed" or "bare"."""
        return suite_of(self.header)


class Source:
    """A bundle's file, read by position; the name is for messages."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file = file
        self.size = size
        self.name = name

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes. Raises TruncatedError, or PayloadDamagedError on an I/O error."""
        try:
            self.file.seek(offset)
            data = self.file.read(length)
            while len(data) < length:  # an unbuffered file may return less
                more = self.file.read(length - len(data))
                if not more:
                    raise truncated(self.name)
                data += more
        except OSError as error:
            reason = (error.strerror or "input/output error").lower()
            raise PayloadDamagedError(
                f"{self.name} cannot be read at byte {offset}: {reason}", hint="check the disk"
            ) from error
        return data


def truncated(name: str) -> TruncatedError:
    """The error for a file that ends before the bundle does."""
    return TruncatedError(f"{name} is cut short", hint=COPY_HINT)


def suite_of(header: Header) -> str:
    """The name of the header's suite."""
    return SUITE_SEALED if isinstance(header, SealedHeader) else SUITE_BARE


def header_mac(covered: bytes, header: Header, bundle_key: BundleKey) -> bytes:
    """HMAC-SHA-256 of the bytes in front of it, under the header subkey."""
    return hmac.digest(derive(bundle_key, header.salt, LABEL_HEADER), covered, "sha256")


def check_slot_count(slots: tuple[Slot, ...], name: str) -> None:
    """Raises HeaderDamagedError if there is no slot, LimitError if there are too many of either kind."""
    if not slots:
        raise HeaderDamagedError(f"the header of {name} is damaged: it has no key slot", hint=COPY_HINT)
    if len(slots) > MAX_SLOTS:
        raise LimitError(f"{name} has {len(slots)} key slots, above the limit of {MAX_SLOTS}", hint=_SLOTS_HINT)
    passphrases = sum(isinstance(slot, PassphraseSlot) for slot in slots)
    if passphrases > MAX_PASSPHRASE_SLOTS:
        limit = MAX_PASSPHRASE_SLOTS
        raise LimitError(f"{name} has {passphrases} passphrase slots, above the limit of {limit}", hint=_SLOTS_HINT)


def serialise(header: Header, bundle_key: BundleKey | None = None) -> bytes:
    """Return everything in front of the payload, check included.

    bundle_key: needed by a sealed header. Raises LimitError if there are too many slots.
    """
    if isinstance(header, SealedHeader):
        check_slot_count(header.slots, "the bundle")
        fields: dict[str, Any] = {
            "aead": header.aead,
            "salt": header.salt,
            "payload_salt": header.payload_salt,
            "commit": header.commit,
            "slots": [_slot_fields(slot) for slot in header.slots],
        }
    else:
        fields = {"salt": header.salt}
    packed = canonical.pack(fields)
    numbers = (VERSION, 2), (SUITES.index(suite_of(header)), 2), (len(packed), 4)
    covered = MAGIC + b"".join(value.to_bytes(width, "little") for value, width in numbers) + packed
    if isinstance(header, BareHeader):
        return covered + sha256(covered).digest()
    if bundle_key is None:
        raise TypeError("a sealed header needs the bundle key")
    return covered + header_mac(covered, header, bundle_key)


def _slot_fields(slot: Slot) -> dict[str, Any]:
    fields: dict[str, Any] = {"kind": slot.kind, "salt": slot.salt, "wrapped": slot.wrapped}
    if isinstance(slot, PassphraseSlot):
        fields |= {"t": slot.argon2.t, "m_kib": slot.argon2.m_kib, "p": slot.argon2.p}
    return fields


def parse(source: Source) -> Preamble:
    """Read and check everything in front of the payload that can be checked without a key.

    Raises NotABundleError, UnsupportedError, LimitError, TruncatedError or HeaderDamagedError. The check of a
    bare header, a checksum, is verified here; the MAC of a sealed one needs the bundle key, see `header_mac`.
    """
    name = source.name
    start = source.read(0, min(FIXED_BYTES, source.size))
    _check_magic(start, name)
    version, suite, length = (int.from_bytes(start[a:b], "little") for a, b in ((8, 10), (10, 12), (12, 16)))
    if len(start) >= 10 and version != VERSION:
        raise UnsupportedError(
            f"{name} is of format version {version}, and this installation reads version {VERSION}",
            hint="install a newer neuralcipher" if version > VERSION else COPY_HINT,
        )
    if len(start) < FIXED_BYTES:
        raise truncated(name)
    if suite >= len(SUITES):
        raise UnsupportedError(
            f"{name} is of suite {suite}, which this installation lacks", hint="install a newer neuralcipher"
        )
    if length > MAX_HEADER_BYTES:
        raise LimitError(
            f"the header of {name} claims {length} bytes, above the limit of {MAX_HEADER_BYTES}",
            hint=COPY_HINT,
        )
    if source.size < FIXED_BYTES + length + MAC_BYTES:
        raise truncated(name)
    rest = source.read(FIXED_BYTES, length + MAC_BYTES)
    covered, check = start + rest[:length], rest[length:]
    if SUITES[suite] == SUITE_BARE and not hmac.compare_digest(check, sha256(covered).digest()):
        raise _damaged(name, "its checksum does not match")
    try:
        fields = canonical.unpack(rest[:length], max_items=_MAX_HEADER_ITEMS)
    except canonical.CanonicalError as error:
        raise _damaged(name, str(error)) from error
    header = _sealed(fields, name) if SUITES[suite] == SUITE_SEALED else _bare(fields, name)
    return Preamble(header, covered, check)


def _check_magic(start: bytes, name: str) -> None:
    if start.startswith(MAGIC):
        return
    if not start:
        raise NotABundleError(f"{name} is empty", hint=COPY_HINT)
    if MAGIC.startswith(start):
        raise truncated(name)
    if start.startswith(_DAMAGED_MAGICS):
        raise NotABundleError(
            f"{name} was a bundle before it was copied as text, which damaged it",
            hint="copy it again in binary mode",
        )
    raise NotABundleError(f"{name} is not a neuralcipher bundle", hint="give the path of an .ncv file")


def _damaged(name: str, why: str) -> HeaderDamagedError:
    return HeaderDamagedError(f"the header of {name} is damaged: {why}", hint=COPY_HINT)


def _fields(fields: Any, names: dict[str, type], what: str, name: str) -> dict[str, Any]:
    """Check that a map has exactly these fields with exactly these types."""
    if type(fields) is not dict:
        raise _damaged(name, f"{what} is not a map")
    for field in sorted(names.keys() ^ fields.keys()):
        # The field's name comes from the file: repr keeps control characters off the terminal.
        raise _damaged(name, f"{what} {'lacks' if field in names else 'has an unknown'} field {field[:32]!r}")
    for field, kind in names.items():
        if type(fields[field]) is not kind:
            raise _damaged(name, f"field {field!r} of {what} has the wrong type")
    return fields


def _sized(fields: dict[str, Any], field: str, size: int, name: str) -> bytes:
    value: bytes = fields[field]
    if len(value) != size:
        raise _damaged(name, f"field {field!r} has {len(value)} bytes instead of {size}")
    return value


def _bare(fields: Any, name: str) -> BareHeader:
    fields = _fields(fields, {"salt": bytes}, "it", name)
    return BareHeader(_sized(fields, "salt", SALT_BYTES, name))


def _sealed(fields: Any, name: str) -> SealedHeader:
    types: dict[str, type] = {"aead": str, "salt": bytes, "payload_salt": bytes, "commit": bytes, "slots": list}
    fields = _fields(fields, types, "it", name)
    if fields["aead"] not in AEAD_NAMES:
        raise UnsupportedError(
            f"{name} is encrypted with {fields['aead'][:32]!r}, which this installation lacks",
            hint="install a newer neuralcipher",
        )
    if len(fields["slots"]) > MAX_SLOTS:  # before any of them is looked at
        raise LimitError(f"{name} has {len(fields['slots'])} key slots, above the limit of {MAX_SLOTS}", hint=COPY_HINT)
    slots = tuple(_slot(slot, name) for slot in fields["slots"])
    check_slot_count(slots, name)
    salt, payload_salt = (_sized(fields, field, SALT_BYTES, name) for field in ("salt", "payload_salt"))
    return SealedHeader(fields["aead"], salt, payload_salt, _sized(fields, "commit", COMMIT_BYTES, name), slots)


def _slot(fields: Any, name: str) -> Slot:
    kind = fields.get("kind") if type(fields) is dict else None
    if kind == KeySlot.kind:
        fields = _fields(fields, {"kind": str, "salt": bytes, "wrapped": bytes}, "a key slot", name)
        salt = _sized(fields, "salt", KEY_SALT_BYTES, name)
        return KeySlot(salt, _sized(fields, "wrapped", WRAPPED_BYTES, name))
    if kind == PassphraseSlot.kind:
        types = {"kind": str, "salt": bytes, "wrapped": bytes, "t": int, "m_kib": int, "p": int}
        fields = _fields(fields, types, "a passphrase slot", name)
        cost = (fields["t"], fields["m_kib"], fields["p"])
        if argon2_excess(*cost):
            raise LimitError(
                f"a passphrase slot of {name} asks for argon2id with {argon2_excess(*cost)}",
                hint=f"at most {argon2_limits()}",
            )
        if not argon2_sufficient(*cost):
            raise _damaged(name, "a passphrase slot has argon2id parameters that do not exist")
        salt = _sized(fields, "salt", PASSPHRASE_SALT_BYTES, name)
        return PassphraseSlot(salt, _sized(fields, "wrapped", WRAPPED_BYTES, name), Argon2Parameters(*cost))
    if type(kind) is str:
        raise UnsupportedError(
            f"{name} has a key slot of kind {kind[:32]!r}, which this installation lacks",
            hint="install a newer neuralcipher",
        )
    raise _damaged(name, "a key slot has no kind")
