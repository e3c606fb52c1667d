"""The tests by ranks against enumeration, and Holm's method against its textbook example."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.ranks import doubled_midranks, holm, preference, rank_sum, relabelling_p_value

# Few different values, so that ties are the rule.
SAMPLES = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=5)


def wins(first: list[float], second: list[float]) -> float:
    """Of the first over the second, ties counting half: the definition."""
    return sum((a > b) + 0.5 * (a == b) for a in first for b in second)


def choices(pooled: list[float], count: int) -> list[tuple[list[float], list[float]]]:
    picked = combinations(range(len(pooled)), count)
    return [([pooled[i] for i in p], [v for i, v in enumerate(pooled) if i not in p]) for p in picked]


def test_midranks_share_ties() -> None:
    assert doubled_midranks(np.array([7.0, 1.0, 7.0, 3.0])).tolist() == [7, 2, 7, 4]
    assert doubled_midranks(np.array([[1.0, 5.0], [2.0, 4.0]])).tolist() == [[2, 4], [4, 2]]


def test_rank_sum_by_hand() -> None:
    assert rank_sum([3, 4], [1, 2]) == (1.0, pytest.approx(1 / 6))  # one of the six ways to choose two of four
    assert rank_sum([1, 2], [3, 4]) == (0.0, pytest.approx(1.0))
    assert rank_sum([5], [5, 5]) == (0.5, pytest.approx(1.0))
    assert rank_sum(range(24, 32), range(24))[1] == pytest.approx(1 / 10_518_300)  # 32 choose 8


@given(SAMPLES, SAMPLES)
def test_rank_sum_equals_enumeration(first: list[float], second: list[float]) -> None:
    share, p_value = rank_sum(first, second)
    observed = wins(first, second)
    ways = [wins(*choice) >= observed for choice in choices(first + second, len(first))]
    assert share == pytest.approx(observed / (len(first) * len(second)))
    assert p_value == pytest.approx(sum(ways) / len(ways))
    pooled = np.array(first + second)
    assert preference(doubled_midranks(pooled), np.arange(len(pooled)) < len(first)) == share


@given(st.lists(st.integers(0, 9).map(float), min_size=4, max_size=7), st.floats(0.01, 1))
def test_under_the_null_a_p_value_is_rarely_small(pooled: list[float], level: float) -> None:
    p_values = [rank_sum(*choice)[1] for choice in choices(pooled, 3)]
    assert np.mean(np.array(p_values) <= level) <= level + 1e-9


def test_relabelling_by_hand() -> None:
    values = np.zeros((8, 2))
    values[:, 0] = [1, 1, 0, 0, 1, 1, 0, 0]
    labels = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    one_block, two_blocks = np.zeros(8, np.int64), np.repeat([0, 1], 4)
    assert relabelling_p_value(values, labels, one_block) == pytest.approx(1 / 70, abs=0.004)  # 8 choose 4
    assert relabelling_p_value(values, labels, two_blocks) == pytest.approx(1 / 36, abs=0.005)  # (4 choose 2) squared
    assert relabelling_p_value(values, 1 - labels, one_block) == 1.0
    assert relabelling_p_value(values, labels, np.arange(8)) == 1.0  # nothing can be exchanged


def test_relabelling_never_gives_zero_and_repeats() -> None:
    values = np.stack([np.arange(40.0), np.zeros(40)], axis=1)
    labels = (np.arange(40) < 20).astype(np.int64)
    assert relabelling_p_value(values, labels, np.zeros(40, np.int64), draws=99) == 0.01
    mixed = labels[np.random.default_rng(4).permutation(40)]
    first, again = (relabelling_p_value(values, mixed, np.zeros(40, np.int64), draws=1500) for _ in range(2))
    assert first == again


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_value_and_bonferroni(p_values: list[float]) -> None:
    for p_value, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p_value <= adjusted <= min(1.0, len(p_values) * p_value)
    assert min(holm(p_values)) == pytest.approx(min(1.0, len(p_values) * min(p_values)))
