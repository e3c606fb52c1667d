"""How much depends on each block: what frames that are predicted from it inherit of its error.

Only the encoder comes here. An attempt tells how each block was predicted and how much was coded of it; walking back
from the frames that nothing depends on, each block hands what depends on it to where its motion points. The next
attempt then spends bits where they last. x264 does the same before it codes (Garrett-Glaser, macroblock tree, 2009).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuralcipher.flows.latent.history import FrameLatents
from neuralcipher.flows.latent.motion import BOTH, Motion
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, KEY_LEVEL, CodedFrame
from neuralcipher.flows.latent.warp import BLOCK

FloatArray = NDArray[np.float64]

_FORGOTTEN = 0.7  # with each coefficient that is coded, an inherited error fades by e^-0.7
_HALF = 0.5  # of an error is inherited where two references are averaged
_QUARTER_PIXELS = 4 * BLOCK


@dataclass(frozen=True, slots=True)
class Link:
    """How a frame hangs on its references. inherited: (h, w), the share of their error that each block keeps."""

    frame: CodedFrame
    motion: Motion
    inherited: FloatArray

    @classmethod
    def of(cls, stored: FrameLatents) -> Link:
        """What matters of a coded frame; coefficients of the second and third colour count half."""
        coded = np.count_nonzero(stored.latents, axis=1)
        return cls(stored.frame, stored.motion, np.exp(-_FORGOTTEN * (coded[0] + coded[1:].sum(axis=0) / 2)))


def dependence(links: Sequence[Link]) -> Mapping[int, FloatArray]:
    """By frame, (h, w): by how much an error in a block counts, so that the geometric mean over anchors is 1.

    links: all frames of an attempt in coding order.
    """
    counts = {link.frame.index: np.ones(link.inherited.shape) for link in links}
    for link in reversed(links):
        if link.frame.level == KEY_LEVEL:
            continue
        given = counts[link.frame.index] * link.inherited
        for number, index in enumerate((link.frame.first, link.frame.second)):
            mode = link.motion.mode
            share = np.where(mode == number, 1.0, np.where(mode == BOTH, _HALF, 0.0))
            _hand_over(given * share, link.motion.vectors[number], counts[index])
    anchors = [np.log(counts[link.frame.index]).mean() for link in links if link.frame.level <= ANCHOR_LEVEL]
    typical = np.exp(np.mean(anchors))
    return {index: count / typical for index, count in counts.items()}


def _hand_over(given: FloatArray, vectors: NDArray[np.int64], counts: FloatArray) -> None:
    """Add what each block gives to the four blocks that it came from; vectors: (2, h, w)."""
    height, width = given.shape
    y = np.clip(np.arange(height)[:, None] + vectors[0] / _QUARTER_PIXELS, 0, height - 1)
    x = np.clip(np.arange(width) + vectors[1] / _QUARTER_PIXELS, 0, width - 1)
    top, left = (np.minimum(np.floor(v).astype(np.int64), n - 2) for v, n in ((y, height), (x, width)))
    for row, share_y in ((top, top + 1 - y), (top + 1, y - top)):
        for column, share_x in ((left, left + 1 - x), (left + 1, x - left)):
            np.add.at(counts, (row, column), given * share_y * share_x)
