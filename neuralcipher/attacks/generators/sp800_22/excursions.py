"""Visits of the random walk of the bits to each state, between returns to zero (sections 2.14 and 2.15)."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from neuralcipher.attacks.generators.sp800_22.common import Bits, IntArray, Outcome, check_bits, normal_p, pearson

_STATES = tuple(x for x in range(-4, 5) if x)
_VARIANT_STATES = tuple(x for x in range(-9, 10) if x)
_MOST = 5
_FEWEST_CYCLES = 500


def _walk(bits: Bits) -> tuple[IntArray, int]:
    """The walk, (n,), and its number of cycles J: returns to zero, and an unfinished one at the end."""
    walk = np.cumsum(2 * bits.astype(np.int64) - 1)
    return walk, int(np.count_nonzero(walk == 0)) + int(walk[-1] != 0)


def _too_few(J: int, n: int, fewest_cycles: int | None) -> str:
    """Section 2.14.4, step 4: reject a sequence, in the sense of not testing it, below max(0.005 sqrt(n), 500)."""
    needed = max(0.005 * math.sqrt(n), _FEWEST_CYCLES) if fewest_cycles is None else fewest_cycles
    return f"the walk has {J} cycles, and {math.ceil(needed)} are needed" if needed > J else ""


def visit_probabilities(x: int) -> tuple[float, ...]:
    """Exact chances of 0, 1, ..., 4, and at least 5 visits to state x in one cycle. Source: section 3.14."""
    leave = 1 / (2 * abs(x))
    some = [leave**2 * (1 - leave) ** (k - 1) for k in range(1, _MOST)]
    return (1 - leave, *some, leave * (1 - leave) ** (_MOST - 1))


def random_excursions(bits: Bits, *, fewest_cycles: int | None = None, at_least: int = 1_000_000) -> Outcome:
    """Cycles with 0, 1, ..., 5 visits to a state, one row for each of the states -4..4 but 0. bits: (n,).

    Does not apply to a walk of fewer than max(0.005 sqrt(n), 500) cycles (fewest_cycles): 38 % of ideal sequences of a
    million bits. Source: section 2.14.
    """
    n = check_bits(bits, at_least, "random excursions")
    walk, J = _walk(bits)
    if reason := _too_few(J, n, fewest_cycles):
        return Outcome({}, reason)
    cycle = np.cumsum(walk == 0)
    rows = {}
    for x in _STATES:
        visits = np.bincount(cycle[walk == x], minlength=J)
        classes = np.bincount(np.minimum(visits, _MOST), minlength=_MOST + 1)
        rows[f"{x:+d}"] = pearson(classes, visit_probabilities(x))
    return Outcome(rows)


def visits_p(visits: int, J: int, x: int) -> float:
    """Two-sided mid-p of the number of visits to x in J cycles, exact.

    A cycle reaches x with chance 1 / (2 |x|); then each visit is the last one with the same chance. So the number is
    K ~ binomial(J) cycles that reach it, and a negative binomial number of further visits.
    """
    leave = 1 / (2 * abs(x))
    K = np.arange(1, min(J, visits) + 1)
    chances = special.bdtr(K, J, leave) - special.bdtr(K - 1, J, leave)
    none = (1 - leave) ** J
    up_to = none + float((chances * special.betainc(K, visits - K + 1, leave)).sum())
    further = np.arange(1, min(J, visits - 1) + 1)
    below = float((chances[: len(further)] * special.betainc(further, visits - further, leave)).sum())
    middle = (up_to + (none + below if visits else 0.0)) / 2
    return min(1.0, 2 * min(middle, 1 - middle))


def random_excursions_variant(
    bits: Bits, *, published: bool = False, fewest_cycles: int | None = None, at_least: int = 1_000_000
) -> Outcome:
    """The total number of visits to a state, one row for each of the states -9..9 but 0. bits: (n,).

    Does not apply to a walk of too few cycles, as `random_excursions`.
    published: with the normal law of section 3.15. With 500 cycles only about 28 reach state 9, and the number of
    visits is skewed; ours is exact for a given number of cycles. Source: section 2.15.
    """
    n = check_bits(bits, at_least, "random excursions variant")
    walk, J = _walk(bits)
    if reason := _too_few(J, n, fewest_cycles):
        return Outcome({}, reason)
    rows = {}
    for x in _VARIANT_STATES:
        visits = int(np.count_nonzero(walk == x))
        if published:
            rows[f"{x:+d}"] = normal_p((visits - J) / math.sqrt(J * (4 * abs(x) - 2)))
        else:
            rows[f"{x:+d}"] = visits_p(visits, J, x)
    return Outcome(rows)
