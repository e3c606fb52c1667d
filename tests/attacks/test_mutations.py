"""The product with a fault put in: each must be BROKEN by an attack, and the sound product must not.

A comparison that stops early is in test_timing, with the product's own unlock; so is HKDF with a constant salt in
test_reuse, with the product's own flow.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from neuralcipher import attacks
from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators.avalanche import Avalanche
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.subjects import GeneratorSubject
from neuralcipher.generators.base import Shape
from neuralcipher.generators.feistel import FeistelGenerator

SMALL: Shape = (3, 16, 16)


def test_two_rounds_are_too_few() -> None:
    for rounds, verdict in ((2, Verdict.BROKEN), (8, Verdict.NOT_BROKEN)):
        report = attacks.run("feistel", shape=SMALL, options={"rounds": rounds}, only=["avalanche"])
        assert report.verdict is verdict


def raw(key: bytes, shape: Shape) -> Tensor:
    """z0 without a KDF: the key's bytes, again and again."""
    return torch.from_numpy(np.resize(np.frombuffer(key, np.uint8), shape).copy())


def test_a_start_latent_without_a_kdf() -> None:
    """g diffuses so well that z_1 does not tell; the start latent itself does."""
    generator = FeistelGenerator(SMALL, bytes(32))
    faulty = run_attack(Avalanche, GeneratorSubject("no KDF", generator, raw), Settings())
    assert (faulty.verdict, faulty.error) == (Verdict.BROKEN, "")
    assert faulty.target is not None
    assert "key bit, z_0" in faulty.target.note
    assert run_attack(Avalanche, GeneratorSubject("sound", generator), Settings()).verdict is Verdict.NOT_BROKEN
