"""What the entropy model sees of the latents around a block: small integers that both sides already know.

Latents are quantised 8x8 cosine coefficients, (3 colours, 64, B frames, h, w). They are coded in twelve bands, low
frequencies first, each in two passes over a chequerboard of blocks, so that half of the blocks see all four
neighbours. Beside the neighbourhood in space and frequency a block sees what its references had at the place its
motion points to. Magnitudes enter as 16 times their base-2 logarithm, in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.entropy import IntArray

BoolArray = NDArray[np.bool_]
Features = NDArray[np.floating[Any]]
Integers = NDArray[np.signedinteger[Any]]

COLOURS, COEFFICIENTS = 3, 64
LUMA, CHROMA = (0,), (1, 2)
FLAG_FEATURES = 20
LEVEL_FEATURES = 20
SKIP_FEATURES = 14
LARGEST_FEATURE = 127
_LOG_TABLE = np.array(
    [min(LARGEST_FEATURE, ((1 + x) ** 16).bit_length() - 1) for x in range(1 << 10)], dtype=np.float32
)
_LARGEST = len(_LOG_TABLE) - 1  # magnitudes from here on look alike
_DIAGONAL = np.add.outer(np.arange(8), np.arange(8)).reshape(-1)
_ON = 64  # a feature that is true


@dataclass(frozen=True, slots=True)
class Band:
    """One group of coefficients: `planes` of colour, and positions v * 8 + u in each."""

    planes: tuple[int, ...]
    positions: tuple[int, ...]

    @property
    def size(self) -> int:
        """Coefficients of a block in this band."""
        return len(self.planes) * len(self.positions)

    @property
    def is_luma(self) -> bool:
        return self.planes == LUMA


def _band(planes: tuple[int, ...], low: int, high: int) -> Band:
    positions = sorted((k for k in range(COEFFICIENTS) if low <= _DIAGONAL[k] <= high), key=lambda k: _DIAGONAL[k])
    return Band(planes, tuple(positions))


BANDS = (
    _band(LUMA, 0, 0),
    _band(LUMA, 1, 1),
    _band(CHROMA, 0, 0),
    _band(LUMA, 2, 2),
    _band(CHROMA, 1, 1),
    _band(LUMA, 3, 3),
    _band(LUMA, 4, 4),
    _band(LUMA, 5, 6),
    _band(CHROMA, 2, 3),
    _band(LUMA, 7, 8),
    _band(LUMA, 9, 14),
    _band(CHROMA, 4, 14),
)
DC_BANDS = (0, 2)
_SAME_KIND = [[j for j, other in enumerate(BANDS[:i]) if other.is_luma == band.is_luma] for i, band in enumerate(BANDS)]
_LUMA_TWINS = [
    [j for j, other in enumerate(BANDS[:i]) if other.is_luma and set(other.positions) & set(band.positions)] or [0]
    for i, band in enumerate(BANDS)
]


def logarithm(x: IntArray) -> Features:
    """floor(16 * log2(1 + x)), at most 127, of integers >= 0; integers in float32, as the networks take them."""
    return _LOG_TABLE.take(x, mode="clip")


def shifted(field: Integers, motion: IntArray) -> Integers:
    """Values of a block field (K, h, w) where motion (2, h, w), in quarter pixels, points to, to the nearest block."""
    _, height, width = field.shape
    y = np.minimum(np.maximum(np.arange(height)[:, None] + ((motion[0] + 16) >> 5), 0), height - 1)
    x = np.minimum(np.maximum(np.arange(width) + ((motion[1] + 16) >> 5), 0), width - 1)
    found: Integers = field.reshape(len(field), -1).take(y * width + x, axis=1)
    return found


def discontinuity(motions: IntArray) -> IntArray:
    """(..., h, w): how much motion (..., 2 references, 2, h, w) differs from that of the blocks beside, at most."""
    worst = np.zeros((*motions.shape[:-4], *motions.shape[-2:]), dtype=np.int64)
    down = np.abs(motions[..., 1:, :] - motions[..., :-1, :]).sum(axis=-3).max(axis=-3)
    right = np.abs(motions[..., 1:] - motions[..., :-1]).sum(axis=-3).max(axis=-3)
    for part, other in ((worst[..., 1:, :], down), (worst[..., :-1, :], down)):
        np.maximum(part, other, out=part)
    for part, other in ((worst[..., 1:], right), (worst[..., :-1], right)):
        np.maximum(part, other, out=part)
    return worst


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of one frame before its latents.

    activity: (2 references, bands, h, w) of the references, shifted by the motion. fresh: (h, w), how much of it was
    coded in the references themselves. mode, change: (h, w), see `motion`; change is `discontinuity`. level: 0..5.
    """

    activity: Integers
    fresh: Integers
    mode: IntArray
    change: IntArray
    level: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Chosen blocks of a batch: `place` (n,), their index in (frames, rows, columns), and `flat`, in a padded plane."""

    place: IntArray
    flat: IntArray

    def subset(self, keep: IntArray | slice) -> Blocks:
        """Those at the indices `keep`."""
        return Blocks(self.place[keep], self.flat[keep])


class Neighbourhood:
    """The state of a batch of frames on one h x w grid of blocks while its bands are coded."""

    def __init__(self, frames: list[Surroundings], quality: int) -> None:
        height, width = frames[0].mode.shape
        self.grid = (len(frames), height, width)
        self._padded = (len(frames), height + 2, width + 2)
        size = int(np.prod(self._padded))
        inner = np.arange(size, dtype=np.int64).reshape(self._padded)[:, 1:-1, 1:-1]
        self._flat = inner.reshape(-1)
        self._magnitudes = np.zeros((COLOURS * COEFFICIENTS + 1, size), dtype=np.int16)  # at most _LARGEST; none last
        self._sums = np.zeros((_NOTHING + 1, size), dtype=np.int32)
        self._activity = np.stack([frame.activity for frame in frames], axis=2)  # (2, bands, B, h, w)
        self._total = self._activity.sum(axis=(0, 1))
        self._fresh = np.stack([frame.fresh for frame in frames])
        self._mode = np.stack([frame.mode for frame in frames])
        self._change = np.stack([frame.change for frame in frames])
        self._level = np.array([frame.level for frame in frames])
        self._quality = quality
        odd = np.add.outer(np.arange(height), np.arange(width)) & 1
        self._odd = np.broadcast_to(odd, self.grid).reshape(-1)
        known = np.empty((7, *self.grid), dtype=np.float32)
        known[0], known[1] = logarithm(self._total), logarithm(self._change)
        known[2], known[3] = _ON * (self._mode == 2), _ON * (self._mode == 3)
        known[4], known[5], known[6] = self._level[:, None, None] * 24, quality, _ON * odd
        self._known = known.reshape(7, -1)

    def passes(self, mask: BoolArray) -> list[Blocks]:
        """The blocks of `mask` (B, h, w) in the two passes of the chequerboard."""
        places = [np.flatnonzero(mask.reshape(-1) & (self._odd == parity)) for parity in (0, 1)]
        return [Blocks(place, self._flat[place]) for place in places]

    def band_totals(self) -> IntArray:
        """(B, bands, h, w): sums of the magnitudes coded so far."""
        totals = self._sums[: len(BANDS)].reshape(len(BANDS), *self._padded)[..., 1:-1, 1:-1]
        return np.ascontiguousarray(totals.swapaxes(0, 1))

    def flag_features(self, band: int, blocks: Blocks) -> Features:
        """(20, n) integers 0..127: the surroundings from which the flag of a band is predicted."""
        at, (taps, starts) = blocks.flat, _flag_taps(band, self._padded[2], self._sums.shape[1])
        sums = logarithm(np.add.reduceat(self._sums.take(taps + at), starts, axis=0))
        found = np.empty((FLAG_FEATURES, len(at)), dtype=np.float32)
        found[:10], found[19] = sums[:10], sums[10]
        found[10:12] = logarithm(self._activity[:, band].reshape(2, -1).take(blocks.place, axis=1))
        found[12:19] = self._known.take(blocks.place, axis=1)
        return found

    def level_features(self, band: int, blocks: Blocks, flags: Features) -> Features:
        """(20, coefficients, n) integers 0..127, from which the levels of a flagged band are predicted.

        flags: (20, n), the flag features of the same blocks.
        """
        at, taps = blocks.flat, _level_taps(band, self._padded[2], self._magnitudes.shape[1])
        found = np.empty((LEVEL_FEATURES, BANDS[band].size, len(at)), dtype=np.float32)
        around = self._magnitudes.take(taps + at)
        found[:9] = logarithm(np.add.reduceat(around, _LEVEL_STARTS, axis=0))
        found[9:13] = flags[[2, 6, 0, 1], None]
        found[13] = np.maximum(flags[10], flags[11])
        found[14:] = flags[[12, 16, 17, 15, 4, 18], None]
        return found

    def put(self, band: int, blocks: Blocks, magnitudes: IntArray) -> None:
        """Remember magnitudes (coefficients, n) of a band."""
        self._magnitudes[columns_of(band)[:, None], blocks.flat] = np.minimum(magnitudes, _LARGEST)
        total = magnitudes.sum(axis=0)
        self._sums[band, blocks.flat] = total
        self._sums[_ALL_LUMA if BANDS[band].is_luma else _ALL_CHROMA, blocks.flat] += total.astype(np.int32)

    def skip_features(self, coded: IntArray, parity: int) -> tuple[BoolArray, Features]:
        """Where (B, h/2, w/2) squares of 2x2 blocks lie in this pass, and (14, n) integers about each.

        coded: (B, h/2, w/2), 1 for squares known to be coded, 0 else.
        """
        count, height, width = self.grid
        squares = (count, height // 2, 2, width // 2, 2)
        odd = (np.add.outer(np.arange(height // 2), np.arange(width // 2)) & 1) == parity
        mask = np.broadcast_to(odd, coded.shape)
        near = np.pad(coded, ((0, 0), (1, 1), (1, 1)))
        total, fresh = self._total.reshape(squares), self._fresh.reshape(squares)
        change, mode = self._change.reshape(squares), self._mode.reshape(squares)
        dc = self._sums[0].reshape(self._padded)[:, 1:-1, 1:-1].reshape(squares)
        low = self._activity[:, :2].sum(axis=(0, 1)).reshape(squares)
        found = np.empty((SKIP_FEATURES, *coded.shape), dtype=np.float32)
        found[0] = _ON // 2 * (near[:, 1:-1, :-2] + near[:, 1:-1, 2:])
        found[1] = _ON // 2 * (near[:, :-2, 1:-1] + near[:, 2:, 1:-1])
        found[2], found[3] = logarithm(total.sum(axis=(2, 4))), logarithm(total.max(axis=(2, 4)))
        found[4], found[5] = logarithm(fresh.sum(axis=(2, 4))), logarithm(change.max(axis=(2, 4)))
        found[6], found[7] = 16 * (mode == 2).sum(axis=(2, 4)), 16 * (mode == 3).sum(axis=(2, 4))
        found[8], found[9] = self._level[:, None, None] * 24, self._quality
        found[10] = parity * _ON
        found[11], found[12] = logarithm(dc.sum(axis=(2, 4))), logarithm(low.sum(axis=(2, 4)))
        found[13] = (self._level[:, None, None] == 0) * _ON
        return mask, found[:, mask]


_ALL_LUMA, _ALL_CHROMA, _NOTHING = len(BANDS), len(BANDS) + 1, len(BANDS) + 2  # rows of sums behind the bands'
_LEVEL_STARTS = np.array([0, 2, 4, 5, 6, 7, 11, 12, 13])


@lru_cache(maxsize=1024)
def _flag_taps(band: int, w: int, size: int) -> tuple[IntArray, IntArray]:
    """(taps, 1) places in the sums, relative to a block, and where each of 11 features begins; w: of a padded row."""
    same = [_NOTHING, _NOTHING, *_SAME_KIND[band]]
    cross, corners = (-1, 1, -w, w), (-w - 1, -w + 1, w - 1, w + 1)
    features = [
        [(band, -1), (band, 1)],
        [(band, -w), (band, w)],
        [(_ALL_LUMA, 0)],
        [(_ALL_CHROMA, 0)],
        [(same[-1], 0)],
        [(same[-2], 0)],
        [(_ALL_LUMA, d) for d in cross],
        [(_ALL_LUMA, d) for d in corners],
        [(_ALL_CHROMA, d) for d in cross],
        [(j, 0) for j in _LUMA_TWINS[band]],
        [(band, d) for d in corners],
    ]
    places = np.array([[row * size + d] for feature in features for row, d in feature], dtype=np.int64)
    return places, np.cumsum([0, *map(len, features[:-1])])


@lru_cache(maxsize=1024)
def _level_taps(band: int, w: int, size: int) -> IntArray:
    """(17, coefficients, 1) places in the magnitudes, relative to a block; w: of a padded row."""
    columns = []
    for plane in BANDS[band].planes:
        for k in BANDS[band].positions:
            v, u = divmod(k, 8)
            own = plane * COEFFICIENTS
            lower = [own + k - step if fits else -1 for step, fits in ((1, u), (8, v), (9, u and v))]
            two = [own + j for j in _two_back(k)]
            others = [k if plane else -1, COEFFICIENTS + k if plane == 2 else -1]
            rows = [own + k] * 4 + lower + two + [-1] * (4 - len(two)) + others + [own + k] * 4
            shifts = [-1, 1, -w, w, *[0] * 9, -w - 1, -w + 1, w - 1, w + 1]
            last = COLOURS * COEFFICIENTS
            columns.append([(last if r < 0 else r) * size + d * (r >= 0) for r, d in zip(rows, shifts, strict=True)])
    taps: IntArray = np.array(columns, dtype=np.int64).T[..., None]
    return np.ascontiguousarray(taps)


@lru_cache(maxsize=64)
def columns_of(band: int) -> IntArray:
    """Where a band's coefficients lie among all of a block's, plane after plane."""
    return np.array([plane * COEFFICIENTS + k for plane in BANDS[band].planes for k in BANDS[band].positions])


@lru_cache(maxsize=64)
def _two_back(k: int) -> tuple[int, ...]:
    """Positions two diagonals or more towards zero from position k, next to it."""
    v, u = divmod(k, 8)
    steps = [(0, 2), (2, 0), (1, 2), (2, 1)]
    return tuple((v - dv) * 8 + u - du for dv, du in steps if v >= dv and u >= du)
