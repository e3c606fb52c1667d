"""The second level: exact binomial and multinomial tails, Holm over all of them."""

from __future__ import annotations

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from neuralcipher.attacks.generators.sp800_22 import Outcome, assess, collect
from neuralcipher.attacks.generators.sp800_22.assessment import proportion_p, uniformity_p
from neuralcipher.errors import UsageError


def test_the_proportion_by_hand() -> None:
    assert proportion_p(0, 100) == pytest.approx(2 * 0.99**100)
    assert proportion_p(3, 3) == pytest.approx(2e-6)
    at_least_five = 1 - sum(comb(100, k) * 0.01**k * 0.99 ** (100 - k) for k in range(5))
    assert proportion_p(5, 100) == pytest.approx(2 * at_least_five)
    assert proportion_p(1, 100) == 1


def test_a_band_of_rates_is_never_more_severe_than_one_rate() -> None:
    for failed in range(20):
        assert proportion_p(failed, 200, (0.01, 0.013)) >= proportion_p(failed, 200) - 1e-15


@pytest.mark.parametrize("level", [0.05, 0.01, 1e-4])
def test_the_proportion_is_rarely_significant_for_an_ideal_source(level: float) -> None:
    failed = np.arange(1001)
    chances = stats.binom.pmf(failed, 1000, 0.01)
    significant = np.array([proportion_p(int(k), 1000) <= level for k in failed])
    assert chances[significant].sum() <= level


def test_uniformity_is_exact() -> None:
    # All ways to put four values into ten bins, against the definition.
    def squares(bins: tuple[int, ...]) -> int:
        return int((np.bincount(bins, minlength=10) ** 2).sum())

    all_ways = np.array([squares(bins) for bins in product(range(10), repeat=4)])
    for bins in ((0, 1, 2, 3), (0, 0, 2, 3), (9, 9, 1, 9), (5, 5, 5, 5)):
        expected = np.mean(all_ways >= squares(bins))
        assert uniformity_p(np.array(bins) / 10 + 0.05) == pytest.approx(expected, abs=1e-12)
    assert uniformity_p(np.array([1.0, 0.95])) == uniformity_p(np.array([0.0, 0.05]))  # 1 is in the last bin


def test_uniformity_nears_chi_square_for_many_values() -> None:
    draw = np.random.default_rng(5)
    for size in (300, 301):  # exact, and not
        values = draw.random(size)
        counts = np.histogram(values, np.linspace(0, 1, 11))[0]
        assert uniformity_p(values) == pytest.approx(stats.chisquare(counts).pvalue, abs=0.02)


def test_rows_are_judged_together() -> None:
    draw = np.random.default_rng(6)
    p_values = {f"row {i}": draw.random(100).tolist() for i in range(50)}
    assert assess(p_values).ok
    p_values["low"] = (draw.random(100) ** 3).tolist()
    p_values["high"] = (0.5 + draw.random(100) / 2).tolist()
    p_values["few"] = [0.0, 0.0, 0.0, 0.0, 0.0]
    assessment = assess(p_values)
    assert {row.name for row in assessment.failed} == {"low", "high", "few"}
    assert [row.adjusted_p for row in assessment.failed] == sorted(row.adjusted_p for row in assessment.failed)
    by_name = {row.name: row for row in assessment.rows}
    assert by_name["few"].uniformity_p is None  # fewer than 55 sequences
    assert by_name["few"].proportion == 0
    assert by_name["high"].proportion == 1
    assert by_name["few"].adjusted_p == pytest.approx(2 * 0.011**5 * 102)  # behind three worse ones of 105


def test_a_sequence_passes_at_one_in_a_hundred() -> None:
    (row,) = assess({"runs": [0.01, 0.0099, 0.5, 1.0]}).rows
    assert (row.sequences, row.passed) == (4, 3)


def test_an_ideal_source_is_rejected_at_the_stated_rate_only() -> None:
    # 188 rows of 100 sequences, 200 times. That 96 must pass in each row would reject about half of these.
    draw = np.random.default_rng(7)
    rejected = 0
    for _ in range(200):
        table = draw.random((188, 100))
        rejected += not assess({str(i): row for i, row in enumerate(table)}, level=0.05).ok
    assert rejected <= stats.binom.isf(1e-3, 200, 0.05)
    assert rejected >= 1


def test_sequences_are_collected_by_row() -> None:
    first = {"serial": Outcome({"1": 0.1, "2": 0.2}), "random_excursions": Outcome({}, "the walk has 3 cycles")}
    second = {"serial": Outcome({"1": 0.3, "2": 0.4}), "random_excursions": Outcome({"+1": 0.5})}
    assert collect([first, second]) == {"serial/1": [0.1, 0.3], "serial/2": [0.2, 0.4], "random_excursions/+1": [0.5]}


@pytest.mark.parametrize("values", [[], [0.5, 1.5], [-0.1], [float("nan")]])
def test_what_is_no_p_value_is_refused(values: list[float]) -> None:
    with pytest.raises(UsageError, match="'runs'"):
        assess({"runs": values})
