"""Linear algebra over GF(2) on matrices of bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuralcipher.errors import UsageError

Bits = NDArray[np.bool_]


def reduced(matrix: Bits, columns: int | None = None) -> tuple[Bits, list[int]]:
    """(reduced row echelon form over the first `columns` columns, the pivot columns). matrix: (n, m)."""
    rows, width = matrix.shape
    words = np.zeros((rows, -(-width // 64) * 8), dtype=np.uint8)
    packed = np.packbits(matrix, axis=1, bitorder="little")
    words[:, : packed.shape[1]] = packed
    work = words.view("<u8")
    pivots: list[int] = []
    for column in range(width if columns is None else columns):
        top = len(pivots)
        if top == rows:
            break
        here = (work[:, column >> 6] >> np.uint64(column & 63)) & np.uint64(1) == 1
        below = np.flatnonzero(here[top:])
        if not len(below):
            continue
        row = top + int(below[0])
        work[[top, row]] = work[[row, top]]
        here[row] = here[top]
        here[top] = False
        work[here] ^= work[top]
        pivots.append(column)
    bits = np.unpackbits(work.view(np.uint8), axis=1, count=width, bitorder="little")
    return bits.astype(np.bool_), pivots


def rank(matrix: Bits) -> int:
    """Rank over GF(2). matrix: (n, m)."""
    return len(reduced(matrix)[1])


def solve(matrix: Bits, right: Bits) -> Bits | None:
    """One x with matrix x = right for each right side, (k, m), free unknowns 0; None if one of them has no solution.

    matrix: (n, m). right: (k, n).
    """
    rows, width = matrix.shape
    if right.ndim != 2 or right.shape[1] != rows:
        raise UsageError(f"right sides of {rows} equations have {rows} bits each")
    form, pivots = reduced(np.concatenate([matrix, right.T], axis=1), width)
    if form[len(pivots) :, width:].any():
        return None
    solution = np.zeros((len(right), width), dtype=np.bool_)
    solution[:, pivots] = form[: len(pivots), width:].T
    return solution


def deficiency_bound(rows: int, columns: int) -> float:
    """Bound of the chance that `rows` uniform rows of `columns` bits have dependent columns: 2^(columns - rows).

    Each of fewer than 2^columns combinations of columns vanishes in all rows with chance 2^-rows. It holds as well
    where each row only has a fair coin, given the rows before it, for every combination.
    """
    return min(1.0, 2.0 ** (columns - rows))
