"""How often bits change, and how long ones last (sections 2.3 and 2.4)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from neuralcipher.attacks.generators.sp800_22.common import Bits, IntArray, Outcome, blocks, check_bits, pearson

_SIZES = ((750_000, 10_000, 10, 7), (6272, 128, 4, 6), (128, 8, 1, 4))
"""Fewest bits, size of a block, longest run of the first class, number of classes: the tables of section 2.4."""

_PRINTED = {
    8: (0.2148, 0.3672, 0.2305, 0.1875),
    128: (0.1174, 0.2430, 0.2493, 0.1752, 0.1027, 0.1124),
    10_000: (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727),
}


def runs(bits: Bits, *, at_least: int = 100) -> Outcome:
    """The number of runs of equal bits, given the share of ones. bits: (n,).

    The p-value is 0 where the share is 2 / sqrt(n) or more from a half, as the publication rules: an ideal source is
    there once in 16,000 sequences. Source: section 2.3.
    """
    n = check_bits(bits, at_least, "runs")
    ones = int(bits.sum())
    if abs(ones / n - 0.5) >= 2 / math.sqrt(n):
        return Outcome({"": 0.0})
    observed = 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))
    spread = ones / n * (1 - ones / n)
    return Outcome({"": math.erfc(abs(observed - 2 * n * spread) / (2 * math.sqrt(2 * n) * spread))})


def longest_runs(bits: Bits, M: int) -> IntArray:
    """The longest run of ones in each block of M bits: (n // M,)."""
    table = blocks(bits, M)
    places = np.arange(1, M + 1, dtype=np.int32)
    last_zero = np.maximum.accumulate(np.where(table == 0, places, 0), axis=1)
    return np.asarray((places - last_zero).max(axis=1), dtype=np.int64)


@lru_cache
def longest_run_probabilities(M: int, first: int, classes: int) -> tuple[float, ...]:
    """Exact chances that the longest run of ones in M fair bits is <= first, first + 1, ..., or longer than the rest.

    The chance f(n) that no run exceeds k in n bits loses, at each bit, the chance that a run of k + 1 ends right there:
    f(n) = f(n - 1) - f(n - k - 2) / 2**(k + 2).
    """
    below = []
    for k in range(first, first + classes - 1):
        chance = [1.0] * (k + 1) + [1 - 0.5 ** (k + 1)]
        for n in range(k + 2, M + 1):
            chance.append(chance[n - 1] - chance[n - k - 2] * 0.5 ** (k + 2))
        below.append(chance[M])
    return tuple(float(step) for step in np.diff([0.0, *below, 1.0]))


def longest_run(bits: Bits, *, published: bool = False) -> Outcome:
    """The longest run of ones in each block. bits: (n,), n >= 128; blocks of 8, 128 or 10,000 bits, by n.

    published: with the probabilities printed in section 3.4, which the examples use. For blocks of 10,000 they are
    asymptotic (.0882 where the exact chance is .0866), and all are rounded; ours are exact. Source: section 2.4.
    """
    n = check_bits(bits, 128, "longest run")
    M, first, classes = next(rest for fewest, *rest in _SIZES if n >= fewest)
    longest = np.clip(longest_runs(bits, M) - first, 0, classes - 1)
    chances = _PRINTED[M] if published else longest_run_probabilities(M, first, classes)
    return Outcome({"": pearson(np.bincount(longest, minlength=classes), chances)})
