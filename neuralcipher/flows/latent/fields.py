"""Integer fields on a grid of blocks (motion, mean colours): coded from coarse to fine, each value between neighbours.

The corner comes first; then the lattice is refined from stride to half stride, centres before edges, so that most
values lie between four that are known, and a whole pass is coded at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from neuralcipher.coding.bits import AdaptiveSymbols, BitChannel, code_plain
from neuralcipher.coding.entropy import IntArray

FIELD_LIMIT = 1 << 11
LARGEST = (1 << 12) - 1
_SPREADS = np.array([1, 3, 6, 12, 24])
SPREADS = len(_SPREADS) + 1
SIZES = 24  # symbols: 0, 1, then the lower and the upper half of each octave up to 4095
_SYMBOLS = np.arange(SIZES)
_PLAIN_BITS = np.maximum(0, (_SYMBOLS - 2) // 2)  # behind a symbol
_SMALLEST = np.where(_SYMBOLS < 2, _SYMBOLS, (2 + _SYMBOLS % 2) << _PLAIN_BITS)  # of its integers


@dataclass(frozen=True, slots=True)
class LatticePass:
    """at: (n,) flat indices of this pass. near: (4, n), of the neighbours known before it. fine: at the last stride."""

    at: IntArray
    near: IntArray
    fine: bool


@lru_cache(maxsize=16)
def lattice(height: int, width: int) -> tuple[LatticePass, ...]:
    """The passes over an h x w grid after its corner, coarse to fine."""
    stride = 1
    while stride < max(height, width):
        stride *= 2
    passes = []
    while stride > 1:
        half = stride // 2
        middle_y, middle_x = np.arange(half, height, stride), np.arange(half, width, stride)
        whole_y, whole_x = np.arange(0, height, stride), np.arange(0, width, stride)
        y, x = _grid(middle_y, middle_x)
        down, right = _mirror(y + half, y - half, height), _mirror(x + half, x - half, width)
        corners = [(y - half, x - half), (y - half, right), (down, x - half), (down, right)]
        passes.append(_pass(y, x, corners, width, half))
        upright, level = _grid(middle_y, whole_x), _grid(whole_y, middle_x)
        y, x = upright
        near = [(y - half, x), (_mirror(y + half, y - half, height), x), *_beside(y, x, half, height, width)]
        first = _pass(y, x, near, width, half)
        y, x = level
        near = [(y, x - half), (y, _mirror(x + half, x - half, width)), *_above(y, x, half, height, width)]
        second = _pass(y, x, near, width, half)
        both = np.concatenate([first.at, second.at]), np.concatenate([first.near, second.near], axis=1)
        passes.append(LatticePass(*both, half == 1))
        stride = half
    return tuple(p for p in passes if p.at.size)


def _grid(rows: IntArray, columns: IntArray) -> tuple[IntArray, IntArray]:
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return y.reshape(-1), x.reshape(-1)


def _mirror(wanted: IntArray, instead: IntArray, size: int) -> IntArray:
    return np.where((wanted >= 0) & (wanted < size), wanted, instead)


def _beside(y: IntArray, x: IntArray, half: int, height: int, width: int) -> list[tuple[IntArray, IntArray]]:
    """Left and right neighbours, which are centres; where the grid is too narrow for one, the one above."""
    left, right = _mirror(x - half, x + half, width), _mirror(x + half, x - half, width)
    none = (left < 0) | (left >= width) | (right < 0) | (right >= width)
    return [(np.where(none, y - half, y), np.where(none, x, side)) for side in (left, right)]


def _above(y: IntArray, x: IntArray, half: int, height: int, width: int) -> list[tuple[IntArray, IntArray]]:
    return [(b, a) for a, b in _beside(x, y, half, width, height)]


def _pass(y: IntArray, x: IntArray, near: list[tuple[IntArray, IntArray]], width: int, half: int) -> LatticePass:
    return LatticePass(y * width + x, np.stack([a * width + b for a, b in near]), half == 1)


def between(values: IntArray) -> tuple[IntArray, IntArray]:
    """(prediction, spread) from known neighbours (4, ...): the mean of the middle two, and how far they differ."""
    a, b, c, d = values
    high = np.maximum(np.maximum(a, b), np.maximum(c, d))
    low = np.minimum(np.minimum(a, b), np.minimum(c, d))
    return (a + b + c + d - high - low) >> 1, high - low


def contexts(kind: int, fine: bool, spread: IntArray) -> IntArray:
    """Contexts of values of a kind (0..6), given the spread of their neighbours."""
    row: IntArray = (2 * kind + int(fine)) * SPREADS + np.searchsorted(_SPREADS, spread, side="right")
    return row


def code_integers(channel: BitChannel, sizes: AdaptiveSymbols, rows: IntArray, values: IntArray | None) -> IntArray:
    """Code values (n,) in -4095..4095 under contexts (n,): a symbol for the size, then plain bits and a sign.

    Writes `values` and returns them, or reads them where `values` is None.
    """
    size = None if values is None else np.minimum(np.abs(values), LARGEST)
    symbols = None if size is None else np.searchsorted(_SMALLEST, size, side="right") - 1
    coded: IntArray = sizes.code(channel, rows, symbols).copy()
    at = np.flatnonzero(coded)
    symbol = coded[at]
    tail = None
    if values is not None and size is not None:
        tail = (size[at] - _SMALLEST[symbol]) * 2 + (values[at] < 0)
    tail = code_plain(channel, _PLAIN_BITS[symbol] + 1, tail)
    found = _SMALLEST[symbol] + (tail >> 1)
    coded[at] = np.where(tail & 1 == 1, -found, found)
    return coded
