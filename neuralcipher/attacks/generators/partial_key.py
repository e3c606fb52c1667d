"""Divide and conquer: is a part of the start latent worth anything without the rest?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import advantage, binomial_above, smallest_visible
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of

FloatArray = NDArray[np.float64]


BLOCKS = 8
"""Into which a start latent is cut, in (C, H, W) order."""

KNOWN = (1, 4, 7)
"""Blocks that are right: one, half of them, all but one. They lie together, and go round from key to key."""

VISIBLE = 0.85
"""The advantage that a run must be able to see: certain gain has 1."""


def partly_known(z0: Tensor, other: Tensor, first: int, count: int) -> Tensor:
    """`count` blocks of z0, from block `first` on and around the end, the rest from `other`. (C, H, W) uint8."""
    block = np.arange(z0.numel()) * BLOCKS // z0.numel()
    known = torch.from_numpy((block - first) % BLOCKS < count).view(z0.shape)
    return torch.where(known, z0, other)


@register("partial-key")
class PartialKey:
    """Some blocks of z0 are right and the others random: is g of that nearer to g(z0) than g of a stranger?"""

    info: ClassVar[Info] = Info(
        number=15,
        name="partial-key",
        title="Is a part of the key worth anything?",
        properties=(1, 3),
        threat_models=(ThreatModel.NEAR_KEY,),
        needs=Needs.GENERATOR,
        statistic="whether g of a partly known key is nearer to g(z0) than g of an unrelated one: advantage, for 1, 4 "
        "and 7 of 8 blocks known",
        null="a fair coin a key, exact, if a part gives nothing; ties count against the attacker",
        rule="one-sided exact binomial p, three times, for three shares",
        positive="weak-block-local: blocks of 8 bytes that never mix",
        negative="chacha20",
        failure="a key is found block by block, each as cheap as its own few bytes",
        weight=0.5,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("block-local"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        keys = run.pick(quick=64, full=3000)
        found: list[FloatArray] = []
        for i in range(keys):
            if run.out_of_time() and i >= BLOCKS:
                break
            found.append(_compare(target, run, i))
            run.progress((i + 1) / keys)
        return _judge(np.stack(found))


def _compare(target: GeneratorSubject, run: Run, i: int) -> FloatArray:
    """(2, 1 + shares): mean absolute difference from g(z0), and share of equal bytes, of a stranger and of parts."""
    # The rest of a guess is a key of its own for every share, so that no two candidates have more in common.
    labels = ("true", "stranger", *(f"rest {count}" for count in KNOWN))
    z0, stranger, *rests = target.starts([run.key_bytes(label, i) for label in labels])
    parts = [partly_known(z0, rest, i % BLOCKS, count) for count, rest in zip(KNOWN, rests, strict=True)]
    truth, *seen = target.after(torch.stack([z0, stranger, *parts]))
    differences = [(z.to(torch.int16) - truth.to(torch.int16)).abs().double() for z in seen]
    return np.array([[float(d.mean()) for d in differences], [float((d == 0).double().mean()) for d in differences]])


def _judge(found: FloatArray) -> Measurement:
    """found: (keys, 2, 1 + shares)."""
    trials, names = len(found), [f"{count}/{BLOCKS}" for count in KNOWN]
    distance, equal = found[:, 0], found[:, 1].mean(axis=0)
    nearer = distance[:, 1:] < distance[:, :1]
    right = [int(count) for count in nearer.sum(axis=0)]
    gain = 1 - distance[:, 1:].mean(axis=0) / distance[:, 0].mean() if distance[:, 0].any() else np.zeros(len(KNOWN))
    best = int(np.argmax(right))
    value, interval = advantage(right[best], trials, 0.99)
    visible = smallest_visible(trials, CONTROL_LEVEL / len(KNOWN))
    by_block = [[float(x) for x in nearer[block::BLOCKS].mean(axis=0)] for block in range(min(BLOCKS, trials))]
    shares = [0.0, *(count / BLOCKS for count in KNOWN)]
    told = ", ".join(
        f"{name}: gain {100 * g:+.2f} %, {100 * e:.2f} % of bytes equal"
        for name, g, e in zip(names, gain, equal[1:], strict=True)
    )
    return Measurement(
        value=value,
        unit="advantage",
        samples=trials,
        interval=interval,
        confidence=0.99,
        p_value=min(1.0, len(KNOWN) * min(binomial_above(count, trials) for count in right)),
        decidable=visible <= VISIBLE,
        effort=f"{trials} keys, {len(KNOWN)} partly known ones each",
        note=f"blocks known {told} (strangers: {100 * equal[0]:.2f} %); {trials} keys show an advantage of "
        f"{visible:.2f} with power .9",
        details={
            "nearer": dict(zip(names, right, strict=True)),
            "gain": dict(zip(names, gain.tolist(), strict=True)),
            "equal_bytes": dict(zip(["stranger", *names], equal.tolist(), strict=True)),
            "nearer_by_first_block": by_block,
            "smallest_visible": visible,
        },
        figures=(
            Lines(
                "Gain from a part of the key",
                "share of the start latent that is right",
                "share of the way from a stranger to the true state",
                {"gain": (shares, [0.0, *gain.tolist()]), "bytes equal": (shares, equal.tolist())},
                {"nothing gained": 0.0},
            ),
        ),
    )
