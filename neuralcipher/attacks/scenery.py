"""Other videos to compare with: cuts of the demo clip and computed scenes, unlike each other and unlike the target."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import neuralcipher
from neuralcipher.attacks.pairs.leaks import correlation, palette_distance
from neuralcipher.video.reading import probe, read_frames

Plane = NDArray[np.float64]

_SAME_PALETTE = 4.0
_SAME_PICTURE = 0.5
_CUTS = (0, 40)


def other_videos(like: Tensor) -> tuple[Tensor, ...]:
    """Up to six videos of the shape of `like` (N, 3, H, W) uint8, without those that resemble it."""
    count, _, height, width = like.shape
    truth = like.numpy()
    found = [*_cuts(count, height, width), *computed_scenes(count, height, width)]
    return tuple(
        torch.from_numpy(video)
        for video in found
        if palette_distance(video, truth) > _SAME_PALETTE and abs(correlation(video, truth)) < _SAME_PICTURE
    )


def computed_scenes(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Four scenes from smooth to rough, each (count, 3, height, width)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y * (48 / height), x * (64 / width)
    i = np.arange(count, dtype=np.float64)[:, None, None]
    firefly = (x - 8 - 3 * i) ** 2 + (y - 20) ** 2 < 60
    grain = np.random.default_rng(7).normal(0, 30, (height, width + count))
    gravel = np.stack([grain[:, k : k + width] for k in range(count)])
    shape = (count, height, width)
    return [
        _video(shape, 230 - 1.3 * y, 120 - 1.7 * y + 10 * np.sin((x + 3 * i) / 9), 40 + 0.6 * y),
        _video(shape, 12 + 8 * np.sin((x + i) / 5), 14 + 8 * np.sin((y + i) / 4), 30 + 80 * firefly),
        _video(shape, 110 + gravel, 100 + gravel, 90 + gravel),
        _video(shape, 128 + 100 * _wave(x + 2 * i, 3), 128 + 100 * _wave(y + i, 4), 200.0),
    ]


def _cuts(count: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Cuts of the demo clip, scaled; the clip is repeated where it is too short."""
    clip = neuralcipher.demo_clip()
    frames = np.stack(list(read_frames(clip, probe(clip, scale=(width, height))))).transpose(0, 3, 1, 2)
    return [np.ascontiguousarray(frames[np.arange(first, first + count) % len(frames)]) for first in _CUTS]


def _wave(place: Plane, width: float) -> Plane:
    """A square wave, -1 or 1."""
    return np.sign(np.sin(place / width))


def _video(shape: tuple[int, int, int], *channels: Plane | float) -> NDArray[np.uint8]:
    stacked = np.stack([np.broadcast_to(channel, shape) for channel in channels], axis=1)
    return np.asarray(np.clip(np.rint(stacked), 0, 255), dtype=np.uint8)
