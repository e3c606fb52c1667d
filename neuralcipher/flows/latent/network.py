"""The learned part of the synthesis: a small network that repairs each decoded frame.

It sees the frame and its residual at half resolution (each 2x2 square of pixels in the channels, with the zero that
frames carry as a fourth colour) and adds a correction: it removes block edges and restores what quantisation blurred.
It starts from weights that were trained beforehand and ship with the package; what a video changes in them is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.coding.weights import load_parameters
from neuralcipher.flows.device import place
from neuralcipher.flows.latent.structure import LEVELS
from neuralcipher.flows.latent.warp import CHANNELS

FOLD = 2
HIDDEN = 16
REPAIRED_LEVELS = LEVELS - 1  # the last level of the longest groups is shown as it is: it lost .07 dB
_SLOPE = 0.1
_QUALITY_SCALE = 50.0


class RepairNetwork(nn.Module):
    """Three 3x3 convolutions at half resolution with 16 channels between them, and a bias for level and quality."""

    def __init__(self) -> None:
        super().__init__()
        folded = CHANNELS * FOLD * FOLD
        self.first = nn.Conv2d(2 * folded, HIDDEN, 3, padding=1, bias=False)
        self.level = nn.Parameter(torch.zeros(LEVELS, HIDDEN))
        self.quality = nn.Parameter(torch.zeros(HIDDEN))
        self.middle = nn.Conv2d(HIDDEN, HIDDEN, 3, padding=1)
        self.last = nn.Conv2d(HIDDEN, folded, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        self.last.bias = nn.Parameter(torch.zeros(folded))  # starts as the identity

    def forward(self, frame: Tensor, residual: Tensor, level: Tensor, quality: Tensor) -> Tensor:
        """Repair frames; frame and residual (B, H, W, 4) float32, level and quality (B,) int64."""
        bias = self.level[level] + quality[:, None] / _QUALITY_SCALE * self.quality
        seen = _beside(frame, residual).permute(0, 3, 1, 2)  # channels_last
        alone = len(bias) == 1
        x = F.conv2d(seen, self._unfolded(), bias[0] if alone else None, stride=FOLD, padding=FOLD)
        x = x if alone else x + bias[:, :, None, None]
        x = self.middle(F.leaky_relu(x, _SLOPE, inplace=True))
        x = self.last(F.leaky_relu(x, _SLOPE, inplace=True)).permute(0, 2, 3, 1)
        correction = x.reshape(*x.shape[:3], FOLD, FOLD * CHANNELS).transpose(2, 3)
        repaired: Tensor = frame.reshape(correction.shape) + correction.to(frame.dtype)
        return repaired.reshape(frame.shape)

    def _unfolded(self) -> Tensor:
        """The first convolution as one of 6x6 pixels in steps of two, so that nothing needs to be folded for it."""
        weight = self.first.weight.reshape(HIDDEN, 2, FOLD, FOLD, CHANNELS, 3, 3)
        weight = weight.permute(0, 5, 2, 6, 3, 1, 4).reshape(HIDDEN, 3 * FOLD, 3 * FOLD, 2 * CHANNELS)
        return weight.permute(0, 3, 1, 2)


def _beside(frame: Tensor, residual: Tensor) -> Tensor:
    """(B, H, W, 8): both in the channels of each pixel; contiguous frames of float32 are copied four values at once."""
    if frame.dtype != torch.float32 or not (frame.is_contiguous() and residual.is_contiguous()):
        return torch.cat([frame, residual], dim=3)
    pixels = torch.empty(*frame.shape[:3], 2, dtype=torch.complex128, device=frame.device)
    for number, part in enumerate((frame, residual)):
        pixels[..., number] = part.view(torch.complex128)[..., 0]
    return pixels.view(torch.float32)


def repair_network(weights: Sequence[Tensor], device: torch.device) -> RepairNetwork:
    """A network with these parameters, ready on `device`."""
    network = RepairNetwork()
    load_parameters(network, weights)
    place(network, device)
    return network


@lru_cache(maxsize=1)
def shipped_weights() -> tuple[Tensor, ...]:
    """The parameters of the network as they ship, in their order; float16 on disk, float32 here."""
    raw = files("neuralcipher").joinpath("data/latent_network.bin").read_bytes()
    values = torch.from_numpy(np.frombuffer(raw, "<f2").astype(np.float32))
    shapes = [p.shape for p in RepairNetwork().parameters()]
    parts = torch.split(values, [shape.numel() for shape in shapes])
    return tuple(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
