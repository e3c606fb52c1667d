"""NPCR, UACI, entropies, correlation, chi-square on keystream bytes: what papers on image encryption report."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from neuralcipher.attacks.base import CONTROL_LEVEL, Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines, Pictures
from neuralcipher.attacks.generators import image_statistics as statistics
from neuralcipher.attacks.generators.avalanche import flip_bits
from neuralcipher.attacks.generators.byte_nulls import IDEAL_CHANGED, bytes_to_see
from neuralcipher.attacks.planted.lcg_words import lcg_words
from neuralcipher.attacks.planted.subjects import ideal
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.statistics import binomial_above
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of

Bytes = NDArray[np.uint8]
Statistic = statistics.Statistic

SIDE = 6 * statistics.LOCAL_SIDE
"""Of the square image that each key's keystream fills: 36 blocks for the local entropy, of which 30 are drawn."""

_EFFECT = 0.005
_OFTEN = 0.05
_TOGETHER = 8
_SHOWN_PIXELS = 128

ON_IMAGES: dict[str, Callable[[Bytes], Statistic]] = {
    "global entropy": statistics.global_entropy,
    "local entropy": statistics.local_entropy,
    "chi-square": statistics.chi_square,
    **{
        f"{direction} correlation": partial(statistics.neighbour_correlation, direction=direction)
        for direction in statistics.DIRECTIONS
    },
}


@dataclass(slots=True)
class Keystreams:
    """images: one (SIDE, SIDE) a key, its keystream from z_1 on. first, twins: z_1 of each key and of the key with one
    bit of z_0 flipped, (size,) each."""

    images: list[Bytes] = field(default_factory=list)
    first: list[Bytes] = field(default_factory=list)
    twins: list[Bytes] = field(default_factory=list)

    def add(self, target: GeneratorSubject, keys: Sequence[bytes], bits: Sequence[int]) -> None:
        """More keys, side by side. bits: of z_0 to flip, one a key."""
        size = math.prod(target.shape)
        pairs = [flip_bits(z, np.array([bit])) for z, bit in zip(target.starts(keys), bits, strict=True)]
        z = target.generator.next_latent(torch.stack(pairs))
        rows = [z[:, 0].reshape(len(keys), size).cpu().numpy()]
        self.first += list(rows[0])
        self.twins += list(z[:, 1].reshape(len(keys), size).cpu().numpy())
        z = z[:, 0]
        while len(rows) * size < SIDE**2:
            z = target.generator.next_latent(z)
            rows.append(z.reshape(len(keys), size).cpu().numpy())
        filled = np.concatenate(rows, axis=1)[:, : SIDE**2]
        self.images += list(filled.reshape(len(keys), SIDE, SIDE))


@register("image-statistics")
class ImageStatistics:
    """The statistics of the image-encryption literature, against their own nulls and not against folklore."""

    info: ClassVar[Info] = Info(
        number=19,
        name="image-statistics",
        title="NPCR, UACI, entropy, correlation, chi-square",
        properties=(1, 2),
        threat_models=(ThreatModel.NEAR_KEY, ThreatModel.KNOWN_CIPHERTEXT),
        needs=Needs.GENERATOR,
        statistic="NPCR and UACI of z_1 over one flipped bit of z_0; entropies, correlation and chi-square of "
        "264 x 264 keystream bytes",
        null="independent uniform bytes, for the real number of bytes: NPCR exact, the others by laws matched in their "
        "exact moments",
        rule="the least p-value after Holm: NPCR and UACI over all keys; of each other statistic the least over the "
        "keys, and how often it is below .05",
        positive="LCG32 that gives out all of its state: too even, and deaf to most bits of z_0",
        negative="ChaCha20 keystream",
        failure="the keystream is not even uniform noise to the eye; passing says little, as LCG32 passes most of them",
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        return lcg_words(shape), ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        size = math.prod(target.shape)
        wanted = run.pick(quick=24, full=400)
        bits = run.draw("bits").integers(0, 8 * size, wanted)
        streams = Keystreams()
        found: dict[str, list[Statistic]] = {name: [] for name in ON_IMAGES}
        for start in range(0, wanted, _TOGETHER):
            if start and run.out_of_time():
                break
            numbers = range(start, min(wanted, start + _TOGETHER))
            streams.add(target, [run.key_bytes("key", n) for n in numbers], [int(bits[n]) for n in numbers])
            for name, statistic in ON_IMAGES.items():
                found[name] += [statistic(image) for image in streams.images[start:]]
            run.progress(numbers.stop / wanted)
        return _judge(streams, found, wanted)


def _judge(streams: Keystreams, found: dict[str, list[Statistic]], wanted: int) -> Measurement:
    keys = len(streams.images)
    first, twins = np.concatenate(streams.first), np.concatenate(streams.twins)
    pairs = {"NPCR": statistics.npcr(first, twins), "UACI": statistics.uaci(first, twins)}
    p_values = {name: result.p_value for name, result in pairs.items()}
    for name, results in found.items():
        of_keys = [result.p_value for result in results]
        p_values[f"{name}, least"] = min(1.0, keys * min(of_keys))
        p_values[f"{name}, how often"] = binomial_above(sum(p <= _OFTEN for p in of_keys), keys, _OFTEN)
    worst = min(p_values, key=lambda name: p_values[name])
    npcr, uaci = pairs["NPCR"].value, pairs["UACI"].value
    means = {name: float(np.mean([result.value for result in results])) for name, results in found.items()}
    ideal_entropy = statistics.entropy_null(SIDE**2)[0]
    return Measurement(
        value=npcr,
        unit="of bytes changed (NPCR)",
        samples=keys,
        threshold=IDEAL_CHANGED,
        p_value=min(holm(list(p_values.values()))),
        decidable=keys == wanted and first.size >= bytes_to_see(_EFFECT, CONTROL_LEVEL / len(p_values)),
        effort=f"{keys} keys, {SIDE}x{SIDE} bytes of keystream each",
        note=f"NPCR {npcr:.3%} (ideal {IDEAL_CHANGED:.3%}), UACI {uaci:.3%} (ideal 33.464 %), entropy "
        f"{means['global entropy']:.5f} (ideal {ideal_entropy:.5f}), chi-square {means['chi-square']:.1f} (ideal 255); "
        f"least p: {worst}. Necessary, not sufficient: LCG32 passes most of these, and many ciphers with perfect "
        "values fell to three chosen images.",
        details=_details(pairs, found, p_values, means),
        figures=(_quantiles(found), _pictures(streams)),
    )


def _details(
    pairs: dict[str, Statistic],
    found: dict[str, list[Statistic]],
    p_values: dict[str, float],
    means: dict[str, float],
) -> dict[str, Any]:
    entropy_mean, entropy_sd = statistics.entropy_null(SIDE**2)
    block_mean, block_sd = statistics.entropy_null(statistics.LOCAL_SIDE**2)
    return {
        "npcr": pairs["NPCR"].value,
        "uaci": pairs["UACI"].value,
        "mean_over_keys": means,
        "rejected_at_5_percent": {
            name: sum(result.p_value <= _OFTEN for result in results) / len(results) for name, results in found.items()
        },
        "null": {
            "global entropy": [entropy_mean, entropy_sd],
            "local entropy": [block_mean, block_sd / math.sqrt(statistics.LOCAL_BLOCKS)],
            "chi-square": [255.0, math.sqrt(510)],
        },
        "p_values": p_values,
        "caution": "the interval usually quoted for the local entropy, 7.901902 to 7.903037, divides by 30 instead of "
        "sqrt(30) and rejects most ideal images; it is not used here",
    }


def _quantiles(found: dict[str, list[Statistic]]) -> Lines:
    """Sorted p-values of the keys over what uniform ones would be: the diagonal for an ideal generator."""
    keys = len(next(iter(found.values())))
    expected = ((np.arange(keys) + 0.5) / keys).tolist()
    series = {name: (expected, sorted(float(result.p_value) for result in results)) for name, results in found.items()}
    return Lines("p-values of the keys", "ideal", "found", series | {"uniform": ([0.0, 1.0], [0.0, 1.0])})


def _pictures(streams: Keystreams) -> Pictures:
    """The keystream of the first key as a picture, and what a flipped bit changes in it."""

    def grey(values: Bytes) -> NDArray[np.uint8]:
        side = min(_SHOWN_PIXELS, math.isqrt(values.size))
        plane = values.reshape(-1)[: side * side].reshape(side, side)
        return np.ascontiguousarray(np.repeat(plane[:, :, None], 3, axis=2))

    difference = streams.first[0] ^ streams.twins[0]
    row = [("keystream", grey(streams.images[0])), ("change by one bit", grey(difference))]
    return Pictures("Keystream bytes as a picture", (row,))
