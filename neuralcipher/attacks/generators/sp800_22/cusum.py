"""How far the random walk of the bits strays, from either end (section 2.13)."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from neuralcipher.attacks.generators.sp800_22.common import Bits, FloatArray, IntArray, Outcome, check_bits


def _exact(z: int, n: int) -> float:
    """Chance that a fair walk of n steps ever reaches z or -z, by reflection at both.

    The walk stays inside and ends at s with chance sum over k of (-1)**k P(end = s + 2 k z).
    """
    odd = np.arange(-_terms(z, n), _terms(z, n) + 1) * 2 - 1

    def below(end: IntArray) -> FloatArray:
        """P(S_n <= end): of n fair bits, at most (n + end) // 2 are ones."""
        ones = np.clip((n + end) // 2, -1, n)
        return np.where(ones < 0, 0.0, special.bdtr(np.maximum(ones, 0).astype(np.float64), n, 0.5))

    within = below((odd + 2) * z - 1) - below(odd * z)
    signs = np.where((odd + 1) // 2 % 2 == 0, 1, -1)
    return min(1.0, max(0.0, 1 - float((signs * within).sum())))


def _terms(z: int, n: int) -> int:
    """Enough reflections: beyond 9 standard deviations of the end nothing is left."""
    return 2 + min(n // z, math.ceil(9 * math.sqrt(n) / z)) // 2


def _printed(z: int, n: int) -> float:
    """The same for Brownian motion, with the limits of summation of section 3.13, rounded towards zero."""
    high = int((n / z - 1) / 4)
    unit = z / math.sqrt(n)

    def between(k: FloatArray, low: int, up: int) -> float:
        return float((special.ndtr((4 * k + up) * unit) - special.ndtr((4 * k + low) * unit)).sum())

    inner = np.arange(int((-n / z + 1) / 4), high + 1, dtype=np.float64)
    outer = np.arange(int((-n / z - 3) / 4), high + 1, dtype=np.float64)
    return 1 - between(inner, -1, 1) + between(outer, 1, 3)


def cumulative_sums(bits: Bits, *, published: bool = False, at_least: int = 100) -> Outcome:
    """The farthest excursion of the sum of +1 and -1: rows "forward" and "backward". bits: (n,).

    published: with the limit for long sequences that the publication uses; ours is exact at every length, so that
    P(p <= level) never exceeds the level. Source: section 2.13; the reflections: Feller, volume 1, chapter III.
    """
    n = check_bits(bits, at_least, "cumulative sums")
    walk = np.cumsum(2 * bits.astype(np.int32) - 1)
    forward = int(np.abs(walk).max())
    backward = int(np.abs(walk[-1] - np.concatenate([[0], walk[:-1]])).max())
    chance = _printed if published else _exact
    return Outcome({"forward": chance(forward, n), "backward": chance(backward, n)})
