"""The network that the paper uses throughout."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neuralcipher.errors import UsageError

MAX_ACTIVATIONS = 1 << 30
"""Numbers that the widest layer may make of one frame."""
_OUTPUT_GAIN = 0.1


def check_activations(activations: int) -> None:
    """Raise UsageError if the widest layer would make more numbers of one frame than a section may ask for."""
    if activations > MAX_ACTIVATIONS:
        raise UsageError(
            f"layers of {activations} numbers a frame are above the limit of {MAX_ACTIVATIONS}",
            hint="choose a smaller nconv, or a smaller --scale",
        )


class Algorithm1(nn.Module):
    """Seven 3x3 layers: two strided, two upsamplings. (B, C, H, W) to the same shape, H and W multiples of 4.

    nconv: filters of each layer. channels: C, of what goes in and comes out.

    The last rectifier of the paper is left out: rectified outputs that start below zero would never learn.
    Source: Neural Video Encoding, Algorithm 1.
    """

    def __init__(self, nconv: int, channels: int = 3) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [
                nn.Conv2d(channels, nconv, 3, stride=2, padding=1),
                nn.Conv2d(nconv, nconv, 3, stride=2, padding=1),
                nn.Conv2d(nconv, nconv, 3, padding=1),
            ]
        )
        self.middle = nn.ModuleList(
            [nn.Conv2d(nconv, nconv, 3, padding=1), nn.ConvTranspose2d(nconv, nconv, 3, padding=1)]
        )
        self.up = nn.Conv2d(nconv, nconv, 3, padding=1)
        self.out = nn.ConvTranspose2d(nconv, channels, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                # He et al., 2015: torch's default loses the input on the way through seven rectified layers.
                nn.init.normal_(layer.weight, std=math.sqrt(2 / (9 * layer.in_channels)))
                layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
        self.out.weight.data *= _OUTPUT_GAIN

    def forward(self, x: Tensor) -> Tensor:
        """x in [0, 1]; returns values around [0, 1], not clamped."""
        x = (2 * x - 1).contiguous(memory_format=torch.channels_last)
        for layer in self.down:
            x = F.relu(layer(x))
        x = F.interpolate(x, scale_factor=2)
        for layer in self.middle:
            x = F.relu(layer(x))
        x = F.interpolate(x, scale_factor=2)
        y: Tensor = self.out(F.relu(self.up(x)))
        return y + 0.5


def algorithm1_shapes(nconv: int, channels: int = 3) -> list[tuple[int, ...]]:
    """The shapes of the parameters of Algorithm1, in their order, without making any."""
    kernels = [(nconv, channels), *[(nconv, nconv)] * 5, (nconv, channels)]
    outputs = [nconv] * 6 + [channels]
    return [shape for kernel, output in zip(kernels, outputs, strict=True) for shape in ((*kernel, 3, 3), (output,))]
