"""Small pairs <g, F> for the tests of attacks: three videos of 16x16, sealed with planted flows or the paper's."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuralcipher.attacks.base import find
from neuralcipher.attacks.judge import Row, run_attack
from neuralcipher.attacks.pairs import chosen_plaintext, imposter, key_ladder, mean_frame, membership, reused_key
from neuralcipher.attacks.planted.flows import recipe
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import PairSubject
from neuralcipher.flows.autoencoder import AutoencoderConfig, AutoencoderFlow
from neuralcipher.flows.base import Flow

ATTACKS = (chosen_plaintext, imposter, key_ladder, mean_frame, membership, reused_key)
"""Imported, so that each is registered whether or not the package is installed anew."""

SIDE = 16
KEY = bytes(range(32))
QUICK = Settings("quick", seed=3)


def video(kind: int, count: int = 6, side: int = SIDE) -> Tensor:
    """One of three videos that differ in colour, direction and contrast; each frame moves on by a pixel."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    frames = []
    for i in range(count):
        planes = (
            (200 - 6 * y, 60 + 5 * (x + i), 30 + 90 * ((x + i) % 8 < 4)),
            (30 + 8 * x, 200 - 4 * (y + i), 120 + 60 * np.sin((x + y + i) / 3)),
            (128 + 100 * np.sign(np.sin((x + 2 * i) / 2)), 100 + 2 * y, 10 + 4 * (y + i)),
        )[kind]
        frames.append(np.stack(planes))
    return torch.from_numpy(np.stack(frames).clip(0, 255).astype(np.uint8))


def planted(flow: type[Flow], generator: str | None = None, config: Any = None, count: int = 6) -> PairSubject:
    """The first video in a planted flow, with the other two beside it."""
    others = [video(1, count), video(2, count)]
    return recipe(flow, generator, config).seal(flow.name, video(0, count), KEY, others)


@cache
def autoencoder(generator: str | None = None, steps: int = 150) -> PairSubject:
    """The first video in the paper's flow."""
    return planted(AutoencoderFlow, generator, AutoencoderConfig(nconv=8, steps=steps))


def attacked(name: str, subject: PairSubject, seed: int = 3) -> Row:
    """The row of one attack."""
    row = run_attack(find(name), subject, Settings("quick", seed=seed))
    assert not row.error, row.error
    return row


def measured(name: str, subject: PairSubject, seed: int = 3) -> Any:
    """What an attack finds in a subject, without its controls."""
    return find(name)().measure(subject, Run(Settings("quick", seed=seed), name))
