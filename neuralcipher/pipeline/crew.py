"""Who fits the segments of a video: this process, others on this machine, or a cluster; all take work the same way."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from neuralcipher.errors import NeuralCipherError
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


def fault(error: Exception) -> NeuralCipherError:
    """What another process may say of an exception that is nobody's mistake but ours: its kind and place."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else "nowhere"
    return NeuralCipherError(f"fitting failed: {type(error).__name__} at {where}", hint="report this as a bug")
