"""The key ladder: near keys of a raw z0 are caught, a diffusing g is not, and the arithmetic of effective bits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pair_scenes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.base import CONTROL_LEVEL, Verdict
from neuralcipher.attacks.judge import gate
from neuralcipher.attacks.pairs.key_ladder import effective_bits, flip_bits, flip_key, half_gain, shift_levels
from neuralcipher.attacks.planted.flows import IdealFlow, IgnoresKeyFlow, LinearFlow, MeanBiasFlow, recipe
from neuralcipher.attacks.subjects import z0_of


def test_the_papers_raw_z0_is_caught() -> None:
    """The paper's flow after a g that does not diffuse: a key that is roughly right sees what the right one sees."""
    row = pair_scenes.attacked("key-ladder", pair_scenes.autoencoder("linear"))
    assert gate(row) == ""
    assert row.verdict is Verdict.BROKEN
    assert row.target is not None
    details = row.target.details
    assert row.target.value > 0.3  # dB, after so few steps
    assert details["right_key_db"] > max(details["unrelated_db"])
    assert 0 < details["half_gain_share_of_bits"] <= 0.5
    assert details["effective_key_bits"] < details["bits_of_z0"]
    assert details["one_bit_of_the_key"]["p_value"] > CONTROL_LEVEL  # HKDF stands before z0


def test_a_mean_bias_alone_is_no_ladder() -> None:
    """Every key sees the mean frame: that is another attack's finding."""
    row = pair_scenes.attacked("key-ladder", pair_scenes.planted(MeanBiasFlow))
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert row.target.details["effective_key_bits"] == row.target.details["bits_of_z0"]


@pytest.mark.parametrize("flow", [IdealFlow, LinearFlow])
def test_what_stands_after_chacha20_is_not_broken(flow: type[LinearFlow]) -> None:
    row = pair_scenes.attacked("key-ladder", pair_scenes.planted(flow))
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert row.target.flags == ()


def test_a_flow_that_shows_all_keys_the_same_cannot_be_judged() -> None:
    row = pair_scenes.attacked("key-ladder", pair_scenes.planted(IgnoresKeyFlow))
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.target is not None
    assert "no more than unrelated" in row.target.flags[0]


def test_a_key_that_is_its_own_start_latent_is_caught_on_the_key_too() -> None:
    """Without a derivation, one bit of the key is one bit of z0."""

    def raw(key: bytes, shape: tuple[int, int, int]) -> torch.Tensor:
        size = math.prod(shape)
        return torch.from_numpy(np.resize(np.frombuffer(key, np.uint8), size).copy()).reshape(shape)

    subject = recipe(LinearFlow, "linear", start=raw).seal("raw", pair_scenes.video(0, 2), pair_scenes.KEY)
    found = pair_scenes.measured("key-ladder", subject)
    assert found.p_value <= CONTROL_LEVEL
    assert found.details["one_bit_of_the_key"]["p_value"] < 1e-3


def test_effective_bits_by_hand() -> None:
    assert effective_bits(8, 0) == pytest.approx(8)
    assert effective_bits(8, 1) == pytest.approx(8 - math.log2(1 + 8))
    assert effective_bits(8, 2) == pytest.approx(8 - math.log2(1 + 8 + 28))
    assert effective_bits(8, 8) == pytest.approx(0, abs=1e-9)
    # Half of a large cube lies within half of its bits, and half of the middle layer's mass on top.
    assert effective_bits(10_001, 5000) == pytest.approx(1, abs=1e-6)


@given(st.integers(1, 10), st.data())
def test_effective_bits_count_the_keys_of_a_ball(bits: int, data: st.DataObject) -> None:
    distance = data.draw(st.integers(0, bits))
    ball = sum(1 for key in itertools.product((0, 1), repeat=bits) if sum(key) <= distance)
    assert 2 ** (bits - effective_bits(bits, distance)) == pytest.approx(ball)


def test_half_gain_by_hand() -> None:
    assert half_gain([(1e-4, 1.0), (1e-2, 0.5)], 10.0) == 0  # lost at once
    assert half_gain([(1e-4, 9.0), (1e-2, 6.0)], 10.0) == 1e-2  # never lost
    assert half_gain([(1e-4, 8.0), (1e-2, 2.0)], 10.0) == pytest.approx(1e-3)  # half way, in decades
    assert half_gain([(1e-4, 1.0)], 0.0) == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.sampled_from([1, 3, 13, 26, 128]))
def test_rungs_have_the_distance_that_they_say(seed: int, count: int, step: int) -> None:
    draw = np.random.default_rng(seed)
    z0 = z0_of(seed.to_bytes(32, "little"), (3, 4, 5))
    before = z0.clone()
    flipped = flip_bits(z0, count, draw)
    assert int(np.unpackbits((flipped ^ z0).numpy()).sum()) == count
    moved = shift_levels(z0, step, draw)
    assert set((moved.int() - z0.int()).abs().flatten().tolist()) == {step}
    assert torch.equal(z0, before)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 255))
def test_one_bit_of_the_key(key: bytes, bit: int) -> None:
    changed = int.from_bytes(key, "little") ^ int.from_bytes(flip_key(key, bit), "little")
    assert changed == 1 << bit
