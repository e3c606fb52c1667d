"""Values at the edge: chunks and sections that end together, the deepest nesting, salts that are given."""

from __future__ import annotations

import io
from typing import Any

import pytest
from bundle_parts import BUNDLE_KEY, KEY, content, opened, payload_offset, sealed, with_directory
from sentences import PLAIN

from neuralcipher.container import BundleWriter, canonical
from neuralcipher.container.bundle import Problem
from neuralcipher.container.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES
from neuralcipher.keys import seal_slot, segment_seed

SALT = bytes(range(32))


def test_a_damaged_chunk_hits_the_sections_in_it_and_not_those_beside_it() -> None:
    data = bytearray(sealed(*[content(CHUNK_BYTES)] * 3))
    at = payload_offset(data)
    for index in range(3):
        damaged = data.copy()
        damaged[at + index * SEALED_CHUNK_BYTES] ^= 1
        reader = opened(bytes(damaged))
        reader.unlock([KEY])
        offset = at + index * SEALED_CHUNK_BYTES
        message = f"the payload of x.ncv is damaged at byte {offset}"
        assert reader.verify() == [Problem(message, index, offset, (("flow", index),))]


def test_a_directory_that_is_refused_is_a_problem_of_no_chunk() -> None:
    data = with_directory({"version": 1}, b"abc")
    reader = opened(data)
    reader.unlock([KEY])
    message = "the directory of x.ncv is damaged: its fields are not those of version 1"
    assert reader.verify() == [Problem(message, None, payload_offset(data), ())]
    cut = opened(PLAIN[:-1])
    message = "x.ncv is damaged or cut short: its checksum does not match"
    assert cut.verify() == [Problem(message, None, payload_offset(PLAIN), ())]


@pytest.mark.parametrize("bare", [False, True])
def test_a_salt_that_is_given_stays_and_with_it_the_seeds(bare: bool) -> None:
    file = io.BytesIO()
    if bare:
        writer = BundleWriter.create_bare(file, KEY, salt=SALT)
    else:
        writer = BundleWriter.create_with_slots(file, BUNDLE_KEY, [seal_slot(KEY, BUNDLE_KEY)], salt=SALT)
    writer.finish({})
    reader = opened(file.getvalue())
    reader.unlock([KEY])
    assert reader.header.salt == SALT
    assert reader.segment_seed(5) == segment_seed(KEY if bare else BUNDLE_KEY, SALT, 5)


def nested(depth: int, of: str) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value] if of == "lists" else {"a": value}
    return value


@pytest.mark.parametrize("of", ["lists", "maps"])
def test_sixteen_levels_and_no_more(of: str) -> None:
    packed = canonical.pack(nested(16, of))
    assert canonical.unpack(packed, max_items=100) == nested(16, of)
    with pytest.raises(ValueError, match=r"^values are nested deeper than 16$"):
        canonical.pack(nested(17, of))
    deeper = (b"\x91" if of == "lists" else b"\x81\xa1a") + packed
    with pytest.raises(canonical.CanonicalError, match=r"^values are nested deeper than 16$"):
        canonical.unpack(deeper, max_items=100)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (2**64, ValueError, "an integer does not fit in 64 bits"),
        (-(2**63) - 1, ValueError, "an integer does not fit in 64 bits"),
        ({1: 2}, TypeError, "the keys of a map must be text"),
        (0.5, TypeError, "a value of type float has no canonical encoding"),
        ((1,), TypeError, "a value of type tuple has no canonical encoding"),
    ],
)
def test_what_has_no_encoding(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}$"):
        canonical.pack(value)
    with pytest.raises(error, match=f"^{message}$"):
        canonical.pack({"a": [value]})
