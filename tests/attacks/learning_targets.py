"""Targets of the attacks on generators: small, each made once."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from neuralcipher.attacks.base import CONTROL_LEVEL, Attack, Verdict
from neuralcipher.attacks.judge import Row, run_attack
from neuralcipher.attacks.planted.generators import Planted, control_generator, weak_generator
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import GeneratorSubject
from neuralcipher.generators.autoencoder import AutoencoderConfig, AutoencoderGenerator
from neuralcipher.generators.base import Generator, Shape
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

SHAPE: Shape = (3, 16, 16)
QUICK = Settings()


def nothing(fraction: float) -> None:
    """Progress that nobody looks at."""


@cache
def target(name: str, shape: Shape = SHAPE) -> GeneratorSubject:
    """The g of this name, as everyone has it.

    name: planted, or "chacha20", "feistel-<rounds>", "dead" (ignores z), "autoencoder-plain" (no remedies, untrained).
    """
    kind, _, detail = name.partition("-")
    generator: Generator
    if name == "chacha20":
        generator = control_generator(shape)
    elif kind == "feistel":
        generator = FeistelGenerator(shape, bytes(32), FeistelConfig(rounds=int(detail)))
    elif name == "dead":
        generator = Planted("weak-dead", shape, np.zeros_like)
    elif name == "autoencoder-plain":
        config = AutoencoderConfig(steps=0, remedies=False)
        z0 = torch.zeros(shape, dtype=torch.uint8)
        generator = AutoencoderGenerator.train(shape, seed=bytes(32), z0=z0, progress=nothing, config=config)
    else:
        generator = weak_generator(name, shape)
    return GeneratorSubject(name, generator)


@cache
def row(kind: type[Attack], name: str, shape: Shape = SHAPE) -> Row:
    """The row of an attack at quick depth, run once for all tests that look at it."""
    return run_attack(kind, target(name, shape), QUICK)


def check_row(found: Row, verdict: Verdict) -> None:
    """The verdict, and controls that make it valid by a wide margin."""
    assert (found.verdict, found.error, found.skipped) == (verdict, "", "")
    assert found.positive is not None
    assert found.positive.rejects(CONTROL_LEVEL)
    assert found.negative is not None
    assert not found.negative.rejects(CONTROL_LEVEL)


def a_run(kind: type[Attack], role: str = "target", seed: int = 0, seconds: float | None = None) -> Run:
    return Run(Settings(seed=seed), kind.info.name, role, seconds)
