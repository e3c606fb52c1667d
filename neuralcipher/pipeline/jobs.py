"""Segments in processes of their own on this machine, each on a few threads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

import numpy as np
import torch

from neuralcipher import forking
from neuralcipher.errors import NeuralCipherError
from neuralcipher.pipeline.crew import Desk, Fitting, Seldom, Work, fault, fit_one
from neuralcipher.pipeline.fitting import FittedSegment, SegmentFitter, SegmentTask
from neuralcipher.pipeline.options import SealOptions
from neuralcipher.process import prepare

MEMORY_PER_RAW_BYTE = 25
"""Peak memory of fitting a segment to its raw bytes, roughly, for the flow `latent`."""

_TRIES = 2
_SEGMENTS_EACH = 2
"""What a process fits before another takes its place: its heap grows with each, and a start costs half a second."""
_LOOK_EVERY_S = 1.0
_REPORT_EVERY_S = 0.2


def fitting_jobs(segments: int, segment_bytes: int) -> int:
    """How many segments to fit at once here: one a core, and not more than fit into half of the memory.

    segment_bytes: raw bytes of the largest.
    """
    most = segments
    with suppress(AttributeError, OSError, ValueError):  # not told everywhere
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        most = memory // 2 // (MEMORY_PER_RAW_BYTE * segment_bytes)
    return max(1, min(forking.cores(), segments, most))


def warm() -> None:
    """Start importing what workers need in the process that they are forked from."""
    forking.warm({"neuralcipher.pipeline.jobs", "neuralcipher.flows.latent"})


class Processes:
    """Up to `size` processes that share the cores evenly; the work of one that dies is given to another, once."""

    def __init__(self, options: SealOptions, size: int) -> None:
        self.size = size
        self._options = options
        self._threads = max(1, forking.cores() // size)

    def fit_all(self, waiting: Iterator[Work], desk: Desk) -> Fitting:
        """See `Crew`. Raises NeuralCipherError also if processes die."""
        warm()
        pool: list[_Worker] = []
        again: list[Work] = []
        try:
            while True:
                self._hire(pool, again, waiting, desk)
                busy = {worker.pipe: worker for worker in pool if worker.work}
                if not busy:
                    return
                for pipe in wait(list(busy), timeout=_LOOK_EVERY_S):
                    worker = busy[cast(Connection, pipe)]
                    try:
                        fitted = worker.hear(desk)
                    except EOFError:
                        pool.remove(worker)
                        again.append(worker.lost(desk))
                        continue
                    if fitted is not None:
                        yield fitted
        finally:
            for worker in pool:
                worker.close()

    def _hire(self, pool: list[_Worker], again: list[Work], waiting: Iterator[Work], desk: Desk) -> None:
        """Give work to whoever is idle, starting processes as long as there may be more."""
        for place in range(self.size):
            if place < len(pool) and pool[place].work:
                continue
            work = again.pop() if again else next(waiting, None)
            if work is None:
                return
            if place == len(pool):
                pool.append(_Worker.start(self._options, self._threads, desk.keep_every_s))
            elif pool[place].given >= _SEGMENTS_EACH:
                pool[place].close(_LOOK_EVERY_S)
                pool[place] = _Worker.start(self._options, self._threads, desk.keep_every_s)
            pool[place].give(work)


@dataclass(slots=True)
class _Worker:
    """A process, the segment that it is at, and how many it was given."""

    process: BaseProcess
    pipe: Connection
    work: Work | None = None
    given: int = 0

    @classmethod
    def start(cls, options: SealOptions, threads: int, keep_every_s: float) -> _Worker:
        return cls(*forking.start_worker(_serve, options, threads, keep_every_s, threads=threads))

    def give(self, work: Work) -> None:
        self.work, self.given = work, self.given + 1
        # A process that died since its last segment is found by listening to it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((work.task.plain(), tuple(work.frames.shape), work.notes))
            self.pipe.send_bytes(work.frames.contiguous().numpy().data.cast("B"))

    def hear(self, desk: Desk) -> tuple[int, FittedSegment] | None:
        """One message; the segment if it is done. Raises EOFError if the process is gone, or what it failed with."""
        with forking.listening():
            kind, value = self.pipe.recv()
        work = cast(Work, self.work)
        number = work.task.number
        if kind == "done":
            self.work = None
            return number, FittedSegment.from_bytes(value)
        if kind == "failed":
            raise value
        if kind == "notes":
            work.notes = value
            desk.keep(number, value)
        elif kind == "tell":
            desk.tell(value)
        else:
            desk.report(number, value)
        return None

    def lost(self, desk: Desk) -> Work:
        """The work of a process that died. Raises NeuralCipherError if it is the second that dies of it."""
        self.close(1.0)
        work = cast(Work, self.work)
        work.failed += 1
        if work.failed >= _TRIES:
            raise NeuralCipherError(
                f"{_TRIES} processes ended while they fitted segment {work.task.number}, "
                f"the last with exit code {self.process.exitcode}",
                hint="memory may have run out: pass fewer --jobs, a smaller --scale or fewer --segment-frames",
            )
        code = self.process.exitcode
        desk.tell(f"a process ended with exit code {code} while it fitted segment {work.task.number}; another goes on")
        return work

    def close(self, wait_s: float = 0.0) -> None:
        forking.end_worker(self.process, self.pipe, wait_s)


def _serve(pipe: Connection, options: SealOptions, threads: int, keep_every_s: float) -> None:
    """The life of a worker process: one segment after another, until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C reaches the whole group; the parent ends its workers
    prepare()
    torch.set_num_threads(threads)
    report = Seldom(lambda _, part: pipe.send(("report", part)), _REPORT_EVERY_S)
    desk = Desk(report, lambda text: pipe.send(("tell", text)), lambda _, d: pipe.send(("notes", d)), keep_every_s)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        fitter: SegmentFitter | None = None
        while True:
            work = _receive(pipe)
            try:
                fitter = fitter or SegmentFitter(options)
                fitted = fit_one(fitter, work, desk)
            except NeuralCipherError as error:
                pipe.send(("failed", error))
            except (BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                pipe.send(("failed", fault(error)))
            else:
                pipe.send(("done", fitted.to_bytes()))


def _receive(pipe: Connection) -> Work:
    with forking.listening():
        plain, shape, notes = pipe.recv()
        frames = np.empty(shape, np.uint8)
        pipe.recv_bytes_into(frames.data.cast("B"))
    return Work(SegmentTask.of(plain), torch.from_numpy(frames), notes)
