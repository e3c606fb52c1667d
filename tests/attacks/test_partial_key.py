"""What a part of a key is worth."""

from __future__ import annotations

import learning_targets as targets
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.partial_key import BLOCKS, PartialKey, partly_known


@pytest.mark.parametrize("name", ["feistel-1", "lcg32", "contracting", "short-cycle"])
def test_parts_that_are_worth_something(name: str) -> None:
    """`short-cycle` looks at one byte: the part that has it is the whole key."""
    targets.check_row(targets.row(PartialKey, name), Verdict.BROKEN)


@pytest.mark.parametrize("name", ["chacha20", "feistel-8"])
def test_parts_that_are_worth_nothing(name: str) -> None:
    targets.check_row(targets.row(PartialKey, name), Verdict.NOT_BROKEN)


def test_gain_grows_with_what_is_known_where_blocks_do_not_mix() -> None:
    found = targets.row(PartialKey, "chacha20").positive
    assert found is not None
    assert found.details["gain"] == pytest.approx({"1/8": 1 / 8, "4/8": 1 / 2, "7/8": 7 / 8}, abs=0.03)
    assert found.details["equal_bytes"]["stranger"] == pytest.approx(1 / 256, abs=0.002)
    assert found.p_value == pytest.approx(3 * 0.5**64, rel=1e-9, abs=0)


def test_ties_count_against_the_attacker() -> None:
    """A g that ignores z takes every key to one state: no guess is nearer than another."""
    found = PartialKey().measure(targets.target("dead"), targets.a_run(PartialKey))
    assert found.p_value == 1
    assert set(found.details["nearer"].values()) == {0}


def test_a_run_without_time_is_not_decidable() -> None:
    found = PartialKey().measure(targets.target("chacha20"), targets.a_run(PartialKey, seconds=1e-9))
    assert (found.decidable, found.samples) == (False, BLOCKS)


@given(st.integers(0, BLOCKS - 1), st.integers(0, BLOCKS), st.sampled_from([(1, 4, 8), (3, 5, 7), (1, 1, 32)]))
def test_blocks_are_right_or_strange(first: int, count: int, shape: tuple[int, int, int]) -> None:
    mixed = partly_known(torch.zeros(shape, dtype=torch.uint8), torch.ones(shape, dtype=torch.uint8), first, count)
    size = mixed.numel()
    flat = mixed.reshape(-1).tolist()
    right = {(first + k) % BLOCKS for k in range(count)}
    assert flat == [0 if place * BLOCKS // size in right else 1 for place in range(size)]
