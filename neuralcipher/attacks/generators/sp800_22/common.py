"""What the fifteen tests share: the outcome, the check of the input, windows of bits, Pearson's statistic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from neuralcipher.errors import ShapeError, UsageError

Bits = NDArray[np.uint8]
IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test says of one sequence.

    p_values: name of a row -> p-value; the name is "" where the test has one row. Empty where the test does not apply.
    not_applicable: the reason, where the publication says that the test does not apply to this sequence; else "".
    """

    p_values: Mapping[str, float]
    not_applicable: str = ""

    @property
    def p_value(self) -> float:
        """The p-value of a test that has only one."""
        (only,) = self.p_values.values()
        return only


def check_bits(bits: Bits, at_least: int, test: str) -> int:
    """The number of bits. Raises ShapeError if they are not (n,) uint8 of 0 and 1, UsageError if they are too few."""
    if bits.ndim != 1 or bits.dtype != np.uint8 or (bits.size and int(bits.max()) > 1):
        raise ShapeError("the tests of SP 800-22 take a one-dimensional array of uint8, 0 or 1 each")
    if len(bits) < at_least:
        raise UsageError(
            f"the {test} test needs {at_least:,} bits, not {len(bits):,}", hint="give it a longer stretch of keystream"
        )
    return len(bits)


def windows(bits: Bits, m: int, *, circular: bool = False) -> NDArray[np.uint32]:
    """Every m consecutive bits as a number, the first bit the highest: (n - m + 1,), or (n,) around the end."""
    extended = np.concatenate([bits, bits[: m - 1]]) if circular else bits
    count = len(extended) - m + 1
    values = np.zeros(count, dtype=np.uint32)
    for j in range(m):
        values <<= 1
        values |= extended[j : j + count]
    return values


def blocks(bits: Bits, size: int) -> Bits:
    """(n // size, size): the bits in blocks; a rest is dropped."""
    count = len(bits) // size
    return bits[: count * size].reshape(count, size)


def chi_square_p(statistic: float, degrees: float) -> float:
    """Upper tail of chi-square; the publication's igamc(degrees / 2, statistic / 2)."""
    return float(special.gammaincc(degrees / 2, statistic / 2))


def normal_p(z: float) -> float:
    """Both tails of the standard normal; the publication's erfc(|z| / sqrt(2))."""
    return math.erfc(abs(z) / math.sqrt(2))


def pearson(observed: IntArray, probabilities: Sequence[float]) -> float:
    """Upper tail of Pearson's chi-square of counts in classes of known probability."""
    expected = int(observed.sum()) * np.asarray(probabilities)
    return chi_square_p(float(((observed - expected) ** 2 / expected).sum()), len(expected) - 1)
