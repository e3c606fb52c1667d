"""Prediction without the weights: what is predicted, what is not, and that nothing is predicted by chance."""

from __future__ import annotations

from itertools import pairwise

import learning_targets as targets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.prediction import NextState, Predictor, Ridge, relations
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.views import KnownStates, known_states


def test_a_linear_process_is_predicted_wherever_its_bytes_go() -> None:
    """`linear` moves bytes about: only the regression of all on all sees it, and lowest bits over GF(2)."""
    found = targets.row(NextState, "linear")
    targets.check_row(found, Verdict.BROKEN)
    assert found.target is not None
    assert found.target.details["advantages"]["dense"] == 1
    # The control is predicted by the rule for all places, and its relation over GF(2) is less likely than 48 coins:
    # four windows of 120 + 120 + 1 columns in 16 * 20 rows, and four tests.
    assert found.positive is not None
    assert found.positive.details["advantages"]["local"] == 1
    assert found.positive.details["relations"] == 1
    assert found.positive.p_value == pytest.approx(4 * 4 * 2.0 ** (241 - 320), rel=1e-9, abs=0)


def test_relations_over_gf2_are_found_where_regression_is_blind() -> None:
    found = run_attack(NextState, targets.target("affine", (1, 4, 16)), targets.QUICK)
    targets.check_row(found, Verdict.BROKEN)
    assert found.target is not None
    assert found.target.details["relations"] >= 64
    assert max(found.target.details["advantages"].values()) < 0.5


@pytest.mark.parametrize("name", ["chacha20"])
def test_what_is_not_predicted(name: str) -> None:
    found = targets.row(NextState, name)
    targets.check_row(found, Verdict.NOT_BROKEN)
    assert found.target is not None
    assert found.target.details["relations"] == 0


def test_a_run_without_time_is_not_decidable() -> None:
    found = NextState().measure(targets.target("chacha20"), targets.a_run(NextState, seconds=1e-9))
    assert (found.decidable, found.samples) == (False, 2)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_ridge_is_least_squares_in_both_dimensions(seed: int, wide: bool) -> None:
    draw = np.random.default_rng(seed)
    x, y = draw.normal(size=(6, 9) if wide else (9, 6)), draw.normal(size=(6 if wide else 9, 2))
    ridge = Ridge(0.3)
    ridge.fit(x, y)
    centred, rest = x - x.mean(axis=0), y - y.mean(axis=0)
    # The gradient of |rest - centred w|^2 + 0.3 |w|^2 vanishes.
    weights = ridge.predict(np.eye(x.shape[1]) + x.mean(axis=0)) - y.mean(axis=0)
    assert np.allclose(centred.T @ (rest - centred @ weights), 0.3 * weights, atol=1e-8)


def test_one_relation_is_counted_once() -> None:
    """Bit 0 of byte 0 of the next state is bit 3 of byte 1 of the last, XOR 1; nothing else is related."""
    draw = np.random.default_rng(4)
    states = draw.integers(0, 256, (400, 16), dtype=np.uint8)
    for before, after in pairwise(states):
        after[0] = (after[0] & 0xFE) | (1 ^ (before[1] >> 3 & 1))
    runs = [KnownStates(torch.from_numpy(states).view(400, 1, 1, 16))]
    count, chance, _ = relations(runs, draw, 1)
    assert count == 1
    assert chance == 2.0 ** (128 + 64 + 1 - 399)


def test_predictors_only_look_at_the_state_they_are_given() -> None:
    target = targets.target("autoregressive")
    runs = [known_states(target, target.start(bytes(32), target.shape), 8)]
    states = runs[0].latents.flatten(1).numpy()
    for kind in ("local", "local bits", "dense"):
        predictor = Predictor(kind, target.shape, np.random.default_rng(0))
        predictor.fit(runs)
        assert np.array_equal(predictor.predict(states[3]), predictor.predict(states[3].copy()))
        assert not np.array_equal(predictor.predict(states[3]), predictor.predict(states[4]))
