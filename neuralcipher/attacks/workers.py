"""Attacks in processes of their own: a crash costs one row, and stopping is prompt."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from neuralcipher.attacks.base import Attack, Verdict
from neuralcipher.attacks.judge import Row
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.targets import Target

_GRACE = 4.0
_GRACE_S = 60.0
_LOOK_EVERY_S = 1.0

Progress = Callable[[str, float], None]


@dataclass(slots=True)
class _Worker:
    kind: type[Attack]
    process: BaseProcess
    pipe: Connection
    started: float
    limit_s: float | None

    def end(self, verdict: str) -> Row:
        """The row of a worker that did not answer."""
        return Row(self.kind.info, Verdict.ERROR, time.monotonic() - self.started, error=verdict)


def in_processes(jobs: int) -> Callable[..., Iterator[Row]]:
    """What runs attacks in up to `jobs` processes and yields rows as they finish."""

    def work(
        target: Target,
        kinds: Sequence[type[Attack]],
        settings: Settings,
        shares: Mapping[str, float | None],
        scratch: Path,
        progress: Progress,
    ) -> Iterator[Row]:
        context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
        if hasattr(os, "fork"):
            # What every worker would import again, at several seconds each.
            modules = {"neuralcipher.attacks.engine", *(kind.__module__ for kind in kinds)}
            context.set_forkserver_preload(sorted(modules))
        waiting = sorted(kinds, key=lambda kind: -kind.info.weight)  # the long ones first, so that none is left over
        running: dict[Connection, _Worker] = {}
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    worker = _start(context, waiting.pop(0), target, settings, shares, scratch)
                    running[worker.pipe] = worker
                ready = wait(list(running), timeout=_LOOK_EVERY_S)
                for pipe in [pipe for pipe in running if pipe in ready]:
                    row = _hear(running[pipe], progress)
                    if row is not None:
                        _close(running.pop(pipe))
                        yield row
                for pipe, worker in list(running.items()):
                    if worker.limit_s is not None and time.monotonic() - worker.started > worker.limit_s:
                        _close(running.pop(pipe))
                        yield worker.end(f"it did not stop within {worker.limit_s:.0f} s and was ended")
        finally:
            for worker in running.values():
                _close(worker)

    return work


def _start(
    context: Any,
    kind: type[Attack],
    target: Target,
    settings: Settings,
    shares: Mapping[str, float | None],
    scratch: Path,
) -> _Worker:
    ours, theirs = context.Pipe(duplex=False)
    share = shares[kind.info.name]
    process = context.Process(target=_serve, args=(theirs, kind, target, settings, share, scratch), daemon=True)
    process.start()
    theirs.close()
    limit_s = None if share is None else _GRACE * share + _GRACE_S
    return _Worker(kind, process, ours, time.monotonic(), limit_s)


def _hear(worker: _Worker, progress: Progress) -> Row | None:
    """One message of a worker: its row, or None for news of its progress."""
    try:
        message = worker.pipe.recv()
    except EOFError:
        worker.process.join()
        return worker.end(f"its process ended with exit code {worker.process.exitcode}")
    if isinstance(message, Row):
        return message
    progress(worker.kind.info.name, float(message))
    return None


def _close(worker: _Worker) -> None:
    worker.pipe.close()
    if worker.process.is_alive():
        worker.process.join(0.2)
        worker.process.kill()
    worker.process.join()


def _serve(
    pipe: Connection, kind: type[Attack], target: Target, settings: Settings, seconds: float | None, scratch: Path
) -> None:
    """The life of a worker process: one attack."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C reaches the whole group; the parent ends its workers
    import torch

    from neuralcipher.attacks.engine import attack_target

    torch.set_num_threads(1)
    last = time.monotonic()

    def progress(fraction: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOOK_EVERY_S:
            last = time.monotonic()
            pipe.send(fraction)

    pipe.send(attack_target(kind, target, settings, seconds, scratch, progress))
    pipe.close()
