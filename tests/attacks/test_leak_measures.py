"""The leak measures against hand calculations and the laws of what they claim to be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuralcipher.attacks.pairs.leaks import (
    compare_bundles,
    compare_keys,
    correlation,
    mean_frame_correlation,
    measure_leaks,
    palette_distance,
    texture_distance,
)
from neuralcipher.errors import ShapeError, UsageError

Video = NDArray[np.uint8]
SEEDS = st.integers(0, 2**32 - 1)
MEASURES = (palette_distance, texture_distance, correlation, mean_frame_correlation)


def noise(seed: int, shape: tuple[int, ...] = (3, 3, 9, 12), low: int = 0, high: int = 256) -> Video:
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)


def flat(*colour: int, shape: tuple[int, int, int] = (2, 8, 8)) -> Video:
    """A video of one colour; shape: (N, H, W)."""
    values = np.array(colour, dtype=np.uint8)[None, :, None, None]
    return np.ascontiguousarray(np.broadcast_to(values, (shape[0], 3, *shape[1:])))


def red_row(*values: int) -> Video:
    """One frame that is four rows of these values in red, 0 elsewhere."""
    frame = np.zeros((1, 3, 4, len(values)), dtype=np.uint8)
    frame[0, 0] = values
    return frame


def test_palette_by_hand() -> None:
    assert palette_distance(flat(0, 0, 0), flat(255, 255, 255)) == 255
    assert palette_distance(flat(10, 20, 30), flat(14, 20, 28)) == pytest.approx((4 + 0 + 2) / 3)
    # Half of red moves by 50 down and half by 50 up; green and blue stay.
    assert palette_distance(red_row(0, 100, 0, 100), red_row(50, 50, 50, 50)) == pytest.approx(50 / 3)
    # Another number of frames, another size: shares count, not pixels.
    assert palette_distance(flat(9, 9, 9, shape=(1, 1, 1)), flat(9, 9, 9, shape=(5, 16, 2))) == 0


@settings(max_examples=30)
@given(SEEDS, SEEDS, SEEDS)
def test_palette_is_the_wasserstein_metric(s: int, t: int, u: int) -> None:
    a, b, c = noise(s), noise(t, low=40, high=90), noise(u, high=200)
    # Of two samples of one size, the optimal transport pairs them in order.
    pairs = [np.sort(x.transpose(1, 0, 2, 3).reshape(3, -1).astype(float)) for x in (a, b)]
    assert palette_distance(a, b) == pytest.approx(np.abs(pairs[0] - pairs[1]).mean())
    assert palette_distance(a, b) == pytest.approx(palette_distance(b, a))
    assert palette_distance(a, c) <= palette_distance(a, b) + palette_distance(b, c) + 1e-9
    assert palette_distance(a, a) == 0
    shuffled = np.random.default_rng(s).permuted(a.transpose(1, 0, 2, 3).reshape(3, -1), axis=1)
    assert palette_distance(shuffled.reshape(3, 3, 9, 12).transpose(1, 0, 2, 3), b) == pytest.approx(
        palette_distance(a, b)
    )


@given(SEEDS, st.integers(0, 100))
def test_a_brighter_palette_is_as_far_as_it_is_brighter(seed: int, by: int) -> None:
    a = noise(seed, high=150)
    assert palette_distance(a, a + np.uint8(by)) == pytest.approx(by)


def test_texture_by_hand() -> None:
    # Grey noise has the same power at every frequency, its variance (256^2 - 1) / 12; the floor is 1 / 12.
    grey = np.repeat(noise(1, (20, 1, 64, 80)), 3, axis=1)
    black = flat(0, 0, 0, shape=(1, 64, 80))
    assert texture_distance(grey, black) == pytest.approx(10 * math.log10(256**2), abs=0.1)
    # Twice the contrast is four times the power.
    soft = np.repeat(noise(2, (2, 1, 16, 20), 0, 100), 3, axis=1)
    assert texture_distance(soft, 2 * soft) == pytest.approx(10 * math.log10(4), abs=0.01)
    # Luma: noise in green alone has 0.587^2 of the power of grey noise.
    green = grey * np.array([0, 1, 0], dtype=np.uint8)[:, None, None]
    assert texture_distance(grey, green) == pytest.approx(-20 * math.log10(0.587), abs=0.01)


def test_texture_sees_coarse_and_fine() -> None:
    x = np.arange(64)
    coarse, fine = (
        np.broadcast_to(np.rint(128 + 90 * np.cos(2 * np.pi * x * f)).astype(np.uint8), (1, 3, 64, 64))
        for f in (1 / 16, 1 / 3)
    )
    assert texture_distance(coarse, fine) > 20
    assert texture_distance(coarse, coarse.transpose(0, 1, 3, 2)) == pytest.approx(0, abs=1e-6)  # turned


@settings(max_examples=30)
@given(SEEDS, SEEDS, st.integers(0, 55))
def test_texture_laws(s: int, t: int, by: int) -> None:
    a, b = noise(s, high=200), noise(t, (5, 3, 9, 12), high=60)
    distance = texture_distance(a, b)
    assert distance == pytest.approx(texture_distance(b, a))
    assert texture_distance(a, a) == 0
    for same in (a[..., ::-1], a[:, :, ::-1], a[::-1], a + np.uint8(by), np.concatenate([a, a])):
        assert texture_distance(same, b) == pytest.approx(distance)
    assert texture_distance(flat(1, 2, 3), flat(200, 90, 0)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size", [(4, 4), (4, 9), (5, 4), (7, 33)])
def test_texture_of_odd_sizes(size: tuple[int, int]) -> None:
    a = noise(3, (2, 3, *size))
    assert 0 < texture_distance(a, flat(0, 0, 0, shape=(1, *size))) < 60


def test_correlation_by_hand() -> None:
    # Deviations (-1, -1, -1, 3) and (-2, -2, 2, 2): 8 / (sqrt(12) sqrt(16)).
    assert correlation(red_row(0, 0, 0, 4), red_row(0, 0, 4, 4)) == pytest.approx(1 / math.sqrt(3))
    assert correlation(red_row(0, 0, 2, 2), red_row(0, 2, 0, 2)) == pytest.approx(0)
    assert correlation(flat(1, 2, 3), noise(1, (2, 3, 8, 8))) == 0
    # One frame equal and one frame negative: the mean of 1 and -1.
    two = np.concatenate([red_row(0, 2, 5, 9), red_row(0, 2, 5, 9)])
    assert correlation(two, np.concatenate([red_row(0, 2, 5, 9), red_row(9, 7, 4, 0)])) == pytest.approx(0)


def test_the_mean_frame_shows_through_noise_that_averages_out() -> None:
    still = noise(4, (1, 3, 8, 8), 100, 150)
    hiss = noise(5, (6, 3, 8, 8), 0, 100)
    noisy = np.concatenate([still + hiss, still - hiss])
    assert mean_frame_correlation(noisy, still) == pytest.approx(1)
    assert correlation(noisy, np.repeat(still, 12, axis=0)) < 0.5


@settings(max_examples=30)
@given(SEEDS, SEEDS, st.lists(st.integers(0, 55), min_size=3, max_size=3))
def test_correlation_laws(s: int, t: int, cast: list[int]) -> None:
    a, b = noise(s, high=200), noise(t)
    for measure in (correlation, mean_frame_correlation):
        r = measure(a, b)
        assert -1 <= r <= 1
        assert r == pytest.approx(measure(b, a))
        assert measure(a, a) == pytest.approx(1)
        assert measure(255 - a, b) == pytest.approx(-r)
        assert measure(a + np.array(cast, dtype=np.uint8)[:, None, None], b) == pytest.approx(r)
        assert measure(a[..., ::-1], b[..., ::-1]) == pytest.approx(r)


@pytest.mark.parametrize("measure", MEASURES)
def test_tensors_do_as_well_as_arrays(measure: Any) -> None:
    a, b = noise(1), noise(2)
    assert measure(torch.from_numpy(a), torch.from_numpy(b)) == measure(a, b)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    "bad", [noise(1).astype(float), noise(1)[0], noise(1)[:, :2], noise(1)[:0], noise(1)[..., :0], "frames"]
)
def test_what_is_not_a_video_is_refused(measure: Any, bad: Any) -> None:
    for pair in ((bad, noise(2)), (noise(2), bad)):
        with pytest.raises(ShapeError, match="uint8 of shape"):
            measure(*pair)


@pytest.mark.parametrize("measure", MEASURES[1:])
def test_other_sizes_are_refused(measure: Any) -> None:
    with pytest.raises(ShapeError, match="one shape"):
        measure(noise(1), noise(1, (3, 3, 12, 9)))
    with pytest.raises(ShapeError):
        texture_distance(noise(1, (1, 3, 3, 9)), noise(1, (1, 3, 3, 9)))


def test_comparisons_need_something_to_compare() -> None:
    clips = [noise(1), noise(2)]
    cases: list[Any] = [([], clips, clips), (clips, [], clips), (clips, clips, [])]
    for lists in cases:
        with pytest.raises(UsageError):
            measure_leaks(noise(3), *lists)
    with pytest.raises(ShapeError, match="one shape"):
        measure_leaks(noise(3), clips, clips, [noise(1, (4, 3, 9, 12))])
    for videos, outputs in ((clips[:1], [clips]), (clips, [clips]), (clips, [clips, []]), (clips, [clips, clips[:1]])):
        with pytest.raises(UsageError):
            compare_bundles(videos, outputs)
        with pytest.raises(UsageError):
            compare_keys(videos, [clips, clips], outputs)


def test_a_report_by_hand() -> None:
    """Imposters that are the truth, strangers that are another video: nothing could leak more."""
    truth, other, third = flat(100, 100, 100), flat(110, 110, 110), flat(140, 140, 140)
    report = measure_leaks(truth, [truth, truth], [other, third], [other, third, other])
    palette, texture = report.leaks[:2]
    assert (report.imposters, report.strangers) == (2, 3)
    assert (palette.name, palette.unit, palette.to_truth, palette.to_others) == ("palette", "grey levels", 0, (10, 40))
    assert (palette.strangers, palette.rank, palette.preference) == (10, 1, 1)
    assert palette.p_value == pytest.approx(1 / 10)  # 5 choose 2
    assert (texture.preference, texture.p_value) == (0.5, pytest.approx(1))  # all flat: all tied
    assert report.found(0.4) == ("palette",)  # four measures: Holm's least adjusted value is 0.4
    assert report.found(0.39) == ()


def test_what_is_far_from_everything_may_still_lean_towards_the_truth() -> None:
    truth, other = flat(100, 100, 100), flat(0, 0, 0)
    leaning, ordinary = flat(240, 240, 240), flat(90, 90, 90)  # 140 against 240, and 10 against 90
    palette = measure_leaks(truth, [leaning, leaning], [other], [ordinary, ordinary]).leaks[0]
    assert palette.to_truth > palette.strangers
    assert (palette.preference, palette.p_value) == (1, pytest.approx(1 / 6))


def test_an_ordinary_video_is_not_mistaken_for_a_leaking_one() -> None:
    """Outputs that are the same whatever was sealed lie nearest to grey each time: rank 1, and no leak."""
    grey, red, blue = flat(120, 120, 120), flat(250, 10, 10), flat(10, 10, 250)
    outputs = [noise(seed, (2, 3, 8, 8)) for seed in range(8)]
    report = compare_bundles([grey, red, blue], [outputs] * 3)
    palette = report.videos[0].leaks[0]
    assert (palette.rank, palette.preference) == (1, 0.5)
    assert palette.p_value > 0.5
    assert report.leaks[0].p_value > 0.5
