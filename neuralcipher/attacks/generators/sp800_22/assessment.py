"""What many sequences together say: the proportion that passes and the uniformity of the p-values (section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from neuralcipher.attacks.generators.sp800_22.common import FloatArray, Outcome, chi_square_p
from neuralcipher.attacks.generators.sp800_22.suite import rows
from neuralcipher.attacks.ranks import holm
from neuralcipher.errors import UsageError

ALPHA = 0.01
"""A sequence passes a test whose p-value is at least this: the publication's choice, and the one calibrated here."""

LEVEL = 0.001
"""Family-wise level: how often an ideal generator fails any row. That of the whole attack suite."""

_BAND = (0.009, 0.011)
_ROUGH = {f"random_excursions/{x}": (0.009, 0.0135) for x in ("-4", "-3", "-2", "+2", "+3", "+4")}
# Chi-square is an approximation to the law of Pearson's statistic. A million draws of the true classes of a sequence of
# a million bits gave chances of p < 0.01 of .0105 (longest run, 100 blocks), .0102 (rank), .0102 (overlapping template)
# and .0104 (linear complexity); of the excursions with the fewest cycles, 500: .0104, .0108, .0117 and .0129 for the
# states 1 to 4. 2,000 sequences of ChaCha20 gave .0102 (all patterns of the non-overlapping test together, standard
# error .0002), .0090 (visits of the variant, .0007), and nothing significant elsewhere.
# The tenths of the unit interval have chances within 4 % of 0.1: the worst are state 4 of the excursions, the rank and
# the spectral test, whose count has few values. That does not show in fewer than about a thousand sequences.

_BINS = 10
_FEWEST = 55  # sequences for a test of uniformity: section 4.2.2
_EXACT_UP_TO = 300


@dataclass(frozen=True, slots=True)
class AssessedRow:
    """One p-value of one test over many sequences.

    sequences: those that the test applies to. passed: those of them with p >= ALPHA.
    proportion_p: two-sided, exact, of so many passes. uniformity_p: of Pearson's statistic over ten equal bins; None
    for fewer than 55 sequences. adjusted_p: the least of both after Holm's method over all rows and both criteria.
    ok: adjusted_p is above the level.
    """

    name: str
    sequences: int
    passed: int
    proportion_p: float
    uniformity_p: float | None
    adjusted_p: float
    ok: bool

    @property
    def proportion(self) -> float:
        """Share of the sequences that pass."""
        return self.passed / self.sequences


@dataclass(frozen=True, slots=True)
class Assessment:
    """All rows, in the order given, judged at one family-wise level."""

    level: float
    rows: tuple[AssessedRow, ...]

    @property
    def failed(self) -> tuple[AssessedRow, ...]:
        """The rows that an ideal generator would not show, worst first."""
        return tuple(sorted((row for row in self.rows if not row.ok), key=lambda row: row.adjusted_p))

    @property
    def ok(self) -> bool:
        """No row failed."""
        return not self.failed


def collect(sequences: Iterable[Mapping[str, Outcome]]) -> dict[str, list[float]]:
    """The p-values of each row over many sequences, from what `run_suite` returned for each."""
    gathered: dict[str, list[float]] = {}
    for outcomes in sequences:
        for name, p_value in rows(outcomes).items():
            gathered.setdefault(name, []).append(p_value)
    return gathered


def assess(p_values: Mapping[str, Sequence[float]], *, level: float = LEVEL) -> Assessment:
    """Judge the p-values of each row over many independent sequences by both criteria of section 4.2.

    p_values: row -> p-values, one per sequence that the test applies to; rows may differ in number. More than about a
    thousand sequences show how rough the p-values of some rows are, not what the generator is worth.
    level: chance that an ideal generator fails in any row. "Every row passes", at the 96 of 100 sequences that the
    reference code asks for, rejects an ideal generator 48 % of the time over 188 rows.
    Raises UsageError for a row without p-values or with one that is none.
    """
    judged: list[tuple[str, int, int, float, float | None]] = []
    for name, values in p_values.items():
        p = np.asarray(values, dtype=np.float64)
        if p.ndim != 1 or not p.size or not bool(((p >= 0) & (p <= 1)).all()):
            raise UsageError(f"row {name!r} needs p-values between 0 and 1, one for each sequence")
        passed = int(np.count_nonzero(p >= ALPHA))
        uniform = uniformity_p(p) if len(p) >= _FEWEST else None
        judged.append((name, len(p), passed, proportion_p(len(p) - passed, len(p), rejection_band(name)), uniform))
    tried = [(i, p) for i, (*_, first, second) in enumerate(judged) for p in (first, second) if p is not None]
    worst = [1.0] * len(judged)
    for (i, _), adjusted in zip(tried, holm([p for _, p in tried]), strict=True):
        worst[i] = min(worst[i], adjusted)
    return Assessment(
        level,
        tuple(AssessedRow(*found, adjusted_p=p, ok=p > level) for found, p in zip(judged, worst, strict=True)),
    )


def rejection_band(row: str) -> tuple[float, float]:
    """Between which chances an ideal sequence of a million bits or more has p < ALPHA in this row."""
    return _ROUGH.get(row, _BAND)


def proportion_p(failed: int, sequences: int, band: tuple[float, float] = (ALPHA, ALPHA)) -> float:
    """Exact two-sided p-value of so many failures, twice the smaller tail of the binomial.

    band: between which chances an ideal sequence fails; the p-value is the largest over the band.
    """
    low, high = band
    many = float(special.bdtrc(failed - 1, sequences, high)) if failed else 1.0
    few = float(special.bdtr(failed, sequences, low))
    return min(1.0, 2 * min(many, few))


def uniformity_p(p_values: FloatArray) -> float:
    """Upper tail of Pearson's statistic of the p-values in ten equal bins: (n,), in 0..1.

    Exact for at most 300 values: with so few in a bin, tails of 1e-6 are several times those of chi-square. Above that,
    chi-square on nine degrees of freedom, as section 4.2.2 has it.
    """
    counts = np.bincount(np.minimum((p_values * _BINS).astype(np.int64), _BINS - 1), minlength=_BINS)
    squares = int((counts**2).sum())
    total = int(counts.sum())
    if total > _EXACT_UP_TO:
        return chi_square_p(_BINS * squares / total - total, _BINS - 1)
    tail = _tails_of_squares(total)
    return float(tail[min(squares, len(tail) - 1)])


@lru_cache
def _tails_of_squares(total: int) -> FloatArray:
    """P(sum of squared counts >= q) of `total` values in ten equal bins, by q = 0, 1, ...

    Ten independent Poisson counts, given that their sum is `total`: their joint generating function, a tenth power, is
    inverted by Fourier transforms in the sum and in the sum of squares. Exact to about 1e-13.
    """
    size = total * (total + 400) // _BINS + _BINS  # chi-square of 400 has no chance
    sums = total + 64  # a sum of twice that has no chance either
    count = np.arange(total + 1)
    weights = np.exp(special.xlogy(count, total / _BINS) - total / _BINS - special.gammaln(count + 1))
    joint = np.zeros(size, dtype=np.complex128)
    for j in range(sums):
        row = np.zeros(size, dtype=np.complex128)
        np.add.at(row, count**2 % size, weights * np.exp(2j * math.pi * j / sums * count))
        joint += np.fft.fft(row) ** _BINS * np.exp(-2j * math.pi * j / sums * total)
    chances = np.maximum(np.fft.ifft(joint).real, 0)
    tail = np.cumsum(chances[::-1])[::-1]
    return np.asarray(tail / tail[0], dtype=np.float64)
