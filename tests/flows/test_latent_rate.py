"""Aiming at a size or a PSNR, and trying other ways to code while there is time; with made-up encoders."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from flow_parts import context, keys, panning, psnr_db, render
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent.encoding import Attempt, Tuning
from neuralcipher.flows.latent.rate import below_raw, choose, section_bytes, tune

NOTHING = torch.zeros(1, 3, 16, 16)


def attempt(size_bytes: int, error: float = 1.0, picture: torch.Tensor = NOTHING, plan: bytes = b"\x81") -> Attempt:
    levels = torch.zeros(1, dtype=torch.int64)
    return Attempt(plan, [bytes(size_bytes)], picture.half(), NOTHING.half(), levels, [error])


@settings(max_examples=60)
@given(
    first=st.integers(0, 100),
    least=st.integers(400, 20_000),
    slope=st.floats(0.02, 0.1),
    share=st.floats(0.0, 1.0),
)
def test_a_size_is_kept_below_and_nearly_used(first: int, least: int, slope: float, share: float) -> None:
    """Of an encoder whose size grows by the same factor with each step of quality."""
    sizes = [int(least * math.exp(slope * quality)) for quality in range(101)]
    target = int(1.1 * sizes[0] + share * (sizes[-1] - 1.1 * sizes[0]))
    tried = []

    def encode(quality: int) -> Attempt:
        tried.append(quality)
        return attempt(sizes[quality])

    quality, found = choose(encode, first, context(target_bytes=target), (16, 16), NOTHING)
    assert found.size_bytes == sizes[quality]
    assert len(tried) == len(set(tried)) <= 5
    assert section_bytes(found, (16, 16)) <= target
    goal = target - min(300, target // 20)
    around = section_bytes(found, (16, 16)) - found.size_bytes
    assert quality == 100 or sizes[quality] + around > 0.98 * goal or sizes[quality + 1] + around > goal


@settings(max_examples=30)
@given(first=st.integers(0, 100), target_db=st.floats(22, 50), slope=st.floats(0.1, 0.4))
def test_a_psnr_is_kept_above_and_hardly_passed(first: int, target_db: float, slope: float) -> None:
    truth = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    off = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    off /= off.square().mean().sqrt()
    psnrs = [20 + slope * quality for quality in range(101)]

    def encode(quality: int) -> Attempt:
        return attempt(1000, picture=truth + off * 10 ** (-psnrs[quality] / 20))

    quality, _ = choose(encode, first, context(target_psnr_db=target_db), (16, 16), truth)
    if target_db <= psnrs[100]:
        assert psnrs[quality] >= target_db - 1.5  # what ships may repair a little of it
    else:
        assert quality == 100


@settings(max_examples=30)
@given(quality=st.integers(1, 100), least=st.integers(3000, 5000), slope=st.floats(0.02, 0.05))
def test_no_section_is_larger_than_the_raw_video(quality: int, least: int, slope: float) -> None:
    raw_bytes, said = 8000, []
    sizes = [int(least * math.exp(slope * q)) for q in range(101)]
    fit = context(tell=said.append)
    found = quality, attempt(sizes[quality])
    lower, kept = below_raw(lambda q: attempt(sizes[q]), found, fit, (16, 16), NOTHING, raw_bytes)
    assert section_bytes(kept, (16, 16)) <= raw_bytes
    if section_bytes(found[1], (16, 16)) <= raw_bytes:
        assert (lower, kept, said) == (*found, [])
    else:
        assert lower < quality
        assert said == [f"quality {quality} would take more bytes than the raw video, so a lower quality is used"]
        assert kept.size_bytes > 0.8 * raw_bytes


def test_a_video_of_a_few_pixels_may_be_larger() -> None:
    found = 60, attempt(100)
    assert below_raw(lambda q: attempt(1), found, context(), (16, 16), NOTHING, 16 * 16) == found


def test_without_a_target_there_is_one_attempt_at_the_quality_asked_for() -> None:
    tried = []

    def encode(quality: int) -> Attempt:
        tried.append(quality)
        return attempt(100)

    assert choose(encode, 37, context(), (16, 16), NOTHING)[0] == 37
    assert tried == [37]


def test_what_no_quality_meets_comes_as_near_as_it_can() -> None:
    assert choose(lambda quality: attempt(5000 + quality), 60, context(target_bytes=1000), (16, 16), NOTHING)[0] == 0


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.sampled_from([1, 3, 4, 16]), st.booleans())
def test_tuning_tries_each_way_once_and_keeps_the_best(seed: int, room: int, planned: int, traced: bool) -> None:
    draw = np.random.default_rng(seed)
    made: dict[Tuning, Attempt] = {}
    plan = bytes([0x81, planned])

    def encode(tuning: Tuning) -> Attempt:
        assert tuning not in made
        made[tuning] = attempt(int(draw.integers(100, 2000)), float(draw.uniform(1, 20)), plan=plan)
        return made[tuning]

    first = attempt(1000, 10.0, plan=plan)
    places = itertools.count()
    begin = Tuning(traced=traced)
    found = tune(encode, first, lambda one: one.error[0], lambda: next(places) < room, begin)
    assert len(made) <= room

    def score(one: Attempt) -> float:  # fewer bytes for the same error, or less error for the same bytes
        return math.log(one.error[0]) + 0.97 * math.log(one.size_bytes)

    assert score(found) == pytest.approx(min(score(one) for one in (first, *made.values())))
    assert all(tuning.length in (None, 1, 2, 4, 8, 16) and tuning.cascade > 0 for tuning in made)
    assert all(tuning not in (begin, Tuning(planned, traced=traced)) for tuning in made)
    assert all(tuning.traced for tuning in made if traced)
    assert traced or not room or Tuning(traced=True) in made


@given(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 16), st.floats(0.3, 3))
def test_the_more_depends_on_a_frame_the_less_its_bits_are_spared(length: int, most: int, cascade: float) -> None:
    tuning = Tuning(cascade=cascade)
    weights = [tuning.rate_weight(level, min(length, most)) for level in range(6)]
    assert weights == sorted(weights)
    assert weights[0] > 0
    assert weights[-1] <= weights[0] * 14**cascade * 1.001
    assert Tuning(cascade=0.0).rate_weight(5, length) == pytest.approx(tuning.rate_weight(0, length))


def test_a_fit_keeps_to_its_size() -> None:
    frames = panning(3, 32, 32, 1)
    for target in (600, 1000):
        flow = LatentFlow(LatentConfig(steps=0))
        section = flow.fit(frames, keys(1), context(target_bytes=target))
        assert 0.85 * target < len(section) <= target


def test_a_fit_keeps_to_its_psnr() -> None:
    frames = panning(2, 32, 32, 1)
    section = LatentFlow(LatentConfig(steps=0)).fit(frames, keys(1), context(target_psnr_db=36.0))
    assert 35.9 < psnr_db(torch.stack(render(LatentFlow, section, 1)), frames) < 37.5
