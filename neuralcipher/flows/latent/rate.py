"""Choosing the quality: as asked, or by coding again until a size or a PSNR is met."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from neuralcipher.flows.base import FitContext
from neuralcipher.flows.latent.encoding import Attempt, Tuning
from neuralcipher.flows.latent.head import MAX_QUALITY, PREFIX_BYTES
from neuralcipher.flows.latent.network import repair_network, shipped_weights
from neuralcipher.flows.latent.planning import LENGTHS
from neuralcipher.flows.latent.section import LatentSection
from neuralcipher.flows.latent.structure import longest_group
from neuralcipher.flows.latent.training import MIX, RepairInputs, errors_with

_MOST_ATTEMPTS = 5
_LOG_SIZE_PER_QUALITY = 0.05  # to begin with; later attempts use what was measured
_PSNR_PER_QUALITY = 0.2
_SIZE_SLACK = 0.02
_PSNR_SLACK_DB = 0.1
_HEAD_BYTES = 300  # kept free for changes to the network
_LEAST_RAW_BYTES = 1 << 12  # smaller videos are mostly what any section takes
_NO_ERROR = 1e-10
_CASCADES = (0.7, 1.4)


def psnr_db(error: float) -> float:
    """Of a mean squared error on [0, 1]; at most 100 dB."""
    return -10 * math.log10(max(error, _NO_ERROR))


def repair_inputs(attempt: Attempt, truth: Tensor, size: tuple[int, int], quality: int) -> RepairInputs:
    """What the network sees of an attempt."""
    return RepairInputs(attempt.decoded, attempt.residual, attempt.levels, truth, size, quality)


@dataclass(frozen=True, slots=True)
class _Goal:
    """value: log of the bytes, or PSNR in dB. slope: of it by quality, before it is known. above: from which side it
    is to be met. slack: how near is near enough."""

    value: float
    slope: float
    slack: float
    above: bool

    def met(self, value: float) -> bool:
        """Whether a value is on the right side."""
        return value >= self.value if self.above else value <= self.value


def choose(
    encode: Callable[[int], Attempt], quality: int, context: FitContext, size: tuple[int, int], truth: Tensor
) -> tuple[int, Attempt]:
    """(quality, attempt): one attempt at the quality asked for, or up to five towards the context's target.

    A size is kept below, a PSNR above, where any quality can; else what comes nearest is returned.
    """
    if context.target_bytes is not None:
        spare = min(_HEAD_BYTES, context.target_bytes // 20)
        goal = _Goal(math.log(max(1, context.target_bytes - spare)), _LOG_SIZE_PER_QUALITY, _SIZE_SLACK, False)
    elif context.target_psnr_db is not None:
        goal = _Goal(context.target_psnr_db, _PSNR_PER_QUALITY, _PSNR_SLACK_DB, True)
    else:
        return quality, encode(quality)
    values: dict[int, float] = {}
    best: tuple[int, Attempt] | None = None
    while len(values) < _MOST_ATTEMPTS and quality not in values:
        attempt = encode(quality)
        if goal.above:
            values[quality] = _shipped_psnr_db(repair_inputs(attempt, truth, size, quality), context.device)
        else:
            values[quality] = math.log(section_bytes(attempt, size))
        if best is None or _better(values[quality], values[best[0]], goal):
            best = quality, attempt
        if goal.met(values[quality]) and abs(values[quality] - goal.value) <= goal.slack:
            break
        quality = _next(values, quality, goal)
    if best is None:
        raise ValueError("no attempt was made")
    return best


def section_bytes(attempt: Attempt, size: tuple[int, int]) -> int:
    """Of the whole section, without changes to the network."""
    return len(LatentSection(*size, attempt.plan, (bytes(PREFIX_BYTES), *attempt.messages)).to_bytes())


def below_raw(
    encode: Callable[[int], Attempt],
    found: tuple[int, Attempt],
    context: FitContext,
    size: tuple[int, int],
    truth: Tensor,
    raw_bytes: int,
) -> tuple[int, Attempt]:
    """(quality, attempt) as found, or at the highest quality that takes no more than the raw video, and says so."""
    quality, attempt = found
    if raw_bytes < _LEAST_RAW_BYTES or section_bytes(attempt, size) <= raw_bytes:
        return found
    context.tell(f"quality {quality} would take more bytes than the raw video, so a lower quality is used")
    return choose(encode, quality - 1, replace(context, target_bytes=raw_bytes, target_psnr_db=None), size, truth)


def tune(
    encode: Callable[[Tuning], Attempt],
    first: Attempt,
    mean_error: Callable[[Attempt], float],
    room: Callable[[], bool],
    begin: Tuning | None = None,
) -> Attempt:
    """Try other rate weights and group lengths while there is room, and keep what codes best.

    encode: one attempt. mean_error: of an attempt, whichever counts. room: whether another attempt fits the budget.
    begin: how `first` was coded.
    Attempts are compared by log(error) + 0.97 log(bytes): along a codec's curve on one video that sum stays put.
    """
    begin = begin or Tuning()
    best, least = first, _score(first, mean_error)
    planned = longest_group(first.plan)
    tried = {begin, replace(begin, length=planned)}
    waiting = [replace(begin, traced=True), *_neighbours(begin, planned)]
    while waiting and room():
        candidate = waiting.pop(0)
        if candidate in tried:
            continue
        tried.add(candidate)
        attempt = encode(candidate)
        if (score := _score(attempt, mean_error)) < least:
            best, least = attempt, score
            waiting = _neighbours(candidate, planned)
    return best


def _neighbours(tuning: Tuning, planned: int) -> list[Tuning]:
    """One step away: the next shorter and longer length, then flatter and steeper rate weights."""
    ladder = sorted(LENGTHS)
    length = tuning.length or planned
    place = ladder.index(length) if length in ladder else len(ladder) - 1
    lengths = [ladder[i] for i in (place - 1, place + 1) if 0 <= i < len(ladder)]
    weights = [replace(tuning, cascade=tuning.cascade * factor) for factor in _CASCADES]
    return [replace(tuning, length=length) for length in lengths] + weights


def _score(attempt: Attempt, mean_error: Callable[[Attempt], float]) -> float:
    return math.log(max(mean_error(attempt), _NO_ERROR)) + MIX * math.log(attempt.size_bytes)


def _better(value: float, other: float, goal: _Goal) -> bool:
    if goal.met(value) != goal.met(other):
        return goal.met(value)
    return abs(value - goal.value) < abs(other - goal.value)


def _next(values: dict[int, float], quality: int, goal: _Goal) -> int:
    """The quality to try next: by the slope between the two attempts nearest the goal, within what they bracket."""
    slope = goal.slope
    near = sorted(values, key=lambda q: abs(values[q] - goal.value))[:2]
    if len(near) == 2 and values[near[0]] != values[near[1]]:
        slope = max(goal.slope / 4, (values[near[0]] - values[near[1]]) / (near[0] - near[1]))
    step = (goal.value - values[near[0]]) / slope
    guess = near[0] + (math.ceil(step) if goal.above else math.floor(step))
    low = max([q for q in values if values[q] <= goal.value], default=-1) + 1
    high = min([q for q in values if values[q] > goal.value], default=MAX_QUALITY + 1) - 1
    return quality if low > high else max(0, min(MAX_QUALITY, max(low, min(high, guess))))


def _shipped_psnr_db(inputs: RepairInputs, device: torch.device) -> float:
    """Mean PSNR of the frames with the network as it ships, if that helps."""
    plain = errors_with(None, inputs, device)
    repaired = errors_with(repair_network(shipped_weights(), device), inputs, device)
    return max(sum(map(psnr_db, errors)) / len(errors) for errors in (plain, repaired))
