"""The process that workers are forked from; light, so that it can be started before torch is loaded."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from multiprocessing import forkserver
from typing import Any

_LONGEST_FOLDER = 60  # what Python adds to it must fit into the 104 or 108 bytes of a socket's address


def context() -> Any:
    """The multiprocessing context of workers."""
    return multiprocessing.get_context("forkserver" if _forks() else "spawn")


def _forks() -> bool:
    """Whether there is a process to fork from: it listens on a socket in the folder for temporary files."""
    return hasattr(os, "fork") and len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER


def warm() -> None:
    """Start importing every attack in the process that workers are forked from.

    It takes seconds, so start it before loading torch yourself: both go at once on two cores. Calling it again does
    nothing; where nothing can be forked, every worker imports for itself.
    """
    if _forks():
        modules = {point.value.split(":")[0] for point in entry_points(group="neuralcipher.attacks")}
        context().set_forkserver_preload(sorted(modules | {"neuralcipher.attacks.engine"}))
        with one_thread():
            forkserver.ensure_running()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let processes started meanwhile, and libraries loaded meanwhile, compute on one thread: NumPy's BLAS and torch.

    An attack is a process with one thread; more would take the cores of the others.
    """
    kept = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    os.environ.update(dict.fromkeys(kept, "1"))
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
