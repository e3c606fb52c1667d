"""Six small videos with nothing in common, and what keys see of them: made once for all tests of a module."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

import neuralcipher
from neuralcipher.attacks.scenery import computed_scenes
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
    sunset, night, gravel, stripes = computed_scenes(FRAMES, HEIGHT, WIDTH)
    return {
        "meadow": np.ascontiguousarray(bunny[:FRAMES, :, :HEIGHT, :WIDTH]),
        "bunny": np.ascontiguousarray(bunny[40 : 40 + FRAMES, :, 30 : 30 + HEIGHT, 90 : 90 + WIDTH]),
        "sunset": sunset,
        "night": night,
        "gravel": gravel,
        "stripes": stripes,
    }


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
