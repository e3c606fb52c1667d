"""Canonical msgpack, type byte by type byte, as the specification of msgpack lays each one out."""

from __future__ import annotations

from typing import Any

import pytest

from neuralcipher.container.canonical import CanonicalError, pack, unpack


def keys(count: int) -> list[str]:
    """Short texts in the order of their bytes."""
    return [f"{index:05d}" for index in range(count)]


def cases() -> list[tuple[int, Any, bytes]]:
    """Type byte, value, what follows the type byte."""
    found: list[tuple[int, Any, bytes]] = [(byte, byte, b"") for byte in range(0x80)]
    found += [(byte, byte - 256, b"") for byte in range(0xE0, 0x100)]
    found += [(0xC0, None, b""), (0xC2, False, b""), (0xC3, True, b"")]
    found += [(0xA0 + size, "x" * size, b"x" * size) for size in range(32)]
    found += [(0x90 + size, [None] * size, b"\xc0" * size) for size in range(16)]
    entries = [b"\xa5" + key.encode() + b"\xc2" for key in keys(65_536)]
    found += [(0x80 + size, dict.fromkeys(keys(size), False), b"".join(entries[:size])) for size in range(16)]
    for byte, width, low, high in [
        (0xCC, 1, 2**7, 2**8),
        (0xCD, 2, 2**8, 2**16),
        (0xCE, 4, 2**16, 2**32),
        (0xCF, 8, 2**32, 2**64),
    ]:
        found += [(byte, value, value.to_bytes(width, "big")) for value in (low, high - 1)]
    for byte, width, near, far in [
        (0xD0, 1, -33, -(2**7)),
        (0xD1, 2, -(2**7) - 1, -(2**15)),
        (0xD2, 4, -(2**15) - 1, -(2**31)),
        (0xD3, 8, -(2**31) - 1, -(2**63)),
    ]:
        found += [(byte, value, value.to_bytes(width, "big", signed=True)) for value in (near, far)]
    for byte, width, size in [(0xC4, 1, 0), (0xC4, 1, 255), (0xC5, 2, 256), (0xC5, 2, 65_535), (0xC6, 4, 65_536)]:
        found.append((byte, b"y" * size, size.to_bytes(width, "big") + b"y" * size))
    for byte, width, size in [(0xD9, 1, 32), (0xD9, 1, 255), (0xDA, 2, 256), (0xDA, 2, 65_535), (0xDB, 4, 65_536)]:
        found.append((byte, "y" * size, size.to_bytes(width, "big") + b"y" * size))
    for byte, width, size in [(0xDC, 2, 16), (0xDC, 2, 65_535), (0xDD, 4, 65_536)]:
        found.append((byte, [True] * size, size.to_bytes(width, "big") + b"\xc3" * size))
    for byte, width, size in [(0xDE, 2, 16), (0xDE, 2, 65_535), (0xDF, 4, 65_536)]:
        found.append((byte, dict.fromkeys(keys(size), False), size.to_bytes(width, "big") + b"".join(entries[:size])))
    return found


CASES = cases()
UNUSED = {0xC1, 0xC7, 0xC8, 0xC9, 0xCA, 0xCB, *range(0xD4, 0xD9)}  # never used, floats, extensions


def test_each_is_written_and_read() -> None:
    assert {byte for byte, _, _ in CASES} | UNUSED == set(range(256))
    for byte, value, rest in CASES:
        data = bytes([byte]) + rest
        assert pack(value) == data
        again = unpack(data, max_items=200_000)
        assert type(again) is type(value)
        assert again == value


def test_each_ends_where_it_ends() -> None:
    for byte, _, rest in CASES:
        data = bytes([byte]) + rest
        with pytest.raises(CanonicalError, match=r"^bytes follow its end$"):
            unpack(data + b"\xc0", max_items=200_000)
        if rest:
            with pytest.raises(CanonicalError, match=r"^(it ends too early|a list or map is longer than the data)$"):
                unpack(data[:-1], max_items=200_000)
    for data in (b"", b"\xa2a", b"\xcd\1", b"\xc4\2a", b"\xd9\x40", b"\x92\xc0\xa3ab"):
        with pytest.raises(CanonicalError, match=r"^it ends too early$"):
            unpack(data, max_items=9)
    for data in (b"\x91", b"\x92\xc0", b"\x81\xa0", b"\xde\0\x10" + b"\xc0" * 31, b"\xdd\0\0\0\3\xc0\xc0"):
        with pytest.raises(CanonicalError, match=r"^a list or map is longer than the data$"):
            unpack(data, max_items=99)


@pytest.mark.parametrize("byte", sorted(UNUSED))
def test_the_others_are_refused_by_name(byte: int) -> None:
    with pytest.raises(CanonicalError, match=rf"^it holds a value of the type {byte:#04x}, which is not used here$"):
        unpack(bytes([byte]) + bytes(20), max_items=9)


@pytest.mark.parametrize(("value", "items"), [(None, 1), ([], 1), ([1, 2], 3), ({"a": 1}, 3), ([{"a": [0]}], 5)])
def test_values_and_keys_are_counted(value: Any, items: int) -> None:
    data = pack(value)
    assert unpack(data, max_items=items) == value
    with pytest.raises(CanonicalError, match=rf"^it holds more than {items - 1} values$"):
        unpack(data, max_items=items - 1)
