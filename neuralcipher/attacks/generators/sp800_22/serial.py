"""Frequencies of all patterns, by chi-square and by entropy (sections 2.11 and 2.12)."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from neuralcipher.attacks.generators.sp800_22.common import Bits, IntArray, Outcome, check_bits, chi_square_p, windows


def pattern_counts(bits: Bits, m: int) -> IntArray:
    """Occurrences of each m-bit pattern, around the end: (2**m,), their sum n."""
    return np.asarray(np.bincount(windows(bits, m, circular=True), minlength=1 << m), dtype=np.int64)


def shorter(counts: IntArray) -> IntArray:
    """The counts of patterns one bit shorter: around the end, each is followed by a 0 or by a 1."""
    return np.asarray(counts.reshape(-1, 2).sum(axis=1))


def _enough(m: int, margin: int) -> int:
    """The least n with m < floor(log2 n) - margin."""
    return 1 << (m + margin + 1)


def _psi_square(counts: IntArray) -> float:
    n = int(counts.sum())
    return len(counts) * float((counts**2).sum()) / n - n


def serial(bits: Bits, m: int = 16, *, at_least: int | None = None) -> Outcome:
    """Every m-bit pattern as often as every other: rows "1" and "2". bits: (n,), m >= 2.

    at_least: by default the publication's m < floor(log2 n) - 2. Source: section 2.11.
    """
    check_bits(bits, max(_enough(m, 2) if at_least is None else at_least, m), "serial")
    counts = pattern_counts(bits, m)
    whole, one, two = (_psi_square(c) for c in (counts, shorter(counts), shorter(shorter(counts))))
    return Outcome(
        {
            "1": chi_square_p(max(0.0, whole - one), 2 ** (m - 1)),
            "2": chi_square_p(max(0.0, whole - 2 * one + two), 2 ** (m - 2)),
        }
    )


def approximate_entropy(bits: Bits, m: int = 10, *, at_least: int | None = None) -> Outcome:
    """How much patterns of m + 1 bits add to patterns of m. bits: (n,).

    at_least: by default the publication's m < floor(log2 n) - 5. Source: section 2.12.
    """
    n = check_bits(bits, max(_enough(m, 5) if at_least is None else at_least, m + 1), "approximate entropy")
    counts = pattern_counts(bits, m + 1)
    longer, short = (float(special.xlogy(c / n, c / n).sum()) for c in (counts, shorter(counts)))
    entropy = short - longer
    return Outcome({"": chi_square_p(max(0.0, 2 * n * (math.log(2) - entropy)), 2**m)})
