"""Prediction of a frame from another: overlapped block motion compensation in quarter pixels.

Each 8x8 block moves a 16x16 window around it; the windows overlap and their weights add up to one, so that no block
edges appear. Between pixels, separable 8-tap filters interpolate (the coefficients of HEVC, H.265 section 8.5.3.3.3).
"""

from __future__ import annotations

import copy
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
SQUARE = 2 * BLOCK
BORDER = 24  # pixels kept beyond the edges; motion further out sees the edge repeated
_TAPS = (
    (0, 0, 0, 64, 0, 0, 0, 0),
    (-1, 4, -10, 58, 17, -5, 1, 0),
    (-1, 4, -11, 40, 40, -11, 4, -1),
    (0, 1, -5, 17, 58, -10, 4, -1),
)
_PHASES, _LENGTH = len(_TAPS), len(_TAPS[0])
_LEFT_TAPS, _RIGHT_TAPS = 3, 4


@lru_cache(maxsize=4)
def _filters(device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights (4, 1, 1, 8) that make four phases across, and (16, 4, 8, 1) that make four of each downwards."""
    taps = torch.tensor(_TAPS, dtype=torch.float32, device=device) / 64
    down = torch.einsum("pk,qr->pqrk", taps, torch.eye(_PHASES, device=device)).reshape(-1, _PHASES, _LENGTH, 1)
    return taps[:, None, None, :], down.contiguous(memory_format=torch.channels_last)


class Reference:
    """A frame (3, H, W) float32 that others are predicted from, interpolated to quarter pixels."""

    def __init__(self, frame: Tensor) -> None:
        planes, self.height, self.width = frame.shape
        left, right = BORDER + _LEFT_TAPS, BORDER + _RIGHT_TAPS
        padded = F.pad(frame[None], (left, right, left, right), mode="replicate")[0][:, None]
        across, down = _filters(frame.device)
        phases = F.conv2d(F.conv2d(padded, across).contiguous(memory_format=torch.channels_last), down)
        self._columns = phases.shape[3]
        self._values = phases.permute(0, 2, 3, 1).to(torch.float16).reshape(planes, -1)
        self._index = torch.int32 if self._values.shape[1] < 1 << 31 else torch.int64

    def luma(self) -> Reference:
        """The first of its colours alone, which is what motion is searched in; shares the values."""
        alone = copy.copy(self)
        alone._values = self._values[:1]
        return alone

    def patches(self, y: Tensor, x: Tensor, size: int) -> Tensor:
        """Values (planes, ..., size, size) float16 of squares whose corners lie at y, x (...) int64 quarter pixels."""
        y = (y + 4 * BORDER).clamp(0, 4 * (self.height + 2 * BORDER - size) + 3)
        x = (x + 4 * BORDER).clamp(0, 4 * (self.width + 2 * BORDER - size) + 3)
        start = ((y >> 2) * self._columns + (x >> 2)) * (_PHASES * _PHASES) + (y & 3) * _PHASES + (x & 3)
        index = start.to(self._index)[..., None] + _inside(size, self._columns, y.device).to(self._index)
        found = self._values.index_select(1, index.reshape(-1))
        return found.reshape(len(self._values), *y.shape, size, size)

    def tiles(self, motion: Tensor, size: int) -> Tensor:
        """Values (planes, rows, columns, size, size) of the tiles of the frame, moved by motion (2, rows, columns)."""
        _, rows, columns = motion.shape
        y = torch.arange(0, rows * size, size, device=motion.device)[:, None] * 4 + motion[0]
        x = torch.arange(0, columns * size, size, device=motion.device) * 4 + motion[1]
        return self.patches(y, x, size)


@lru_cache(maxsize=16)
def _inside(size: int, columns: int, device: torch.device) -> Tensor:
    """(size * size,) distances of a square's pixels from its first, in interpolated values."""
    n = torch.arange(size, device=device)
    return ((n[:, None] * columns + n) * (_PHASES * _PHASES)).reshape(-1)


@lru_cache(maxsize=4)
def _blend(device: torch.device) -> Tensor:
    """(4 corners, 8, 8): weights between the centres of four blocks; they add up to one."""
    ramp = (torch.arange(BLOCK, device=device) + 0.5) / BLOCK
    sides = torch.stack([1 - ramp, ramp])
    return (sides[:, None, :, None] * sides[None, :, None, :]).reshape(4, BLOCK, BLOCK)


def predict(reference: Reference, motion: Tensor, weight: Tensor) -> Tensor:
    """(3, H, W): the reference moved by motion (2, h, w) int64, each block's window multiplied by weight (h, w).

    The frame is cut into cells between the centres of four blocks; beyond the outer centres blocks repeat. Most cells
    have four corners that move alike and need one look-up instead of four.
    """
    motion = F.pad(motion[None].float(), (1, 1, 1, 1), mode="replicate")[0].long()
    weight = F.pad(weight[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    rows, columns = motion.shape[1] - 1, motion.shape[2] - 1
    corners = [(slice(i, i + rows), slice(j, j + columns)) for i in (0, 1) for j in (0, 1)]
    moves = torch.stack([motion[:, a, b] for a, b in corners])  # (4, 2, rows, columns)
    weights = torch.stack([weight[a, b] for a, b in corners])
    device = motion.device
    y = (torch.arange(rows, device=device)[:, None] * BLOCK - BLOCK // 2) * 4 + moves[:, 0]
    x = (torch.arange(columns, device=device) * BLOCK - BLOCK // 2) * 4 + moves[:, 1]
    mixed = (moves != moves[:1]).any(dim=0).any(dim=0) | (weights != weights[:1]).any(dim=0)
    cells = reference.patches(y[0], x[0], BLOCK) * weights[0][..., None, None]
    share = weights[:, mixed][..., None, None] * _blend(device)[:, None]
    some = reference.patches(y[:, mixed], x[:, mixed], BLOCK) * share
    cells[:, mixed] = some.sum(dim=1)
    half = BLOCK // 2
    canvas = cells.permute(0, 1, 3, 2, 4).reshape(-1, rows * BLOCK, columns * BLOCK)
    return canvas[:, half:-half, half:-half]
