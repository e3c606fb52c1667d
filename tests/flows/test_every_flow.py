"""What holds for every registered flow, keyed or not."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from flow_parts import CPU, context, keys, moving_square, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import BundleError, CancelledError, CheckFailedError, ShapeError, UsageError
from neuralcipher.flows import autoencoder, mlp, notes, training
from neuralcipher.flows.base import FitProgress, find, registry
from neuralcipher.generators.base import Keystream

TINY: dict[str, dict[str, Any]] = {
    "latent": {},
    "autoencoder": {"nconv": 2},
    "recurrent": {"nconv": 2, "stages": 1, "residual": 1, "keyframe_threshold": 14},
    "mlp": {"hidden": 3},
    "lstm": {"hidden": 2},
}
UNKEYED = ["recurrent", "mlp", "lstm"]
NETWORKS = ["autoencoder", *UNKEYED]  # the flow latent, which takes longer, has more tests of its own


def fit(name: str, frames: torch.Tensor, steps: int = 6, **changes: Any) -> bytes:
    flow = find(name)
    return flow(flow.config_type(**TINY[name], steps=steps)).fit(frames, keys(1), context(**changes))


def shown(name: str, section: bytes, start: int = 0, stop: int | None = None) -> torch.Tensor:
    flow = find(name)
    keystream = keys(1)(flow.latent_shape(section))
    frames = list(flow.render(section, keystream, CPU, start, stop))
    return torch.stack(frames) if frames else torch.empty(0, dtype=torch.uint8)


@cache
def sample(name: str) -> bytes:
    return fit(name, moving_square(5, 10, 13))


def test_every_registered_flow_is_tested_here() -> None:
    assert set(registry.names()) == set(TINY)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1, 1), (1, 9, 10), (2, 5, 18), (3, 16, 8)])
def test_any_number_of_frames_of_any_size(name: str, size: tuple[int, int, int]) -> None:
    frames = noise(*size)
    opened = shown(name, fit(name, frames))
    assert opened.shape == frames.shape
    assert opened.dtype == torch.uint8


@pytest.mark.parametrize("name", NETWORKS)
def test_every_slice_equals_the_slice_of_the_whole(name: str) -> None:
    whole = shown(name, sample(name))
    assert torch.equal(whole, shown(name, sample(name)))
    for start in range(6):
        for stop in (0, 1, start + 1, start + 2, 5, 9, None):
            assert torch.equal(shown(name, sample(name), start, stop).flatten(), whole[start:stop].flatten())


@pytest.mark.parametrize("name", TINY)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert fit(name, moving_square(5, 10, 13)) == sample(name)


@pytest.mark.parametrize("name", TINY)
def test_a_section_says_what_it_shows(name: str) -> None:
    assert find(name).video_shape(sample(name)) == (5, 10, 13)


@pytest.mark.parametrize("name", TINY)
def test_progress_can_cancel(name: str) -> None:
    def stop(report: FitProgress) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        fit(name, moving_square(3, 16, 16), progress=stop)


@pytest.mark.parametrize("name", TINY)
def test_progress_grows_within_0_and_1(name: str) -> None:
    reports: list[FitProgress] = []
    fit(name, moving_square(3, 16, 16), steps=24, progress=reports.append)
    fractions = [report.fraction for report in reports]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert all(report.size_bytes > 0 for report in reports)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_budget_in_seconds_is_kept(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10_000))
    monkeypatch.setattr(notes.time, "monotonic", lambda: float(next(clock)))
    steps: list[int] = []
    flow = find(name)
    flow(flow.config_type(**TINY[name])).fit(
        moving_square(3, 16, 16), keys(1), context(budget_s=100.0, progress=lambda report: steps.append(report.step))
    )
    assert 80 <= next(clock) <= 110
    assert steps


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("frames", [noise(2, 8, 8).float(), noise(2, 8, 8)[0], noise(0, 8, 8), noise(2, 8, 8)[:, :2]])
def test_what_is_not_a_video_is_refused(name: str, frames: torch.Tensor) -> None:
    with pytest.raises(ShapeError):
        fit(name, frames)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_fit_that_diverges_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (autoencoder, mlp):
        monkeypatch.setattr(module, "_RATE", float("inf"))
    monkeypatch.setattr(training, "RATE", float("inf"))
    with pytest.raises(CheckFailedError, match=f"{name} flow diverged"):
        fit(name, noise(4, 8, 8), steps=60)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_section_ends_where_it_should(name: str) -> None:
    for damaged in (sample(name) + b"\0", sample(name)[:-1], b"", bytes(40)):
        with pytest.raises(BundleError):
            find(name).latent_shape(damaged)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=60)
@given(data=st.data())
def test_damaged_sections_never_crash(name: str, data: st.DataObject) -> None:
    section = bytearray(sample(name))
    if data.draw(st.booleans()):
        section = section[: data.draw(st.integers(0, len(section) - 1))]
    for _ in range(data.draw(st.integers(0, 4))):
        if section:
            where = st.integers(0, min(30, len(section) - 1)) | st.integers(0, len(section) - 1)  # often the header
            section[data.draw(where)] ^= data.draw(st.integers(1, 255))
    try:
        flow = find(name)
        shape = flow.latent_shape(bytes(section))
        if shape[0] * shape[1] * shape[2] < 1 << 16:
            assert next(iter(flow.render(bytes(section), keys(1)(shape), CPU))).dtype == torch.uint8
    except BundleError:
        pass


@pytest.mark.parametrize("name", UNKEYED)
@settings(max_examples=50)
@given(section=st.binary(max_size=200))
def test_any_bytes_are_refused(name: str, section: bytes) -> None:
    with pytest.raises(BundleError):
        find(name).latent_shape(section)


@pytest.mark.parametrize("name", UNKEYED)
def test_a_flow_without_a_key_shows_the_same_under_any(name: str) -> None:
    flow = find(name)
    assert not flow.keyed
    shape = flow.latent_shape(sample(name))
    other = torch.stack(list(flow.render(sample(name), keys(2)(shape), CPU)))
    assert torch.equal(other, shown(name, sample(name)))
    assert flow.remask(sample(name), keys(1)(shape), keys(2)(shape)) == sample(name)


@pytest.mark.parametrize("name", UNKEYED)
def test_a_keystream_is_made_once_and_of_the_smallest_shape(name: str) -> None:
    made: list[Keystream] = []

    def make(shape: tuple[int, int, int]) -> Keystream:
        made.append(keys(1)(shape))
        return made[-1]

    flow = find(name)
    section = flow(flow.config_type(**TINY[name], steps=1)).fit(moving_square(3, 8, 8), make, context())
    assert [keystream.shape for keystream in made] == [flow.latent_shape(section)]


@pytest.mark.parametrize("name", UNKEYED)
def test_grey_video_is_stored_with_one_channel(name: str) -> None:
    grey = moving_square(4, 9, 12)[:, :1].expand(-1, 3, -1, -1)
    section = fit(name, grey.contiguous())
    opened = shown(name, section)
    assert section[9] == 1
    assert torch.equal(opened[:, :1].expand_as(opened), opened)
    assert sample(name)[9] == 3


@pytest.mark.parametrize("name", UNKEYED)
@pytest.mark.parametrize("bits", [2, 4, 8, 16, 32])
def test_weights_of_every_precision(name: str, bits: int) -> None:
    frames = moving_square(4, 8, 12)
    flow = find(name)
    section = flow(flow.config_type(weight_bits=bits, steps=20)).fit(frames, keys(1), context())
    assert shown(name, section).shape == frames.shape
    if bits == 32:
        halved = flow(flow.config_type(weight_bits=16, steps=20)).fit(frames, keys(1), context())
        assert len(halved) < 0.6 * len(section)
        assert (shown(name, halved).int() - shown(name, section).int()).abs().max() <= 2


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("recurrent", "nconv", 0),
        ("recurrent", "nconv", 257),
        ("recurrent", "dilation", 0),
        ("recurrent", "weight_bits", 1),
        ("recurrent", "weight_bits", 12),
        ("recurrent", "optimiser", 3),
        ("recurrent", "window", 0),
        ("recurrent", "steps", -1),
        ("mlp", "hidden", 0),
        ("mlp", "layers", 0),
        ("mlp", "encoding", -1),
        ("mlp", "weight_bits", 33),
        ("lstm", "hidden", 0),
        ("lstm", "past", 0),
        ("lstm", "weight_bits", 9),
    ],
)
def test_options_out_of_range(name: str, option: str, value: int) -> None:
    with pytest.raises(UsageError, match=option):
        find(name).config_type(**{option: value})
