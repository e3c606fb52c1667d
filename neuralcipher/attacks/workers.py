"""Attacks in processes of their own: a crash costs one row, and stopping is prompt."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from neuralcipher import forking
from neuralcipher.attacks.base import Attack, Verdict
from neuralcipher.attacks.judge import Row
from neuralcipher.attacks.preload import warm
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.targets import Target
from neuralcipher.process import prepare

_GRACE = 4.0
_GRACE_S = 60.0
_LOOK_EVERY_S = 1.0

Progress = Callable[[str, float], None]


@dataclass(slots=True)
class _Worker:
    """A process, and the attack that it is at."""

    process: BaseProcess
    pipe: Connection
    kind: type[Attack] | None = None
    started: float = 0.0
    limit_s: float | None = None

    def give(self, kind: type[Attack], share: float | None) -> None:
        self.kind, self.started = kind, time.monotonic()
        self.limit_s = None if share is None else _GRACE * share + _GRACE_S
        # A process that died since its last row is found by listening to it.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send((kind, share))

    @property
    def late(self) -> bool:
        return self.kind is not None and self.limit_s is not None and time.monotonic() - self.started > self.limit_s

    def failed(self, why: str) -> Row:
        """The row of an attack that did not answer."""
        if self.kind is None:
            raise RuntimeError("this worker has nothing to do")
        return Row(self.kind.info, Verdict.ERROR, time.monotonic() - self.started, error=why)

    def hear(self, progress: Progress) -> Row | None:
        """One message: the row of its attack, or None for news of its progress. Raises EOFError if it is gone."""
        with forking.listening():
            message = self.pipe.recv()
        if isinstance(message, Row):
            self.kind = None
            return message
        if self.kind is not None:
            progress(self.kind.info.name, float(message))
        return None

    def close(self, wait_s: float = 0.2) -> None:
        forking.end_worker(self.process, self.pipe, wait_s)


def in_processes(jobs: int) -> Callable[..., Iterator[Row]]:
    """What runs attacks in up to `jobs` processes and yields rows as they finish; a process lost is replaced."""

    def work(
        target: Target,
        kinds: Sequence[type[Attack]],
        settings: Settings,
        shares: Mapping[str, float | None],
        scratch: Path,
        progress: Progress,
    ) -> Iterator[Row]:
        warm()
        waiting = sorted(kinds, key=lambda kind: -kind.info.weight)  # the long ones first, so that none is left over
        pool: list[_Worker] = []
        try:
            while waiting or any(worker.kind for worker in pool):
                for worker in pool:
                    if worker.kind is None and waiting:
                        _next(worker, waiting, shares)
                while waiting and len(pool) < jobs:
                    pool.append(_start(target, settings, scratch))
                    _next(pool[-1], waiting, shares)
                busy = {worker.pipe: worker for worker in pool if worker.kind}
                for pipe in wait(list(busy), timeout=_LOOK_EVERY_S):
                    row, lost = _listen(busy[cast(Connection, pipe)], progress)
                    if lost:
                        pool.remove(busy[cast(Connection, pipe)])
                    if row is not None:
                        yield row
                for worker in [worker for worker in pool if worker.late]:
                    worker.close()
                    pool.remove(worker)
                    yield worker.failed(f"it did not stop within {worker.limit_s:.0f} s and was ended")
        finally:
            for worker in pool:
                worker.close(0.2 if worker.kind is None else 0.0)

    return work


def _next(worker: _Worker, waiting: list[type[Attack]], shares: Mapping[str, float | None]) -> None:
    kind = waiting.pop(0)
    worker.give(kind, shares[kind.info.name])


def _listen(worker: _Worker, progress: Progress) -> tuple[Row | None, bool]:
    """What a worker says, and whether it is gone."""
    try:
        return worker.hear(progress), False
    except EOFError:
        worker.close(1.0)
        return worker.failed(f"its process ended with exit code {worker.process.exitcode}"), True


def _start(target: Target, settings: Settings, scratch: Path) -> _Worker:
    return _Worker(*forking.start_worker(_serve, target, settings, scratch, threads=1))


def _serve(pipe: Connection, target: Target, settings: Settings, scratch: Path) -> None:
    """The life of a worker process: one attack after another, until nobody listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C reaches the whole group; the parent ends its workers
    prepare()
    import torch

    from neuralcipher.attacks.engine import attack_target

    torch.set_num_threads(1)
    last = time.monotonic()

    def progress(fraction: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOOK_EVERY_S:
            last = time.monotonic()
            pipe.send(fraction)

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            with forking.listening():
                kind, seconds = pipe.recv()
            pipe.send(attack_target(kind, target, settings, seconds, scratch, progress))
