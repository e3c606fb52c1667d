"""What ideal noise does: exact tails of counts of uniform bytes, and a valid bound for how near two latents come.

An ideal g gives latents whose bytes are independent and uniform, for every start that it has not seen. All p-values
here are exact under that null or bounds above the exact value, so that a test at a level errs at most as often.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from neuralcipher.errors import UsageError

IDEAL_CHANGED = 255 / 256
"""Share of bytes in which two independent uniform latents differ: the NPCR of ideal noise."""

_DIFFERENCES = np.arange(256)
_DIFFERENCE_CHANCES = np.where(_DIFFERENCES == 0, 256, 2 * (256 - _DIFFERENCES)) / 65536
_SQUARES = (_DIFFERENCES / 256) ** 2

IDEAL_SQUARE = float(_DIFFERENCE_CHANCES @ _SQUARES)
"""Mean squared difference of two independent uniform bytes, values/256: 1/6 - 1/(6 * 65536)."""


def affordable(count: int, least: int, each: int, budget: int) -> int:
    """How many of `count` things of `each` bytes fit into `budget` bytes, but never fewer than `least`."""
    return max(least, min(count, budget // each))


def few_changed(changed: int, total: int) -> float:
    """P(at most so many of `total` bytes differ) for independent uniform bytes: one-sided, exact."""
    if not 0 <= changed <= total:
        raise UsageError(f"{changed} of {total} bytes cannot have changed")
    return float(stats.binom.cdf(changed, total, IDEAL_CHANGED))


def uneven_counts(counts: NDArray[np.int64]) -> float:
    """Valid p-value of the least likely count among the values of uniform bytes, both sides.

    counts: (..., 256). Twice the smaller binomial tail of the most extreme count, times the number of counts
    (Bonferroni): valid for any number of bytes, where the chi-square distribution is an approximation.
    """
    totals = np.broadcast_to(counts.sum(axis=-1, keepdims=True), counts.shape)
    low = stats.binom.cdf(counts, totals, 1 / 256)
    high = stats.binom.sf(counts - 1, totals, 1 / 256)
    return min(1.0, 2 * counts.size * float(np.minimum(low, high).min()))


def nearness(distance: float, size: int, pairs: int) -> float:
    """Valid p-value of the smallest of `pairs` mean squared distances of latents of `size` bytes, values/256.

    Chernoff's bound for one pair of independent uniform latents, times the number of pairs, whatever their dependence:
    min over s of (E exp(-s (d^2 - distance)))^size. It is 1 at the mean and above, and pairs * 256^-size at 0.
    Source: Chernoff, A measure of asymptotic efficiency for tests of a hypothesis (1952).
    """
    if size < 1 or pairs < 1 or distance < 0:
        raise UsageError("nearness takes at least one byte, one pair and a distance of 0 or more")
    if distance >= IDEAL_SQUARE:
        return 1.0
    if distance == 0:
        exponent = -math.log(256)
    else:

        def log_moment(log_s: float) -> float:
            s = math.exp(log_s)
            return float(np.log(_DIFFERENCE_CHANCES @ np.exp(-s * _SQUARES))) + s * distance

        # Any s gives a valid bound, so a rough search is enough.
        exponent = float(optimize.minimize_scalar(log_moment, bounds=(-8, 16), method="bounded").fun)
    return math.exp(min(0.0, math.log(pairs) + size * exponent))


def bytes_to_see(shortfall: float, level: float, power: float = 0.9) -> int:
    """Bytes for `few_changed` to see, at `level`, that a share of `shortfall` of them never changes.

    Normal approximation of the binomial.
    """
    z = float(stats.norm.isf(level) + stats.norm.isf(1 - power))
    return math.ceil(z**2 * IDEAL_CHANGED * (1 - IDEAL_CHANGED) / shortfall**2)
