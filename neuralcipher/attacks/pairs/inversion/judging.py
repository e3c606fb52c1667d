"""The referee's side: is a guess right? Judged on held-out frames, never by the loss that found it.

A guess is stored, read again and rendered; its frames are compared with the true ones at the right times and at wrong
ones. If a guess tells nothing of the key, what it shows at different times has, for an ideal g, one distribution in any
order: then every assignment of the true frames to the times is as likely, and the test is exact. All guesses that are
tested together are assigned alike, so they may depend on each other as they like. The unit is a held-out frame of *one*
key: a row speaks of the bundle at hand.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from neuralcipher.attacks.base import CONTROL_LEVEL, NotApplicable
from neuralcipher.attacks.pairs.inversion.solving import Answer, Stop, show_from
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject
from neuralcipher.attacks.views import public

FloatArray = NDArray[np.float64]

FEWEST = 8
"""Held-out frames: 8! = 40,320 orders let a p-value fall to 2.5e-5, below what a control is judged at."""

SHOWN = 0.5
"""Agreement from which on a random start latent counts as showing the video."""

_ENUMERATED = 8
_DRAWS = 99_999
_DRAWS_AT_ONCE = 5000
_KNOWN = (1, 2, 4, 8)
_EXPLODING = 10.0


@dataclass(frozen=True, slots=True)
class Split:
    """known: numbers of known frames to try, all from frame 0 on. start, stop: the held-out frames, after all known."""

    known: tuple[int, ...]
    start: int
    stop: int


def split(frames: int, most: int, held_out: int) -> Split:
    """The numbers of known frames, up to `most`, that leave at least `FEWEST` frames, and at most `held_out` of them.

    Raises NotApplicable below 9 frames: one known and 8 held out.
    """
    known = tuple(k for k in _KNOWN if k <= most and frames - k >= FEWEST)
    if not known:
        raise NotApplicable(f"{frames} frames: one must be known and {FEWEST} held out")
    return Split(known, known[-1], min(frames, known[-1] + held_out))


def clock(run: Run) -> Stop:
    """Whether the time is spent, for attackers: they get no run, which could draw keys."""
    ends = None if run.seconds is None else time.monotonic() + run.seconds
    return lambda: ends is not None and time.monotonic() > ends


@dataclass(frozen=True, slots=True)
class Judged:
    """What the guesses are worth.

    agreement: mean over the tested guesses and the held-out frames of the correlation with the true frame, means over
    time removed, so that a still background counts for nothing. null_sd: of agreement over assignments of frames to
    times. p_value: exact or Monte Carlo, one-sided. null: draws of agreement, for the picture. each: agreement of every
    guess, psnr_db: its PSNR on the held-out frames. imposters_db, imposters_agreement: of random start latents.
    mean_db: of the mean known frame, repeated. right_db, right_agreement: of the right key. apart: mean absolute
    difference of each guess from the true latent, 85.3 for unrelated ones. shown: what the first tested guess
    shows at the first held-out time. digests: SHA-256 of the stored guesses, first 16 digits.
    """

    agreement: float
    null_sd: float
    p_value: float
    null: tuple[float, ...]
    each: tuple[float, ...]
    psnr_db: tuple[float, ...]
    imposters_db: tuple[float, ...]
    imposters_agreement: tuple[float, ...]
    mean_db: float
    right_db: float
    right_agreement: float
    apart: tuple[float, ...]
    shown: Tensor
    digests: tuple[str, ...]

    @property
    def decidable(self) -> bool:
        """Whether a recovered key would have been seen: not if the held-out frames are all alike, or F stored them
        too badly for the right key to agree with them."""
        visible = float(stats.norm.isf(CONTROL_LEVEL) + stats.norm.isf(0.1)) * self.null_sd
        return self.p_value <= CONTROL_LEVEL or 0 < visible <= self.right_agreement

    def recovered(self, guess: int) -> bool:
        """Whether a guess is nearer to the held-out frames than every imposter and the mean known frame."""
        return self.psnr_db[guess] > max(*self.imposters_db, self.mean_db)

    def plain(self) -> dict[str, Any]:
        """What a report keeps as JSON."""
        return {
            "agreement": self.agreement,
            "agreement of each guess": list(self.each),
            "agreement of imposters": list(self.imposters_agreement),
            "null sd": self.null_sd,
            "held-out PSNR of each guess, dB": list(self.psnr_db),
            "held-out PSNR of imposters, dB": list(self.imposters_db),
            "held-out PSNR of the mean known frame, dB": self.mean_db,
            "held-out PSNR of the right key, dB": self.right_db,
            "agreement of the right key": self.right_agreement,
            "mean distance of each guess from the true latent": list(self.apart),
            "SHA-256 of stored guesses": list(self.digests),
        }


def judge(
    subject: PairSubject, answers: Sequence[Answer], tested: Sequence[int], parts: Split, imposters: int, run: Run
) -> Judged:
    """Store, read again, render and compare the guesses; those of the indices `tested` make the test, chosen without
    looking at held-out frames. `imposters` random start latents are judged beside them."""
    everyone = public(subject)
    truth = subject.frames[parts.start : parts.stop]
    stored, digests = through_disk(answers)
    shown = [show_from(everyone, latent, index, parts.start, parts.stop) for latent, index in stored]
    keys = [run.key_bytes("imposter", i) for i in range(imposters)]
    others = [show_from(everyone, z0, 0, parts.start, parts.stop) for z0 in subject.starts(keys)]
    agreements = [agreement_matrix(one, truth) for one in shown]
    matrix = np.mean([agreements[guess] for guess in tested], axis=0)
    p_value, null = order_test(matrix, run.draw("orders"))
    right = show_from(everyone, subject.z0, 0, parts.start, parts.stop)
    mean = subject.frames[: parts.known[-1]].float().mean(0, keepdim=True).round().expand(truth.shape)
    return Judged(
        agreement=_diagonal(matrix),
        null_sd=order_sd(matrix),
        p_value=p_value,
        null=null,
        each=tuple(_diagonal(one) for one in agreements),
        psnr_db=tuple(psnr_db(one, truth) for one in shown),
        imposters_db=tuple(psnr_db(one, truth) for one in others),
        imposters_agreement=tuple(_diagonal(agreement_matrix(one, truth)) for one in others),
        mean_db=psnr_db(mean, truth),
        right_db=psnr_db(right, truth),
        right_agreement=_diagonal(agreement_matrix(right, truth)),
        apart=tuple(_apart(subject, latent, index) for latent, index in stored),
        shown=shown[tested[0]][0],
        digests=digests,
    )


def _apart(subject: PairSubject, latent: Tensor, index: int) -> float:
    right = subject.as_generator().after(subject.z0, index)
    return float((latent.double() - right.double()).abs().mean())


def _diagonal(matrix: FloatArray) -> float:
    return float(np.trace(matrix)) / len(matrix)


def through_disk(answers: Sequence[Answer]) -> tuple[list[tuple[Tensor, int]], tuple[str, ...]]:
    """The guesses as a stranger would check them: written with np.save and read again; and their hashes."""
    stored, digests = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number, answer in enumerate(answers):
            path = Path(folder) / f"guess-{number}.npy"
            np.save(path, answer.latent.cpu().numpy(), allow_pickle=False)
            stored.append((torch.from_numpy(np.load(path, allow_pickle=False)), answer.index))
            digests.append(hashlib.sha256(path.read_bytes()).hexdigest()[:16])
    return stored, tuple(digests)


def agreement_matrix(shown: Tensor, truth: Tensor) -> FloatArray:
    """(P, P): correlation of what is shown at time j with the true frame of time l, the means over time removed.

    shown, truth: (P, 3, H, W) uint8. What does not change over time counts as 0.
    """
    a, b = (_moving(frames) for frames in (shown, truth))
    return np.asarray(a @ b.T)


def _moving(frames: Tensor) -> FloatArray:
    values = frames.flatten(1).double()
    values = values - values.mean(0, keepdim=True)
    values = values - values.mean(1, keepdim=True)
    length = values.norm(dim=1, keepdim=True)
    unit = torch.where(length > 1e-6, values / length.clamp(min=1e-6), torch.zeros_like(values))
    return np.asarray(unit.numpy())


def order_test(matrix: FloatArray, draw: np.random.Generator) -> tuple[float, tuple[float, ...]]:
    """(one-sided p-value, some draws of the null) of the mean of matrix[j, j] over all orders of the columns.

    matrix: (P, P). All P! orders are counted up to P = 8; beyond, 99,999 random ones and the observed one, which keeps
    the test exact. Source: Phipson & Smyth, Permutation p-values should never be zero (2010).
    """
    count = len(matrix)
    observed = float(np.trace(matrix)) / count - 1e-12  # sums in another order differ in the last bits
    rows = np.arange(count)
    if count <= _ENUMERATED:
        orders = np.array(list(itertools.permutations(range(count))))
        means = matrix[rows, orders].mean(axis=1)
        return float((means >= observed).mean()), tuple(means[:: max(1, len(means) // 500)].tolist())
    kept: list[float] = []
    exceeded = done = 0
    while done < _DRAWS:
        some = min(_DRAWS_AT_ONCE, _DRAWS - done)
        orders = draw.permuted(np.tile(rows, (some, 1)), axis=1)
        means = matrix[rows, orders].mean(axis=1)
        exceeded, done = exceeded + int((means >= observed).sum()), done + some
        if len(kept) < 500:
            kept += means[:500].tolist()
    return (1 + exceeded) / (1 + _DRAWS), tuple(kept)


def order_sd(matrix: FloatArray) -> float:
    """Standard deviation of the mean of matrix[j, order(j)] over all orders, exact.

    Source: Hoeffding, A combinatorial central limit theorem (1951): sum of d_jl^2 / (P - 1), d doubly centred.
    """
    count = len(matrix)
    centred = matrix - matrix.mean(0, keepdims=True) - matrix.mean(1, keepdims=True) + matrix.mean()
    return math.sqrt(float(np.square(centred).sum()) / (count - 1)) / count if count > 1 else 0.0


def psnr_db(shown: Tensor, truth: Tensor) -> float:
    """PSNR of the mean squared error over all frames; identical ones count as 100."""
    error = float((shown.double() - truth.double()).square().mean())
    return min(100.0, 10 * math.log10(255**2 / error)) if error > 0 else 100.0


def flags_of(
    answers: Sequence[Answer], judged: Judged, black_box: Answer | None, has_gradient: bool
) -> tuple[str, ...]:
    """Validity flags, as AutoAttack has them: reasons not to take a failure of these guesses for strength.

    black_box: a search on frame 0 alone; the first of the answers knows that frame alone too.
    "any key shows the frames": then the guesses prove nothing about inversion, and the video lies open anyway.
    """
    flags = []
    if not has_gradient or all(answer.gradient == 0 for answer in answers):
        flags.append("zero gradient")
    if any(answer.growth is not None and not answer.growth < _EXPLODING for answer in answers):
        flags.append("exploding gradient")
    if all(answer.loss > 0.99 * answer.initial_loss and answer.loss > 0 for answer in answers):
        flags.append("loss did not fall")
    if black_box is not None and has_gradient and black_box.loss < answers[0].loss:
        flags.append("black box beats white box")
    if max(judged.imposters_agreement) >= SHOWN:
        flags.append("any key shows the frames")
    return tuple(flags)
