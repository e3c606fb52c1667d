"""Comparing rate-distortion curves: Bjontegaard's delta rate, and bytes at equal quality."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import bjontegaard
import numpy as np
from scipy.interpolate import PchipInterpolator

Point = tuple[float, float]  # (bytes, quality in dB)

MEDIAN_RANGE_DB = (28.0, 34.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against one other codec on one clip; a figure is None where the curves do not overlap.

    bd_psnr, bd_ms_ssim: delta rate in percent by RGB PSNR and by MS-SSIM in dB; positive means that ours needs more.
    ratios: our bytes over the other's at equal RGB PSNR, for each point of ours. median: of those within 28..34 dB.
    """

    clip: str
    against: str
    bd_psnr: float | None
    bd_ms_ssim: float | None
    ratios: tuple[float | None, ...]
    median: float | None


def front(points: Sequence[Point]) -> list[Point]:
    """The points in order of their bytes, without those that are no better than a smaller one."""
    kept: list[Point] = []
    for point in sorted(points):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def bd_rate(anchor: Sequence[Point], test: Sequence[Point]) -> float | None:
    """Percent more bytes that `test` takes at equal quality (piecewise cubic); None without an overlap."""
    curves = [front(anchor), front(test)]
    if min(map(len, curves)) < 2:
        return None
    (a_bytes, a_db), (t_bytes, t_db) = (zip(*curve, strict=True) for curve in curves)
    if min(a_db[-1], t_db[-1]) <= max(a_db[0], t_db[0]):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a small overlap
        percent = bjontegaard.bd_rate(
            a_bytes, a_db, t_bytes, t_db, method="pchip", require_matching_points=False, min_overlap=0
        )
    return round(float(percent), 1) if math.isfinite(percent) else None


def bytes_ratio(anchor: Sequence[Point], point: Point) -> float | None:
    """The point's bytes over the anchor's at the same quality: log bytes by monotone cubics; None out of range."""
    curve = front(anchor)
    if len(curve) < 2 or not curve[0][1] <= point[1] <= curve[-1][1]:
        return None
    log_bytes = PchipInterpolator([db for _, db in curve], [math.log(size) for size, _ in curve])
    return round(point[0] / float(np.exp(log_bytes(point[1]))), 3)


def compare_curves(
    clip: str,
    against: str,
    anchor: tuple[Sequence[Point], Sequence[Point]],
    test: tuple[Sequence[Point], Sequence[Point]],
) -> Comparison:
    """Compare two codecs, each given as its points by RGB PSNR and by MS-SSIM in dB."""
    ratios = tuple(bytes_ratio(anchor[0], point) for point in test[0])
    low, high = MEDIAN_RANGE_DB
    inside = [r for r, (_, db) in zip(ratios, test[0], strict=True) if r is not None and low <= db <= high]
    return Comparison(
        clip=clip,
        against=against,
        bd_psnr=bd_rate(anchor[0], test[0]),
        bd_ms_ssim=bd_rate(anchor[1], test[1]),
        ratios=ratios,
        median=round(statistics.median(inside), 3) if inside else None,
    )
