"""The fifteen tests against plain versions of themselves, against enumeration, and on what they must refuse."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from keystreams import ideal_bits
from numpy.typing import NDArray
from scipy import stats

from neuralcipher.attacks.generators.sp800_22 import TESTS, Outcome, rows, run_suite
from neuralcipher.attacks.generators.sp800_22.common import windows
from neuralcipher.attacks.generators.sp800_22.complexity import complexity_probabilities, linear_complexities
from neuralcipher.attacks.generators.sp800_22.cusum import cumulative_sums
from neuralcipher.attacks.generators.sp800_22.excursions import (
    random_excursions,
    random_excursions_variant,
    visit_probabilities,
    visits_p,
)
from neuralcipher.attacks.generators.sp800_22.frequency import block_frequency, frequency
from neuralcipher.attacks.generators.sp800_22.rank import gf2_ranks, rank_probabilities
from neuralcipher.attacks.generators.sp800_22.runs import longest_run_probabilities, longest_runs, runs
from neuralcipher.attacks.generators.sp800_22.serial import approximate_entropy, pattern_counts, serial, shorter
from neuralcipher.attacks.generators.sp800_22.spectral import count_variance, spectral
from neuralcipher.attacks.generators.sp800_22.templates import (
    aperiodic_templates,
    overlapping_probabilities,
    template_counts,
)
from neuralcipher.attacks.generators.sp800_22.universal import distances_to_last, standard_deviation
from neuralcipher.errors import NeuralCipherError, ShapeError, UsageError

Bits = NDArray[np.uint8]


def sequences(least: int, most: int) -> st.SearchStrategy[Bits]:
    return st.integers(least, most).flatmap(lambda n: arrays.arrays(np.uint8, n, elements=st.integers(0, 1)))


def tables(rows: int, columns: int) -> st.SearchStrategy[Bits]:
    shape = st.tuples(st.integers(1, rows), st.integers(1, columns))
    return shape.flatmap(lambda s: arrays.arrays(np.uint8, s, elements=st.integers(0, 1)))


def every(n: int) -> Bits:
    """(2**n, n): all sequences."""
    return np.array(list(product((0, 1), repeat=n)), dtype=np.uint8)


def shares(values: NDArray[np.int64], classes: int) -> list[float]:
    return (np.bincount(values, minlength=classes) / len(values)).tolist()


# Symmetries


@given(sequences(100, 300))
def test_complementing_all_bits_changes_nothing(bits: Bits) -> None:
    def p_values(b: Bits) -> list[float]:
        outcomes = (
            frequency(b),
            block_frequency(b, 10),
            runs(b),
            serial(b, 3, at_least=100),
            approximate_entropy(b, 2, at_least=100),
            cumulative_sums(b),
        )
        return [p for outcome in outcomes for p in outcome.p_values.values()]

    assert p_values(bits) == pytest.approx(p_values(1 - bits), abs=1e-9)


@given(sequences(100, 300))
def test_reversing_swaps_the_two_cumulative_sums(bits: Bits) -> None:
    there, back = cumulative_sums(bits).p_values, cumulative_sums(bits[::-1].copy()).p_values
    assert (there["forward"], there["backward"]) == (back["backward"], back["forward"])
    assert frequency(bits) == frequency(bits[::-1])
    assert runs(bits) == runs(bits[::-1])


@given(sequences(20, 100), st.integers(0, 99))
def test_patterns_around_the_end_do_not_know_where_it_begins(bits: Bits, turn: int) -> None:
    assert pattern_counts(bits, 3).tolist() == pattern_counts(np.roll(bits, turn), 3).tolist()
    assert shorter(pattern_counts(bits, 4)).tolist() == pattern_counts(bits, 3).tolist()


# The same by other means


def plain_complexity(bits: Bits) -> int:
    """Berlekamp and Massey's algorithm as the textbooks have it."""
    n = len(bits)
    c, b = [1] + [0] * n, [1] + [0] * n
    length, last = 0, -1
    for t in range(n):
        if sum(c[i] & int(bits[t - i]) for i in range(length + 1)) % 2:
            before = c.copy()
            for i in range(n + 1 - (t - last)):
                c[i + t - last] ^= b[i]
            if 2 * length <= t:
                length, last, b = t + 1 - length, t, before
    return length


@given(tables(5, 40))
def test_linear_complexities_equal_the_plain_algorithm(table: Bits) -> None:
    assert linear_complexities(table).tolist() == [plain_complexity(row) for row in table]


def test_linear_complexities_of_more_rows_than_a_word_holds() -> None:
    table = ideal_bits(130 * 60, key=1).reshape(130, 60)
    assert linear_complexities(table).tolist() == [plain_complexity(row) for row in table]


def test_a_shift_register_is_found_out() -> None:
    register = [1, 0, 0, 1, 0, 1, 1]
    while len(register) < 200:
        register.append(register[-7] ^ register[-6])
    assert linear_complexities(np.array([register], dtype=np.uint8)).tolist() == [7]


def plain_rank(matrix: Bits) -> int:
    """The number of different sums of rows is two to the rank."""
    reached = {0}
    for row in matrix:
        number = int("".join(map(str, row)), 2)
        reached |= {number ^ other for other in reached}
    return len(reached).bit_length() - 1


@given(tables(6, 6))
def test_ranks_equal_the_size_of_the_span(matrix: Bits) -> None:
    assert gf2_ranks(matrix[None]).tolist() == [plain_rank(matrix)]


@given(sequences(1, 60))
def test_longest_runs_equal_plain_ones(bits: Bits) -> None:
    expected = max((len(list(run)) for bit, run in groupby(bits) if bit), default=0)
    assert longest_runs(bits, len(bits)).tolist() == [expected]


@given(sequences(30, 200))
def test_counts_of_aperiodic_templates_equal_the_search_that_restarts(bits: Bits) -> None:
    text = "".join(map(str, bits[: len(bits) // 2]))
    counts = template_counts(bits, 4, 2)[0]
    for pattern in aperiodic_templates(4):
        assert counts[pattern] == text.count(f"{pattern:04b}")  # str.count does not overlap


@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_distances_equal_plain_ones(symbols: list[int]) -> None:
    last: dict[int, int] = {}
    expected = []
    for place, symbol in enumerate(symbols, start=1):
        expected.append(place - last.get(symbol, 0))
        last[symbol] = place
    assert distances_to_last(np.array(symbols)).tolist() == expected


def test_windows_by_hand() -> None:
    bits = np.array([1, 0, 1, 1], dtype=np.uint8)
    assert windows(bits, 3).tolist() == [0b101, 0b011]
    assert windows(bits, 3, circular=True).tolist() == [0b101, 0b011, 0b111, 0b110]


def test_aperiodic_templates() -> None:
    assert aperiodic_templates(3) == (0b001, 0b011, 0b100, 0b110)
    assert [len(aperiodic_templates(m)) for m in range(2, 11)] == [2, 4, 6, 12, 20, 40, 74, 148, 284]  # section 2.7.2


# Exact probabilities against all sequences


def test_longest_run_probabilities_by_enumeration() -> None:
    longest = np.array([longest_runs(row, 10)[0] for row in every(10)])
    assert longest_run_probabilities(10, 1, 4) == pytest.approx(shares(np.clip(longest, 1, 4) - 1, 4))


def test_overlapping_probabilities_by_enumeration() -> None:
    table = every(12)
    matches = np.array([np.count_nonzero(windows(row, 2) == 3) for row in table])
    assert overlapping_probabilities(2, 12) == pytest.approx(shares(np.minimum(matches, 5), 6))


def test_complexity_probabilities_by_enumeration() -> None:
    lengths = linear_complexities(every(12))
    assert complexity_probabilities(12) == pytest.approx(shares(np.clip(lengths - 6, -3, 3) + 3, 7))
    lengths = linear_complexities(every(11))
    assert complexity_probabilities(11) == pytest.approx(shares(np.clip(6 - lengths, -3, 3) + 3, 7))
    limits = (1 / 96, 1 / 32, 1 / 8, 1 / 2, 1 / 4, 1 / 16, 1 / 48)  # section 3.10
    assert complexity_probabilities(500) == pytest.approx(limits, abs=1e-12)


def test_rank_probabilities_by_enumeration() -> None:
    ranks = gf2_ranks(every(9).reshape(-1, 3, 3))
    assert rank_probabilities(3) == pytest.approx(shares(np.minimum(3 - ranks, 2), 3))
    assert rank_probabilities(32) == pytest.approx((0.2888, 0.5776, 0.1336), abs=5e-5)  # section 3.5


@pytest.mark.parametrize("n", [9, 12])
def test_cumulative_sums_by_enumeration(n: int) -> None:
    table = every(n)
    highest = np.abs(np.cumsum(2 * table.astype(int) - 1, axis=1)).max(axis=1)
    for row, z in zip(table, highest, strict=True):
        expected = np.mean(highest >= z)
        assert cumulative_sums(row, at_least=n).p_values["forward"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("x", [1, 3])
def test_visits_by_convolution(x: int) -> None:
    # One cycle: no visit, or a geometric number of visits. Ten cycles: the tenth convolution power.
    leave = 1 / (2 * abs(x))
    visits = np.arange(400)
    one = np.where(visits == 0, 1 - leave, leave**2 * (1 - leave) ** (visits - 1.0))
    assert visit_probabilities(x)[:5] == pytest.approx(one[:5])
    assert visit_probabilities(x)[5] == pytest.approx(one[5:].sum())
    total = np.ones(1)
    for _ in range(10):
        total = np.convolve(total, one)[:400]
    for seen in (0, 1, 5, 10, 30, 60):
        middle = total[:seen].sum() + total[seen] / 2
        assert visits_p(seen, 10, -x) == pytest.approx(min(1.0, 2 * min(middle, 1 - middle)), abs=1e-12)


@pytest.mark.parametrize(
    ("L", "d", "e"), [(6, 0.3489769, 0.3941338), (7, 0.3631815, 0.3813210), (10, 0.3845867, 0.3643695)]
)
def test_universal_deviation_equals_the_table_of_coron_and_naccache(L: int, d: float, e: float) -> None:
    # Their c(L, K)**2 = d + e 2**L / K is the ratio to the variance of one distance over K; sections 2 and 3 there.
    variance = {6: 2.9540324, 7: 3.1253919, 10: 3.3564569}[L]  # of Maurer's table 1
    K = 1000 * 2**L
    assert standard_deviation(L, K) ** 2 * K / variance == pytest.approx(d + e * 2**L / K, abs=2e-7)


def test_the_variance_of_the_spectral_count() -> None:
    # 20,000 spectra place it within 1 %; the printed divisor 4 would be 5 % off.
    n, samples = 1024, 20_000
    table = ideal_bits(n * samples, key=2).reshape(samples, n)
    power = np.abs(np.fft.rfft(2.0 * table - 1, axis=1)[:, : n // 2]) ** 2
    count = np.count_nonzero(power < n * np.log(20), axis=1)
    assert count_variance(n) == pytest.approx(count.var(), rel=0.03)
    assert n * 0.95 * 0.05 / count_variance(n) == pytest.approx(3.79, abs=0.005)  # as Okada & Umeno measured
    z = (count[0] - 0.95 * n / 2) / np.sqrt(count_variance(n))
    assert spectral(table[0]).p_value == pytest.approx(2 * stats.norm.sf(abs(z)))


# What is refused, and what does not apply


def test_every_test_states_the_least_it_accepts() -> None:
    assert len(TESTS) == 15
    for name, (function, minimum_bits) in TESTS.items():
        with pytest.raises(UsageError, match=f"needs {minimum_bits:,} bits, not {minimum_bits - 1:,}"):
            function(np.zeros(minimum_bits - 1, dtype=np.uint8))
        with pytest.raises(UsageError, match=f"{name.replace('_', ' ')} test needs"):
            run_suite(np.zeros(minimum_bits - 1, dtype=np.uint8), [name])
        assert isinstance(function(ideal_bits(minimum_bits, key=3)), Outcome)


def test_only_bits_are_accepted() -> None:
    for wrong in (np.full(200, 2, np.uint8), np.zeros((2, 100), np.uint8), np.zeros(200, np.int64)):
        with pytest.raises(ShapeError, match="0 or 1"):
            frequency(wrong)


def test_an_unknown_name_is_refused_before_anything_runs() -> None:
    with pytest.raises(UsageError, match="'monobit'") as caught:
        run_suite(np.zeros(200, np.uint8), ["frequency", "monobit"])
    assert isinstance(caught.value, NeuralCipherError)
    assert "block_frequency" in caught.value.hint


def test_excursions_do_not_apply_to_a_walk_that_rarely_returns() -> None:
    bits = np.ones(1_000_000, dtype=np.uint8)
    for test in (random_excursions, random_excursions_variant):
        outcome = test(bits)
        assert outcome.p_values == {}
        assert outcome.not_applicable == "the walk has 1 cycles, and 500 are needed"


def test_runs_fails_a_sequence_of_too_many_ones() -> None:
    assert runs(np.array([1, 1, 1, 0] * 25, dtype=np.uint8)).p_value == 0


def test_rows_have_flat_names() -> None:
    outcomes = run_suite(ideal_bits(1_000_000, key=8))
    assert list(outcomes) == list(TESTS)
    flat = rows(outcomes)
    assert len(flat) == 188  # this walk returns often enough for the excursions
    assert flat["runs"] == outcomes["runs"].p_value
    assert flat["non_overlapping_templates/000000001"] == outcomes["non_overlapping_templates"].p_values["000000001"]
    assert all(0 <= p <= 1 for p in flat.values())
    assert spectral(ideal_bits(1_000_000, key=8)).p_value == flat["spectral"]
