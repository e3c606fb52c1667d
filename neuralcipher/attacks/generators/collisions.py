"""Two states with one successor: by climbing towards one, and by the birthday paradox on pieces of the output."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import binomial_above
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of
from neuralcipher.generators.base import Generator

Bytes = NDArray[np.uint8]


CLOSE = 8
"""Bytes that differ by so much or less are close."""

CLOSE_RATE = (256 + 2 * sum(256 - d for d in range(1, CLOSE + 1))) / 65536
"""Of two independent uniform bytes: 6.5 %."""

_BATCH = 16


@dataclass(frozen=True, slots=True)
class Nearest:
    """The best pairs that were found: most bytes equal, most bytes close, among so many pairs of different inputs.

    first, second: the inputs of the pair with most equal bytes, (size,) uint8.
    """

    equal: int
    close: int
    pairs: int
    first: Bytes
    second: Bytes


def changes(z: Bytes, width: int, draw: np.random.Generator) -> list[Bytes]:
    """Inputs that a careless g may not tell from z: its lowest and highest bits, single bytes, complements, shifts."""
    out = [z ^ np.uint8(0xFF), z ^ np.uint8(0x80), z ^ np.uint8(1), z + np.uint8(128), np.roll(z, 1), np.roll(z, width)]
    out += [np.roll(z, len(z) // 2), np.ascontiguousarray(z[::-1])]
    for place in draw.integers(0, len(z), 24):
        for bit in (1, 0x80):
            out.append(z.copy())
            out[-1][place] ^= bit
    return out


def climb_to_collision(
    generator: Generator, evaluations: int, draw: np.random.Generator, stop: Callable[[], bool]
) -> Nearest:
    """Look for z' != z with g(z') near to g(z): first by `changes`, then by changing the best z' a byte at a time."""
    size = math.prod(generator.shape)
    z = draw.integers(0, 256, size, dtype=np.uint8)
    image = _images(generator, z[None])[0].astype(np.int16)
    waiting = changes(z, generator.shape[2], draw)
    best, equal, close, pairs = z, -1, 0, 0
    while pairs < evaluations and not (stop() and pairs):
        batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
        while not batch or (not waiting and len(batch) < _BATCH):
            batch.append(best.copy())
            batch[-1][draw.integers(0, size, int(draw.integers(1, 4)))] ^= np.uint8(draw.integers(1, 256))
        rows = np.stack([row for row in batch if (row != z).any()] or [z ^ np.uint8(1)])
        difference = np.abs(_images(generator, rows).astype(np.int16) - image)
        found, near = (difference == 0).sum(axis=1), (difference <= CLOSE).sum(axis=1)
        pairs += len(rows)
        close = max(close, int(near.max()))
        if int(found.max()) > equal:
            equal, best = int(found.max()), rows[int(found.argmax())]
    return Nearest(equal, close, pairs, z, best)


def nearest_p_value(count: int, size: int, rate: float, pairs: int) -> float:
    """Bound of the chance that any of `pairs` pairs of an ideal g's outputs has so many bytes equal (or close).

    For an ideal g each new input has a fresh uniform output, however it was chosen: the union bound holds.
    """
    return min(1.0, pairs * float(stats.binom.sf(count - 1, size, rate)))


def repeat_chance(draws: int, bits: int) -> float:
    """Chance that `draws` uniform values of so many bits are not all different: exact but for rounding."""
    if draws > 2**bits:
        return 1.0
    return float(-math.expm1(np.log1p(-np.arange(draws) / 2.0**bits).sum()))


def first_repeat(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Draws of each column up to and including its first repeat, 0 if there is none. values: (n, columns)."""
    order = np.argsort(values, axis=0, kind="stable")
    ordered = np.take_along_axis(values, order, axis=0)
    # Of equal values the sort keeps the order, so a repeat stands right after the draw that it repeats.
    later = np.where(ordered[1:] == ordered[:-1], order[1:] + 1, len(values) + 1)
    first = later.min(axis=0) if len(later) else np.full(values.shape[1], len(values) + 1)
    return np.asarray(np.where(first > len(values), 0, first), dtype=np.int64)


def windows(outputs: Bytes, bits: int) -> NDArray[np.uint64]:
    """(n, size // bytes): disjoint pieces of each output of ceil(bits / 8) bytes, cut down to `bits` bits."""
    width = -(-bits // 8)
    count = outputs.shape[1] // width
    parts = outputs[:, : count * width].reshape(len(outputs), count, width).astype(np.uint64)
    values = (parts << (8 * np.arange(width, dtype=np.uint64))).sum(axis=2, dtype=np.uint64)
    return np.asarray(values & np.uint64(2**bits - 1))


@dataclass(frozen=True, slots=True)
class Birthday:
    """Of one truncation: draws, windows, those with a repeat, the chance of one, p of so many, mean draws to a repeat.

    Draws are 1.18 * 2^(bits / 2), for a repeat in every other window, or all there are.
    """

    bits: int
    draws: int
    windows: int
    repeats: int
    chance: float
    p_value: float
    mean_draws: float


def birthday(outputs: Bytes, bits: int) -> Birthday:
    """Repeats in pieces of `bits` bits of g's outputs. outputs: (n, size) uint8, of n different inputs."""
    draws = min(len(outputs), math.ceil(1.18 * 2 ** (bits / 2)))
    first = first_repeat(windows(outputs[:draws], bits))
    repeats, chance = int((first > 0).sum()), repeat_chance(draws, bits)
    mean = float(first[first > 0].mean()) if repeats else 0.0
    return Birthday(bits, draws, len(first), repeats, chance, binomial_above(repeats, len(first), chance), mean)


@register("collisions")
class Collisions:
    """Are there two states with one successor, or nearly so, that are found faster than by chance?"""

    info: ClassVar[Info] = Info(
        number=17,
        name="collisions",
        title="Are collisions cheaper than the birthday bound?",
        properties=(1, 4),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="bytes that two found outputs have in common; pieces of t bits that repeat within 1.18 * 2^(t/2) "
        "evaluations",
        null="bytes ~ Binomial(size, 1/256), times the pairs tried; pieces with a repeat ~ Binomial(pieces, birthday)",
        rule="one-sided p, times the number of tests",
        positive="weak-contracting, which drops the lowest bit",
        negative="chacha20",
        failure="two keys give the same or nearly the same keystream, so there are fewer keys than bits say",
        weight=0.7,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("contracting"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        wanted = run.pick(quick=96, full=4000)
        nearest = climb_to_collision(target.generator, wanted, run.draw("climb"), run.out_of_time)
        run.progress(0.25)
        # 16..28 bits at quick depth, 36 at full: outputs are cut to what memory holds of so many.
        evaluations, kept, last = run.pick(quick=(320, 4096, 28), full=(16384, 1024, 36))
        outputs, digests = _pool(target.generator, run, evaluations, kept)
        found = [birthday(outputs, bits) for bits in range(16, last + 1, 4)]
        done = nearest.pairs >= wanted and len(outputs) == evaluations
        return _judge(target, nearest, found, len(digests) - len(set(digests)), len(digests), done)


def _pool(generator: Generator, run: Run, evaluations: int, kept: int) -> tuple[Bytes, list[bytes]]:
    """(the first `kept` bytes of g of random inputs, a digest of each whole output)."""
    size, draw = math.prod(generator.shape), run.draw("pool")
    parts: list[Bytes] = []
    digests: list[bytes] = []
    for start in range(0, evaluations, _BATCH):
        if run.out_of_time() and start:
            break
        count = min(_BATCH, evaluations - start)
        images = _images(generator, draw.integers(0, 256, (count, size), dtype=np.uint8))
        parts.append(images[:, :kept].copy())
        digests += [hashlib.sha256(row.tobytes()).digest() for row in images]
        run.progress(0.25 + 0.75 * (start + count) / evaluations)
    return np.concatenate(parts), digests


def _judge(
    target: GeneratorSubject, nearest: Nearest, found: list[Birthday], repeats: int, evaluations: int, done: bool
) -> Measurement:
    size = math.prod(target.shape)
    p_values = {
        "equal bytes": nearest_p_value(nearest.equal, size, 1 / 256, nearest.pairs),
        "close bytes": nearest_p_value(nearest.close, size, CLOSE_RATE, nearest.pairs),
        "whole repeats": nearest_p_value(size, size, 1 / 256, evaluations**2 // 2) if repeats else 1.0,
        **{f"{law.bits} bits": law.p_value for law in found},
    }
    flags = []
    if repeats or nearest.equal == size:
        flags.append("exact collision")
    if nearest.equal == size:
        # The pair is evaluated again, by itself, before anything is said of it.
        pair = _images(target.generator, np.stack([nearest.first, nearest.second]))
        if (pair[0] != pair[1]).any() or (nearest.first == nearest.second).all():
            raise ValueError("the collision that was found does not hold")
    least = min(p_values, key=lambda name: p_values[name])
    told = ", ".join(f"{law.bits} bits {law.repeats}/{law.windows} ({law.windows * law.chance:.1f})" for law in found)
    ticks = [float(law.bits) for law in found]
    return Measurement(
        value=nearest.equal / size,
        unit="share of bytes equal",
        samples=nearest.pairs + evaluations,
        threshold=1 / 256,
        p_value=min(1.0, len(p_values) * p_values[least]),
        decidable=done,
        effort=f"{nearest.pairs} evaluations to climb, {evaluations} for birthdays",
        note=f"the nearest pair of outputs agrees in {nearest.equal} of {size} bytes, {size / 256:.0f} by chance; "
        f"{repeats} outputs repeat; pieces with a repeat (expected): {told}; the least p-value is that of {least}",
        flags=tuple(flags),
        details={
            "equal_bytes": nearest.equal,
            "close_bytes": nearest.close,
            "whole_repeats": repeats,
            "p_values": p_values,
            "birthdays": [
                {
                    "bits": law.bits,
                    "evaluations": law.draws,
                    "pieces": law.windows,
                    "repeats": law.repeats,
                    "expected": law.windows * law.chance,
                    "mean_evaluations_to_a_repeat": law.mean_draws,
                    "birthday_bound": math.sqrt(math.pi / 2 * 2.0**law.bits),
                }
                for law in found
            ],
        },
        figures=(
            Lines(
                "Pieces of the output that repeat",
                "bits of a piece",
                "share with a repeat",
                {
                    "measured": (ticks, [law.repeats / law.windows for law in found]),
                    "expected": (ticks, [law.chance for law in found]),
                },
            ),
        ),
    )


def _images(generator: Generator, rows: Bytes) -> Bytes:
    """g of each row, (n, size)."""
    return np.asarray(generator.next_latent(torch.from_numpy(rows).view(-1, *generator.shape)).flatten(1).numpy())
