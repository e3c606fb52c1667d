"""The referee of inversion: its test is exact, its statistics are what a hand calculation gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inversion_parts import latents, video

from neuralcipher.attacks.base import CONTROL_LEVEL, NotApplicable
from neuralcipher.attacks.pairs.inversion import judging, solving
from neuralcipher.attacks.pairs.inversion.controls import control_frames

SEEDS = st.integers(0, 2**31 - 1)


def test_the_order_test_counts_all_orders() -> None:
    matrix = np.random.default_rng(1).normal(size=(5, 5))
    means = [np.mean([matrix[j, o[j]] for j in range(5)]) for o in itertools.permutations(range(5))]
    expected = np.mean([m >= np.trace(matrix) / 5 - 1e-12 for m in means])
    p_value, _ = judging.order_test(matrix, np.random.default_rng(0))
    assert p_value == expected
    assert judging.order_sd(matrix) == pytest.approx(np.std(means))


def test_the_order_test_is_exact() -> None:
    """Under the null all p-values are multiples of 1/24 that are reached as often."""
    draw = np.random.default_rng(3)
    p_values = np.array([judging.order_test(draw.normal(size=(4, 4)), draw)[0] for _ in range(2000)])
    for level in (1 / 24, 6 / 24, 12 / 24):
        expected = 2000 * level
        assert abs((p_values <= level + 1e-9).sum() - expected) < 4.5 * np.sqrt(expected * (1 - level))


def test_drawn_orders_agree_with_all_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = np.random.default_rng(8).normal(size=(6, 6)) + 0.3 * np.eye(6)
    exact, _ = judging.order_test(matrix, np.random.default_rng(0))
    assert 0.01 < exact < 0.5
    monkeypatch.setattr(judging, "_ENUMERATED", 4)
    drawn, null = judging.order_test(matrix, np.random.default_rng(0))
    assert drawn == pytest.approx(exact, abs=5 * np.sqrt(exact / 100_000))
    assert len(null) == 500


def test_the_least_p_values() -> None:
    """8 frames found in order: one order of 40,320. More frames: 1 of 100,000 draws, below what a control needs."""
    eight, _ = judging.order_test(np.eye(8), np.random.default_rng(0))
    twelve, _ = judging.order_test(np.eye(12), np.random.default_rng(0))
    assert eight == pytest.approx(1 / 40320)
    assert twelve == pytest.approx(1e-5)
    assert max(eight, twelve) < CONTROL_LEVEL
    assert judging.order_test(np.zeros((8, 8)), np.random.default_rng(0))[0] == 1


@settings(max_examples=20)
@given(SEEDS)
def test_agreement_ignores_what_does_not_move(seed: int) -> None:
    truth = latents(seed, 8)
    still = (truth.int() // 2 + latents(seed + 1).int() // 2).to(torch.uint8)
    assert np.diag(judging.agreement_matrix(truth, truth)) == pytest.approx(np.ones(8))
    assert np.diag(judging.agreement_matrix(still, truth)) == pytest.approx(np.ones(8), abs=0.01)
    mean = truth.float().mean(0, keepdim=True).round().to(torch.uint8).expand(truth.shape)
    assert judging.agreement_matrix(mean, truth) == pytest.approx(np.zeros((8, 8)))


def test_psnr_by_hand() -> None:
    assert judging.psnr_db(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 255.0)) == 0
    assert judging.psnr_db(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 25.5)) == pytest.approx(20)
    assert judging.psnr_db(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)) == 100


def test_frames_are_split_so_that_8_are_held_out() -> None:
    assert judging.split(16, 8, 24) == judging.Split((1, 2, 4, 8), 8, 16)
    assert judging.split(12, 8, 24) == judging.Split((1, 2, 4), 4, 12)
    assert judging.split(9, 8, 24) == judging.Split((1,), 1, 9)
    assert judging.split(500, 4, 8) == judging.Split((1, 2, 4), 4, 12)
    with pytest.raises(NotApplicable, match="8 frames"):
        judging.split(8, 8, 24)


def test_guesses_go_through_a_file() -> None:
    answers = [solving.Answer(z, 1, 0.0, 0.0) for z in latents(6, 2)]
    stored, digests = judging.through_disk(answers)
    assert all(torch.equal(z, answer.latent) for (z, _), answer in zip(stored, answers, strict=True))
    assert len(set(digests)) == 2


def test_controls_of_a_still_video_move() -> None:
    for frames in (torch.full((20, 3, 16, 16), 77, dtype=torch.uint8), video(20, 24)):
        small = control_frames(frames)
        assert small.shape == (20, 3, 16, 16)
        assert float(np.diag(judging.agreement_matrix(small, small)).min()) == pytest.approx(1)
        off = judging.agreement_matrix(small, small) - np.eye(20)
        assert off.max() < 0.99
