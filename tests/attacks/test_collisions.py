"""Collisions: what must be found, the birthday law against enumeration, and searches that find what is there."""

from __future__ import annotations

import math
from itertools import product

import learning_targets as targets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.collisions import (
    CLOSE,
    CLOSE_RATE,
    Collisions,
    birthday,
    changes,
    climb_to_collision,
    first_repeat,
    nearest_p_value,
    repeat_chance,
    windows,
)
from neuralcipher.attacks.planted.generators import weak_generator


@pytest.mark.parametrize("name", ["short-cycle", "lcg32", "linear", "feistel-2"])
def test_collisions_that_are_found(name: str) -> None:
    found = targets.row(Collisions, name)
    targets.check_row(found, Verdict.BROKEN)
    assert found.target is not None
    exact = name in ("short-cycle", "lcg32")
    assert ("exact collision" in found.target.flags) == exact
    if name == "short-cycle":  # 320 draws of 256 outputs
        assert found.target.details["whole_repeats"] >= 64


@pytest.mark.parametrize("name", ["chacha20", "feistel-8"])
def test_collisions_that_are_not(name: str) -> None:
    targets.check_row(targets.row(Collisions, name), Verdict.NOT_BROKEN)


def test_a_run_without_time_is_not_decidable() -> None:
    found = Collisions().measure(targets.target("chacha20"), targets.a_run(Collisions, seconds=1e-9))
    assert (found.decidable, found.samples) == (False, 32)


def test_the_rate_of_close_bytes_by_enumeration() -> None:
    close = sum(abs(a - b) <= CLOSE for a in range(256) for b in range(256))
    assert close / 65536 == CLOSE_RATE


def test_the_birthday_law_by_hand() -> None:
    assert repeat_chance(3, 2) == pytest.approx(1 - (3 / 4) * (2 / 4))
    assert repeat_chance(5, 2) == 1
    assert repeat_chance(1, 8) == 0
    # von Mises: half of the windows repeat within 1.18 * 2^(t/2) draws.
    assert repeat_chance(math.ceil(1.18 * 2**12), 24) == pytest.approx(0.5, abs=0.005)


def test_the_chance_of_a_repeat_by_enumeration() -> None:
    values = np.array(list(product(range(4), repeat=3)), dtype=np.uint64).T
    first = first_repeat(values)
    assert (first > 0).mean() == pytest.approx(repeat_chance(3, 2))
    assert (first == 2).mean() == pytest.approx(1 / 4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_first_repeat_is_what_it_says(values: list[int]) -> None:
    wanted = next((i + 1 for i in range(len(values)) if values[i] in values[:i]), 0)
    assert first_repeat(np.array(values, dtype=np.uint64)[:, None]).tolist() == [wanted]


@given(st.binary(min_size=8, max_size=20), st.integers(1, 40))
def test_windows_are_little_endian_and_disjoint(data: bytes, bits: int) -> None:
    width = -(-bits // 8)
    pieces = [data[i : i + width] for i in range(0, len(data) - width + 1, width)]
    wanted = [int.from_bytes(piece, "little") % 2**bits for piece in pieces]
    assert windows(np.frombuffer(data, np.uint8)[None], bits)[0].tolist() == wanted


def test_p_values_under_the_null() -> None:
    """Birthdays of uniform bytes: of 40 p-values about two are below .05, and the mean is not below .3."""
    draw = np.random.default_rng(11)
    p_values = [birthday(draw.integers(0, 256, (302, 256), dtype=np.uint8), 16).p_value for _ in range(40)]
    assert sum(p <= 0.05 for p in p_values) <= 7  # 8 or more: once in 1,500
    assert np.mean(p_values) > 0.3
    # Of more outputs than that, 1.18 * 2^8 rounded up are looked at.
    assert birthday(draw.integers(0, 256, (400, 2), dtype=np.uint8), 16).draws == 303
    # 0 or more are always equal; all of 2 bytes of one pair once in 2^16.
    assert nearest_p_value(0, 2, 1 / 256, 1) == 1
    assert nearest_p_value(2, 2, 1 / 256, 3) == pytest.approx(3 / 65536)


def test_climbing_ends_at_one_byte_where_bytes_do_not_mix() -> None:
    """No two states of `linear` lead to one, but those that differ in one byte lead to states that do."""
    generator = weak_generator("linear", (1, 4, 8))
    few, many = (climb_to_collision(generator, n, np.random.default_rng(1), lambda: False) for n in (8, 400))
    assert few.equal <= many.equal
    assert many.equal == 31
    assert (many.first != many.second).any()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_changes_keep_the_size_and_never_the_input(seed: int, width: int) -> None:
    z = np.random.default_rng(seed).integers(0, 256, 48, dtype=np.uint8)
    kept = z.copy()
    for changed in changes(z, width, np.random.default_rng(seed)):
        assert changed.shape == z.shape
        assert changed.dtype == np.uint8
    assert np.array_equal(z, kept)
