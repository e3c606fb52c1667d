"""Entropy coding with probabilities that come from integer counts alone.

The coder is asymmetric numeral systems (Duda, 2013) from `constriction`. Two properties matter here. Any bytes at
all decode to some symbols, so a wrong key yields samples of the model instead of an error (as in honey encryption,
Juels and Ristenpart, 2014). And no floating-point function takes part: a probability is a quotient of two integers,
which IEEE 754 rounds the same everywhere, so that bundles open on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_Categorical = constriction.stream.model.Categorical
_Uniform = constriction.stream.model.Uniform
ESCAPE_RANGE = 1 << 16


def _models(contexts: IntArray, tables: IntArray) -> Iterator[tuple[Any, int]]:
    """(model, how often) for each context that occurs, ascending; all quotients are taken in one go."""
    counts = np.bincount(contexts)
    used = np.flatnonzero(counts)
    rows = tables[used]
    for row, count in zip(rows / rows.sum(axis=1, keepdims=True), counts[used], strict=True):
        yield _Categorical(row, perfect=False), int(count)


def _order(contexts: IntArray) -> NDArray[np.intp]:
    """The order that brings equal contexts together; 16-bit keys are sorted by radix, ten times faster."""
    return np.argsort(contexts.astype(np.uint16), kind="stable")


class MessageEncoder:
    """Collects symbols in decoding order; `to_bytes` codes them back to front, as a stack coder needs."""

    def __init__(self) -> None:
        self._runs: list[tuple[Any, NDArray[np.int32]]] = []

    def add(self, contexts: IntArray, symbols: IntArray, tables: IntArray) -> None:
        """Add symbols (n,), each coded with the row tables[context] of integer counts (contexts, alphabet)."""
        order = _order(contexts)
        in_runs = symbols[order].astype(np.int32)
        start = 0
        for model, length in _models(contexts, tables):
            self._runs.append((model, in_runs[start : start + length]))
            start += length

    def add_escapes(self, values: IntArray) -> None:
        """Add values (n,) in 0..65535, each as 16 plain bits."""
        if values.size:
            self._runs.append((_Uniform(ESCAPE_RANGE), values.astype(np.int32)))

    def to_bytes(self) -> bytes:
        """The coded message; its length is a multiple of 4."""
        coder = constriction.stream.stack.AnsCoder()
        for model, symbols in reversed(self._runs):
            coder.encode_reverse(symbols, model)
        return np.asarray(coder.get_compressed()).astype("<u4").tobytes()


class MessageDecoder:
    """Reads symbols back in the order they were added; never fails, whatever the bytes."""

    def __init__(self, data: bytes) -> None:
        words = np.frombuffer(data[: len(data) // 4 * 4], dtype="<u4").astype(np.uint32)
        # The coder refuses a message whose last word is 0; an encoder never writes one, a wrong key may.
        used = np.flatnonzero(words)
        words = words[: used[-1] + 1] if used.size else words[:0]
        self._coder = constriction.stream.stack.AnsCoder(words)

    def read(self, contexts: IntArray, tables: IntArray) -> IntArray:
        """Read one symbol per context (n,); the mirror of `MessageEncoder.add`."""
        pieces = [self._coder.decode(model, length) for model, length in _models(contexts, tables)]
        symbols = np.empty(contexts.shape, dtype=np.int64)
        if pieces:
            symbols[_order(contexts)] = np.concatenate(pieces)
        return symbols

    def read_escapes(self, count: int) -> IntArray:
        """Read `count` values in 0..65535."""
        if not count:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self._coder.decode(_Uniform(ESCAPE_RANGE), count)).astype(np.int64)


class AdaptiveTables:
    """Integer counts per context that learn from what was coded, the same way on both sides.

    prior: (contexts, alphabet) counts, all >= 1. increment: what one coded symbol adds. limit: a row whose total
    passes it is halved, so that the model follows the video.
    """

    def __init__(self, prior: IntArray, increment: int, limit: int) -> None:
        self.counts = prior.astype(np.int64, copy=True)
        self._increment = increment
        self._limit = limit

    def update(self, contexts: IntArray, symbols: IntArray) -> None:
        """Count symbols (n,) under contexts (n,)."""
        alphabet = self.counts.shape[1]
        seen = np.bincount(contexts * alphabet + symbols, minlength=self.counts.size).reshape(self.counts.shape)
        rows = np.flatnonzero(seen.any(axis=1))
        self.counts[rows] += seen[rows] * self._increment
        full = rows[self.counts[rows].sum(axis=1) > self._limit]
        self.counts[full] = (self.counts[full] + 1) // 2

    def cost_bits(self) -> NDArray[np.float64]:
        """Code length of every symbol in every context, in bits; for the encoder's choices only."""
        bits: NDArray[np.float64] = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        return bits
