"""Was this frame stored? What random keys see, compared with candidate frames that were stored and that were not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, NotApplicable, ThreatModel, register
from neuralcipher.attacks.figures import Histogram, Lines
from neuralcipher.attacks.pairs.seen import (
    Clock,
    FloatArray,
    OutOfTime,
    Video,
    can_decide,
    controls,
    imposters,
    preference_interval,
    resealed,
    stopped,
)
from neuralcipher.attacks.planted.flows import IgnoresKeyFlow
from neuralcipher.attacks.ranks import holm, rank_sum
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import Public, public


def resemblance(view: Public, z0: Tensor, frames: int, candidates: Video) -> FloatArray:
    """The attacker: how near a key's picture comes to each candidate, in grey levels; 0 is the same picture.

    Minus the root mean square difference to the nearest of the first frames that a guessed start latent sees.
    candidates: (n, 3, H, W) uint8. Returns (n,).
    """
    shown = view.show(z0, 0, frames).numpy().astype(np.float64).reshape(frames, -1)
    wanted = candidates.astype(np.float64).reshape(len(candidates), -1)
    squares = (wanted**2).sum(axis=1)[:, None] + (shown**2).sum(axis=1)[None] - 2 * wanted @ shown.T
    return np.asarray(-np.sqrt(np.maximum(0.0, squares).min(axis=1) / shown.shape[1]))


@dataclass(frozen=True, slots=True)
class Trial:
    """Two bundles and two sets of candidates: each set is stored in one bundle and in the other it is not.

    what: for the report. first, second: (keys, candidates) resemblances of each bundle's keys; the first `stored`
    candidates are in the first bundle, the rest in the second.
    """

    what: str
    first: FloatArray
    second: FloatArray
    stored: int

    def scores(self) -> tuple[list[float], list[float]]:
        """How much more each key's picture resembles what the first bundle stores than what the second does."""
        both = (self.first, self.second)
        one, other = (r[:, : self.stored].mean(axis=1) - r[:, self.stored :].mean(axis=1) for r in both)
        return one.tolist(), other.tolist()

    def of_frames(self) -> float:
        """AUC over single frames, by the nearest picture of any key: of the first bundle's own against the others.

        No test: a frame may be near to every picture because it is an ordinary one.
        """
        nearest = self.first.max(axis=0)
        return rank_sum(nearest[: self.stored].tolist(), nearest[self.stored :].tolist())[0]


@register("membership")
class Membership:
    """Two trials: the video against another video, and every other frame against its held-out neighbours."""

    info: ClassVar[Info] = Info(
        number=13,
        name="membership",
        title="membership: was this frame stored?",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.PAIR,
        statistic="how much more what random keys see resembles the stored candidates than held-out ones: another "
        "video's frames, and the neighbours of every other frame",
        null="the same from a bundle in which the candidates have changed places: exact rank sum over keys; Holm over "
        "the two trials",
        rule="broken if one of the trials ranks the bundle that stored the candidates above the one that did not",
        positive="an F that ignores z",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="someone without the key can tell whether a picture he holds is in the bundle",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run, IgnoresKeyFlow)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        target = pair_of(subject)
        keys, half = run.pick(quick=10, full=24), run.pick(quick=2, full=8)
        frames = run.pick(quick=2, full=4)
        half = min(half, len(target.frames) // 2)
        pairs = []
        if target.others:
            other = resealed(target, target.others[0], run.key_bytes("other video", 0))
            pairs.append(("another video", target, other))
        if half:
            even, odd = target.frames[: 2 * half : 2], target.frames[1 : 2 * half : 2]
            sealed = [resealed(target, some, run.key_bytes(label, 0)) for some, label in ((even, "even"), (odd, "odd"))]
            pairs.append(("neighbours", sealed[0], sealed[1]))
        if not pairs:
            raise NotApplicable("a single frame and no other video leave nothing to hold out")
        effort = f"{keys} keys of each of {2 * len(pairs)} bundles, the first {frames} frame(s)"
        clock = Clock(run, 2 * keys * len(pairs))
        try:
            trials = [self._trial(what, first, second, run, keys, frames, clock) for what, first, second in pairs]
        except OutOfTime:
            return stopped("AUC", effort, 0.5)
        return _judge(trials, run, effort)

    def _trial(
        self, what: str, first: PairSubject, second: PairSubject, run: Run, keys: int, frames: int, clock: Clock
    ) -> Trial:
        candidates = np.concatenate([first.frames.numpy(), second.frames.numpy()])
        found = []
        for place, bundle in (("first", first), ("second", second)):
            view, rows = public(bundle), []
            for z0 in imposters(bundle, run, f"{what} {place}", keys):
                rows.append(resemblance(view, z0, min(frames, len(bundle.frames)), candidates))
                clock.tick()
            found.append(np.stack(rows))
        return Trial(what, found[0], found[1], len(first.frames))


def _judge(trials: Sequence[Trial], run: Run, effort: str) -> Measurement:
    scores = [trial.scores() for trial in trials]
    tests = [rank_sum(*both) for both in scores]
    adjusted = holm([p_value for _, p_value in tests])
    worst = int(np.argmin(adjusted))
    keys = len(scores[0][0])
    details: dict[str, Any] = {
        trial.what: {
            "stored_bundle": both[0],
            "held_out_bundle": both[1],
            "preference": preferred,
            "p_value": p_value,
            "auc_of_frames_by_the_nearest_picture": trial.of_frames(),
        }
        for trial, both, (preferred, p_value) in zip(trials, scores, tests, strict=True)
    }
    parts = [
        f"against {trial.what}: AUC {preferred:.2f}, p = {p:.2g}"
        for trial, (preferred, _), p in zip(trials, tests, adjusted, strict=True)
    ]
    return Measurement(
        value=tests[worst][0],
        unit="AUC",
        samples=2 * keys * len(trials),
        interval=preference_interval(*scores[worst], run.draw("bootstrap")),
        p_value=adjusted[worst],
        decidable=can_decide(keys, keys, len(trials)),
        effort=effort,
        note="Stored frames " + "; ".join(parts) + ".",
        details=details,
        figures=(
            Lines(
                f"Telling stored frames from {trials[worst].what}",
                "keys of the bundle that did not store them, wrongly accepted",
                "keys of the bundle that stored them, accepted",
                {"keys": _curve(*scores[worst]), "guessing": ([0.0, 1.0], [0.0, 1.0])},
            ),
            Histogram(
                "Resemblance to what is stored, less that to what is not",
                "grey levels",
                scores[worst][1],
                {"stored, mean": float(np.mean(scores[worst][0]))},
            ),
        ),
    )


def _curve(first: list[float], second: list[float]) -> tuple[list[float], list[float]]:
    """The receiver operating characteristic: (false positive rates, true positive rates)."""
    cuts = [np.inf, *sorted({*first, *second}, reverse=True)]
    return tuple([float(np.mean(np.asarray(values) >= cut)) for cut in cuts] for values in (second, first))  # type: ignore[return-value]
