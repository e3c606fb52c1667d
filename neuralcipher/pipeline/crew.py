"""Who fits the segments of a video: this process, others on this machine, or a cluster; all take work the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from neuralcipher.errors import NeuralCipherError, place_of
from neuralcipher.flows.notes import Notes
from neuralcipher.pipeline.fitting import FittedSegment, SegmentFitter, SegmentReport, SegmentTask


@dataclass(slots=True)
class Work:
    """A segment to fit. frames: (N, 3, H, W) uint8. notes: what was kept of this fit, None to begin it.

    failed: how often somebody was lost over it.
    """

    task: SegmentTask
    frames: Tensor
    notes: bytes | None
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a crew sends its news, always from the thread that asked for the work.

    report: of a segment, by its number; may raise to stop. tell: a sentence for the user. keep: the notes of the fit
    of a segment. keep_every_s: how often.
    """

    report: Callable[[int, SegmentReport], None]
    tell: Callable[[str], None]
    keep: Callable[[int, bytes], None]
    keep_every_s: float


Fitting = Generator[tuple[int, FittedSegment], None, None]
"""Segments by number, as they finish."""


class Crew(Protocol):
    """Fits segments somewhere. size: how many at once."""

    size: int

    def fit_all(self, waiting: Iterator[Work], desk: Desk) -> Fitting:
        """Fit all work and yield segments, by number, as they finish.

        Work is taken one by one, each when there is somebody to do it, so that few segments are held at once. Closing
        the iterator ends the work. Raises the errors of fitting.
        """


class Alone:
    """One segment after the other in this process, on the threads that torch has."""

    size = 1

    def __init__(self, fitter: SegmentFitter) -> None:
        self._fitter = fitter

    def fit_all(self, waiting: Iterator[Work], desk: Desk) -> Fitting:
        """See `Crew`."""
        for work in waiting:
            yield work.task.number, fit_one(self._fitter, work, desk)
            del work  # not held while the next is read


def fit_one(fitter: SegmentFitter, work: Work, desk: Desk) -> FittedSegment:
    """Fit one segment here."""
    number = work.task.number
    notes = Notes(work.notes, lambda data: desk.keep(number, data), desk.keep_every_s)
    return fitter.fit(work.task, work.frames, notes, lambda part: desk.report(number, part), desk.tell)


class Seldom:
    """Passes the reports of a worker on: a new stage at once, others not more often than somebody can see."""

    def __init__(self, send: Callable[[int, SegmentReport], object], every_s: float) -> None:
        self._send, self._every_s = send, every_s
        self._last = (0.0, "")

    def __call__(self, number: int, part: SegmentReport) -> None:
        now = time.monotonic()
        if part.stage != self._last[1] or now - self._last[0] >= self._every_s:
            self._last = now, part.stage
            self._send(number, part)


def fault(error: Exception) -> NeuralCipherError:
    """What another process may say of an exception that is nobody's mistake but ours: its kind and place."""
    place = place_of(error)
    where = f"{place[0]}:{place[1]}" if place is not None else "nowhere"
    return NeuralCipherError(f"fitting failed: {type(error).__name__} at {where}", hint="report this as a bug")
