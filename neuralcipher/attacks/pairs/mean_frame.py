"""The mean frame from the weights alone: what F shows on average over keys that are all wrong."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Histogram, Pictures
from neuralcipher.attacks.pairs import leaks
from neuralcipher.attacks.pairs.seen import (
    Clock,
    OutOfTime,
    Video,
    can_decide,
    controls,
    difference_interval,
    imposters,
    imposters_and_strangers,
    mean_frame,
    picture,
    resealed,
    stopped,
    strangers,
)
from neuralcipher.attacks.planted.flows import MeanBiasFlow
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import public

_GREY = 128
_GREY_KEYS = 8


@register("mean-frame")
class MeanFrame:
    """Averages what imposters see, and asks whether it leans towards the sealed video more than strangers' does."""

    info: ClassVar[Info] = Info(
        number=2,
        name="mean-frame",
        title="mean frame from the weights alone",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.PAIR,
        statistic="nearness of what wrong keys see to the sealed video over that to other videos: palette, texture, "
        "correlation, correlation of the mean frames",
        null="what wrong keys see has one distribution, whatever video was sealed: exact rank sum against what wrong "
        "keys see of bundles of other videos, made alike; Holm over the four measures",
        rule="broken if one of the measures ranks imposters above strangers",
        positive="an F that stores the mean frame openly",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="colours, texture or the still background of the video can be read off the bundle without any key",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run, MeanBiasFlow)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        target = pair_of(subject)
        keys, frames = run.pick(quick=10, full=24), min(len(target.frames), run.pick(quick=2, full=8))
        bundles = strangers(target, run, run.pick(quick=2, full=4))
        effort = f"{keys} imposters, as many strangers over {len(bundles)} bundles, the first {frames} frame(s)"
        clock = Clock(run, 2 * keys)
        try:
            seen = imposters_and_strangers(target, bundles, run, keys, frames, clock)
        except OutOfTime:
            return stopped("r", effort)
        return self._judge(target, run, seen, len(bundles), effort)

    def _judge(
        self, target: PairSubject, run: Run, seen: tuple[list[Video], list[Video]], count: int, effort: str
    ) -> Measurement:
        shown, foreign = seen
        frames = len(shown[0])
        truth = target.frames[:frames].numpy()
        others = [other[:frames].numpy() for other in target.others[:count]]
        report = leaks.measure_leaks(truth, shown, others, foreign)
        adjusted = holm([leak.p_value for leak in report.leaks])
        mean = mean_frame(target.frames, 1)
        guess = recovered_mean(shown)
        correlation = leaks.mean_frame_correlation(guess, mean)
        of_shown, of_foreign = ([abs(leaks.mean_frame_correlation(one, mean)) for one in group] for group in seen)
        of_strangers = leaks.mean_frame_correlation(recovered_mean(foreign), mean)
        details = {
            "correlation_with_mean_frame": correlation,
            "strangers_correlation_with_mean_frame": of_strangers,
            "measures": {
                leak.name: {
                    "unit": leak.unit,
                    "to_truth": leak.to_truth,
                    "to_others": list(leak.to_others),
                    "strangers": leak.strangers,
                    "preference": leak.preference,
                    "p_value": leak.p_value,
                    "adjusted_p_value": p_value,
                }
                for leak, p_value in zip(report.leaks, adjusted, strict=True)
            },
        }
        blank = None
        if run.settings.is_full:  # an F that has learned nothing of any video
            blank = _untrained(target, run, mean, frames)
            details["grey_video_correlation_with_mean_frame"] = blank
        worst = min(zip(adjusted, report.leaks, strict=True), key=lambda found: found[0])
        others_say = f"{of_strangers:.3f} for strangers" + ("" if blank is None else f", {blank:.3f} for a grey video")
        return Measurement(
            value=correlation,
            unit="r",
            samples=len(shown) + len(foreign),
            interval=difference_interval(of_shown, of_foreign, run.draw("bootstrap")),
            p_value=min(adjusted),
            decidable=can_decide(len(shown), len(foreign), len(report.leaks)),
            effort=effort,
            note=f"The mean over imposters correlates with the true mean frame at {correlation:.3f} ({others_say}). "
            f"Strongest measure: {worst[1].name}, imposters above strangers in {worst[1].preference:.0%} of pairs. "
            "The interval is of the difference of |r| between single imposters and strangers.",
            details=details,
            figures=(
                Histogram("Correlation of single keys with the mean frame", "|r|", of_foreign, _named(of_shown)),
                Pictures(
                    "The mean over all imposters, stretched to full contrast",
                    [
                        [
                            ("true mean frame", picture(mean[0])),
                            ("mean over imposters", picture(_stretched(shown))),
                            ("mean over strangers", picture(_stretched(foreign))),
                        ]
                    ],
                ),
            ),
        )


def recovered_mean(shown: list[Video]) -> Video:
    """The attacker: the mean over keys and frames of what random start latents see, (1, 3, H, W) uint8."""
    mean = np.mean([one.astype(np.float64).mean(axis=0) for one in shown], axis=0)
    return np.asarray(np.rint(mean)[None], dtype=np.uint8)


def _stretched(shown: list[Video]) -> Video:
    """The same as a picture, (3, H, W), from its least to its greatest value: contrast is lost in a mean."""
    mean = np.mean([one.astype(np.float64).mean(axis=0) for one in shown], axis=0)
    low, high = mean.min(), mean.max()
    return np.asarray(np.rint((mean - low) * (255 / max(1e-9, high - low))), dtype=np.uint8)


def _untrained(target: PairSubject, run: Run, mean: Video, frames: int) -> float | None:
    """The same from a bundle of plain grey, an F that has learned of no video; None if there is no time for it."""
    if run.out_of_time():
        return None
    grey = resealed(target, torch.full_like(target.frames, _GREY), run.key_bytes("grey video", 0))
    shown = [public(grey).show(z0, 0, frames).numpy() for z0 in imposters(grey, run, "grey", _GREY_KEYS)]
    return leaks.mean_frame_correlation(recovered_mean(shown), mean)


def _named(values: list[float]) -> dict[str, float]:
    return {"imposters, mean": float(np.mean(values)), "imposters, greatest": max(values)}
