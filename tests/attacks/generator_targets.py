"""Generators to attack, strong and weak, small enough for tests."""

from __future__ import annotations

from neuralcipher.attacks.planted.generators import control_generator
from neuralcipher.attacks.planted.subjects import weak
from neuralcipher.attacks.subjects import GeneratorSubject
from neuralcipher.generators.base import Shape
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

SMALL: Shape = (3, 16, 16)


def generator_subject(name: str, shape: Shape = SMALL) -> GeneratorSubject:
    """Called "chacha20", "feistel" (8 rounds), "feistel 3" (3 rounds), or a planted generator by name."""
    if name == "chacha20":
        return GeneratorSubject(name, control_generator(shape))
    if name.startswith("feistel"):
        rounds = int(name.partition(" ")[2] or 8)
        return GeneratorSubject(name, FeistelGenerator(shape, bytes(range(32)), FeistelConfig(rounds)))
    return weak(name, shape)
