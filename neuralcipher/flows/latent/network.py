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
        count, height, width, _ = frame.shape
        folded = torch.stack([_squares(frame), _squares(residual)], dim=3).flatten(3)
        bias = self.level[level] + quality[:, None] / _QUALITY_SCALE * self.quality
        x = self.first(folded.permute(0, 3, 1, 2)) + bias[:, :, None, None]  # channels_last
        x = self.middle(F.leaky_relu(x, _SLOPE, inplace=True))
        x = self.last(F.leaky_relu(x, _SLOPE, inplace=True)).permute(0, 2, 3, 1)
        x = x.reshape(count, height // FOLD, width // FOLD, FOLD, FOLD * CHANNELS).transpose(2, 3)
        correction: Tensor = x.reshape(frame.shape)
        return frame + correction.to(frame.dtype)


def _squares(frames: Tensor) -> Tensor:
    """Frames (B, H, W, 4) as squares of 2x2 pixels, (B, H/2, W/2, 2, 8)."""
    count, height, width, channels = frames.shape
    return frames.reshape(count, height // FOLD, FOLD, width // FOLD, FOLD * channels).transpose(2, 3)


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
