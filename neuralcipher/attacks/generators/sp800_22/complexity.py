"""The length of the shortest shift register that makes each block (section 2.10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.generators.sp800_22.common import Bits, IntArray, Outcome, blocks, check_bits, pearson

_PRINTED = (0.01047, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)
_WIDEST = 3  # classes are -3 or less, -2, ..., 2, 3 or more from the middle


def _lanes(flags: NDArray[np.bool_] | Bits) -> NDArray[np.uint64]:
    """Bits along the last axis, a multiple of 64 of them, as words."""
    return np.packbits(flags, axis=-1).view(np.uint64)


def linear_complexities(table: Bits) -> IntArray:
    """The linear complexity of each row: (N, M) of 0 and 1 -> (N,).

    Berlekamp-Massey on all rows at once: a word holds the same coefficient of 64 rows. The polynomial of the last
    change is multiplied by x at every step, by moving where it begins in its buffer.
    Source: Massey, Shift-register synthesis and BCH decoding (1969).
    """
    count, M = table.shape
    padded = np.zeros((M, -(-count // 64) * 64), dtype=np.uint8)
    padded[:, :count] = table.T
    newest_first = np.ascontiguousarray(_lanes(padded)[::-1])
    width = newest_first.shape[1]
    connection = np.zeros((M + 1, width), dtype=np.uint64)
    connection[0] = ~np.uint64(0)
    buffer = np.zeros((2 * M + 1, width), dtype=np.uint64)
    buffer[M] = ~np.uint64(0)
    length = np.zeros(64 * width, dtype=np.int64)
    for t in range(M):
        last = buffer[M - 1 - t :]
        rows = int(length.max()) + 1
        seen = newest_first[M - 1 - t :][:rows]
        discrepancy = np.bitwise_xor.reduce(connection[: len(seen)] & seen, axis=0)
        wrong = np.unpackbits(discrepancy.view(np.uint8)).view(bool)
        longer = wrong & (2 * length <= t)
        length = np.where(longer, t + 1 - length, length)
        rows = int(length.max()) + 1
        before = connection[:rows].copy()
        connection[:rows] ^= last[:rows] & discrepancy
        chosen = _lanes(longer)
        last[:rows] ^= (last[:rows] ^ before) & chosen
    return length[:count]


def complexity_probabilities(M: int) -> tuple[float, ...]:
    """Exact chances of the seven classes of T, from low to high, in blocks of M >= 8 fair bits.

    Of M bits, 2**min(2 M - 2 L, 2 L - 1) sequences have complexity L. Source: Rueppel (1986); section 3.10.
    """
    chances = [0.0] * (2 * _WIDEST + 1)
    for L in range(1, M + 1):
        chances[_class_of(L, M)] += 2.0 ** (min(2 * M - 2 * L, 2 * L - 1) - M)
    chances[_class_of(0, M)] += 2.0**-M
    return tuple(chances)


def _class_of(L: int, M: int) -> int:
    """0..6. T of section 2.10.4 is L - M / 2 for even M and (M + 1) / 2 - L for odd M, but for a term below 2**-M M."""
    T = L - M // 2 if M % 2 == 0 else (M + 1) // 2 - L
    return min(max(T, -_WIDEST), _WIDEST) + _WIDEST


def linear_complexity(bits: Bits, M: int = 500, *, published: bool = False, at_least: int = 1_000_000) -> Outcome:
    """Blocks of M bits whose shortest linear feedback shift register is too short or too long. bits: (n,).

    published: with the probabilities printed in section 3.10, whose first, 0.01047, is a misprint of 1/96 = 0.010417.
    Source: section 2.10.
    """
    check_bits(bits, max(at_least, M), "linear complexity")
    counts = np.zeros(2 * _WIDEST + 1, dtype=np.int64)
    for L in linear_complexities(blocks(bits, M)).tolist():
        counts[_class_of(L, M)] += 1
    return Outcome({"": pearson(counts, _PRINTED if published else complexity_probabilities(M))})
