"""Binary decisions with integer probabilities: coded by `coding.entropy`, predicted by counts or integer logits.

Probabilities are integers in units of 2**-16 of a 1. Everything that leads to one is integer arithmetic, or float64
arithmetic on integers below 2**53, so that every machine finds the same one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.entropy import ONE, IntArray, MessageDecoder, MessageEncoder

LOGIT_SCALE = 256  # logits are integers in units of 1/256 nat
LOGIT_LIMIT = 2047
_HALVE_AT = 255
_COUNT_SCALE = 1 << 12


@lru_cache(maxsize=1)
def probability_table() -> IntArray:
    """P(1) in 2**-16 for the logits -2047..2047 (row 0 is -2047), by integer arithmetic alone.

    exp(1/256) is taken as the ratio of two integers and its powers are rounded to 60 fractional bits.
    """
    bits = 60
    # exp(1/256) * 2**60, from its Taylor series in exact integers
    ratio, term = 1 << bits, 1 << bits
    for k in range(1, 12):
        term = term // (LOGIT_SCALE * k)
        ratio += term
    power, upper = 1 << bits, []
    for _ in range(LOGIT_LIMIT + 1):
        upper.append(ONE * power // (power + (1 << bits)))
        power = power * ratio >> bits
    limit = ONE - 24
    upper = [min(limit, value) for value in upper]
    return np.array([ONE - value for value in upper[:0:-1]] + upper, dtype=np.int64)


def probabilities(logits: IntArray) -> IntArray:
    """P(1) in 2**-16 of integer logits; beyond +-2047 they are clipped."""
    table: IntArray = probability_table()[_place(logits)]
    return table


def _place(logits: IntArray) -> IntArray:
    return np.minimum(np.maximum(logits, -LOGIT_LIMIT), LOGIT_LIMIT) + LOGIT_LIMIT


def cost_bits(logits: IntArray) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Code length of a 0 and of a 1 under integer logits, in bits; for the encoder's choices only."""
    zero, one = _cost_table()
    index = _place(logits)
    return zero[index], one[index]


@lru_cache(maxsize=1)
def _cost_table() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    p = probability_table() / ONE
    return (-np.log2(1 - p)).astype(np.float32), (-np.log2(p)).astype(np.float32)


def even(count: int) -> IntArray:
    """Probabilities of `count` bits that are as likely 0 as 1."""
    return np.full(count, ONE // 2, dtype=np.int64)


class BitChannel(Protocol):
    """One way of coding for both directions: a writer is given the bits and returns them, a reader finds them."""

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        """Code bits (n,) with P(1) = probabilities (n,) in 2**-16; returns the bits. A reader ignores `bits`."""
        ...


class BitWriter:
    """A channel into a message."""

    def __init__(self, encoder: MessageEncoder) -> None:
        self._encoder = encoder

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        if bits is None:
            raise ValueError("a writer needs the bits")
        self._encoder.add_bits(bits, probabilities)
        return bits


class BitReader:
    """A channel out of a message."""

    def __init__(self, decoder: MessageDecoder) -> None:
        self._decoder = decoder

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        return self._decoder.read_bits(probabilities)


class AdaptiveBits:
    """Counts of zeros and ones per context that learn from what was coded, the same way on both sides.

    prior: (contexts, 2) counts, all >= 1. A row whose total passes 255 counts is halved, to follow the video.
    """

    def __init__(self, prior: IntArray) -> None:
        self.counts = prior.astype(np.int64) * _COUNT_SCALE

    def probabilities(self, contexts: IntArray) -> IntArray:
        """P(1) in 2**-16 for contexts (n,)."""
        row = self.counts[contexts]
        return np.minimum(np.maximum(row[:, 1] * ONE // (row[:, 0] + row[:, 1]), 64), ONE - 64)

    def update(self, contexts: IntArray, bits: IntArray) -> None:
        """Count bits (n,) under contexts (n,)."""
        np.add.at(self.counts, (contexts, bits), _COUNT_SCALE)
        full = contexts[self.counts[contexts].sum(axis=1) > _HALVE_AT * _COUNT_SCALE]
        if full.size:
            full = np.unique(full)
            self.counts[full] = self.counts[full] // 2 + 1

    def code(self, channel: BitChannel, contexts: IntArray, bits: IntArray | None) -> IntArray:
        """Code bits (n,) under contexts (n,) through a channel, then learn from them; returns the bits."""
        if not contexts.size:
            return np.zeros(0, dtype=np.int64)
        coded = channel.code(self.probabilities(contexts), bits)
        self.update(contexts, coded)
        return coded


@dataclass(slots=True)
class AdaptiveBias:
    """An offset per class that is added to logits and follows the errors made, by integer gradient steps.

    values: (classes,) logits in 1/256. weight: how many symbols the prior knowledge is worth.
    """

    values: IntArray
    weight: int = 400

    def update(self, classes: IntArray, bits: IntArray, predicted: IntArray) -> None:
        """Learn from bits (n,) that were predicted with P(1) = predicted (n,) in 2**-16, under classes (n,)."""
        error, count = np.zeros_like(self.values), np.zeros_like(self.values)
        np.add.at(error, classes, bits * ONE - predicted)
        np.add.at(count, classes, 1)
        # the slope of the logistic function is at most 1/4: a full Newton step would be 4 or more times the error
        step = 6 * LOGIT_SCALE * error // (ONE * (count + self.weight))
        self.values = np.minimum(np.maximum(self.values + step, -LOGIT_LIMIT), LOGIT_LIMIT)
