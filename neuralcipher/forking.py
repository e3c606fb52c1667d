"""The process that workers are forked from; light, so that it can be started before torch is loaded."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
_LONGEST_FOLDER = 60  # what Python adds to it must fit into the 104 or 108 bytes of a socket's address


def context() -> Any:
    """The multiprocessing context of workers."""
    return multiprocessing.get_context("forkserver" if _forks() else "spawn")


def _forks() -> bool:
    """Whether there is a process to fork from: it listens on a socket in the folder for temporary files."""
    return hasattr(os, "fork") and len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER


def warm(modules: Iterable[str]) -> None:
    """Start importing modules in the process that workers are forked from.

    It takes seconds, so start it before loading torch yourself: both go at once on two cores. Calling it again does
    nothing; where nothing can be forked, every worker imports for itself.
    """
    if _forks():
        context().set_forkserver_preload(sorted(modules))
        with few_threads(1):
            forkserver.ensure_running()


@contextmanager
def few_threads(count: int) -> Iterator[None]:
    """Let processes started meanwhile, and libraries loaded meanwhile, compute on so many threads: BLAS, OpenCV, torch.

    More would take the cores of the other workers. A process that is forked has loaded its libraries, so it sets
    torch's threads itself.
    """
    kept = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(kept, str(count)))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start_worker(serve: Callable[..., None], *arguments: object, threads: int) -> tuple[BaseProcess, Connection]:
    """A process that runs `serve(pipe, *arguments)`, and our end of its pipe."""
    ours, theirs = context().Pipe()
    process = context().Process(target=serve, args=(theirs, *arguments), daemon=True)
    with few_threads(threads):
        process.start()
    theirs.close()
    return process, ours


@contextmanager
def listening() -> Iterator[None]:
    """Raises EOFError if the other end of a pipe is gone, also where it went in the middle of a message."""
    try:
        yield
    except OSError as error:  # a reset, or one without a number that says "got end of file during message"
        raise EOFError(str(error)) from error


def end_worker(process: BaseProcess, pipe: Connection, wait_s: float) -> None:
    """Close the pipe, and end the process unless it ends within so many seconds."""
    pipe.close()
    process.join(wait_s)
    if process.is_alive():
        process.kill()
    process.join()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
