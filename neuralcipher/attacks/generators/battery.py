"""The tests of SP 800-22 on the keystreams of many fresh keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from neuralcipher.attacks.base import Info, Measurement, Needs, ThreatModel, register
from neuralcipher.attacks.figures import Lines, Matrix
from neuralcipher.attacks.generators.sp800_22 import ALPHA, TESTS, Assessment, Outcome, assess, collect, run_suite
from neuralcipher.attacks.planted.lcg_words import lcg_words
from neuralcipher.attacks.planted.subjects import ideal
from neuralcipher.attacks.session import Run
from neuralcipher.attacks.subjects import GeneratorSubject, Subject, generator_of

Bytes = NDArray[np.uint8]

BINS = 10
_ROUGH_BELOW_A_MILLION = frozenset({"approximate_entropy"})
"""Of 1,500 sequences of 100,000 bits of ChaCha20 its p-values were not even: Pearson's statistic 47 on 9 degrees of
freedom, where the other rows had 18 at most. Its chance of p < .01 was right."""

_TOGETHER = 4
_FEWEST = 55
"""Sequences for a test of uniformity: section 4.2.2 of the publication."""


def keystreams(target: GeneratorSubject, run: Run, keys: int, size: int) -> Iterator[Bytes]:
    """Of each fresh key the first `size` bytes from z_1 on; a few keys go side by side."""
    latent = math.prod(target.shape)
    for start in range(0, keys, _TOGETHER):
        numbers = range(start, min(keys, start + _TOGETHER))
        z = target.starts([run.key_bytes("key", number) for number in numbers])
        rows: list[Bytes] = []
        while len(rows) * latent < size:
            z = target.generator.next_latent(z)
            rows.append(z.reshape(len(numbers), latent).cpu().numpy())
        yield from np.concatenate(rows, axis=1)[:, :size]


@register("battery")
class Battery:
    """Proportion and uniformity of the p-values of every test, one sequence a key."""

    info: ClassVar[Info] = Info(
        number=18,
        name="battery",
        title="SP 800-22 on the keystream",
        properties=(2,),
        threat_models=(ThreatModel.KNOWN_CIPHERTEXT,),
        needs=Needs.GENERATOR,
        statistic="of each test of SP 800-22: how many sequences pass at .01, and how even their p-values are",
        null="fair coins: binomial proportions, exact law of Pearson's statistic over ten bins",
        rule="the least p-value over all rows and both criteria after Holm",
        positive="LCG32 that gives out all of its state: its low bits alternate",
        negative="ChaCha20 keystream",
        failure="a simple count tells the keystream from coin tosses, without the key and without g",
        weight=2.0,
    )

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        shape = generator_of(subject).shape
        return lcg_words(shape), ideal(shape)

    def measure(self, subject: Subject, run: Run) -> Measurement:
        target = generator_of(subject)
        keys, bits = run.pick(quick=60, full=100), run.pick(quick=100_000, full=1_000_000)
        left_out = _ROUGH_BELOW_A_MILLION if bits < 1_000_000 else frozenset()
        names = [name for name, test in TESTS.items() if test.minimum_bits <= bits and name not in left_out]
        outcomes: list[dict[str, Outcome]] = []
        for stream in keystreams(target, run, keys, bits // 8):
            outcomes.append(run_suite(np.unpackbits(stream), names))
            run.progress(len(outcomes) / keys)
            if run.out_of_time():
                break
        p_values = collect(outcomes)
        assessment = assess(p_values)
        return _judge(assessment, p_values, len(outcomes), keys, bits)


def _judge(
    assessment: Assessment, p_values: dict[str, list[float]], sequences: int, wanted: int, bits: int
) -> Measurement:
    worst = min(assessment.rows, key=lambda row: row.adjusted_p)
    passed = sum(row.passed for row in assessment.rows) / sum(row.sequences for row in assessment.rows)
    return Measurement(
        value=float(len(assessment.failed)),
        unit=f"rows of {len(assessment.rows)} that fail",
        samples=sequences,
        p_value=worst.adjusted_p,
        decidable=sequences == wanted and sequences >= _FEWEST,
        effort=f"{sequences} keys, {bits:,} bits each, {len(assessment.rows)} rows",
        note=f"{len(assessment.failed)} of {len(assessment.rows)} rows fail; {passed:.2%} of all sequences pass at "
        f"{ALPHA} (ideal about 99 %); worst row: {worst.name}, {worst.passed} of {worst.sequences} pass"
        + ("" if worst.uniformity_p is None else f", uniformity p {worst.uniformity_p:.2g}")
        + ". Necessary, not sufficient: every keystream passes whose key is known to the attacker.",
        details=_details(assessment),
        figures=(_proportions(assessment), _bins(p_values)),
    )


def _details(assessment: Assessment) -> dict[str, Any]:
    return {
        row.name: {
            "passed": row.passed,
            "sequences": row.sequences,
            "proportion_p": row.proportion_p,
            "uniformity_p": row.uniformity_p,
            "adjusted_p": row.adjusted_p,
        }
        for row in assessment.rows
    }


def _proportions(assessment: Assessment) -> Lines:
    rows = [float(index) for index in range(len(assessment.rows))]
    return Lines(
        "Sequences that pass each row of SP 800-22",
        "row, in the order of the publication",
        "share of sequences",
        {"passed": (rows, [row.proportion for row in assessment.rows])},
        {"ideal": 1 - ALPHA},
    )


def _bins(p_values: dict[str, list[float]]) -> Matrix:
    """Share of the p-values of each row in each tenth of the unit interval; one tenth everywhere is ideal."""
    shares = np.stack(
        [np.histogram(values, bins=BINS, range=(0.0, 1.0))[0] / len(values) for values in p_values.values()]
    )
    return Matrix("How even the p-values are", "tenth of 0..1", "row", shares, 0.0, 3 / BINS)
