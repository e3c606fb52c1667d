"""Can a learner tell g's states from random bytes, or the outputs of near keys from those of strangers?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import (
    CONTROL_LEVEL,
    Info,
    Measurement,
    Needs,
    ThreatModel,
    register,
)
from neuralcipher.attacks.figures import Histogram, Lines
from neuralcipher.attacks.generators.learners import Examples, FloatArray, Learner, Linear, Net
from neuralcipher.attacks.planted.subjects import ideal, weak
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import advantage, binomial_above, smallest_visible
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of

VISIBLE = 0.5
"""The advantage that a run must be able to see, else its row is not decidable."""

_BATCH = 16

Sampler = Callable[[str, int, NDArray[np.bool_]], tuple[Tensor, Tensor]]
"""(label of the draws, number of the first key, labels) -> two latents for each label."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """train, test: keys. crops, epochs, width: of the net."""

    train: int
    test: int
    crops: int
    epochs: int
    width: int


def sizes_of(run: Run) -> Sizes:
    return run.pick(quick=Sizes(96, 192, 4, 3, 12), full=Sizes(1024, 5120, 16, 2, 24))


@register("real-or-random")
class RealOrRandom:
    """A learner is shown (z_1, z_2) of fresh keys, and as many pairs of uniform latents."""

    info: ClassVar[Info] = Info(
        number=10,
        name="real-or-random",
        title="Are g's states told from random bytes?",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="advantage 2 accuracy - 1 on locked keys, one decision a key, the better of two learners",
        null="correct decisions ~ Binomial(keys, 1/2), exact: the kind of each is a fair coin",
        rule="one-sided exact binomial p, twice, for two learners",
        positive="weak-autoregressive, a linear process with few distinct noises",
        negative="chacha20",
        failure="someone who was shown states of other keys recognises that bytes are keystream of this g",
        weight=1.5,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("autoregressive"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)

        def sample(label: str, start: int, labels: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
            draw = run.draw(f"random {label} {start}")
            size = (2, len(labels), *target.shape)
            first, second = torch.from_numpy(draw.integers(0, 256, size, dtype=np.uint8))
            if labels.any():
                real = np.flatnonzero(labels)
                z = target.after(target.starts([run.key_bytes(label, start + int(i)) for i in real]))
                first[real], second[real] = z, target.after(z)
            return first, second

        return measure_learners(target, run, sample, "z_1 and z_2 of fresh keys against uniform bytes")


@register("near-key-pairs")
class NearKeyPairs:
    """The same for (g(z), g(z xor d)), d one fixed bit, against (g(z), g(z')) of two unrelated keys."""

    info: ClassVar[Info] = Info(
        number=11,
        name="near-key-pairs",
        title="Are outputs of near keys told from those of strangers?",
        properties=(1,),
        threat_models=(ThreatModel.NEAR_KEY,),
        needs=Needs.GENERATOR,
        statistic="advantage 2 accuracy - 1 on locked pairs of keys, the better of two learners",
        null="correct decisions ~ Binomial(pairs, 1/2), exact: the kind of each is a fair coin",
        rule="one-sided exact binomial p, twice, for two learners",
        positive="weak-affine: its outputs differ by a constant",
        negative="chacha20",
        failure="a key one bit away is recognised by its output, so a search knows when it comes near",
        weight=1.5,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return weak("affine"), ideal()

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        place = int(run.draw("place").integers(0, int(np.prod(target.shape))))
        bit = int(run.draw("bit").integers(0, 8))

        def sample(label: str, start: int, labels: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
            numbers = range(start, start + len(labels))
            z = target.starts([run.key_bytes(label, i) for i in numbers])
            other = target.starts([run.key_bytes(f"stranger {label}", i) for i in numbers])
            near = z.clone()
            near.view(len(z), -1)[:, place] ^= 1 << bit
            second = torch.where(torch.from_numpy(labels)[:, None, None, None], near, other)
            return target.after(z), target.after(second)

        return measure_learners(target, run, sample, f"one step from keys that differ in bit {bit} of byte {place}")


def measure_learners(target: GeneratorSubject, run: Run, sample: Sampler, what: str) -> Measurement:
    """Train both learners, lock them, let each decide on every test key once."""
    sizes = sizes_of(run)
    net = Net(target.shape, crops=sizes.crops, epochs=sizes.epochs, width=sizes.width, seed=run.seed("net") >> 1)
    learners: tuple[Learner, ...] = (Linear(), net)
    # As many of each kind: a choice for learning, of which the test knows nothing.
    kinds = np.arange(sizes.train) % 2 == 0
    parts = [(first, second) for first, second, _ in _batches(sample, "train", kinds, run, 0.0, 0.3)]
    first, second = (torch.cat([part[i] for part in parts]) for i in range(2))
    examples = Examples(first, second, kinds[: len(first)])
    for learner in learners:
        learner.fit(examples)
    del parts, first, second, examples
    run.progress(0.5)
    kinds = run.draw("kinds").integers(0, 2, sizes.test).astype(np.bool_)
    scores: list[list[FloatArray]] = [[] for _ in learners]
    for a, b, _ in _batches(sample, "test", kinds, run, 0.5, 0.5):
        for kept, learner in zip(scores, learners, strict=True):
            kept.append(learner.scores(a, b))
    found = [np.concatenate(kept) if kept else np.empty(0) for kept in scores]
    return _judge(tuple(learner.name for learner in learners), found, kinds, sizes, what)


def _batches(
    sample: Sampler, label: str, kinds: NDArray[np.bool_], run: Run, done: float, share: float
) -> Iterator[tuple[Tensor, Tensor, NDArray[np.bool_]]]:
    for start in range(0, len(kinds), _BATCH):
        # Enough to learn from and to test is always made: what a clock cuts off is counted as too few.
        if run.out_of_time() and start >= 2 * _BATCH:
            return
        part = kinds[start : start + _BATCH]
        yield *sample(label, start, part), part
        run.progress(done + share * (start + len(part)) / len(kinds))


def _judge(
    names: tuple[str, ...], scores: list[FloatArray], kinds: NDArray[np.bool_], sizes: Sizes, what: str
) -> Measurement:
    trials = len(scores[0])
    kinds = kinds[:trials]
    correct = [int(((score > 0) == kinds).sum()) for score in scores]
    best = int(np.argmax(correct))
    p_value = min(1.0, len(scores) * binomial_above(correct[best], trials))
    visible = smallest_visible(trials, CONTROL_LEVEL / len(scores))
    found = [advantage(count, trials, 0.99) for count in correct]
    value, interval = found[best]
    beside = ", ".join(f"{name} {adv:+.3f}" for name, (adv, _) in zip(names, found, strict=True))
    return Measurement(
        value=value,
        unit="advantage",
        samples=trials,
        interval=interval,
        confidence=0.99,
        p_value=p_value,
        decidable=visible <= VISIBLE,
        effort=f"{sizes.train} keys to learn from, {sizes.crops} crops a key for the net",
        note=f"{what}: {beside}; {trials} keys show an advantage of {visible:.2f} with power .9",
        details={
            "advantages": {name: adv for name, (adv, _) in zip(names, found, strict=True)},
            "intervals": {name: list(span) for name, (_, span) in zip(names, found, strict=True)},
            "correct": dict(zip(names, correct, strict=True)),
            "smallest_visible": visible,
            "train_keys": sizes.train,
        },
        figures=(*_curves(names, scores, kinds), _score_histogram(names[best], scores[best], kinds)),
    )


def _curves(names: tuple[str, ...], scores: list[FloatArray], kinds: NDArray[np.bool_]) -> tuple[Lines, ...]:
    """Share of each kind above a threshold, for all thresholds: the receiver operating curves."""
    if not kinds.any() or kinds.all():
        return ()
    series = {}
    for name, score in zip(names, scores, strict=True):
        order = np.argsort(-score, kind="stable")
        hits, alarms = kinds[order].cumsum() / kinds.sum(), (~kinds[order]).cumsum() / (~kinds).sum()
        series[name] = ([0.0, *alarms.tolist()], [0.0, *hits.tolist()])
    series["guessing"] = ([0.0, 1.0], [0.0, 1.0])
    return (Lines("Told apart at every threshold", "false alarms", "recognised", series),)


def _score_histogram(name: str, score: FloatArray, kinds: NDArray[np.bool_]) -> Histogram:
    observed = {"mean of the real kind": float(score[kinds].mean())} if kinds.any() else {}
    return Histogram(f"Scores of the {name} on the other kind", "score", score[~kinds].tolist(), observed)
