"""Pipes to worker processes whose other end goes away."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from multiprocessing.connection import Connection
from typing import Any

import pytest

from neuralcipher.attacks import workers
from neuralcipher.pipeline import jobs

MESSAGE = pickle.dumps(("done", bytes(100)))
SENT = len(MESSAGE).to_bytes(4, "big") + MESSAGE  # as a pipe frames it


def cut_after(count: int) -> Connection:
    """Our end of a pipe whose other end was closed after `count` bytes of a message."""
    ours, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), SENT[:count])
    theirs.close()
    return ours


def test_the_message_is_one() -> None:
    assert cut_after(len(SENT)).recv() == ("done", bytes(100))


@pytest.mark.parametrize("count", [0, 1, 4, 5, len(SENT) - 1])
@pytest.mark.parametrize("module", [jobs, workers])
def test_a_worker_that_dies_within_a_message_is_gone(module: Any, count: int) -> None:
    with pytest.raises(EOFError):
        module._Worker(None, cut_after(count)).hear(None)


@pytest.mark.parametrize("count", [0, 1, 4, 5, len(SENT) - 1])
def test_a_worker_notices_that_whoever_sends_it_work_is_gone(count: int) -> None:
    with pytest.raises(EOFError):
        jobs._receive(cut_after(count))
