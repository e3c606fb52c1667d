"""Prediction of a frame from another: overlapped block motion compensation in quarter pixels.

Each 8x8 block moves a 16x16 window around it; the windows overlap and their weights add up to one, so that no block
edges appear. Half pixels come from separable 8-tap filters (the coefficients of HEVC, H.265 section 8.5.3.3.3), quarter
pixels are means of the two nearest of those, as in H.264 (section 8.4.2.2.1).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
SQUARE = 2 * BLOCK
BORDER = SQUARE  # pixels kept beyond the edges; motion further out sees the edge repeated
CHANNELS = 4  # three colours and a zero, so that a look-up of 8 bytes finds all of a pixel
_HALF = (-1, 4, -11, 40, 40, -11, 4, -1)
_LEFT, _RIGHT = 3, 4  # taps before and behind the pixel to the left of a half one


@lru_cache(maxsize=4)
def _filter(device: torch.device) -> Tensor:
    """(8, 15): eight values half way between neighbours, from fifteen in a row."""
    taps = torch.tensor(_HALF, dtype=torch.float32, device=device) / 64
    rows = [F.pad(taps, (i, BLOCK - 1 - i)) for i in range(BLOCK)]
    return torch.stack(rows)


def _halves(rows: Tensor) -> Tensor:
    """(n, columns) values half way between rows 3 and 4, 4 and 5, ... of rows (n + 7, columns); n a multiple of 8."""
    count, columns = rows.shape[0] - _LEFT - _RIGHT, rows.shape[1]
    windows = rows.as_strided((count // BLOCK, 2 * BLOCK - 1, columns), (BLOCK * columns, columns, 1))
    return torch.matmul(_filter(rows.device), windows).reshape(count, columns)


@lru_cache(maxsize=16)
def _spread(size: int, device: torch.device) -> Tensor:
    """Indices that repeat both edges of `size` pixels."""
    return torch.arange(-BORDER - _LEFT, size + BORDER + _RIGHT, device=device).clamp(0, size - 1)


class Reference:
    """A frame (H, W, 4) float32 that others are predicted from, interpolated to half pixels; H, W multiples of 8."""

    def __init__(self, frame: Tensor) -> None:
        self.height, self.width, _ = frame.shape
        rows, columns = self.height + 2 * BORDER, self.width + 2 * BORDER
        padded = frame.index_select(0, _spread(self.height, frame.device)).flatten(1)
        upright = torch.empty(rows, 2, padded.shape[1], dtype=torch.float16, device=frame.device)
        upright[:, 0], upright[:, 1] = padded[_LEFT:-_RIGHT], _halves(padded)
        turned = upright.view(torch.int64).reshape(2 * rows, -1).T  # a pixel is one integer
        turned = turned.index_select(0, _spread(self.width, frame.device)).view(torch.float16)
        values = torch.empty(columns, 2, turned.shape[1], dtype=torch.float16, device=frame.device)
        values[:, 0], values[:, 1] = turned[_LEFT:-_RIGHT], _halves(turned.float())
        # (columns, rows) of half pixels, four float16 in each integer
        self._values = values.reshape(-1).view(torch.int64)
        self._rows = 2 * rows
        self._index = torch.int32 if len(self._values) < 1 << 31 else torch.int64

    def luma(self) -> Tensor:
        """(columns, rows) float16 of the first colour at half pixels; see `BORDER`."""
        return self._values.view(torch.float16)[::CHANNELS].reshape(-1, self._rows)

    def patches(self, y: Tensor, x: Tensor, size: int) -> Tensor:
        """Twice the values, (n, size * size * 4) float32, of squares with corners at y, x (n,) int64 quarter pixels."""
        y = (y + 4 * BORDER).clamp(0, 4 * (self.height + 2 * BORDER - size))
        x = (x + 4 * BORDER).clamp(0, 4 * (self.width + 2 * BORDER - size))
        left, right = x >> 1, (x + 1) >> 1
        above, below = y >> 1, (y + 1) >> 1
        # a quarter in both directions lies between two values that are half a pixel off in one direction each
        swap = (x & y & 1) * (1 - ((left + above) & 1))
        first, second = left + swap, right - swap
        inside = _inside(size, self._rows, y.device).to(self._index)
        found = self._at((first * self._rows + above).to(self._index)[:, None] + inside)
        found += self._at((second * self._rows + below).to(self._index)[:, None] + inside)
        return found.reshape(len(y), size * size * CHANNELS)

    def _at(self, index: Tensor) -> Tensor:
        return self._values.index_select(0, index.reshape(-1)).view(torch.float16).float()


@lru_cache(maxsize=16)
def _inside(size: int, rows: int, device: torch.device) -> Tensor:
    """(size * size,) distances of a square's pixels from its first, in half pixels."""
    n = 2 * torch.arange(size, device=device)
    return (n[:, None] + n * rows).reshape(-1)


@lru_cache(maxsize=4)
def _blend(device: torch.device) -> Tensor:
    """(4 corners, 8 * 8 * 4): half the weights between the centres of four blocks, which add up to one."""
    ramp = (torch.arange(BLOCK, device=device) + 0.5) / BLOCK
    sides = torch.stack([1 - ramp, ramp])
    blend = sides[:, None, :, None, None] * sides[None, :, None, :, None]
    return blend.expand(2, 2, BLOCK, BLOCK, CHANNELS).reshape(4, -1) / 2


def predict(reference: Reference, motion: Tensor, weight: Tensor) -> Tensor:
    """(H, W, 4): the reference moved by motion (2, h, w) int64, each block's window multiplied by weight (h, w).

    The frame is cut into cells between the centres of four blocks; beyond the outer centres blocks repeat. Most cells
    have four corners that move alike and need one look-up instead of four; those without weight need none.
    """
    _, height, width = motion.shape
    device = motion.device
    rows, columns = height + 1, width + 1
    down = torch.arange(-1, rows, device=device).clamp_(0, height - 1)
    right = torch.arange(-1, columns, device=device).clamp_(0, width - 1)
    motion = motion.index_select(1, down).index_select(2, right)
    weight = weight.index_select(0, down).index_select(1, right)
    corners = [(slice(i, i + rows), slice(j, j + columns)) for i in (0, 1) for j in (0, 1)]
    moves = torch.stack([motion[:, a, b] for a, b in corners])  # (4, 2, rows, columns)
    weights = torch.stack([weight[a, b] for a, b in corners]).reshape(4, -1)
    apart = (moves != moves[:1]).any(dim=0).any(dim=0).reshape(-1) | (weights != weights[:1]).any(dim=0)
    moves[:, 0] += (torch.arange(rows, device=device) * BLOCK - BLOCK // 2)[:, None] * 4
    moves[:, 1] += (torch.arange(columns, device=device) * BLOCK - BLOCK // 2) * 4
    moves = moves.reshape(4, 2, -1)
    cells = torch.zeros(rows * columns, BLOCK * BLOCK * CHANNELS, device=device)
    alike = (~apart & (weights[0] != 0)).nonzero()[:, 0]
    mixed = apart.nonzero()[:, 0]
    y, x = moves[0].index_select(1, alike)
    found = reference.patches(y, x, BLOCK)
    cells.index_copy_(0, alike, found.mul_(weights[0].index_select(0, alike)[:, None] / 2))
    y, x = moves.index_select(2, mixed).transpose(0, 1).flatten(1)
    some = reference.patches(y, x, BLOCK).reshape(4, len(mixed), len(_blend(device)[0]))
    some *= weights.index_select(1, mixed)[..., None]
    blend = _blend(device)
    blended = some[0] * blend[0]
    for corner in (1, 2, 3):
        blended.addcmul_(some[corner], blend[corner])
    cells.index_copy_(0, mixed, blended)
    half = BLOCK // 2
    canvas = cells.reshape(rows, columns, BLOCK, BLOCK * CHANNELS).transpose(1, 2)
    return canvas.reshape(rows * BLOCK, columns * BLOCK, CHANNELS)[half:-half, half:-half]
