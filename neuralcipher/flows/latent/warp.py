"""Prediction of a frame from two others: overlapped block motion compensation in quarter pixels.

Each 8x8 block moves a 16x16 window around it; the windows overlap and their weights add up to one, so that no block
edges appear. Between pixels, separable 8-tap filters interpolate (the coefficients of HEVC, H.265 section 8.5.3.3.3).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
WINDOW = 2 * BLOCK
BORDER = 24  # pixels kept beyond the edges; motion further out sees the edge repeated
_TAPS = (
    (0, 0, 0, 64, 0, 0, 0, 0),
    (-1, 4, -10, 58, 17, -5, 1, 0),
    (-1, 4, -11, 40, 40, -11, 4, -1),
    (0, 1, -5, 17, 58, -10, 4, -1),
)
_PHASES = len(_TAPS)
_LEFT_TAPS, _RIGHT_TAPS = 3, 4


@lru_cache(maxsize=4)
def _filters(device: torch.device) -> Tensor:
    """(16 phases, 1, 8, 8)."""
    taps = torch.tensor(_TAPS, dtype=torch.float32, device=device) / 64
    kernels = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(-1, 1, 8, 8)
    return kernels.contiguous(memory_format=torch.channels_last)


class Reference:
    """A frame (3, H, W) float32 that others are predicted from, interpolated to quarter pixels."""

    def __init__(self, frame: Tensor, planes: int = 3) -> None:
        colours, self.height, self.width = frame.shape
        left, right = BORDER + _LEFT_TAPS, BORDER + _RIGHT_TAPS
        padded = F.pad(frame[None], (left, right, left, right), mode="replicate")[0][:planes, None]
        phases = F.conv2d(padded.contiguous(memory_format=torch.channels_last), _filters(frame.device))
        self._columns = phases.shape[3]
        self._rows = phases.permute(2, 3, 1, 0).to(torch.float16).reshape(-1, planes)

    def windows(self, motion: Tensor, size: int, offset: int) -> Tensor:
        """Values (n rows, n columns, size, size, planes) float32 of windows that start `offset` pixels from blocks.

        motion: (2, n rows, n columns) int64 in quarter pixels; blocks of size - 2 * |offset| pixels tile the frame.
        """
        block = size + 2 * offset
        _, rows, columns = motion.shape
        y = torch.arange(rows, device=motion.device)[:, None] * (4 * block) + motion[0] + 4 * (BORDER + offset)
        x = torch.arange(columns, device=motion.device) * (4 * block) + motion[1] + 4 * (BORDER + offset)
        y = y.clamp(0, 4 * (self.height + 2 * BORDER - size) + 3)
        x = x.clamp(0, 4 * (self.width + 2 * BORDER - size) + 3)
        start = ((y >> 2) * self._columns + (x >> 2)) * (_PHASES * _PHASES) + (y & 3) * _PHASES + (x & 3)
        inside = _inside(size, self._columns, motion.device)
        found = self._rows.index_select(0, (start[..., None] + inside).reshape(-1))
        return found.reshape(rows, columns, size, size, -1).float()


@lru_cache(maxsize=16)
def _inside(size: int, columns: int, device: torch.device) -> Tensor:
    """(size * size,) distances of a window's pixels from its first, in interpolated rows."""
    n = torch.arange(size, device=device)
    return ((n[:, None] * columns + n) * (_PHASES * _PHASES)).reshape(-1)


@lru_cache(maxsize=4)
def _weights(device: torch.device) -> Tensor:
    """(16, 16, 1): the window of a block; windows 8 pixels apart add up to one."""
    ramp = (torch.arange(BLOCK, device=device) + 0.5) / BLOCK
    side = torch.cat([ramp, ramp.flip(0)])
    return (side[:, None] * side)[..., None]


def predict(reference: Reference, motion: Tensor, weight: Tensor) -> Tensor:
    """(3, H, W): the reference moved by motion (2, h, w) int64, each block's window multiplied by weight (h, w)."""
    motion = F.pad(motion[None].float(), (1, 1, 1, 1), mode="replicate")[0].long()
    weight = F.pad(weight[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    # the ring of repeated blocks shifts the grid by one block
    moved = reference.windows(motion - 4 * BLOCK, WINDOW, -BLOCK // 2)
    moved = moved * (_weights(motion.device) * weight[:, :, None, None, None])
    rows, columns = motion.shape[1:]
    canvas = moved.new_zeros(rows + 1, BLOCK, columns + 1, BLOCK, moved.shape[-1])
    for i in (0, 1):
        for j in (0, 1):
            part = moved[:, :, i * BLOCK : (i + 1) * BLOCK, j * BLOCK : (j + 1) * BLOCK].permute(0, 2, 1, 3, 4)
            canvas[i : rows + i, :, j : columns + j] += part
    flat = canvas.reshape((rows + 1) * BLOCK, (columns + 1) * BLOCK, -1)
    half = BLOCK // 2
    inside = flat[BLOCK + half : -BLOCK - half, BLOCK + half : -BLOCK - half]
    return inside.permute(2, 0, 1)
