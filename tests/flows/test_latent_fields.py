"""The lattice over a grid of blocks, and the coding of the integers on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuralcipher.coding.bits import AdaptiveSymbols, BitReader, BitWriter
from neuralcipher.coding.entropy import IntArray, MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.fields import (
    LARGEST,
    SIZES,
    SPREADS,
    between,
    code_integers,
    contexts,
    lattice,
)
from neuralcipher.flows.latent.model import TABLES

LIMIT = LARGEST
ROWS = TABLES[0][0]
GRIDS = [(h, w) for h in range(1, 41) for w in range(1, 41)]


@pytest.mark.parametrize("height", range(1, 41))
def test_every_cell_comes_once_and_after_its_neighbours(height: int) -> None:
    for width in range(1, 41):
        known = np.zeros(height * width, dtype=np.int64)
        known[0] = 1  # the corner
        for step in lattice(height, width):
            assert step.near.shape == (4, len(step.at))
            assert known[step.near].all(), (height, width)
            known[step.at] += 1
        assert (known == 1).all(), (height, width)


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(1, 40))
def test_neighbours_lie_at_most_two_half_strides_away(height: int, width: int) -> None:
    """So that the last passes, most of the grid, are predicted from next to them."""
    for step in lattice(height, width):
        y, x = np.divmod(step.at, width)
        b, a = np.divmod(step.near, width)
        far = np.maximum(abs(b - y), abs(a - x))
        assert far.min() >= 1
        if step.fine:
            assert far.max() == 1


def test_a_small_lattice_by_hand() -> None:
    """3x3: the corners of the whole grid, then its centre, then the middles of its edges."""
    passes = [sorted(step.at.tolist()) for step in lattice(3, 3)]
    assert passes == [[8], [2, 6], [4], [1, 3, 5, 7]]
    centre, edges = lattice(3, 3)[2:]
    assert sorted(centre.near[:, 0].tolist()) == [0, 2, 6, 8]
    assert [step.fine for step in lattice(3, 3)] == [False, False, True, True]
    at = edges.at.tolist().index(1)  # the middle of the top edge: left and right of it, and the centre below twice
    assert sorted(edges.near[:, at].tolist()) == [0, 2, 4, 4]


@given(st.lists(st.integers(-5000, 5000), min_size=4, max_size=4))
def test_between_is_the_mean_of_the_middle_two(values: list[int]) -> None:
    low, second, third, high = sorted(values)
    middle, spread = between(np.array(values)[:, None])
    assert (int(middle[0]), int(spread[0])) == ((second + third) // 2, high - low)


def test_contexts_of_different_kinds_are_apart() -> None:
    spreads = np.arange(200)
    found = [set(contexts(kind, fine, spreads).tolist()) for kind in range(7) for fine in (False, True)]
    assert all(len(some) == SPREADS for some in found)
    assert set().union(*found) == set(range(ROWS))


def model() -> AdaptiveSymbols:
    return AdaptiveSymbols(np.full((ROWS, SIZES), 2))


def code(batches: list[tuple[IntArray, IntArray]]) -> tuple[list[IntArray], list[IntArray]]:
    """(what was written, what was read) of (rows, values)."""
    encoder = MessageEncoder(full=True)
    writing, reading = model(), model()
    written, read = [], []
    for rows, values in batches:
        written.append(code_integers(BitWriter(encoder), writing, rows, values))
        writing.learn()
    reader = BitReader(MessageDecoder(encoder.to_bytes(), b"spare"))
    for rows, _ in batches:
        read.append(code_integers(reader, reading, rows, None))
        reading.learn()
    assert np.array_equal(writing.counts, reading.counts)
    return written, read


pairs = st.lists(st.tuples(st.integers(0, ROWS - 1), st.integers(-LIMIT, LIMIT) | st.integers(-3, 3)), max_size=40)


@settings(max_examples=80)
@given(st.lists(pairs, max_size=4))
@example([[(0, LIMIT), (ROWS - 1, -LIMIT)]])
@example([[(0, 0)], [(1, 1)]])
def test_integers_come_back(batches: list[list[tuple[int, int]]]) -> None:
    asked = [(a[:, 0], a[:, 1]) for a in (np.array(batch, dtype=np.int64).reshape(-1, 2) for batch in batches)]
    written, read = code(asked)
    for (_, values), one, other in zip(asked, written, read, strict=True):
        assert np.array_equal(one, values)
        assert np.array_equal(other, values)


def test_every_integer_comes_back() -> None:
    values = np.arange(-LIMIT, LIMIT + 1)
    written, read = code([(values % ROWS, values)])
    assert np.array_equal(written[0], values)
    assert np.array_equal(read[0], values)


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20))
def test_integers_out_of_range_are_clipped_and_the_writer_knows(values: list[int]) -> None:
    written, read = code([(np.zeros(len(values), dtype=np.int64), np.array(values))])
    assert written[0].tolist() == [max(-LIMIT, min(LIMIT, value)) for value in values]
    assert np.array_equal(read[0], written[0])


@settings(max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 2**32 - 1))
def test_any_bytes_are_integers_in_range(data: bytes, seed: int) -> None:
    rows = np.random.default_rng(seed).integers(0, ROWS, 60)
    found = code_integers(BitReader(MessageDecoder(data)), model(), rows, None)
    assert np.abs(found).max() <= LIMIT


class Counter:
    """A channel that counts plain bits, and remembers symbols."""

    def __init__(self) -> None:
        self.bits = 0
        self.symbols: list[int] = []

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        assert bits is not None
        assert (probabilities == 1 << 15).all()
        self.bits += len(bits)
        return bits

    def code_symbols(self, contexts: IntArray, tables: IntArray, symbols: IntArray | None) -> IntArray:
        assert symbols is not None
        self.symbols += symbols.tolist()
        return symbols


@pytest.mark.parametrize(
    ("value", "symbol", "bits"),
    [(0, 0, 0), (1, 1, 1), (-1, 1, 1), (2, 2, 1), (3, 3, 1), (-4, 4, 2), (6, 5, 2), (1023, 19, 9), (-4095, 23, 11)],
)
def test_an_integer_is_the_half_of_its_octave_then_plain_bits(value: int, symbol: int, bits: int) -> None:
    channel = Counter()
    code_integers(channel, model(), np.zeros(1, dtype=np.int64), np.array([value]))
    assert (channel.symbols, channel.bits) == ([symbol], bits)


def test_what_is_coded_often_gets_cheap() -> None:
    encoder = MessageEncoder(full=True)
    bits = model()
    for _ in range(100):
        code_integers(BitWriter(encoder), bits, np.zeros(64, dtype=np.int64), np.zeros(64, dtype=np.int64))
        bits.learn()
    assert len(encoder.to_bytes()) < 8 + 64  # 6400 zeros, of which the first 64 take 37 bytes
