"""What keys see of a pair <g, F>: shown to many of them under a clock, compared with the truth, for several attacks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Measurement, NotApplicable
from neuralcipher.attacks.planted.flows import IdealFlow, planted_pair
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import Public, public
from neuralcipher.flows.base import Flow
from neuralcipher.video import quality

Video = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

_RESAMPLES = 2000
_CONTROL_FRAMES = 4
_CONTROL_SIDE = 32


class OutOfTime(Exception):  # noqa: N818  (it ends the work, it is not an error)
    """The share of the budget is spent before all keys were shown."""


@dataclass(slots=True)
class Clock:
    """Counts what was done of `total`; raises OutOfTime when the budget is spent, so that nothing half done counts."""

    run: Run
    total: int
    done: int = 0

    def tick(self) -> None:
        """One more is done."""
        self.done += 1
        self.run.progress(self.done / self.total)
        if self.done < self.total and self.run.out_of_time():
            raise OutOfTime


def resealed(subject: PairSubject, frames: Tensor, key: bytes) -> PairSubject:
    """Frames (N, 3, H, W) sealed as the subject was. Raises NotApplicable if that cannot be."""
    if subject.seal is None:
        raise NotApplicable("the pair cannot be made again, so there is nothing to compare it with")
    return subject.seal(frames, key)


def strangers(subject: PairSubject, run: Run, count: int) -> tuple[PairSubject, ...]:
    """Up to `count` of the other videos, each sealed with a fresh key. Raises NotApplicable if there are none."""
    if not subject.others:
        raise NotApplicable("there is no other video to compare with")
    return tuple(
        resealed(subject, other, run.key_bytes("stranger's bundle", i))
        for i, other in enumerate(subject.others[:count])
    )


def shown_to(view: Public, starts: Sequence[Tensor], frames: int, clock: Clock) -> list[Video]:
    """What each start latent sees of the first frames, (n, 3, H, W) uint8 each: no key is needed to look."""
    seen = []
    for z0 in starts:
        seen.append(view.show(z0, 0, frames).numpy())
        clock.tick()
    return seen


def imposters(subject: PairSubject, run: Run, label: str, count: int) -> list[Tensor]:
    """The start latents of fresh keys, which have nothing to do with the right one."""
    return subject.starts([run.key_bytes(label, i) for i in range(count)])


def imposters_and_strangers(
    subject: PairSubject, bundles: Sequence[PairSubject], run: Run, keys: int, frames: int, clock: Clock
) -> tuple[list[Video], list[Video]]:
    """What fresh keys see of the subject, and what as many others, shared out over the bundles, see of those."""
    shown = shown_to(public(subject), imposters(subject, run, "imposter", keys), frames, clock)
    foreign: list[Video] = []
    for i, bundle in enumerate(bundles):
        share = len(range(i, keys, len(bundles)))
        foreign += shown_to(public(bundle), imposters(bundle, run, f"stranger {i}", share), frames, clock)
    return shown, foreign


def stopped(unit: str, effort: str, chance: float = 0.0) -> Measurement:
    """The end of an attack whose time was spent before all keys were shown. chance: the value that says nothing."""
    return Measurement(chance, unit, 0, p_value=1.0, decidable=False, effort=effort, note="stopped by the clock")


def psnr_db(a: Video, b: Video) -> float:
    """Mean over frames of the PSNR, (n, 3, H, W) each; identical frames count as 100 dB."""
    return quality.psnr_db(a.transpose(0, 2, 3, 1), b.transpose(0, 2, 3, 1))


def mean_frame(frames: Video | Tensor, count: int) -> Video:
    """The mean of all frames, `count` times: what guessing costs nothing shows, if the mean is known."""
    mean = np.rint(np.asarray(frames, dtype=np.float64).mean(axis=0)).astype(np.uint8)
    return np.repeat(mean[None], count, axis=0)


def picture(frame: Video | Tensor) -> Video:
    """(3, H, W) to (H, W, 3), as figures take it."""
    return np.ascontiguousarray(np.asarray(frame, dtype=np.uint8).transpose(1, 2, 0))


def difference_interval(
    first: Sequence[float], second: Sequence[float], draw: np.random.Generator, confidence: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of mean(first) - mean(second), keys drawn anew within each group (percentiles).

    Source: Efron, Bootstrap methods: another look at the jackknife (1979).
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    means = a[draw.integers(0, len(a), (_RESAMPLES, len(a)))].mean(axis=1) - b[
        draw.integers(0, len(b), (_RESAMPLES, len(b)))
    ].mean(axis=1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def preference_interval(
    first: Sequence[float], second: Sequence[float], draw: np.random.Generator, confidence: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of the chance that a value of the first is above one of the second, by percentiles."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    above = np.sign(a[:, None] - b[None]) / 2 + 0.5
    rows, columns = draw.integers(0, len(a), (_RESAMPLES, len(a))), draw.integers(0, len(b), (_RESAMPLES, len(b)))
    means = [above[np.ix_(i, j)].mean() for i, j in zip(rows, columns, strict=True)]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def least_p(first: int, second: int, tests: int = 1) -> float:
    """The least p-value that a rank sum of so many keys can have, times the number of tests: Holm's first step."""
    return min(1.0, tests / math.comb(first + second, first))


def can_decide(first: int, second: int, tests: int = 1) -> bool:
    """Whether so many keys can reject at the level of a control at all."""
    return least_p(first, second, tests) <= CONTROL_LEVEL


def together(p_values: Sequence[float]) -> float:
    """One valid p-value of several tests of one row: the least after Holm."""
    return min(holm(p_values))


def small(subject: PairSubject) -> PairSubject:
    """The corner of the first frames, in which controls are planted: they cost little and the fault is as plain."""
    return replace(subject, frames=_corner(subject.frames), others=tuple(_corner(other) for other in subject.others))


def controls(
    subject: Subject, run: Run, positive: type[Flow], generator: str | None = None
) -> tuple[PairSubject, PairSubject]:
    """A planted flow that must be caught and the ideal one that must not, both holding the subject's corner."""
    corner = small(pair_of(subject))
    return (
        planted_pair(positive, corner, run.key_bytes("positive control", 0), generator),
        planted_pair(IdealFlow, corner, run.key_bytes("negative control", 0)),
    )


def _corner(frames: Tensor) -> Tensor:
    return torch.clone(
        frames[:_CONTROL_FRAMES, :, :_CONTROL_SIDE, :_CONTROL_SIDE], memory_format=torch.contiguous_format
    )
