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
    AdaptiveBias,
    AdaptiveBits,
    BitReader,
    BitWriter,
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


@settings(deadline=None)
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


@settings(deadline=None)
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


def test_a_writer_needs_the_bits() -> None:
    with pytest.raises(ValueError, match="needs the bits"):
        BitWriter(MessageEncoder()).code(np.array([ONE // 2]), None)


@settings(deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.lists(st.integers(0, 120), max_size=6))
def test_adaptive_bits_come_back_and_both_sides_learn_the_same(seed: int, contexts: int, sizes: list[int]) -> None:
    draw = np.random.default_rng(seed)
    prior = draw.integers(1, 256, (contexts, 2))
    batches = [(draw.integers(0, contexts, size), (draw.random(size) < 0.9).astype(np.int64)) for size in sizes]
    encoder = MessageEncoder()
    writing, reading = AdaptiveBits(prior), AdaptiveBits(prior)
    for where, what in batches:
        assert np.array_equal(writing.code(BitWriter(encoder), where, what), what)
    reader = BitReader(MessageDecoder(encoder.to_bytes()))
    for where, what in batches:
        assert np.array_equal(reading.code(reader, where, None), what)
    assert np.array_equal(writing.counts, reading.counts)
    assert (writing.counts >= 1).all()


def test_counts_give_probabilities_by_hand() -> None:
    bits = AdaptiveBits(np.array([[1, 3], [1, 1], [255, 1]]))
    assert bits.probabilities(np.array([0, 1, 2])).tolist() == [ONE * 3 // 4, ONE // 2, ONE // 256]
    bits.update(np.array([0, 0, 1]), np.array([0, 0, 1]))  # now 3:3 and 1:2
    assert bits.probabilities(np.array([0, 1, 2])).tolist() == [ONE // 2, ONE * 2 // 3, ONE // 256]
    bits.update(np.array([2, 2]), np.array([1, 1]))  # 255:3, above 255 in all, becomes 127.5:1.5
    assert abs(int(bits.probabilities(np.array([2]))[0]) - ONE * 3 / 258) < 1
    assert int(bits.counts[2].sum()) == pytest.approx(129 * 4096, abs=2)


def test_a_long_run_leaves_the_other_bit_possible() -> None:
    bits = AdaptiveBits(np.array([[1, 1]]))
    for _ in range(200):
        bits.update(np.zeros(100, dtype=np.int64), np.zeros(100, dtype=np.int64))
    assert int(bits.probabilities(np.zeros(1, dtype=np.int64))[0]) == 64


def test_a_bias_follows_the_error_by_hand() -> None:
    # Class 0: two ones at P = 1/2, an error of 2 * 2**15; class 1: a zero at P = 1/4; class 2: nothing.
    bias = AdaptiveBias(np.zeros(3, dtype=np.int64), weight=1)
    bias.update(np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([ONE // 2, ONE // 2, ONE // 4]))
    assert bias.values.tolist() == [6 * 256 // 3, -(6 * 256 // 4 // 2), 0]


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 400))
def test_a_bias_stays_within_the_logits_and_approaches_the_truth(seed: int, weight: int) -> None:
    draw = np.random.default_rng(seed)
    share = draw.uniform(0.02, 0.98)
    bias = AdaptiveBias(np.zeros(1, dtype=np.int64), weight + 1)
    where = np.zeros(500, dtype=np.int64)
    for _ in range(40):
        bits = (draw.random(500) < share).astype(np.int64)
        bias.update(where, bits, probabilities(np.broadcast_to(bias.values, where.shape)))
        assert abs(int(bias.values[0])) <= LOGIT_LIMIT
    truth = LOGIT_SCALE * math.log(share / (1 - share))
    assert abs(int(bias.values[0]) - truth) < 256


def test_likely_bits_cost_what_they_should() -> None:
    encoder = MessageEncoder()
    BitWriter(encoder).code(np.full(4096, ONE // 16), (np.arange(4096) % 16 == 0).astype(np.int64))
    entropy_bytes = 4096 * (-math.log2(1 / 16) / 16 - 15 / 16 * math.log2(15 / 16)) / 8
    assert entropy_bytes <= len(encoder.to_bytes()) < entropy_bytes + 8
