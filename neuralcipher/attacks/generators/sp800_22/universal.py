"""Maurer's universal statistic: can the sequence be compressed? (section 2.9)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy import fft

from neuralcipher.attacks.generators.sp800_22.common import Bits, FloatArray, Outcome, blocks, check_bits, normal_p

_FEWEST = 387_840
_LONGEST_BLOCK = 16
_PRINTED = {  # expected value and variance by L, from section 2.9.4
    6: (5.2177052, 2.954),
    7: (6.1962507, 3.125),
    8: (7.1836656, 3.238),
    9: (8.1764248, 3.311),
    10: (9.1723243, 3.356),
    11: (10.170032, 3.384),
    12: (11.168765, 3.401),
    13: (12.168070, 3.410),
    14: (13.167693, 3.416),
    15: (14.167488, 3.419),
    16: (15.167379, 3.421),
}
_REACH = 30  # distances beyond 30 * 2**L have a chance of e**-30


def block_length(n: int) -> int:
    """L for n bits, 6..16: the longest with 1,010 * 2**L blocks. Source: the table of section 2.9.7."""
    return max(length for length in range(6, _LONGEST_BLOCK + 1) if length == 6 or n >= 1010 * 2**length * length)


def _weights(L: int) -> tuple[float, FloatArray, FloatArray]:
    """(u, g, p): chance of a symbol; log2 of each distance 1, 2, ...; and the chance of that distance."""
    u = 2.0**-L
    distances = np.arange(1, _REACH * 2**L + 1)
    return u, np.log2(distances), u * (1 - u) ** (distances - 1)


@lru_cache
def expected_value(L: int) -> float:
    """Mean of log2 of the distance to the last equal block of L fair bits. Source: Maurer (1992), eq. 16."""
    _, g, p = _weights(L)
    return float((g * p).sum())


@lru_cache
def standard_deviation(L: int, K: int) -> float:
    """Of the statistic over K blocks of L fair bits, exact: distances of near blocks are correlated.

    Two blocks k apart are independent unless the later one's predecessor lies before the earlier block, at a distance
    l before it. Then the two last symbols differ, and the chance that the earlier block has distance i is
    (1 - u)**k u**2 (1 - 2u)**(min(i, l) - 1) (1 - u)**(abs(i - l) - 1), for i != l, in place of the product of both.
    Sums over i and k are a recursion and a correlation. Source: Coron & Naccache, An accurate evaluation of Maurer's
    universal test (1998).
    """
    u, g, p = _weights(L)
    steps = np.arange(len(g))
    rare = (1 - 2 * u) ** steps
    fading = np.asarray((1 - u) ** steps, dtype=np.float64)
    before = np.concatenate([[0], _convolve(g * rare, fading)[:-1]])  # over i < l
    after = np.concatenate([[0], _convolve(g[::-1], fading)[:-1]])[::-1]  # over i > l
    excess = u * u * (before + after * rare) - p * float((g * p).sum())
    # Of blocks k = 1, 2, ... apart: (1 - u)**k times the sum over l of g(k + l) excess(l).
    k = steps[1:]
    covariances = fading[1:] * _convolve(g[::-1], excess)[:-1][::-1]
    total = float((g**2 * p).sum() - (g * p).sum() ** 2) + 2 * float((np.maximum(1 - k / K, 0) * covariances).sum())
    return math.sqrt(total / K)


def _convolve(a: FloatArray, b: FloatArray) -> FloatArray:
    """The first len(a) terms of the convolution."""
    size = fft.next_fast_len(2 * len(a), real=True)
    return np.asarray(fft.irfft(fft.rfft(a, size) * fft.rfft(b, size), size)[: len(a)], dtype=np.float64)


def distances_to_last(symbols: FloatArray) -> FloatArray:
    """How far back the same symbol was last seen, for each of (n,); its place, counted from 1, if it was not."""
    order = np.argsort(symbols, kind="stable")
    same = np.diff(symbols[order]) == 0
    previous = np.full(len(symbols), -1)
    previous[order[1:][same]] = order[:-1][same]
    return np.asarray(np.arange(len(symbols)) - previous, dtype=np.float64)


def universal(
    bits: Bits, L: int | None = None, Q: int | None = None, *, published: bool = False, at_least: int = _FEWEST
) -> Outcome:
    """Distances between equal blocks of L bits: a sequence that can be compressed repeats itself early. bits: (n,).

    L, Q: length of a block, blocks that only fill the table; by default those of section 2.9.7.
    published: with the printed means and variances and Maurer's approximate factor c, whose standard deviation is 2.3 %
    too small for a million bits; ours is exact. Source: section 2.9.
    """
    n = check_bits(bits, at_least, "universal")
    L = block_length(n) if L is None else L
    Q = 10 * 2**L if Q is None else Q
    check_bits(bits, (Q + 1) * L, "universal")
    table = blocks(bits, L)
    K = len(table) - Q
    symbols = table @ (1 << np.arange(L - 1, -1, -1, dtype=np.int32))
    observed = float(np.log2(distances_to_last(symbols)[Q:]).mean())
    if published:
        mean, variance = _PRINTED[L]
        sd = (0.7 - 0.8 / L + (4 + 32 / L) * K ** (-3 / L) / 15) * math.sqrt(variance / K)
    else:
        mean, sd = expected_value(L), standard_deviation(L, K)
    return Outcome({"": normal_p((observed - mean) / sd)})
