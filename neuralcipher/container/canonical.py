"""Canonical msgpack: one encoding per value, and a reader that nothing in a hostile file can surprise.

Values are None, bool, int (-2**63..2**64-1), str, bytes, list and dict with str keys. Keys are sorted by
their UTF-8 bytes, lengths and integers have their shortest form, and floats and extension types do not exist.
"""

from __future__ import annotations

from typing import Any

import msgpack

MAX_DEPTH = 16

# The value after the type byte, in bytes, for the types whose size the type byte alone tells.
_FIXED = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8, 0xC0: 0, 0xC2: 0, 0xC3: 0}
# The width of the length that follows the type byte: of bytes and strings, of lists, of maps.
_BLOB = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LIST = {0xDC: 2, 0xDD: 4}
_MAP = {0xDE: 2, 0xDF: 4}


class CanonicalError(ValueError):
    """The bytes are not canonical msgpack, or are over a limit; callers name the file."""


def pack(value: Any) -> bytes:
    """Encode. Raises TypeError, ValueError on what has no encoding: a float, 2**64, a lone surrogate."""
    try:
        packed: bytes = msgpack.packb(_ordered(value, MAX_DEPTH))
    except OverflowError as error:
        raise ValueError("an integer does not fit in 64 bits") from error
    return packed


def _ordered(value: Any, depth: int) -> Any:
    kind = type(value)
    # Exact types: a numpy integer or a str subclass would come back as something else.
    if value is None or kind in (bool, int, str, bytes):
        return value
    if kind not in (list, dict):
        raise TypeError(f"a value of type {kind.__name__} has no canonical encoding")
    if depth == 0:
        raise ValueError(f"values are nested deeper than {MAX_DEPTH}")
    if kind is list:
        return [_ordered(item, depth - 1) for item in value]
    if any(type(name) is not str for name in value):
        raise TypeError("the keys of a map must be text")
    # Code points and UTF-8 bytes sort alike.
    return {name: _ordered(value[name], depth - 1) for name in sorted(value)}


def unpack(data: bytes, *, max_items: int) -> Any:
    """Decode one value. max_items: how many values and keys there may be in all; depth is at most MAX_DEPTH.

    Raises CanonicalError on anything that `pack` would not have written. Memory is in proportion to the data.
    """
    _check_shape(data, max_items)
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=True)
        again = msgpack.packb(value)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise CanonicalError("it is not canonical msgpack") from error
    # A map keeps the order of the data, so that the comparison refuses long forms and duplicates alike; `pack` would
    # sort the keys, but in a copy of everything.
    if again != data or not _keys_ascend(value):
        raise CanonicalError("it is not canonical msgpack")
    return value


def _keys_ascend(value: Any) -> bool:
    """Whether the keys of every map are text, in order."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            names = list(item)
            if any(type(name) is not str for name in names) or names != sorted(names):
                return False
            item = item.values()
        elif type(item) is not list:
            continue
        waiting.extend(child for child in item if child and type(child) in (dict, list))
    return True


def _check_shape(data: bytes, max_items: int) -> None:
    """Walk over the encoding without building anything: bound depth, number of values and every length."""
    size = len(data)
    position = 0
    items = 0
    open_counts = [1]  # how many values each open list or map still lacks
    while open_counts:
        if open_counts[-1] == 0:
            open_counts.pop()
            continue
        open_counts[-1] -= 1
        items += 1
        if items > max_items:
            raise CanonicalError(f"it holds more than {max_items} values")
        if position >= size:
            raise CanonicalError("it ends too early")
        position, children = _step(data, position)
        if position > size:
            raise CanonicalError("it ends too early")
        if children > size - position:  # every value takes a byte at least
            raise CanonicalError("a list or map is longer than the data")
        if children:
            if len(open_counts) > MAX_DEPTH:
                raise CanonicalError(f"values are nested deeper than {MAX_DEPTH}")
            open_counts.append(children)
    if position != size:
        raise CanonicalError("bytes follow its end")


def _step(data: bytes, position: int) -> tuple[int, int]:
    """Return where the value at `position` ends, without its children, and how many children follow."""
    first = data[position]
    position += 1
    if first <= 0x7F or first >= 0xE0:  # an integer in the type byte
        return position, 0
    if first <= 0x9F:  # a short map or list
        return position, (first & 0x0F) * (2 if first < 0x90 else 1)
    if first <= 0xBF:  # a short text
        return position + (first & 0x1F), 0
    if first in _FIXED:
        return position + _FIXED[first], 0
    width = _BLOB.get(first) or _LIST.get(first) or _MAP.get(first)
    if width is None:
        raise CanonicalError(f"it holds a value of the type {first:#04x}, which is not used here")
    length = int.from_bytes(data[position : position + width], "big")
    position += width
    if first in _BLOB:
        return position + length, 0
    return position, length * (2 if first in _MAP else 1)
