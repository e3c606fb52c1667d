"""Occurrences of given patterns: those that cannot overlap themselves, and runs of ones (sections 2.7 and 2.8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from neuralcipher.attacks.generators.sp800_22.common import (
    Bits,
    FloatArray,
    IntArray,
    Outcome,
    blocks,
    check_bits,
    chi_square_p,
    pearson,
    windows,
)

_MOST = 5  # the last class of the overlapping test: five matches or more
_MATCHES = 10  # expected in a block, the fewest for which the normal law is any good


@lru_cache
def aperiodic_templates(m: int) -> tuple[int, ...]:
    """The m-bit patterns, as numbers, that no shift of themselves overlaps; 148 for m = 9. Source: section 2.7.2."""
    return tuple(
        pattern
        for pattern in range(1 << m)
        if all(pattern >> shift != pattern & ((1 << (m - shift)) - 1) for shift in range(1, m))
    )


def template_counts(bits: Bits, m: int, N: int) -> IntArray:
    """Occurrences of every m-bit pattern in each of N blocks: (N, 2**m). A rest of bits is dropped."""
    table = blocks(bits, len(bits) // N)[:N]
    return np.stack([np.bincount(windows(block, m), minlength=1 << m) for block in table]).astype(np.int64)


def non_overlapping_templates(
    bits: Bits, m: int = 9, N: int = 8, *, templates: Sequence[int] | None = None, at_least: int | None = None
) -> Outcome:
    """Too many or too few occurrences of a pattern, one row for each aperiodic pattern of m bits. bits: (n,).

    A pattern that cannot overlap itself occurs as often whether or not the search restarts behind a match, so one
    count of all windows serves every pattern. at_least: by default ten expected matches a block. Source: section 2.7.
    """
    n = check_bits(bits, _MATCHES * N << m if at_least is None else at_least, "non-overlapping template")
    M = n // N
    mean = (M - m + 1) / 2**m
    variance = M * (1 / 2**m - (2 * m - 1) / 2 ** (2 * m))
    statistics = ((template_counts(bits, m, N) - mean) ** 2 / variance).sum(axis=0)
    chosen = aperiodic_templates(m) if templates is None else templates
    return Outcome({f"{pattern:0{m}b}": chi_square_p(float(statistics[pattern]), N) for pattern in chosen})


@lru_cache
def overlapping_probabilities(m: int, M: int) -> tuple[float, ...]:
    """Exact chances of 0, 1, 2, 3, 4 and at least 5 matches of m ones, overlaps counted, in M fair bits.

    state[r, c]: chance of a run of r ones right now (m stands for m or more) after c matches (5 for 5 or more).
    Agrees with Hamano & Kaneko, Correction of overlapping template matching test included in NIST randomness test
    suite (2007), whose values revision 1a prints.
    """
    state: FloatArray = np.zeros((m + 1, _MOST + 1))
    state[0, 0] = 1
    for _ in range(M):
        after = np.zeros_like(state)
        after[0] = state.sum(axis=0) / 2
        after[1:m] = state[: m - 1] / 2
        matched = (state[m - 1] + state[m]) / 2
        after[m, 1:] = matched[:-1]
        after[m, _MOST] += matched[-1]
        state = after
    return tuple(float(chance) for chance in state.sum(axis=0))


@lru_cache
def compound_poisson_probabilities(m: int, M: int) -> tuple[float, ...]:
    """The asymptotic chances of the same classes that Appendix B was computed with.

    Runs of m ones or more come as a Poisson process; each holds a geometric number of matches. Source: section 3.8.
    """
    rate = (M - m + 1) / 2 ** (m + 1)
    chances = [math.exp(-rate)]
    for u in range(1, _MOST):
        terms = (math.comb(u - 1, k - 1) * rate**k / math.factorial(k) for k in range(1, u + 1))
        chances.append(math.exp(-rate) / 2**u * sum(terms))
    return (*chances, 1 - sum(chances))


def overlapping_template(
    bits: Bits, m: int = 9, M: int = 1032, *, published: bool = False, at_least: int = 1_000_000
) -> Outcome:
    """Occurrences of m ones in a row in each block of M bits, overlaps counted. bits: (n,).

    published: with the asymptotic probabilities that Appendix B still uses. Source: section 2.8.
    """
    check_bits(bits, max(at_least, M), "overlapping template")
    table = blocks(bits, M)
    matches = np.ones((len(table), M - m + 1), dtype=bool)
    for j in range(m):
        matches &= table[:, j : j + M - m + 1].view(bool)
    counts = np.bincount(np.minimum(matches.sum(axis=1), _MOST), minlength=_MOST + 1)
    chances = compound_poisson_probabilities(m, M) if published else overlapping_probabilities(m, M)
    return Outcome({"": pearson(counts, chances)})
