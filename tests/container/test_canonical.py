"""Canonical msgpack: one encoding per value, nothing else accepted."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.container.canonical import MAX_DEPTH, CanonicalError, pack, unpack

text = st.text(st.characters(codec="utf-8"), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | text | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(text, inner, max_size=20),
    max_leaves=40,
)


@given(values)
def test_round_trip(value: Any) -> None:
    assert unpack(pack(value), max_items=10_000) == value


@given(st.dictionaries(text, st.integers(0, 9)), st.randoms())
def test_the_order_of_insertion_does_not_matter(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    packed = pack(dict(items))
    assert packed == pack(value)
    assert [name.encode() for name in msgpack.unpackb(packed)] == sorted(name.encode() for name in value)


@given(st.binary(max_size=200))
def test_whatever_is_accepted_is_what_pack_writes(data: bytes) -> None:
    try:
        value = unpack(data, max_items=1_000)
    except CanonicalError:
        return
    assert pack(value) == data


@given(values, st.data())
def test_one_changed_byte_is_another_value_or_refused(value: Any, data: st.DataObject) -> None:
    packed = bytearray(pack(value))
    index = data.draw(st.integers(0, len(packed) - 1))
    packed[index] ^= data.draw(st.integers(1, 255))
    try:
        other = unpack(bytes(packed), max_items=10_000)
    except CanonicalError:
        return
    assert pack(other) != pack(value)


def test_boundaries_have_the_lengths_of_the_specification() -> None:
    """msgpack specification, "Formats": the size of the type byte and length for each range."""
    for value, overhead in [
        (127, 1), (128, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5), (2**32 - 1, 5), (2**32, 9),
        (-32, 1), (-33, 2), (-128, 2), (-129, 3), (-(2**15), 3), (-(2**15) - 1, 5), (-(2**31) - 1, 9),
    ]:  # fmt: skip
        assert len(pack(value)) == overhead
    for size, overhead in [(31, 1), (32, 2), (255, 2), (256, 3), (65_535, 3), (65_536, 5)]:
        assert len(pack("a" * size)) == size + overhead
    for size, overhead in [(0, 2), (255, 2), (256, 3), (65_536, 5)]:
        assert len(pack(bytes(size))) == size + overhead
    for size, overhead in [(15, 1), (16, 3), (65_535, 3), (65_536, 5)]:
        assert len(pack([None] * size)) == size + overhead


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends too early"),
        (b"\xcc\x7f", "long form of 127"),
        (b"\xcd\x00\xff", "long form of 255"),
        (b"\xd0\x05", "signed form of 5"),
        (b"\xd9\x01a", "long form of a text"),
        (b"\xc5\x00\x01a", "long form of bytes"),
        (b"\xdc\x00\x01\x00", "long form of a list"),
        (b"\xde\x00\x01\xa1a\x00", "long form of a map"),
        (b"\x82\xa1b\x00\xa1a\x00", "keys out of order"),
        (b"\x82\xa1a\x00\xa1a\x00", "key twice"),
        (b"\x81\x01\x00", "key not text"),
        (b"\x81\xc4\x01a\x00", "key of bytes"),
        (b"\x81\x90\x00", "key a list"),
        (b"\xca\x00\x00\x00\x00", "float"),
        (b"\xcb" + bytes(8), "double"),
        (b"\xd4\x01\x00", "extension"),
        (b"\xc7\x01\x01\x00", "extension"),
        (b"\xd6\xff\x00\x00\x00\x00", "timestamp"),
        (b"\xc1", "unused type"),
        (b"\xa1\xff", "not UTF-8"),
        (b"\xa3\xed\xa0\x80", "a surrogate"),
        (b"\x00\x00", "bytes after it"),
        (b"\x91", "list without its value"),
        (b"\xc6\xff\xff\xff\xff", "4 GiB of bytes"),
        (b"\xdd\xff\xff\xff\xff\x00", "4 G values"),
        (b"\xdf\x7f\xff\xff\xff\x00", "2 G pairs"),
        (b"\xc4", "length missing"),
        (b"\xdd\x00", "length cut"),
    ],
)
def test_refused(data: bytes, why: str) -> None:
    with pytest.raises(CanonicalError):
        unpack(data, max_items=1_000)


@pytest.mark.parametrize("value", [1.5, (1,), {1: 2}, {b"a": 1}, object(), {"a": {1.0}}, bytearray(b"a")])
def test_types_without_encoding(value: Any) -> None:
    with pytest.raises(TypeError):
        pack(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", {"\udfff": 1}])
def test_values_without_encoding(value: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        pack(value)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_depth() -> None:
    assert unpack(pack(nested(MAX_DEPTH)), max_items=100) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="deeper"):
        pack(nested(MAX_DEPTH + 1))
    with pytest.raises(ValueError, match="deeper"):
        pack(nested(100_000))
    for depth in (MAX_DEPTH + 1, 600, 100_000):
        for end in (b"\x00", b"\x90"):
            with pytest.raises(CanonicalError, match="deeper"):
                unpack(b"\x91" * depth + end, max_items=1_000_000)
            with pytest.raises(CanonicalError, match="deeper"):
                unpack(b"\x81\xa0" * depth + end, max_items=1_000_000)


def test_number_of_values() -> None:
    packed = pack([0] * 99)
    assert len(unpack(packed, max_items=100)) == 99
    with pytest.raises(CanonicalError, match="more than 99"):
        unpack(packed, max_items=99)


def test_forged_lengths_take_no_memory() -> None:
    size = 1 << 16
    with pytest.raises(CanonicalError, match="longer than the data"):
        unpack(b"\xdd\xff\xff\xff\xff" + bytes(size), max_items=1 << 22)
    forged = b"\xdd" + size.to_bytes(4, "big")
    data = forged * 15 + bytes(size)
    tracemalloc.start()
    try:
        with pytest.raises(CanonicalError):
            unpack(data, max_items=1 << 22)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
