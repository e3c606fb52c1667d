"""Coding a segment in a closed loop: search motion, predict, quantise, and decode again as an opener will."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.coding.bits import BitChannel, BitReader, BitWriter
from neuralcipher.coding.entropy import MessageDecoder, MessageEncoder
from neuralcipher.flows.latent.attempts import KeptAttempt
from neuralcipher.flows.latent.dependence import Link, dependence
from neuralcipher.flows.latent.history import FrameLatents, History, code_motion, read_batch, settle
from neuralcipher.flows.latent.model import EntropyModel
from neuralcipher.flows.latent.motion import Motion
from neuralcipher.flows.latent.opticalflow import OpticalFlow
from neuralcipher.flows.latent.planning import Planner
from neuralcipher.flows.latent.residual import ResidualCoder
from neuralcipher.flows.latent.search import Luma, MotionSearch
from neuralcipher.flows.latent.section import most_frames
from neuralcipher.flows.latent.similarity import ErrorPrices
from neuralcipher.flows.latent.structure import ANCHOR_LEVEL, KEY_LEVEL, CodedFrame, Group, groups
from neuralcipher.flows.latent.synthesis import Synthesis, step_size
from neuralcipher.flows.latent.transform import forward_transform, planar
from neuralcipher.flows.latent.warp import BLOCK
from neuralcipher.flows.latent.worth import Worth

_RATE_WEIGHT = 0.12
# By the length of a group: how much more a bit must be worth in its anchor and in its last frames, measured on six
# clips (docs/benchmarks.md). The more frames depend on one, the less its bits may be spared.
_CASCADE = ((16, 2.0, 14.0), (8, 1.7, 5.5), (4, 1.5, 3.0), (2, 1.3, 2.5), (1, 1.2, 1.2))


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be tried otherwise. length: of every group, None for the planner's choice. cascade: exponent of the
    rate weights above the key's; 0 treats all frames alike. traced: errors count by what depends on each block in the
    attempt before, with `cascade` as exponent, instead of by level."""

    length: int | None = None
    cascade: float = 1.0
    traced: bool = False

    def rate_weight(self, level: int, length: int) -> float:
        """What a bit is worth, in squared steps, at a level of a group."""
        if level == KEY_LEVEL or self.traced:
            return _RATE_WEIGHT
        _, anchor, leaf = next(row for row in _CASCADE if row[0] <= length)
        depth = max(1, length.bit_length() - 1)
        return float(_RATE_WEIGHT * (anchor * (leaf / anchor) ** min(1.0, (level - 1) / depth)) ** self.cascade)


@dataclass(slots=True)
class Attempt:
    """One way through the segment.

    plan: see `structure`. messages: one a group, not masked. decoded, residual: (N, 3, H, W) float16, before repair.
    levels: (N,) int64. error: by frame, the squared error summed over pixels and colours.
    """

    plan: bytes
    messages: list[bytes]
    decoded: Tensor
    residual: Tensor
    levels: Tensor
    error: list[float]

    @property
    def size_bytes(self) -> int:
        """Of all messages."""
        return sum(map(len, self.messages))


AttemptCallback = Callable[[int, float, int], None]
"""Called after each group with the frames done, their mean squared error, and the bytes so far; may raise."""


class SegmentEncoder:
    """Codes one segment, as often as it takes; motion found in one attempt starts the next."""

    def __init__(
        self, frames: Tensor, pictures: Tensor, device: torch.device, prices: ErrorPrices | None = None
    ) -> None:
        """frames: (N, 3, H, W) float32 on the colour axes, padded to 16s. pictures: (N, 3, .., ..) uint8.

        prices: of errors, None for 1.
        """
        self._frames, self._prices = frames, prices
        self._flow = OpticalFlow(pictures)
        self._planner = Planner(self._flow, len(frames), most_frames(*pictures.shape[2:]))
        self._device = device
        self._size = pictures.shape[2:]
        self._starts: dict[tuple[int, int], Tensor] = {}
        self._dependence: dict[bytes, Mapping[int, NDArray[np.float64]]] = {}  # by plan, from its last attempt

    def encode(
        self, quality: int, report: AttemptCallback, tuning: Tuning | None = None, kept: KeptAttempt | None = None
    ) -> Attempt:
        """Code every group at a quality 0..100; groups that are kept are decoded instead.

        A traced attempt needs one before it; see `is_traceable`.
        """
        tuning, kept = tuning or Tuning(), kept or KeptAttempt()
        plan = kept.plan = kept.plan or self._plan(quality, tuning.length)
        worth = Worth(self._prices, self._dependence[plan] if tuning.traced else None, tuning.cascade)
        run = _Run(self._frames, quality, tuning, self._device, plan, self._size, worth)
        done = list(kept.messages)

        def find(frame: CodedFrame, history: History, synthesis: Synthesis, bit_price: float) -> Motion:
            return self._find(frame, history, synthesis, bit_price, worth.of_motion(frame.index, history.grid))

        for number, group in enumerate(groups(plan)):
            if number < len(done):
                self._remember(run.replay(group, done[number]))
            else:
                encoder = MessageEncoder(full=True)
                for batch in group.batches:
                    run.batch(batch, group.stop - group.start, BitWriter(encoder), find)
                run.attempt.messages.append(encoder.to_bytes())
                kept.add(run.attempt.messages[-1])
            run.forget(group.keep)
            pixels = group.stop * 3 * self._size[0] * self._size[1]
            report(group.stop, math.fsum(run.attempt.error[: group.stop]) / pixels, run.attempt.size_bytes)
        self._dependence[plan] = dependence(run.links)
        return run.attempt

    def is_traceable(self, quality: int, length: int | None) -> bool:
        """Whether an attempt has followed the plan that another would follow now."""
        return self._plan(quality, length) in self._dependence

    def _plan(self, quality: int, length: int | None) -> bytes:
        return self._planner.plan(step_size(quality, ANCHOR_LEVEL), length)

    def _find(
        self, frame: CodedFrame, history: History, synthesis: Synthesis, bit_price: float, worth: Tensor | None
    ) -> Motion:
        """The motion of a frame, near what earlier attempts found."""
        if frame.level == KEY_LEVEL:
            return Motion.none(*history.grid)
        guess = torch.from_numpy(history.guess(frame))
        pair = (frame.first, frame.second)
        thorough = (frame.index, frame.first) not in self._starts
        starts = [[torch.zeros_like(guess[0]), self._start(frame.index, i, history.grid)] for i in pair]
        luma = {i: Luma(synthesis.reference(i)) for i in pair}
        search = MotionSearch(self._frames[frame.index, 0].to(self._device), bit_price, worth)
        found = search.find([luma[i] for i in pair], starts, guess, thorough)
        self._begin_from(frame, found)
        return found

    def _begin_from(self, frame: CodedFrame, motion: Motion) -> None:
        """Start the next attempt's search of this frame here."""
        for number, i in enumerate((frame.first, frame.second)):
            self._starts[frame.index, i] = torch.from_numpy(motion.vectors[number])

    def _remember(self, found: Sequence[FrameLatents]) -> None:
        for latents in found:
            if latents.frame.level != KEY_LEVEL:
                self._begin_from(latents.frame, latents.motion)

    def _start(self, index: int, reference: int, grid: tuple[int, int]) -> Tensor:
        found = self._starts.get((index, reference))
        return self._flow.blocks(index, reference, *grid) if found is None else found


class _Run:
    """The state of one attempt."""

    def __init__(
        self,
        frames: Tensor,
        quality: int,
        tuning: Tuning,
        device: torch.device,
        plan: bytes,
        size: Sequence[int],
        worth: Worth,
    ) -> None:
        count, _, height, width = frames.shape
        self._frames, self._quality, self._tuning, self._size = frames, quality, tuning, size
        self._worth = worth
        self._model = EntropyModel()
        self._history = History(height // BLOCK, width // BLOCK)
        self._synthesis = Synthesis(quality, device)
        decoded = torch.zeros(frames.shape, dtype=torch.float16)
        levels = torch.zeros(count, dtype=torch.int64)
        self.links: list[Link] = []
        self.attempt = Attempt(plan, [], decoded, torch.zeros_like(decoded), levels, [0.0] * count)

    def batch(
        self,
        frames: Sequence[CodedFrame],
        length: int,
        channel: BitChannel,
        find: Callable[[CodedFrame, History, Synthesis, float], Motion],
    ) -> None:
        """Code frames of one level of a group of `length`."""
        level = frames[0].level
        step, weight = step_size(self._quality, level), self._tuning.rate_weight(level, length)
        motions = [find(frame, self._history, self._synthesis, weight * step**2) for frame in frames]
        motions = code_motion(frames, self._history, self._model, channel, motions)
        pairs = list(zip(frames, motions, strict=True))
        around = [self._history.surroundings(frame, motion) for frame, motion in pairs]
        predictions = [self._synthesis.predict(frame, motion) for frame, motion in pairs]
        rest = [self._frames[f.index] - planar(p).cpu() for f, p in zip(frames, predictions, strict=True)]
        target = forward_transform(torch.stack(rest)).numpy() / np.float32(step)
        coder = ResidualCoder(self._model, channel, self._quality)
        coded = coder.encode(around, target, weight, self._worth.of_errors(frames))
        stored = settle(frames, motions, around, coded, self._history)
        for latents, prediction in zip(stored, predictions, strict=True):
            self._keep(latents, prediction)

    def replay(self, group: Group, message: bytes) -> list[FrameLatents]:
        """Take a group from its message, as an opener does."""
        channel = BitReader(MessageDecoder(message, b""))
        found: list[FrameLatents] = []
        for batch in group.batches:
            read = read_batch(batch, self._history, self._model, channel, self._quality)
            for latents in read:
                self._keep(latents, self._synthesis.predict(latents.frame, latents.motion))
            found += read
        self.attempt.messages.append(message)
        return found

    def forget(self, keep: Set[int]) -> None:
        """Drop what no later frame refers to."""
        self._history.forget(keep)
        self._synthesis.forget(keep)

    def _keep(self, stored: FrameLatents, prediction: Tensor) -> None:
        index = stored.frame.index
        self.links.append(Link.of(stored))
        frame, residual = (planar(part).cpu() for part in self._synthesis.finish(stored, prediction))
        height, width = self._size
        self.attempt.decoded[index] = frame.half()
        self.attempt.residual[index] = residual.half()
        self.attempt.levels[index] = stored.frame.level
        self.attempt.error[index] = float((frame - self._frames[index])[:, :height, :width].square().sum())
