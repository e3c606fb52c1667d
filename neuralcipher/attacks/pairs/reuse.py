"""Two bundles of one key: learn a keystream from the bundle whose video is known, and use it on the other.

The attacker seals the known video himself, under a key of his own, and so knows what its section holds unmasked.
Where a flow can remask, he finds out which byte is masked by which keystream byte, and learns these. Elsewhere he
XORs both sections of the known video into the target's: where masks are XORed at fixed places, that moves the target
from the victim's keystream to his own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, Measurement, NotApplicable
from neuralcipher.attacks.figures import Figure
from neuralcipher.attacks.pairs import leaks
from neuralcipher.attacks.pairs.masks import Layout, Learned, coverage, layout_of, learn, unmasked
from neuralcipher.attacks.pairs.seen import Clock, FloatArray, Video, difference_interval, resealed, small
from neuralcipher.attacks.planted.flows import IdealFlow, bundle_key, planted_pair, shared_keystream
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import Public, public
from neuralcipher.errors import NeuralCipherError, UsageError
from neuralcipher.generators.base import Keystream, Shape

NO_HOLD = 0.2
"""A forced equal salt must give a correlation above this, else the attack has no hold on the flow."""

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The known video as the attacker seals it. z0: of his own key."""

    public: Public
    z0: Tensor


@dataclass(frozen=True, slots=True)
class Study:
    """What the attacker has from one known bundle. learned: keystream bytes; xored: both its sections, where the
    flow cannot remask; z0: of his own key, which opens what `xored` moves."""

    shape: Shape
    learned: Learned | None
    xored: bytes
    z0: Tensor


def study(known: Public, rehearsal: Rehearsal) -> Study:
    """The attacker, given a bundle that holds the video of the rehearsal."""
    own = rehearsal.public
    plain = unmasked(own, rehearsal.z0)
    learned = None if plain is None else learn(known, plain)
    return Study(known.latent_shape, learned, xor(known.section, own.section), rehearsal.z0)


def recover(target: Public, studied: Study) -> Video | None:
    """The attacker: the frames of the target by what was learned elsewhere, (N, 3, H, W) uint8.

    None where what was learned does not even fit the target: latents of another shape, or no section after XOR.
    """
    if target.latent_shape != studied.shape:
        return None
    try:
        if studied.learned is not None:
            section, stream = target.section, studied.learned.stream(target.generator)
        else:
            section, stream = xor(target.section, studied.xored), Keystream(target.generator, studied.z0)
        shown = torch.stack(list(target.flow.render(section, stream, _CPU)))
    except (NeuralCipherError, RuntimeError):
        return None
    return shown.numpy() if tuple(shown.shape) == (target.frames, 3, target.height, target.width) else None


def best_guess(target: Public, studies: Sequence[Study], layout: Layout | None = None) -> Video | None:
    """The attacker with several known bundles: by the one that covers the target's masks best; of equals the smoothest.

    layout: of the target, None where its flow cannot remask.
    """
    fitting = [studied for studied in studies if studied.shape == target.latent_shape]
    covers = [coverage(layout, studied.learned) for studied in fitting]
    chosen = [studied for studied, cover in zip(fitting, covers, strict=True) if cover == max(covers)]
    guesses = [recover(target, studied) for studied in chosen]
    return min((guess for guess in guesses if guess is not None), key=roughness, default=None)


def roughness(frames: Video) -> float:
    """Mean step between neighbouring pixels, in grey levels: what an attacker tells a picture from noise by."""
    values = frames.astype(np.float64)
    steps = [np.abs(np.diff(values, axis=axis)).mean() for axis in (2, 3) if values.shape[axis] > 1]
    return float(np.mean(steps)) if steps else 0.0


def xor(a: bytes, b: bytes) -> bytes:
    """a XOR b as far as both go; what is left of a follows unchanged."""
    count = min(len(a), len(b))
    both = np.frombuffer(a[:count], np.uint8) ^ np.frombuffer(b[:count], np.uint8)
    return bytes(both.tobytes()) + a[count:]


def equal_bytes(a: bytes, b: bytes) -> float:
    """Share of places where two sections hold the same byte: 1/256 for independent masks."""
    count = min(len(a), len(b))
    return float(np.mean(np.frombuffer(a[:count], np.uint8) == np.frombuffer(b[:count], np.uint8)))


def score(guess: Video | None, truth: Video) -> float:
    """Correlation of the recovered frames with the truth, 0 where nothing was recovered."""
    return 0.0 if guess is None else leaks.correlation(guess, truth)


def moved(subject: PairSubject, key: bytes) -> PairSubject:
    """The same video under another key: remasked where the flow can, which costs little, else sealed again."""
    z0 = subject.start(key, subject.latent_shape)
    old, new = (Keystream(subject.generator, start) for start in (subject.z0, z0))
    try:
        section = subject.flow.remask(subject.section, old, new)
    except UsageError:
        return resealed(subject, subject.frames, key)
    return replace(subject, section=section, key=key, z0=z0)


def first_bundle(subject: PairSubject, frames: Tensor, run: Run, label: str) -> PairSubject:
    """A video sealed by the first owner; the label is its salt."""
    return resealed(subject, frames, salted(run, 0, label))


def bundles_of(first: PairSubject, run: Run, label: str, owners: int, clock: Clock) -> list[PairSubject]:
    """The same video sealed by each of some owners, with a salt of its own, as the product does."""
    made = [first]
    for owner in range(1, owners):
        made.append(moved(first, salted(run, owner, label)))
        clock.tick()
    return made


def salted(run: Run, owner: int, label: str) -> bytes:
    """The bundle key of an owner; the label is the salt."""
    return bundle_key(run.key_bytes("owner", owner), label.encode())


def rehearsed(known: PairSubject, run: Run, label: str) -> Rehearsal:
    """The known video under the attacker's own key."""
    own = moved(known, run.key_bytes(f"attacker {label}", 0))
    return Rehearsal(public(own), own.z0)


def matching_p_value(matrix: FloatArray) -> float:
    """Share of the permutations p for which the sum of matrix[i, p(i)] is at least the trace: exact, by enumeration.

    matrix[i, j]: what the bundle of owner j tells of the target of owner i. If bundles of one owner have nothing
    more in common than those of two, the owners' labels may be exchanged.
    """
    count = len(matrix)
    orders = np.array(list(itertools.permutations(range(count))), dtype=np.int64)
    sums = matrix[np.arange(count), orders].sum(axis=1)
    return float((sums >= np.trace(matrix) - 1e-9).mean())


def least_matching_p(owners: int) -> float:
    """What no matching of so many owners falls below."""
    return 1 / math.factorial(owners)


def material(subject: Subject, frames: int, side: int) -> tuple[PairSubject, Tensor]:
    """(the subject, the smoothest corner of its first frames, which is sealed again and again)."""
    target = pair_of(subject)
    if target.seal is None:
        raise NotApplicable("the pair cannot be made again, so its key cannot be used twice")
    return target, corners([target.frames], frames, side)[0]


def controls(subject: Subject, run: Run) -> tuple[PairSubject, PairSubject]:
    """Bundles whose start latents forget the salt, and the ideal flow."""
    like = small(pair_of(subject))
    weak = shared_keystream().seal(
        "weak-shared-keystream", like.frames, run.key_bytes("positive control", 0), like.others
    )
    return weak, planted_pair(IdealFlow, like, run.key_bytes("negative control", 0))


def matrix_of(
    targets: Sequence[PairSubject],
    known: Sequence[Sequence[PairSubject]],
    rehearsals: Sequence[Rehearsal],
    clock: Clock,
) -> tuple[FloatArray, Video | None]:
    """(matrix[i, j]: score of what owner j's bundles tell of owner i's target; the guess for the first by his own).

    known[v][j]: the known video v as owner j sealed it.
    """
    count = len(targets)
    studies = [studies_of([sealed[j] for sealed in known], rehearsals) for j in range(count)]
    layouts = [layout_of(public(target)) for target in targets]
    matrix = np.zeros((count, count))
    first: Video | None = None
    for i, target in enumerate(targets):
        for j in range(count):
            guess = best_guess(public(target), studies[j], layouts[i])
            matrix[i, j] = score(guess, target.frames.numpy())
            first = guess if i == j == 0 else first
            clock.tick()
    return matrix, first


def studies_of(known: Sequence[PairSubject], rehearsals: Sequence[Rehearsal]) -> list[Study]:
    """`study` of each known bundle with the rehearsal of its video."""
    return [study(public(one), own) for one, own in zip(known, rehearsals, strict=True)]


def forced(
    target: PairSubject, known: Sequence[PairSubject], rehearsals: Sequence[Rehearsal], key: bytes
) -> Video | None:
    """What the attack gives where the known bundles are sealed under the very key and salt of the target."""
    same = [moved(one, key) for one in known]
    return best_guess(public(target), studies_of(same, rehearsals), layout_of(public(target)))


def of_owners(
    matrix: FloatArray,
    run: Run,
    *,
    effort: str,
    note: Callable[[float, float], str],
    details: Mapping[str, Any],
    figures: tuple[Figure, ...],
) -> Measurement:
    """What bundles of the same owner tell more than those of another. matrix: as of `matrix_of`.

    note: of the mean correlations with bundles of the same owner and of others.
    """
    owners = len(matrix)
    own, others = np.diag(matrix).tolist(), matrix[~np.eye(owners, dtype=bool)].tolist()
    same, apart = float(np.mean(own)), float(np.mean(others))
    return Measurement(
        value=same - apart,
        unit="r",
        samples=owners,
        interval=difference_interval(own, others, run.draw("bootstrap")),
        p_value=matching_p_value(matrix),
        decidable=least_matching_p(owners) <= CONTROL_LEVEL,
        effort=effort,
        note=note(same, apart),
        details={"correlation_by_owners": matrix.tolist(), **details},
        figures=figures,
    )


def no_hold(what: float, effort: str) -> Measurement:
    """The end of an attack that cannot even use a forced equal salt, `what` its correlation: nothing can be decided."""
    return Measurement(
        0.0,
        "r",
        1,
        p_value=1.0,
        decidable=False,
        effort=effort,
        note="The section has no part masked by XOR that this attack could use: with a forced equal salt the guess "
        f"correlates with the secret video at {what:.3f}.",
        flags=("a forced equal salt is not exploited either: the attack has no hold on this flow",),
        details={"forced_equal_salt": {"correlation": what}},
    )


def corners(videos: Sequence[Tensor], count: int, side: int) -> list[Tensor]:
    """The four corners of the first frames of each video, from the smoothest to the one with most detail.

    The secret video is a smooth one and the known one rich in detail: where a flow codes, the known bundle then says
    enough of its keystream, if there is anything to be said.
    """
    cuts = []
    for video in videos:
        height, width = video.shape[2:]
        for top in sorted({0, max(0, height - side)}):
            for left in sorted({0, max(0, width - side)}):
                part = video[:count, :, top : top + side, left : left + side]
                cuts.append(torch.clone(part, memory_format=torch.contiguous_format))
    return sorted(cuts, key=lambda cut: roughness(cut.numpy()))
