"""What coded frames leave behind for the coding of later ones: motion and activity, all integers."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuralcipher.coding.bits import BitChannel
from neuralcipher.coding.entropy import IntArray
from neuralcipher.flows.latent.features import BANDS, Surroundings, discontinuity, shifted
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.motion import Motion, MotionCoder, expected
from neuralcipher.flows.latent.residual import CodedLatents, ResidualCoder
from neuralcipher.flows.latent.structure import KEY_LEVEL, CodedFrame


@dataclass(frozen=True, slots=True)
class FrameLatents:
    """Everything that is stored of one frame. latents: (3, 64, h, w) int16."""

    frame: CodedFrame
    motion: Motion
    latents: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class _Trace:
    """motion, and seen (bands + 1, h, w): the activity, and what was coded in this frame itself."""

    frame: CodedFrame
    motion: Motion
    seen: NDArray[np.int32]


class History:
    """Coded frames of one segment on an h x w grid of blocks, as the coding of the next ones sees them."""

    def __init__(self, height: int, width: int) -> None:
        self.grid = (height, width)
        self._traces: dict[int, _Trace] = {}

    def guess(self, frame: CodedFrame) -> IntArray:
        """(2, 2, h, w): the motion to expect."""
        known = {index: (trace.frame, trace.motion) for index, trace in self._traces.items()}
        return expected(frame, known, self.grid)

    def surroundings(self, frame: CodedFrame, motion: Motion) -> Surroundings:
        """What is known before the latents of a frame."""
        if frame.level == KEY_LEVEL:
            nothing = np.zeros((2, len(BANDS), *self.grid), dtype=np.int64)
            change = fresh = np.zeros(self.grid, dtype=np.int64)
            return Surroundings(nothing, fresh, motion.mode, change, frame.level)
        traces = self._traces[frame.first], self._traces[frame.second]
        seen = np.stack([shifted(trace.seen, v) for trace, v in zip(traces, motion.vectors, strict=True)])
        change = discontinuity(motion.vectors)
        return Surroundings(seen[:, :-1], seen[:, -1].sum(axis=0), motion.mode, change, frame.level)

    def remember(self, frame: CodedFrame, motion: Motion, around: Surroundings, totals: IntArray) -> None:
        """Keep what later frames look at; totals: (bands, h, w) magnitudes coded. Old activity fades."""
        activity = np.maximum(totals, 3 * around.activity.sum(axis=0) >> 3)
        seen = np.concatenate([activity, totals.sum(axis=0, keepdims=True)]).astype(np.int32)
        self._traces[frame.index] = _Trace(frame, motion, seen)

    def forget(self, keep: Set[int]) -> None:
        """Drop every frame that is not in `keep`."""
        self._traces = {index: trace for index, trace in self._traces.items() if index in keep}


def read_batch(
    frames: Sequence[CodedFrame], history: History, model: EntropyModel, channel: BitChannel, quality: int
) -> list[FrameLatents]:
    """Read the motion and latents of one batch of frames."""
    motions = code_motion(frames, history, model, channel, None)
    around = [history.surroundings(frame, motion) for frame, motion in zip(frames, motions, strict=True)]
    coded = ResidualCoder(model, channel, quality).decode(around)
    return settle(frames, motions, around, coded, history)


def code_motion(
    frames: Sequence[CodedFrame],
    history: History,
    model: EntropyModel,
    channel: BitChannel,
    motions: Sequence[Motion] | None,
) -> list[Motion]:
    """Write motions and return them as a reader finds them, or read them where None."""
    if frames[0].level == KEY_LEVEL:
        return [Motion.none(*history.grid) for _ in frames]
    return MotionCoder(model, channel).code(frames, [history.guess(frame) for frame in frames], motions)


def settle(
    frames: Sequence[CodedFrame],
    motions: Sequence[Motion],
    around: Sequence[Surroundings],
    coded: CodedLatents,
    history: History,
) -> list[FrameLatents]:
    """Remember a coded batch; returns what is stored of each frame."""
    found = []
    for i, frame in enumerate(frames):
        history.remember(frame, motions[i], around[i], coded.totals[i])
        found.append(FrameLatents(frame, motions[i], coded.latents[i]))
    return found
