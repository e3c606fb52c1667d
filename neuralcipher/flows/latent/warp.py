"""Prediction of a frame from another: overlapped block motion compensation in quarter pixels.

Each 8x8 block moves a 16x16 window around it; the windows overlap and their weights add up to one, so that no block
edges appear. Half pixels come from separable 8-tap filters (the coefficients of HEVC, H.265 section 8.5.3.3.3), quarter
pixels are means of the two nearest of those, as in H.264 (section 8.4.2.2.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
SQUARE = 2 * BLOCK
BORDER = SQUARE  # pixels kept beyond the edges; motion further out sees the edge repeated
CHANNELS = 4  # three colours and a zero, so that a look-up of 8 bytes finds all of a pixel
_HALF = (-1, 4, -11, 40, 40, -11, 4, -1)
_AT_ONCE = 1 << 11  # cells that are predicted together
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
        return _twice(self._addresses(y, x, size), [(self, slice(None))])

    def look_up(self, index: Tensor, found: Tensor) -> None:
        """Put the pixels at `index` into `found`, int64; both are flat."""
        torch.index_select(self._values, 0, index, out=found)

    def _addresses(self, y: Tensor, x: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Of the two half pixels whose mean each corner is, and of all pixels of the square: (n, size * size) each."""
        y = (y + 4 * BORDER).clamp_(0, 4 * (self.height + 2 * BORDER - size))
        x = (x + 4 * BORDER).clamp_(0, 4 * (self.width + 2 * BORDER - size))
        left, right = x >> 1, (x + 1) >> 1
        above, below = y >> 1, (y + 1) >> 1
        # a quarter in both directions lies between two values that are half a pixel off in one direction each
        swap = (x & y & 1) * (1 - ((left + above) & 1))
        inside = _inside(size, self._rows, y.device).to(self._index)
        first = ((left + swap) * self._rows + above).to(self._index)
        second = ((right - swap) * self._rows + below).to(self._index)
        return first[:, None] + inside, second[:, None] + inside


def _twice(addresses: tuple[Tensor, Tensor], parts: Sequence[tuple[Reference, slice]]) -> Tensor:
    """The sums of the pixels at two addresses each, (n, size * size * 4) float32; parts: whose pixels they are."""
    both = []
    for index in addresses:
        found = torch.empty(index.shape, dtype=torch.int64, device=index.device)
        for reference, part in parts:
            reference.look_up(index[part].view(-1), found[part].view(-1))
        both.append(found.view(torch.float16).float())
    return both[0].add_(both[1])


@lru_cache(maxsize=16)
def _inside(size: int, rows: int, device: torch.device) -> Tensor:
    """(size * size,) distances of a square's pixels from its first, in half pixels."""
    n = 2 * torch.arange(size, device=device)
    return (n[:, None] + n * rows).reshape(-1)


@lru_cache(maxsize=4)
def _blend(device: torch.device) -> Tensor:
    """(4 corners, 8 * 8 * 4): a quarter of the weights between the centres of four blocks, which add up to one."""
    ramp = (torch.arange(BLOCK, device=device) + 0.5) / BLOCK
    sides = torch.stack([1 - ramp, ramp])
    blend = sides[:, None, :, None, None] * sides[None, :, None, :, None]
    return blend.expand(2, 2, BLOCK, BLOCK, CHANNELS).reshape(4, -1) / 4


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells between the centres of four blocks; beyond the outer centres blocks repeat.

    blocks: (rows, columns, 4), the four of each. y, x: (rows, columns, 1), its corner in quarter pixels.
    """

    blocks: Tensor
    y: Tensor
    x: Tensor


@lru_cache(maxsize=4)
def _cells(height: int, width: int, device: torch.device) -> _Cells:
    down, right = (torch.arange(-1, size + 1, device=device).clamp(0, size - 1) for size in (height, width))
    block = down[:, None] * width + right
    corners = [block[i : height + 1 + i, j : width + 1 + j] for i in (0, 1) for j in (0, 1)]
    y, x = ((torch.arange(size + 1, device=device) * BLOCK - BLOCK // 2) * 4 for size in (height, width))
    shape = height + 1, width + 1, 1
    return _Cells(torch.stack(corners, dim=2), y[:, None, None].expand(shape), x[:, None].expand(shape))


def predict(references: Sequence[Reference], motion: Tensor, halves: Tensor) -> Tensor:
    """(H, W, 4): one or two references moved by motion (n, 2, h, w) int64 and added up.

    halves: (n, h, w) int64, by how many halves each block's window is multiplied.
    """
    _, _, height, width = motion.shape
    rows, columns = height + 1, width + 1
    cells = _cells(height, width, motion.device)
    motion, halves = motion.transpose(0, 1).flatten(2), halves.flatten(1)
    canvas = torch.empty(rows, BLOCK, columns, BLOCK * CHANNELS, device=motion.device)
    step = max(1, _AT_ONCE // columns)
    for top in range(0, rows, step):
        band = slice(top, min(top + step, rows))
        parts = _band(references, motion, halves, _Cells(cells.blocks[band], cells.y[band], cells.x[band]))
        parts = parts.view(len(references), -1, columns, BLOCK, BLOCK * CHANNELS).transpose(2, 3)
        if len(parts) == 1:
            canvas[band] = parts[0]
        else:
            torch.add(parts[0], parts[1], out=canvas[band])
    half = BLOCK // 2
    return canvas.view(rows * BLOCK, columns * BLOCK, CHANNELS)[half:-half, half:-half]


def _band(references: Sequence[Reference], motion: Tensor, halves: Tensor, cells: _Cells) -> Tensor:
    """(references * cells, 8 * 8 * 4) of some cells; motion (2, references, blocks), halves (references, blocks).

    Most cells have four corners that move alike and need one look-up instead of four; those without weight need none.
    """
    count, blocks = len(references), cells.blocks.reshape(-1)
    y, x = (plane.index_select(1, blocks).view(count, -1, 4) for plane in motion)
    y, x = ((part + corner.reshape(-1, 1)).view(-1, 4) for part, corner in ((y, cells.y), (x, cells.x)))
    halves = halves.index_select(1, blocks).view(-1, 4)
    key = (y << 32) + (x << 2) + halves
    apart = (key[:, 1] != key[:, 0]) | (key[:, 2] != key[:, 0]) | (key[:, 3] != key[:, 0])
    mixed = apart.nonzero()[:, 0]
    alike = (~apart & (halves[:, 0] != 0)).nonzero()[:, 0]
    y, x = (torch.cat([v[:, 0].index_select(0, alike), v.index_select(0, mixed).view(-1)]) for v in (y, x))
    split = len(alike)
    parts = [(references[0], slice(0, None))]
    if count == 2:
        one, other = (int((part < len(apart) // 2).sum()) for part in (alike, mixed))
        ends = [0, one, split, split + 4 * other, len(y)]
        parts = [(references[i % 2], slice(*ends[i : i + 2])) for i in range(4)]
    found = _twice(references[0]._addresses(y, x, BLOCK), parts)
    whole, some = found[:split], found[split:].view(len(mixed), 4, BLOCK * BLOCK * CHANNELS)
    whole *= (halves[:, 0].index_select(0, alike).float() / 4)[:, None]
    some *= halves.index_select(0, mixed).float()[..., None]
    blend = _blend(key.device)
    blended = some[:, 0] * blend[0]
    for corner in (1, 2, 3):
        blended.addcmul_(some[:, corner], blend[corner])
    filled = torch.zeros(len(apart), BLOCK * BLOCK * CHANNELS, device=key.device)
    return filled.index_copy_(0, alike, whole).index_copy_(0, mixed, blended)
