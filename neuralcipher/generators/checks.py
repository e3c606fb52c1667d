"""What a generator must pass before it masks anything: noncyclic, avalanche, uniform.

Necessary, not sufficient: many broken ciphers pass all three. Exact nulls, no thresholds from folklore.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralcipher.errors import ShapeError, UsageError
from neuralcipher.generators.base import Generator

IDEAL_DISTANCE = 1 / 6
"""Mean squared difference of two independent uniforms on [0, 1)."""

_DISTANCE_SD = math.sqrt(7 / 180)
"""Standard deviation of one squared difference of two independent uniforms: sqrt(1/15 - 1/36)."""

_MIN_RATIO = 0.85
_SAMPLE_POSITIONS = 8192
_BLOCK_ROWS = 512
_MAX_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class NoncyclicReport:
    """Fig. 4 of the paper as numbers, over z_1..z_N.

    min_distance, mean_distance: of the off-diagonal mean squared distances, values/256 in [0, 1).
    threshold: what min_distance must reach. repeated: whether a state, z_0 included, came back. ok: the verdict.
    """

    min_distance: float
    mean_distance: float
    threshold: float
    repeated: bool
    ok: bool
    ideal: float = IDEAL_DISTANCE


@dataclass(frozen=True, slots=True)
class AvalancheReport:
    """What one flipped bit changes after one step, over all flips.

    byte_fraction: bytes that differ (NPCR), 255/256 when ideal. bit_fraction: bits that differ, 1/2 when ideal.
    worst_byte_fraction: of the worst flip. ok: byte fraction not below its exact null by 6 standard deviations.
    """

    byte_fraction: float
    bit_fraction: float
    worst_byte_fraction: float
    ok: bool


@dataclass(frozen=True, slots=True)
class UniformityReport:
    """Pearson's chi-square of byte values on 255 degrees of freedom, and its upper-tail probability."""

    chi_square: float
    p_value: float


def noncyclic(generator: Generator, z0: Tensor, steps: int = 1000) -> NoncyclicReport:
    """Walk z_1..z_steps from z0: no state may repeat, and no two may be close.

    z0: (C, H, W) uint8. Distances use at most 8,192 positions, evenly spaced; repeats are found on all bytes.
    The bar is 0.85 of the ideal 1/6, or 6.5 standard deviations below it where a small latent makes that lower:
    independent uniform latents of fewer than about 2,600 bytes would miss 0.85 by chance.
    Raises ShapeError if z0 does not fit, UsageError for fewer than 2 steps or more than 100,000.
    Source: Neural Video Encoding, Fig. 4.
    """
    if not 2 <= steps <= _MAX_STEPS:
        raise UsageError(f"the noncyclic check takes 2 to {_MAX_STEPS} steps, not {steps}")
    if tuple(z0.shape) != generator.shape:
        raise ShapeError(f"the start latent must be of shape {generator.shape}, not {tuple(z0.shape)}")
    size = z0.numel()
    stride = -(-size // _SAMPLE_POSITIONS)
    seen = {_digest(z0)}
    rows: list[Tensor] = []
    z = z0
    for _ in range(steps):
        z = generator.next_latent(z)
        seen.add(_digest(z))
        rows.append(z.reshape(-1)[::stride].cpu())
    smallest, mean = distances(torch.stack(rows))
    used = rows[0].numel()
    threshold = min(_MIN_RATIO * IDEAL_DISTANCE, max(0.0, IDEAL_DISTANCE - 6.5 * _DISTANCE_SD / math.sqrt(used)))
    repeated = len(seen) != steps + 1
    return NoncyclicReport(smallest, mean, threshold, repeated, not repeated and smallest >= threshold)


def distances(latents: Tensor) -> tuple[float, float]:
    """Smallest and mean off-diagonal mean squared distance of rows (N, D) uint8, values/256; memory O(512 N + N D)."""
    count, size = latents.shape
    # Exact: centred bytes are integers of at most 2**7, D <= 8192 of their products stay far below 2**53,
    # and below 2**24 only by luck, hence float64.
    x = latents.to(torch.float64).sub_(128.0)
    norms = x.square().sum(1)
    smallest, total = math.inf, 0.0
    for start in range(0, count, _BLOCK_ROWS):
        block = x[start : start + _BLOCK_ROWS]
        gram = norms[start : start + _BLOCK_ROWS, None] + norms - 2 * (block @ x.T)
        total += float(gram.sum())
        own = torch.arange(block.shape[0])
        gram[own, own + start] = math.inf
        smallest = min(smallest, float(gram.min()))
    scale = 1 / (size * 65536)
    return smallest * scale, total * scale / (count * (count - 1))


def avalanche(generator: Generator, z: Tensor, flips: int = 16, seed: int = 0) -> AvalancheReport:
    """Flip one bit of z, `flips` times at spread places, and compare one step.

    z: (C, H, W) uint8. The places are a fixed function of `seed`: one in each of `flips` equal parts of the latent.
    Null: a byte differs with probability 255/256, independently (exact for a random function).
    Raises ShapeError if z does not fit, UsageError if flips is not in 1..size.
    """
    if tuple(z.shape) != generator.shape:
        raise ShapeError(f"a latent must be of shape {generator.shape}, not {tuple(z.shape)}")
    size = z.numel()
    if not 1 <= flips <= size:
        raise UsageError(f"flips must be 1 to {size}, not {flips}")
    base = generator.next_latent(z)
    places = np.random.Generator(np.random.PCG64(seed))
    changed: list[float] = []
    bits = 0
    for index in range(flips):
        low, high = index * size // flips, (index + 1) * size // flips
        flipped = z.clone(memory_format=torch.contiguous_format)
        flipped.view(-1)[int(places.integers(low, high))] ^= 1 << int(places.integers(8))
        difference = (generator.next_latent(flipped) ^ base).reshape(-1).cpu().numpy()
        changed.append(float((difference != 0).mean()))
        bits += int(np.unpackbits(difference).sum())
    mean = sum(changed) / flips
    spread = math.sqrt(255 / 256**2 / (size * flips))
    return AvalancheReport(mean, bits / (8 * size * flips), min(changed), mean >= 255 / 256 - 6 * spread)


def uniformity(data: bytes) -> UniformityReport:
    """Chi-square of the 256 byte values of `data`. Raises UsageError below 1,280 bytes: too few."""
    if len(data) < 5 * 256:
        raise UsageError(f"a chi-square over 256 values needs at least 1280 bytes, not {len(data)}")
    counts = np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)
    expected = len(data) / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    return UniformityReport(chi_square, chi_square_survival(chi_square, 255))


def chi_square_survival(value: float, degrees: int) -> float:
    """P(X > value) for X chi-square distributed: the regularised upper incomplete gamma function Q(k/2, x/2)."""
    half = torch.tensor(degrees / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, torch.tensor(value / 2, dtype=torch.float64)))


def _digest(z: Tensor) -> bytes:
    return hashlib.sha256(z.cpu().contiguous().numpy().tobytes()).digest()
