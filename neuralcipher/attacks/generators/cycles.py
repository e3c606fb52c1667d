"""Cycles, fixed points, merging orbits and contraction: does the keystream ever come near where it was?"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines, Matrix
from neuralcipher.attacks.generators.avalanche import flip_bits
from neuralcipher.attacks.generators.byte_nulls import IDEAL_SQUARE, affordable, nearness
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import Subject, generator_of
from neuralcipher.generators import checks

KEYS = 4
"""Each with a twin that differs in one bit: 8 orbits."""

_POSITIONS = 8192
_KEPT = 32
"""Steps at the start and at the end of the walk whose states are compared with each other."""


def brent(step: Callable[[Tensor], Tensor], start: Tensor, limit: int) -> tuple[int, int] | None:
    """(tail, period) of the orbit of `start`: x_tail is the first state that comes back, `period` steps later.

    Exact states, three of them in memory. None if tail + period is above about `limit`.
    Source: Brent, An improved Monte Carlo factorization algorithm (1980).
    """
    power = period = 1
    saved, moving = start, step(start)
    while not torch.equal(saved, moving):
        if power == period:
            if 2 * power > 4 * limit:
                return None
            saved, power, period = moving, 2 * power, 0
        moving = step(moving)
        period += 1
    ahead = start
    for _ in range(period):
        ahead = step(ahead)
    tail, behind = 0, start
    while not torch.equal(behind, ahead):
        behind, ahead = step(behind), step(ahead)
        tail += 1
    return tail, period


@dataclass(slots=True)
class Walk:
    """All orbits, side by side; twins are orbits KEYS.. in the order of their keys.

    seen: digest -> (orbit, step) of every state. repeat, merge: the first state that an orbit saw before, and the
    first that another orbit saw before: (orbit, step, earlier orbit, earlier step). near, far: per step, mean squared
    distance of key and twin, and of key and next key. rows: sampled bytes of the first and the last states.
    """

    places: NDArray[np.int64]
    steps: int = 0
    seen: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    repeat: tuple[int, int, int, int] | None = None
    merge: tuple[int, int, int, int] | None = None
    near: list[NDArray[np.float64]] = field(default_factory=list)
    far: list[NDArray[np.float64]] = field(default_factory=list)
    first: list[NDArray[np.uint8]] = field(default_factory=list)
    last: deque[NDArray[np.uint8]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    repeats: int = 0

    def add(self, z: Tensor) -> None:
        """The states after one more step (the first call: step 0). z: (orbits, C, H, W) uint8."""
        flat = z.reshape(len(z), -1).cpu().numpy()
        for orbit, row in enumerate(flat):
            self._look_up(hashlib.sha256(np.ascontiguousarray(row).data).digest(), orbit)
        sampled = flat[:, self.places]
        values = flat.astype(np.float32)
        keys = len(z) // 2
        self.near.append(_mean_square(values[:keys] - values[keys:]))
        self.far.append(_mean_square(values[:keys] - np.roll(values[:keys], 1, axis=0)))
        if self.steps:  # z_0 and its twin are near by construction
            (self.first if len(self.first) < _KEPT else self.last).append(sampled)
        self.steps += 1

    def _look_up(self, digest: bytes, orbit: int) -> None:
        before = self.seen.setdefault(digest, (orbit, self.steps))
        if before == (orbit, self.steps):
            return
        self.repeats += 1
        if before[0] == orbit:
            self.repeat = self.repeat or (orbit, self.steps, *before)
        else:
            self.merge = self.merge or (orbit, self.steps, *before)

    @property
    def rows(self) -> NDArray[np.uint8]:
        """(states, positions), by step, then by orbit."""
        return np.concatenate([*self.first, *self.last])


def _mean_square(difference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each row, values/256."""
    return np.asarray(np.einsum("ij,ij->i", difference, difference, dtype=np.float64) / (65536 * difference.shape[1]))


def exponents(near: NDArray[np.float64]) -> list[float | None]:
    """Of each pair: the mean growth of ln distance per step while it is below half of the ideal: Lyapunov, estimated.

    near: (steps + 1, pairs) mean squared distances, from step 0. Positive: chaos, bounded by the latent's size, since
    a full avalanche ends it in one step. None where a pair met: its distance is 0 and the exponent is minus infinity.
    """
    found: list[float | None] = []
    for pair in near.T:
        close = np.flatnonzero(pair >= IDEAL_SQUARE / 2)
        last = int(close[0]) if len(close) else len(pair) - 1
        if not pair[: last + 1].all() or last == 0:
            found.append(None)
        else:
            found.append(float(0.5 * math.log(pair[last] / pair[0]) / last))
    return found


@register("cycles")
class Cycles:
    """Walks of several keys and of twins one bit away, all states compared with all."""

    info: ClassVar[Info] = Info(
        number=8,
        name="cycles",
        title="cycles, fixed points, contraction",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="states seen twice, within an orbit or in two; smallest mean squared distance of any two states of "
        "the keys, and of a key and its twin in the second half of the walk",
        null="states are independent uniform bytes: Chernoff's bound for one pair times the number of pairs",
        rule="three times the least of the three p-values; a state seen twice has p = pairs / 256^bytes",
        positive="the logistic map in float32, which falls into a short cycle",
        negative="ChaCha20 keystream",
        failure="the keystream repeats or comes near itself: the same noise masks two frames, or all keys end at the "
        "same noise",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        return weak("logistic"), ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        size = math.prod(target.shape)
        budget, most = run.pick(quick=(48_000_000, 1_500), full=(600_000_000, 8_000))
        steps = affordable(most, _KEPT, 2 * KEYS * size, budget)
        draw = run.draw("places")
        starts = [target.start(run.key_bytes("key", number), target.shape) for number in range(KEYS)]
        twins = [flip_bits(z, draw.integers(0, 8 * size, 1))[1] for z in starts]
        z = torch.stack([*starts, *twins])
        walk = Walk(np.sort(draw.choice(size, min(size, _POSITIONS), replace=False)))
        walk.add(z)
        for step in range(steps):
            if step >= 2 and run.out_of_time():
                break
            z = target.generator.next_latent(z)
            walk.add(z)
            run.progress((step + 1) / (steps + 1))
        cycle = None
        if walk.repeat is not None:
            start = (starts + twins)[walk.repeat[0]]
            cycle = brent(target.generator.next_latent, start, limit=walk.repeat[1])
        noncyclic = checks.noncyclic(target.generator, starts[0], run.pick(quick=32, full=256))
        return _judge(walk, cycle, noncyclic, size, wanted=steps)


def _judge(
    walk: Walk, cycle: tuple[int, int] | None, noncyclic: checks.NoncyclicReport, size: int, wanted: int
) -> Measurement:
    states, steps = 2 * KEYS * walk.steps, walk.steps - 1
    # Twins start near: that they are near after a step or two is avalanche, and no contraction.
    rows = walk.rows.reshape(-1, 2 * KEYS, len(walk.places))[:, :KEYS].reshape(-1, len(walk.places))
    pairs = len(rows) * (len(rows) - 1) // 2
    smallest, mean = checks.distances(torch.from_numpy(rows))
    near, far = np.array(walk.near), np.array(walk.far)
    late = near[1 + steps // 2 :]
    p_values = {
        "nearest states": nearness(smallest, rows.shape[1], pairs),
        "nearest twins": nearness(float(late.min()), size, late.size),
        "repeated states": nearness(0.0, size, states * (states - 1) // 2) if walk.repeats else 1.0,
    }
    lyapunov = exponents(near)
    details: dict[str, Any] = {
        "p_values": p_values,
        "orbits": 2 * KEYS,
        "steps": steps,
        "states": states,
        "repeated_states": walk.repeats,
        "first_repeat_in_an_orbit": _place(walk.repeat),
        "first_state_of_two_orbits": _place(walk.merge),
        "tail_and_period": list(cycle) if cycle else None,
        "smallest_distance": smallest,
        "mean_distance": mean,
        "lyapunov_per_step": lyapunov,
        "twins_end_at": [float(value) for value in near[-1] / IDEAL_SQUARE],
        "strangers_end_at": [float(value) for value in far[-1] / IDEAL_SQUARE],
        "noncyclic_check": {
            "smallest": noncyclic.min_distance,
            "threshold": noncyclic.threshold,
            "repeated": noncyclic.repeated,
            "ok": noncyclic.ok,
        },
    }
    return Measurement(
        value=smallest / IDEAL_SQUARE,
        unit="of the ideal distance, between the two nearest states of the keys",
        samples=KEYS,
        p_value=min(1.0, 3 * min(p_values.values())),
        decidable=steps >= wanted,
        effort=f"{KEYS} keys and their twins, {steps:,} steps each, {states:,} states of {size:,} bytes",
        note=_note(walk, cycle, smallest / IDEAL_SQUARE, float(late.min()) / IDEAL_SQUARE),
        details=details,
        figures=(_approach(near, far), _figure_4(rows[::KEYS])),
    )


def _note(walk: Walk, cycle: tuple[int, int] | None, smallest: float, twins: float) -> str:
    states, steps = 2 * KEYS * walk.steps, walk.steps - 1
    ratio = f"the two nearest states of the keys are {smallest:.3f} of the ideal distance apart, twins {twins:.3f}"
    if cycle:
        kind = "a fixed point" if cycle[1] == 1 else f"a cycle of {cycle[1]:,} states"
        return f"an orbit enters {kind} after {cycle[0]:,} steps (Brent, on exact states); {ratio}"
    if walk.merge is not None:
        return f"two keys reached the same state within {walk.merge[1]:,} steps; {ratio}"
    return f"no state came back in {states:,}; {ratio}; a cycle longer than {steps:,} steps is out of reach"


def _place(found: tuple[int, int, int, int] | None) -> dict[str, int] | None:
    if found is None:
        return None
    return dict(zip(("orbit", "step", "earlier_orbit", "earlier_step"), found, strict=True))


def _approach(near: NDArray[np.float64], far: NDArray[np.float64]) -> Lines:
    """Distances of two orbits over the first steps, in units of the ideal."""
    shown = min(len(near), 2 * _KEPT)
    steps = [float(step) for step in range(shown)]
    return Lines(
        "Do orbits approach each other?",
        "steps of g",
        "mean squared distance / ideal",
        {
            "a key and its twin, one bit away": (steps, (near[:shown].mean(axis=1) / IDEAL_SQUARE).tolist()),
            "two keys": (steps, (far[:shown].mean(axis=1) / IDEAL_SQUARE).tolist()),
        },
        {"ideal": 1.0},
    )


def _figure_4(rows: NDArray[np.uint8]) -> Matrix:
    """Distances of the states of one orbit: off the diagonal all alike. Source: Neural Video Encoding, Fig. 4."""
    values = rows.astype(np.float64) / 256
    matrix = np.stack([((values - row) ** 2).mean(axis=1) for row in values])
    return Matrix(
        "Distances of the states of one key (Fig. 4)", "step, first and last", "step", matrix, 0.0, 2 * IDEAL_SQUARE
    )
