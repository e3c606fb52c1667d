"""What a flow must survive: sizes nobody asked for, bad steps, hostile headers."""

from __future__ import annotations

import struct
import tracemalloc

import pytest
import torch
from flow_parts import CPU, context, keys, noise, render, scenes_section
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import BundleError, CheckFailedError, LimitError, ShapeError
from neuralcipher.flows import autoencoder
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import FitProgress
from neuralcipher.flows.latent import LatentFlow
from neuralcipher.flows.latent.section import LatentSection

HEAD_BYTES = 12  # of an autoencoder section: version, frames, height, width, nconv, stages
plans = st.lists(st.just(0x81) | st.integers(1, 5), max_size=2).map(lambda rest: bytes([0x81, *rest]))


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 16, 16), (1, 17, 33)])
@pytest.mark.parametrize("stages", [1, 2])
def test_autoencoder_of_any_size(size: tuple[int, int, int], stages: int) -> None:
    frames = noise(*size)
    section = AutoencoderFlow(AutoencoderConfig(nconv=3, stages=stages, steps=6)).fit(frames, keys(1), context())
    for seed in (1, 2):
        opened = torch.stack(render(AutoencoderFlow, section, seed))
        assert opened.shape == frames.shape
        assert opened.dtype == torch.uint8


@settings(max_examples=25)
@given(
    plans, st.binary(max_size=200), st.lists(st.binary(max_size=200)), st.integers(1, 20), st.integers(1, 20), st.data()
)
def test_any_messages_render(
    plan: bytes, head: bytes, messages: list[bytes], height: int, width: int, data: st.DataObject
) -> None:
    size = len(plan)
    messages = data.draw(st.lists(st.binary(min_size=1, max_size=200), min_size=size, max_size=size))
    section = LatentSection(height, width, plan, (head, *messages))
    frames = render(LatentFlow, section.to_bytes(), data.draw(st.integers(0, 99)))
    assert [tuple(frame.shape) for frame in frames] == [(3, height, width)] * section.frames
    assert all(frame.dtype == torch.uint8 for frame in frames)


def test_a_size_out_of_proportion_is_refused_before_it_is_allocated() -> None:
    section = bytearray(scenes_section())
    keystream = keys(1)(LatentFlow.latent_shape(bytes(section)))
    struct.pack_into("<HH", section, 5, 16_384, 8_192)
    tracemalloc.start()
    with pytest.raises(LimitError):
        next(iter(LatentFlow.render(bytes(section), keystream, CPU)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_an_autoencoder_section_ends_where_it_should() -> None:
    section = AutoencoderFlow(AutoencoderConfig(nconv=2, steps=0)).fit(noise(1, 8, 8), keys(1), context())
    for damaged in (section + b"\0", section[:-1]):
        with pytest.raises(BundleError):
            AutoencoderFlow.latent_shape(damaged)


@pytest.mark.parametrize("frames", [noise(2, 8, 8).float(), noise(2, 8, 8)[0], noise(0, 8, 8), noise(2, 8, 8)[:, :2]])
def test_what_is_not_a_video_is_refused(frames: torch.Tensor) -> None:
    with pytest.raises(ShapeError):
        AutoencoderFlow().fit(frames, keys(1), context())


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        (1, "I", 0),
        (1, "I", 65_537),
        (5, "H", 0),
        (7, "H", 16_385),
        (9, "H", 0),
        (9, "H", 257),
        (11, "B", 5),
    ],
)
def test_autoencoder_header_limits(offset: int, layout: str, value: int) -> None:
    section = bytearray(AutoencoderFlow(AutoencoderConfig(nconv=2, steps=0)).fit(noise(1, 8, 8), keys(1), context()))
    struct.pack_into("<" + layout, section, offset, value)
    with pytest.raises(LimitError):
        AutoencoderFlow.latent_shape(bytes(section))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_stored_levels_stay_within_their_bits(bits: int) -> None:
    config = AutoencoderConfig(nconv=4, weight_bits=bits, steps=24)
    section = AutoencoderFlow(config).fit(noise(2, 8, 8), keys(1), context())
    levels = [section[HEAD_BYTES + 3 * tensor + 2] for tensor in range(14)]
    assert max(levels) <= 2 ** (bits - 1) - 1


def test_a_fit_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoencoder, "_RATE", float("inf"))
    with pytest.raises(CheckFailedError, match="diverged"):
        AutoencoderFlow(AutoencoderConfig(nconv=2, steps=50)).fit(noise(2, 8, 8), keys(1), context())


def test_a_bad_last_step_leaves_the_last_good_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    config = AutoencoderConfig(nconv=2, steps=1)
    untrained = AutoencoderFlow(AutoencoderConfig(nconv=2, steps=0)).fit(noise(2, 8, 8), keys(1), context())
    monkeypatch.setattr(autoencoder, "_RATE", float("inf"))
    assert AutoencoderFlow(config).fit(noise(2, 8, 8), keys(1), context()) == untrained


def test_progress_runs_from_the_first_step_to_the_end() -> None:
    reports: list[FitProgress] = []
    config = AutoencoderConfig(nconv=2, stages=2, steps=24)
    AutoencoderFlow(config).fit(noise(2, 8, 8), keys(1), context(progress=reports.append))
    fractions = [report.fraction for report in reports]
    assert reports[0].step == 1
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    assert all(report.size_bytes > 0 for report in reports)
