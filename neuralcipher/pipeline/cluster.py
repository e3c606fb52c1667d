"""Segments on a Ray cluster. A task gets the frames of a segment and its own seed, never the key or the bundle key."""

from __future__ import annotations

import dataclasses
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from neuralcipher.errors import NeuralCipherError, UsageError
from neuralcipher.pipeline import remote
from neuralcipher.pipeline.crew import Desk, Fitting, Work
from neuralcipher.pipeline.fitting import FittedSegment, SegmentTask
from neuralcipher.pipeline.options import SealOptions

_TRIES = 4
_THREADS = 1
_WAIT_S = 1.0
_CONNECT_S = 5.0
_ALONE_S = 120.0  # how long to wait for a node to join when there is none
_SPARE = 1  # segments that wait in the object store for the next who is free


@dataclass(slots=True)
class _Sent:
    """A segment in the cluster. frames: where they lie in the object store. failed: how often somebody was lost."""

    task: SegmentTask
    frames: Any
    failed: int = 0


class Cluster:
    """Connects to a cluster and leaves it when all is done; a connection that is there already is used and kept.

    address: "auto" for the one that runs on this machine (or that RAY_ADDRESS names), else HOST:PORT.
    Raises UsageError if Ray is not installed or no cluster answers.
    """

    def __init__(self, options: SealOptions, address: str) -> None:
        self._ray = _import_ray()
        self._ours = not self._ray.is_initialized()
        if self._ours:
            _connect(self._ray, address)
        self._options = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
        self._options["flow_options"] = dict(options.flow_options)
        self._on_gpu = options.device != "cpu" and self._ray.cluster_resources().get("GPU", 0) >= 1
        self.size = max(1, self._slots())

    def fit_all(self, waiting: Iterator[Work], desk: Desk) -> Fitting:
        """See `Crew`. Raises NeuralCipherError also if segments are lost again and again, or all nodes are."""
        ray = self._ray
        board = ray.remote(num_cpus=0, max_restarts=-1)(remote.Board).remote()
        sent: dict[Any, _Sent] = {}
        try:
            alone_since = time.monotonic()
            while True:
                slots = self._slots()
                while len(sent) < slots + _SPARE and (work := next(waiting, None)) is not None:
                    part = _Sent(work.task, ray.put(work.frames.numpy()))
                    del work  # the object store holds its frames
                    sent[self._submit(part, board)] = part
                if not sent:
                    return
                ready, _ = ray.wait(list(sent), timeout=_WAIT_S)
                self._news(board, desk)
                for ref in ready:
                    part = sent.pop(ref)
                    fitted = self._result(ref, part, desk)
                    if fitted is None:
                        sent[self._submit(part, board)] = part
                    else:
                        yield part.task.number, fitted
                if slots or ready:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > _ALONE_S:
                    raise NeuralCipherError("the cluster has no node left", hint="add nodes and run the same command")
        finally:
            with suppress(ray.exceptions.RayError):
                for ref in sent:
                    ray.cancel(ref, force=True)
                ray.kill(board)
            if self._ours:
                ray.shutdown()

    def _slots(self) -> int:
        """How many segments the nodes that are there now can fit at once."""
        resources = self._ray.cluster_resources()
        cpus = int(resources.get("CPU", 0)) // _THREADS
        return min(cpus, int(resources.get("GPU", 0))) if self._on_gpu else cpus

    def _submit(self, part: _Sent, board: Any) -> Any:
        # Who is lost is noticed here, so that the user hears of it and no segment is tried without end.
        how = {"num_cpus": _THREADS, "num_gpus": 1 if self._on_gpu else 0, "max_retries": 0}
        task = self._ray.remote(**how)(remote.fit_segment)
        return task.remote(version("neuralcipher"), self._options, part.task.plain(), part.frames, board, _THREADS)

    def _result(self, ref: Any, part: _Sent, desk: Desk) -> FittedSegment | None:
        """What a task returned; None if it was lost and shall be done again."""
        errors, number = self._ray.exceptions, part.task.number
        try:
            kind, value = self._ray.get(ref)
        except errors.RayTaskError as error:  # before our code could answer: it is not there, or another
            raise NeuralCipherError(
                f"a node of the cluster cannot fit segment {number}: {type(error.cause).__name__}",
                hint=f"install neuralcipher {version('neuralcipher')} on every node",
            ) from None
        except errors.RayError as error:
            part.failed += 1
            why = f"segment {number} was lost with its worker ({type(error).__name__})"
            if part.failed == _TRIES:
                raise NeuralCipherError(
                    f"{why}, the {_TRIES}th time",
                    hint="look at the memory of the nodes; fewer --segment-frames take less",
                ) from None
            desk.tell(f"{why}; it is done again")
            return None
        if kind == remote.OTHER_VERSION:
            node, theirs = value
            raise NeuralCipherError(
                f"the node {node} has neuralcipher {theirs}, but {version('neuralcipher')} is needed",
                hint="install the same version on every node",
            )
        if kind == remote.FAILED:
            raise value
        return FittedSegment.from_bytes(value)

    def _news(self, board: Any, desk: Desk) -> None:
        """Pass on what tasks reported. Without the board, the work goes on in silence."""
        try:
            reports, told = self._ray.get(board.take.remote(), timeout=_WAIT_S)
        except self._ray.exceptions.RayError:
            return
        for sentence in told:
            desk.tell(sentence)
        for number, part in reports.items():
            desk.report(number, part)


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("Ray is not installed", hint="install neuralcipher[ray] in place of neuralcipher") from None
    return ray


def _connect(ray: Any, address: str) -> None:
    unanswered = UsageError(
        f"no Ray cluster answers at {address}", hint="start one with: ray start --head, or correct the address"
    )
    host, colon, port = address.rpartition(":")
    if address != "auto":
        if not (colon and host and port.isdigit()):
            raise UsageError(f"{address!r} is not the address of a cluster", hint="pass auto, or HOST:PORT")
        try:  # Ray itself would try for minutes, and then end the process
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
        except (OSError, OverflowError):
            raise unanswered from None
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit):
        raise unanswered from None
