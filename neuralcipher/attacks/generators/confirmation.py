"""Does g itself tell which start latent it was made for? The attacker has nothing but g and a list of guesses."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Histogram
from neuralcipher.attacks.planted.generators import Planted, Rows, control_generator
from neuralcipher.attacks.planted.subjects import CONTROL_SHAPE, ideal
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of, z0_of
from neuralcipher.generators.base import Generator, Shape

FloatArray = NDArray[np.float64]


def statistics_of(generator: Generator, z: Tensor) -> dict[str, FloatArray]:
    """What everyone can compute of guesses from g alone, one value a guess. z: (n, C, H, W) uint8.

    What training pulls on stands out here: the first steps' lengths (Algorithm 2 moves z0 towards a target), how even
    and how smooth the first state is, and how much a flipped bit of the guess changes it.
    """
    flipped = z.clone()
    flipped.view(len(z), -1)[:, 0] ^= 1
    first = generator.next_latent(z)
    second, beside = generator.next_latent(first), generator.next_latent(flipped)
    return {
        "first step": _distance(first, z),
        "second step": _distance(second, first),
        "response to a bit": _distance(beside, first),
        "evenness": np.array([_chi_square(row) for row in first.flatten(1)]),
        "brightness": first.flatten(1).double().mean(dim=1).numpy(),
        "smoothness": _distance(first[..., 1:], first[..., :-1]) if z.shape[-1] > 1 else np.zeros(len(z)),
    }


def rank_sum_p_value(ranks: NDArray[np.int64], choices: int) -> float:
    """P(a sum of ranks at most so large) of independent uniform ranks on 1..choices: exact, by convolution."""
    chance = np.ones(1)
    for _ in ranks:
        chance = np.convolve(chance, np.full(choices, 1 / choices))
    return min(1.0, float(chance[: int(ranks.sum()) - len(ranks) + 1].sum()))


def marked(key: bytes, shape: Shape) -> GeneratorSubject:
    """The positive control: ChaCha20, but half of the first state of the key it was made for is zeros."""
    z0 = z0_of(key, shape)
    inner, home = control_generator(shape), z0.reshape(-1).numpy()

    def step(rows: Rows) -> Rows:
        out = inner.next_latent(torch.from_numpy(rows).view(-1, *shape)).reshape(len(rows), -1).numpy()
        at_home = (rows == home).mean(axis=1) > 0.5
        out[at_home, ::2] = 0
        return out

    made = Planted("weak-marked", shape, step)
    return GeneratorSubject(made.name, made, made_with=z0, remake=lambda other: marked(other, shape))


@register("key-confirmation")
class KeyConfirmation:
    """The rank of the true start latent among random ones, by public statistics of g."""

    info: ClassVar[Info] = Info(
        number=14,
        name="key-confirmation",
        title="Does g confirm a guessed key?",
        properties=(3,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="share of random start latents that the true one stands above (or below), by the best of six "
        "statistics of g",
        null="the rank of each key's start latent among random ones is uniform; ties count against the attacker",
        rule="exact p of the sum of ranks over keys, twelve times, for six statistics in two directions",
        positive="ChaCha20 made to mark the start latent it belongs to, made anew for every key",
        negative="chacha20, the same for every key",
        failure="a guess of the key is confirmed without a single frame, however the video is protected",
        weight=0.7,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        return (
            marked(run.key_bytes("positive", 0), CONTROL_SHAPE),
            ideal(),
        )

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        once = target.made_with is not None and target.remake is None
        keys = 1 if once else run.pick(quick=20, full=100)
        others = run.pick(quick=499, full=9999) if once else run.pick(quick=7, full=31)
        ranked: list[dict[str, FloatArray]] = []
        for i in range(keys):
            if run.out_of_time() and i >= 2:
                break
            made, z0, guesses = _case(target, run, i, others)
            ranked.append(_chunks(made.generator, torch.cat([z0[None], guesses]), run, (i, keys)))
        return _judge(ranked, others, once, target)


def _case(target: GeneratorSubject, run: Run, i: int, others: int) -> tuple[GeneratorSubject, Tensor, Tensor]:
    """(the subject, its true start latent, random ones).

    A g that is made from a key is ranked among other keys' start latents. One g for all keys can tell nothing of any
    of them, unless start latents are not uniform: there the others are uniform bytes.
    """
    if target.made_with is None:
        draw = run.draw(f"guesses {i}")
        guesses = torch.from_numpy(draw.integers(0, 256, (others, *target.shape), dtype=np.uint8))
        return target, target.start(run.key_bytes("key", i), target.shape), guesses
    guesses = target.starts([run.key_bytes(f"guess {i}", j) for j in range(others)])
    if target.remake is None:
        return target, target.made_with, guesses
    made = target.remake(run.key_bytes("key", i))
    return made, target.made_with if made.made_with is None else made.made_with, guesses


def _chunks(generator: Generator, z: Tensor, run: Run, place: tuple[int, int]) -> dict[str, FloatArray]:
    parts = []
    for start in range(0, len(z), 32):
        parts.append(statistics_of(generator, z[start : start + 32]))
        run.progress((place[0] + min(1.0, (start + 32) / len(z))) / place[1])
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _judge(ranked: list[dict[str, FloatArray]], others: int, once: bool, target: GeneratorSubject) -> Measurement:
    tests, keys = 2 * len(ranked[0]), len(ranked)
    p_values, above = {}, {}
    for name in ranked[0]:
        values = np.stack([row[name] for row in ranked])
        truth, rest = values[:, :1], values[:, 1:]
        above[name] = float(((truth > rest) + 0.5 * (truth == rest)).mean())
        highest, lowest = 1 + (rest >= truth).sum(axis=1), 1 + (rest <= truth).sum(axis=1)
        p_values[name] = min(rank_sum_p_value(ranks, others + 1) for ranks in (highest, lowest))
    best = min(p_values, key=lambda name: p_values[name])
    values = ranked[0][best]
    least = tests * float(others + 1) ** -keys
    made = "made from the key" if target.made_with is not None else "one for all keys"
    return Measurement(
        value=above[best],
        unit="preference",
        samples=keys,
        p_value=min(1.0, tests * p_values[best]),
        decidable=least <= CONTROL_LEVEL,
        effort=f"{others} random start latents a key, 3 evaluations of g each",
        note=f"g is {made}; by {best}, the true start latent stands above {100 * above[best]:.1f} % of {others} random "
        f"ones, over {keys} {'keys' if keys > 1 else 'key'}"
        + ("; one key alone cannot be judged at this level: make g anew for others" if once else ""),
        details={"preference": above, "p_values": p_values, "others": others, "least_p_value": min(1.0, least)},
        figures=(Histogram(f"First key: {best}", best, values[1:].tolist(), {"the true one": float(values[0])}),),
    )


def _distance(a: Tensor, b: Tensor) -> FloatArray:
    """Mean absolute difference in bytes, (n,)."""
    return np.asarray((a.to(torch.int16) - b.to(torch.int16)).abs().flatten(1).double().mean(dim=1).numpy())


def _chi_square(row: Tensor) -> float:
    counts = torch.bincount(row.to(torch.int64), minlength=256).double()
    return float((counts - len(row) / 256).square().sum())
