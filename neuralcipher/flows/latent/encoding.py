"""Coding a segment in a closed loop: search motion, predict, quantise, and decode again as an opener will."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from neuralcipher.coding.bits import BitWriter
from neuralcipher.coding.entropy import MessageEncoder
from neuralcipher.flows.latent.history import FrameLatents, History, code_motion, settle
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.motion import Motion
from neuralcipher.flows.latent.planning import Planner
from neuralcipher.flows.latent.residual import ResidualCoder
from neuralcipher.flows.latent.opticalflow import OpticalFlow
from neuralcipher.flows.latent.search import MotionSearch
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, KEY_LEVEL, CodedFrame, groups
from neuralcipher.flows.latent.synthesis import Synthesis, step_size
from neuralcipher.flows.latent.transform import forward_transform
from neuralcipher.flows.latent.warp import BLOCK

RATE_WEIGHT = 0.12
# (anchor, leaf) by the length of the group
_CASCADE = ((16, 2.0, 14.0), (8, 1.7, 5.5), (4, 1.5, 3.0), (2, 1.3, 2.5), (1, 1.2, 1.2))


def rate_weight(level: int, length: int) -> float:
    """What a bit is worth, in squared steps: the less depends on a frame, the more."""
    if level == KEY_LEVEL:
        return RATE_WEIGHT
    _, anchor, leaf = next(row for row in _CASCADE if row[0] <= length)
    depth = max(1, length.bit_length() - 1)
    return RATE_WEIGHT * anchor * (leaf / anchor) ** min(1.0, (level - 1) / depth)


@dataclass(slots=True)
class Attempt:
    """One way through the segment. plan: see `structure`. messages: one a group, not masked. decoded and residual: (N, 3, H, W) float16,
    before repair. error: squared error of the frames, summed over pixels and colours."""

    plan: bytes
    messages: list[bytes]
    decoded: Tensor
    residual: Tensor
    levels: Tensor
    error: list[float]

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.messages))


class SegmentEncoder:
    """Codes one segment, as often as it takes; motion found in one attempt starts the next."""

    def __init__(self, frames: Tensor, pictures: Tensor, device: torch.device) -> None:
        """frames: (N, 3, H, W) float32 on the colour axes, padded to multiples of 16. pictures: (N, 3, .., ..) uint8."""
        self._frames = frames
        self._flow = OpticalFlow(pictures)
        self._device = device
        self._size = pictures.shape[2:]
        self._starts: dict[tuple[int, int], Tensor] = {}

    def encode(self, quality: int, report: Callable[[int, float, int], None]) -> Attempt:
        """Code every group; report(frames done, mean squared error so far, bytes so far)."""
        count, _, height, width = self._frames.shape
        model = EntropyModel()
        history = History(height // BLOCK, width // BLOCK)
        synthesis = Synthesis(quality, self._device)
        plan = Planner(self._flow, count, step_size(quality, ANCHOR_LEVEL)).plan()
        attempt = Attempt(
            plan,
            [],
            torch.zeros(self._frames.shape, dtype=torch.float16),
            torch.zeros(self._frames.shape, dtype=torch.float16),
            torch.zeros(count, dtype=torch.int64),
            [0.0] * count,
        )
        coding_order = groups(plan)
        for number, group in enumerate(coding_order):
            encoder = MessageEncoder(full=True)
            channel = BitWriter(encoder)
            for batch in group.batches:
                motions = [self._motion(frame, history, synthesis, quality, rate_weight(frame.level, group.stop - group.start)) for frame in batch]
                motions = code_motion(batch, history, model, channel, motions)
                around = [history.surroundings(frame, motion) for frame, motion in zip(batch, motions, strict=True)]
                predictions = [synthesis.predict(frame, motion) for frame, motion in zip(batch, motions, strict=True)]
                step = step_size(quality, batch[0].level)
                wanted = torch.stack([self._frames[f.index] - p.cpu() for f, p in zip(batch, predictions, strict=True)])
                target = forward_transform(wanted).numpy() / np.float32(step)
                coded = ResidualCoder(model, channel, quality).encode(around, target, rate_weight(batch[0].level, group.stop - group.start))
                stored = settle(batch, motions, around, coded, history)
                for latents, prediction in zip(stored, predictions, strict=True):
                    self._keep(attempt, latents, prediction, synthesis)
            attempt.messages.append(encoder.to_bytes())
            keep = {i for later in coding_order[number + 1 :] for i in later.references()}
            history.forget(keep)
            synthesis.forget(keep)
            done = [attempt.error[i] for i in range(group.stop)]
            pixels = group.stop * 3 * self._size[0] * self._size[1]
            report(group.stop, math.fsum(done) / pixels, attempt.size_bytes)
        return attempt

    def _keep(
        self, attempt: Attempt, stored: FrameLatents, prediction: Tensor, synthesis: Synthesis
    ) -> None:
        index = stored.frame.index
        frame, residual = (part.cpu() for part in synthesis.finish(stored, prediction))
        height, width = self._size
        attempt.decoded[index] = frame.half()
        attempt.residual[index] = residual.half()
        attempt.levels[index] = stored.frame.level
        attempt.error[index] = float((frame - self._frames[index])[:, :height, :width].square().sum())

    def _motion(self, frame: CodedFrame, history: History, synthesis: Synthesis, quality: int, weight: float) -> Motion:
        if frame.level == KEY_LEVEL:
            return Motion.none(*history.grid)
        guess = torch.from_numpy(history.guess(frame))
        thorough = (frame.index, frame.first) not in self._starts
        starts = [[torch.zeros_like(guess[0]), self._start(frame.index, i, history.grid)] for i in (frame.first, frame.second)]
        indices = (frame.first,) if frame.first == frame.second else (frame.first, frame.second)
        references = [synthesis.luma(i) for i in indices]
        price = weight * step_size(quality, frame.level) ** 2
        search = MotionSearch(self._frames[frame.index, 0], price)
        found = search.find(references * (3 - len(indices)), starts, guess, thorough)
        for number, i in enumerate((frame.first, frame.second)):
            self._starts[frame.index, i] = torch.from_numpy(found.vectors[number])
        return found

    def _start(self, index: int, reference: int, grid: tuple[int, int]) -> Tensor:
        found = self._starts.get((index, reference))
        return self._flow.blocks(index, reference, *grid) if found is None else found

