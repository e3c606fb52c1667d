"""What a flow must survive: sizes nobody asked for, bad steps, hostile headers, wrong keys."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.coding.entropy import AdaptiveTables
from neuralcipher.errors import BundleError, CheckFailedError, LimitError, ShapeError
from neuralcipher.flows import autoencoder
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import FitContext, FitProgress
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.coder import LatentCoder, stored_prior
from neuralcipher.flows.latent.context import CHANNELS, DC_CONTEXT
from neuralcipher.flows.latent.section import MAX_BLOCKS_PER_BYTE, LatentSection
from neuralcipher.generators.base import Keystream, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator

CPU = torch.device("cpu")
HEAD_BYTES = 12  # of an autoencoder section: version, frames, height, width, nconv, stages


def keys(seed: int) -> Callable[[Shape], Keystream]:
    def make(shape: Shape) -> Keystream:
        z0 = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
        return Keystream(ChaCha20Generator(shape, bytes(32)), z0)

    return make


def context(reports: list[FitProgress] | None = None) -> FitContext:
    return FitContext(0.0, 0, CPU, (reports if reports is not None else []).append)


def noise(count: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(5)).byte()


def render(flow: type, section: bytes, seed: int, start: int = 0, stop: int | None = None) -> list[torch.Tensor]:
    return list(flow.render(section, keys(seed)(flow.latent_shape(section)), CPU, start, stop))


SMALL = LatentFlow(LatentConfig(steps=2)).fit(noise(5, 17, 20), keys(1), context())
WHOLE = render(LatentFlow, SMALL, 1)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 16, 16), (1, 17, 33)])
@pytest.mark.parametrize("stages", [1, 2])
def test_autoencoder_of_any_size(size: tuple[int, int, int], stages: int) -> None:
    frames = noise(*size)
    section = AutoencoderFlow(AutoencoderConfig(nconv=3, stages=stages, steps=6)).fit(frames, keys(1), context())
    for seed in (1, 2):
        opened = torch.stack(render(AutoencoderFlow, section, seed))
        assert opened.shape == frames.shape
        assert opened.dtype == torch.uint8


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 8), st.none() | st.integers(0, 8))
def test_any_slice_of_a_latent_section(start: int, stop: int | None) -> None:
    part = render(LatentFlow, SMALL, 1, start, stop)
    assert len(part) == len(WHOLE[start:stop])
    assert all(torch.equal(a, b) for a, b in zip(part, WHOLE[start:stop], strict=True))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.binary(max_size=200), max_size=3),
    st.binary(min_size=3, max_size=200),
    st.integers(1, 20),
    st.integers(1, 20),
    st.integers(0, 99),
)
def test_any_messages_render(rest: list[bytes], first: bytes, height: int, width: int, seed: int) -> None:
    section = LatentSection(height, width, 0, (), (first, *rest)).to_bytes([])
    frames = render(LatentFlow, section, seed)
    assert [tuple(frame.shape) for frame in frames] == [(3, height, width)] * (1 + len(rest))


def test_a_size_out_of_proportion_is_refused_before_it_is_allocated() -> None:
    section = bytearray(SMALL)
    struct.pack_into("<HH", section, 5, 16_384, 8_192)
    tracemalloc.start()
    with pytest.raises(LimitError):
        next(iter(LatentFlow.render(bytes(section), keys(1)(LatentFlow.latent_shape(SMALL)), CPU)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 22


def test_no_video_is_below_the_bytes_that_its_size_demands() -> None:
    levels, _ = stored_prior()
    row = levels[DC_CONTEXT].astype(np.float64)
    bits_per_block = 3 * np.log2(row.sum() / row.max())  # the lowest band: three levels a block, never skipped
    assert bits_per_block > 8 / MAX_BLOCKS_PER_BYTE
    data = LatentCoder(80, 80).encode(np.zeros((CHANNELS, 80, 80), np.float32), 0.13).data
    assert MAX_BLOCKS_PER_BYTE * len(data) > 80 * 80


def test_the_prior_is_the_stored_one() -> None:
    """Another prior is another format: a change here must come with a new version of the section."""
    raw = b"".join(counts.astype("<u2").tobytes() for counts in stored_prior())
    assert hashlib.sha256(raw).hexdigest() == "eae924984579cf6e5b0576af6fc92dc8068648f072de245713e452470e9b0fd1"
    assert all(counts.dtype == np.int64 for counts in stored_prior())


def test_decoding_asks_for_no_logarithm(monkeypatch: pytest.MonkeyPatch) -> None:
    coded = LatentCoder(2, 2).encode(np.full((CHANNELS, 2, 2), 2.6, np.float32), 0.13)

    def fail(self: AdaptiveTables) -> None:
        raise RuntimeError("float code lengths are for the encoder only")

    monkeypatch.setattr(AdaptiveTables, "cost_bits", fail)
    assert np.array_equal(LatentCoder(2, 2).decode(coded.data), coded.latents)


def test_remasking_there_and_back_is_the_identity_and_a_small_mask_is_refused() -> None:
    shape = LatentFlow.latent_shape(SMALL)
    moved = LatentFlow.remask(SMALL, keys(1)(shape), keys(4)(shape))
    assert LatentFlow.remask(moved, keys(4)(shape), keys(1)(shape)) == SMALL
    with pytest.raises(ShapeError):
        LatentFlow.remask(SMALL, keys(1)(shape), keys(4)((1, 4, 8)))


@pytest.mark.parametrize("flow", [LatentFlow(), AutoencoderFlow()])
@pytest.mark.parametrize("frames", [noise(2, 8, 8).float(), noise(2, 8, 8)[0], noise(0, 8, 8), noise(2, 8, 8)[:, :2]])
def test_what_is_not_a_video_is_refused(flow: LatentFlow | AutoencoderFlow, frames: torch.Tensor) -> None:
    with pytest.raises(ShapeError):
        flow.fit(frames, keys(1), context())


@pytest.mark.parametrize(
    ("offset", "layout", "value"),
    [
        (0, "B", 2),
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
    for damaged in (bytes(section) + b"\0", bytes(section[:-1])):
        with pytest.raises(BundleError):
            AutoencoderFlow.latent_shape(damaged)
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
    AutoencoderFlow(AutoencoderConfig(nconv=2, stages=2, steps=24)).fit(noise(2, 8, 8), keys(1), context(reports))
    fractions = [report.fraction for report in reports]
    assert reports[0].step == 1
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    assert all(report.size_bytes > 0 for report in reports)
