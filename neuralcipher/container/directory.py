"""The directory at the end of a payload: the metadata, and where each section lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from neuralcipher.container import canonical
from neuralcipher.errors import COPY_HINT, LimitError, PayloadDamagedError, UnsupportedError, UsageError
from neuralcipher.keys.subkeys import MAX_SEGMENT

DIRECTORY_VERSION = 1
TRAILER_BYTES = 16
MAX_DIRECTORY_BYTES = 64 << 20
MAX_DIRECTORY_ITEMS = 1 << 22
MAX_SECTIONS = 1 << 18
MAX_SECTION_BYTES = 1 << 30
MAX_KIND_BYTES = 64

_RESERVED = ("kind", "segment", "offset", "length")


@dataclass(frozen=True, slots=True)
class Section:
    """One piece of the payload.

    kind: such as "flow"; 1..64 bytes of UTF-8. segment: 0..2**64-1; (kind, segment) is unique in a bundle.
    offset, length: bytes of the plaintext. attributes: whatever else the writer says about it.
    """

    kind: str
    segment: int
    offset: int
    length: int
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def check_section(section: Section) -> None:
    """Refuse a section that a reader would refuse. Raises LimitError or UsageError."""
    if not 0 < len(section.kind.encode("utf-8")) <= MAX_KIND_BYTES:
        raise UsageError(f"a section's kind has 1..{MAX_KIND_BYTES} bytes, unlike {section.kind[:80]!r}")
    if not 0 <= section.segment <= MAX_SEGMENT:
        raise UsageError(f"segment {section.segment} is not in 0..2**64-1")
    if section.length > MAX_SECTION_BYTES:
        raise LimitError(
            f"section {section.kind!r} of {section.length} bytes is above the limit of {MAX_SECTION_BYTES}",
            hint="cut the video into shorter segments",
        )
    reserved = sorted(section.attributes.keys() & set(_RESERVED))
    if reserved:
        raise UsageError(f"section attribute {reserved[0]!r} has a meaning of its own", hint="choose another name")


def pack_directory(metadata: Mapping[str, Any], sections: Sequence[Section]) -> bytes:
    """Encode the directory. Raises LimitError; TypeError, ValueError on values without encoding."""
    entries = [
        {
            **section.attributes,
            "kind": section.kind,
            "segment": section.segment,
            "offset": section.offset,
            "length": section.length,
        }
        for section in sections
    ]
    data = canonical.pack({"version": DIRECTORY_VERSION, "metadata": dict(metadata), "sections": entries})
    if len(data) > MAX_DIRECTORY_BYTES:
        raise LimitError(
            f"a directory of {len(data)} bytes is above the limit of {MAX_DIRECTORY_BYTES}", hint="use longer segments"
        )
    return data


def pack_trailer(offset: int, length: int) -> bytes:
    """The last 16 bytes of the payload: where the directory begins, and how long it is."""
    return offset.to_bytes(8, "little") + length.to_bytes(8, "little")


def parse_trailer(trailer: bytes, payload_length: int, name: str) -> tuple[int, int]:
    """Return offset and length of the directory, which ends where the trailer begins.

    Raises PayloadDamagedError, LimitError.
    """
    offset, length = int.from_bytes(trailer[:8], "little"), int.from_bytes(trailer[8:], "little")
    if offset + length != payload_length - TRAILER_BYTES:
        raise _damaged(name, "it is not where the payload says")
    if length > MAX_DIRECTORY_BYTES:
        raise LimitError(
            f"the directory of {name} has {length} bytes, above the limit of {MAX_DIRECTORY_BYTES}", hint=COPY_HINT
        )
    return offset, length


def parse_directory(data: bytes, offset: int, name: str) -> tuple[dict[str, Any], tuple[Section, ...]]:
    """Return the metadata and the sections, which must fill [0, offset) in order, without a gap.

    Raises PayloadDamagedError, LimitError, or UnsupportedError on a newer directory.
    """
    try:
        fields = canonical.unpack(data, max_items=MAX_DIRECTORY_ITEMS)
    except canonical.CanonicalError as error:
        raise _damaged(name, str(error)) from error
    version = fields.get("version") if type(fields) is dict else None
    if type(version) is int and version != DIRECTORY_VERSION:
        raise UnsupportedError(
            f"{name} has a directory of version {version}, and this installation reads {DIRECTORY_VERSION}",
            hint="install a newer neuralcipher",
        )
    if type(version) is not int or fields.keys() != {"version", "metadata", "sections"}:
        raise _damaged(name, "its fields are not those of version 1")
    metadata, entries = fields["metadata"], fields["sections"]
    if type(metadata) is not dict or type(entries) is not list:
        raise _damaged(name, "a field has the wrong type")
    if len(entries) > MAX_SECTIONS:
        raise LimitError(f"{name} has {len(entries)} sections, above the limit of {MAX_SECTIONS}", hint=COPY_HINT)
    sections = tuple(_section(entry, name) for entry in entries)
    end = 0
    for section in sections:
        if section.offset != end:
            raise _damaged(name, f"section {section.kind!r} does not begin where the one before it ends")
        end += section.length
    if end != offset:
        raise _damaged(name, "the sections do not end where the directory begins")
    if len({(section.kind, section.segment) for section in sections}) < len(sections):
        raise _damaged(name, "a section is there twice")
    return metadata, sections


def _section(entry: Any, name: str) -> Section:
    types = {"kind": str, "segment": int, "offset": int, "length": int}
    if type(entry) is not dict or any(type(entry.get(field)) is not kind for field, kind in types.items()):
        raise _damaged(name, "a section lacks a field or has one of the wrong type")
    kind, segment, offset, length = (entry.pop(field) for field in _RESERVED)
    if not 0 < len(kind.encode("utf-8")) <= MAX_KIND_BYTES or min(segment, offset, length) < 0:
        raise _damaged(name, "a section has a field out of its range")
    if length > MAX_SECTION_BYTES:
        raise LimitError(
            f"section {kind!r} of {name} has {length} bytes, above the limit of {MAX_SECTION_BYTES}", hint=COPY_HINT
        )
    return Section(kind, segment, offset, length, MappingProxyType(entry))


def _damaged(name: str, why: str) -> PayloadDamagedError:
    return PayloadDamagedError(f"the directory of {name} is damaged: {why}", hint=COPY_HINT)
