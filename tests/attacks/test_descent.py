"""Gradients through a public g: of the very function that runs, and what following them gives."""

from __future__ import annotations

import hashlib

import learning_targets as targets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralcipher.attacks.generators.descent import Descent, differentiable
from neuralcipher.attacks.generators.inverters import inverters, misfit
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator


def autoencoder(seed: int, *, remedies: bool) -> AutoencoderGenerator:
    config = AutoencoderConfig(steps=0, length=2, nconv=3, remedies=remedies)
    z0 = torch.zeros(targets.SHAPE, dtype=torch.uint8)
    public = hashlib.sha256(bytes([seed])).digest()
    return AutoencoderGenerator.train(targets.SHAPE, seed=public, z0=z0, progress=targets.nothing, config=config)


@settings(max_examples=4)
@given(st.integers(0, 255), st.booleans())
def test_the_differentiable_g_is_g(seed: int, remedies: bool) -> None:
    generator = autoencoder(seed, remedies=remedies)
    step = differentiable(generator)
    assert step is not None
    z = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (2, *targets.SHAPE), dtype=np.uint8))
    assert torch.equal(step(z.float()), generator.next_latent(z).float())


def test_descent_comes_nearer_where_g_is_smooth() -> None:
    generator = autoencoder(1, remedies=False)
    step = differentiable(generator)
    assert step is not None
    z = generator.next_latent(generator.next_latent(torch.full(targets.SHAPE, 77, dtype=torch.uint8)))
    near, far = (Descent(step, steps, np.random.default_rng(5)).guess(z) for steps in (60, 1))
    assert near is not None
    assert far is not None
    assert misfit(generator, near, z) < 0.8 * misfit(generator, far, z)


def test_a_gradient_that_vanishes_is_told() -> None:
    way = Descent(lambda x: (0 * x).detach() + 0 * x, 5, np.random.default_rng(0))
    way.guess(torch.zeros(1, 4, 4, dtype=torch.uint8))
    assert way.zero_gradient


@pytest.mark.parametrize("name", ["chacha20", "linear"])
def test_no_gradients_without_a_network(name: str) -> None:
    assert differentiable(targets.target(name).generator) is None
    assert len(inverters(targets.target(name).generator, np.random.default_rng(0), 9)) == 1


def test_an_autoencoder_is_attacked_by_gradients_too() -> None:
    names = [way.name for way in inverters(autoencoder(2, remedies=True), np.random.default_rng(0), 9)]
    assert names == ["tables of single bytes", "gradient descent"]
