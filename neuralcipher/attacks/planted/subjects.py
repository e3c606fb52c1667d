"""Planted generators and the ideal one as subjects: what the controls of attacks on generators are."""

from __future__ import annotations

from neuralcipher.attacks.planted.generators import control_generator, weak_generator
from neuralcipher.attacks.subjects import GeneratorSubject
from neuralcipher.generators.base import Shape

CONTROL_SHAPE: Shape = (3, 16, 16)
"""Of controls that need not be as large as the target: most of a run's time is then the target's."""


def weak(name: str, shape: Shape = CONTROL_SHAPE) -> GeneratorSubject:
    """A planted generator, a key of `planted.generators.GENERATORS`."""
    generator = weak_generator(name, shape)
    return GeneratorSubject(generator.name, generator)


def ideal(shape: Shape = CONTROL_SHAPE) -> GeneratorSubject:
    """ChaCha20, the negative control."""
    return GeneratorSubject("chacha20", control_generator(shape))
