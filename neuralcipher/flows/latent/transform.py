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

from neuralcipher.flows.latent.warp import CHANNELS

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
        """The inverse of `apply`: frames (N, H, W, 4) on these axes as uint8 pictures (N, 3, H, W), colours innermost.

        Four pixels of a row are turned at once: the product of larger matrices is several times faster.
        """
        count, height, width, _ = frames.shape
        together = math.gcd(4, width)
        turn = 255 * F.pad(self._rotation(frames.device), (0, 1)).T.contiguous()
        shift = 255 * self.mean.to(frames.device).reshape(3) + 0.5  # what follows rounds down
        turn = torch.kron(torch.eye(together, device=frames.device), turn)
        colours = torch.addmm(shift.repeat(together), frames.reshape(-1, together * CHANNELS), turn)
        colours = colours.nan_to_num_(0, 255, 0).clamp_(0, 255)
        # by way of int16, which is several times faster
        return colours.to(torch.int16).to(torch.uint8).reshape(count, height, width, 3).permute(0, 3, 1, 2)

    def _rotation(self, device: torch.device) -> Tensor:
        return torch.tensor(self.values[:9], dtype=torch.float32, device=device).reshape(3, 3) / COLOUR_SCALE


def forward_transform(frame: Tensor) -> Tensor:
    """Coefficients (..., 64, h, w) of planes (..., 8h, 8w) float32."""
    *_, height, width = frame.shape
    blocks = F.pixel_unshuffle(frame[..., None, :, :], BLOCK)
    return (_BASIS.to(frame.device) @ blocks.flatten(-2)).reshape(
        *frame.shape[:-2], -1, height // BLOCK, width // BLOCK
    )


def inverse_transform(coefficients: Tensor, step: float) -> Tensor:
    """A frame (8h, 8w, 4) of integers (h, w, 3, 64) times a step; blocks that are all zero cost nothing."""
    height, width, colours, _ = coefficients.shape
    blocks = torch.zeros(height * width, BLOCK, BLOCK, CHANNELS, device=coefficients.device)
    flat = coefficients.reshape(height * width, -1)
    used = (flat.view(torch.int64) != 0).any(dim=1).nonzero()[:, 0]  # four at once
    rows = flat.index_select(0, used).reshape(-1, BLOCK * BLOCK).float() @ (_BASIS.to(coefficients.device) * step)
    turned = rows.reshape(-1, colours, BLOCK * BLOCK).transpose(1, 2)
    blocks[used] = F.pad(turned, (0, 1)).reshape(-1, BLOCK, BLOCK, CHANNELS)
    canvas = blocks.reshape(height, width, BLOCK, BLOCK, CHANNELS).transpose(1, 2)
    return canvas.reshape(height * BLOCK, width * BLOCK, CHANNELS)


def planar(frame: Tensor) -> Tensor:
    """Colour planes (..., 3, H, W) of a frame (..., H, W, 4)."""
    return frame[..., :3].movedim(-1, -3)


def interleaved(planes: Tensor) -> Tensor:
    """A frame (..., H, W, 4) float32 of colour planes (..., 3, H, W)."""
    return F.pad(planes.movedim(-3, -1).float(), (0, 1))
