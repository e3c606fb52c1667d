"""Which table codes which latent: contexts made of integers that both sides already know.

Latents q are (K, h, w) integers: K frequency-ordered channels of 8x8-block transform coefficients on an h x w grid.
They are coded band by band (low frequencies first). A context looks at the previous frame (same place and its
neighbours) and at the bands of this frame that are already coded, so a whole band is decoded at once. All of it is
integer arithmetic: a bundle made on one machine decodes on every other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]

BAND_EDGES = (0, 3, 9, 21, 42, 78, 192)
BANDS = len(BAND_EDGES) - 1
CHANNELS = BAND_EDGES[-1]

LEVEL_LIMIT = 15
ALPHABET = 2 * LEVEL_LIMIT + 3  # levels -15..15 and an escape at either end
VALUE_LIMIT = 32_767

_NEAR = 2  # previous values -2..2 are told apart; beyond, the difference is coded
_NEARS = 2 * _NEAR + 1
_ACTIVITY = np.array([1, 5, 14, 32, 64, 120])
_CHANGE = np.array([1, 6, 16, 40, 90, 180])
_FIRST_ACTIVITY = np.array([1, 3, 7, 14, 26, 45])
_FIRST_SPREAD = np.array([1, 6, 18, 45, 100, 200])
_BUCKETS = 7
_PLACES = _BUCKETS * _BUCKETS  # (activity, change) pairs
_HALVES = 2  # lower and upper half of a band

FIRST_CONTEXTS = _PLACES * _HALVES
SYMBOL_CONTEXTS = FIRST_CONTEXTS + _NEARS * _PLACES * _HALVES + 1
DC_CONTEXT = SYMBOL_CONTEXTS - 1  # of the first frame's lowest band, which is coded as differences along rows
FLAG_CONTEXTS = 2 * _PLACES


@dataclass(frozen=True, slots=True)
class BandContext:
    """Contexts of one band of one frame.

    flag: (h, w), of the block flags. previous: (k, h, w) latents of the band in the previous frame, or None.
    """

    flag: IntArray
    previous: IntArray | None
    _channels: int

    def levels(self, blocks: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
        """(contexts, base), (k, n) each, of the n chosen blocks: table rows, and what a level of 0 stands for."""
        place = self.flag[blocks]
        if self.previous is None:
            contexts = place * _HALVES + _halves(self._channels)
            return contexts, np.zeros(contexts.shape, dtype=np.int64)
        before = self.previous[:, blocks]
        near = np.clip(before, -_NEAR, _NEAR)
        inter = (near + _NEAR) * _PLACES + (place - _PLACES)
        return FIRST_CONTEXTS + inter * _HALVES + _halves(self._channels), before - near


def _box_sum(plane: IntArray) -> IntArray:
    """Sum over each 3x3 neighbourhood of (h, w); outside counts 0."""
    padded = np.zeros((plane.shape[0] + 2, plane.shape[1] + 2), dtype=np.int64)
    padded[1:-1, 1:-1] = plane
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    total: IntArray = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return total


def _halves(size: int) -> IntArray:
    return (np.arange(size) >= (size + 1) // 2).astype(np.int64)[:, None]


def band_context(band: int, current: IntArray, previous: IntArray | None) -> BandContext:
    """The contexts of `band`, given the bands below it in `current` (K, h, w) and the whole `previous` frame."""
    start, stop = BAND_EDGES[band], BAND_EDGES[band + 1]
    lower = BAND_EDGES[max(0, band - 3)]
    grid = current.shape[1:]
    if previous is None:
        skip_dc = max(lower, BAND_EDGES[1])
        energy = np.abs(current[skip_dc:start]).sum(axis=0) if start > skip_dc else np.zeros(grid, dtype=np.int64)
        place = _bucket(energy, _FIRST_ACTIVITY) * _BUCKETS + _bucket(_box_sum(energy), _FIRST_SPREAD)
        return BandContext(place, None, stop - start)
    before = previous[start:stop]
    moved = np.abs(current[lower:start] - previous[lower:start]).sum(axis=0)
    energy = np.abs(before).sum(axis=0)
    activity = _bucket(_box_sum(energy) + 2 * energy, _ACTIVITY)
    change = _bucket(_box_sum(moved) + 3 * moved, _CHANGE)
    return BandContext(_PLACES + activity * _BUCKETS + change, before, stop - start)


def _bucket(values: IntArray, edges: NDArray[np.int64]) -> IntArray:
    buckets: IntArray = np.searchsorted(edges, values, side="right").astype(np.int64)
    return buckets
