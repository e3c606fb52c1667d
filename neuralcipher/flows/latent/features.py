"""What the entropy model sees of the latents around a block: small integers that both sides already know.

Latents are quantised 8x8 cosine coefficients, (3 colours, 64, B frames, h, w). They are coded in twelve bands, low
frequencies first, each in two passes over a chequerboard of blocks, so that half of the blocks see all four
neighbours. Beside the neighbourhood in space and frequency a block sees what its references had at the place its
motion points to. Magnitudes enter as 16 times their base-2 logarithm, in integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.entropy import IntArray

BoolArray = NDArray[np.bool_]

COLOURS, COEFFICIENTS = 3, 64
LUMA, CHROMA = (0,), (1, 2)
FLAG_FEATURES = 20
LEVEL_FEATURES = 20
SKIP_FEATURES = 14
_LOG_TABLE = np.array([min(127, ((1 + x) ** 16).bit_length() - 1) for x in range(1 << 10)], dtype=np.int64)
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


def logarithm(x: IntArray) -> IntArray:
    """floor(16 * log2(1 + x)), at most 127, of integers >= 0."""
    values: IntArray = _LOG_TABLE[np.minimum(x, len(_LOG_TABLE) - 1)]
    return values


def shifted(field: IntArray, motion: IntArray) -> IntArray:
    """Values of a block field (K, h, w) where motion (2, h, w), in quarter pixels, points to, to the nearest block."""
    _, height, width = field.shape
    y = np.clip(np.arange(height)[:, None] + ((motion[0] + 16) >> 5), 0, height - 1)
    x = np.clip(np.arange(width)[None] + ((motion[1] + 16) >> 5), 0, width - 1)
    found: IntArray = field[:, y, x]
    return found


def discontinuity(motions: IntArray) -> IntArray:
    """How much the motion (2 references, 2, h, w) of a block differs from its neighbours', at most; (h, w)."""
    worst = np.zeros(motions.shape[2:], dtype=np.int64)
    down = np.abs(np.diff(motions, axis=2)).sum(axis=1).max(axis=0)
    right = np.abs(np.diff(motions, axis=3)).sum(axis=1).max(axis=0)
    worst[1:], worst[:-1] = np.maximum(worst[1:], down), np.maximum(worst[:-1], down)
    worst[:, 1:], worst[:, :-1] = np.maximum(worst[:, 1:], right), np.maximum(worst[:, :-1], right)
    return worst


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of one frame before its latents.

    activity: (2 references, bands, h, w) of the references, shifted by the motion. fresh: (h, w), how much of it was
    coded in the references themselves. mode, change: (h, w), see `motion`; change is `discontinuity`. level: 0..5.
    """

    activity: IntArray
    fresh: IntArray
    mode: IntArray
    change: IntArray
    level: int


@dataclass(frozen=True, slots=True)
class Blocks:
    """Chosen blocks of a batch: frame, row, column (n,), and `flat`, their index in a padded plane."""

    frame: IntArray
    row: IntArray
    column: IntArray
    flat: IntArray

    def subset(self, keep: BoolArray | IntArray) -> Blocks:
        """Those where `keep` (n,) holds, or those at the indices `keep`."""
        return Blocks(self.frame[keep], self.row[keep], self.column[keep], self.flat[keep])


class Neighbourhood:
    """The state of a batch of frames on one h x w grid of blocks while its bands are coded."""

    def __init__(self, frames: list[Surroundings], quality: int) -> None:
        height, width = frames[0].mode.shape
        self.grid = (len(frames), height, width)
        self._stride = width + 2
        padded = (len(frames), height + 2, width + 2)
        self._magnitudes = np.zeros((COLOURS, COEFFICIENTS, len(frames) * padded[1] * padded[2]), dtype=np.int64)
        self._bands = np.zeros((len(BANDS), *padded), dtype=np.int64).reshape(len(BANDS), -1)
        self._luma = np.zeros(padded, dtype=np.int64).reshape(-1)
        self._chroma = np.zeros(padded, dtype=np.int64).reshape(-1)
        self._activity = np.stack([frame.activity for frame in frames])
        self._total = self._activity.sum(axis=(1, 2))
        self._fresh = np.stack([frame.fresh for frame in frames])
        self._mode = np.stack([frame.mode for frame in frames])
        self._change = np.stack([frame.change for frame in frames])
        self._level = np.array([frame.level for frame in frames])
        self._quality = quality
        self._odd = np.broadcast_to(np.add.outer(np.arange(height), np.arange(width)) & 1, self.grid)

    def passes(self, mask: BoolArray) -> list[Blocks]:
        """The blocks of `mask` (B, h, w) in the two passes of the chequerboard."""
        return [self._blocks(mask & (self._odd == parity)) for parity in (0, 1)]

    def band_totals(self) -> IntArray:
        """(B, bands, h, w): sums of the magnitudes coded so far."""
        count, height, width = self.grid
        totals = self._bands.reshape(len(BANDS), count, height + 2, width + 2)[:, :, 1:-1, 1:-1]
        return np.ascontiguousarray(totals.transpose(1, 0, 2, 3))

    def flag_features(self, band: int, blocks: Blocks) -> IntArray:
        """(n, 20) integers 0..127: the surroundings from which the flag of a band is predicted."""
        at, w = blocks.flat, self._stride
        own, luma, chroma = self._bands[band], self._luma, self._chroma
        where = (blocks.frame, blocks.row, blocks.column)
        same = _SAME_KIND[band]
        mode = self._mode[where]
        columns = [
            logarithm(own[at - 1] + own[at + 1]),
            logarithm(own[at - w] + own[at + w]),
            logarithm(luma[at]),
            logarithm(chroma[at]),
            logarithm(self._bands[same[-1]][at]) if same else 0 * at,
            logarithm(self._bands[same[-2]][at]) if len(same) > 1 else 0 * at,
            logarithm(luma[at - 1] + luma[at + 1] + luma[at - w] + luma[at + w]),
            logarithm(luma[at - w - 1] + luma[at - w + 1] + luma[at + w - 1] + luma[at + w + 1]),
            logarithm(chroma[at - 1] + chroma[at + 1] + chroma[at - w] + chroma[at + w]),
            logarithm(self._bands[_LUMA_TWINS[band]][:, at].sum(axis=0)),
            logarithm(self._activity[:, 0, band][where]),
            logarithm(self._activity[:, 1, band][where]),
            logarithm(self._total[where]),
            logarithm(self._change[where]),
            _ON * (mode == 2),
            _ON * (mode == 3),
            self._level[blocks.frame] * 24,
            np.full_like(at, self._quality),
            _ON * self._odd[where],
            logarithm(own[at - w - 1] + own[at - w + 1] + own[at + w - 1] + own[at + w + 1]),
        ]
        return np.stack(columns, axis=1)

    def level_features(self, band: int, blocks: Blocks, flags: IntArray) -> IntArray:
        """(coefficients, n, 20) integers 0..127, from which the levels of a flagged band are predicted.

        flags: (n, 20), the flag features of the same blocks.
        """
        at, w = blocks.flat, self._stride
        found = np.zeros((BANDS[band].size, len(at), LEVEL_FEATURES), dtype=np.int64)
        found[..., 9:13] = flags[:, (2, 6, 0, 1)]
        found[..., 13] = np.maximum(flags[:, 10], flags[:, 11])
        found[..., 14:] = flags[:, (12, 16, 17, 15, 4, 18)]
        index = 0
        for plane in BANDS[band].planes:
            own, other = self._magnitudes[plane], self._magnitudes[0]
            for k in BANDS[band].positions:
                v, u = divmod(k, 8)
                column, m = found[index], own[k]
                index += 1
                column[:, 0] = logarithm(m[at - 1] + m[at + 1])
                column[:, 1] = logarithm(m[at - w] + m[at + w])
                column[:, 8] = logarithm(m[at - w - 1] + m[at - w + 1] + m[at + w - 1] + m[at + w + 1])
                if u:
                    column[:, 2] = logarithm(own[k - 1][at])
                if v:
                    column[:, 3] = logarithm(own[k - 8][at])
                if u and v:
                    column[:, 4] = logarithm(own[k - 9][at])
                column[:, 5] = logarithm(sum((own[j][at] for j in _two_back(k)), start=0 * at))
                if plane:
                    column[:, 6] = logarithm(other[k][at])
                if plane == 2:
                    column[:, 7] = logarithm(self._magnitudes[1][k][at])
        return found

    def put(self, band: int, blocks: Blocks, magnitudes: IntArray) -> None:
        """Remember magnitudes (coefficients, n) of a band."""
        index = 0
        for plane in BANDS[band].planes:
            for k in BANDS[band].positions:
                self._magnitudes[plane, k][blocks.flat] = magnitudes[index]
                index += 1
        total = magnitudes.sum(axis=0)
        self._bands[band][blocks.flat] = total
        (self._luma if BANDS[band].is_luma else self._chroma)[blocks.flat] += total

    def _blocks(self, mask: BoolArray) -> Blocks:
        frame, row, column = np.nonzero(mask)
        flat = (frame * (self.grid[1] + 2) + row + 1) * self._stride + column + 1
        return Blocks(frame, row, column, flat)

    def skip_features(self, coded: IntArray, parity: int) -> tuple[BoolArray, IntArray]:
        """Where (B, h/2, w/2) squares of 2x2 blocks lie in this pass, and (n, 14) integers about each.

        coded: (B, h/2, w/2), 1 for squares known to be coded, 0 else.
        """
        count, height, width = self.grid
        squares = (count, height // 2, 2, width // 2, 2)
        odd = (np.add.outer(np.arange(height // 2), np.arange(width // 2)) & 1) == parity
        mask = np.broadcast_to(odd, coded.shape)
        near = np.pad(coded, ((0, 0), (1, 1), (1, 1)))
        total, fresh = self._total.reshape(squares), self._fresh.reshape(squares)
        change, mode = self._change.reshape(squares), self._mode.reshape(squares)
        dc = self._bands[0].reshape(count, height + 2, width + 2)[:, 1:-1, 1:-1].reshape(squares)
        low = self._activity[:, :, :2].sum(axis=(1, 2)).reshape(squares)
        ones = np.ones(coded.shape, dtype=np.int64)
        columns = [
            _ON // 2 * (near[:, 1:-1, :-2] + near[:, 1:-1, 2:]),
            _ON // 2 * (near[:, :-2, 1:-1] + near[:, 2:, 1:-1]),
            logarithm(total.sum(axis=(2, 4))),
            logarithm(total.max(axis=(2, 4))),
            logarithm(fresh.sum(axis=(2, 4))),
            logarithm(change.max(axis=(2, 4))),
            16 * (mode == 2).sum(axis=(2, 4)),
            16 * (mode == 3).sum(axis=(2, 4)),
            self._level[:, None, None] * 24 * ones,
            self._quality * ones,
            parity * _ON * ones,
            logarithm(dc.sum(axis=(2, 4))),
            logarithm(low.sum(axis=(2, 4))),
            (self._level[:, None, None] == 0) * _ON * ones,
        ]
        return mask, np.stack([column[mask] for column in columns], axis=1)


@lru_cache(maxsize=64)
def _two_back(k: int) -> tuple[int, ...]:
    """Positions two diagonals or more towards zero from position k, next to it."""
    v, u = divmod(k, 8)
    steps = [(0, 2), (2, 0), (1, 2), (2, 1)]
    return tuple((v - dv) * 8 + u - du for dv, du in steps if v >= dv and u >= du)
