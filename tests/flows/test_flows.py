"""Flows fit, render, move and refuse as their protocol says, on tiny videos."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import CancelledError, NeuralCipherError, UsageError
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import FitContext
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.coder import LatentCoder, stored_prior
from neuralcipher.flows.latent.context import ALPHABET, CHANNELS, VALUE_LIMIT
from neuralcipher.generators.base import Keystream
from neuralcipher.generators.chacha20 import ChaCha20Generator

CPU = torch.device("cpu")


def keystream(seed: int):
    def make(shape):
        z0 = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
        generator = ChaCha20Generator.create(shape, seed=bytes(32), z0=z0, progress=lambda fraction: None)
        return Keystream(generator, z0)

    return make


def context(**changes) -> FitContext:
    return dataclasses.replace(FitContext(0.0, 0, CPU, lambda report: None), **changes)


def video(count: int, height: int, width: int) -> torch.Tensor:
    """A gradient with a square that moves one pixel a frame."""
    y, x = np.mgrid[:height, :width]
    frames = np.stack([np.stack([y * 4 % 256, x * 3 % 256, np.full_like(x, 90)])] * count).astype(np.uint8)
    for i in range(count):
        frames[i, :, 2 : height // 2, i + 1 : i + 1 + width // 3] = 230
    return torch.from_numpy(frames)


def render(flow, section: bytes, seed: int, start: int = 0, stop: int | None = None) -> torch.Tensor:
    stream = keystream(seed)(flow.latent_shape(section))
    return torch.stack(list(flow.render(section, stream, CPU, start, stop)))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.float() - b.float()).square().mean().clamp_min(1e-3)))


@pytest.mark.parametrize("size", [(6, 24, 32), (5, 17, 33), (1, 16, 16), (2, 8, 8), (3, 1, 1)])
def test_latent_round_trip(size):
    frames = video(*size)
    section = LatentFlow(LatentConfig(steps=5)).fit(frames, keystream(1), context())
    opened = render(LatentFlow, section, 1)
    assert opened.shape == frames.shape
    assert opened.dtype == torch.uint8
    assert psnr(opened, frames) > 30


def test_a_slice_equals_the_slice_of_the_whole():
    section = LatentFlow(LatentConfig(steps=5)).fit(video(7, 24, 32), keystream(1), context())
    whole = render(LatentFlow, section, 1)
    for start, stop in [(0, 1), (2, 5), (6, 7), (0, 7), (3, None)]:
        assert torch.equal(render(LatentFlow, section, 1, start, stop), whole[start:stop])


def test_a_wrong_key_gives_another_picture():
    frames = video(6, 24, 32)
    section = LatentFlow(LatentConfig(steps=5)).fit(frames, keystream(1), context())
    imposter = render(LatentFlow, section, 2)
    mean = frames.float().mean(dim=0, keepdim=True).expand_as(frames)
    assert imposter.shape == frames.shape
    assert psnr(imposter, frames) < psnr(mean, frames)


def test_the_network_earns_its_bytes():
    frames = video(6, 48, 64)
    plain = LatentFlow(LatentConfig(quality=30, hidden=0)).fit(frames, keystream(1), context())
    trained = LatentFlow(LatentConfig(quality=30, steps=150)).fit(frames, keystream(1), context())
    assert psnr(render(LatentFlow, trained, 1), frames) > psnr(render(LatentFlow, plain, 1), frames) + 0.3


def test_remask_moves_the_latents_to_another_keystream():
    section = LatentFlow(LatentConfig(steps=5)).fit(video(5, 24, 32), keystream(1), context())
    shape = LatentFlow.latent_shape(section)
    moved = LatentFlow.remask(section, keystream(1)(shape), keystream(3)(shape))
    assert moved != section
    assert torch.equal(render(LatentFlow, moved, 3), render(LatentFlow, section, 1))


@pytest.mark.parametrize(
    "flow", [LatentFlow(LatentConfig(steps=12)), AutoencoderFlow(AutoencoderConfig(nconv=4, steps=12))]
)
def test_the_same_seed_gives_the_same_bytes(flow):
    frames = video(3, 16, 24)
    assert flow.fit(frames, keystream(1), context()) == flow.fit(frames, keystream(1), context())


@pytest.mark.parametrize("fill", [0, 255, "noise"])
def test_extreme_videos(fill):
    frames = (
        torch.randint(0, 256, (3, 3, 16, 24), dtype=torch.uint8)
        if fill == "noise"
        else torch.full((3, 3, 16, 24), fill, dtype=torch.uint8)
    )
    section = LatentFlow(LatentConfig(steps=3)).fit(frames, keystream(1), context())
    assert psnr(render(LatentFlow, section, 1), frames) > (20 if fill == "noise" else 40)


def test_autoencoder_flow_learns_and_needs_its_key():
    frames = video(2, 17, 30)
    untrained = AutoencoderFlow(AutoencoderConfig(nconv=12, steps=0)).fit(frames, keystream(1), context())
    config = AutoencoderConfig(nconv=12, stages=2, steps=240)
    section = AutoencoderFlow(config).fit(frames, keystream(1), context())
    assert AutoencoderFlow.latent_shape(section) == (3, 20, 32)
    opened = render(AutoencoderFlow, section, 1)
    assert opened.shape == frames.shape
    assert psnr(opened, frames) > psnr(render(AutoencoderFlow, untrained, 1), frames) + 3
    assert torch.equal(render(AutoencoderFlow, section, 1, 1, 2), opened[1:2])
    assert not torch.equal(render(AutoencoderFlow, section, 2), opened)
    with pytest.raises(UsageError, match="trained on its keystream"):
        AutoencoderFlow.remask(section, keystream(1)((3, 20, 32)), keystream(2)((3, 20, 32)))


@pytest.mark.parametrize(
    "flow", [LatentFlow(LatentConfig(steps=20)), AutoencoderFlow(AutoencoderConfig(nconv=4, steps=20))]
)
def test_progress_can_cancel(flow):
    def stop(report):
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        flow.fit(video(3, 16, 16), keystream(1), context(progress=stop))


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (LatentConfig, "quality", 101),
        (LatentConfig, "weight_bits", 1),
        (AutoencoderConfig, "nconv", 0),
        (AutoencoderConfig, "stages", 9),
    ],
)
def test_options_out_of_range(config, field, value):
    with pytest.raises(UsageError, match=field):
        config(**{field: value})


SECTIONS = {
    LatentFlow: LatentFlow(LatentConfig(steps=3)).fit(video(3, 16, 16), keystream(1), context()),
    AutoencoderFlow: AutoencoderFlow(AutoencoderConfig(nconv=2, steps=3)).fit(
        video(2, 16, 16), keystream(1), context()
    ),
}


@pytest.mark.parametrize("flow", list(SECTIONS))
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_damaged_sections_never_crash(flow, data):
    section = bytearray(SECTIONS[flow])
    if data.draw(st.booleans()):
        section = section[: data.draw(st.integers(0, len(section) - 1))]
    for _ in range(data.draw(st.integers(0, 4))):
        if section:
            section[data.draw(st.integers(0, len(section) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        shape = flow.latent_shape(bytes(section))
        if np.prod(shape) < 1 << 16:
            next(iter(flow.render(bytes(section), keystream(1)(shape), CPU)))
    except NeuralCipherError:
        pass


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 0.3, 2.0, 30.0, 1e6]),
    weight=st.sampled_from([0.0, 0.13, 5.0]),
)
def test_the_coder_decodes_what_it_encoded(seed, scale, weight):
    draw = np.random.default_rng(seed)
    encoder, decoder = LatentCoder(2, 3), LatentCoder(2, 3)
    for _ in range(3):
        coded = encoder.encode(draw.standard_normal((CHANNELS, 2, 3), dtype=np.float32) * np.float32(scale), weight)
        assert np.abs(coded.latents).max() <= VALUE_LIMIT
        assert np.array_equal(decoder.decode(coded.data), coded.latents)


@settings(max_examples=50, deadline=None)
@given(messages=st.lists(st.binary(max_size=400), min_size=1, max_size=3))
def test_any_bytes_decode_to_some_latents(messages):
    decoder = LatentCoder(3, 2)
    for message in messages:
        assert np.abs(decoder.decode(message)).max() <= VALUE_LIMIT


def test_the_prior_is_counts():
    levels, flags = stored_prior()
    assert levels.shape[1] == ALPHABET
    assert levels.min() >= 1
    assert flags.min() >= 1
