"""From one state forwards and backwards: what is certain by design, what a solver finds, what stays hidden."""

from __future__ import annotations

import learning_targets as targets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.inverters import (
    ByteTables,
    LinearOverBits,
    OwnInverse,
    climb,
    inverters,
    is_affine,
    misfit,
)
from neuralcipher.attacks.generators.state import StateToFuture, StateToPast, Unrepeatable, equal_share, next_segment
from neuralcipher.attacks.planted.generators import Planted, weak_generator
from neuralcipher.attacks.subjects import SALT, z0_of
from neuralcipher.keys import Key, segment_seed, start_latent

SMALL = (1, 4, 16)


def latent(seed: int, shape: tuple[int, int, int] = targets.SHAPE) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize("name", ["chacha20", "feistel-8"])
def test_the_future_is_known_by_design_until_the_segment_ends(name: str) -> None:
    found = targets.row(StateToFuture, name)
    targets.check_row(found, Verdict.BROKEN)
    assert found.known
    assert found.target is not None
    assert found.target.value == 1
    assert max(found.target.details["next_segment_equal"]) < 0.02
    assert found.negative is not None
    assert found.negative.value == 0


def test_a_generator_that_is_no_function_of_its_state() -> None:
    generator = Unrepeatable(targets.SHAPE)
    assert equal_share(generator.next_latent(latent(1)), generator.next_latent(latent(1))) < 0.02


def test_the_next_segment_has_a_start_latent_of_its_own() -> None:
    key = bytes(range(32))
    assert np.array_equal(next_segment(key, SMALL).numpy(), start_latent(segment_seed(Key(key), SALT, 1), SMALL))
    assert equal_share(next_segment(key, targets.SHAPE), z0_of(key, targets.SHAPE)) < 0.02


def test_feistel_goes_back_by_design() -> None:
    found = targets.row(StateToPast, "feistel-8")
    targets.check_row(found, Verdict.BROKEN)
    assert found.known
    assert found.target is not None
    assert found.target.details["how"] == ["own inverse"]
    assert found.target.details["exact_start"] == found.target.samples == 20
    assert found.target.details["equal_bytes_next_segment"] < 0.01


def test_a_process_of_single_bytes_is_undone_without_its_weights() -> None:
    """`autoregressive` rounds and clips, so that not every byte can come back."""
    found = targets.row(StateToPast, "autoregressive")
    targets.check_row(found, Verdict.BROKEN)
    assert not found.known
    assert found.target is not None
    assert found.target.p_value == pytest.approx(2.0**-20)
    assert found.target.details["equal_bytes_last"] > 0.5


def test_an_affine_process_is_solved() -> None:
    found = targets.row(StateToPast, "affine", SMALL)
    targets.check_row(found, Verdict.BROKEN)
    assert found.target is not None
    assert found.target.details["how"] == [LinearOverBits.name]


def test_chacha20_hides_the_past() -> None:
    found = targets.row(StateToPast, "chacha20")
    targets.check_row(found, Verdict.NOT_BROKEN)
    assert found.target is not None
    assert found.target.details["equal_bytes_last"] < 0.01


def test_a_run_without_time_is_not_decidable() -> None:
    found = StateToPast().measure(targets.target("chacha20"), targets.a_run(StateToPast, seconds=1e-9))
    assert (found.decidable, found.samples) == (False, 2)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200))
def test_tables_undo_every_substitution_and_transposition(seed: int, size: int) -> None:
    draw = np.random.default_rng(seed)
    boxes = np.stack([draw.permutation(256) for _ in range(size)]).astype(np.uint8)
    order = draw.permutation(size)
    generator = Planted("boxes", (1, 1, size), lambda z: boxes[np.arange(size), z[:, order]])
    # Places are told apart by which of two images is nearer, so the two must differ: so it is in a substitution.
    z = latent(seed, (1, 1, size))
    assert torch.equal(ByteTables(generator).guess(generator.next_latent(z)), z)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_what_solves_an_affine_process_leads_to_the_state(seed: int) -> None:
    """The state before may not be the only one that does."""
    generator = weak_generator("affine", SMALL)
    after = generator.next_latent(latent(seed, SMALL))
    guess = LinearOverBits(generator).guess(after)
    assert guess is not None
    assert torch.equal(generator.next_latent(guess), after)


def test_each_generator_gets_the_way_that_fits() -> None:
    draw = np.random.default_rng(0)
    kinds = {name: type(inverters(targets.target(name, SMALL).generator, draw)[0]) for name in ("affine", "chacha20")}
    assert kinds == {"affine": LinearOverBits, "chacha20": ByteTables}
    assert isinstance(inverters(targets.target("feistel-8").generator, draw)[0], OwnInverse)
    assert not is_affine(weak_generator("linear", SMALL), draw)  # a sum modulo 256 carries


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_climbing_never_goes_down(seed: int) -> None:
    generator = weak_generator("linear", SMALL)
    z, start = generator.next_latent(latent(seed, SMALL)), latent(seed + 1, SMALL)
    better = climb(generator, z, start, 64, np.random.default_rng(seed))
    assert misfit(generator, better, z) <= misfit(generator, start, z)
    right = latent(seed, SMALL)
    assert torch.equal(climb(generator, z, right, 64, np.random.default_rng(seed)), right)
    assert torch.equal(climb(generator, z, start, 1, np.random.default_rng(seed)), start)
