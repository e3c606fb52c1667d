"""Linear algebra over GF(2) against enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.generators import gf2
from neuralcipher.errors import UsageError

SIZES = st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 2**32 - 1))


def bits(*text: str) -> gf2.Bits:
    return np.array([[letter == "1" for letter in row] for row in text])


def drawn(rows: int, columns: int, seed: int) -> gf2.Bits:
    return np.random.default_rng(seed).integers(0, 2, (rows, columns)).astype(np.bool_)


def times(matrix: gf2.Bits, x: gf2.Bits) -> gf2.Bits:
    return np.asarray((matrix.astype(int) @ x.astype(int)) % 2 == 1)


def test_rank_by_hand() -> None:
    assert gf2.rank(bits("110", "011", "101")) == 2  # the rows add up to 0 modulo 2, not over the numbers
    assert gf2.rank(bits("110", "011", "111")) == 3
    assert gf2.rank(bits("000", "000")) == 0


@given(SIZES)
def test_rank_counts_the_combinations_of_rows(sizes: tuple[int, int, int]) -> None:
    matrix = drawn(*sizes)
    sums = {tuple(times(matrix.T, np.array(chosen))) for chosen in product((0, 1), repeat=sizes[0])}
    assert len(sums) == 2 ** gf2.rank(matrix) == 2 ** gf2.rank(matrix.T)


@given(SIZES, st.integers(0, 2**32 - 1))
def test_what_is_solved_is_a_solution_and_none_means_none(sizes: tuple[int, int, int], seed: int) -> None:
    matrix, right = drawn(*sizes), drawn(2, sizes[0], seed)
    found = gf2.solve(matrix, right)
    solvable = [any((times(matrix, np.array(x)) == b).all() for x in product((0, 1), repeat=sizes[1])) for b in right]
    assert (found is not None) == all(solvable)
    if found is not None:
        assert np.array_equal(times(matrix, found.T).T, right)


@pytest.mark.parametrize("columns", [63, 64, 65, 130])
def test_solving_across_words(columns: int) -> None:
    matrix, x = drawn(columns + 20, columns, 5), drawn(1, columns, 6)
    found = gf2.solve(matrix, times(matrix, x.T).T)
    assert found is not None
    assert np.array_equal(found, x)


def test_right_sides_must_fit() -> None:
    with pytest.raises(UsageError, match="right sides of 2 equations have 2 bits each"):
        gf2.solve(bits("10", "01"), bits("101"))


def test_the_bound_of_dependent_columns_by_enumeration() -> None:
    """All matrices of 5 rows and 2 columns: dependent in 3 * 32 - 2 of 1024, and the bound is 1 in 8."""
    found = [gf2.rank(np.array(cells, dtype=np.bool_).reshape(5, 2)) < 2 for cells in product((0, 1), repeat=10)]
    assert sum(found) == 3 * 32 - 2
    assert np.mean(found) <= gf2.deficiency_bound(5, 2) == 1 / 8
