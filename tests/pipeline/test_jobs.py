"""Segments in several processes: the same bundle, and an end with one sentence whatever happens to a process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from several_segments import KEY, registered_here_only, sealing

import neuralcipher
from neuralcipher.errors import CancelledError, NeuralCipherError, UsageError
from neuralcipher.pipeline import jobs
from neuralcipher.pipeline.checkpoint import checkpoint_folder
from neuralcipher.pipeline.options import Progress

seal = sealing(6, 20, jobs=2)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The workers that are started."""
    workers: list[Any] = []
    start = jobs._Worker.start

    def noted(*arguments: Any) -> Any:
        workers.append(start(*arguments))
        return workers[-1]

    monkeypatch.setattr(jobs._Worker, "start", noted)
    return workers


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes what the system draws from now on the same each time; two sealings differ in nothing else."""

    def begin() -> None:
        count = iter(range(10_000))
        monkeypatch.setattr(os, "urandom", lambda size: sha256(b"%d" % next(count)).digest()[:size])

    return begin


@pytest.mark.parametrize("flow", ["latent", "mlp"])
def test_the_bundle_is_the_same_byte_for_byte(
    tmp_path: Path, drawn: Callable[[], None], started: list[Any], flow: str
) -> None:
    files = []
    for count in (1, 2):
        drawn()
        output = tmp_path / f"{count}.ncv"
        report = seal(output, jobs=count, flow=flow, flow_options={"steps": 3})
        assert report.segments == 3
        files.append(output.read_bytes())
    assert files[0] == files[1]
    assert len(started) == 2


def test_a_worker_is_replaced_after_some_segments(
    tmp_path: Path, drawn: Callable[[], None], started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heap would grow with the video; the bundle is the same."""
    monkeypatch.setattr(jobs, "_SEGMENTS_EACH", 1)
    files = []
    for count in (1, 2):
        drawn()
        seal(tmp_path / f"{count}.ncv", jobs=count, flow_options={"steps": 3})
        files.append((tmp_path / f"{count}.ncv").read_bytes())
    assert files[0] == files[1]
    assert [worker.given for worker in started] == [1, 1, 1]
    assert not any(worker.process.is_alive() for worker in started)


def test_a_worker_that_is_killed_costs_its_segment_alone(tmp_path: Path, started: list[Any]) -> None:
    told: list[str] = []

    def kill(report: Progress) -> None:
        if report.stage == "fitting" and len(started) == 2:
            os.kill(started[0].process.pid, signal.SIGKILL)

    report = seal(tmp_path / "v.ncv", kill, tell=told.append, checkpoint_s=0.0)
    assert len(started) == 3
    assert sum("a process ended with exit code -9 while it fitted segment" in sentence for sentence in told) == 1
    assert report.frames == 6
    assert neuralcipher.open_bundle(tmp_path / "v.ncv", tmp_path / "o.y4m", keys=[KEY]).frames == 6
    assert not any(worker.process.is_alive() for worker in started)


def test_a_segment_that_kills_whoever_fits_it_ends_the_sealing(tmp_path: Path, started: list[Any]) -> None:
    def kill(report: Progress) -> None:
        for worker in started:
            if worker.process.is_alive():
                os.kill(worker.process.pid, signal.SIGKILL)

    with pytest.raises(NeuralCipherError, match=r"2 processes ended while they fitted segment \d") as caught:
        seal(tmp_path / "v.ncv", kill)
    assert "--jobs" in caught.value.hint
    assert not (tmp_path / "v.ncv").exists()


def test_cancelling_ends_the_processes_and_another_run_goes_on(tmp_path: Path, started: list[Any]) -> None:
    output = tmp_path / "v.ncv"

    def stop(report: Progress) -> None:
        if report.finished:
            raise CancelledError("stopped by the test")

    with pytest.raises(CancelledError):
        seal(output, stop, flow_options={"steps": 300})
    assert not any(worker.process.is_alive() for worker in started)
    assert not output.exists()
    finished = sorted(path.name for path in checkpoint_folder(output).glob("segment-*"))
    assert finished
    seen: list[Progress] = []
    told: list[str] = []
    seal(output, seen.append, flow_options={"steps": 300}, tell=told.append)
    assert any(sentence.startswith("going on from") for sentence in told)
    assert min(report.finished for report in seen if report.stage == "fitting") == len(finished)
    assert [entry.name for entry in tmp_path.iterdir()] == ["v.ncv"]


def test_what_a_worker_fails_with_is_what_the_caller_gets(tmp_path: Path, started: list[Any]) -> None:
    """A variant that was registered in this process alone is not there in another."""
    with registered_here_only() as name:
        with pytest.raises(UsageError, match="no generator is called 'only-here'") as caught:
            seal(tmp_path / "v.ncv", generator=name)
        assert seal(tmp_path / "v.ncv", generator=name, jobs=1).generator == "only-here"
    assert "there are" in caught.value.hint
    assert not any(worker.process.is_alive() for worker in started)


def test_no_more_processes_than_segments_and_none_for_one(tmp_path: Path, started: list[Any]) -> None:
    seal(tmp_path / "v.ncv", jobs=8, segment_frames=6)
    assert started == []


def test_jobs_are_bounded_by_segments_memory_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.forking, "cores", lambda: 8)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}  # 4 GiB
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    assert jobs.fitting_jobs(3, 1 << 20) == 3
    assert jobs.fitting_jobs(100, 1 << 20) == 8
    assert jobs.fitting_jobs(100, 1 << 24) == (2 << 30) // (jobs.MEMORY_PER_RAW_BYTE << 24)
    assert jobs.fitting_jobs(100, 1 << 30) == 1


@pytest.mark.parametrize("count", [0, -1])
def test_a_number_of_jobs_that_cannot_be(tmp_path: Path, count: int) -> None:
    with pytest.raises(UsageError, match=f"jobs must be 1 or more, not {count}"):
        seal(tmp_path / "v.ncv", jobs=count)
