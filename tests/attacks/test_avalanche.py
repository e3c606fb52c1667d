"""Avalanche: finds what does not spread, spares what does; its statistics by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_targets import SMALL, generator_subject
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.avalanche import Avalanche, Changes, differences, flip_bits
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.session import Settings
from neuralcipher.generators.base import Shape


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("feistel 1", SMALL),
        ("feistel 2", SMALL),
        ("feistel 3", (3, 32, 32)),  # 3 rounds reach all of a smaller latent
        ("affine", SMALL),
        ("block-local", SMALL),
        ("contracting", SMALL),
    ],
)
def test_what_does_not_spread_is_broken(name: str, shape: Shape) -> None:
    row = run_attack(Avalanche, generator_subject(name, shape), Settings())
    assert row.error == ""
    assert row.verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", ["chacha20", "feistel 4", "feistel"])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_spreads_is_not_broken(name: str, seed: int) -> None:
    row = run_attack(Avalanche, generator_subject(name), Settings(seed=seed))
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert row.target.value == pytest.approx(255 / 256, abs=0.002)
    assert row.target.details["key_bit_through_kdf"]["z0_bytes"] == pytest.approx(255 / 256, abs=0.01)
    assert "bits of z_1" in row.target.note


def test_rounds_are_shown_for_feistel_only() -> None:
    row = run_attack(Avalanche, generator_subject("feistel"), Settings())
    assert row.target is not None
    assert row.negative is not None
    shares = row.target.details["bytes_by_rounds"]
    assert shares["1"] < 0.3
    assert shares["8"] > 0.99
    assert row.negative.details["bytes_by_rounds"] == {}


@given(st.lists(st.integers(0, 8 * 256 - 1), min_size=1, max_size=8, unique=True), st.integers(0, 2**32 - 1))
def test_a_flip_changes_that_bit_and_no_other(bits: list[int], seed: int) -> None:
    z = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, 16, 16), dtype=np.uint8))
    found = np.unpackbits(differences(flip_bits(z, np.array(bits))), axis=1, bitorder="little")
    assert found.sum(axis=1).tolist() == [1] * len(bits)
    assert found.argmax(axis=1).tolist() == bits


def test_changes_by_hand() -> None:
    """Two keys, two flips, latents of two bytes, of which the second is sampled."""
    changes = Changes.none(flips=2, sampled=1, blocks=2)
    changes.add(np.array([[0, 0b11], [0xFF, 0]], dtype=np.uint8), np.array([1]))
    changes.add(np.array([[1, 0b01], [0, 0]], dtype=np.uint8), np.array([1]))
    assert changes.bytes_changed.tolist() == [3, 1]
    assert changes.bits_changed == 2 + 8 + 1 + 1
    # Of the 16 cells one changed once; 14 never; one, the lowest bit after the first flip, always.
    assert changes.constant_cells() == 15
    assert changes.by_block.tolist() == [[1 / 8, 3 / 8], [1.0, 0.0]]
    p_values = changes.p_values(size=2)
    q = 255 / 256
    exactly = {8: q**8, 7: 8 * q**7 / 256, 6: 28 * q**6 / 256**2, 5: 56 * q**5 / 256**3}
    assert p_values["bytes"] == pytest.approx(1 - sum(exactly.values()), rel=1e-4)
    assert p_values["worst flip"] == pytest.approx(2 * (4 * q / 256**3 + 1 / 256**4))
    assert p_values["constant cells"] == pytest.approx(17 / 2**16)  # 15 or 16 of 16, at 1/2 each
    assert 0 < p_values["bits"] < 1e-6  # 12 of 64
    # Of two keys the outer 5 % is what there is: 0 or 2 of them, at 1/2.
    assert p_values["biased cells"] == pytest.approx(17 / 2**16)
    assert p_values["worst cell"] == 1.0  # 16 cells at 1/2


def test_cells_of_many_keys_by_hand() -> None:
    """Twelve keys: a cell in the outer 5 % is one of 0, 1, 2, 10, 11, 12, with chance 2 (1 + 12 + 66) / 4096."""
    changes = Changes.none(flips=1, sampled=1, blocks=1)
    for number in range(12):
        changes.add(np.array([[0b11 if number < 10 else 0b01]], dtype=np.uint8), np.array([0]))
    p_values = changes.p_values(size=1)
    # Of eight cells six never change, one always does, one in ten of twelve keys: all are in the outer 5 %.
    assert p_values["biased cells"] == pytest.approx((158 / 4096) ** 8)
    assert p_values["constant cells"] == pytest.approx(8 * (2 / 4096) ** 7, rel=1e-2)
    assert p_values["worst cell"] == pytest.approx(8 * 2 / 4096)


def test_under_the_null_p_values_are_uniform_enough() -> None:
    """Differences of ideal noise: none of 200 runs has a p-value below 1e-5, and the medians are ordinary."""
    draw = np.random.default_rng(3)
    found = []
    for _ in range(200):
        changes = Changes.none(4, 16, 4)
        for _ in range(4):
            changes.add(draw.integers(0, 256, (4, 64), dtype=np.uint8), np.arange(16))
        found.append(list(changes.p_values(64).values()))
    p_values = np.array(found)
    assert p_values.min() > 1e-5
    assert np.all((p_values <= 0.1).mean(axis=0) < 0.18)  # 20 of 200 expected, 36 is 3.8 standard deviations


def test_out_of_time_is_not_decided() -> None:
    row = run_attack(Avalanche, generator_subject("chacha20"), Settings(), seconds=1e-9)
    assert row.verdict is Verdict.INCONCLUSIVE
