"""What an ideal source does to the battery, and what bad ones do: many sequences of ChaCha20, and planted sources."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from keystreams import biased_bits, counter, ideal_bits, lcg32, lcg32_low_bytes, short_cycle
from numpy.typing import NDArray
from scipy import stats

from neuralcipher.attacks.generators.sp800_22 import Outcome, assess, collect, rows, run_suite
from neuralcipher.attacks.generators.sp800_22.complexity import linear_complexity
from neuralcipher.attacks.generators.sp800_22.cusum import cumulative_sums
from neuralcipher.attacks.generators.sp800_22.excursions import random_excursions, random_excursions_variant
from neuralcipher.attacks.generators.sp800_22.frequency import block_frequency, frequency
from neuralcipher.attacks.generators.sp800_22.rank import matrix_rank
from neuralcipher.attacks.generators.sp800_22.runs import longest_run, runs
from neuralcipher.attacks.generators.sp800_22.serial import approximate_entropy, serial
from neuralcipher.attacks.generators.sp800_22.spectral import spectral
from neuralcipher.attacks.generators.sp800_22.suite import TESTS
from neuralcipher.attacks.generators.sp800_22.templates import non_overlapping_templates, overlapping_template
from neuralcipher.attacks.generators.sp800_22.universal import universal
from neuralcipher.attacks.ranks import holm

Bits = NDArray[np.uint8]
MILLION = 1_000_000
SEQUENCES = 1000
WALKS = 100

# Each test at a length where its p-values are as good as continuous and a thousand sequences are quick.
NULLS: dict[str, tuple[int, Callable[[Bits], Outcome]]] = {
    "frequency": (10_000, frequency),
    "block_frequency": (10_000, block_frequency),
    "runs": (10_000, runs),
    "longest_run": (25_600, longest_run),
    "matrix_rank": (204_800, matrix_rank),
    "spectral": (200_000, spectral),
    "non_overlapping_templates": (
        40_960,
        lambda b: non_overlapping_templates(b, templates=[1, 0b001011101, 0b111111100]),
    ),
    "overlapping_template": (206_400, lambda b: overlapping_template(b, at_least=0)),
    "universal": (20_000, lambda b: universal(b, 4, 160, at_least=0)),
    "linear_complexity": (50_000, lambda b: linear_complexity(b, 100, at_least=0)),
    "serial": (16_384, lambda b: serial(b, 6)),
    "approximate_entropy": (32_768, lambda b: approximate_entropy(b, 5)),
    "cumulative_sums": (20_000, cumulative_sums),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NULLS)
def test_p_values_of_an_ideal_source_are_uniform(name: str) -> None:
    n, test = NULLS[name]
    found = collect({name: test(ideal_bits(n, key=1000 + i))} for i in range(SEQUENCES))
    for row, p_values in found.items():
        assert stats.kstest(p_values, "uniform").pvalue > 0.001, row
        counts = np.histogram(p_values, np.linspace(0, 1, 11))[0]
        assert stats.chisquare(counts).pvalue > 0.001, row
        assert stats.binomtest(int(np.sum(np.array(p_values) < 0.01)), SEQUENCES, 0.01).pvalue > 0.001, row


@pytest.mark.slow
def test_excursions_of_an_ideal_source_are_uniform() -> None:
    tests = {"chi-square": random_excursions, "visits": random_excursions_variant}
    found = collect(
        {name: test(ideal_bits(MILLION, key=2000 + i)) for name, test in tests.items()} for i in range(WALKS)
    )
    assert len(found) == 26
    assert WALKS / 2 < len(found["visits/+1"]) < WALKS * 3 / 4  # 62 % of the walks return often enough
    for p_value in holm([float(stats.kstest(p, "uniform").pvalue) for p in found.values()]):
        assert p_value > 0.001


@pytest.mark.slow
def test_an_ideal_source_passes_the_assessment() -> None:
    assessment = assess(collect(run_suite(ideal_bits(MILLION, key=3000 + i)) for i in range(60)))
    assert len(assessment.rows) == 188
    assert assessment.ok, assessment.failed


BAD: dict[str, Callable[[int], Bits]] = {
    "the low bytes of a linear congruential generator": lambda i: np.unpackbits(lcg32_low_bytes(MILLION // 8, 1 + i)),
    "a counter": lambda i: np.unpackbits(counter(MILLION // 8, i << 16)),
    "one per cent more ones": lambda i: biased_bits(MILLION, i),
    "a short cycle": lambda i: np.unpackbits(short_cycle(MILLION // 8, i)),
}


@pytest.mark.parametrize("source", BAD)
def test_a_bad_source_is_caught_by_one_sequence(source: str) -> None:
    p_values = rows(run_suite(BAD[source](7)))
    assert min(holm(list(p_values.values()))) < 1e-6


@pytest.mark.parametrize("source", BAD)
def test_a_bad_source_fails_the_assessment(source: str) -> None:
    cheap = ["frequency", "block_frequency", "longest_run", "spectral", "approximate_entropy", "cumulative_sums"]
    assessment = assess(collect(run_suite(BAD[source](i), cheap) for i in range(10)))
    assert not assessment.ok
    assert assessment.failed[0].adjusted_p < 1e-6


def test_too_even_a_source_passes_each_time_and_fails_the_uniformity() -> None:
    # Words of a linear congruential generator, not its low bytes: every sequence passes, with p-values near 1.
    sequences = [np.unpackbits(lcg32(4096, seed=i << 20).astype(">u4").view(np.uint8)) for i in range(60)]
    assessment = assess(collect(run_suite(bits, ["block_frequency"]) for bits in sequences))
    (row,) = assessment.rows
    assert row.passed == row.sequences == 60
    assert row.proportion_p > 0.1
    assert row.uniformity_p is not None
    assert row.uniformity_p < 1e-6
    assert not row.ok


def test_each_test_catches_a_source_of_its_own() -> None:
    ideal = ideal_bits(MILLION, key=9)
    periodic = ideal.copy()
    periodic[::100] = 1
    runs_short = ideal.copy().reshape(-1, 10)
    runs_short[runs_short.all(axis=1), 5] = 0
    dependent = ideal[: 1024 * 976].copy().reshape(-1, 32, 32)
    dependent[:, 31] = dependent[:, 0] ^ dependent[:, 1]
    register = ideal.reshape(2000, 500).copy()
    for t in range(200, 500):
        register[:, t] = register[:, t - 200] ^ register[:, t - 7]
    patterned = ideal.reshape(-1, 500).copy()
    patterned[:, :9] = (0, 0, 0, 0, 0, 0, 0, 0, 1)
    returning = np.where(np.arange(MILLION) % 2, 1 - np.repeat(ideal[::2], 2), np.repeat(ideal[::2], 2))
    sources = {
        "frequency": biased_bits(MILLION, 3),
        "block_frequency": np.repeat(ideal, 8),
        "runs": np.repeat(ideal, 2),
        "longest_run": np.bitwise_or(ideal, np.roll(ideal, 1)),
        "matrix_rank": dependent.ravel(),
        "spectral": np.tile(ideal[:5000], 200),
        "non_overlapping_templates": patterned.ravel(),
        "overlapping_template": runs_short.ravel(),
        "universal": np.unpackbits(short_cycle(MILLION // 8, 5, period=700)),
        "linear_complexity": register.ravel(),
        "serial": np.tile(ideal[:20_000], 50),
        "approximate_entropy": np.tile(ideal[:5000], 200),
        "cumulative_sums": np.concatenate([biased_bits(MILLION // 2, 4), 1 - biased_bits(MILLION // 2, 5)]),
        "random_excursions": returning.astype(np.uint8),
        "random_excursions_variant": returning.astype(np.uint8),
    }
    assert list(sources) == list(TESTS)
    for name, bits in sources.items():
        assert min(TESTS[name].function(bits).p_values.values()) < 1e-6, name
