"""Columns of integers to bytes and back: zig-zag variable-length integers under zlib, bounded on reading.

Timestamps are nearly linear and packet sizes nearly constant, so differences of differences are mostly zero
and zlib leaves about one byte in a thousand.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from neuralcipher.errors import PayloadDamagedError

INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
# Second differences of 64-bit values need up to 66 bits; ten groups of 7 bits hold 70.
_MAX_GROUPS = 10
_GOING_ON = bytes(range(0x80, 0x100))  # first bits of bytes that do not end an integer


def pack_column(values: Iterable[int]) -> bytes:
    """Pack integers (each below 2**66 in magnitude) into bytes."""
    raw = bytearray()
    for value in values:
        rest = value << 1 if value >= 0 else (-value << 1) - 1
        while rest >= 0x80:
            raw.append(rest & 0x7F | 0x80)
            rest >>= 7
        raw.append(rest)
    return zlib.compress(bytes(raw), 9)


def unpack_column(data: bytes, count: int, *, what: str) -> list[int]:
    """Unpack exactly `count` integers; never holds more than 10 bytes for each of them.

    what: how messages call the column. Raises PayloadDamagedError if there are more, or fewer.
    """
    return list(_integers(_inflated(data, count, what), what))


def _inflated(data: bytes, count: int, what: str) -> bytes:
    """The variable-length integers as they were before zlib; their number is right."""
    limit = count * _MAX_GROUPS
    inflater = zlib.decompressobj()
    try:
        # max_length 0 would mean "no limit"; one byte more than allowed is enough to see that there is more.
        raw = inflater.decompress(data, limit + 1)
    except zlib.error:
        raise PayloadDamagedError(f"the {what} cannot be unpacked") from None
    if not inflater.eof or inflater.unused_data or len(raw) > limit:
        raise PayloadDamagedError(f"the {what} are longer or shorter than stated")
    # An integer ends with a byte below 128: counting those in C keeps what is not `count` integers out of the loop.
    if len(raw.translate(None, _GOING_ON)) != count or raw[-1:] >= b"\x80":
        raise PayloadDamagedError(f"the {what} are longer or shorter than stated")
    return raw


def _integers(raw: bytes, what: str) -> Iterator[int]:
    value = shift = 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift >= 7 * _MAX_GROUPS:
                raise PayloadDamagedError(f"the {what} hold an integer that is too long")
            continue
        yield -((value + 1) >> 1) if value & 1 else value >> 1
        value = shift = 0


def pack_times(times: Sequence[int]) -> bytes:
    """Pack timestamps (64-bit, nearly linear) as differences of differences."""
    previous = delta = 0
    column = []
    for time in times:
        step = time - previous
        column.append(step - delta)
        previous, delta = time, step
    return pack_column(column)


def unpack_times(data: bytes, count: int, *, what: str) -> tuple[int, ...]:
    """Undo `pack_times`. Raises PayloadDamagedError, also if a timestamp leaves 64 bits."""
    value = delta = 0
    times = []
    for change in _integers(_inflated(data, count, what), what):
        delta += change
        value += delta
        if not INT64_MIN <= value <= INT64_MAX:
            raise PayloadDamagedError(f"the {what} leave 64 bits")
        times.append(value)
    return tuple(times)
