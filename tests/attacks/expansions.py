"""The binary expansions that SP 800-22 takes its examples from, by integer arithmetic."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

GUARD = 64
NAMES = ("pi", "e", "sqrt2", "sqrt3")


def leading_bits(value: int, n: int) -> NDArray[np.uint8]:
    """The first n binary digits, from the highest: those of the integer part come first, as the publication has it."""
    whole_bytes = value >> (value.bit_length() - n) << (-n % 8)
    return np.unpackbits(np.frombuffer(whole_bytes.to_bytes(-(-n // 8), "big"), np.uint8))[:n]


def _exponential(low: int, high: int) -> tuple[int, int]:
    """The sum of low! / k! for low < k <= high as a fraction."""
    if high - low == 1:
        return 1, high
    middle = (low + high) // 2
    p, q = _exponential(low, middle)
    r, s = _exponential(middle, high)
    return p * s + r, q * s


def _chudnovsky(low: int, high: int) -> tuple[int, int, int]:
    """P, Q, T of Chudnovsky's series over the terms from low to high, by binary splitting."""
    if high - low == 1:
        k = low
        p = (6 * k - 5) * (2 * k - 1) * (6 * k - 1) if k else 1
        q = k**3 * (640_320**3 // 24) if k else 1
        t = p * (13_591_409 + 545_140_134 * k)
        return p, q, -t if k % 2 else t
    middle = (low + high) // 2
    p, q, t = _chudnovsky(low, middle)
    r, s, u = _chudnovsky(middle, high)
    return p * r, q * s, s * t + p * u


@lru_cache
def expansion(name: str, n: int) -> NDArray[np.uint8]:
    """(n,) of 0 and 1: the first n binary digits of pi, e, sqrt2 or sqrt3."""
    if name.startswith("sqrt"):
        value = math.isqrt(int(name[4:]) << 2 * n)
    elif name == "e":
        terms = 2
        while math.lgamma(terms + 1) < (n + GUARD) * math.log(2):
            terms *= 2
        p, q = _exponential(0, terms)
        value = (p + q << n + GUARD) // q
    else:
        _, q, t = _chudnovsky(0, n // 47 + 2)  # 47.1 bits a term
        value = q * 426_880 * math.isqrt(10_005 << 2 * (n + GUARD)) // t
    bits = leading_bits(value, n)
    bits.setflags(write=False)
    return bits
