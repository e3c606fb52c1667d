"""Entropy coding with probabilities that come from integer counts alone.

The coder is asymmetric numeral systems (Duda, 2013) from `constriction`. Two properties matter here. Any bytes at
all decode to some symbols, so a wrong key yields samples of the model instead of an error (as in honey encryption,
Juels and Ristenpart, 2014). And no floating-point function takes part: a probability is a quotient of two integers,
which IEEE 754 rounds the same everywhere, so that bundles open on every machine.
"""

from __future__ import annotations

import constriction
import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_Symbols = constriction.stream.model.Categorical(perfect=False)
_Uniform = constriction.stream.model.Uniform
ESCAPE_RANGE = 1 << 16
_PIECE = 1 << 13


def _probabilities(tables: IntArray) -> NDArray[np.float64]:
    """Each row of integer counts divided by its sum."""
    rows: NDArray[np.float64] = tables / tables.sum(axis=1, keepdims=True)
    return rows


def _pieces(count: int) -> list[slice]:
    """Cuts of 0..count: every symbol gets a row of probabilities of its own, and memory stays bounded."""
    return [slice(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE)]


class MessageEncoder:
    """Collects symbols in decoding order; `to_bytes` codes them back to front, as a stack coder needs."""

    def __init__(self) -> None:
        self._parts: list[tuple[IntArray, NDArray[np.int32], NDArray[np.float64] | None]] = []

    def add(self, contexts: IntArray, symbols: IntArray, tables: IntArray) -> None:
        """Add symbols (n,), each coded with the row tables[context] of integer counts (contexts, alphabet)."""
        self._parts.append((contexts, symbols.astype(np.int32), _probabilities(tables)))

    def add_escapes(self, values: IntArray) -> None:
        """Add values (n,) in 0..65535, each as 16 plain bits."""
        self._parts.append((values, values.astype(np.int32), None))

    def to_bytes(self) -> bytes:
        """The coded message; its length is a multiple of 4."""
        coder = constriction.stream.stack.AnsCoder()
        for contexts, symbols, rows in reversed(self._parts):
            for piece in reversed(_pieces(len(symbols))):
                if rows is None:
                    coder.encode_reverse(symbols[piece], _Uniform(ESCAPE_RANGE))
                else:
                    coder.encode_reverse(symbols[piece], _Symbols, rows[contexts[piece]])
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
        rows = _probabilities(tables)
        symbols = np.empty(len(contexts), dtype=np.int64)
        for piece in _pieces(len(contexts)):
            symbols[piece] = self._coder.decode(_Symbols, rows[contexts[piece]])
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
        self._totals: IntArray = self.counts.sum(axis=1)
        self._increment = increment
        self._limit = limit

    def update(self, contexts: IntArray, symbols: IntArray) -> None:
        """Count symbols (n,) under contexts (n,)."""
        np.add.at(self.counts, (contexts, symbols), self._increment)
        np.add.at(self._totals, contexts, self._increment)
        full = np.flatnonzero(self._totals > self._limit)
        if full.size:
            self.counts[full] = (self.counts[full] + 1) // 2
            self._totals[full] = self.counts[full].sum(axis=1)

    def cost_bits(self) -> NDArray[np.float64]:
        """Code length of every symbol in every context, in bits; for the encoder's choices only."""
        bits: NDArray[np.float64] = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        return bits
