"""Binary decisions: their probabilities against the logistic function, and every bit comes back."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.bits import (
    LOGIT_LIMIT,
    LOGIT_SCALE,
    ONE,
    AdaptiveSymbols,
    BitReader,
    BitWriter,
    code_plain,
    cost_bits,
    probabilities,
    probability_table,
)
from neuralcipher.coding.entropy import MessageDecoder, MessageEncoder

LOGITS = np.arange(-LOGIT_LIMIT, LOGIT_LIMIT + 1)
LEAST = 24  # a probability never comes nearer to 0 or 1 than this


def test_probabilities_are_the_logistic_function() -> None:
    getcontext().prec = 40
    for logit, found in zip(LOGITS.tolist(), probability_table().tolist(), strict=True):
        exact = ONE / (1 + (Decimal(-logit) / LOGIT_SCALE).exp())
        assert abs(found - min(max(exact, Decimal(LEAST)), Decimal(ONE - LEAST))) < 1


def test_probabilities_are_monotone_symmetric_and_never_certain() -> None:
    table = probability_table()
    assert table.dtype == np.int64
    assert len(table) == len(LOGITS)
    assert (np.diff(table) >= 0).all()
    assert (table + table[::-1] == ONE).all()
    assert table.min() == LEAST
    assert table.max() == ONE - LEAST


@given(st.lists(st.integers(-(2**40), 2**40), min_size=1))
def test_logits_out_of_range_are_clipped(logits: list[int]) -> None:
    clipped = [max(-LOGIT_LIMIT, min(LOGIT_LIMIT, logit)) for logit in logits]
    assert probabilities(np.array(logits)).tolist() == [int(probability_table()[c + LOGIT_LIMIT]) for c in clipped]


def test_costs_are_the_code_lengths_of_the_probabilities() -> None:
    zero, one = cost_bits(LOGITS)
    p = probability_table() / ONE
    np.testing.assert_allclose(zero, -np.log2(1 - p), rtol=1e-6)
    np.testing.assert_allclose(one, -np.log2(p), rtol=1e-6)


decisions = st.lists(st.tuples(st.integers(1, ONE - 1), st.integers(0, 1)), max_size=200)


@given(st.lists(decisions, max_size=4), st.booleans(), st.binary(max_size=40))
def test_bits_come_back(batches: list[list[tuple[int, int]]], full: bool, spare: bytes) -> None:
    encoder = MessageEncoder(full=full)
    writer = BitWriter(encoder)
    asked = [np.array(batch, dtype=np.int64).reshape(-1, 2) for batch in batches]
    for batch in asked:
        assert np.array_equal(writer.code(batch[:, 0], batch[:, 1]), batch[:, 1])
    reader = BitReader(MessageDecoder(encoder.to_bytes(), spare if full else b""))
    for batch in asked:
        assert np.array_equal(reader.code(batch[:, 0], None), batch[:, 1])


def test_a_writer_needs_what_it_writes() -> None:
    with pytest.raises(ValueError, match="needs the bits"):
        BitWriter(MessageEncoder()).code(np.array([ONE // 2]), None)
    with pytest.raises(ValueError, match="needs the symbols"):
        BitWriter(MessageEncoder()).code_symbols(np.array([0]), np.array([[1, 1]]), None)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_bytes_are_bits(data: bytes, spare: bytes) -> None:
    p = np.random.default_rng(1).integers(1, ONE, 300)
    assert set(BitReader(MessageDecoder(data, spare)).code(p, None).tolist()) <= {0, 1}


def test_what_is_read_past_the_end_are_the_spare_bytes() -> None:
    """Without them a wrong key would see every picture turn blank where the message ends."""
    draw = np.random.default_rng(3)
    encoder = MessageEncoder(full=True)
    message = draw.integers(0, 2, 64)
    half = np.full(64, ONE // 2)
    BitWriter(encoder).code(half, message)
    spare = draw.bytes(400)
    found = []
    for behind in (spare, draw.bytes(400)):
        reader = BitReader(MessageDecoder(encoder.to_bytes(), behind))
        assert np.array_equal(reader.code(half, None), message)
        found.append(np.concatenate([reader.code(half, None) for _ in range(50)]))  # 3200 bits, 400 bytes
    assert abs(found[0].mean() - 0.5) < 0.05
    assert (found[0][64:] != found[1][64:]).mean() > 0.4  # the first 64 bits are the state that both began with
    assert abs(found[0][-640:].mean() - 0.5) < 0.1


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 24), st.lists(st.integers(0, 120), max_size=6))
def test_adaptive_symbols_come_back_and_both_sides_learn_the_same(
    seed: int, contexts: int, alphabet: int, sizes: list[int]
) -> None:
    draw = np.random.default_rng(seed)
    prior = draw.integers(1, 256, (contexts, alphabet))
    batches = [(draw.integers(0, contexts, size), draw.integers(0, alphabet, size)) for size in sizes]
    encoder = MessageEncoder()
    writing, reading = AdaptiveSymbols(prior), AdaptiveSymbols(prior)
    for where, what in batches:
        assert np.array_equal(writing.code(BitWriter(encoder), where, what), what)
        writing.learn()
    reader = BitReader(MessageDecoder(encoder.to_bytes()))
    for where, what in batches:
        assert np.array_equal(reading.code(reader, where, None), what)
        reading.learn()
    assert np.array_equal(writing.counts, reading.counts)
    assert (writing.counts >= 1).all()


def test_symbols_are_counted_by_hand() -> None:
    symbols = AdaptiveSymbols(np.array([[1, 3, 1], [1, 1, 1], [253, 1, 1]]))
    writer = BitWriter(MessageEncoder())
    symbols.code(writer, np.array([0, 0, 1, 2, 2]), np.array([0, 2, 1, 1, 1]))
    assert (symbols.counts[0] == 4096 * np.array([1, 3, 1])).all()  # not learned yet
    symbols.learn()
    assert symbols.counts[0].tolist() == [2 * 4096, 3 * 4096, 2 * 4096]
    assert symbols.counts[1].tolist() == [4096, 2 * 4096, 4096]
    # 253:3:1, above 255 in all, is scaled down to 255
    assert symbols.counts[2].tolist() == [count * 4096 * 255 // 257 for count in (253, 3, 1)]
    before = symbols.counts.copy()
    symbols.learn()
    assert np.array_equal(symbols.counts, before)


def test_a_long_run_leaves_other_symbols_possible() -> None:
    symbols = AdaptiveSymbols(np.array([[1, 1, 1]]))
    for _ in range(200):
        symbols.code(BitWriter(MessageEncoder()), np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64))
        symbols.learn()
    assert symbols.counts[0, 1:].tolist() == [64, 64]  # of 255 * 4096
    encoder = MessageEncoder()
    symbols.code(BitWriter(encoder), np.zeros(1, dtype=np.int64), np.array([2]))
    reader = BitReader(MessageDecoder(encoder.to_bytes()))
    assert reader.code_symbols(np.zeros(1, dtype=np.int64), symbols.counts, None).tolist() == [2]


@given(st.lists(st.tuples(st.integers(1, 14), st.integers(0, 2**14 - 1)), max_size=40))
def test_plain_bits_come_back(asked: list[tuple[int, int]]) -> None:
    widths = np.array([width for width, _ in asked], dtype=np.int64)
    values = np.array([value % (1 << width) for width, value in asked], dtype=np.int64)
    encoder = MessageEncoder()
    assert np.array_equal(code_plain(BitWriter(encoder), widths, values), values)
    assert np.array_equal(code_plain(BitReader(MessageDecoder(encoder.to_bytes())), widths, None), values)
    assert abs(8 * len(encoder.to_bytes()) - widths.sum()) <= 64


def test_likely_bits_cost_what_they_should() -> None:
    encoder = MessageEncoder()
    BitWriter(encoder).code(np.full(4096, ONE // 16), (np.arange(4096) % 16 == 0).astype(np.int64))
    entropy_bytes = 4096 * (-math.log2(1 / 16) / 16 - 15 / 16 * math.log2(15 / 16)) / 8
    assert entropy_bytes <= len(encoder.to_bytes()) < entropy_bytes + 8
