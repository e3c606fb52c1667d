"""The image statistics against hand calculation, enumeration, simulation, and planted sources."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from keystreams import chacha20, counter, lcg32_low_bytes
from scipy import stats

from neuralcipher.attacks.generators import image_statistics as image
from neuralcipher.errors import ShapeError, UsageError

SIDE = 256


def picture(key: int, side: int = SIDE) -> image.Bytes:
    return chacha20(side * side, key).reshape(side, side)


def test_npcr_by_hand() -> None:
    first = np.zeros(10, np.uint8)
    second = np.array([0, 0, 1, 1, 1, 1, 1, 1, 1, 1], np.uint8)
    chance = 255 / 256
    expected = sum(stats.binom.pmf(k, 10, chance) for k in range(9))
    assert image.npcr(first, second) == (0.8, pytest.approx(expected))


@pytest.mark.parametrize(("percent", "level"), [(99.5693, 0.05), (99.5527, 0.01), (99.5341, 0.001)])
def test_npcr_has_the_published_critical_values(percent: float, level: float) -> None:
    # Of 256 x 256 bytes; the published ones come from a normal law, which is half off at 0.001: ours is the binomial.
    first, second = np.zeros(SIDE**2, np.uint8), np.zeros(SIDE**2, np.uint8)
    second[: round(percent / 100 * SIDE**2)] = 1
    assert 0.9 * level < image.npcr(first, second).p_value < 1.6 * level


@pytest.mark.parametrize(("low", "high", "level"), [(33.2824, 33.6447, 0.05), (33.2255, 33.7016, 0.01)])
def test_uaci_has_the_published_critical_values(low: float, high: float, level: float) -> None:
    for percent in (low, high):
        total = round(percent / 100 * 255 * SIDE**2)
        first, second = np.zeros(SIDE**2, np.uint8), np.full(SIDE**2, total // SIDE**2, np.uint8)
        second[: total % SIDE**2] += 1
        assert image.uaci(first, second).p_value == pytest.approx(level, rel=0.01)


def test_uaci_moments_by_enumeration() -> None:
    difference = np.abs(np.subtract.outer(np.arange(256), np.arange(256))) / 255
    first, second = np.full((1, 256), 0, np.uint8), np.arange(256, dtype=np.uint8)[None]
    value, p_value = image.uaci(first, second)
    assert value == pytest.approx(0.5)
    z = (0.5 - difference.mean()) / np.sqrt(difference.var() / 256)
    assert p_value == pytest.approx(2 * stats.norm.sf(z))


@pytest.mark.parametrize(("side", "mean"), [(64, 7.9546), (128, 7.9887), (256, 7.9972), (512, 7.9993)])
def test_the_mean_entropy_depends_on_the_size(side: int, mean: float) -> None:
    assert image.entropy_null(side**2)[0] == pytest.approx(mean, abs=5e-5)


def test_entropy_moments_by_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    # Six values of a die with four faces, all 4,096 of them.
    monkeypatch.setattr(image, "_LEVELS", 4)
    counts = np.array([np.bincount(dice, minlength=4) for dice in product(range(4), repeat=6)])
    entropy = stats.entropy(counts, base=2, axis=1)
    mean, sd = image.entropy_null.__wrapped__(6)
    assert mean - 8 == pytest.approx(entropy.mean() - 2)
    assert sd == pytest.approx(entropy.std())


def test_entropy_moments_of_a_block_and_where_the_formula_changes() -> None:
    mean, sd = image.entropy_null(44 * 44)
    assert mean == pytest.approx(7.902469, abs=5e-7)
    assert sd == pytest.approx(0.008694, abs=5e-7)
    size = 256 * 4096
    exact, asymptotic = image.entropy_null(size), image.entropy_null(size + 256)
    assert (8 - exact[0]) * size == pytest.approx((8 - asymptotic[0]) * (size + 256), rel=1e-4)
    assert exact[1] * size == pytest.approx(asymptotic[1] * (size + 256), rel=1e-3)


def test_local_entropy_has_the_right_interval() -> None:
    # The mean of 30 blocks, not a block: 7.899358 to 7.905580 holds 95 %, 7.898381 to 7.906558 holds 99 %.
    for low, high, level in ((7.899358, 7.905580, 0.05), (7.898381, 7.906558, 0.01)):
        p_low, p_high = (image._entropy_p(value, 1936, 30) for value in (low, high))
        assert p_low + p_high == pytest.approx(2 * level, rel=0.02)
    # The interval usually quoted would reject a mean of 7.9015, a common one.
    assert image._entropy_p(7.9015, 1936, 30) > 0.5


def test_neighbour_correlation_by_hand() -> None:
    ramp = np.tile(np.arange(8, dtype=np.uint8), (8, 1))
    assert image.neighbour_correlation(ramp, "horizontal") == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-12))
    assert image.neighbour_correlation(np.zeros((8, 8), np.uint8), "vertical") == (1.0, 0.0)
    small = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 1]], np.uint8)
    here, there = [0, 1, 0, 1, 1, 0], [1, 1, 0, 0, 0, 1]
    value, p_value = image.neighbour_correlation(small, "vertical")
    assert value == pytest.approx(np.corrcoef(here, there)[0, 1])
    assert p_value == pytest.approx(2 * stats.norm.sf(np.arctanh(abs(value)) * np.sqrt(3)))
    value, _ = image.neighbour_correlation(small, "diagonal")
    assert value == pytest.approx(np.corrcoef([0, 1, 1, 1], [1, 0, 0, 1])[0, 1])


def test_chi_square_is_two_sided() -> None:
    even = np.tile(np.arange(256, dtype=np.uint8), 16)
    assert image.chi_square(even) == (0.0, 0.0)
    assert image.chi_square(np.zeros(4096, np.uint8)).p_value == 0
    bytes_ = picture(1)
    counts = np.bincount(bytes_.ravel(), minlength=256)
    expected = stats.chisquare(counts)
    value, p_value = image.chi_square(bytes_)
    assert value == pytest.approx(expected.statistic)
    assert p_value == pytest.approx(2 * min(expected.pvalue, 1 - expected.pvalue))


def of_ideal_images(statistic: str, i: int) -> image.Statistic:
    first, second = picture(10_000 + 2 * i), picture(10_001 + 2 * i)
    if statistic in ("npcr", "uaci"):
        return getattr(image, statistic)(first, second)
    if statistic in image.DIRECTIONS:
        return image.neighbour_correlation(first, statistic)
    if statistic == "local_entropy":
        return image.local_entropy(picture(10_000 + i, 264), seed=i)
    return getattr(image, statistic)(first)


@pytest.mark.parametrize(
    "statistic", ["npcr", "uaci", "global_entropy", "local_entropy", "horizontal", "diagonal", "chi_square"]
)
def test_p_values_of_ideal_images_are_uniform(statistic: str) -> None:
    p_values = [of_ideal_images(statistic, i).p_value for i in range(600)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert stats.binomtest(int(np.sum(np.array(p_values) < 0.05)), len(p_values), 0.05).pvalue > 0.001


def test_planted_sources_are_caught() -> None:
    low = lcg32_low_bytes(SIDE**2, 1).reshape(SIDE, SIDE)
    assert image.chi_square(low).p_value < 1e-9  # every level equally often: too even
    assert image.global_entropy(low) == (8.0, pytest.approx(0, abs=1e-9))
    assert image.neighbour_correlation(low, "vertical").p_value < 1e-9  # a row is one period
    counted = counter(SIDE**2, 0).reshape(SIDE, SIDE)
    assert image.global_entropy(counted).p_value < 1e-9
    assert image.local_entropy(np.tile(counted, (2, 2))).p_value < 1e-9
    once = picture(2)
    changed = once.copy()
    changed[:128] = picture(3)[:128]
    assert image.npcr(once, changed).p_value < 1e-9
    assert image.uaci(once, changed).p_value < 1e-9
    assert image.uaci(once, 255 - once).p_value < 1e-9  # too far


def test_what_does_not_fit_is_refused() -> None:
    good = picture(4)
    with pytest.raises(ShapeError, match="one shape"):
        image.npcr(good, good[:5])
    with pytest.raises(ShapeError, match="uint8"):
        image.uaci(good.astype(float), good.astype(float))
    with pytest.raises(ShapeError, match=r"\(H, W\)"):
        image.neighbour_correlation(good.ravel())
    with pytest.raises(UsageError, match="'sideways'"):
        image.neighbour_correlation(good, "sideways")
    with pytest.raises(UsageError, match="30 blocks"):
        image.local_entropy(good[:200])
    with pytest.raises(UsageError, match="needs 1,280 bytes"):
        image.chi_square(good[:4])
