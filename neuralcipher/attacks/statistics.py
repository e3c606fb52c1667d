"""Exact intervals and tests for counts, and how many samples an advantage needs to be seen."""

from __future__ import annotations

import math

from scipy import stats

from neuralcipher.errors import UsageError


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a rate. Raises UsageError unless 0 <= successes <= trials and trials >= 1.

    Source: Clopper & Pearson, The use of confidence or fiducial limits (1934).
    """
    _check(successes, trials)
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else float(stats.beta.ppf(tail, successes, trials - successes + 1))
    high = 1.0 if successes == trials else float(stats.beta.ppf(1 - tail, successes + 1, trials - successes))
    return low, high


def binomial_above(successes: int, trials: int, rate: float = 0.5) -> float:
    """P(at least so many successes) of a binomial null: one-sided, exact."""
    _check(successes, trials)
    return float(stats.binom.sf(successes - 1, trials, rate))


def binomial_two_sided(successes: int, trials: int, rate: float = 0.5) -> float:
    """Twice the smaller tail of a binomial null, at most 1: exact in the sense of a valid test."""
    _check(successes, trials)
    low, high = stats.binom.cdf(successes, trials, rate), stats.binom.sf(successes - 1, trials, rate)
    return min(1.0, 2 * float(min(low, high)))


def advantage(correct: int, trials: int, confidence: float = 0.95) -> tuple[float, tuple[float, float]]:
    """(2 accuracy - 1, its exact interval) of a distinguisher between two equally likely cases."""
    low, high = clopper_pearson(correct, trials, confidence)
    return 2 * correct / trials - 1, (2 * low - 1, 2 * high - 1)


def trials_to_see(effect: float, level: float, power: float = 0.9) -> int:
    """Trials for a one-sided test at `level` to see an advantage of `effect` (0..1) with this power.

    Normal approximation of the binomial: 1,302 for .1, 32,543 for .02 and 130,170 for .01, at level .01.
    """
    if not 0 < effect <= 1:
        raise UsageError(f"an advantage lies in (0, 1], not {effect:g}")
    z = float(stats.norm.isf(level) + stats.norm.isf(1 - power))
    return math.ceil(z**2 / effect**2)


def smallest_visible(trials: int, level: float, power: float = 0.9) -> float:
    """The advantage that so many trials show with this power at `level`, at most 1: the inverse of `trials_to_see`."""
    if trials < 1:
        raise UsageError("an advantage is seen in at least one trial")
    z = float(stats.norm.isf(level) + stats.norm.isf(1 - power))
    return min(1.0, z / math.sqrt(trials))


def highest_rate(trials: int, confidence: float = 0.95) -> float:
    """What 0 successes in so many trials still allow: 1 - (1 - confidence)^(1 / trials)."""
    return float(1 - (1 - confidence) ** (1 / trials))


def _check(successes: int, trials: int) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise UsageError(f"{successes} successes in {trials} trials cannot be")
