"""A fit that is stopped anywhere goes on from its notes: nothing is done twice, and the result is as good."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from flow_parts import CPU, context, keys, moving_square, panning

from neuralcipher.errors import PayloadDamagedError
from neuralcipher.flows import base as flows
from neuralcipher.flows.base import Flow
from neuralcipher.flows.latent import encoding
from neuralcipher.flows.notes import Notes

CUT = torch.cat([panning(6, 32, 32, 1), panning(5, 32, 32, 2)])


class StopError(Exception):
    """Stands for a process that is killed."""


def fit(name: str, frames: torch.Tensor, options: dict[str, Any], notes: Notes) -> bytes:
    kind: type[Flow] = flows.find(name)
    return kind(kind.config_type(**options)).fit(frames, keys(1), context(seed=2, notes=notes))


def stopping(after: int, saved: list[bytes]) -> Callable[[bytes], None]:
    def save(data: bytes) -> None:
        saved.append(data)
        if len(saved) == after:
            raise StopError

    return save


def fit_in_pieces(name: str, frames: torch.Tensor, options: dict[str, Any], piece: int) -> tuple[bytes, int]:
    """Stopped after every `piece` saved notes; returns the section and how many processes it took."""
    kept: bytes | None = None
    for number in itertools.count(1):
        saved: list[bytes] = []
        try:
            return fit(name, frames, options, Notes(kept, stopping(piece, saved), every_s=0.0)), number
        except StopError:
            kept = saved[-1]
    raise AssertionError


@pytest.mark.parametrize(("piece", "tune"), [(2, "psnr"), (5, "psnr"), (5, "ms-ssim")])
def test_a_stopped_latent_fit_goes_on_from_what_is_kept(monkeypatch: pytest.MonkeyPatch, piece: int, tune: str) -> None:
    batches = 0
    code = encoding._Run.batch

    def counted(self: encoding._Run, *arguments: Any) -> None:
        nonlocal batches
        batches += 1
        code(self, *arguments)

    monkeypatch.setattr(encoding._Run, "batch", counted)
    options = {"steps": 6, "tune": tune}
    whole = fit("latent", CUT, options, Notes())
    once, batches = batches, 0
    section, processes = fit_in_pieces("latent", CUT, options, piece)
    assert processes > 2
    assert batches == once
    if tune == "psnr":
        assert section == whole
    else:  # the second attempt begins from the motion of the first: as it was found, or as it was kept
        assert len(section) == pytest.approx(len(whole), rel=0.03)


def test_attempts_towards_a_size_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = flows.find("latent")
    saved: list[bytes] = []
    aim = {"target_bytes": 1800, "seed": 2}
    make = kind(kind.config_type(steps=0))
    whole = make.fit(CUT, keys(1), context(**aim, notes=Notes(None, saved.append, every_s=0.0)))
    assert len(saved) > 6
    monkeypatch.setattr(encoding._Run, "batch", None)  # what is kept is decoded, so that no batch is coded
    assert make.fit(CUT, keys(1), context(**aim, notes=Notes(saved[-1]))) == whole


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("autoencoder", {"steps": 30, "nconv": 4, "stages": 2}),
        ("recurrent", {"steps": 30, "nconv": 4, "stages": 2}),
        ("mlp", {"steps": 30, "hidden": 4}),
        ("lstm", {"steps": 30, "hidden": 4}),
    ],
)
def test_other_flows_go_on_too(name: str, options: dict[str, Any]) -> None:
    frames = moving_square(6, 16, 24)
    kind = flows.find(name)
    kept: list[list[bytes]] = [[], [], []]
    whole = fit(name, frames, options, Notes(None, kept[0].append, every_s=0.0))
    with pytest.raises(StopError):
        fit(name, frames, options, Notes(None, stopping(20, kept[1]), every_s=0.0))
    made = fit(name, frames, options, Notes(kept[1][-1], kept[2].append, every_s=0.0))
    assert len(kept[2]) == len(kept[0]) - 20  # one note a step: none was done twice
    assert len(made) == pytest.approx(len(whole), rel=0.1)
    error = [error_of(kind, section, frames) for section in (whole, made)]
    assert error[1] < 1.3 * error[0]


def error_of(kind: type[Flow], section: bytes, frames: torch.Tensor) -> float:
    stream = keys(1)(kind.latent_shape(section))
    shown = torch.stack(list(kind.render(section, stream, CPU)))
    return float((shown.float() - frames.float()).square().mean())


def test_the_time_of_stopped_processes_counts() -> None:
    saved: list[bytes] = []
    first = Notes(None, saved.append, every_s=0.0)
    first._started -= 100
    first.put("x", {"a": torch.ones(2).numpy()})
    second = Notes(saved[-1])
    assert 100 <= second.elapsed_s() < 110
    noted = second.get("x")
    assert noted is not None
    assert noted["a"].tolist() == [1.0, 1.0]


def test_nothing_is_kept_unless_it_is_asked_for() -> None:
    notes = Notes()
    notes.put("x", {"a": torch.ones(2).numpy()})
    assert notes.get("x") is None
    assert not notes.due()


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04" + bytes(40)])
def test_damaged_notes_are_refused(data: bytes) -> None:
    with pytest.raises(PayloadDamagedError, match="unfinished fit"):
        Notes(data)
