"""Ranks of true start latents by what g alone tells, and their exact distribution."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import learning_targets as targets
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.confirmation import KeyConfirmation, marked, rank_sum_p_value, statistics_of
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.planted.generators import Planted, Rows, weak_generator
from neuralcipher.attacks.subjects import GeneratorSubject, z0_of
from neuralcipher.generators.base import Shape


def at_rest(key: bytes) -> GeneratorSubject:
    """A g with its own start latent as a fixed point."""
    z0 = z0_of(key, targets.SHAPE)
    home, noise = z0.reshape(-1).numpy(), weak_generator("linear", targets.SHAPE)

    def step(rows: Rows) -> Rows:
        moved = noise.next_latent(torch.from_numpy(rows).view(-1, *targets.SHAPE)).flatten(1).numpy()
        return np.where((rows == home).all(axis=1, keepdims=True), rows, moved)

    planted = Planted("at-rest", targets.SHAPE, step)
    return GeneratorSubject("at-rest", planted, made_with=z0, remake=at_rest)


def bright_start(key: bytes, shape: Shape) -> Tensor:
    """A start latent whose highest bits are all set: derived badly."""
    return z0_of(key, shape) | 0x80


def test_a_generator_that_knows_its_key_is_found_out() -> None:
    found = run_attack(KeyConfirmation, at_rest(bytes(32)), targets.QUICK)
    targets.check_row(found, Verdict.BROKEN)
    assert found.target is not None
    assert found.target.details["preference"]["first step"] == 0
    # 20 keys, each the least of 8, by one of six statistics in two directions.
    assert found.target.p_value == pytest.approx(12 * 8.0**-20, rel=1e-9, abs=0)


def test_start_latents_that_are_not_uniform_are_found_out() -> None:
    subject = replace(targets.target("identity"), start=bright_start)
    targets.check_row(run_attack(KeyConfirmation, subject, targets.QUICK), Verdict.BROKEN)


@pytest.mark.parametrize("name", ["chacha20", "feistel-8", "contracting"])
def test_one_generator_for_all_keys_confirms_none(name: str) -> None:
    targets.check_row(targets.row(KeyConfirmation, name), Verdict.NOT_BROKEN)


def test_one_key_alone_is_not_judged() -> None:
    alone = replace(marked(bytes(32), targets.SHAPE), remake=None)
    found = run_attack(KeyConfirmation, alone, targets.QUICK)
    assert found.verdict == Verdict.INCONCLUSIVE
    assert found.target is not None
    assert found.target.p_value == pytest.approx(12 / 500)


def test_a_g_that_only_says_it_was_made_from_a_key_confirms_nothing() -> None:
    """chacha20 made again for each key: the rank is then of a fresh start latent among others."""

    def remake(key: bytes) -> GeneratorSubject:
        return replace(targets.target("chacha20"), made_with=z0_of(key, targets.SHAPE), remake=remake)

    targets.check_row(run_attack(KeyConfirmation, remake(bytes(32)), targets.QUICK), Verdict.NOT_BROKEN)


@given(st.integers(1, 4), st.integers(2, 5), st.data())
def test_rank_sums_against_enumeration(keys: int, choices: int, data: st.DataObject) -> None:
    ranks = data.draw(st.lists(st.integers(1, choices), min_size=keys, max_size=keys))
    sums = [sum(cells) <= sum(ranks) for cells in product(range(1, choices + 1), repeat=keys)]
    assert rank_sum_p_value(np.array(ranks), choices) == pytest.approx(np.mean(sums))


def test_statistics_are_of_each_guess_alone() -> None:
    generator = weak_generator("autoregressive", targets.SHAPE)
    z = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (3, *targets.SHAPE), dtype=np.uint8))
    together = statistics_of(generator, z)
    assert len(together) == 6
    for name, values in together.items():
        assert values.shape == (3,)
        assert values[1] == statistics_of(generator, z[1:2])[name][0]


def test_statistics_by_hand() -> None:
    """identity on zeros: no step, a flipped lowest bit of one byte in 768, 768 equal bytes."""
    found = statistics_of(weak_generator("identity", targets.SHAPE), torch.zeros(1, *targets.SHAPE, dtype=torch.uint8))
    assert {name: float(value[0]) for name, value in found.items()} == {
        "first step": 0,
        "second step": 0,
        "response to a bit": 1 / 768,
        "evenness": (768 - 3) ** 2 + 255 * 3**2,
        "brightness": 0,
        "smoothness": 0,
    }
