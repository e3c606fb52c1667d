"""What the tests of flows share: keystreams, tiny videos, and sections that are fitted once."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import FitContext
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator

CPU = torch.device("cpu")
Flow = type[LatentFlow] | type[AutoencoderFlow]


def keys(seed: int) -> Callable[[Shape], Keystream]:
    """A maker of keystreams; z_0 comes from the seed."""

    def make(shape: Shape) -> Keystream:
        z0 = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
        return Keystream(ChaCha20Generator(shape, bytes(32)), z0)

    return make


def context(**changes: Any) -> FitContext:
    return dataclasses.replace(FitContext(0.0, 0, CPU, lambda report: None), **changes)


def moving_square(count: int, height: int, width: int) -> torch.Tensor:
    """A gradient with a square that moves one pixel a frame; (N, 3, H, W) uint8."""
    y, x = np.mgrid[:height, :width]
    frames = np.stack([np.stack([y * 4 % 256, x * 3 % 256, np.full_like(x, 90)])] * count).astype(np.uint8)
    for i in range(count):
        frames[i, :, 2 : height // 2, i + 1 : i + 1 + width // 3] = 230
    return torch.from_numpy(frames)


def noise(count: int, height: int, width: int, seed: int = 5) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(seed)).byte()


def texture(height: int, width: int, seed: int) -> torch.Tensor:
    """A smooth random picture, (3, H, W) uint8, with detail that optical flow can hold on to."""
    small = torch.rand(1, 3, -(-height // 4) + 1, -(-width // 4) + 1, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(small, scale_factor=4, mode="bilinear")[0, :, :height, :width]
    return (large * 255).round().byte()


def panning(count: int, height: int, width: int, seed: int) -> torch.Tensor:
    """A texture that moves one pixel a frame to the left."""
    picture = texture(height, width + count, seed)
    return torch.stack([picture[:, :, i : i + width] for i in range(count)])


def fitted(frames: torch.Tensor, quality: int = 60, steps: int = 0, seed: int = 1) -> bytes:
    """A latent section."""
    return LatentFlow(LatentConfig(quality=quality, steps=steps)).fit(frames, keys(seed), context())


def render(flow: Flow, section: bytes, seed: int, start: int = 0, stop: int | None = None) -> list[torch.Tensor]:
    return list(flow.render(section, keys(seed)(flow.latent_shape(section)), CPU, start, stop))


def psnr_db(frames: torch.Tensor, truth: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (frames.float() - truth.float()).square().mean().clamp_min(1e-3)))


@cache
def scenes() -> torch.Tensor:
    """Nine frames 24x32: a still scene of six, then another picture."""
    return torch.cat([moving_square(6, 24, 32), panning(3, 24, 32, seed=3)])


@cache
def scenes_section() -> bytes:
    """`scenes`, fitted under keystream 1."""
    return fitted(scenes())


@cache
def scenes_rendered() -> torch.Tensor:
    return torch.stack(render(LatentFlow, scenes_section(), 1))


@cache
def autoencoder_section() -> bytes:
    return AutoencoderFlow(AutoencoderConfig(nconv=2, steps=3)).fit(moving_square(2, 16, 16), keys(1), context())
