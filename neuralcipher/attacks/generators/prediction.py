"""Prediction of the next state by someone who has seen states of other keys, and knows nothing of g's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines
from neuralcipher.attacks.generators import gf2
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import advantage, binomial_above, smallest_visible
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of
from neuralcipher.attacks.views import KnownStates, known_states
from neuralcipher.generators.base import Shape

FloatArray = NDArray[np.float64]
Bytes = NDArray[np.uint8]


WHOLE_BITS = 1024
"""States of so many bits or fewer are related as a whole over GF(2); larger ones in windows."""

WINDOW_BITS = 120
"""Of each of the two states in a window: with a constant, 241 unknowns."""

SPARE_ROWS = 64
"""Equations beyond the number of unknowns: a relation appears by chance once in 2^64."""

DENSE_BYTES = 768

_LOCAL_PAIRS = 1000
"""Steps that a rule for all places is learned from, at 256 places each."""

VISIBLE = 0.85
"""The advantage that a run must be able to see: a certain prediction has 1."""


class Ridge:
    """Least squares with a small penalty. Source: Hoerl & Kennard, Ridge regression (1970)."""

    def __init__(self, penalty: float) -> None:
        self._penalty = penalty
        self._mean, self._weights, self._offset = np.empty(0), np.empty(0), np.empty(0)

    def fit(self, x: FloatArray, y: FloatArray) -> None:
        """x: (n, features). y: (n, values). Solved in the smaller of the two dimensions."""
        self._mean, self._offset = x.mean(axis=0), y.mean(axis=0)
        x, y = x - self._mean, y - self._offset
        if x.shape[0] < x.shape[1]:
            self._weights = x.T @ np.linalg.solve(x @ x.T + self._penalty * np.eye(len(x)), y)
        else:
            self._weights = np.linalg.solve(x.T @ x + self._penalty * np.eye(x.shape[1]), x.T @ y)

    def predict(self, x: FloatArray) -> FloatArray:
        return np.asarray((x - self._mean) @ self._weights + self._offset, dtype=np.float64)


class Predictor:
    """Predicts some bytes of the next state from a state, by regression, learned from runs of other keys.

    kind: "local": one rule for all places, from the values around each; "local bits": the same from bits as well, so
    that it need not be linear in bytes; "dense": any of the first 768 bytes from all of them.
    """

    def __init__(self, kind: str, shape: Shape, draw: np.random.Generator) -> None:
        self.kind = kind
        size = int(np.prod(shape))
        steps = [*range(-6, 7), -shape[2], shape[2], -shape[1] * shape[2], shape[1] * shape[2]]
        self._offsets = np.array(steps)
        self._train_places = draw.integers(0, size, 256)
        dense = kind == "dense"
        self._places = np.arange(min(size, DENSE_BYTES)) if dense else draw.integers(0, size, 2048)
        self._ridge = Ridge(1e3 if dense else 10.0)

    def fit(self, runs: Sequence[KnownStates]) -> None:
        pairs = [(z, after) for run in runs for z, after in zip(_rows(run)[:-1], _rows(run)[1:], strict=True)]
        if self.kind == "dense":
            x, y = (np.stack([pair[i][self._places] for pair in pairs]) / 128 - 1 for i in range(2))
            self._ridge.fit(x, y)
        else:
            pairs = pairs[:: -(-len(pairs) // _LOCAL_PAIRS)]
            x = np.concatenate([self._around(z, self._train_places) for z, _ in pairs])
            y = np.concatenate([after[self._train_places] for _, after in pairs])
            self._ridge.fit(x, y[:, None] / 128 - 1)

    def predict(self, z: Bytes) -> FloatArray:
        """Of the bytes at `places`, as numbers in about -1..1. z: (size,)."""
        if self.kind == "dense":
            return np.asarray(self._ridge.predict(z[self._places][None] / 128 - 1)[0])
        return np.asarray(self._ridge.predict(self._around(z, self._places))[:, 0])

    def shown(self, z: Bytes) -> FloatArray:
        """What `predict` should have said. z: the state that came."""
        return np.asarray(z[self._places] / 128 - 1)

    def _around(self, z: Bytes, places: NDArray[np.int64]) -> FloatArray:
        near = z[(places[:, None] + self._offsets) % len(z)]
        values: FloatArray = near / 128 - 1
        if self.kind == "local":
            return values
        bits = np.unpackbits(near[:, 4:9], axis=1) * 2.0 - 1
        return np.concatenate([values, bits], axis=1)


KINDS = ("local", "local bits", "dense")


def _rows(run: KnownStates) -> Bytes:
    return np.asarray(run.latents.flatten(1).numpy(), dtype=np.uint8)


def relations(runs: Sequence[KnownStates], draw: np.random.Generator, windows: int) -> tuple[int, float, str]:
    """(linear relations over GF(2) between a state and the next, bound of their chance, what was looked at).

    Small states as a whole, with 64 bits of the next one; large ones in windows of bits that lie together, and of
    lowest bits, which a sum modulo 256 leaves linear.
    """
    bits = [np.unpackbits(_rows(run), axis=1, bitorder="little").astype(np.bool_) for run in runs]
    size = bits[0].shape[1]
    found, chance, looked = 0, 0.0, f"{2 * windows} windows of {WINDOW_BITS} bits"
    if size <= WHOLE_BITS:
        looked = f"all {size} bits of a state and 64 of the next"
        choices = [(np.arange(size), np.arange(min(64, size)))]
    else:
        starts = draw.integers(0, size // 8 - WINDOW_BITS, 2 * windows)
        steps = [1, 8] * windows
        choices = [(8 * s + step * np.arange(WINDOW_BITS),) * 2 for s, step in zip(starts, steps, strict=True)]
    for now, then in choices:
        left = np.concatenate([run[:-1, now] for run in bits])
        right = np.concatenate([run[1:, then] for run in bits])
        matrix = np.concatenate([left, right, np.ones((len(left), 1), dtype=np.bool_)], axis=1)
        found += matrix.shape[1] - gf2.rank(matrix)
        chance += gf2.deficiency_bound(*matrix.shape)
    return found, min(1.0, chance), looked


@register("next-state")
class NextState:
    """Someone who has seen runs of other keys predicts z_2 from z_1 of a fresh key, without g."""

    info: ClassVar[Info] = Info(
        number=9,
        name="next-state",
        title="Is the next state predicted without g's weights?",
        properties=(2,),
        threat_models=(ThreatModel.REUSED_KEY, ThreatModel.STATE_COMPROMISE),
        needs=Needs.GENERATOR,
        statistic="which of two keys' z_2 belongs to which z_1, by predictions: advantage 2 accuracy - 1; "
        "relations between bits of a state and the next over GF(2)",
        null="each pair of keys is a fair coin, exact; no relation, but for 1 in 2^64 runs",
        rule="one-sided exact binomial p, four times, for three predictors and the relations",
        positive="weak-autoregressive",
        negative="chacha20",
        failure="what follows a known piece of keystream is guessed by someone who never saw the generator",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("autoregressive"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        size_bits = 8 * int(np.prod(target.shape))
        unknowns = size_bits + 65 if size_bits <= WHOLE_BITS else 2 * WINDOW_BITS + 1
        keys = run.pick(quick=16, full=64)
        length = 1 - (-(unknowns + SPARE_ROWS) // run.pick(quick=16, full=32))
        runs = []
        for i in range(keys):
            runs.append(known_states(target, target.start(run.key_bytes("train", i), target.shape), length))
            run.progress(0.5 * (i + 1) / keys)
        count, chance, looked = relations(runs, run.draw("windows"), run.pick(quick=2, full=16))
        draw = run.draw("places")
        predictors = [Predictor(kind, target.shape, draw) for kind in KINDS]
        for predictor in predictors:
            predictor.fit(runs)
        correct, trials = _match(target, run, predictors, run.pick(quick=48, full=2000))
        return _judge(correct, trials, count, chance, looked, keys, length)


def _match(target: GeneratorSubject, run: Run, predictors: Sequence[Predictor], pairs: int) -> tuple[list[int], int]:
    """(right decisions of each predictor, decisions).

    Predictions p and truths y of two keys: p_1, p_2 go with y_1, y_2 in this order if (p_1 - p_2) (y_1 - y_2) > 0, by
    least squares. If states did not depend on the ones before, both orders would be equally likely. A tie is wrong.
    """
    correct, done = [0] * len(predictors), 0
    for i in range(pairs):
        if run.out_of_time() and i >= 2:
            break
        first = target.after(target.starts([run.key_bytes("test", 2 * i + side) for side in range(2)]))
        z, after = (states.flatten(1).numpy() for states in (first, target.after(first)))
        for index, predictor in enumerate(predictors):
            said = predictor.predict(z[0]) - predictor.predict(z[1])
            came = predictor.shown(after[0]) - predictor.shown(after[1])
            correct[index] += float(said @ came) > 0
        done += 1
        run.progress(0.5 + 0.5 * done / pairs)
    return correct, done


def _judge(
    correct: Sequence[int], trials: int, count: int, chance: float, looked: str, keys: int, length: int
) -> Measurement:
    tests = len(correct) + 1
    p_values = [*(binomial_above(right, trials) for right in correct), chance if count else 1.0]
    found = [advantage(right, trials, 0.99) for right in correct]
    best = int(np.argmax(correct))
    visible = smallest_visible(trials, CONTROL_LEVEL / tests)
    values = dict(zip(KINDS, (value for value, _ in found), strict=True))
    named = ", ".join(f"{kind} {value:+.3f}" for kind, value in values.items())
    return Measurement(
        value=found[best][0],
        unit="advantage",
        samples=trials,
        interval=found[best][1],
        confidence=0.99,
        p_value=min(1.0, tests * min(p_values)),
        decidable=visible <= VISIBLE,
        effort=f"{keys} runs of {length} states to learn from",
        note=f"advantages: {named}; {count} relations over GF(2) in {looked}; {trials} pairs of keys show "
        f"{visible:.2f} with power .9",
        details={
            "advantages": values,
            "over_linear": values["local bits"] - values["local"],
            "relations": count,
            "chance_of_a_relation": chance,
            "looked_at": looked,
            "smallest_visible": visible,
        },
        figures=(
            Lines(
                "Advantage of each predictor, with its interval at 99 %",
                "predictor: " + ", ".join(f"{i} {kind}" for i, kind in enumerate(KINDS)),
                "advantage",
                {
                    "measured": (list(range(len(KINDS))), list(values.values())),
                    "low": (list(range(len(KINDS))), [span[0] for _, span in found]),
                    "high": (list(range(len(KINDS))), [span[1] for _, span in found]),
                },
                {"guessing": 0.0, "certain": 1.0},
            ),
        ),
    )
