"""Image statistics of keystream bytes: LCGs, drifts and dead bytes are found, ciphers pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from generator_targets import SMALL, generator_subject
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.images import ON_IMAGES, SIDE, ImageStatistics, Keystreams
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.planted.lcg_words import lcg_words
from neuralcipher.attacks.session import Settings

SHAPE = (3, 64, 64)


@pytest.mark.parametrize("name", ["contracting", "dead-units", "block-local"])
def test_what_is_no_noise_is_broken(name: str) -> None:
    row = run_attack(ImageStatistics, generator_subject(name, SHAPE), Settings())
    assert row.error == ""
    assert row.verdict is Verdict.BROKEN


@pytest.mark.parametrize("name", ["chacha20", "feistel"])
def test_noise_is_not_broken(name: str) -> None:
    row = run_attack(ImageStatistics, generator_subject(name, SHAPE), Settings(seed=2))
    assert row.verdict is Verdict.NOT_BROKEN
    assert row.target is not None
    assert row.target.value == pytest.approx(255 / 256, abs=0.001)
    assert row.target.details["uaci"] == pytest.approx(257 / 768, abs=0.003)
    assert "Necessary, not sufficient" in row.target.note


def test_the_positive_control_is_too_even() -> None:
    row = run_attack(ImageStatistics, generator_subject("chacha20", SHAPE), Settings())
    assert row.positive is not None
    p_values = row.positive.details["p_values"]
    assert row.positive.details["mean_over_keys"]["chi-square"] < 200
    assert p_values["chi-square, how often"] < 1e-6
    assert p_values["NPCR"] < 1e-6


def test_the_high_bytes_of_a_congruential_generator_pass_all_but_npcr_and_uaci() -> None:
    """What the note says: necessary, not sufficient."""
    row = run_attack(ImageStatistics, generator_subject("lcg32", SHAPE), Settings())
    assert row.verdict is Verdict.BROKEN
    assert row.target is not None
    p_values = dict(row.target.details["p_values"])
    assert p_values.pop("NPCR") < 1e-6
    assert p_values.pop("UACI") < 1e-6
    assert min(p_values.values()) > 1e-3


def test_keystreams_are_those_of_the_generator() -> None:
    target = generator_subject("chacha20", SMALL)
    keys, bits = [bytes([n]) * 32 for n in range(3)], [0, 77, 6143]
    streams = Keystreams()
    streams.add(target, keys, bits)
    for key, bit, image, first, twin in zip(keys, bits, streams.images, streams.first, streams.twins, strict=True):
        z = target.start(key, SMALL)
        walked = [target.after(z, steps).numpy().reshape(-1) for steps in (1, 2, 91)]
        assert image.shape == (SIDE, SIDE)
        assert np.array_equal(image.reshape(-1)[:1536], np.concatenate(walked[:2]))
        assert np.array_equal(image.reshape(-1)[90 * 768 :], walked[2][: SIDE**2 - 90 * 768])
        assert np.array_equal(first, walked[0])
        z.view(-1)[bit // 8] ^= 1 << (bit % 8)
        assert np.array_equal(twin, target.after(z).numpy().reshape(-1))


@given(st.integers(0, 2**32 - 1))
def test_every_statistic_of_a_flat_image_is_beyond_doubt(value: int) -> None:
    flat = np.full((SIDE, SIDE), value % 256, dtype=np.uint8)
    for name, statistic in ON_IMAGES.items():
        assert statistic(flat).p_value < 1e-12, name


@given(st.integers(0, 2**32 - 1), st.sampled_from([(1, 1, 256), (1, 3, 87), (2, 5, 26)]))
def test_the_words_of_the_planted_generator_follow_each_other(seed: int, shape: tuple[int, int, int]) -> None:
    """x -> 1664525 x + 1013904223, from one latent to the next too; a last part of a word is lost."""
    target = lcg_words(shape)
    size = int(np.prod(shape))
    z = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    latent = torch.from_numpy(z).reshape(shape)
    x = int.from_bytes(z[4 * (size // 4) - 4 : 4 * (size // 4)].tobytes(), "little")
    for _ in range(2):
        latent = target.generator.next_latent(latent)
        data = latent.numpy().tobytes()
        for place in range(0, 4 * (size // 4), 4):
            x = (1664525 * x + 1013904223) % 2**32
            assert int.from_bytes(data[place : place + 4], "little") == x
