"""Cycles: finds them where they are planted, with their true lengths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_targets import generator_subject
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.byte_nulls import IDEAL_SQUARE
from neuralcipher.attacks.generators.cycles import Cycles, Walk, brent, exponents
from neuralcipher.attacks.judge import Row, run_attack
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.subjects import Subject

SHAPE = (1, 16, 16)


def attack(subject: Subject, seed: int = 0) -> Row:
    row = run_attack(Cycles, subject, Settings(seed=seed))
    assert row.error == ""
    return row


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("short-cycle", "an orbit enters"),
        ("contracting", "fixed point"),
        ("identity", "a fixed point after 0 steps"),
        ("lcg32", "same state"),
        ("block-local", "no state came back"),  # but twins stay near
        ("autoregressive", "twins 0.000"),
    ],
)
def test_what_comes_back_is_broken(name: str, words: str) -> None:
    row = attack(generator_subject(name, SHAPE))
    assert row.verdict is Verdict.BROKEN
    assert row.target is not None
    assert words in row.target.note


@pytest.mark.parametrize("name", ["chacha20", "dead-units"])
def test_what_does_not_come_back_is_not_broken(name: str) -> None:
    row = attack(generator_subject(name, SHAPE))
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert "no state came back" in row.target.note
    assert row.target.details["noncyclic_check"]["ok"]


def test_the_positive_control_falls_into_its_cycle() -> None:
    row = attack(generator_subject("chacha20", SHAPE), seed=5)
    assert row.positive is not None
    tail, period = row.positive.details["tail_and_period"] or (0, 0)
    merged = row.positive.details["first_state_of_two_orbits"]
    assert merged or period > 1
    if period:
        place = row.positive.details["first_repeat_in_an_orbit"]
        assert tail + period == place["step"]
        assert period == place["step"] - place["earlier_step"]


@given(st.lists(st.integers(0, 19), min_size=20, max_size=20), st.integers(0, 19))
def test_brent_finds_tail_and_period(table: list[int], start: int) -> None:
    """Of any map of 20 points, compared with a list of all points visited."""

    def step(z: Tensor) -> Tensor:
        return torch.tensor(table[int(z)])

    visited = [start]
    while (following := table[visited[-1]]) not in visited:
        visited.append(following)
    tail = visited.index(following)
    assert brent(step, torch.tensor(start), limit=20) == (tail, len(visited) - tail)


def test_brent_gives_up() -> None:
    assert brent(lambda z: z + 1, torch.tensor(0), limit=50) is None


def test_walk_tells_repeats_from_merges() -> None:
    def latents(*values: int) -> Tensor:
        return torch.tensor(values, dtype=torch.uint8).reshape(2, 1, 1, 1)

    walk = Walk(np.array([0]))
    for pair in [(0, 128), (5, 9), (7, 5), (5, 1)]:
        walk.add(latents(*pair))
    assert walk.repeats == 2
    assert walk.merge == (1, 2, 0, 1)  # orbit 1 at step 2 is where orbit 0 was at step 1
    assert walk.repeat == (0, 3, 0, 1)
    assert walk.rows.reshape(-1).tolist() == [5, 9, 7, 5, 5, 1]  # without step 0
    assert [float(value[0]) for value in walk.near] == [0.25, 16 / 65536, 4 / 65536, 16 / 65536]


def test_exponents_by_hand() -> None:
    """Distances (roots of these) double every step until they pass half of the ideal; a pair that meets has none."""
    growing = [1e-6 * 4**k for k in range(8)] + [IDEAL_SQUARE] * 4
    shrinking = [1e-2 * 4.0**-k for k in range(12)]
    meeting = [1e-3, 0.0] + [0.0] * 10
    found = exponents(np.array([growing, shrinking, meeting]).T)
    assert found[0] == pytest.approx((np.log(2) * 7 + 0.5 * np.log(IDEAL_SQUARE / growing[7])) / 8)
    assert found[1] == pytest.approx(-np.log(2))
    assert found[2] is None


def test_twins_that_part_slowly_are_no_contraction() -> None:
    """Of feistel with two rounds a flipped bit spreads over some steps: avalanche finds that, and it is no cycle."""
    row = attack(generator_subject("feistel 2", SHAPE))
    assert row.target is not None
    assert row.target.details["p_values"]["nearest states"] > 1e-3
    block_local = attack(generator_subject("block-local", SHAPE))
    assert block_local.target is not None
    assert block_local.target.details["p_values"]["nearest twins"] < 1e-9
    assert block_local.target.details["p_values"]["nearest states"] > 1e-3


def test_contraction_has_a_negative_exponent_and_noise_a_positive_one() -> None:
    row = attack(generator_subject("chacha20", SHAPE))
    assert row.target is not None
    assert all(value > 1 for value in row.target.details["lyapunov_per_step"])
