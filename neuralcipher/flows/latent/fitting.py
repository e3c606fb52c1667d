"""Fitting a segment: colour axes, quality, attempts at coding it, and the network that repairs it."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from neuralcipher.flows.base import FitContext, FitProgress
from neuralcipher.flows.latent import rate
from neuralcipher.flows.latent.attempts import Attempts
from neuralcipher.flows.latent.config import MS_SSIM, LatentConfig
from neuralcipher.flows.latent.encoding import Attempt, SegmentEncoder, Tuning
from neuralcipher.flows.latent.head import Head
from neuralcipher.flows.latent.section import LatentSection
from neuralcipher.flows.latent.similarity import Dissimilarity, ErrorPrices
from neuralcipher.flows.latent.training import Measure, RepairInputs, fit_changes
from neuralcipher.flows.latent.transform import Colour
from neuralcipher.flows.latent.warp import SQUARE
from neuralcipher.flows.training import Phases

_COLOUR_SAMPLE = 1 << 18
_CODING_SHARE = 0.7


def fit(frames: Tensor, config: LatentConfig, context: FitContext) -> LatentSection:
    """Code and train on frames (N, 3, H, W) uint8; returns the section, not masked yet."""
    clock = _Clock(context, config.steps)
    attempts = Attempts(context.notes)
    height, width = frames.shape[2:]
    colour = Colour.fit(_sample_pixels(frames))
    truth = on_axes(frames, colour)
    similar = config.tune == MS_SSIM
    encoder = SegmentEncoder(truth, frames, context.device, ErrorPrices(frames, colour) if similar else None)
    begin = Tuning(traced=similar)

    def coding(done: int, error: float, size_bytes: int) -> None:
        size = size_bytes * len(frames) // done
        context.progress(FitProgress(0, min(0.99, clock.fraction(0)), rate.psnr_db(error), size))

    def encode(quality: int, tuning: Tuning | None = None) -> Attempt:
        tuning = tuning or begin
        if tuning.traced and not encoder.is_traceable(quality, tuning.length):
            encode(quality, Tuning(tuning.length))
        kept = attempts.next(quality, tuning.length, tuning.cascade, tuning.traced)
        return encoder.encode(quality, coding, tuning, kept)

    def room_for_another() -> bool:
        return attempts.another_is_kept or clock.room_for_another()

    size = (height, width)

    def mean_error(attempt: Attempt) -> float:
        if similar:
            return Dissimilarity(colour).mean(attempt.decoded, truth, size)
        return math.fsum(attempt.error) / truth.numel()

    found = rate.choose(encode, config.quality, context, size, truth)
    quality, attempt = rate.below_raw(encode, found, context, size, truth, frames.numel())
    clock.attempt_done()
    aimed = context.target_bytes is not None or context.target_psnr_db is not None
    if config.steps is None and not aimed:
        attempt = rate.tune(lambda t: encode(quality, t), attempt, mean_error, room_for_another, begin)
    inputs = rate.repair_inputs(attempt, truth, size, quality)
    room = None if context.target_bytes is None else context.target_bytes - rate.section_bytes(attempt, size)
    measure = Dissimilarity(colour) if similar else F.mse_loss
    head = _repaired(Head(colour, quality, False, None), inputs, attempt.size_bytes, room, clock, context, measure)
    return LatentSection(height, width, attempt.plan, (head.to_bytes(), *attempt.messages))


def on_axes(frames: Tensor, colour: Colour) -> Tensor:
    """Frames (N, 3, H, W) uint8 on colour axes, float32, repeated at their edges to whole squares."""
    height, width = frames.shape[2:]
    return F.pad(colour.apply(frames), (0, -width % SQUARE, 0, -height % SQUARE), mode="replicate").contiguous()


def _repaired(
    head: Head,
    inputs: RepairInputs,
    size_bytes: int,
    room_bytes: int | None,
    clock: _Clock,
    context: FitContext,
    measure: Measure,
) -> Head:
    """The head with the network that pays. room_bytes: what its changes may take, None for any."""

    def training(step: int, error: float) -> None:
        progress = min(1.0, clock.fraction(step))
        context.progress(FitProgress(step, progress, rate.psnr_db(error), size_bytes))

    repairs, changes = fit_changes(
        inputs,
        8 * size_bytes,
        room_bytes=room_bytes,
        fraction=clock.fraction,
        report=training,
        seed=context.seed,
        device=context.device,
        notes=context.notes,
        measure=measure,
    )
    return Head(head.colour, head.quality, repairs, changes)


class _Clock:
    """How much of the budget is used, 0..1: by time, or by training steps."""

    def __init__(self, context: FitContext, steps: int | None) -> None:
        self._notes, self._budget_s = context.notes, context.budget_s
        self._phases = Phases(context, steps, 1)
        self._attempt_s = 0.0

    def attempt_done(self) -> None:
        """The first attempt has ended now: another will take about as long."""
        noted = self._notes.get("first attempt")
        if noted is None:
            noted = {"s": np.array(self._notes.elapsed_s())}
            self._notes.put("first attempt", noted)
        self._attempt_s = float(noted["s"])

    def room_for_another(self) -> bool:
        """Whether another attempt would end within 70 % of the budget."""
        return self._notes.elapsed_s() + self._attempt_s < _CODING_SHARE * self._budget_s

    def fraction(self, step: int) -> float:
        return self._phases.fraction(0, step)


def _sample_pixels(frames: Tensor) -> Tensor:
    """A regular sample of the video's pixels, (n, 3) in [0, 1]."""
    pixels = frames[:: max(1, len(frames) // 16)].permute(0, 2, 3, 1).reshape(-1, 3)
    return pixels[:: max(1, len(pixels) // _COLOUR_SAMPLE)].float() / 255
