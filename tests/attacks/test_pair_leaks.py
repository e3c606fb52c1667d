"""The attacks on what wrong keys see: mean frame, imposter key, membership; and the figures that they rest on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pair_scenes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict, find
from neuralcipher.attacks.judge import gate
from neuralcipher.attacks.pairs.imposter import mutual_information
from neuralcipher.attacks.pairs.mean_frame import recovered_mean
from neuralcipher.attacks.pairs.membership import Trial, resemblance
from neuralcipher.attacks.pairs.seen import (
    Clock,
    OutOfTime,
    can_decide,
    difference_interval,
    least_p,
    mean_frame,
    preference_interval,
    psnr_db,
    small,
    together,
)
from neuralcipher.attacks.planted.flows import IdealFlow, IgnoresKeyFlow, LinearFlow, MeanBiasFlow
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import PairSubject
from neuralcipher.attacks.views import public
from neuralcipher.video.quality import psnr_db as reference_psnr_db

NAMES = ("mean-frame", "imposter-key", "membership")


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_flow_is_caught(name: str) -> None:
    row = pair_scenes.attacked(name, pair_scenes.autoencoder())
    assert gate(row) == ""
    assert row.verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flow", [MeanBiasFlow, IgnoresKeyFlow])
def test_planted_leaks_are_caught(name: str, flow: type[MeanBiasFlow]) -> None:
    assert pair_scenes.attacked(name, pair_scenes.planted(flow)).verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", NAMES)
def test_the_ideal_flow_is_not_broken(name: str) -> None:
    row = pair_scenes.attacked(name, pair_scenes.planted(IdealFlow))
    assert gate(row) == ""
    assert row.verdict is Verdict.NOT_BROKEN


@pytest.mark.parametrize("name", NAMES)
def test_p_values_of_the_ideal_flow_are_not_too_small(name: str) -> None:
    """Of 16 seeds, at most 4 may give p <= 0.05 (P = 0.999 of a uniform p): a test that cheats gives more."""
    subject = small(pair_scenes.planted(IdealFlow, count=2))
    p_values = [pair_scenes.measured(name, subject, seed).p_value for seed in range(16)]
    assert sum(p <= 0.05 for p in p_values) <= 4
    assert min(p_values) > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_that_cannot_be_made_again_is_skipped(name: str) -> None:
    subject = replace(pair_scenes.planted(IdealFlow), seal=None)
    row = pair_scenes.attacked(name, subject)
    assert row.verdict is Verdict.INCONCLUSIVE
    assert "cannot be made again" in row.skipped


@pytest.mark.parametrize("name", [*NAMES, "key-ladder"])
def test_a_spent_budget_decides_nothing(name: str) -> None:
    run = Run(Settings(), name, seconds=1e-9)
    found = find(name)().measure(pair_scenes.planted(IgnoresKeyFlow), run)
    assert found.p_value == 1.0
    assert not found.decidable


@pytest.mark.parametrize("name", ["imposter-key", "key-ladder"])
def test_a_flow_that_has_learned_nothing_cannot_be_judged(name: str) -> None:
    """Nobody sees anything, the right key included: that is no credit to the cipher."""
    row = pair_scenes.attacked(name, pair_scenes.autoencoder(steps=0))
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.target is not None
    assert "right key itself" in row.target.flags[0]


def test_the_mean_frame_comes_back() -> None:
    subject = pair_scenes.planted(MeanBiasFlow)
    starts = subject.starts([bytes([i]) * 32 for i in range(60)])
    view = public(subject)
    guess = recovered_mean([view.show(z0).numpy() for z0 in starts])
    truth = mean_frame(subject.frames, 1)
    assert np.corrcoef(guess.ravel(), truth.ravel())[0, 1] > 0.95
    assert np.array_equal(recovered_mean([noise(1, 2, 3, 4, 4)] * 3), mean_frame(noise(1, 2, 3, 4, 4), 1))


def test_stored_frames_are_told_from_their_neighbours() -> None:
    """The frames that differ by a pixel's shift: a flow that shows everything tells them, a mean does not suffice."""
    found = pair_scenes.measured("membership", pair_scenes.planted(IgnoresKeyFlow))
    assert found.details["neighbours"]["preference"] == 1
    assert found.details["neighbours"]["auc_of_frames_by_the_nearest_picture"] == 1
    assert pair_scenes.measured("membership", pair_scenes.planted(LinearFlow)).p_value > 1e-4


def test_resemblance_by_hand() -> None:
    subject = pair_scenes.planted(IgnoresKeyFlow)
    candidates = subject.frames.numpy().copy()
    candidates[1] = candidates[1] ^ 2  # every value 2 levels off
    found = resemblance(public(subject), subject.z0, 2, candidates)
    assert found[0] == 0
    assert found[1] == pytest.approx(-2, abs=1e-6)
    assert (found[2:] < -1).all()  # frames that were not shown


def test_a_trial_by_hand() -> None:
    trial = Trial("x", np.array([[-1.0, -3.0, -5.0], [-2.0, -2.0, -9.0]]), np.array([[-4.0, -4.0, -1.0]]), 2)
    assert trial.scores() == ([3.0, 7.0], [-3.0])
    assert trial.of_frames() == 1
    turned = Trial("x", trial.first[:, ::-1], trial.second[:, ::-1], 1)
    assert turned.of_frames() == 0


def test_mutual_information_by_hand() -> None:
    two = np.zeros((1, 3, 4, 4), np.uint8)
    two[..., :2] = 255
    other = np.zeros_like(two)
    other[..., :2, :] = 200
    assert mutual_information(two, two) == pytest.approx(1)
    assert mutual_information(two, 255 - two) == pytest.approx(1)
    assert mutual_information(two, other) == pytest.approx(0, abs=1e-12)
    four = np.zeros_like(two)
    four[0, :, :2, 2:], four[0, :, 2:, :2], four[0, :, 2:, 2:] = 60, 130, 250
    assert mutual_information(four, four) == pytest.approx(2)
    assert mutual_information(two, four) == pytest.approx(1)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_mutual_information_laws(seed: int) -> None:
    a, b = noise(seed, 2, 3, 9, 12), noise(seed + 1, 2, 3, 9, 12)
    assert mutual_information(a, b) == pytest.approx(mutual_information(b, a))
    assert 0 <= mutual_information(a, b) <= mutual_information(a, a) <= 4


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_psnr_is_that_of_the_product(seed: int, count: int) -> None:
    a, b = noise(seed, count, 3, 5, 7), noise(seed + 1, count, 3, 5, 7)
    b[0] = a[0]
    expected = reference_psnr_db(a.transpose(0, 2, 3, 1), b.transpose(0, 2, 3, 1))
    assert psnr_db(a, b) == pytest.approx(expected)


def test_least_p_by_hand() -> None:
    assert least_p(2, 3) == pytest.approx(1 / 10)
    assert least_p(10, 10, 4) == pytest.approx(4 / math.comb(20, 10))
    assert can_decide(10, 10, 4)
    assert not can_decide(6, 6)
    assert together([0.01, 0.5, 0.02]) == pytest.approx(0.03)


def test_intervals_hold_what_they_should() -> None:
    draw = np.random.default_rng(0)
    low, high = difference_interval([5.0] * 4, [3.0] * 9, draw)
    assert (low, high) == (2.0, 2.0)
    held = 0
    for _ in range(100):
        low, high = difference_interval(draw.normal(1, 1, 30).tolist(), draw.normal(0, 1, 30).tolist(), draw)
        held += low <= 1 <= high
    assert 85 <= held <= 100
    assert preference_interval([2.0, 3.0], [0.0, 1.0], draw) == (1.0, 1.0)
    low, high = preference_interval(draw.normal(0, 1, 40).tolist(), draw.normal(0, 1, 40).tolist(), draw)
    assert 0.2 < low < 0.5 + 0.2 < high + 0.2


def test_controls_are_the_corner_of_the_target() -> None:
    subject: PairSubject = pair_scenes.planted(IdealFlow)
    big = replace(subject, frames=torch.zeros(9, 3, 40, 33, dtype=torch.uint8), others=(subject.frames,))
    corner = small(big)
    assert corner.frames.shape == (4, 3, 32, 32)
    assert corner.others[0].shape == (4, 3, 16, 16)
    positive, negative = find("mean-frame")().controls(subject, Run(Settings(), "mean-frame"))
    assert (positive.name, negative.name) == ("weak-mean-bias", "ideal")
    assert isinstance(positive, PairSubject)
    assert positive.key != subject.key


def test_a_clock_stops_between_two_keys_and_not_after_the_last() -> None:
    clock = Clock(Run(Settings(), "x", seconds=1e-9), 1)
    clock.tick()
    with pytest.raises(OutOfTime):
        Clock(Run(Settings(), "x", seconds=1e-9), 2).tick()
