"""Weak keys: patterned starts that a poor g does not lose."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_targets import SMALL, generator_subject
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.weak_keys import WeakKeys, patterned_starts
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.session import Settings
from neuralcipher.generators.base import Shape


@pytest.mark.parametrize("name", ["identity", "linear", "logistic", "affine", "feistel 2"])
def test_weak_keys_are_found(name: str) -> None:
    row = run_attack(WeakKeys, generator_subject(name), Settings())
    assert row.error == ""
    assert row.verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", ["chacha20", "feistel"])
@pytest.mark.parametrize("seed", [0, 1])
def test_where_there_are_none_none_are_found(name: str, seed: int) -> None:
    row = run_attack(WeakKeys, generator_subject(name), Settings(seed=seed))
    assert row.verdict is Verdict.NOT_BROKEN


def test_dead_units_stay_zero_and_uniform_keys_do_not_show_it() -> None:
    """The positive control: one byte at most changes from zeros, nearly all from a start without zeros."""
    row = run_attack(WeakKeys, generator_subject("chacha20"), Settings())
    assert row.positive is not None
    shares = row.positive.details["bytes_changed"]
    assert shares["zeros"] == pytest.approx(1 / 768)
    assert shares["all 255"] > 0.99
    assert row.positive.details["states_seen_twice"] > 0


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)).filter(lambda s: np.prod(s) >= 4),
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
)
def test_starts_are_different_latents(shape: Shape, seed: int, variants: int) -> None:
    starts = patterned_starts(shape, np.random.default_rng(seed), variants)
    assert {(z.shape, z.dtype) for z in starts.values()} == {(torch.Size(shape), torch.uint8)}
    assert len({z.numpy().tobytes() for z in starts.values()}) == len(starts)


def test_patterns_are_what_they_are_called() -> None:
    starts = patterned_starts(SMALL, np.random.default_rng(1), 2)
    assert len(starts) == 12
    few = starts["three bits set 2"].numpy()
    assert int(np.unpackbits(few).sum()) == 3
    assert len(np.unique(starts["one byte repeated"])) == 1
    rows = starts["one row repeated"]
    assert torch.equal(rows, rows[:, :1].expand_as(rows))
    plane = starts["rank one"][0].long()
    # Modulo 256 every 2x2 minor of an outer product vanishes.
    minors = plane[:-1, :-1] * plane[1:, 1:] - plane[:-1, 1:] * plane[1:, :-1]
    assert torch.all(minors % 256 == 0)
