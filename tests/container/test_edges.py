"""Values at the edge: chunks and sections that end together, the deepest nesting, salts that are given."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import pytest
from bundle_parts import BUNDLE_KEY, KEY, content, opened, payload_offset, sealed, with_directory
from sentences import PLAIN

from neuralcipher.container import BundleWriter, Section, canonical, directory
from neuralcipher.container.directory import check_section, pack_directory, parse_directory, parse_trailer
from neuralcipher.container.format import Source
from neuralcipher.container.plain import PlainReader, PlainWriter
from neuralcipher.container.reading import Problem
from neuralcipher.container.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES
from neuralcipher.errors import LimitError, PayloadDamagedError, UsageError
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


@pytest.mark.parametrize("extra", [0, 1])
def test_limits_are_reached_and_not_passed(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = pytest.raises(LimitError) if extra else contextlib.nullcontext()
    with refused:
        check_section(Section("a", 0, 0, 2**30 + extra))
    refused = pytest.raises(UsageError) if extra else contextlib.nullcontext()
    with refused:
        check_section(Section("é" * 32 + "a" * extra, 0, 0, 0))
    entry = {"kind": "a", "length": 0, "offset": 0, "segment": 0}
    packed = canonical.pack({"metadata": {}, "sections": [entry], "version": 1})
    assert pack_directory({}, [Section("a", 0, 0, 0)]) == packed
    monkeypatch.setattr(directory, "MAX_DIRECTORY_BYTES", len(packed) - extra)
    monkeypatch.setattr(directory, "MAX_SECTIONS", 1 - extra)
    monkeypatch.setattr(directory, "MAX_SECTION_BYTES", 5 - extra)
    refused = pytest.raises(LimitError) if extra else contextlib.nullcontext()
    with refused:
        pack_directory({}, [Section("a", 0, 0, 0)])
    with refused:
        parse_trailer((7).to_bytes(8, "little") + len(packed).to_bytes(8, "little"), len(packed) + 23, "x.ncv")
    with refused:
        parse_directory(packed, 0, "x.ncv")
    monkeypatch.setattr(directory, "MAX_SECTIONS", 1)
    with refused:
        parse_directory(canonical.pack({"metadata": {}, "sections": [entry | {"length": 5}], "version": 1}), 5, "x.ncv")


@pytest.mark.parametrize("field", ["offset", "length", "segment"])
def test_no_field_of_a_section_is_negative(field: str) -> None:
    entry = {"kind": "a", "length": 0, "offset": 0, "segment": 0, field: -1}
    with pytest.raises(PayloadDamagedError, match="a section has a field out of its range"):
        parse_directory(canonical.pack({"metadata": {}, "sections": [entry], "version": 1}), 0, "x.ncv")


def test_a_payload_in_clear_of_no_byte_and_of_many_pieces() -> None:
    for size in (0, 1, 5 << 19):
        file = io.BytesIO()
        writer = PlainWriter(file, b"front")
        data = content(size)
        writer.write(data)
        writer.close()
        whole = b"front" + file.getvalue()
        source = Counting(io.BytesIO(whole), len(whole), "x.ncv")
        reader = PlainReader(source, 5)
        assert reader.length == size
        assert reader.read(0, size) == data
        first = source.bytes
        assert reader.read(0, size) == data
        assert source.bytes - first == size  # the checksum is not computed again


class Counting(Source):
    """A source that counts what is read from it."""

    bytes = 0

    def read(self, offset: int, length: int) -> bytes:
        self.bytes += length
        return super().read(offset, length)
