"""A small moving video and random latents, for the tests of inversion."""

from __future__ import annotations

import torch
from torch import Tensor

from neuralcipher.generators.base import Shape

SHAPE = (3, 16, 16)


def latents(seed: int, count: int = 1, shape: Shape = SHAPE) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, *shape), generator=draw, dtype=torch.uint8)


def video(count: int = 16, side: int = 16) -> Tensor:
    """A bright bar that moves over a ramp."""
    frames = torch.linspace(40, 160, side).expand(count, 3, side, side).clone()
    for i in range(count):
        frames[i, :, :, i % side] = 240 - 5 * i
    return frames.round().to(torch.uint8)
