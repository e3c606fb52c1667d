"""The fifteen tests by name, and all of them on one sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from neuralcipher.attacks.generators.sp800_22.common import Bits, Outcome, check_bits
from neuralcipher.attacks.generators.sp800_22.complexity import linear_complexity
from neuralcipher.attacks.generators.sp800_22.cusum import cumulative_sums
from neuralcipher.attacks.generators.sp800_22.excursions import random_excursions, random_excursions_variant
from neuralcipher.attacks.generators.sp800_22.frequency import block_frequency, frequency
from neuralcipher.attacks.generators.sp800_22.rank import matrix_rank
from neuralcipher.attacks.generators.sp800_22.runs import longest_run, runs
from neuralcipher.attacks.generators.sp800_22.serial import approximate_entropy, serial
from neuralcipher.attacks.generators.sp800_22.spectral import spectral
from neuralcipher.attacks.generators.sp800_22.templates import non_overlapping_templates, overlapping_template
from neuralcipher.attacks.generators.sp800_22.universal import universal
from neuralcipher.errors import UsageError


class RegisteredTest(NamedTuple):
    """function: from bits to an Outcome, with the parameters of Appendix B. minimum_bits: fewest it accepts."""

    function: Callable[[Bits], Outcome]
    minimum_bits: int


TESTS: Mapping[str, RegisteredTest] = MappingProxyType(
    {
        "frequency": RegisteredTest(frequency, 100),
        "block_frequency": RegisteredTest(block_frequency, 128),
        "runs": RegisteredTest(runs, 100),
        "longest_run": RegisteredTest(longest_run, 128),
        "matrix_rank": RegisteredTest(matrix_rank, 38_912),
        "spectral": RegisteredTest(spectral, 1000),
        "non_overlapping_templates": RegisteredTest(non_overlapping_templates, 40_960),
        "overlapping_template": RegisteredTest(overlapping_template, 1_000_000),
        "universal": RegisteredTest(universal, 387_840),
        "linear_complexity": RegisteredTest(linear_complexity, 1_000_000),
        "serial": RegisteredTest(serial, 524_288),
        "approximate_entropy": RegisteredTest(approximate_entropy, 65_536),
        "cumulative_sums": RegisteredTest(cumulative_sums, 100),
        "random_excursions": RegisteredTest(random_excursions, 1_000_000),
        "random_excursions_variant": RegisteredTest(random_excursions_variant, 1_000_000),
    }
)
"""In the order of the publication's section 2. A sequence of a million bits is long enough for all."""


def run_suite(bits: Bits, names: Sequence[str] | None = None) -> dict[str, Outcome]:
    """Run the named tests, by default all of TESTS, on one sequence of bits: (n,) of 0 and 1.

    Raises UsageError for a name that is none, and for fewer bits than a named test needs, before it computes anything.
    """
    chosen = tuple(TESTS) if names is None else tuple(names)
    for name in chosen:
        if name not in TESTS:
            raise UsageError(f"no test of SP 800-22 is called {name!r}", hint=f"there are: {', '.join(TESTS)}")
        check_bits(bits, TESTS[name].minimum_bits, name.replace("_", " "))
    return {name: TESTS[name].function(bits) for name in chosen}


def rows(outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """Every p-value of one sequence under one flat name: "runs", "serial/1", "random_excursions/-4", ..."""
    return {
        f"{name}/{row}" if row else name: p_value
        for name, outcome in outcomes.items()
        for row, p_value in outcome.p_values.items()
    }
