"""Gradients through a public autoencoder g, and the way back from a state that follows them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from neuralcipher.generators.autoencoder import AutoencoderGenerator
from neuralcipher.generators.base import Generator

_HALF_PERIOD = 1 << 14
"""Of the triangle wave, in the units of the sums."""


def differentiable(generator: Generator) -> Callable[[Tensor], Tensor] | None:
    """g on floats, (n, C, H, W) in 0..255, with gradients straight through its rounding; None if that is not known.

    On integers it gives exactly what `next_latent` gives. Read from the public bytes of the generator alone.
    """
    if not isinstance(generator, AutoencoderGenerator):
        return None
    data = generator.to_bytes()
    relu, filters, channels = bool(data[1]), data[2], generator.shape[0]
    sizes = [(channels, filters), *[(filters, filters)] * 5, (filters, channels)]
    layers, offset = [], 3
    for inputs, outputs in sizes:
        count = 9 * inputs * outputs
        weight = torch.from_numpy(np.frombuffer(data, "i1", count, offset).astype(np.float32))
        bias = torch.from_numpy(np.frombuffer(data, "<i2", outputs, offset + count).astype(np.float32))
        layers.append((weight.view(outputs, inputs, 3, 3), bias))
        offset += count + 2 * outputs

    def step(z: Tensor) -> Tensor:
        x = z - 128
        for index, (weight, bias) in enumerate(layers):
            if index in (3, 5):  # Algorithm 1 halves the size twice, then doubles it twice
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = F.pad(x, (1, 1, 1, 1), mode="circular")
            x = F.conv2d(x, weight, bias, stride=2 if index < 2 else 1)
            if not relu:
                phase = torch.remainder(x + _HALF_PERIOD / 2, 2 * _HALF_PERIOD)
                folded = torch.where(phase < _HALF_PERIOD, phase, 2 * _HALF_PERIOD - 1 - phase)
                x = _floor(folded / 64) - 128
            elif index < 6:
                x = _floor(x / 64).clamp(0, 127)
            else:
                x = _floor(x / 32).clamp(-128, 127)
        return x + 128

    return step


class Descent:
    """Adam on the squared difference of g(x) and the known state, from a random x; the best x of all is kept.

    zero_gradient: whether a gradient vanished altogether, which would make a failure mean nothing.
    Source: Kingma & Ba, Adam (2014).
    """

    name, evaluations = "gradient descent", 0

    def __init__(self, step: Callable[[Tensor], Tensor], steps: int, draw: np.random.Generator) -> None:
        self._step, self._steps, self._draw = step, steps, draw
        self.zero_gradient = False

    @torch.enable_grad()  # type: ignore[no-untyped-call,untyped-decorator,unused-ignore]
    def guess(self, z: Tensor) -> Tensor | None:
        """z: (C, H, W) uint8."""
        goal = z[None].float()
        x = torch.from_numpy(self._draw.uniform(0, 255, (1, *z.shape)).astype(np.float32)).requires_grad_()
        optimiser = torch.optim.Adam([x], 2.0)
        best, least = x.detach().clone(), float("inf")
        for _ in range(self._steps):
            loss = (self._step(x) - goal).square().mean()
            error = float(loss.detach())
            if error < least:
                best, least = x.detach().clone(), error
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            if x.grad is None or not x.grad.any():
                self.zero_gradient = True
                break
            optimiser.step()
            with torch.no_grad():
                x.clamp_(0, 255)
        return best[0].round().to(torch.uint8)


def _floor(x: Tensor) -> Tensor:
    """Rounds down forwards, passes gradients backwards as they are."""
    return x + (torch.floor(x) - x).detach()
