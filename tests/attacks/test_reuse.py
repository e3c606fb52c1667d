"""Reused keys and chosen plaintext: what a forgotten salt costs, what a salt prevents, and how masks are found."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pair_scenes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict, find
from neuralcipher.attacks.judge import gate
from neuralcipher.attacks.pairs.chosen_plaintext import chosen_videos
from neuralcipher.attacks.pairs.masks import StatedKeystream, coverage, layout_of, learn, unmasked
from neuralcipher.attacks.pairs.reuse import (
    Rehearsal,
    best_guess,
    corners,
    equal_bytes,
    forced,
    matching_p_value,
    moved,
    recover,
    rehearsed,
    roughness,
    study,
    xor,
)
from neuralcipher.attacks.planted.flows import (
    IdealFlow,
    IgnoresKeyFlow,
    MeanBiasFlow,
    recipe,
    start_without_salt,
)
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import PairSubject, z0_of
from neuralcipher.attacks.views import public
from neuralcipher.flows.latent import LatentConfig, LatentFlow
from neuralcipher.flows.latent import section as stored
from neuralcipher.generators.base import Keystream

NAMES = ("reused-key", "chosen-plaintext")
RUN = Run(Settings("quick", seed=3), "test")


@cache
def latent(forgetful: bool = False) -> PairSubject:
    """The product's flow, two frames of 32x32; with or without a start latent that forgets the salt."""
    start = start_without_salt if forgetful else z0_of
    made = recipe(LatentFlow, config=LatentConfig(steps=0), start=start)
    noise = chosen_videos(pair_scenes.video(0, 2, 32), torch.Generator().manual_seed(1))["noise"]
    others = [pair_scenes.video(1, 2, 32), noise]
    return made.seal("latent", pair_scenes.video(0, 2, 32), pair_scenes.KEY, others)


@pytest.mark.parametrize("name", NAMES)
def test_the_products_flow_is_broken_without_a_salt_and_only_then(name: str) -> None:
    row = pair_scenes.attacked(name, latent(forgetful=True))
    assert gate(row) == ""
    assert row.verdict is Verdict.BROKEN
    found = pair_scenes.measured(name, latent())
    assert found.p_value > 1e-4
    assert found.decidable
    assert found.details["forced_equal_salt"]["correlation"] > 0.8  # with one salt for both it would be


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_flow_has_nothing_masked(name: str) -> None:
    assert pair_scenes.attacked(name, pair_scenes.autoencoder(steps=5)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flow", [IdealFlow, IgnoresKeyFlow])
def test_what_no_reuse_can_help_is_not_broken(name: str, flow: type[IdealFlow]) -> None:
    """Not even a flow that shows everything to everybody: another owner's bundle helps as much."""
    row = pair_scenes.attacked(name, pair_scenes.planted(flow))
    assert gate(row) == ""
    assert row.verdict is Verdict.NOT_BROKEN


@pytest.mark.parametrize("name", NAMES)
def test_p_values_of_the_ideal_flow_are_not_too_small(name: str) -> None:
    """Of 16 seeds, at most 4 may give p <= 0.05 (P = 0.999 of a uniform p): a test that cheats gives more."""
    subject = pair_scenes.planted(IdealFlow, count=2)
    p_values = [pair_scenes.measured(name, subject, seed).p_value for seed in range(16)]
    assert sum(p <= 0.05 for p in p_values) <= 4
    assert min(p_values) > 1e-4


def test_a_spent_budget_decides_nothing() -> None:
    for name in NAMES:
        found = find(name)().measure(pair_scenes.planted(IdealFlow), Run(Settings(), name, seconds=1e-9))
        assert (found.p_value, found.decidable) == (1.0, False)


def test_matchings_by_hand() -> None:
    assert matching_p_value(np.eye(2)) == pytest.approx(1 / 2)
    assert matching_p_value(np.eye(4)) == pytest.approx(1 / 24)
    assert matching_p_value(np.ones((3, 3))) == 1
    assert matching_p_value(1 - np.eye(3)) == 1
    # Of the 6 orders of three owners, the sums are 5, 1 + 4 + 1, 2 + 0 + 2, 2 + 4 + 3, 0 + 0 + 1, 0 + 2 + 3.
    matrix = np.array([[1.0, 2.0, 0.0], [0.0, 2.0, 4.0], [3.0, 1.0, 2.0]])
    assert matching_p_value(matrix) == pytest.approx(4 / 6)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_matchings_are_fair(seed: int) -> None:
    """Over all relabellings of any matrix, the p-value is uniform on its steps: P(p <= k / 24) = k / 24."""
    matrix = np.random.default_rng(seed).normal(size=(4, 4))
    p_values = sorted(matching_p_value(matrix[:, list(order)]) for order in itertools.permutations(range(4)))
    assert p_values == pytest.approx([(k + 1) / 24 for k in range(24)])


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_xor_is_its_own_inverse(a: bytes, b: bytes) -> None:
    assert xor(xor(a, b), b) == a
    assert len(xor(a, b)) == len(a)


def test_small_figures_by_hand() -> None:
    assert xor(b"\x0f\xf0\x01", b"\xff\xff") == b"\xf0\x0f\x01"
    assert equal_bytes(b"abcd", b"abxx!") == 0.5
    ramp = np.broadcast_to(np.arange(0, 40, 4, dtype=np.uint8), (1, 3, 6, 10))
    assert roughness(np.ascontiguousarray(ramp)) == pytest.approx((4 + 0) / 2)
    assert roughness(np.zeros((1, 3, 1, 1), np.uint8)) == 0
    plain = torch.full((2, 3, 8, 8), 9, dtype=torch.uint8)
    detailed = plain.clone()
    detailed[:, :, 4:, 4::2] = 200
    cuts = corners([plain, detailed], 1, 4)
    assert len(cuts) == 8
    assert torch.equal(cuts[0], plain[:1, :, :4, :4])
    assert torch.equal(cuts[-1], detailed[:1, :, 4:, 4:])
    assert len(corners([plain], 2, 8)) == 1


def test_chosen_videos() -> None:
    like = pair_scenes.video(0, 2)
    chosen = chosen_videos(like, torch.Generator().manual_seed(0))
    assert {video.shape for video in chosen.values()} == {like.shape}
    assert int(chosen["black"].max()) == 0
    assert int(chosen["white"].min()) == 255
    assert int((chosen["one pixel"] != chosen["black"]).sum()) == 2 * 3
    assert 80 <= int(chosen["noise"].min()) < 90
    assert 150 <= int(chosen["faint noise"].max()) < 160


def test_masks_are_found_without_a_key() -> None:
    """Every byte of every message, each by its place in the latent of its number; nothing of what comes before."""
    subject = latent()
    layout = layout_of(public(subject))
    assert layout is not None
    messages = stored.parse(subject.section).messages
    assert len(messages) == 3
    expected = [(number + 1, place) for number, message in enumerate(messages) for place in range(len(message))]
    assert list(zip(layout.index.tolist(), layout.offset.tolist(), strict=True)) == expected
    first = len(subject.section) - len(expected)
    assert layout.masked.tolist() == list(range(first, len(subject.section)))
    assert layout_of(public(pair_scenes.planted(IdealFlow))) is None


def test_what_is_learned_is_the_keystream() -> None:
    subject = latent()
    plain = unmasked(public(subject), subject.z0)
    assert plain is not None
    learned = learn(public(subject), plain)
    assert learned is not None
    stream = Keystream(subject.generator, subject.z0)
    for index, known in learned.latents.items():
        assert known.tobytes() == stream.mask(index, len(known))
    assert learned.bytes_known == sum(len(message) for message in stored.parse(subject.section).messages)
    layout = layout_of(public(subject))
    assert coverage(layout, learned) == 1
    del learned.latents[1]
    assert coverage(layout, learned) == pytest.approx(1 - (layout.index == 1).mean() if layout else 0)
    assert coverage(layout, None) == coverage(None, learned) == 0
    assert learn(public(subject), plain[:-1]) is None


def test_a_stated_keystream_says_what_was_stated() -> None:
    subject = pair_scenes.planted(IdealFlow)
    stream = StatedKeystream(subject.generator, {2: np.array([7, 8, 9], np.uint8)})
    assert stream.mask(2, 5) == bytes([7, 8, 9, 0, 0])
    assert stream.mask(1, 3) == bytes(3)
    assert stream.latent(2).flatten()[:4].tolist() == [7, 8, 9, 0]
    assert stream.latent(2).shape == subject.latent_shape


@pytest.mark.parametrize("subject", [pair_scenes.planted(IdealFlow, count=2), latent()], ids=["ideal", "latent"])
def test_a_forced_equal_key_gives_the_video(subject: PairSubject) -> None:
    assert subject.seal is not None
    noise = chosen_videos(subject.frames, torch.Generator().manual_seed(0))["noise"]
    known = subject.seal(noise, bytes(32))
    rehearsal = rehearsed(known, RUN, "x")
    assert not torch.equal(rehearsal.z0, known.z0)
    guess: Any = forced(subject, [known], [rehearsal], subject.key)
    assert guess is not None
    right = subject.show(subject.z0).numpy()
    assert np.abs(guess.astype(int) - right).mean() < 4
    other = recover(public(subject), study(public(known), rehearsal))
    assert other is None or np.abs(other.astype(int) - right).mean() > 20


def test_a_guess_that_does_not_fit_is_none() -> None:
    small, large = (
        pair_scenes.planted(IdealFlow, count=2),
        recipe(IdealFlow).seal("x", torch.zeros(2, 3, 8, 8).byte(), bytes(32)),
    )
    studied = study(public(large), Rehearsal(public(large), large.z0))
    assert recover(public(small), studied) is None
    assert best_guess(public(small), [studied]) is None
    assert best_guess(public(small), []) is None


def test_of_the_bundles_that_fit_the_one_that_covers_most_is_used() -> None:
    subject = latent()
    assert subject.seal is not None
    known = [subject.seal(video, subject.key) for video in (torch.zeros_like(subject.frames), subject.others[1])]
    poor, good = (study(public(one), rehearsed(one, RUN, "x")) for one in known)
    layout = layout_of(public(subject))
    assert coverage(layout, poor.learned) < coverage(layout, good.learned) == 1
    right = subject.show(subject.z0).numpy()
    for studies in ([poor, good], [good, poor], [replace(poor, shape=(1, 1, 1)), good]):
        guess = best_guess(public(subject), studies, layout)
        assert guess is not None
        assert np.abs(guess.astype(int) - right).mean() < 4
    unfit = best_guess(public(subject), [poor, replace(good, shape=(1, 1, 1))], layout)
    assert unfit is not None
    assert np.abs(unfit.astype(int) - right).mean() > 20


def test_moving_to_another_key_is_sealing_with_it() -> None:
    for subject in (latent(), pair_scenes.planted(MeanBiasFlow, count=2)):
        key = bytes(range(7, 39))
        assert subject.seal is not None
        there = moved(subject, key)
        assert there.section == subject.seal(subject.frames, key).section
        assert torch.equal(there.z0, z0_of(key, there.latent_shape))
        assert torch.equal(there.show(there.z0), subject.show(subject.z0))
