"""What papers on image encryption report: NPCR, UACI, entropies, correlation, chi-square, with their exact nulls.

Necessary, not sufficient: a linear congruential generator passes most of them, and many ciphers with perfect values
fell to three chosen images. They hold for keystream bytes; decoded frames have no uniform null.
Each function returns (value, p-value). The p-value is that of independent uniform bytes, for any number of them.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from neuralcipher.errors import ShapeError, UsageError

Bytes = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

LOCAL_BLOCKS = 30
LOCAL_SIDE = 44
DIRECTIONS = {"horizontal": (0, 1), "vertical": (1, 0), "diagonal": (1, 1)}

_LEVELS = 256
_F = _LEVELS - 1
_EXACT_UP_TO = 4096  # bytes per level: above, the asymptotic moments are exact to 1 part in 20,000


class Statistic(NamedTuple):
    """value: the statistic. p_value: chance of one so extreme under independent uniform bytes."""

    value: float
    p_value: float


def npcr(first: Bytes, second: Bytes) -> Statistic:
    """Share of bytes that differ, mean 255/256; one-sided, too few. first, second: equal shapes.

    Exact: the number is binomial. Source: Wu, Noonan & Agaian, NPCR and UACI randomness tests for image encryption
    (2011), for the null.
    """
    _equal_shapes(first, second)
    differ = int(np.count_nonzero(first != second))
    return Statistic(differ / first.size, float(special.bdtr(differ, first.size, _F / _LEVELS)))


def uaci(first: Bytes, second: Bytes) -> Statistic:
    """Mean absolute difference over 255, mean 257/768 = 33.4635 %; two-sided. first, second: equal shapes.

    Variance (F + 2)(F**2 + 2 F + 3) / (18 (F + 1)**2 F N) for F = 255 and N bytes; the law is normal to well below
    1e-3 for a few hundred bytes and more. Source: as `npcr`.
    """
    _equal_shapes(first, second)
    value = float(np.abs(first.astype(np.int16) - second.astype(np.int16)).mean()) / _F
    mean = (_F + 2) / (3 * _F + 3)
    variance = (_F + 2) * (_F**2 + 2 * _F + 3) / (18 * (_F + 1) ** 2 * _F * first.size)
    return Statistic(value, _normal_p((value - mean) / math.sqrt(variance)))


def global_entropy(image: Bytes) -> Statistic:
    """Shannon entropy of the bytes in bits, below 8 for any finite number of them; two-sided. image: any shape.

    The null mean and standard deviation depend on the size: see `entropy_null`. Never compare with 8.
    """
    _at_least(image, _LEVELS)
    value = float(_entropies(image.reshape(1, -1))[0])
    return Statistic(value, _entropy_p(value, image.size, 1))


def local_entropy(image: Bytes, *, seed: int = 0) -> Statistic:
    """Mean Shannon entropy in bits of 30 disjoint blocks of 44 x 44 bytes, drawn at random; two-sided.

    image: (H, W), room for 30 blocks on a grid. seed: of the draw.
    One block has mean 7.902469 and standard deviation .008694, so the mean of 30 has .008694 / sqrt(30), and its 95 %
    interval is 7.899358 to 7.905580. The interval usually quoted, 7.901902 to 7.903037, divides by 30 and rejects some
    72 % of ideal images. Source: Wu et al., Local Shannon entropy measure with statistical tests for image randomness
    (2013).
    """
    _two_dimensional(image)
    rows, columns = image.shape[0] // LOCAL_SIDE, image.shape[1] // LOCAL_SIDE
    if rows * columns < LOCAL_BLOCKS:
        raise UsageError(
            f"local entropy needs room for {LOCAL_BLOCKS} blocks of {LOCAL_SIDE} x {LOCAL_SIDE}, not {image.shape}"
        )
    grid = image[: rows * LOCAL_SIDE, : columns * LOCAL_SIDE].reshape(rows, LOCAL_SIDE, columns, LOCAL_SIDE)
    blocks = grid.swapaxes(1, 2).reshape(rows * columns, LOCAL_SIDE**2)
    chosen = np.random.default_rng(seed).choice(len(blocks), LOCAL_BLOCKS, replace=False)
    value = float(_entropies(blocks[chosen]).mean())
    return Statistic(value, _entropy_p(value, LOCAL_SIDE**2, LOCAL_BLOCKS))


def neighbour_correlation(image: Bytes, direction: str = "horizontal") -> Statistic:
    """Pearson correlation of all pairs of neighbours, by Fisher's z; two-sided. image: (H, W).

    direction: horizontal, vertical or diagonal. A picture of one level has correlation 1 and p-value 0 by definition.
    The pairs share bytes, but for independent bytes that does not change the variance, 1 / (n - 3), to first order.
    """
    _two_dimensional(image)
    if direction not in DIRECTIONS:
        raise UsageError(f"no direction is called {direction!r}", hint=f"there are: {', '.join(DIRECTIONS)}")
    down, right = DIRECTIONS[direction]
    here = image[: image.shape[0] - down, : image.shape[1] - right].ravel().astype(np.float64)
    there = image[down:, right:].ravel().astype(np.float64)
    _at_least(here, 4)
    here, there = here - here.mean(), there - there.mean()
    power = math.sqrt(float((here**2).sum()) * float((there**2).sum()))
    value = float((here * there).sum()) / power if power else 1.0
    if abs(value) >= 1:
        return Statistic(math.copysign(1.0, value), 0.0)
    return Statistic(value, _normal_p(math.atanh(value) * math.sqrt(here.size - 3)))


def chi_square(image: Bytes) -> Statistic:
    """Pearson's statistic of the histogram, 255 degrees of freedom; two-sided: too even is as wrong as too uneven.

    image: any shape, five bytes a level or more.
    """
    _at_least(image, 5 * _LEVELS)
    expected = image.size / _LEVELS
    value = float(((_histograms(image.reshape(1, -1)) - expected) ** 2).sum()) / expected
    return Statistic(value, _two_sided_gamma(value / 2, _F / 2))


@lru_cache
def entropy_null(size: int) -> tuple[float, float]:
    """(mean, standard deviation) in bits of the entropy of `size` independent uniform bytes.

    With counts v of mean m, the entropy is 8 - sum of g(v) / size, where g(v) = v log2(v / m) - (v - m) / ln 2 is never
    negative. A count is binomial, and given one count another is binomial too, which gives both moments exactly up to a
    million bytes; above, 2 ln 2 sum of g is chi-square on 255 degrees of freedom.
    """
    mean_count = size / _LEVELS
    if mean_count > _EXACT_UP_TO:
        return 8 - _F / (2 * size * math.log(2)), math.sqrt(2 * _F) / (2 * size * math.log(2))
    reach = 10 * math.sqrt(mean_count) + 30
    v = np.arange(max(0, int(mean_count - reach)), min(size, int(mean_count + reach)) + 1, dtype=np.float64)
    g = (special.xlogy(v, v / mean_count) - (v - mean_count)) / math.log(2)
    first = _binomial(v, size, 1 / _LEVELS)
    mean = float(first @ g)
    given = np.array([float(_binomial(v, size - int(a), 1 / (_LEVELS - 1)) @ g) for a in v])
    variance = _LEVELS * float(first @ g**2) + _LEVELS * (_LEVELS - 1) * float(first @ (g * given))
    variance -= (_LEVELS * mean) ** 2
    return 8 - _LEVELS * mean / size, math.sqrt(variance) / size


def _binomial(v: FloatArray, trials: int, chance: float) -> FloatArray:
    """P(count = v) for each v: (n,); 0 above `trials`."""
    kept = np.minimum(v, trials)
    logs = special.gammaln(trials + 1) - special.gammaln(kept + 1) - special.gammaln(trials - kept + 1)
    logs += special.xlogy(kept, chance) + special.xlog1py(trials - kept, -chance)
    return np.where(v <= trials, np.exp(logs), 0.0)


def _histograms(samples: Bytes) -> NDArray[np.int64]:
    """(N, size) -> (N, 256)."""
    return np.stack([np.bincount(sample, minlength=_LEVELS) for sample in samples]).astype(np.int64)


def _entropies(samples: Bytes) -> FloatArray:
    """(N, size) -> (N,): Shannon entropy in bits."""
    shares = _histograms(samples) / samples.shape[1]
    return np.asarray(special.entr(shares).sum(axis=1) / math.log(2), dtype=np.float64)


def _entropy_p(value: float, size: int, samples: int) -> float:
    """Two-sided, of the mean entropy of `samples`: what is missing to 8 bits is gamma, matched in mean and variance.

    For many bytes that is the chi-square law itself; a normal law would miss its skewness.
    """
    mean, sd = entropy_null(size)
    missing, variance = 8 - mean, sd**2 / samples
    return _two_sided_gamma((8 - value) * missing / variance, missing**2 / variance)


def _two_sided_gamma(value: float, shape: float) -> float:
    return min(1.0, 2 * min(float(special.gammainc(shape, value)), float(special.gammaincc(shape, value))))


def _normal_p(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))


def _equal_shapes(first: Bytes, second: Bytes) -> None:
    if first.shape != second.shape or not first.size:
        raise ShapeError(f"the two images must have one shape, not {first.shape} and {second.shape}")
    if first.dtype != np.uint8 or second.dtype != np.uint8:
        raise ShapeError("image statistics take uint8")


def _two_dimensional(image: Bytes) -> None:
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ShapeError(f"neighbours and blocks need an image (H, W) of uint8, not {image.shape} of {image.dtype}")


def _at_least(values: NDArray[np.generic], size: int) -> None:
    if values.size < size:
        raise UsageError(f"this statistic needs {size:,} bytes, not {values.size:,}")
