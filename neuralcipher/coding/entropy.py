"""Entropy coding with probabilities that come from integer counts alone.

The coder is asymmetric numeral systems (Duda, 2013) from `constriction`. Two properties matter here. Any bytes at
all decode to some symbols, so a wrong key yields samples of the model instead of an error (as in honey encryption,
Juels and Ristenpart, 2014). And no floating-point function takes part: a probability is a quotient of two integers,
which IEEE 754 rounds the same everywhere, so that bundles open on every machine.
"""

from __future__ import annotations

from typing import Any

import constriction
import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

_Symbols = constriction.stream.model.Categorical(perfect=False)
_Bits = constriction.stream.model.Bernoulli(perfect=False)
_Uniform = constriction.stream.model.Uniform
ESCAPE_RANGE = 1 << 16
ONE = 1 << 16  # probabilities of bits are integers in units of 2**-16
_FULL_STATE = (0x9E3779B9, 0x7F4A7C15)  # any two words: they lie at the bottom of the stack
_PIECE = 1 << 13


def _probabilities(tables: IntArray) -> NDArray[np.float64]:
    """Each row of integer counts divided by its sum."""
    rows: NDArray[np.float64] = tables / tables.sum(axis=1, keepdims=True)
    return rows


def _pieces(count: int) -> list[slice]:
    """Cuts of 0..count: every symbol gets a row of probabilities of its own, and memory stays bounded."""
    return [slice(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE)]


class MessageEncoder:
    """Collects symbols in decoding order; `to_bytes` codes them back to front, as a stack coder needs.

    full: start from a full state, so that a decoder may be given more bytes behind the message.
    """

    def __init__(self, *, full: bool = False) -> None:
        self._full = full
        self._parts: list[tuple[Any, ...]] = []  # arguments of the coder

    def add(self, contexts: IntArray, symbols: IntArray, tables: IntArray) -> None:
        """Add symbols (n,), each coded with the row tables[context] of integer counts (contexts, alphabet)."""
        rows = _probabilities(tables)
        for piece in _pieces(len(symbols)):
            self._put(symbols[piece], _Symbols, rows[contexts[piece]])

    def add_bits(self, bits: IntArray, probabilities: IntArray) -> None:
        """Add bits (n,), each with its own probability of a 1, an integer 1..65535 in units of 2**-16."""
        if len(bits):
            self._put(bits, _Bits, probabilities / ONE)

    def add_escapes(self, values: IntArray) -> None:
        """Add values (n,) in 0..65535, each as 16 plain bits."""
        self._put(values, _Uniform(ESCAPE_RANGE))

    def _put(self, symbols: IntArray, *model: Any) -> None:
        self._parts.append((symbols.astype(np.int32), *model))

    def to_bytes(self) -> bytes:
        """The coded message; its length is a multiple of 4."""
        start = np.array(_FULL_STATE, dtype=np.uint32) if self._full else None
        coder = constriction.stream.stack.AnsCoder(start)
        for part in reversed(self._parts):
            coder.encode_reverse(*part)
        return np.asarray(coder.get_compressed()).astype("<u4").tobytes()


class MessageDecoder:
    """Reads symbols back in the order they were added; never fails, whatever the bytes.

    spare: bytes to go on with where the message, which began with a full state, is read past its end.
    """

    def __init__(self, data: bytes, spare: bytes = b"") -> None:
        data = spare[: len(spare) // 4 * 4] + data
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

    def read_bits(self, probabilities: IntArray) -> IntArray:
        """Read one bit per probability (n,); the mirror of `MessageEncoder.add_bits`."""
        if not len(probabilities):
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self._coder.decode(_Bits, probabilities / ONE)).astype(np.int64)

    def read_escapes(self, count: int) -> IntArray:
        """Read `count` values in 0..65535."""
        if not count:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(self._coder.decode(_Uniform(ESCAPE_RANGE), count)).astype(np.int64)
