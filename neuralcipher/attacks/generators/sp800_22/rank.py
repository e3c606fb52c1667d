"""The rank over GF(2) of 32 x 32 matrices filled with the sequence (section 2.5)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.generators.sp800_22.common import Bits, IntArray, Outcome, blocks, check_bits, pearson

_SIDE = 32


def gf2_ranks(matrices: Bits) -> IntArray:
    """The rank over GF(2) of each matrix: (N, rows, columns) of 0 and 1 -> (N,). At most 64 columns.

    Rows are packed into words, and all matrices are eliminated at once: one step a column.
    """
    count, _, columns = matrices.shape
    rows = matrices.astype(np.uint64) @ (np.uint64(1) << np.arange(columns, dtype=np.uint64))
    ranks = np.zeros(count, dtype=np.int64)
    each = np.arange(count)
    for column in range(columns):
        has = (rows >> np.uint64(column)) & np.uint64(1)
        pivot = has.argmax(axis=1)
        found = has[each, pivot]
        ranks += found.astype(np.int64)
        # Adding the pivot to every row that has the bit clears the bit there, and the pivot row itself.
        rows ^= has * rows[each, pivot][:, None]
    return ranks


@lru_cache
def rank_probabilities(side: int) -> tuple[float, float, float]:
    """Exact chances that a random square matrix over GF(2) has full rank, one less, or less than that."""

    def chance(rank: int) -> float:
        product = 2.0 ** (rank * (2 * side - rank) - side * side)
        for i in range(rank):
            product *= (1 - 2.0 ** (i - side)) ** 2 / (1 - 2.0 ** (i - rank))
        return product

    full, one_less = chance(side), chance(side - 1)
    return full, one_less, 1 - full - one_less


def matrix_rank(bits: Bits, *, at_least: int = 38 * _SIDE**2) -> Outcome:
    """Linear dependence among stretches of 32 bits: ranks of 32 x 32 matrices, filled row by row. bits: (n,).

    Source: section 2.5; the distribution of ranks: Kovalenko (1972), section 3.5.
    """
    check_bits(bits, max(at_least, _SIDE**2), "matrix rank")
    ranks = gf2_ranks(blocks(bits, _SIDE**2).reshape(-1, _SIDE, _SIDE))
    classes: NDArray[np.int64] = np.bincount(np.minimum(_SIDE - ranks, 2), minlength=3)
    return Outcome({"": pearson(classes, rank_probabilities(_SIDE))})
