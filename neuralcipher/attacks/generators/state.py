"""What one state of the keystream tells of the states after it, and of those before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Histogram, Lines
from neuralcipher.attacks.generators.descent import Descent
from neuralcipher.attacks.generators.inverters import Inverter, climb, inverters, misfit
from neuralcipher.attacks.planted.subjects import CONTROL_SHAPE, ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import advantage, binomial_above, highest_rate
from neuralcipher.attacks.subjects import SALT, GeneratorSubject, Subject, generator_of
from neuralcipher.attacks.views import KnownState, known_state
from neuralcipher.errors import UsageError
from neuralcipher.generators.base import Generator, Shape
from neuralcipher.generators.chacha20 import ChaCha20Generator
from neuralcipher.keys import Key, segment_seed, start_latent

KEYS_NEEDED = 15
"""Coins that all fall right with a chance below that of a control, 4e-5: 2^-15."""


class Unrepeatable:
    """ChaCha20 that also hashes in how often it was asked: the control whose future no state tells."""

    name: ClassVar[str] = "unrepeatable"

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self._asked = 0

    @classmethod
    def create(cls, shape: Shape, *, seed: bytes, z0: Tensor, progress: Callable[[float], None]) -> Unrepeatable:
        """One that was never asked."""
        return cls(shape)

    @classmethod
    def from_bytes(cls, data: bytes, shape: Shape) -> Unrepeatable:
        """It is not stored."""
        raise UsageError("a generator that is not a function of its state cannot be stored")

    def to_bytes(self) -> bytes:
        """Its name, for the hashes in a report."""
        return self.name.encode()

    def next_latent(self, z: Tensor) -> Tensor:
        """z: (..., C, H, W) uint8; never the same twice."""
        self._asked += 1
        seed = hashlib.sha256(b"unrepeatable" + self._asked.to_bytes(8, "little")).digest()
        return ChaCha20Generator(self.shape, seed).next_latent(z)

    def to(self, device: torch.device) -> Unrepeatable:
        """Nothing to move."""
        return self


def next_segment(key: bytes, shape: Shape) -> Tensor:
    """z0 of the next segment of a video sealed with this key, by the product's own derivation."""
    return torch.from_numpy(start_latent(segment_seed(Key(key), SALT, 1), shape))


def foresee(view: KnownState, steps: int) -> list[Tensor]:
    """The attacker's answer: the next states, by running g."""
    z, out = view.latent, []
    for _ in range(steps):
        z = view.generator.next_latent(z)
        out.append(z)
    return out


def equal_share(a: Tensor, b: Tensor) -> float:
    """Share of bytes that agree; unrelated latents have 1/256."""
    return float((a == b).float().mean())


@register("state-to-future")
class StateToFuture:
    """z_k is given; the states after it are asked for. g is public, so they are known until the segment ends."""

    info: ClassVar[Info] = Info(
        number=6,
        name="state-to-future",
        title="Does one state give those after it?",
        properties=(2,),
        threat_models=(ThreatModel.STATE_COMPROMISE,),
        needs=Needs.GENERATOR,
        statistic="share of keys whose next states are named without an error",
        null="none: g is public, so every state of the same segment after the known one follows",
        rule="broken if every next state of every key is right; recorded as known, by design",
        positive="weak-linear, and any other function of the state",
        negative="ChaCha20 that hashes in how often it was asked: what follows is no function of the state",
        failure="who learns one state sees the rest of its segment; other segments have start latents of their own",
        weight=0.3,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("linear"), GeneratorSubject("unrepeatable", Unrepeatable(CONTROL_SHAPE))

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        keys, steps = run.pick(quick=8, full=64), run.pick(quick=4, full=16)
        right, beyond, shares = 0, [], np.zeros(steps)
        done = 0
        for i in range(keys):
            if run.out_of_time() and i >= 2:
                break
            key = run.key_bytes("key", i)
            view = known_state(target, target.start(key, target.shape), 1)
            said, z, exact = foresee(view, steps), view.latent, True
            for step, guess in enumerate(said):
                z = target.after(z)
                share = equal_share(guess, z)
                shares[step] += share
                exact = exact and share == 1
            beyond.append(equal_share(said[0], target.after(next_segment(key, target.shape))))
            right += exact
            done += 1
            run.progress(done / keys)
        return Measurement(
            value=right / done,
            unit="share of keys",
            samples=done,
            broken=right == done,
            known=True,
            effort=f"{steps} steps of g a key",
            note=f"all of {steps} states after a known one are named for {right} of {done} keys; the first state of "
            "the next segment, whose start latent has a subkey of its own, agrees in "
            f"{100 * np.mean(beyond):.2f} % of bytes (0.39 % by chance)",
            details={
                "exact_keys": right,
                "equal_by_step": (shares / done).tolist(),
                "next_segment_equal": [float(share) for share in beyond],
            },
            figures=(
                Lines(
                    "Bytes named right, by the step after the known state",
                    "step",
                    "share of bytes",
                    {"same segment": (list(range(1, steps + 1)), (shares / done).tolist())},
                    {"next segment": float(np.mean(beyond)), "chance": 1 / 256},
                ),
            ),
        )


@dataclass(frozen=True, slots=True)
class Way:
    """What an attacker found: the latents before a known one, newest first, how, and how far g(guess) is from it."""

    states: tuple[Tensor, ...]
    name: str
    misfit: float


def go_back(view: KnownState, ways: list[Inverter], evaluations: int, draw: np.random.Generator) -> Way:
    """The attacker: from z_k to z_{k-1} .. z_0, by the best way that g allows, then by hill climbing."""
    z, states, how, worst = view.latent, [], "", 0.0
    for index in range(view.index):
        guesses = [(way.name, way.guess(z)) for way in ways]
        made = [(misfit(view.generator, guess, z), name, guess) for name, guess in guesses if guess is not None]
        if made:
            error, name, guess = min(made, key=lambda found: found[0])
        else:
            error, name, guess = float("inf"), "", torch.full_like(z, 128)
        if error > 0 and evaluations and not index:
            better = climb(view.generator, z, guess, evaluations, draw)
            climbed = misfit(view.generator, better, z)
            if climbed < error:
                error, name, guess = climbed, f"{name} and hill climbing".removeprefix(" and "), better
        how, worst = how or name, max(worst, error)
        states.append(guess)
        z = guess
    return Way(tuple(states), how, worst)


@register("state-to-past")
class StateToPast:
    """z_2 is given; z_1 and z_0, the key, are asked for."""

    info: ClassVar[Info] = Info(
        number=7,
        name="state-to-past",
        title="Does one state give those before it?",
        properties=(3,),
        threat_models=(ThreatModel.STATE_COMPROMISE,),
        needs=Needs.GENERATOR,
        statistic="whether the attacker's z_1 is nearer to the true one than to that of an unrelated key: advantage",
        null="a fair coin a key, exact, if g hides what came before",
        rule="one-sided exact binomial p; recorded as known where g publishes its own inverse",
        positive="weak-linear, inverted by tables of single bytes without its weights",
        negative="chacha20",
        failure="who learns one state of a segment walks back to its start latent and sees the whole segment",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("linear"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        keys, effort = run.pick(quick=20, full=64), run.pick(quick=8, full=160)
        gradient_steps = run.pick(quick=0, full=100)
        ways = inverters(target.generator, run.draw("ways"), gradient_steps)
        run.progress(0.3)
        found: list[_Past] = []
        for i in range(keys):
            if run.out_of_time() and i >= 2:
                break
            found.append(_try(target, run, ways, effort, i))
            run.progress(0.3 + 0.7 * (i + 1) / keys)
        return _judge(found, target.generator, ways, effort)


@dataclass(frozen=True, slots=True)
class _Past:
    """Of one key: mean absolute errors of the guess against the truth and an imposter, bytes right, how."""

    way: Way
    error: float
    imposter: float
    equal_last: float
    equal_start: float
    segment: float


def _try(target: GeneratorSubject, run: Run, ways: list[Inverter], effort: int, i: int) -> _Past:
    key = run.key_bytes("key", i)
    z0 = target.start(key, target.shape)
    way = go_back(known_state(target, z0, 2), ways, effort, run.draw(f"climb {i}"))
    truth, imposter = target.after(z0), target.after(target.start(run.key_bytes("imposter", i), target.shape))
    return _Past(
        way,
        _distance(way.states[0], truth),
        _distance(way.states[0], imposter),
        equal_share(way.states[0], truth),
        equal_share(way.states[1], z0),
        equal_share(way.states[1], next_segment(key, target.shape)),
    )


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a.to(torch.int16) - b.to(torch.int16)).abs().float().mean())


def _judge(found: list[_Past], generator: Generator, ways: list[Inverter], effort: int) -> Measurement:
    trials = len(found)
    right = sum(past.error < past.imposter for past in found)
    value, interval = advantage(right, trials, 0.99)
    exact = sum(past.equal_last == 1 for past in found)
    starts = sum(past.equal_start == 1 for past in found)
    shares = np.array([(past.equal_last, past.equal_start, past.segment) for past in found])
    last, start, segment = (float(share) for share in shares.mean(axis=0))
    vanished = any(isinstance(way, Descent) and way.zero_gradient for way in ways)
    by_design = hasattr(generator, "previous_latent")
    details: dict[str, Any] = {
        "how": sorted({past.way.name for past in found}),
        "exact_last": exact,
        "exact_start": starts,
        "equal_bytes_last": last,
        "equal_bytes_start": start,
        "equal_bytes_next_segment": segment,
        "misfit": [past.way.misfit for past in found],
        "highest_rate_of_exact_keys": highest_rate(trials) if not starts else 1.0,
    }
    how = ", ".join(details["how"])
    return Measurement(
        value=value,
        unit="advantage",
        samples=trials,
        interval=interval,
        confidence=0.99,
        p_value=binomial_above(right, trials),
        decidable=trials >= KEYS_NEEDED,
        known=by_design,
        effort=f"{sum(way.evaluations for way in ways)} evaluations of g, then {effort} a key; tried: "
        + ", ".join(way.name for way in ways),
        flags=("zero gradient",) if vanished else (),
        note=f"{how}: z_1 exact for {exact} of {trials} keys ({100 * last:.2f} % of bytes), the start latent for "
        f"{starts} ({100 * start:.2f} %); that of the next segment agrees in "
        f"{100 * segment:.2f} % of bytes (0.39 % by chance)",
        details=details,
        figures=(
            Histogram(
                "How far the guessed z_1 is from imposters' and from the true one",
                "mean absolute difference in bytes",
                [past.imposter for past in found],
                {"the true one, mean": float(np.mean([past.error for past in found]))},
            ),
        ),
    )
