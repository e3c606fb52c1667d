"""Six small videos with nothing in common, and what keys see of them: made once for all tests of a module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

import neuralcipher
from neuralcipher.flows.base import FitContext, Flow
from neuralcipher.generators.base import Generator, Keystream, Shape
from neuralcipher.generators.feistel import FeistelGenerator
from neuralcipher.keys import Key, segment_seed, start_latent
from neuralcipher.video.reading import probe, read_frames

Video = NDArray[np.uint8]  # (8, 3, 48, 64)

FRAMES, HEIGHT, WIDTH = 8, 48, 64
CPU = torch.device("cpu")
SALT = bytes(32)


def videos() -> dict[str, Video]:
    """Two cuts of the demo clip, far apart in time and place, and four that are computed, from smooth to rough."""
    clip = neuralcipher.demo_clip()
    bunny = np.stack(list(read_frames(clip, probe(clip, scale=(160, 90), max_frames=60)))).transpose(0, 3, 1, 2)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    i = np.arange(FRAMES, dtype=np.float64)[:, None, None]
    firefly = (x - 8 - 3 * i) ** 2 + (y - 20) ** 2 < 60
    grain = np.random.default_rng(7).normal(0, 30, (HEIGHT, WIDTH + FRAMES))
    gravel = np.stack([grain[:, k : k + WIDTH] for k in range(FRAMES)])
    return {
        "meadow": np.ascontiguousarray(bunny[:FRAMES, :, :HEIGHT, :WIDTH]),
        "bunny": np.ascontiguousarray(bunny[40 : 40 + FRAMES, :, 30 : 30 + HEIGHT, 90 : 90 + WIDTH]),
        "sunset": _video(230 - 1.3 * y, 120 - 1.7 * y + 10 * np.sin((x + 3 * i) / 9), 40 + 0.6 * y),
        "night": _video(12 + 8 * np.sin((x + i) / 5), 14 + 8 * np.sin((y + i) / 4), 30 + 80 * firefly),
        "gravel": _video(110 + gravel, 100 + gravel, 90 + gravel),
        "stripes": _video(128 + 100 * wave(x + 2 * i, 3), 128 + 100 * wave(y + i, 4), 200.0),
    }


def wave(place: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """A square wave, -1 or 1."""
    return np.sign(np.sin(place / width))


def _video(*channels: NDArray[np.float64] | float) -> Video:
    shape = (FRAMES, HEIGHT, WIDTH)
    stacked = np.stack([np.broadcast_to(channel, shape) for channel in channels], axis=1)
    return np.clip(np.rint(stacked), 0, 255).astype(np.uint8)


@cache
def generator(shape: Shape) -> Generator:
    """The public g of one bundle, the same for every key."""
    return FeistelGenerator.create(shape, seed=bytes(32), z0=torch.empty(0), progress=lambda fraction: None)


def start(name: str, shape: Shape) -> Video:
    """z_0 of the key called `name`, derived as `bare` does."""
    key = Key(hashlib.sha256(name.encode()).digest())
    return start_latent(segment_seed(key, SALT, 0), shape)


def fit(flow: Flow, video: Video, name: str) -> bytes:
    """The section of a video sealed with the key called `name`."""

    def make(shape: Shape) -> Keystream:
        return Keystream(generator(shape), torch.from_numpy(start(name, shape)))

    return flow.fit(torch.from_numpy(video), make, FitContext(0.0, 0, CPU, lambda report: None))


def shown(flow: type[Flow], section: bytes, z0: Callable[[Shape], Video]) -> Video:
    """What a z_0 sees of a section."""
    shape = flow.latent_shape(section)
    keystream = Keystream(generator(shape), torch.from_numpy(z0(shape)))
    return torch.stack(list(flow.render(section, keystream, CPU))).numpy()


def imposters(flow: type[Flow], section: bytes, name: str, count: int) -> list[Video]:
    """What `count` unrelated keys see; the names of the keys begin with `name`, so that none is used twice."""
    return [shown(flow, section, lambda shape, j=j: start(f"{name}, imposter {j}", shape)) for j in range(count)]


def flipped(flow: type[Flow], section: bytes, name: str, count: int) -> list[Video]:
    """What the right key's z_0 sees with one bit flipped: `count` bits, spread over all of z_0 and over the byte."""

    def z0(shape: Shape, j: int) -> Video:
        z = start(name, shape)
        z.reshape(-1)[j * z.size // count] ^= 1 << j % 8
        return z

    return [shown(flow, section, lambda shape, j=j: z0(shape, j)) for j in range(count)]
