"""The coded bytes are a format: checked against a coder written out in plain integers, and by hand."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.binary import FieldReader, pack_block, pack_varint
from neuralcipher.coding.entropy import MessageDecoder, MessageEncoder
from neuralcipher.coding.weights import (
    MAX_WEIGHTS,
    quantise_through,
    step_exponent,
    step_size,
    weights_from_bytes,
    weights_to_bytes,
)
from neuralcipher.errors import LimitError, NeuralCipherError, PayloadDamagedError

PRECISION = 24


def left_edges(counts: list[int]) -> list[int]:
    """Quantised cumulative distribution: every symbol keeps 1 of 2**24 and shares the rest in proportion.

    The quotients are taken in double precision, which IEEE 754 fixes.
    """
    free, edges, cumulative = float((1 << PRECISION) - len(counts)), [0], 0.0
    probabilities = np.array(counts) / np.array(counts).sum()
    scale = free / sum(probabilities.tolist())
    for index, probability in enumerate(probabilities.tolist()[:-1]):
        cumulative += probability
        edges.append(int(cumulative * scale) + index + 1)
    return [*edges, 1 << PRECISION]


FULL_STATE = 0x7F4A7C15_9E3779B9  # what a message begins with that may be read past its end


def ans_encode(symbols: list[tuple[list[int], int]], state: int = 0) -> bytes:
    """Asymmetric numeral systems (Duda, 2013, rANS): 64-bit state, 32-bit words, last symbol first."""
    words = []
    for edges, symbol in reversed(symbols):
        left, probability = edges[symbol], edges[symbol + 1] - edges[symbol]
        if state >> (64 - PRECISION) >= probability:
            words.append(state & 0xFFFFFFFF)
            state >>= 32
        state = (state // probability << PRECISION) | (left + state % probability)
    while state:
        words.append(state & 0xFFFFFFFF)
        state >>= 32
    return b"".join(word.to_bytes(4, "little") for word in words)


def test_two_escapes_by_hand() -> None:
    # 16 of 24 bits are the value, so a symbol v covers 256 v .. 256 v + 255. Last first: 3 gives the state 3 * 256;
    # then 5 gives (768 // 256) * 2**24 + 5 * 256 + 768 % 256 = 0x03000500, stored as one little-endian word.
    encoder = MessageEncoder()
    encoder.add_escapes(np.array([5, 3]))
    assert encoder.to_bytes() == bytes.fromhex("00050003")
    assert MessageDecoder(bytes.fromhex("00050003")).read_escapes(2).tolist() == [5, 3]


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, 1 << 17), min_size=2, max_size=12), min_size=1, max_size=1),
    st.data(),
)
def test_messages_are_what_the_written_out_coder_makes(tables: list[list[int]], data: st.DataObject) -> None:
    table = tables[0]
    symbols = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=60))
    escapes = data.draw(st.lists(st.integers(0, 0xFFFF), max_size=5))
    encoder = MessageEncoder()
    encoder.add(np.zeros(len(symbols), dtype=np.int64), np.array(symbols, dtype=np.int64), np.array([table]))
    encoder.add_escapes(np.array(escapes, dtype=np.int64))
    plain = [256 * value for value in range(0x10001)]
    expected = [(left_edges(table), symbol) for symbol in symbols] + [(plain, value) for value in escapes]
    assert encoder.to_bytes() == ans_encode(expected)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 0xFFFF), st.integers(0, 1)), max_size=80), st.booleans())
def test_bits_are_what_the_written_out_coder_makes(bits: list[tuple[int, int]], full: bool) -> None:
    """A bit with P(1) = p / 2**16 is a symbol of two with 2**24 - 2**8 p and 2**8 p of the 2**24, up to rounding."""
    encoder = MessageEncoder(full=full)
    asked = np.array(bits, dtype=np.int64).reshape(-1, 2)
    encoder.add_bits(asked[:, 1], asked[:, 0])
    expected = [(left_edges([0x10000 - p, p]), bit) for p, bit in bits]
    assert all(abs(edges[1] - 256 * (0x10000 - p)) <= 1 for (edges, _), (p, _) in zip(expected, bits, strict=True))
    assert encoder.to_bytes() == ans_encode(expected, FULL_STATE if full else 0)


def test_one_bit_behind_a_full_state_by_hand() -> None:
    # P(1) = 1/2. The two symbols share 2**24 - 2 in halves and get one each: a 1 covers 2**23 .. 2**24 - 1. The state
    # 7f4a7c15 9e3779b9 is below 2**40 * 2**23, so no word goes out. Its low 23 bits are 3779b9, what is above them is
    # fe94f82b3c: the new state is fe94f82b3c * 2**24 + 2**23 + 3779b9 = fe94f82b 3cb779b9, low word first.
    encoder = MessageEncoder(full=True)
    encoder.add_bits(np.array([1]), np.array([1 << 15]))
    assert encoder.to_bytes() == bytes.fromhex("b979b73c2bf894fe")
    for spare in (b"", b"spare bytes of any kind."):
        assert MessageDecoder(encoder.to_bytes(), spare).read_bits(np.array([1 << 15])).tolist() == [1]


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 0xFFFF), st.integers(0, 1)), max_size=80), st.binary(max_size=50))
def test_a_full_message_decodes_the_same_before_any_spare_bytes(bits: list[tuple[int, int]], spare: bytes) -> None:
    asked = np.array(bits, dtype=np.int64).reshape(-1, 2)
    escapes = np.arange(len(bits)) * 7919 % 65536
    tables = np.array([[1, 7, 2], [100, 1, 1]])
    symbols = np.arange(len(bits)) % 3
    encoder = MessageEncoder(full=True)
    encoder.add_bits(asked[:, 1], asked[:, 0])
    encoder.add(asked[:, 1], symbols, tables)
    encoder.add_escapes(escapes)
    decoder = MessageDecoder(encoder.to_bytes(), spare)
    assert np.array_equal(decoder.read_bits(asked[:, 0]), asked[:, 1])
    assert np.array_equal(decoder.read(asked[:, 1], tables), symbols)
    assert np.array_equal(decoder.read_escapes(len(bits)), escapes)


def test_every_symbol_is_coded_with_the_table_of_its_context() -> None:
    tables = np.array([[3, 1], [1, 7]])
    encoder = MessageEncoder()
    encoder.add(np.array([1, 0, 1, 0]), np.array([0, 1, 1, 0]), tables)
    edges = [left_edges(row) for row in tables.tolist()]
    in_order = [(edges[1], 0), (edges[0], 1), (edges[1], 1), (edges[0], 0)]
    assert encoder.to_bytes() == ans_encode(in_order)


@settings(max_examples=60)
@given(st.binary(max_size=120), st.integers(0, 6), st.integers(0, 2**32 - 1))
def test_any_bytes_decode_within_the_alphabet(data: bytes, zeros: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    alphabet = int(draw.integers(2, 40))
    tables = draw.integers(1, 1 << 17, (5, alphabet))
    decoder = MessageDecoder(data + bytes(zeros))
    for _ in range(3):
        symbols = decoder.read(draw.integers(0, 5, 50), tables)
        assert symbols.min() >= 0
        assert symbols.max() < alphabet
        assert set(decoder.read_bits(draw.integers(1, 0x10000, 50)).tolist()) <= {0, 1}
        escapes = decoder.read_escapes(7)
        assert escapes.min() >= 0
        assert escapes.max() <= 0xFFFF


def test_a_likely_symbol_costs_little_and_an_unlikely_one_much() -> None:
    tables = np.array([[1023, 1]])
    where = np.zeros(1000, dtype=np.int64)
    sizes = []
    for symbol in (0, 1):
        encoder = MessageEncoder()
        encoder.add(where, np.full(1000, symbol), tables)
        sizes.append(len(encoder.to_bytes()))
    assert sizes[0] <= 4  # 1000 * log2(1024 / 1023) = 1.4 bits
    assert 1240 <= sizes[1] <= 1260  # 1000 * 10 bits


fields = st.one_of(
    st.tuples(st.just("u8"), st.integers(0, 0xFF)),
    st.tuples(st.just("u16"), st.integers(0, 0xFFFF)),
    st.tuples(st.just("u32"), st.integers(0, 0xFFFFFFFF)),
    st.tuples(st.just("varint"), st.integers(0, 2**62)),
    st.tuples(st.just("block"), st.binary(max_size=30)),
)


def pack_field(kind: str, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return pack_block(value)
    if kind == "varint":
        return pack_varint(value)
    return value.to_bytes({"u8": 1, "u16": 2, "u32": 4}[kind], "little")


def read_field(reader: FieldReader, kind: str) -> int | bytes:
    if kind == "block":
        return reader.block(30)
    if kind == "varint":
        return reader.varint(2**62)
    value: int = getattr(reader, kind)()
    return value


@given(st.lists(fields, min_size=1), st.data())
def test_fields_come_back_and_every_cut_is_noticed(script: list[tuple[str, int | bytes]], data: st.DataObject) -> None:
    packed = b"".join(pack_field(kind, value) for kind, value in script)
    reader = FieldReader(packed, "test")
    assert [read_field(reader, kind) for kind, _ in script] == [value for _, value in script]
    reader.finish()
    cut = FieldReader(packed[: data.draw(st.integers(0, len(packed) - 1))], "test section")
    with pytest.raises(PayloadDamagedError, match=r"test section ends too early"):
        for kind, _ in script:
            read_field(cut, kind)


@pytest.mark.parametrize(("value", "packed"), [(0, "00"), (127, "7f"), (128, "8001"), (624485, "e58e26")])
def test_varints_are_leb128(value: int, packed: str) -> None:
    """624485 is the example of the DWARF standard's appendix on LEB128."""
    assert pack_varint(value) == bytes.fromhex(packed)
    assert FieldReader(bytes.fromhex(packed), "test").varint(2**20) == value


def test_limits_hold_before_anything_is_allocated() -> None:
    tracemalloc.start()
    with pytest.raises(LimitError, match="outside"):
        weights_from_bytes(FieldReader(b"", "test"), [(MAX_WEIGHTS, 2)])
    with pytest.raises(PayloadDamagedError):
        FieldReader(b"\xff\xff\xff\xff", "test").block(0xFFFFFFFF)
    with pytest.raises(PayloadDamagedError):
        FieldReader(b"", "test").take(-1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("bits", range(2, 9))
def test_weights_on_their_grid_come_back_exactly(bits: int) -> None:
    levels = 2 ** (bits - 1) - 1
    tensor = torch.linspace(-1, 1, 2 * levels + 1)
    exponent = step_exponent(tensor, bits)
    on_grid = quantise_through(tensor, exponent)
    assert int((on_grid / step_size(exponent)).round().abs().max()) <= levels
    reader = FieldReader(weights_to_bytes([on_grid], [exponent]), "test")
    (back,) = weights_from_bytes(reader, [(2 * levels + 1,)])
    reader.finish()
    torch.testing.assert_close(back, on_grid, rtol=1e-6, atol=0)


@pytest.mark.parametrize("tensor", [torch.zeros(3, 4), torch.zeros(0), torch.zeros(1), torch.tensor([0.0, 1e-30])])
def test_weights_of_nothing(tensor: torch.Tensor) -> None:
    reader = FieldReader(weights_to_bytes([tensor], [step_exponent(tensor, 8)]), "test")
    (back,) = weights_from_bytes(reader, [tuple(tensor.shape)])
    reader.finish()
    assert torch.equal(back, torch.zeros_like(tensor))


def test_weights_beyond_127_levels_are_clipped() -> None:
    (back,) = weights_from_bytes(FieldReader(weights_to_bytes([torch.tensor([1e9, -1e9, 2.0])], [0]), "test"), [(3,)])
    assert back.tolist() == [127.0, -127.0, 2.0]


def test_gaussian_weights_take_less_than_their_bits() -> None:
    weights = torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    size = len(weights_to_bytes([weights], [step_exponent(weights, 6)]))
    step = step_size(step_exponent(weights, 6))
    entropy_bits = math.log2(math.sqrt(2 * math.pi * math.e) / step)  # of a quantised unit Gaussian
    assert size * 8 / len(weights) < min(6.0, entropy_bits * 1.1)


@settings(max_examples=60)
@given(st.data())
def test_damaged_weights_are_refused_or_finite(data: st.DataObject) -> None:
    packed = bytearray(weights_to_bytes([torch.linspace(-2, 3, 40), torch.zeros(5)], [-20, -128]))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        tensors = weights_from_bytes(FieldReader(bytes(packed), "test"), [(40,), (5,)])
    except NeuralCipherError:
        return
    assert [tuple(tensor.shape) for tensor in tensors] == [(40,), (5,)]
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
