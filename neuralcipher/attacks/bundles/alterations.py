"""What an active attacker does to a bundle that he cannot open: flips, cuts, splices and forged headers.

Everything here works on the bytes of files alone. The referee (`container_attack`) holds the key and says what a
reader makes of the result.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from neuralcipher.container.format import (
    AEAD_NAMES,
    FIXED_BYTES,
    MAC_BYTES,
    SUITE_BARE,
    SUITE_SEALED,
    BareHeader,
    SealedHeader,
    Source,
    parse,
    serialise,
)
from neuralcipher.container.plain import CHECKSUM_BYTES
from neuralcipher.container.stream import SEALED_CHUNK_BYTES
from neuralcipher.errors import NeuralCipherError
from neuralcipher.keys import BundleKey, Key, seal_slot


@dataclass(frozen=True, slots=True)
class PublicFile:
    """A bundle as everyone has it. suite: its name. payload_offset: where the header with its check ends, bytes."""

    data: bytes
    suite: str
    payload_offset: int

    @property
    def payload(self) -> bytes:
        return self.data[self.payload_offset :]


@dataclass(frozen=True, slots=True)
class Alteration:
    """An altered file. family: of `FAMILIES`. position: the byte that was changed first, or the new length."""

    family: str
    position: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to try.

    flips: single bits outside the header; every bit of the header is always flipped. cuts: lengths to cut to; every
    length if there are no more. bits_of_each_byte: how many bits of each byte are flipped when `flips` covers the file.
    """

    flips: int
    cuts: int


FAMILIES = ("bit", "cut", "added", "chunk", "splice", "header")


def alterations(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    """Altered files, each of them different from all originals; in a bare bundle with every checksum made again.

    siblings: other bundles of the same owner, to splice with.
    """
    originals = {file.data, *(sibling.data for sibling in siblings)}
    makers = (_bits, _cuts, _added, _chunks, _splices, _headers)
    for maker in makers:
        for alteration in maker(file, siblings, plan, draw):
            data = repaired(alteration.data) if file.suite == SUITE_BARE else alteration.data
            if data not in originals:
                yield replace(alteration, data=data)


def repaired(data: bytes) -> bytes:
    """Make both checksums of a bare bundle again, as anyone can; what is too short for them stays as it is."""
    end = FIXED_BYTES + int.from_bytes(data[12:16], "little")
    if len(data) < end + MAC_BYTES + CHECKSUM_BYTES:
        return data
    body = data[:end] + sha256(data[:end]).digest() + data[end + MAC_BYTES : -CHECKSUM_BYTES]
    return body + sha256(body).digest()


def flip_places(file: PublicFile, plan: Plan, draw: np.random.Generator) -> tuple[list[int], bool]:
    """(bits to flip, whether these are all bits of the file): all of the header, and all or a sample of the rest."""
    header, total = 8 * file.payload_offset, 8 * len(file.data)
    if total - header <= plan.flips:
        return list(range(total)), True
    rest = header + draw.choice(total - header, size=plan.flips, replace=False)
    return [*range(header), *sorted(rest.tolist())], False


def _bits(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    for bit in flip_places(file, plan, draw)[0]:
        byte = bit // 8
        changed = file.data[byte] ^ 1 << bit % 8
        yield Alteration("bit", byte, file.data[:byte] + bytes([changed]) + file.data[byte + 1 :])


def _cuts(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    size = len(file.data)
    lengths = set(range(size))
    if size > plan.cuts:
        edges = [0, FIXED_BYTES, file.payload_offset, size, *range(file.payload_offset, size, SEALED_CHUNK_BYTES)]
        near = {edge + step for edge in edges for step in (-17, -16, -1, 0, 1, 16, 17)}
        lengths = {length for length in near if 0 <= length < size}
        lengths |= set(draw.choice(size, size=plan.cuts, replace=False).tolist())
    for length in sorted(lengths):
        yield Alteration("cut", length, file.data[:length])


def _added(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    last = len(file.payload) % SEALED_CHUNK_BYTES or SEALED_CHUNK_BYTES
    tails = [bytes(count) for count in (1, 15, 16, 17, 64, 65, SEALED_CHUNK_BYTES)]
    tails += [draw.bytes(count) for count in (1, 16, 17, 1000)]
    tails += [file.data[-last:], file.payload, file.data, *(sibling.payload for sibling in siblings)]
    for tail in tails:
        yield Alteration("added", len(file.data), file.data + tail)
    for place in (0, FIXED_BYTES, file.payload_offset):
        yield Alteration("added", place, file.data[:place] + draw.bytes(1) + file.data[place:])


def _pieces(file: PublicFile) -> list[bytes]:
    return [file.payload[at : at + SEALED_CHUNK_BYTES] for at in range(0, len(file.payload), SEALED_CHUNK_BYTES)]


def _chunks(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    """Chunks dropped, doubled, swapped with their neighbours, made of another place, or taken from a sibling."""
    own, head = _pieces(file), file.data[: file.payload_offset]
    changed: list[tuple[int, list[bytes]]] = []
    for i in range(len(own)):
        changed += [(i, own[:i] + own[i + 1 :]), (i, own[: i + 1] + own[i:])]
        if i + 1 < len(own):
            changed += [(i, [*own[:i], own[i + 1], own[i], *own[i + 2 :]]), (i, own[: i + 1])]
        for other in siblings:
            theirs = _pieces(other)
            changed += [(i, [*own[:i], piece, *own[i + 1 :]]) for piece in theirs[i : i + 1] + theirs[-1:]]
    for i, pieces in changed[: 4 * plan.cuts]:
        yield Alteration("chunk", file.payload_offset + i * SEALED_CHUNK_BYTES, head + b"".join(pieces))


def _splices(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    """The header of one bundle on the payload of another, with either check, and the files cut and joined."""
    for other in siblings:
        for first, second in ((file, other), (other, file)):
            at, there = first.payload_offset, second.payload_offset
            yield Alteration("splice", at, first.data[:at] + second.payload)
            check = second.data[there - MAC_BYTES : there]
            yield Alteration("splice", at - MAC_BYTES, first.data[: at - MAC_BYTES] + check + first.payload)
            yield Alteration("splice", at - MAC_BYTES, first.data[: at - MAC_BYTES] + check + second.payload)
            middle = min(len(first.data), len(second.data)) // 2
            yield Alteration("splice", middle, first.data[:middle] + second.data[middle:])


def _headers(
    file: PublicFile, siblings: Sequence[PublicFile], plan: Plan, draw: np.random.Generator
) -> Iterator[Alteration]:
    """Well-formed headers that say something else, with the old check and with one under a key of the attacker."""
    if file.suite not in (SUITE_BARE, SUITE_SEALED):
        return
    for number in range(256):
        for place in (8, 10):  # version, suite
            yield Alteration("header", place, file.data[:place] + bytes([number]) + file.data[place + 1 :])
    header = parse(Source(io.BytesIO(file.data), len(file.data), "the bundle")).header
    mine = BundleKey(draw.bytes(32))
    check = file.data[file.payload_offset - MAC_BYTES : file.payload_offset]
    for changed in _changed_headers(header, siblings, mine, draw):
        try:
            preamble = serialise(changed, mine if isinstance(changed, SealedHeader) else None)
        except NeuralCipherError:  # more slots than a bundle has
            continue
        yield Alteration("header", FIXED_BYTES, preamble + file.payload)
        yield Alteration("header", FIXED_BYTES, preamble[:-MAC_BYTES] + check + file.payload)


def _changed_headers(
    header: SealedHeader | BareHeader, siblings: Sequence[PublicFile], mine: BundleKey, draw: np.random.Generator
) -> Iterator[SealedHeader | BareHeader]:
    if isinstance(header, BareHeader):
        yield BareHeader(draw.bytes(32))
        return
    slots = header.slots
    stranger = seal_slot(Key(draw.bytes(32)), mine)
    yield header
    yield replace(header, slots=slots[::-1])
    yield replace(header, slots=(*slots, slots[0]))
    yield replace(header, slots=(*slots, stranger))
    yield replace(header, slots=(stranger, *slots))
    for i in range(len(slots) if len(slots) > 1 else 0):
        yield replace(header, slots=slots[:i] + slots[i + 1 :])
    for aead in AEAD_NAMES:
        yield replace(header, aead=aead)
    yield replace(header, salt=draw.bytes(32))
    yield replace(header, payload_salt=draw.bytes(32))
    yield replace(header, commit=draw.bytes(32))
    for sibling in siblings:
        other = parse(Source(io.BytesIO(sibling.data), len(sibling.data), "a sibling")).header
        if isinstance(other, SealedHeader):
            yield replace(header, slots=other.slots)
            yield replace(header, salt=other.salt)
            yield replace(header, payload_salt=other.payload_salt)
            yield replace(header, commit=other.commit)
            yield replace(header, slots=other.slots, commit=other.commit)
