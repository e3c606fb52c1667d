"""The fifteen tests against the examples of SP 800-22 rev. 1a: sections 2.x.4 and 2.x.8, and the table of Appendix B.

The expansions of pi, e and the roots are computed; the figures are the publication's, compared with two other
transcriptions of them. Some of its examples are misprinted: said where it is so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from expansions import NAMES, expansion
from numpy.typing import NDArray
from scipy import special

from neuralcipher.attacks.generators.sp800_22.common import Outcome, pearson
from neuralcipher.attacks.generators.sp800_22.complexity import linear_complexities, linear_complexity
from neuralcipher.attacks.generators.sp800_22.cusum import cumulative_sums
from neuralcipher.attacks.generators.sp800_22.excursions import random_excursions, random_excursions_variant
from neuralcipher.attacks.generators.sp800_22.frequency import block_frequency, frequency
from neuralcipher.attacks.generators.sp800_22.rank import gf2_ranks, matrix_rank
from neuralcipher.attacks.generators.sp800_22.runs import longest_run, longest_run_probabilities, longest_runs, runs
from neuralcipher.attacks.generators.sp800_22.serial import approximate_entropy, serial
from neuralcipher.attacks.generators.sp800_22.spectral import spectral
from neuralcipher.attacks.generators.sp800_22.templates import (
    compound_poisson_probabilities,
    non_overlapping_templates,
    overlapping_probabilities,
    overlapping_template,
)
from neuralcipher.attacks.generators.sp800_22.universal import distances_to_last, expected_value, universal

MILLION = 1_000_000
PI_100 = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"
LONGEST_RUN_128 = (
    "11001100000101010110110001001100111000000000001001001101010100010001001111010110100000001101011111001100111001101101"
    "100010110010"
)


def bits(text: str) -> NDArray[np.uint8]:
    return np.array([int(digit) for digit in text], dtype=np.uint8)


def printed(figure: float) -> object:
    """Equal to six decimals, as printed."""
    return pytest.approx(figure, abs=5.1e-7)


def test_the_expansions_begin_as_they_should() -> None:
    assert expansion("pi", 100).tolist() == bits(PI_100).tolist()
    for name, value in {"e": np.e, "sqrt2": np.sqrt(2), "sqrt3": np.sqrt(3), "pi": np.pi}.items():
        weights = 2.0 ** (np.floor(np.log2(value)) - np.arange(50))
        assert expansion(name, 50) @ weights == pytest.approx(value, rel=1e-14)


def test_frequency() -> None:
    assert frequency(bits("1011010101"), at_least=10).p_value == printed(0.527089)
    assert frequency(bits(PI_100)).p_value == printed(0.109599)


def test_block_frequency() -> None:
    assert block_frequency(bits("0110011010"), 3, at_least=10).p_value == printed(0.801252)
    assert block_frequency(bits(PI_100), 10).p_value == printed(0.706438)


def test_runs() -> None:
    assert runs(bits("1001101011"), at_least=10).p_value == printed(0.147232)
    assert runs(bits(PI_100)).p_value == printed(0.500798)


def test_longest_run() -> None:
    # The example is computed with unrounded probabilities: those printed beside it would give 0.180598.
    assert longest_run(bits(LONGEST_RUN_128)).p_value == printed(0.180609)
    assert longest_run(bits(LONGEST_RUN_128), published=True).p_value == pytest.approx(0.180598, abs=5e-6)
    assert np.bincount(np.clip(longest_runs(bits(LONGEST_RUN_128), 8), 1, 4)).tolist() == [0, 4, 9, 3]


def test_the_tables_of_longest_runs_are_exact_up_to_128() -> None:
    assert longest_run_probabilities(8, 1, 4) == pytest.approx((0.2148, 0.3672, 0.2305, 0.1875), abs=5.1e-5)
    table = (0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124)
    assert longest_run_probabilities(128, 4, 6) == pytest.approx(table, abs=7e-5)  # the third is 0.24936
    # The table for 10,000 is an approximation, and a poor one.
    table = (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)
    assert longest_run_probabilities(10_000, 10, 7) == pytest.approx(table, abs=1.6e-3)


def test_matrix_rank() -> None:
    matrices = bits("010110010010101011").reshape(2, 3, 3)
    assert gf2_ranks(matrices).tolist() == [2, 3]
    assert pearson(np.array([1, 1, 0]), (0.2888, 0.5776, 0.1336)) == printed(0.741948)  # 2.5.4 with limits for 32 x 32
    assert matrix_rank(expansion("e", MILLION)[:100_000]).p_value == printed(0.532069)


def test_spectral() -> None:
    # Misprinted: of the five powers listed in 2.6.4 all are low, not four, and in 2.6.8 there are 48, not 46. The
    # figures here are those of the corrected counts; the printed ones are 0.029523 and 0.168669.
    assert spectral(bits("1001010011"), published=True, at_least=10).p_value == printed(0.468160)
    assert spectral(bits(PI_100), published=True, at_least=100).p_value == printed(0.646355)


def test_non_overlapping_template() -> None:
    outcome = non_overlapping_templates(bits("10100100101110010110"), 3, 2, templates=[0b001], at_least=20)
    assert outcome.p_values == {"001": printed(0.344154)}


def test_overlapping_template() -> None:
    sequence = bits("10111011110010110100011100101110111110000101101001")
    chances = (0.324652, 0.182617, 0.142670, 0.106645, 0.077147, 0.166269)
    assert compound_poisson_probabilities(2, 10) == pytest.approx(chances, abs=1e-6)
    # Misprinted twice: the first and second counts are 2 and 0, and 0.274932 comes of not halving the statistic.
    statistic = 3.167729
    assert pearson(np.array([0, 1, 1, 1, 1, 1]), chances) == pytest.approx(
        special.gammaincc(5 / 2, statistic / 2), abs=1e-6
    )
    assert special.gammaincc(5 / 2, statistic) == printed(0.274932)
    found = overlapping_template(sequence, 2, 10, published=True, at_least=50).p_value
    assert found == pytest.approx(pearson(np.array([0, 2, 0, 1, 1, 1]), chances), abs=5e-6)
    # 2.8.8: revision 1a prints the exact probabilities, with the p-value of the asymptotic ones beside them.
    chances = (0.364091, 0.185659, 0.139381, 0.100571, 0.0704323, 0.139865)
    assert overlapping_probabilities(9, 1032) == pytest.approx(chances, abs=5.1e-7)
    observed = np.array([329, 164, 150, 111, 78, 136])
    assert pearson(observed, compound_poisson_probabilities(9, 1032)) == printed(0.110434)
    e = expansion("e", MILLION)
    assert overlapping_template(e).p_value == pytest.approx(pearson(observed, chances), abs=1e-5)


def test_universal() -> None:
    symbols = bits("01011010011101010111").reshape(-1, 2) @ np.array([2, 1])
    assert np.log2(distances_to_last(symbols)[4:]).mean() == pytest.approx(1.1949875, abs=1e-7)
    table = {6: 5.2177052, 7: 6.1962507, 8: 7.1836656, 9: 8.1764248, 10: 9.1723243, 13: 12.168070, 16: 15.167379}
    for L, mean in table.items():
        assert expected_value(L) == pytest.approx(mean, abs=6e-7)


def test_linear_complexity() -> None:
    assert linear_complexities(bits("1101011110001")[None]).tolist() == [4]
    # With the misprint that is in the reference code too: 0.01047 stands for 1/96 = 0.010417.
    e = expansion("e", MILLION)
    assert linear_complexity(e, 1000, published=True).p_value == printed(0.845406)


def test_serial() -> None:
    # Step 5 of 2.11.4 prints 0.9057 and 0.8805; section 2.11.6 has the right figures.
    assert serial(bits("0011011101"), 3, at_least=10).p_values == {"1": printed(0.808792), "2": printed(0.670320)}
    assert serial(expansion("e", MILLION), 2).p_values == {"1": printed(0.843764), "2": printed(0.561915)}


def test_approximate_entropy() -> None:
    assert approximate_entropy(bits("0100110101"), 3, at_least=10).p_value == printed(0.261961)
    assert approximate_entropy(bits(PI_100), 2, at_least=100).p_value == printed(0.235301)


def test_cumulative_sums() -> None:
    small = cumulative_sums(bits("1011010111"), published=True, at_least=10)
    assert small.p_values["forward"] == pytest.approx(0.4116588, abs=5e-7)
    large = cumulative_sums(bits(PI_100), published=True)
    assert large.p_values == {"forward": printed(0.219194), "backward": printed(0.114866)}


def test_random_excursions() -> None:
    # Printed 0.502529: with probabilities of four decimals.
    small = random_excursions(bits("0110110101"), fewest_cycles=3, at_least=10)
    assert small.p_values["+1"] == pytest.approx(0.502529, abs=5e-5)
    chi_square = {
        -4: 3.835698,
        -3: 7.318707,
        -2: 7.861927,
        -1: 15.692617,
        1: 2.430872,
        2: 4.798906,
        3: 2.357041,
        4: 2.488767,
    }
    table = (0.573306, 0.197996, 0.164011, 0.007779, 0.786868, 0.440912, 0.797854, 0.778186)
    for (x, statistic), figure in zip(chi_square.items(), table, strict=True):
        assert special.gammaincc(5 / 2, statistic / 2) == pytest.approx(figure, abs=1e-6)
        assert random_excursions(expansion("e", MILLION)).p_values[f"{x:+d}"] == printed(figure)


def test_random_excursions_variant() -> None:
    small = random_excursions_variant(bits("0110110101"), published=True, fewest_cycles=3, at_least=10)
    assert small.p_values["+1"] == printed(0.683091)
    outcome = random_excursions_variant(expansion("e", MILLION), published=True)
    table = (0.858946, 0.794755, 0.576249, 0.493417, 0.633873, 0.917283, 0.934708, 0.816012, 0.826009)
    table += (0.137861, 0.200642, 0.441254, 0.939291, 0.505683, 0.445935, 0.512207, 0.538635, 0.593930)
    assert list(outcome.p_values.values()) == [printed(figure) for figure in table]


APPENDIX_B: Mapping[str, tuple[Callable[[NDArray[np.uint8]], Outcome], str, tuple[float, float, float, float]]] = {
    # row: test, name of its p-value, figures for pi, e, sqrt2, sqrt3
    "frequency": (frequency, "", (0.578211, 0.953749, 0.811881, 0.610051)),
    "block frequency, M = 128": (block_frequency, "", (0.380615, 0.211072, 0.833222, 0.473961)),
    # For e the last digits printed are those of the exact law: the asymptotic one gives 0.669886 and 0.724265.
    "cusum forward": (
        lambda b: cumulative_sums(b, published=True),
        "forward",
        (0.628308, 0.669887, 0.879009, 0.917121),
    ),
    "cusum reverse": (
        lambda b: cumulative_sums(b, published=True),
        "backward",
        (0.663369, 0.724266, 0.957206, 0.689519),
    ),
    "runs": (runs, "", (0.419268, 0.561917, 0.313427, 0.261123)),
    "longest run": (lambda b: longest_run(b, published=True), "", (0.024390, 0.718945, 0.012117, 0.446726)),
    "rank": (matrix_rank, "", (0.083553, 0.306156, 0.823810, 0.314498)),
    "spectral": (lambda b: spectral(b, published=True), "", (0.010186, 0.847187, 0.581909, 0.776046)),
    "non-overlapping, 000000001": (
        non_overlapping_templates,
        "000000001",
        (0.165757, 0.078790, 0.569461, 0.532235),
    ),
    "overlapping, m = 9": (
        lambda b: overlapping_template(b, published=True),
        "",
        (0.296897, 0.110434, 0.791982, 0.082716),
    ),
    "universal": (lambda b: universal(b, published=True), "", (0.669012, 0.282568, 0.130805, 0.165981)),
    "approximate entropy, m = 10": (approximate_entropy, "", (0.361595, 0.700073, 0.884740, 0.180481)),
    "excursions, x = +1": (random_excursions, "+1", (0.844143, 0.786868, 0.216235, 0.783283)),
    "excursions variant, x = -1": (
        lambda b: random_excursions_variant(b, published=True),
        "-1",
        (0.760966, 0.826009, 0.566118, 0.155066),
    ),
    "linear complexity, M = 500": (
        lambda b: linear_complexity(b, published=True),
        "",
        (0.255475, 0.826335, 0.317127, 0.346469),
    ),
    "serial, m = 16": (serial, "1", (0.143005, 0.766182, 0.861925, 0.157500)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_appendix_b(name: str) -> None:
    sequence = expansion(name, MILLION)
    for row, (test, which, figures) in APPENDIX_B.items():
        tolerance = 1.1e-6 if row.startswith("cusum") else 5.1e-7
        assert test(sequence).p_values[which] == pytest.approx(figures[NAMES.index(name)], abs=tolerance), row


@pytest.mark.slow
def test_exact_constants_change_p_values_as_others_found() -> None:
    # The same sequences with recomputed probabilities, as an implementation by others gives them.
    for name, longest, complexity in (
        ("pi", 0.027295, 0.246801),
        ("e", 0.718366, 0.826202),
        ("sqrt2", 0.013472, 0.321866),
        ("sqrt3", 0.464612, 0.338199),
    ):
        sequence = expansion(name, MILLION)
        assert longest_run(sequence).p_value == printed(longest)
        assert linear_complexity(sequence).p_value == printed(complexity)
    assert cumulative_sums(expansion("e", MILLION)).p_values == {
        "forward": printed(0.669887),
        "backward": printed(0.724266),
    }
