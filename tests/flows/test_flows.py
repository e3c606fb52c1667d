"""Flows fit, render, move and refuse as their protocol says, on tiny videos."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from flow_parts import (
    CPU,
    Flow,
    autoencoder_section,
    context,
    fitted,
    keys,
    moving_square,
    panning,
    psnr_db,
    render,
    scenes,
    scenes_rendered,
    scenes_section,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.errors import BundleError, CancelledError, ShapeError, UsageError
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import FitProgress
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.section import parse


@pytest.mark.parametrize("size", [(6, 24, 32), (5, 17, 33), (1, 16, 16), (2, 8, 8), (3, 1, 1)])
def test_latent_round_trip(size: tuple[int, int, int]) -> None:
    frames = moving_square(*size)
    opened = torch.stack(render(LatentFlow, fitted(frames), 1))
    assert opened.shape == frames.shape
    assert opened.dtype == torch.uint8
    assert psnr_db(opened, frames) > 30


def test_two_scenes_begin_with_a_key_frame_each() -> None:
    plan = parse(scenes_section()).plan
    assert [byte for byte in plan if byte & 0x80] == [0x81, 0x81]
    assert sum(byte & 0x7F for byte in plan[: plan.index(0x81, 1)]) == 6
    assert psnr_db(scenes_rendered(), scenes()) > 30


def test_every_slice_equals_the_slice_of_the_whole() -> None:
    whole = scenes_rendered()
    for start in range(len(whole)):
        for stop in (start + 1, len(whole)):
            part = render(LatentFlow, scenes_section(), 1, start, stop)
            assert len(part) == len(whole[start:stop])
            assert all(torch.equal(a, b) for a, b in zip(part, whole[start:stop], strict=True))


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (4, 2), (9, None), (9, 12), (100, None)])
def test_an_empty_slice_is_empty(start: int, stop: int | None) -> None:
    assert render(LatentFlow, scenes_section(), 1, start, stop) == []


def test_a_slice_may_end_beyond_the_last_frame() -> None:
    assert torch.equal(torch.stack(render(LatentFlow, scenes_section(), 1, 7, 99)), scenes_rendered()[7:])


def test_a_video_may_be_left_halfway() -> None:
    stream = LatentFlow.render(scenes_section(), keys(1)(LatentFlow.latent_shape(scenes_section())), CPU)
    assert torch.equal(next(iter(stream)), scenes_rendered()[0])
    stream.close()  # type: ignore[attr-defined]


def test_a_wrong_key_gives_another_picture() -> None:
    frames = scenes()
    mean = frames.float().mean(dim=0, keepdim=True).expand_as(frames)
    for seed in range(2, 10):
        imposter = torch.stack(render(LatentFlow, scenes_section(), seed))
        assert imposter.shape == frames.shape
        assert imposter.dtype == torch.uint8
        assert psnr_db(imposter, frames) < psnr_db(mean, frames)


def test_two_wrong_keys_give_two_pictures() -> None:
    one, other = (torch.stack(render(LatentFlow, scenes_section(), seed)) for seed in (2, 3))
    assert not torch.equal(one, other)


def test_remask_moves_a_section_to_another_keystream() -> None:
    section = scenes_section()
    shape = LatentFlow.latent_shape(section)
    moved = LatentFlow.remask(section, keys(1)(shape), keys(4)(shape))
    assert moved != section
    assert torch.equal(torch.stack(render(LatentFlow, moved, 4)), scenes_rendered())
    assert LatentFlow.remask(moved, keys(4)(shape), keys(1)(shape)) == section
    with pytest.raises(ShapeError):
        LatentFlow.remask(section, keys(1)(shape), keys(4)((1, 4, 8)))


def test_only_shape_plan_and_lengths_are_stored_in_clear() -> None:
    """One video under two keystreams: all the rest differs, in about 255 of 256 bytes."""
    one, other = scenes_section(), fitted(scenes(), seed=2)
    messages = parse(one).messages
    clear = len(one) - sum(map(len, messages))
    assert one[:clear] == other[:clear]
    assert clear == 9 + 1 + len(parse(one).plan) + sum(1 + (len(message) > 127) for message in messages)
    for message, masked in zip(messages, parse(other).messages, strict=True):
        equal = sum(a == b for a, b in zip(message, masked, strict=True))
        assert equal <= 2 + len(message) // 20


MAKERS: list[Callable[[], LatentFlow | AutoencoderFlow]] = [
    lambda: LatentFlow(LatentConfig(steps=6)),
    lambda: AutoencoderFlow(AutoencoderConfig(nconv=4, steps=12)),
]


@pytest.mark.parametrize("make", MAKERS)
def test_the_same_seed_gives_the_same_bytes(make: Callable[[], LatentFlow | AutoencoderFlow]) -> None:
    frames = panning(3, 16, 24, 1)
    assert make().fit(frames, keys(1), context()) == make().fit(frames, keys(1), context())


@pytest.mark.parametrize("make", MAKERS)
def test_progress_can_cancel(make: Callable[[], LatentFlow | AutoencoderFlow]) -> None:
    def stop(report: FitProgress) -> None:
        raise CancelledError("enough")

    with pytest.raises(CancelledError):
        make().fit(moving_square(3, 16, 16), keys(1), context(progress=stop))


def test_autoencoder_flow_learns_and_needs_its_key() -> None:
    frames = moving_square(2, 17, 30)
    untrained = AutoencoderFlow(AutoencoderConfig(nconv=12, steps=0)).fit(frames, keys(1), context())
    config = AutoencoderConfig(nconv=12, stages=2, steps=240)
    section = AutoencoderFlow(config).fit(frames, keys(1), context())
    assert AutoencoderFlow.latent_shape(section) == (3, 20, 32)
    opened = torch.stack(render(AutoencoderFlow, section, 1))
    assert opened.shape == frames.shape
    assert psnr_db(opened, frames) > psnr_db(torch.stack(render(AutoencoderFlow, untrained, 1)), frames) + 3
    assert torch.equal(render(AutoencoderFlow, section, 1, 1, 2)[0], opened[1])
    assert not torch.equal(torch.stack(render(AutoencoderFlow, section, 2)), opened)
    with pytest.raises(UsageError, match="trained on its keystream"):
        AutoencoderFlow.remask(section, keys(1)((3, 20, 32)), keys(2)((3, 20, 32)))


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (LatentConfig, "quality", 101),
        (LatentConfig, "quality", -1),
        (LatentConfig, "steps", -1),
        (AutoencoderConfig, "nconv", 0),
        (AutoencoderConfig, "stages", 9),
    ],
)
def test_options_out_of_range(config: type[Any], field: str, value: int) -> None:
    with pytest.raises(UsageError, match=field):
        config(**{field: value})


@pytest.mark.parametrize(("flow", "make"), [(LatentFlow, scenes_section), (AutoencoderFlow, autoencoder_section)])
@settings(max_examples=100)
@given(data=st.data())
def test_damaged_sections_never_crash(flow: Flow, make: Callable[[], bytes], data: st.DataObject) -> None:
    section = bytearray(make())
    if data.draw(st.booleans()):
        section = section[: data.draw(st.integers(0, len(section) - 1))]
    for _ in range(data.draw(st.integers(0, 4))):
        if section:
            where = st.integers(0, min(20, len(section) - 1)) | st.integers(0, len(section) - 1)  # often the header
            section[data.draw(where)] ^= data.draw(st.integers(1, 255))
    try:
        shape = flow.latent_shape(bytes(section))
        if np.prod(shape) < 1 << 16:
            assert next(iter(flow.render(bytes(section), keys(1)(shape), CPU))).dtype == torch.uint8
    except BundleError:
        pass
