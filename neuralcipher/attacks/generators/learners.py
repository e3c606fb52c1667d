"""Two learners that tell one kind of pair of latents from another: a small residual net, and a classical one beside it.

Both see whole examples of keys that are theirs to learn from, and then give one score a key: a key, not a crop or a
byte, is what an advantage counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from neuralcipher.generators.base import Shape

FloatArray = NDArray[np.float64]
Bytes = NDArray[np.uint8]

FEATURE_BYTES = 8192
"""Bytes of a latent, from its start, that correlations and bits are taken from; histograms are of all bytes."""

TEMPLATE_BYTES = 2048
"""Bytes, from the start, whose single bits are compared with what is usual for each class."""

LAGS = (1, 4, 16, 64, 256, 1024)
"""Of differences of order 4. With a modulus of 2^32 and a multiplier of the form 4 m + 1 (Hull & Dobell, 1962), a jump
of 64 steps is affine with a factor of 1 modulo 2^8, so that the fourth difference of the states is constant."""

CROP = 8
"""Height and width of what the net sees at once."""

CROP_CHANNELS = 4


@dataclass(frozen=True, slots=True)
class Examples:
    """Pairs of latents and their kinds, all the attacker's own. first, second: (n, C, H, W) uint8; labels: (n,)."""

    first: Tensor
    second: Tensor
    labels: NDArray[np.bool_]


class Learner(Protocol):
    """Learns from examples, then scores pairs without labels: above 0 means the kind that is labelled True."""

    name: ClassVar[str]

    def fit(self, examples: Examples) -> None:
        """Learn; there is one call, before any score."""
        ...

    def scores(self, first: Tensor, second: Tensor) -> FloatArray:
        """One score a pair, (n,). first, second: (n, C, H, W) uint8."""
        ...


class Linear:
    """Linear discriminant on statistics of a pair: histograms, bits, correlations of neighbours and of the two latents.

    The covariance is shrunk half of the way to a diagonal one. Half of the examples make a template of single bits (of
    the second latent, and of the XOR of both); what the others score on it is one more statistic.
    Source: Friedman, Regularized discriminant analysis (1989).
    """

    name: ClassVar[str] = "linear discriminant"

    def __init__(self) -> None:
        self._template = self._mean = self._weights = self._scale = np.empty(0)
        self._bias = 0.0

    def fit(self, examples: Examples) -> None:
        half = len(examples.labels) // 2
        bits = template_bits(examples.first, examples.second)
        early = examples.labels[:half]
        self._template = bits[:half][early].mean(axis=0) - bits[:half][~early].mean(axis=0)
        values = np.column_stack([statistics_of(examples.first, examples.second), bits @ self._template])[half:]
        labels = examples.labels[half:]
        means = [values[labels == kind].mean(axis=0) for kind in (True, False)]
        within = values - np.where(labels[:, None], means[0], means[1])
        # A statistic that never varied is a certain sign, not an infinite one.
        self._scale = within.std(axis=0) + 1e-3 * values.std(axis=0) + 1e-9
        covariance = np.cov((within / self._scale).T)
        covariance = 0.5 * covariance + 0.5 * np.eye(len(covariance))
        self._mean = (means[0] + means[1]) / 2
        self._weights = np.linalg.solve(covariance, (means[0] - means[1]) / self._scale)

    def scores(self, first: Tensor, second: Tensor) -> FloatArray:
        values = np.column_stack([statistics_of(first, second), template_bits(first, second) @ self._template])
        return np.asarray(((values - self._mean) / self._scale) @ self._weights)


def template_bits(first: Tensor, second: Tensor) -> FloatArray:
    """(n, bits) of -1 and 1: the bits of the second latent and of the XOR of both, of the first `TEMPLATE_BYTES`."""
    a, b = (z.flatten(1)[:, :TEMPLATE_BYTES].numpy() for z in (first, second))
    return np.unpackbits(np.concatenate([b, a ^ b], axis=1), axis=1).astype(np.float64) * 2 - 1


def statistics_of(first: Tensor, second: Tensor) -> FloatArray:
    """(n, statistics): of each pair of latents alone, so that they do not depend on where in a batch it stands."""
    shape = (int(first.shape[1]), int(first.shape[2]), int(first.shape[3]))
    pairs = zip(first.flatten(1).numpy(), second.flatten(1).numpy(), strict=True)
    return np.stack([_statistics(a, b, shape) for a, b in pairs])


def _statistics(a: Bytes, b: Bytes, shape: Shape) -> FloatArray:
    difference = b - a
    out = [np.log(1e-3 + chi_square(z)) for z in (a, b, difference, a ^ b)]
    out.append(np.log(0.5 + float((a == b).sum())))
    a, b, difference = (z[:FEATURE_BYTES] for z in (a, b, difference))
    for part in (a, b, a ^ b):
        shares = np.unpackbits(part[:, None], axis=1).mean(axis=0) - 0.5
        out += [*shares, float(np.square(shares).sum())]
    centred = [z.astype(np.float64) - 127.5 for z in (a, b, difference)]
    for lag in (1, shape[2], shape[1] * shape[2]):
        for z in centred:
            value = float(np.mean(z[:-lag] * z[lag:])) if lag < len(z) else 0.0
            out += [value, abs(value)]
    for shift in (-1, 0, 1):
        out.append(float(np.mean(np.roll(centred[0], shift) * centred[1])))
    out += [np.log(1e-3 + chi_square(fourth_difference(b, lag))) if 4 * lag < len(b) else 0.0 for lag in LAGS]
    return np.asarray(out)


def fourth_difference(z: Bytes, lag: int) -> Bytes:
    """b_i - 4 b_{i+lag} + 6 b_{i+2 lag} - 4 b_{i+3 lag} + b_{i+4 lag} modulo 256, of bytes b; (n - 4 lag,)."""
    for _ in range(4):
        z = z[lag:] - z[:-lag]
    return z


def chi_square(z: Bytes) -> float:
    """Of the histogram of bytes against uniform, 255 degrees of freedom."""
    counts = np.bincount(z, minlength=256)
    return float(np.square(counts - len(z) / 256).sum() / (len(z) / 256))


class Net:
    """A residual convolution net on the bits of crops, as Gohr's on the bits of ciphertexts; logits of crops add up.

    It sees 8x8 crops of up to 4 channels at a few fixed places: 8 bit planes a channel of the first latent, of the
    second, and of their XOR. Source: Gohr, Improving attacks on round-reduced Speck32/64 using deep learning (2019).
    """

    name: ClassVar[str] = "residual net"

    def __init__(self, shape: Shape, *, crops: int, epochs: int, width: int, seed: int) -> None:
        """crops: places that are looked at. epochs: over the examples. width: filters."""
        draw = np.random.default_rng(seed)
        self._size = min(CROP, shape[1]), min(CROP, shape[2])
        self._channels = min(CROP_CHANNELS, shape[0])
        room = [limit - size + 1 for limit, size in zip(shape[1:], self._size, strict=True)]
        self._places = draw.integers(0, room, (crops, 2)).tolist()
        self._epochs, self._seed = epochs, seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._net = _ResidualNet(24 * self._channels, width, self._size[0] * self._size[1])

    def fit(self, examples: Examples) -> None:
        planes = self._planes(examples.first, examples.second)
        labels = torch.from_numpy(np.tile(examples.labels, len(self._places)).astype(np.float32))
        order = torch.Generator().manual_seed(self._seed)
        optimiser = torch.optim.Adam(self._net.parameters(), 2e-3, weight_decay=1e-5)
        self._net.train()
        with torch.enable_grad():
            for _ in range(self._epochs):
                for batch in torch.split(torch.randperm(len(labels), generator=order), 32):
                    loss = F.binary_cross_entropy_with_logits(self._net(_signs(planes[batch])), labels[batch])
                    optimiser.zero_grad()
                    torch.autograd.backward(loss)
                    optimiser.step()
        self._net.eval()

    @torch.no_grad()
    def scores(self, first: Tensor, second: Tensor) -> FloatArray:
        logits = [self._net(_signs(part)) for part in torch.split(self._planes(first, second), 256)]
        return np.asarray(torch.cat(logits).double().view(len(self._places), len(first)).sum(dim=0).numpy())

    def _planes(self, first: Tensor, second: Tensor) -> Tensor:
        """(places * n, 3 * channels, h, w) uint8: the crops of the first latents, the second ones and their XOR."""
        height, width = self._size
        crops = []
        for y, x in self._places:
            a, b = (z[:, : self._channels, y : y + height, x : x + width] for z in (first, second))
            crops.append(torch.cat([a, b, a ^ b], dim=1))
        return torch.cat(crops)


def _signs(crops: Tensor) -> Tensor:
    """(n, channels, h, w) uint8 -> (n, 8 * channels, h, w) of -1 and 1."""
    bits = (crops[:, :, None] >> torch.arange(8, dtype=torch.uint8)[:, None, None]) & 1
    return bits.flatten(1, 2).float().mul_(2).sub_(1)


class _ResidualNet(nn.Module):
    """1x1 convolution of bit planes, two residual blocks of 3x3, one logit."""

    def __init__(self, planes: int, width: int, pixels: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(planes, width, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(4))
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for _ in range(5))
        self.leave = nn.Linear(width * pixels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.enter(x)))
        for block in (0, 2):
            y = F.relu(self.norms[block + 1](self.blocks[block](x)))
            x = x + F.relu(self.norms[block + 2](self.blocks[block + 1](y)))
        logit: Tensor = self.leave(x.flatten(1))[:, 0]
        return logit
