"""How a segment is cut into groups: key frames at scene cuts, long groups where motion is easy to follow.

Each candidate length is priced by how well optical flow predicts frames over the distances that its hierarchy spans.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from neuralcipher.flows.latent.opticalflow import OpticalFlow
from neuralcipher.flows.latent.structure import MAX_GROUP, group_bytes

LENGTHS = (16, 8, 4, 2, 1)
_SAMPLES = 6  # groups looked at in a scene
_CUT = 0.8  # a cut: flow predicts no better than the mean of each block would
_BOTH = 0.6  # of the error is left when two references are averaged
_FLOOR = 0.15  # of the squared step: errors well below it cost nothing
# What shorter groups lose beside the price of their predictions, measured on five clips.
_HANDICAP = {16: 1.0, 8: 1.07, 4: 1.13, 2: 1.6, 1: 2.4}

FloatArray = NDArray[np.float64]


class Planner:
    """Cuts a segment of `count` frames; what flow predicts over a distance is found once and kept."""

    def __init__(self, flow: OpticalFlow, count: int, longest: int = MAX_GROUP) -> None:
        """longest: frames that a group may have."""
        self._count, self._longest = count, longest
        self._errors = lru_cache(maxsize=None)(flow.error)
        self._detail = lru_cache(maxsize=None)(flow.detail)

    def plan(self, step: float, length: int | None = None) -> bytes:
        """The groups, as `structure.groups` reads them; one length, the cheapest unless given, serves a whole scene.

        step: of the quantiser.
        """
        starts = [0, *(i for i in range(1, self._count) if self._is_cut(i)), self._count]
        lengths: list[int] = []
        keys: list[bool] = []
        for start, stop in pairwise(starts):
            most = min(length or self._best_length(start, stop - 1, step), self._longest)
            rest = [min(most, stop - 1 - at) for at in range(start, stop - 1, most)]
            lengths += [1, *rest]
            keys += [True] + [False] * len(rest)
        return group_bytes(lengths, keys)

    def _is_cut(self, index: int) -> bool:
        error, detail = self._errors(index, index - 1), self._detail(index)
        return bool(error.mean() > _CUT * detail.mean() and error.mean() > 1e-4)

    def _best_length(self, first: int, last: int, step: float) -> int:
        """Of the groups of a scene from its key frame to its last frame."""
        if last - first < 2:
            return 1
        fitting = [length for length in LENGTHS if length <= last - first]
        costs = {}
        for length in fitting:
            places = range(first, last - length + 1, max(1, (last - length + 1 - first) // _SAMPLES))
            costs[length] = sum(self._cost(at, length, step) for at in places) / len(places)
        return min(costs, key=lambda length: costs[length])

    def _cost(self, at: int, length: int, step: float) -> float:
        """Bits a frame, up to a factor, of a group of this length."""
        total, distance, frames = self._bits(at, length, 1.0, step), length // 2, 1
        while distance >= 1:
            total += frames * self._bits(at, distance, _BOTH, step)
            frames, distance = min(2 * frames, length - 1 - frames), distance // 2
        handicap = next(share for size, share in _HANDICAP.items() if size <= length)
        return total * handicap / length

    def _bits(self, at: int, distance: int, share: float, step: float) -> float:
        error = self._errors(at + distance, at) * share
        return float(np.log2(1 + error / (_FLOOR * step**2)).sum())
