"""Weak keys: start latents with a pattern, from which a poor g makes poor noise."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines, Pictures
from neuralcipher.attacks.generators.avalanche import differences, flip_bits
from neuralcipher.attacks.generators.byte_nulls import (
    IDEAL_CHANGED,
    affordable,
    bytes_to_see,
    few_changed,
    nearness,
    uneven_counts,
)
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of
from neuralcipher.generators import checks
from neuralcipher.generators.base import Shape

_EFFECT = 0.005
"""Share of bytes out of reach of a flip that the sample of one start must be able to show."""

_POSITIONS = 8192
_SHOWN_PIXELS = 64
_SHOWN_STARTS = 8


def patterned_starts(shape: Shape, draw: np.random.Generator, variants: int = 1) -> dict[str, Tensor]:
    """Start latents with a pattern, (C, H, W) uint8 each, all different.

    variants: how many of each kind that has a random part; a small shape may give fewer, as two kinds may agree in it.
    """
    column_of, row_of = (shape[0], shape[1], 1), (shape[0], 1, shape[2])
    made: dict[str, NDArray[Any]] = {
        "zeros": np.zeros(shape),
        "all 255": np.full(shape, 255),
        "alternating 0x55, 0xAA": np.resize([0x55, 0xAA], shape),
        "ramp": np.broadcast_to(np.arange(shape[2]) % 256, shape),
    }
    for number in range(variants):
        mark = f" {number + 1}" if number else ""
        few = np.zeros(math.prod(shape))
        few[draw.choice(few.size, 3, replace=False)] = 1 << draw.integers(0, 8, 3)
        made["one byte repeated" + mark] = np.full(shape, draw.integers(1, 255))
        made["one row repeated" + mark] = np.broadcast_to(draw.integers(0, 256, row_of), shape)
        made["rank one" + mark] = draw.integers(0, 256, column_of) * draw.integers(0, 256, row_of) % 256
        made["three bits set" + mark] = few.reshape(shape)
    starts: dict[str, Tensor] = {}
    for name, values in made.items():
        z = torch.from_numpy(np.ascontiguousarray(values).astype(np.uint8))
        if not any(torch.equal(z, other) for other in starts.values()):
            starts[name] = z
    return starts


@dataclass(slots=True)
class Walks:
    """Keystreams from the patterned starts, side by side.

    counts: (starts, 256) byte values over all steps. rows: (steps, starts, positions) sampled bytes. first: z_1 of each
    start. repeated: states that were seen before, starts included. states: looked at, starts included.
    """

    counts: NDArray[np.int64]
    rows: NDArray[np.uint8]
    first: NDArray[np.uint8]
    repeated: int
    states: int


@register("weak-keys")
class WeakKeys:
    """Starts that a key derivation gives never, and a raw z_0 might: uniformity, repeats and avalanche from them."""

    info: ClassVar[Info] = Info(
        number=21,
        name="weak-keys",
        title="weak keys: zeros, ones, repeated, low rank, few bits",
        properties=(1, 2, 3),
        threat_models=(ThreatModel.NEAR_KEY,),
        needs=Needs.GENERATOR,
        statistic="from each patterned start: bytes changed by flipped bits, most uneven byte value, states seen "
        "twice, nearest states",
        null="independent uniform bytes: binomials for changes and counts, Chernoff's bound for distances",
        rule="the least p-value over all starts and statistics after Holm",
        positive="dead units: places that are 0 stay 0",
        negative="ChaCha20 keystream",
        failure="some start latents make a keystream that is predictable; with the key derivation none of them is "
        "ever drawn, without it a user may choose one",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        return weak("dead-units", shape), ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        size = math.prod(target.shape)
        starts = patterned_starts(target.shape, run.draw("starts"), run.pick(quick=1, full=4))
        changed, flips = _avalanche(target, starts, run)
        budget = run.pick(quick=20_000_000, full=400_000_000)
        wanted = affordable(run.pick(quick=16, full=100), 4, len(starts) * size, budget)
        walks = _walk(target, starts, run, wanted)
        positions = walks.rows.shape[2]
        flat = walks.rows.reshape(-1, positions)
        smallest, _ = checks.distances(torch.from_numpy(flat))
        p_values = {f"avalanche, {name}": few_changed(count, flips * size) for name, count in changed.items()}
        p_values |= {
            f"byte values, {name}": uneven_counts(count) for name, count in zip(starts, walks.counts, strict=True)
        }
        p_values["nearest states"] = nearness(smallest, positions, len(flat) * (len(flat) - 1) // 2)
        p_values["states seen twice"] = (
            nearness(0.0, size, walks.states * (walks.states - 1) // 2) if walks.repeated else 1.0
        )
        worst = min(p_values, key=lambda name: p_values[name])
        shares = {name: count / (flips * size) for name, count in changed.items()}
        weakest = min(shares, key=lambda name: shares[name])
        visible = flips * size >= bytes_to_see(_EFFECT, CONTROL_LEVEL / len(p_values))
        return Measurement(
            value=shares[weakest],
            unit="of bytes changed by one flipped bit, from the weakest start",
            samples=len(starts),
            threshold=IDEAL_CHANGED,
            p_value=min(holm(list(p_values.values()))),
            decidable=visible and len(walks.rows) == wanted,
            effort=f"{len(starts)} patterned starts, {flips} flipped bits each, {len(walks.rows)} steps each",
            note=f"weakest start for one flipped bit: {weakest}, {shares[weakest]:.2%} of the bytes of z_1 change "
            f"(ideal {IDEAL_CHANGED:.2%}); states seen twice: {walks.repeated}; least p: {worst}. The key derivation "
            f"draws any one such start with probability 256^-{size:,}.",
            details=_details(shares, walks, smallest, p_values),
            figures=(_curve(starts, walks), _pictures(starts, walks, target.shape)),
        )


def _avalanche(target: GeneratorSubject, starts: dict[str, Tensor], run: Run) -> tuple[dict[str, int], int]:
    """(bytes of z_1 that flips changed by start, flips of each)."""
    size, flips = math.prod(target.shape), run.pick(quick=8, full=128)
    flips = affordable(flips, 4, len(starts) * size, run.pick(quick=20_000_000, full=400_000_000))
    flips = min(8 * size, max(flips, -(-8192 // size)))
    places = run.draw("flips").choice(8 * size, flips, replace=False)
    changed: dict[str, int] = {}
    for number, (name, z) in enumerate(starts.items()):
        after = target.generator.next_latent(flip_bits(z, places))
        changed[name] = int((differences(after) != 0).sum())
        run.progress(0.5 * (number + 1) / len(starts))
    return changed, flips


def _walk(target: GeneratorSubject, starts: dict[str, Tensor], run: Run, steps: int) -> Walks:
    size = math.prod(target.shape)
    places = np.sort(run.draw("places").choice(size, min(size, _POSITIONS), replace=False))
    z = torch.stack(list(starts.values()))
    counts = np.zeros((len(z), 256), np.int64)
    rows: list[NDArray[np.uint8]] = []
    first = np.empty(0, np.uint8)
    seen = {_digest(row) for row in z}
    states = len(z)
    for step in range(steps):
        if step and run.out_of_time():
            break
        z = target.generator.next_latent(z)
        flat = z.reshape(len(z), size).cpu().numpy()
        counts += np.stack([np.bincount(row, minlength=256) for row in flat])
        rows.append(flat[:, places])
        first = first if step else flat.copy()
        seen |= {_digest(row) for row in z}
        states += len(z)
        run.progress(0.5 + 0.5 * (step + 1) / steps)
    return Walks(counts, np.stack(rows), first, states - len(seen), states)


def _digest(z: Tensor) -> bytes:
    return hashlib.sha256(z.cpu().contiguous().numpy().tobytes()).digest()


def _details(shares: dict[str, float], walks: Walks, smallest: float, p_values: dict[str, float]) -> dict[str, Any]:
    totals = walks.counts.sum(axis=1)
    chi_square = ((walks.counts - totals[:, None] / 256) ** 2).sum(axis=1) * 256 / totals
    return {
        "bytes_changed": shares,
        "chi_square_255": dict(zip(shares, chi_square.tolist(), strict=True)),
        "states_seen_twice": walks.repeated,
        "smallest_distance": smallest,
        "p_values": p_values,
    }


def _curve(starts: dict[str, Tensor], walks: Walks) -> Lines:
    """Mean byte value along the walk: ideal noise stays at 127.5."""
    steps = [float(step + 1) for step in range(len(walks.rows))]
    means = walks.rows.mean(axis=2)
    return Lines(
        "Mean byte of the keystream from patterned starts",
        "steps of g",
        "mean byte",
        {name: (steps, means[:, index].tolist()) for index, name in enumerate(list(starts)[:_SHOWN_STARTS])},
        {"ideal": 127.5},
    )


def _pictures(starts: dict[str, Tensor], walks: Walks, shape: Shape) -> Pictures:
    """Each start over its first keystream latent, the corner of the first channel in grey."""

    def grey(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        plane = values.reshape(shape)[0, :_SHOWN_PIXELS, :_SHOWN_PIXELS]
        return np.ascontiguousarray(np.repeat(plane[:, :, None], 3, axis=2))

    before = [(name, grey(z.numpy())) for name, z in list(starts.items())[:_SHOWN_STARTS]]
    after = [("z_1", grey(row)) for row in walks.first[:_SHOWN_STARTS]]
    return Pictures("Patterned start latents and what g makes of them", (before, after))
