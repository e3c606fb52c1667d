"""Inversion with a belief about pictures, and with nothing but that: does a prior find what the known frames do not?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.pairs.inversion.controls import planted_like
from neuralcipher.attacks.pairs.inversion.judging import clock, flags_of, judge, split
from neuralcipher.attacks.pairs.inversion.known_plaintext import FULL_SIZE, figures
from neuralcipher.attacks.pairs.inversion.priors import NONE, PRIORS, Prior, solve_with_prior
from neuralcipher.attacks.pairs.inversion.solving import Answer
from neuralcipher.attacks.pairs.inversion.surrogate import surrogate_of
from neuralcipher.attacks.planted.flows import IdealFlow, IgnoresKeyFlow
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import Subject, pair_of
from neuralcipher.attacks.views import known_frames, public


@register("prior-inversion")
class PriorInversion:
    """Catalogue number 5."""

    info: ClassVar[Info] = Info(
        number=5,
        name="prior-inversion",
        title="Key from one known frame, or none, and a prior on pictures",
        properties=(3,),
        threat_models=(ThreatModel.KNOWN_PLAINTEXT, ThreatModel.KNOWN_CIPHERTEXT),
        needs=Needs.PAIR,
        statistic="mean correlation of held-out frames with what the latents z_1 show there that four priors find: "
        "total variation and mean colour of the next frame, z_1 as output of a small net (deep image prior), and no "
        "plaintext at all, only a smooth picture of usual mean and contrast; means over time removed; beside them "
        "no prior",
        null="what useless guesses show at the held-out times fits the true frames in any order alike, as for an ideal "
        "g: all orders (up to 8 frames) or 99,999; exact for this bundle, the unit is a held-out frame of one key",
        rule="one-sided p-value of the mean agreement of all priors; INCONCLUSIVE if the right key itself would not "
        "have been seen",
        positive="an F that shows its video to every key, 16x16 (without gradients: a black-box search)",
        negative="frames XORed with ChaCha20 under z, on the ChaCha20 generator; no gradients, so a black-box search",
        failure="one frame, or a guess of what pictures look like, gives a latent that plays frames never shown",
        weight=1.5,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """Small pairs with the subject's own video: open to all, and ideal."""
        pair = pair_of(subject)
        return planted_like(pair, IgnoresKeyFlow, run), planted_like(pair, IdealFlow, run)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Solve with each prior from the same starts, judge on held-out frames."""
        pair = pair_of(subject)
        parts = split(len(pair.frames), 1, run.pick(quick=8, full=24))
        known, none = known_frames(pair, (0,)), public(pair)
        surrogate = surrogate_of(none)
        has_gradient = surrogate.show is not None
        scale = FULL_SIZE / pair.frames[0].numel()
        most = run.pick(quick=4, full=120)
        steps = max(most, min(round(most * scale), run.pick(quick=60, full=500)))
        arms: list[Prior] = [NONE, *(prior for prior in PRIORS if has_gradient or not prior.net)]
        answers: list[Answer] = []
        stop = clock(run)
        for number, prior in enumerate(arms):
            draw = run.torch_draw("start")  # the same for every prior: a paired comparison
            view = known if prior.plaintext else none
            answers.append(solve_with_prior(view, surrogate, prior, steps=steps, draw=draw, stop=stop))
            run.progress((number + 1) / (len(arms) + 1))
        late = run.out_of_time()
        tested = list(range(1, len(arms)))
        judged = judge(pair, answers, tested, parts, run.pick(quick=2, full=16), run)
        run.progress(1.0)
        flags = flags_of(answers, judged, None, has_gradient)
        gains = [judged.each[i] - judged.each[0] for i in tested]
        names = [prior.name for prior in arms]
        details: dict[str, Any] = {
            **judged.plain(),
            "priors": names,
            "loss": [answer.loss for answer in answers],
            "initial loss": [answer.initial_loss for answer in answers],
            "gain in agreement over no prior": dict(zip(names[1:], gains, strict=True)),
            "held-out": [parts.start, parts.stop],
        }
        best = max(tested, key=lambda i: judged.psnr_db[i])
        return Measurement(
            value=judged.agreement,
            unit="correlation with held-out frames",
            samples=parts.stop - parts.start,
            p_value=judged.p_value,
            decidable=judged.decidable and not late,
            effort=f"{steps} {'Adam steps' if has_gradient else 'evaluations'} for each of {len(arms)} priors",
            note=f"the best of {len(tested)} priors ({names[best]}) shows held-out frames at "
            f"{judged.psnr_db[best]:.1f} dB, no prior at {judged.psnr_db[0]:.1f} dB, imposters at most at "
            f"{max(judged.imposters_db):.1f} dB, the known frame repeated at {judged.mean_db:.1f} dB; "
            f"priors gain {float(np.mean(gains)):+.3f} in agreement",
            flags=(*flags, "out of time") if late else flags,
            details=details,
            figures=figures(pair, judged, answers, names, parts),
        )
