"""What does an imposter see (Fig. 6)? PSNR, structural similarity and mutual information beside two baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Histogram, Pictures
from neuralcipher.attacks.pairs.seen import (
    Clock,
    OutOfTime,
    Video,
    can_decide,
    controls,
    difference_interval,
    imposters_and_strangers,
    mean_frame,
    picture,
    psnr_db,
    shown_to,
    stopped,
    strangers,
)
from neuralcipher.attacks.planted.flows import IgnoresKeyFlow
from neuralcipher.attacks.ranks import holm, rank_sum
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import public
from neuralcipher.video.quality import ms_ssim, similarity_kind

_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601
_GREY_BINS = 16


def similarity(a: Video, b: Video) -> float:
    """MS-SSIM, or SSIM for small pictures, mean over frames, (n, 3, H, W) each."""
    return ms_ssim(a.transpose(0, 2, 3, 1), b.transpose(0, 2, 3, 1))[0]


def mutual_information(a: Video, b: Video) -> float:
    """Bits that the luma of a pixel tells of the other's at the same place, in 16 grey levels, >= 0.

    The plug-in estimate: it lies above 0 for unrelated pictures, by about 15^2 / (2 ln 2 pixels).
    """
    joint = np.zeros((_GREY_BINS, _GREY_BINS))
    np.add.at(joint, (_binned(a), _binned(b)), 1)
    joint /= joint.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    present = joint > 0
    return max(0.0, float((joint[present] * np.log2(joint[present] / apart[present])).sum()))


MEASURES: dict[str, tuple[str, Callable[[Video, Video], float]]] = {
    "PSNR": ("dB", psnr_db),
    "similarity": ("MS-SSIM", similarity),
    "mutual information": ("bits", mutual_information),
}


@register("imposter-key")
class ImposterKey:
    """Compares what imposters see with the truth, and with what strangers see of it."""

    info: ClassVar[Info] = Info(
        number=3,
        name="imposter-key",
        title="imposter key (Fig. 6)",
        properties=(1, 2),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.PAIR,
        statistic="PSNR, MS-SSIM and mutual information of what imposters see with the truth, each less the mean of "
        "the same with other videos",
        null="imposters see no more of the video than keys see of it in bundles of other videos: exact rank sum over "
        "keys; Holm over the three measures",
        rule="broken if one of the measures ranks imposters above strangers",
        positive="an F that ignores z",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="someone without the key sees something of the video",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run, IgnoresKeyFlow)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        target = pair_of(subject)
        keys, frames = run.pick(quick=10, full=24), min(len(target.frames), run.pick(quick=2, full=8))
        bundles = strangers(target, run, run.pick(quick=2, full=4))
        effort = f"{keys} imposters, as many strangers over {len(bundles)} bundles, the first {frames} frame(s)"
        clock = Clock(run, 2 * keys + 1)
        try:
            right = shown_to(public(target), [target.z0], frames, clock)[0]
            seen = imposters_and_strangers(target, bundles, run, keys, frames, clock)
        except OutOfTime:
            return stopped("dB", effort)
        return _judge(target, run, right, seen, len(bundles), effort)


def _judge(
    target: PairSubject,
    run: Run,
    right: Video,
    seen: tuple[list[Video], list[Video]],
    count: int,
    effort: str,
) -> Measurement:
    shown, foreign = seen
    frames = len(right)
    truth = target.frames[:frames].numpy()
    others = [other[:frames].numpy() for other in target.others[:count]]
    baseline = mean_frame(target.frames, frames)
    found: dict[str, dict[str, Any]] = {}
    for name, (unit, compare) in MEASURES.items():
        plain = [[compare(one, truth) for one in group] for group in seen]
        leaning = [
            [
                value - float(np.mean([compare(one, other) for other in others]))
                for one, value in zip(*both, strict=True)
            ]
            for both in zip(seen, plain, strict=True)
        ]
        preferred, p_value = rank_sum(*leaning)
        found[name] = {
            "unit": unit,
            "right_key": compare(right, truth),
            "mean_frame": compare(baseline, truth),
            "imposters": plain[0],
            "strangers": plain[1],
            "preference": preferred,
            "p_value": p_value,
        }
    found["similarity"]["unit"] = "{} {}".format(*similarity_kind(*truth.shape[2:]))
    adjusted = holm([one["p_value"] for one in found.values()])
    psnr = found["PSNR"]
    gain = float(np.mean(psnr["imposters"]) - np.mean(psnr["strangers"]))
    learned = psnr["right_key"] > max(psnr["imposters"])
    parts = [
        f"{name} {np.mean(one['imposters']):.3g} (strangers {np.mean(one['strangers']):.3g}, mean frame "
        f"{one['mean_frame']:.3g}, right key {one['right_key']:.3g}; p = {p:.2g})"
        for (name, one), p in zip(found.items(), adjusted, strict=True)
    ]
    return Measurement(
        value=gain,
        unit="dB",
        samples=len(shown) + len(foreign),
        interval=difference_interval(psnr["imposters"], psnr["strangers"], run.draw("bootstrap")),
        p_value=min(adjusted),
        decidable=learned and can_decide(len(shown), len(foreign), len(found)),
        effort=effort,
        note="Imposters reach " + "; ".join(parts) + ".",
        flags=() if learned else ("the right key itself sees no more than the best imposter",),
        details={"measures": found},
        figures=(
            Pictures("Fig. 6: the right key and an imposter", _pictures(target.frames.numpy(), right, shown, baseline)),
            Histogram(
                "PSNR against the truth",
                "dB",
                psnr["strangers"],
                {
                    "imposters, mean": float(np.mean(psnr["imposters"])),
                    "mean frame": psnr["mean_frame"],
                    "right key": psnr["right_key"],
                },
            ),
        ),
    )


def _pictures(
    truth: Video, right: Video, shown: list[Video], baseline: Video
) -> list[list[tuple[str, NDArray[np.uint8]]]]:
    return [
        [
            (f"truth, frame {i}", picture(truth[i])),
            ("right key", picture(right[i])),
            ("an imposter", picture(shown[0][i])),
            ("another imposter", picture(shown[1][i])),
            ("mean frame", picture(baseline[i])),
        ]
        for i in sorted({0, len(right) - 1})
    ]


def _binned(frames: Video) -> NDArray[np.int64]:
    luma = np.tensordot(frames.astype(np.float64), _LUMA, axes=([1], [0])).reshape(-1)
    return np.asarray(np.minimum(luma * _GREY_BINS / 256, _GREY_BINS - 1), dtype=np.int64)
