"""Learned and classical distinguishers: what they must recognise, what they must not, and what they count."""

from __future__ import annotations

import learning_targets as targets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuralcipher.attacks.base import NotApplicable, Verdict
from neuralcipher.attacks.generators.distinguisher import NearKeyPairs, RealOrRandom
from neuralcipher.attacks.generators.learners import (
    LAGS,
    Examples,
    Linear,
    Net,
    chi_square,
    fourth_difference,
    statistics_of,
)
from neuralcipher.attacks.planted.generators import weak_generator
from neuralcipher.attacks.subjects import BundleSubject, generator_of


@pytest.mark.parametrize("name", ["lcg32", "feistel-1"])
def test_states_that_are_told_from_random(name: str) -> None:
    targets.check_row(targets.row(RealOrRandom, name), Verdict.BROKEN)


@pytest.mark.parametrize("name", ["feistel-2", "linear"])
def test_near_keys_that_are_recognised(name: str) -> None:
    targets.check_row(targets.row(NearKeyPairs, name), Verdict.BROKEN)


@pytest.mark.parametrize("kind", [RealOrRandom, NearKeyPairs])
def test_states_that_are_not(kind: type[RealOrRandom]) -> None:
    targets.check_row(targets.row(kind, "chacha20"), Verdict.NOT_BROKEN)


def test_the_verdict_is_of_the_better_learner_and_pays_for_two() -> None:
    found = targets.row(RealOrRandom, "feistel-1").target
    assert found is not None
    assert found.details["correct"]["linear discriminant"] == found.samples == 192
    assert found.value == 1
    assert found.p_value == pytest.approx(2 * 0.5**192, rel=1e-9, abs=0)
    # 0 wrong of 192 at confidence .99: the rate is at least .005 ** (1 / 192).
    assert found.interval == (pytest.approx(2 * 0.005 ** (1 / 192) - 1), 1.0)
    assert len(found.figures) == 2


def test_a_run_without_time_is_not_decidable() -> None:
    target = targets.target("chacha20")
    found = RealOrRandom().measure(target, targets.a_run(RealOrRandom, seconds=1e-9))
    assert not found.decidable
    assert found.samples == 32


def test_only_generators_are_attacked() -> None:
    with pytest.raises(NotApplicable, match="works on a generator"):
        generator_of(BundleSubject.__new__(BundleSubject))


def pairs(seed: int, count: int, shift: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = np.random.default_rng(seed).integers(0, 256 - shift, (2, count, 1, 8, 16), dtype=np.uint8)
    first, second = torch.from_numpy(drawn)
    return first, second


@pytest.mark.parametrize("make", [Linear, lambda: Net((1, 8, 16), crops=4, epochs=6, width=8, seed=3)])
def test_learners_learn_a_shift_and_nothing_from_noise(make: type[Linear]) -> None:
    """Values below 192 against values below 256: bit 7 and bit 6 are set together never."""
    for shift, best in ((64, True), (0, False)):
        labels = np.arange(128) % 2 == 0
        first, second = pairs(1, 128)
        low = pairs(2, 128, shift)
        for z, weak in zip((first, second), low, strict=True):
            z[labels] = weak[labels]
        learner = make()
        learner.fit(Examples(first[:64], second[:64], labels[:64]))
        right = ((learner.scores(first[64:], second[64:]) > 0) == labels[64:]).mean()
        assert right > 0.9 if best else 0.3 < right < 0.7


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)))
def test_a_score_is_of_a_key_alone(seed: int, order: list[int]) -> None:
    """Neither statistics nor a fitted net look at the batch that a pair stands in."""
    first, second = pairs(seed, 6)
    assert np.array_equal(statistics_of(first, second)[order], statistics_of(first[order], second[order]))
    net = Net((1, 8, 16), crops=2, epochs=1, width=4, seed=0)
    net.fit(Examples(first, second, np.arange(6) % 2 == 0))
    whole, parts = net.scores(first, second)[order], [net.scores(first[i : i + 1], second[i : i + 1]) for i in order]
    assert np.allclose(whole, np.concatenate(parts), atol=1e-4)


def test_chi_square_by_hand() -> None:
    assert chi_square(np.repeat(np.arange(256, dtype=np.uint8), 3)) == 0
    # 256 equal bytes: (256 - 1)^2 + 255 * 1^2 over an expectation of 1.
    assert chi_square(np.zeros(256, np.uint8)) == 255**2 + 255


@given(st.lists(st.integers(0, 255), min_size=9, max_size=40), st.integers(1, 2))
def test_fourth_difference_is_binomial(values: list[int], lag: int) -> None:
    z = np.array(values, dtype=np.uint8)
    wanted = [
        sum(c * values[i + k * lag] for k, c in enumerate((1, -4, 6, -4, 1))) % 256
        for i in range(len(values) - 4 * lag)
    ]
    assert fourth_difference(z, lag).tolist() == wanted


def test_fourth_difference_betrays_a_modulus_of_a_power_of_two() -> None:
    z: NDArray[np.uint8] = weak_generator("lcg32", (3, 16, 16)).next_latent(torch.zeros(3, 16, 16, dtype=torch.uint8))
    # Truncation leaves an error between -8 and 8 around a constant.
    assert 64 in LAGS
    assert len(np.unique(fourth_difference(np.asarray(z).reshape(-1), 64))) <= 16
