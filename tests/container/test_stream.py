"""STREAM chunks: what they look like, and that none can be moved, dropped, added, cut or changed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest
from bundle_parts import content
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.container.format import Source
from neuralcipher.container.stream import (
    CHUNK_BYTES,
    SEALED_CHUNK_BYTES,
    StreamReader,
    StreamWriter,
    chunk_nonce,
    payload_aead,
)
from neuralcipher.errors import BundleError, PayloadDamagedError, TruncatedError

CIPHER = ChaCha20Poly1305(bytes(range(32)))
SIZES = [0, 1, 2, 65_535, 65_536, 65_537, 131_071, 131_072, 131_073, 200_000]


def encrypt(data: bytes) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, CIPHER)
    writer.write(data)
    writer.close()
    return file.getvalue()


def reader(payload: bytes, prefix: bytes = b"") -> StreamReader:
    data = prefix + payload
    return StreamReader(Source(io.BytesIO(data), len(data), "x.ncv"), len(prefix), len(payload), CIPHER)


def read(payload: bytes) -> bytes:
    stream = reader(payload)
    stream.check_end()
    return stream.read(0, stream.length)


def by_hand(*chunks: tuple[int, bool, bytes]) -> bytes:
    """Chunks sealed as (number, final, plaintext), straight from the format text."""
    return b"".join(
        CIPHER.encrypt(index.to_bytes(11, "big") + (b"\1" if final else b"\0"), chunk, None)
        for index, final, chunk in chunks
    )


@pytest.mark.parametrize("size", SIZES)
def test_layout(size: int) -> None:
    data = content(size)
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, max(size, 1), CHUNK_BYTES)]
    expected = by_hand(*((index, index == len(chunks) - 1, chunk) for index, chunk in enumerate(chunks)))
    assert encrypt(data) == expected
    assert read(expected) == data
    assert reader(expected).length == size
    assert list(reader(expected).damaged_chunks()) == []


def test_nonce() -> None:
    assert chunk_nonce(0, final=False).hex() == "0" * 24
    assert chunk_nonce(0x010203, final=True).hex() == "0000000000000000010203" + "01"


def test_aeads() -> None:
    assert isinstance(payload_aead("chacha20-poly1305", bytes(32)), ChaCha20Poly1305)
    assert isinstance(payload_aead("aes-256-gcm", bytes(32)), AESGCM)


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0, 1, 100, 65_535, 65_536, 65_537, 140_000]), max_size=6))
def test_how_it_is_written_does_not_matter(sizes: list[int]) -> None:
    data = content(sum(sizes))
    file = io.BytesIO()
    writer = StreamWriter(file, CIPHER)
    at = 0
    for size in sizes:
        writer.write(memoryview(data)[at : at + size])
        at += size
    writer.close()
    assert file.getvalue() == encrypt(data)


@settings(max_examples=30)
@given(st.data())
def test_any_range(data: st.DataObject) -> None:
    plain = content(200_000)
    stream = reader(encrypt(plain), prefix=b"header")
    for _ in range(5):
        start = data.draw(st.integers(0, len(plain)))
        length = data.draw(st.integers(0, len(plain) - start))
        assert stream.read(start, length) == plain[start : start + length]


def test_ranges_outside() -> None:
    stream = reader(encrypt(b"abc"))
    for start, length in [(0, 4), (3, 1), (-1, 1), (1, -1), (4, 0)]:
        with pytest.raises(ValueError, match="range"):
            stream.read(start, length)


def test_many_chunks() -> None:
    for count in (257, 258):
        data = os.urandom(4096) * (count * 16 - 1)
        assert read(encrypt(data)) == data


def test_a_range_reads_its_own_chunks_and_the_last() -> None:
    payload = bytearray(encrypt(content(5 * CHUNK_BYTES)))
    payload[10] ^= 1
    payload[3 * SEALED_CHUNK_BYTES] ^= 1
    stream = reader(bytes(payload))
    assert stream.read(CHUNK_BYTES, 2 * CHUNK_BYTES) == content(5 * CHUNK_BYTES)[CHUNK_BYTES : 3 * CHUNK_BYTES]
    with pytest.raises(PayloadDamagedError, match="damaged at byte 0"):
        stream.read(0, 1)
    with pytest.raises(PayloadDamagedError, match=f"damaged at byte {3 * SEALED_CHUNK_BYTES}"):
        stream.read(4 * CHUNK_BYTES - 1, 1)
    assert [index for index, _ in stream.damaged_chunks()] == [0, 3]


FIRST, SECOND, THIRD = (content(3 * CHUNK_BYTES)[at : at + CHUNK_BYTES] for at in (0, CHUNK_BYTES, 2 * CHUNK_BYTES))
GOOD = by_hand((0, False, FIRST), (1, False, SECOND), (2, True, THIRD[:9]))
A, B, C = (
    GOOD[:SEALED_CHUNK_BYTES],
    GOOD[SEALED_CHUNK_BYTES : 2 * SEALED_CHUNK_BYTES],
    GOOD[2 * SEALED_CHUNK_BYTES :],
)


@pytest.mark.parametrize(
    ("name", "payload", "error", "sentence"),
    [
        ("nothing", b"", TruncatedError, "cut short"),
        ("no last chunk", A + B, TruncatedError, "cut short"),
        ("only the first", A, TruncatedError, "cut short"),
        ("tag cut", A + B + C[:-1], PayloadDamagedError, "cut short, or damaged in its last chunk"),
        ("a tag's worth", A + B + C[:16], TruncatedError, "cut short"),
        ("one byte of the last", A + B + C[:1], TruncatedError, "cut short"),
        ("chunk cut", A + B[:-1], PayloadDamagedError, "cut short, or damaged in its last chunk"),
        ("swapped", B + A + C, PayloadDamagedError, "damaged at byte 0"),
        ("first dropped", B + C, PayloadDamagedError, "damaged in its last"),
        ("second dropped", A + C, PayloadDamagedError, "damaged in its last"),
        ("duplicated", A + A + B + C, PayloadDamagedError, "damaged in its last"),
        ("last twice", A + B + C + C, PayloadDamagedError, "25 bytes after its end"),
        ("one byte after", GOOD + b"\n", PayloadDamagedError, "1 bytes after its end"),
        (
            "a chunk after a full last",
            by_hand((0, True, FIRST)) + bytes(90),
            PayloadDamagedError,
            "has bytes after its end, from byte 65552 on",
        ),
        ("full chunk after", by_hand((0, True, FIRST), (1, False, SECOND)), TruncatedError, "cut short"),
        ("empty last chunk", by_hand((0, False, FIRST), (1, True, b"")), TruncatedError, "cut short"),
        ("short middle", by_hand((0, False, FIRST[:-1]), (1, True, b"abc")), PayloadDamagedError, "damaged"),
        (
            "two last chunks",
            by_hand((0, True, FIRST), (1, True, SECOND)),
            PayloadDamagedError,
            "damaged at byte 0",
        ),
        (
            "last says not last",
            by_hand((0, False, FIRST), (1, False, b"abc")),
            PayloadDamagedError,
            "damaged",
        ),
        ("counter from 1", by_hand((1, False, FIRST), (2, True, b"abc")), PayloadDamagedError, "damaged"),
    ],
)
def test_refused(name: str, payload: bytes, error: type[BundleError], sentence: str) -> None:
    with pytest.raises(error, match=sentence) as caught:
        read(payload)
    assert type(caught.value) is error
    assert "x.ncv" in caught.value.message
    assert caught.value.hint
    assert list(reader(payload).damaged_chunks())


@pytest.mark.parametrize("edit", [lambda chunk: b"\x00" + chunk[1:], lambda chunk: chunk[:-1] + b"\x00"])
@pytest.mark.parametrize("index", [0, 1, 2])
def test_damage_names_its_byte(edit: Callable[[bytes], bytes], index: int) -> None:
    chunks = [A, B, C]
    chunks[index] = edit(chunks[index])
    with pytest.raises(PayloadDamagedError, match=f"byte {index * SEALED_CHUNK_BYTES}"):
        read(b"".join(chunks))
    assert [bad for bad, _ in reader(b"".join(chunks)).damaged_chunks()] == [index]


@pytest.mark.parametrize("payload", [A + B, A + B + C[:-1], GOOD + b"x"])
def test_nothing_is_read_before_the_end_is_verified(payload: bytes) -> None:
    """The first chunk is whole, but it must not be shown while the last is not."""
    with pytest.raises((TruncatedError, PayloadDamagedError)):
        reader(payload).read(0, 10)


def test_splice_from_another_key() -> None:
    other = ChaCha20Poly1305(bytes(32)).encrypt(chunk_nonce(1, final=False), SECOND, None)
    with pytest.raises(PayloadDamagedError, match=f"byte {SEALED_CHUNK_BYTES}"):
        read(A + other + C)
