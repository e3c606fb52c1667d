"""Known-plaintext inversion: from k known frames to a latent that shows the others, by gradients through F and g."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Figure, Histogram, Lines, Pictures
from neuralcipher.attacks.pairs.inversion.controls import open_pair, planted_like
from neuralcipher.attacks.pairs.inversion.judging import Judged, Split, clock, flags_of, judge, split
from neuralcipher.attacks.pairs.inversion.solving import (
    Answer,
    Stop,
    exact_loss,
    invert,
    known_objective,
    never,
    search,
)
from neuralcipher.attacks.pairs.inversion.surrogate import Surrogate, surrogate_of
from neuralcipher.attacks.planted.flows import IdealFlow
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import KnownFrames, known_frames

FULL_SIZE = 3 * 128 * 128
"""Values of a frame that budgets are stated for."""


@dataclass(frozen=True, slots=True)
class Rung:
    """known: how many frames the attacker has. optimiser: "adam", "lbfgs" or "search"."""

    known: int
    optimiser: str
    steps: int
    restarts: int = 1

    def __str__(self) -> str:
        again = f", best of {self.restarts}" if self.restarts > 1 else ""
        return f"k={self.known}, {self.steps} {self.optimiser} steps{again}"


@dataclass(frozen=True, slots=True)
class Effort:
    """The budget, fixed before anything is seen, for frames of 3x128x128; smaller ones get more steps each.

    steps: of one restart with one known frame; k frames get 1/k of them. cap: most steps. search: evaluations of the
    black box, at least.
    """

    steps: int
    cap: int
    floor: int
    search: int
    restarts: int


QUICK = Effort(steps=8, cap=60, floor=6, search=6, restarts=1)
FULL = Effort(steps=200, cap=800, floor=30, search=60, restarts=2)


def rungs_of(effort: Effort, known: Sequence[int], size: int, has_gradient: bool) -> list[Rung]:
    """What will be tried: Adam for every k, L-BFGS for the first and last, or one search without gradients."""
    scale = FULL_SIZE / size
    if not has_gradient:
        return [Rung(known[-1], "search", max(effort.search, min(effort.cap, round(effort.search * scale / 4))))]

    def steps(k: int) -> int:
        return max(effort.floor, min(effort.cap, round(effort.steps * scale / k)))

    rungs = [Rung(k, "adam", steps(k), effort.restarts) for k in known]
    return [*rungs, *(Rung(k, "lbfgs", steps(k)) for k in dict.fromkeys((known[0], known[-1])))]


def solve(view: KnownFrames, surrogate: Surrogate, rung: Rung, *, draw: torch.Generator, stop: Stop = never) -> Answer:
    """The attacker: one rung on a view."""
    if rung.optimiser == "search":
        objective, span = known_objective(view.frames), len(view.frames)
        return search(view.public, objective, span, evaluations=rung.steps, draw=draw, index=0, stop=stop)
    effort = {"steps": rung.steps, "restarts": rung.restarts}
    return invert(view, surrogate, optimiser=rung.optimiser, draw=draw, stop=stop, **effort)


def choose(view: KnownFrames, answers: Sequence[Answer]) -> int:
    """The attacker's own choice among guesses: the least error on all frames that it knows."""
    objective, span = known_objective(view.frames), len(view.frames)
    losses = [exact_loss(view.public, answer.latent, answer.index, objective, span) for answer in answers]
    return int(np.argmin(losses))


@register("known-plaintext-inversion")
class KnownPlaintextInversion:
    """Catalogue number 4."""

    info: ClassVar[Info] = Info(
        number=4,
        name="known-plaintext-inversion",
        title="Key from known frames by gradients",
        properties=(3,),
        threat_models=(ThreatModel.KNOWN_PLAINTEXT,),
        needs=Needs.PAIR,
        statistic="mean correlation of held-out frames with what the latent z_1 shows there that minimises the mean of "
        "(F(g^i(z_1)) - x_i)^2 over frames i < k, k = 1, 2, 4, 8, by Adam and L-BFGS; of all guesses the one with the "
        "least error on the known frames; means over time removed; read again from a file before it is judged",
        null="what a useless guess shows at the held-out times fits the true frames in any order alike, as for an "
        "ideal g: all orders (up to 8 frames) or 99,999; exact for this bundle, the unit is a frame of one key",
        rule="one-sided p-value of the agreement; INCONCLUSIVE if the right key itself would not have been seen",
        positive="a linear, invertible F on a linear, invertible g, 20 frames of 16x16: the video is what F makes of Z",
        negative="frames XORed with ChaCha20 under z, on the ChaCha20 generator; no gradients, so a black-box search",
        failure="whoever knows some frames of the video gets a latent that plays others that were never shown",
        weight=2.0,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """A linear pair and an ideal one, small."""
        pair = pair_of(subject)
        return open_pair(run), planted_like(pair, IdealFlow, run)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Solve on every rung, let the attacker choose, judge on held-out frames."""
        pair = pair_of(subject)
        parts = split(len(pair.frames), run.pick(quick=4, full=8), run.pick(quick=8, full=24))
        known = parts.known if run.settings.is_full else tuple(dict.fromkeys((parts.known[0], parts.known[-1])))
        views = {k: known_frames(pair, tuple(range(k))) for k in known}
        surrogate = surrogate_of(views[known[0]].public)
        has_gradient = surrogate.show is not None
        effort = run.pick(quick=QUICK, full=FULL)
        rungs = rungs_of(effort, known, pair.frames[0].numel(), has_gradient)
        if not run.settings.is_full and has_gradient:
            rungs = rungs[: len(known) + 1]  # L-BFGS with one frame only
        answers: list[Answer] = []
        stop = clock(run)
        for number, rung in enumerate(rungs):
            if answers and run.out_of_time():
                break
            draw = run.torch_draw(f"rung {number}")
            answers.append(solve(views[rung.known], surrogate, rung, draw=draw, stop=stop))
            run.progress((number + 1) / (len(rungs) + 1))
        black_box = None
        if has_gradient:
            beside = Rung(1, "search", effort.search)
            draw = run.torch_draw("black box")
            black_box = solve(views[known[0]], surrogate, beside, draw=draw, stop=stop)
        late = len(answers) < len(rungs) or run.out_of_time()
        chosen = choose(views[known[-1]], answers)
        judged = judge(pair, answers, [chosen], parts, run.pick(quick=2, full=16), run)
        run.progress(1.0)
        flags = flags_of(answers, judged, black_box, has_gradient)
        return Measurement(
            value=judged.agreement,
            unit="correlation with held-out frames",
            samples=parts.stop - parts.start,
            p_value=judged.p_value,
            decidable=judged.decidable and not late,
            effort="; ".join(str(rung) for rung in rungs[: len(answers)]),
            note=_note(judged, chosen, rungs[chosen], parts),
            flags=(*flags, "out of time") if late else flags,
            details={
                **judged.plain(),
                "rungs": _rungs(rungs, answers),
                "chosen": chosen,
                "held-out": [parts.start, parts.stop],
            },
            figures=figures(pair, judged, answers, [str(rung) for rung in rungs], parts),
        )


def _note(judged: Judged, chosen: int, rung: Rung, parts: Split) -> str:
    return (
        f"the guess of the attacker ({rung}) shows {parts.stop - parts.start} held-out frames at "
        f"{judged.psnr_db[chosen]:.1f} dB, {len(judged.imposters_db)} imposters at most at "
        f"{max(judged.imposters_db):.1f} dB, the mean of the known frames at "
        f"{judged.mean_db:.1f} dB, the right key at {judged.right_db:.1f} dB"
    )


def _rungs(rungs: Sequence[Rung], answers: Sequence[Answer]) -> list[dict[str, Any]]:
    return [
        {
            "known": rung.known,
            "optimiser": rung.optimiser,
            "steps": rung.steps,
            "restarts": rung.restarts,
            "loss": answer.loss,
            "initial loss": answer.initial_loss,
            "gradient": answer.gradient,
            "gradient growth by one step of g": answer.growth,
        }
        for rung, answer in zip(rungs, answers, strict=False)
    ]


def figures(
    pair: PairSubject, judged: Judged, answers: Sequence[Answer], names: Sequence[str], parts: Split
) -> tuple[Figure, ...]:
    """The losses, the null with what was observed, and one held-out frame as everyone sees it."""
    losses = {
        name: (list(range(1, len(answer.history) + 1)), list(answer.history))
        for name, answer in zip(names, answers, strict=False)
        if answer.history
    }
    observed = {"guess": judged.agreement, "best imposter": max(judged.imposters_agreement)}
    truth = pair.frames[parts.start]
    mean = pair.frames[: parts.known[-1]].float().mean(0).round()
    row = [("held-out frame", truth), ("guess", judged.shown), ("mean known frame", mean)]
    return (
        Lines("Error on the known frames while solving", "evaluation", "mean squared error, [0, 1]", losses),
        Histogram("Agreement with held-out frames in any order", "correlation", judged.null, observed),
        Pictures("A held-out frame", [[(caption, _picture(frame)) for caption, frame in row]]),
    )


def _picture(frame: Tensor) -> NDArray[np.uint8]:
    return np.ascontiguousarray(frame.permute(1, 2, 0).numpy().astype(np.uint8))
