"""The nulls of bytes against enumeration, hand calculations and simulated noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import NotApplicable
from neuralcipher.attacks.generators.byte_nulls import (
    IDEAL_SQUARE,
    affordable,
    bytes_to_see,
    few_changed,
    nearness,
    uneven_counts,
)
from neuralcipher.attacks.planted.subjects import weak
from neuralcipher.attacks.subjects import BundleSubject, generator_of
from neuralcipher.errors import UsageError


def test_few_changed_by_hand() -> None:
    assert few_changed(0, 1) == pytest.approx(1 / 256)
    assert few_changed(0, 2) == pytest.approx(1 / 65536)
    assert few_changed(1, 2) == pytest.approx(1 - (255 / 256) ** 2)
    assert few_changed(7, 7) == 1
    with pytest.raises(UsageError):
        few_changed(3, 2)


def test_the_ideal_distance_by_enumeration() -> None:
    values = np.arange(256) / 256
    squares = (values[:, None] - values) ** 2
    assert pytest.approx(squares.mean(), rel=1e-12) == IDEAL_SQUARE


@pytest.mark.parametrize(("size", "distance"), [(1, 0.0), (1, 0.001), (1, 0.05), (2, 0.0), (2, 0.002), (2, 0.1)])
def test_nearness_is_above_the_exact_chance(size: int, distance: float) -> None:
    """Of one or two bytes all pairs of latents can be counted."""
    squares = ((np.arange(256)[:, None] - np.arange(256)) / 256) ** 2
    sums = squares.reshape(-1) if size == 1 else np.add.outer(squares[::4].reshape(-1), squares[:, 0]).reshape(-1) / 2
    if size == 2:
        # Both differences are drawn alike: pair each difference with each, by how often it comes.
        chance = np.array([256] + [2 * (256 - d) for d in range(1, 256)]) / 65536
        square = (np.arange(256) / 256) ** 2
        exact = float((np.outer(chance, chance)[np.add.outer(square, square) / 2 <= distance]).sum())
    else:
        exact = float((sums <= distance).mean())
    assert exact <= nearness(distance, size, 1) <= 1
    assert nearness(distance, size, 1) < 1


@given(st.floats(0, 0.16), st.integers(1, 10_000))
def test_nearness_grows_with_distance_and_pairs(distance: float, size: int) -> None:
    assert nearness(distance, size, 5) <= nearness(distance + 0.005, size, 5) * (1 + 1e-6)
    assert nearness(distance, size, 5) <= nearness(distance, size, 50) <= 1


def test_nearness_by_hand() -> None:
    assert nearness(0.0, 3, 7) == pytest.approx(7 / 256**3)
    assert nearness(IDEAL_SQUARE, 1000, 1) == 1
    # 1,000 bytes, sd sqrt(7/180/1000) = 0.00624: ten of them below the mean is beyond any doubt, one is nothing.
    assert nearness(IDEAL_SQUARE - 0.0624, 1000, 1) < 1e-20
    assert nearness(IDEAL_SQUARE - 0.0062, 1000, 1) > 0.2
    with pytest.raises(UsageError):
        nearness(0.1, 0, 1)


def test_uneven_counts_by_hand() -> None:
    counts = np.zeros(256, dtype=np.int64)
    counts[7] = 2  # two bytes, both 7: P(a count of 2) = 256^-2, twice that for two sides, 256 counts
    assert uneven_counts(counts) == pytest.approx(2 * 256 / 65536)
    assert uneven_counts(np.full(256, 50)) == 1


def test_on_noise_p_values_are_rarely_small() -> None:
    """2,000 draws at level .05: more than 150 would be 5 standard deviations, if the tests were exact."""
    draw = np.random.default_rng(8)
    counts = draw.multinomial(3000, [1 / 256] * 256, 2000)
    assert sum(uneven_counts(row) <= 0.05 for row in counts) < 150
    first, second = (draw.integers(0, 256, (2000, 300)) / 256 for _ in range(2))
    distances = ((first - second) ** 2).mean(axis=1)
    assert sum(nearness(float(d), 300, 1) <= 0.05 for d in distances) < 150


def test_what_a_budget_affords() -> None:
    assert affordable(16, 4, 1000, 1_000_000) == 16
    assert affordable(16, 4, 100_000, 1_000_000) == 10
    assert affordable(16, 4, 10_000_000, 1_000_000) == 4


def test_bytes_to_see() -> None:
    """z = 1.2816 + 2.3263 for power .9 at .01: 13.017 * (255 / 65536) / 0.01^2 = 506.5."""
    assert bytes_to_see(0.01, 0.01) == 507


def test_a_bundle_shows_no_generator(tmp_path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(NotApplicable, match="no generator"):
        generator_of(BundleSubject("b", tmp_path / "b.ncv", "bare", (), tmp_path))
    subject = weak("identity", (1, 16, 16))
    assert generator_of(subject) is subject
