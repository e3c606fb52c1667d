"""Avalanche: one bit of the start latent flipped, and every bit of the keystream must be a coin toss again."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Figure, Lines, Matrix
from neuralcipher.attacks.generators.byte_nulls import IDEAL_CHANGED, affordable, bytes_to_see, few_changed
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import binomial_above, binomial_two_sided, clopper_pearson
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of
from neuralcipher.generators.base import Generator
from neuralcipher.generators.feistel import FeistelConfig, FeistelGenerator

STEPS = (1, 2, 4)

_EFFECT = 0.005
"""Share of bytes out of reach of a flip that the sample must be able to show."""

_OUTER = 0.05
_CELL_BYTES = 1024
_BLOCKS = 64
_ROUNDS_SHOWN = 8


@dataclass(slots=True)
class Changes:
    """What flips changed after some steps, over all keys.

    bytes_changed: (flips,), of keys * size each. bits_changed: of all keys and flips. cells: (flips, sampled output
    bits), number of keys for which the bit changed. by_block: (flips, blocks) of changed bits along the latent.
    """

    bytes_changed: NDArray[np.int64]
    bits_changed: int
    cells: NDArray[np.int64]
    by_block: NDArray[np.float64]
    keys: int = 0

    @classmethod
    def none(cls, flips: int, sampled: int, blocks: int) -> Changes:
        return cls(np.zeros(flips, np.int64), 0, np.zeros((flips, 8 * sampled), np.int64), np.zeros((flips, blocks)))

    def add(self, difference: NDArray[np.uint8], sample: NDArray[np.int64]) -> None:
        """One more key. difference: (flips, size), XOR of the latents; sample: places of the bytes of the cells."""
        self.bytes_changed += (difference != 0).sum(axis=1)
        ones = _POPULATION[difference]
        self.bits_changed += int(ones.sum())
        self.cells += np.unpackbits(difference[:, sample], axis=1)
        parts = np.array_split(ones, self.by_block.shape[1], axis=1)
        self.by_block += np.stack([part.mean(axis=1) / 8 for part in parts], axis=1)
        self.keys += 1

    def p_values(self, size: int) -> dict[str, float]:
        """Each exact or a valid bound under the null that every bit of every difference is a fair coin.

        bytes: too few changed. worst flip: of the flip that changed fewest, times the number of flips. bits: total,
        two-sided. Of the cells (input bit, output bit) of the strict avalanche matrix, each Bin(keys, 1/2), for two
        keys or more: constant cells: too many that change for all keys or for none, as in a g that is affine over
        GF(2); biased cells: too many in the outer 5 % of that binomial; worst cell: two-sided, times their number.
        """
        flips = len(self.bytes_changed)
        found = {
            "bytes": few_changed(int(self.bytes_changed.sum()), flips * self.keys * size),
            "worst flip": min(1.0, flips * few_changed(int(self.bytes_changed.min()), self.keys * size)),
            "bits": binomial_two_sided(self.bits_changed, 8 * flips * self.keys * size),
        }
        if self.keys > 1:
            outer = [binomial_two_sided(count, self.keys) for count in range(self.keys + 1)]
            # Chance of a cell whose two-sided p-value is at most 5 %, or the least that there is.
            bound = max(_OUTER, outer[0])
            extreme = [count for count, p in enumerate(outer) if p <= bound]
            rate = float(np.sum(stats.binom.pmf(extreme, self.keys, 0.5)))
            hits = int(np.isin(self.cells, extreme).sum())
            least = outer[int(np.abs(self.cells - self.keys / 2).max() + self.keys / 2)]
            found["constant cells"] = binomial_above(self.constant_cells(), self.cells.size, 2.0 ** (1 - self.keys))
            found["biased cells"] = binomial_above(hits, self.cells.size, rate)
            found["worst cell"] = min(1.0, self.cells.size * least)
        return found

    def constant_cells(self) -> int:
        return int(((self.cells == 0) | (self.cells == self.keys)).sum())

    def plain(self, size: int) -> dict[str, Any]:
        """For the report's JSON."""
        flips = len(self.bytes_changed)
        return {
            "bytes": float(self.bytes_changed.sum()) / (flips * self.keys * size),
            "worst_flip_bytes": float(self.bytes_changed.min()) / (self.keys * size),
            "bits": self.bits_changed / (8 * flips * self.keys * size),
            "constant_cells": self.constant_cells() / self.cells.size,
            "p_values": self.p_values(size),
        }


_POPULATION = np.array([bin(value).count("1") for value in range(256)], dtype=np.uint8)


def flip_bits(z: Tensor, bits: NDArray[np.int64]) -> Tensor:
    """(len(bits) + 1, C, H, W) uint8: z, then z with one bit flipped each; bit b is bit b % 8 of byte b // 8."""
    batch = z.contiguous().repeat(len(bits) + 1, 1, 1, 1)
    rows = batch.view(len(bits) + 1, -1)
    for row, bit in enumerate(bits.tolist(), start=1):
        rows[row, bit // 8] ^= 1 << (bit % 8)
    return batch


def differences(batch: Tensor) -> NDArray[np.uint8]:
    """XOR of the first latent with each of the others: (n - 1, size)."""
    rows = batch.reshape(len(batch), -1).cpu().numpy()
    return np.asarray(rows[1:] ^ rows[:1])


@register("avalanche")
class Avalanche:
    """One key bit flipped, for fresh keys at spread places, against exact binomials."""

    info: ClassVar[Info] = Info(
        number=16,
        name="avalanche",
        title="avalanche and strict avalanche matrix",
        properties=(1,),
        threat_models=(ThreatModel.NEAR_KEY,),
        needs=Needs.GENERATOR,
        statistic="changed bytes and bits of z_1, z_2, z_4 after one flipped bit of z_0; cells of the strict avalanche "
        "matrix that never vary, or lean to a side",
        null="each bit of the difference is a fair coin: bytes ~ Bin(n, 255/256), bits ~ Bin(n, 1/2), "
        "cells ~ Bin(keys, 1/2)",
        rule="the least of 20 exact p-values (6 statistics at 3 depths; z_0 and z_1 of a key with one bit flipped) "
        "after Holm",
        positive="identity g: one flipped bit stays one flipped bit",
        negative="ChaCha20 keystream",
        failure="two keys that differ in one bit of z_0 share part of their keystream, so a nearly right key shows "
        "part of the video",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        return weak("identity", shape), ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        size = math.prod(target.shape)
        draw = run.draw("places")
        budget = run.pick(quick=40_000_000, full=600_000_000)
        flips = affordable(run.pick(quick=16, full=48), 4, 4 * STEPS[-1] * size, budget)
        keys = affordable(run.pick(quick=8, full=48), 4, (flips + 1) * STEPS[-1] * size, budget)
        edges = np.linspace(0, 8 * size, flips + 1).astype(np.int64)
        bits = np.array([draw.integers(low, high) for low, high in itertools.pairwise(edges)])
        sample = np.sort(draw.choice(size, min(size, _CELL_BYTES), replace=False))
        blocks = min(_BLOCKS, size)
        found = {steps: Changes.none(flips, len(sample), blocks) for steps in STEPS}
        for number in range(keys):
            if number and run.out_of_time():
                break
            batch = flip_bits(target.start(run.key_bytes("key", number), target.shape), bits)
            for step in range(1, STEPS[-1] + 1):
                batch = target.generator.next_latent(batch)
                if step in found:
                    found[step].add(differences(batch), sample)
            run.progress((number + 1) / (keys + 1))
        return _judge(target, found, _through_kdf(target, run), size, keys)


def _judge(
    target: GeneratorSubject, found: dict[int, Changes], kdf: dict[str, float], size: int, wanted: int
) -> Measurement:
    first = found[STEPS[0]]
    flips, keys = len(first.bytes_changed), first.keys
    p_values = {f"{name}, {k} steps": p for k, changes in found.items() for name, p in changes.p_values(size).items()}
    p_values |= {"key bit, z_0": kdf["z0_p_value"], "key bit, z_1": kdf["z1_p_value"]}
    p_value = min(holm(list(p_values.values())))
    worst = min(p_values, key=lambda name: p_values[name])
    total = flips * keys * size
    changed = int(first.bytes_changed.sum())
    by_steps = {steps: changes.plain(size) for steps, changes in found.items()}
    rounds = _by_rounds(target.generator, target.start(bytes(32), target.shape))
    return Measurement(
        value=changed / total,
        unit="of bytes changed after one step",
        samples=keys,
        interval=clopper_pearson(changed, total),
        threshold=IDEAL_CHANGED,
        p_value=p_value,
        decidable=keys == wanted and total >= bytes_to_see(_EFFECT, CONTROL_LEVEL / len(p_values)),
        effort=f"{keys} keys, {flips} flipped bits each, 1, 2 and 4 steps",
        note=f"one flipped bit of z_0 changes {changed / total:.2%} of the bytes and {by_steps[1]['bits']:.2%} of the "
        f"bits of z_1 (ideal {IDEAL_CHANGED:.2%} and 50 %), {by_steps[4]['bytes']:.2%} of the bytes of z_4; least p: "
        f"{worst}. The interval takes bytes as independent, as they are under the null. Through the KDF, one bit of "
        f"the 32-byte key changes {kdf['z1_bytes']:.2%} of z_1.",
        details={
            "steps": {str(steps): plain for steps, plain in by_steps.items()},
            "key_bit_through_kdf": kdf,
            "bytes_by_rounds": {str(count): share for count, share in rounds.items()},
            "latent_bytes": size,
        },
        figures=_figures(found, by_steps, rounds),
    )


def _through_kdf(target: GeneratorSubject, run: Run) -> dict[str, float]:
    """One bit of the 32-byte key flipped: shares of changed bytes of z_0 and z_1, and their exact p-values."""
    draw = run.draw("key bits")
    flips = run.pick(quick=4, full=32)
    key = run.key_bytes("kdf", 0)
    starts = [target.start(key, target.shape)]
    for bit in draw.choice(256, flips, replace=False).tolist():
        flipped = bytearray(key)
        flipped[bit // 8] ^= 1 << (bit % 8)
        starts.append(target.start(bytes(flipped), target.shape))
    z0 = torch.stack(starts)
    before = differences(z0) != 0
    after = differences(target.generator.next_latent(z0)) != 0
    return {
        "flips": flips,
        "z0_bytes": float(before.mean()),
        "z1_bytes": float(after.mean()),
        "z0_p_value": few_changed(int(before.sum()), before.size),
        "z1_p_value": few_changed(int(after.sum()), after.size),
    }


def _by_rounds(generator: Generator, z0: Tensor) -> dict[int, float]:
    """Share of bytes that one flip changes in one step of the same feistel generator with 1, 2, ... rounds, or {}."""
    if not isinstance(generator, FeistelGenerator):
        return {}
    found: dict[int, float] = {}
    batch = flip_bits(z0, np.array([2 * z0.numel(), 6 * z0.numel()]))
    for rounds in range(1, min(_ROUNDS_SHOWN, generator.config.rounds) + 1):
        config = FeistelConfig(rounds, generator.config.hidden)
        shorter = FeistelGenerator(generator.shape, generator.seed, config, counter=generator.counter)
        found[rounds] = float((differences(shorter.next_latent(batch)) != 0).mean())
    return found


def _figures(
    found: dict[int, Changes], by_steps: dict[int, dict[str, Any]], rounds: dict[int, float]
) -> tuple[Figure, ...]:
    steps = [float(k) for k in found]
    first = found[STEPS[0]]
    shown: list[Figure] = [
        Lines(
            "Bytes changed by one flipped bit of the start latent",
            "steps of g",
            "share of bytes",
            {
                "all flips": (steps, [by_steps[k]["bytes"] for k in found]),
                "worst flip": (steps, [by_steps[k]["worst_flip_bytes"] for k in found]),
            },
            {"ideal, 255/256": IDEAL_CHANGED},
        )
    ]
    if rounds:
        counts = [float(count) for count in rounds]
        shown.append(
            Lines(
                "The same after one step, by the number of rounds",
                "rounds",
                "share of bytes",
                {"two flips, one in each half": (counts, list(rounds.values()))},
                {"ideal, 255/256": IDEAL_CHANGED},
            )
        )
    shown.append(
        Matrix(
            "Changed bits after one step, by place",
            "block of the output latent",
            "flipped input bit",
            first.by_block / first.keys,
            0.0,
            1.0,
        )
    )
    return tuple(shown)
