"""The linear part of the synthesis: an orthonormal 8x8 block transform behind a colour rotation.

It is a strided transposed convolution whose weights are known beforehand (the type-II discrete cosine transform),
so it costs no bytes and starts the fit where transform coding ends; the learned part only repairs what is left.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK = 8
COLOUR_SCALE = 1 << 14
COLOUR_BYTES = 24


def _basis() -> Tensor:
    """Orthonormal DCT-II, (frequency, position) float64."""
    n = torch.arange(BLOCK, dtype=torch.float64)
    rows = torch.cos(math.pi * (n[None] + 0.5) * n[:, None] / BLOCK) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return rows


_BASIS = torch.kron(_basis(), _basis()).float()  # (v * 8 + u, y * 8 + x)


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

    def apply(self, pictures: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) uint8 on these axes, float32 about 0."""
        planes = pictures.flatten(2).float() / 255 - self.mean.to(pictures.device).reshape(3, 1)
        return (self._rotation(pictures.device).T @ planes).reshape(pictures.shape)

    def pictures(self, frames: Tensor) -> Tensor:
        """The inverse of `apply`: frames (N, 3, H, W) on these axes as uint8 pictures."""
        planes = self._rotation(frames.device) @ frames.flatten(2)
        planes = planes.add_(self.mean.to(frames.device).reshape(3, 1)).clamp_(0, 1).mul_(255).round_()
        return planes.to(torch.uint8).reshape(frames.shape)

    def _rotation(self, device: torch.device) -> Tensor:
        return torch.tensor(self.values[:9], dtype=torch.float32, device=device).reshape(3, 3) / COLOUR_SCALE


def forward_transform(frame: Tensor) -> Tensor:
    """Coefficients (..., 64, h, w) of planes (..., 8h, 8w) float32."""
    *_, height, width = frame.shape
    blocks = F.pixel_unshuffle(frame[..., None, :, :], BLOCK)
    return (_BASIS.to(frame.device) @ blocks.flatten(-2)).reshape(
        *frame.shape[:-2], -1, height // BLOCK, width // BLOCK
    )


def inverse_transform(coefficients: Tensor) -> Tensor:
    """Planes (C, 8h, 8w) of coefficients (C, 64, h, w) float32; blocks that are all zero cost nothing."""
    count, _, height, width = coefficients.shape
    blocks = coefficients.new_zeros(count, height, width, BLOCK, BLOCK)
    used = coefficients.any(dim=1)
    rows = coefficients.permute(0, 2, 3, 1)[used]
    blocks[used] = (rows @ _BASIS.to(coefficients.device)).reshape(-1, BLOCK, BLOCK)
    return blocks.permute(0, 1, 3, 2, 4).reshape(count, height * BLOCK, width * BLOCK)
