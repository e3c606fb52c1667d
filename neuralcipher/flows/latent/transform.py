"""The linear part of the synthesis: an orthonormal 8x8 block transform behind a colour rotation.

It is a strided transposed convolution whose weights are known beforehand (the type-II discrete cosine transform),
so it costs no bytes and starts the fit where transform coding ends; the learned part only repairs what is left.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
FOLD = 2  # decoded frames stay folded: (12, H/2, W/2), each 2x2 square of pixels in the channels
COLOUR_SCALE = 1 << 14
COLOUR_BYTES = 24


def _block_basis() -> Tensor:
    """Orthonormal two-dimensional DCT-II, (v * 8 + u, y * 8 + x) float64."""
    n = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos(math.pi * (n[None] + 0.5) * n[:, None] / BLOCK) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows)


def _channel_order() -> Tensor:
    """Which (colour, v, u) coefficient each of the 192 channels is: by frequency, chroma two steps later."""
    n = torch.arange(BLOCK)
    frequency = (n[:, None] + n[None]).double()
    rank = torch.stack([frequency, frequency + 2.01, frequency + 2.02])
    rank[:, 0, 0] = torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64)
    return torch.argsort(rank.reshape(-1), stable=True)


_BLOCK_BASIS = _block_basis()
_ORDER = _channel_order()


@dataclass(frozen=True, slots=True)
class Colour:
    """An affine colour transform: rgb = rotation @ ycc + mean, in units of [0, 1]; 12 integers of 2**-14."""

    values: tuple[int, ...]

    @classmethod
    def fit(cls, pixels: Tensor) -> Colour:
        """Principal axes of pixels (n, 3) in [0, 1]: the colour axes that decorrelate this video."""
        mean = pixels.double().mean(dim=0)
        centred = pixels.double() - mean
        _, axes = torch.linalg.eigh(centred.T @ centred / max(1, len(pixels)))
        rotation = axes.flip(1)
        rotation = rotation * torch.where(rotation.sum(dim=0) < 0, -1.0, 1.0)
        flat = torch.cat([rotation.reshape(-1), mean]) * COLOUR_SCALE
        return cls(tuple(int(v) for v in torch.round(flat).clamp(-32768, 32767)))

    @property
    def mean(self) -> Tensor:
        """(3, 1, 1) float32."""
        return torch.tensor(self.values[9:], dtype=torch.float32).reshape(3, 1, 1) / COLOUR_SCALE

    def to_bytes(self) -> bytes:
        """24 bytes: the integers, 16 bits each."""
        return struct.pack("<12h", *self.values)

    @classmethod
    def from_bytes(cls, data: bytes) -> Colour:
        """Read 24 bytes; any 24 bytes are some colour transform."""
        return cls(struct.unpack("<12h", data))


@lru_cache(maxsize=4)
def _basis(colour: Colour) -> Tensor:
    """(192 channels, 192 values of a block in (colour, y, x) order) float32: the weights of the synthesis."""
    rotation = torch.tensor(colour.values[:9], dtype=torch.float64).reshape(3, 3) / COLOUR_SCALE
    return torch.kron(rotation.T.contiguous(), _BLOCK_BASIS)[_ORDER].float()


@lru_cache(maxsize=4)
def _folded_basis(colour: Colour) -> Tensor:
    """The same weights with the values of a block in (colour, y % 2, x % 2, y // 2, x // 2) order."""
    half = BLOCK // FOLD
    values = _basis(colour).reshape(-1, 3, half, FOLD, half, FOLD)
    return values.permute(0, 1, 3, 5, 2, 4).reshape(-1, 3 * BLOCK * BLOCK)


def grid_size(height: int, width: int) -> tuple[int, int]:
    """Blocks down and across that cover a frame."""
    return -(-height // BLOCK), -(-width // BLOCK)


def analyse(frames: Tensor, colour: Colour) -> Tensor:
    """Coefficients (B, 192, h, w) float32 of frames (B, 3, H, W) uint8, padded by their edges to whole blocks."""
    _, _, height, width = frames.shape
    rows, columns = grid_size(height, width)
    x = frames.float() / 255 - colour.mean
    x = F.pad(x, (0, columns * BLOCK - width, 0, rows * BLOCK - height), mode="replicate")
    blocks = F.pixel_unshuffle(x, BLOCK).permute(0, 2, 3, 1)
    return (blocks @ _basis(colour).T).permute(0, 3, 1, 2)


def synthesise(coefficients: Tensor, colour: Colour) -> Tensor:
    """The inverse of `analyse`: (B, 192, h, w) to folded frames (B, 12, 4h, 4w) float32 about [0, 1], not clamped."""
    blocks = (coefficients.permute(0, 2, 3, 1) @ _folded_basis(colour)).permute(0, 3, 1, 2)
    folded = F.pixel_shuffle(blocks, BLOCK // FOLD) + colour.mean.repeat_interleave(FOLD * FOLD, dim=0)
    return folded.contiguous(memory_format=torch.channels_last)


def unfold(folded: Tensor) -> Tensor:
    """Folded frames (B, 12, H/2, W/2) as pictures (B, 3, H, W)."""
    return F.pixel_shuffle(folded, FOLD)


def to_numpy(coefficients: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Float32 array of the same shape."""
    return coefficients.contiguous().numpy()
