"""How near must a key be? A ladder of keys from one flipped bit to half of them, and what each rung sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines, Pictures
from neuralcipher.attacks.pairs.seen import (
    Clock,
    OutOfTime,
    Video,
    can_decide,
    controls,
    difference_interval,
    imposters,
    mean_frame,
    picture,
    psnr_db,
    shown_to,
    stopped,
)
from neuralcipher.attacks.planted.flows import LinearFlow
from neuralcipher.attacks.ranks import holm, rank_sum
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import PairSubject, Subject, pair_of
from neuralcipher.attacks.views import public

SHARES = (1e-3, 1e-2, 3e-2, 0.1, 0.3, 0.5)
"""Of the bits of z0 that are flipped."""

STEPS = (1, 3, 13, 26)
"""Grey levels of 256 that are added to every value of z0, up or down at random: 0.4, 1, 5 and 10 %."""

_KEY_BITS = 256


@dataclass(frozen=True, slots=True)
class Rung:
    """kind: "bits" or "levels". distance: share of bits, or levels of 256. shown: what each of its keys sees."""

    kind: str
    distance: float
    psnr: tuple[float, ...]
    first: Video

    @property
    def mean(self) -> float:
        return float(np.mean(self.psnr))


@register("key-ladder")
class KeyLadder:
    """Keys at growing distance from z0; the nearest must see no more than unrelated ones."""

    info: ClassVar[Info] = Info(
        number=1,
        name="key-ladder",
        title="key tolerance ladder",
        properties=(1,),
        threat_models=(ThreatModel.NEAR_KEY,),
        needs=Needs.PAIR,
        statistic="PSNR of what the nearest start latents see (one bit flipped; every value one level off) over that "
        "of unrelated keys",
        null="near and unrelated start latents see alike: exact rank sum over keys, for each of the two; Holm",
        rule="broken if one of the two kinds of nearest keys ranks above unrelated ones",
        positive="a linear F after a linear g, on a raw z0",
        negative="ideal F: frames masked by ChaCha20 of the hash of each latent",
        failure="a guess that is only roughly right shows the video: the key is worth fewer bits than it has",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """See `Attack.controls`."""
        return controls(subject, run, LinearFlow, "linear")

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """See `Attack.measure`."""
        target = pair_of(subject)
        near, far, each = run.pick(quick=8, full=24), run.pick(quick=11, full=48), run.pick(quick=1, full=12)
        frames = 1  # the nearest to z0: if g diffuses at all, later frames tell less
        effort = f"{2 * near} near and {far} unrelated keys, {each} on every other rung, the first frame"
        clock = Clock(run, far + 3 * near + each * (len(SHARES) + len(STEPS) - 1) + 1)
        try:
            climbed = _climb(target, run, clock, (near, far, each), frames)
        except OutOfTime:
            return stopped("dB", effort)
        return _judge(target, run, climbed, effort)


@dataclass(frozen=True, slots=True)
class _Climbed:
    """All that was shown. right, far: PSNR; kdf: of the key with one bit flipped; rungs: of z0, the nearest first."""

    right: float
    right_frame: Video
    mean_db: float
    far: tuple[float, ...]
    far_frame: Video
    kdf: tuple[float, ...]
    rungs: tuple[Rung, ...]


def _climb(target: PairSubject, run: Run, clock: Clock, counts: tuple[int, int, int], frames: int) -> _Climbed:
    near, far, each = counts
    truth = target.frames[:frames].numpy()
    draw, z0, view = run.draw("rungs"), target.z0, public(target)

    def look(starts: Sequence[Tensor]) -> tuple[tuple[float, ...], Video]:
        seen = shown_to(view, starts, frames, clock)
        return tuple(psnr_db(one, truth) for one in seen), seen[0][0]

    def rung(kind: str, distance: float, count: int, change: Callable[[], Tensor]) -> Rung:
        psnr, first = look([change() for _ in range(count)])
        return Rung(kind, distance, psnr, first)

    right, right_frame = look([target.z0])
    unrelated, far_frame = look(imposters(target, run, "unrelated", far))
    bits = 8 * target.z0.numel()
    rungs = [rung("bits", 1 / bits, near, partial(flip_bits, z0, 1, draw))]
    rungs.append(rung("levels", STEPS[0], near, partial(shift_levels, z0, STEPS[0], draw)))
    key_bits = draw.choice(_KEY_BITS, near, replace=False).tolist()
    kdf, _ = look(target.starts([flip_key(target.key, bit) for bit in key_bits]))
    for share in SHARES:
        flipped = max(1, round(share * bits))
        rungs.append(rung("bits", share, each, partial(flip_bits, z0, flipped, draw)))
    for step in STEPS[1:]:
        rungs.append(rung("levels", step, each, partial(shift_levels, z0, step, draw)))
    mean_db = psnr_db(mean_frame(target.frames, frames), truth)
    return _Climbed(right[0], right_frame, mean_db, unrelated, far_frame, kdf, tuple(rungs))


def _judge(target: PairSubject, run: Run, climbed: _Climbed, effort: str) -> Measurement:
    base = float(np.mean(climbed.far))
    nearest = climbed.rungs[:2]  # one bit, and every value one level off
    tests = [rank_sum(rung.psnr, climbed.far) for rung in nearest]
    adjusted = holm([p_value for _, p_value in tests])
    best = int(np.argmin(adjusted))
    _, kdf_p = rank_sum(climbed.kdf, climbed.far)
    bits = 8 * target.z0.numel()
    ladder = sorted((r.distance, r.mean - base) for r in climbed.rungs if r.kind == "bits")
    half = half_gain(ladder, climbed.right - base)
    key_bits = effective_bits(bits, math.floor(half * bits + 1e-9))
    learned = climbed.right > max(climbed.far)
    details: dict[str, Any] = {
        "right_key_db": climbed.right,
        "mean_frame_db": climbed.mean_db,
        "unrelated_db": list(climbed.far),
        "nearest": [
            {"kind": rung.kind, "preference": preferred, "p_value": p_value}
            for rung, (preferred, p_value) in zip(nearest, tests, strict=True)
        ],
        "rungs": [{"kind": r.kind, "distance": r.distance, "psnr_db": list(r.psnr)} for r in climbed.rungs],
        "one_bit_of_the_key": {"psnr_db": list(climbed.kdf), "p_value": kdf_p},
        "half_gain_share_of_bits": half,
        "effective_key_bits": key_bits,
        "effective_key_bits_formula": "n - log2(sum of C(n, i), i = 0..d), n: bits of z0, d: of the half-gain distance",
        "bits_of_z0": bits,
    }
    note = (
        f"One flipped bit of z0 leaves {nearest[0].mean - base:.2f} dB over unrelated keys ({base:.1f} dB), every "
        f"value one level off {nearest[1].mean - base:.2f} dB; the right key sees "
        f"{climbed.right:.1f} dB, the mean frame alone gives {climbed.mean_db:.1f} dB. Half of the gain is left at "
        f"{half:.2g} of the bits flipped: {key_bits:,.0f} effective bits of {bits:,} in z0 (the key has {_KEY_BITS}). "
        f"One bit of the key itself, through its derivation: p = {kdf_p:.2g}."
    )
    return Measurement(
        value=nearest[best].mean - base,
        unit="dB",
        samples=sum(len(rung.psnr) for rung in nearest) + len(climbed.far),
        interval=difference_interval(nearest[best].psnr, climbed.far, run.draw("bootstrap")),
        p_value=adjusted[best],
        decidable=learned and can_decide(len(nearest[0].psnr), len(climbed.far), len(tests)),
        effort=effort,
        note=note,
        flags=() if learned else ("the right key itself sees no more than unrelated ones",),
        details=details,
        figures=_figures(target, climbed, base),
    )


def _figures(target: PairSubject, climbed: _Climbed, base: float) -> tuple[Lines, Pictures]:
    bits = sorted((r.distance, r.mean) for r in climbed.rungs if r.kind == "bits")
    levels = sorted((r.distance / 256, r.mean) for r in climbed.rungs if r.kind == "levels")
    curve = Lines(
        "What a key sees, by its distance from z0",
        "share of bits flipped, or of the range added",
        "PSNR, dB",
        {
            "bits flipped": ([d for d, _ in bits], [p for _, p in bits]),
            "levels added": ([d for d, _ in levels], [p for _, p in levels]),
        },
        {"right key": climbed.right, "unrelated keys": base, "mean frame": climbed.mean_db},
        log_x=True,
    )
    of_bits = sorted((r for r in climbed.rungs if r.kind == "bits"), key=lambda r: r.distance)
    row = [("truth", picture(target.frames[0])), ("right key", picture(climbed.right_frame))]
    row += [(f"{r.distance:.2g} of the bits: {r.mean:.1f} dB", picture(r.first)) for r in of_bits]
    row.append(("unrelated key", picture(climbed.far_frame)))
    return curve, Pictures("The first frame, further and further from the key", [row])


def flip_bits(z0: Tensor, count: int, draw: np.random.Generator) -> Tensor:
    """z0 (C, H, W) uint8 with `count` of its bits flipped, all different, chosen at random."""
    bits = np.unpackbits(z0.numpy().reshape(-1))
    bits[draw.choice(len(bits), count, replace=False)] ^= 1
    return torch.from_numpy(np.packbits(bits)).reshape(z0.shape)


def shift_levels(z0: Tensor, step: int, draw: np.random.Generator) -> Tensor:
    """z0 with `step` added to or taken from every value at random; what would leave 0..255 goes the other way."""
    values = z0.numpy().astype(np.int64)
    signs = np.where(draw.integers(0, 2, values.shape) == 1, step, -step)
    moved = values + signs
    return torch.from_numpy(np.where((moved < 0) | (moved > 255), values - signs, moved).astype(np.uint8))


def flip_key(key: bytes, bit: int) -> bytes:
    """32 key bytes with one bit flipped."""
    changed = bytearray(key)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def half_gain(ladder: Sequence[tuple[float, float]], full: float) -> float:
    """Where the gain falls below half of `full`: the distance, interpolated in its logarithm, 0 if it is below at once.

    ladder: (distance, gain), by growing distance. The last distance if the gain never falls below half.
    """
    if full <= 0 or ladder[0][1] < full / 2:
        return 0.0
    for (d0, g0), (d1, g1) in pairwise(ladder):
        if g1 < full / 2:
            share = (g0 - full / 2) / (g0 - g1)
            return float(d0 * (d1 / d0) ** share)
    return ladder[-1][0]


def effective_bits(bits: int, distance: int) -> float:
    """bits - log2(volume of a Hamming ball): how many balls of this radius, as a power of two, the keys are.

    A random guess lies in the ball around the key with probability V / 2^bits, V = sum of C(bits, i), i = 0..distance.
    """
    i = np.arange(min(distance, bits) + 1, dtype=np.float64)
    lgamma = np.vectorize(math.lgamma, otypes=[np.float64])
    logs = (math.lgamma(bits + 1) - lgamma(i + 1) - lgamma(bits - i + 1)) / math.log(2)
    return max(0.0, bits - float(np.logaddexp2.reduce(logs)))
