"""Decisions with integer probabilities: coded by `coding.entropy`, predicted by counts or integer logits.

Probabilities are integers in units of 2**-16 of a 1. Everything that leads to one is integer arithmetic, or float64
arithmetic on integers below 2**53, so that every machine finds the same one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.entropy import ONE, IntArray, MessageDecoder, MessageEncoder

LOGIT_SCALE = 256  # logits are integers in units of 1/256 nat
LOGIT_LIMIT = 2047
_MOST_COUNTS = 255
_COUNT_SCALE = 1 << 12
_LEAST = 1 << 6  # of a count: no symbol becomes impossible, or so likely that many of them cost nothing


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
    table: IntArray = probability_table().take(logits + LOGIT_LIMIT, mode="clip")
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
    """One way of coding for both directions: a writer is given what to code and returns it, a reader finds it."""

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        """Code bits (n,) with P(1) = probabilities (n,) in 2**-16; returns the bits. A reader ignores `bits`."""
        ...

    def code_symbols(self, contexts: IntArray, tables: IntArray, symbols: IntArray | None) -> IntArray:
        """Code symbols (n,), each with the row tables[context] of integer counts (contexts, alphabet); returns them."""
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

    def code_symbols(self, contexts: IntArray, tables: IntArray, symbols: IntArray | None) -> IntArray:
        if symbols is None:
            raise ValueError("a writer needs the symbols")
        self._encoder.add(contexts, symbols, tables)
        return symbols


class BitReader:
    """A channel out of a message."""

    def __init__(self, decoder: MessageDecoder) -> None:
        self._decoder = decoder

    def code(self, probabilities: IntArray, bits: IntArray | None) -> IntArray:
        return self._decoder.read_bits(probabilities)

    def code_symbols(self, contexts: IntArray, tables: IntArray, symbols: IntArray | None) -> IntArray:
        return self._decoder.read(contexts, tables)


def code_plain(channel: BitChannel, widths: IntArray, values: IntArray | None) -> IntArray:
    """Code values (n,) of widths (n,) >= 1 bits each, all of them as likely; returns the values."""
    starts = np.cumsum(widths) - widths
    place = np.arange(int(widths.sum())) - np.repeat(starts, widths)
    given = None if values is None else np.repeat(values, widths) >> place & 1
    bits = channel.code(even(len(place)), given)
    found: IntArray = np.add.reduceat(bits << place, starts) if len(starts) else np.zeros(0, dtype=np.int64)
    return found


class AdaptiveSymbols:
    """Counts of symbols per context that learn from what was coded, the same way on both sides.

    prior: (contexts, alphabet) counts, all >= 1. A row of more than 255 counts is scaled down, to follow the video.
    """

    def __init__(self, prior: IntArray) -> None:
        self.counts = prior.astype(np.int64) * _COUNT_SCALE
        self._coded: list[IntArray] = []

    def code(self, channel: BitChannel, contexts: IntArray, symbols: IntArray | None) -> IntArray:
        """Code symbols (n,) under contexts (n,); returns them. They count once `learn` is called."""
        if not contexts.size:
            return np.zeros(0, dtype=np.int64)
        coded = channel.code_symbols(contexts, self.counts, symbols)
        self._coded.append(contexts * self.counts.shape[1] + coded)
        return coded

    def learn(self) -> None:
        """Count what was coded since the last call."""
        if not self._coded:
            return
        seen = np.bincount(np.concatenate(self._coded), minlength=self.counts.size)
        self._coded.clear()
        seen *= _COUNT_SCALE
        self.counts += seen.reshape(self.counts.shape)
        total = self.counts.sum(axis=1)
        most = _MOST_COUNTS * _COUNT_SCALE
        full = np.flatnonzero(total > most)
        if full.size:
            self.counts[full] = np.maximum(self.counts[full] * most // total[full, None], _LEAST)
