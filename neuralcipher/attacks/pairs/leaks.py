"""What does a wrong key show of the video? Palette, texture and correlation with the truth, and exact tests.

How near a wrong key's frames come to the truth means nothing alone: any two pictures have something in common, and
an ordinary video is near to everything. So each output is scored by how much nearer it is to the sealed video than to
other videos, and these scores are compared with those that wrong keys reach on bundles of *other* videos. If what a
wrong key sees has one distribution, whatever was sealed, then all outputs are exchangeable and the tests are exact.
The unit is a key. A rejection says that outputs depend on what was sealed *and* lean towards it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neuralcipher.attacks.ranks import doubled_midranks, holm, rank_sum, relabelling_p_value
from neuralcipher.errors import ShapeError, UsageError

Pixels = NDArray[np.uint8]
FloatArray = NDArray[np.float64]
Clips = Sequence[ArrayLike]

LEVEL = 0.001
"""Family-wise level of the attack suite."""

_LEVELS = 256
_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601
_ROUNDING_POWER = 1 / 12  # variance of rounding to whole grey levels: a weaker texture than that cannot be seen
_SMALLEST_SIDE = 4


def palette_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Distance of colour histograms: Wasserstein-1 in grey levels, 0..255, the mean of R, G and B.

    a, b: (N, 3, H, W) uint8; their sizes may differ. Exact: the area between the two cumulative histograms.
    """
    return _area_between(_palette(_pixels(a)), _palette(_pixels(b)))


def texture_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Distance of power spectra of luma in dB, >= 0: root mean square over rings of spatial frequency.

    a, b: (N, 3, H, W) uint8 of one H and W, at least 4; N may differ. Mean removed, Hann window, power averaged over
    frames and over the ring; rings are 1 / min(H, W) cycles per pixel wide, from there to 1/2. Source: the radially
    averaged periodogram, with the power of rounding to grey levels as its floor.
    """
    x, y = _pixels(a), _pixels(b)
    _check_same(x.shape[2:], y.shape[2:])
    return _rms(_texture(x), _texture(y))


def correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson correlation of pixel values, -1..1, after removing each frame's mean of each channel; mean over frames.

    a, b: (N, 3, H, W) uint8 of one shape. A frame of constant channels counts as 0.
    """
    x, y = _pixels(a), _pixels(b)
    _check_same(x.shape, y.shape)
    return _product(_details(x), _details(y))


def mean_frame_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Like `correlation`, of the two mean frames: it finds a still background under noise that averages out.

    a, b: (N, 3, H, W) uint8 of one H and W; N may differ.
    """
    x, y = _pixels(a), _pixels(b)
    _check_same(x.shape[2:], y.shape[2:])
    return _product(_details(_mean_frame(x)), _details(_mean_frame(y)))


@dataclass(frozen=True, slots=True)
class Leak:
    """One measure of what wrong keys (imposters) show of one video.

    name, unit: of the measure. to_truth: median over the imposters, against the sealed video. to_others: the same
    imposters against each of the other videos. strangers: median over the strangers, against the sealed video.
    rank: place of the sealed video among all by to_truth, 1 is the nearest; no test, as it depends on how ordinary the
    video is. preference: chance that an imposter's score is above a stranger's; 0.5 is none, 1 is always. p_value:
    exact and one-sided, of a preference at least so large.
    """

    name: str
    unit: str
    to_truth: float
    to_others: tuple[float, ...]
    strangers: float
    rank: int
    preference: float
    p_value: float


@dataclass(frozen=True, slots=True)
class LeakReport:
    """leaks: one for each of `MEASURES`, in order. imposters, strangers: how many keys were tried of each."""

    leaks: tuple[Leak, ...]
    imposters: int
    strangers: int

    def found(self, level: float = LEVEL) -> tuple[str, ...]:
        """Names of the measures that tell the sealed video, at this level for all of them together (Holm)."""
        return _found([(leak.name, leak.p_value) for leak in self.leaks], level)


@dataclass(frozen=True, slots=True)
class PooledLeak:
    """One measure over several videos. preference: mean over the videos. p_value: by relabelling, one-sided."""

    name: str
    preference: float
    p_value: float


@dataclass(frozen=True, slots=True)
class PooledReport:
    """videos: a report for each. leaks: one for each of `MEASURES`, all videos together, which sees smaller leaks."""

    videos: tuple[LeakReport, ...]
    leaks: tuple[PooledLeak, ...]

    def found(self, level: float = LEVEL) -> tuple[str, ...]:
        """Names of the measures that tell the sealed videos, at this level for all of them together (Holm)."""
        return _found([(leak.name, leak.p_value) for leak in self.leaks], level)


def measure_leaks(truth: ArrayLike, imposters: Clips, others: Clips, strangers: Clips) -> LeakReport:
    """Does what wrong keys see tell the sealed video from other videos?

    truth: the sealed video, (N, 3, H, W) uint8, like all that follow. imposters: what wrong keys see of its bundle.
    others: other videos. strangers: what the null hypothesis has imposters look like: what wrong keys see of bundles
    of the others. No key is used twice. Raises ShapeError if shapes differ, UsageError if a list is empty.
    """
    if not imposters or not others or not strangers:
        raise UsageError("a leak is measured with at least one imposter, one other video and one stranger")
    nearness = _nearness([*imposters, *strangers], [truth, *others])
    return _report(nearness, 0, np.arange(nearness.shape[1]) < len(imposters))


def compare_bundles(videos: Clips, imposters: Sequence[Clips]) -> PooledReport:
    """`measure_leaks` for each of several videos, and for all of them together.

    imposters[v]: what wrong keys see of the bundle of videos[v]; they are the strangers of the other videos. The
    pooled test relabels which bundle an output came from. Raises ShapeError, UsageError.
    """
    _check_lists(videos, imposters)
    sealed = np.repeat(np.arange(len(videos)), [len(clips) for clips in imposters])
    nearness = _nearness([clip for clips in imposters for clip in clips], videos)
    reports = tuple(_report(nearness, v, sealed == v) for v in range(len(videos)))
    pooled = []
    for i, name in enumerate(MEASURES):
        mean = float(np.mean([report.leaks[i].preference for report in reports]))
        ranks = doubled_midranks(_scores(nearness[i])).astype(np.float64)
        pooled.append(PooledLeak(name, mean, relabelling_p_value(ranks, sealed, np.zeros_like(sealed))))
    return PooledReport(reports, tuple(pooled))


def compare_keys(videos: Clips, near: Sequence[Clips], unrelated: Sequence[Clips]) -> PooledReport:
    """Do near keys, such as z_0 with one bit flipped, see more of the videos than unrelated keys do?

    near[v], unrelated[v]: what such keys see of the bundle of videos[v]. The pooled test relabels, within each
    bundle, which of its outputs came from near keys. Raises ShapeError, UsageError.
    """
    _check_lists(videos, near)
    _check_lists(videos, unrelated)
    reports, ranks, kinds = [], [], []
    for v in range(len(videos)):
        nearness = _nearness([*near[v], *unrelated[v]], videos)
        kind = np.repeat([0, 1], [len(near[v]), len(unrelated[v])])
        reports.append(_report(nearness, v, kind == 0))
        scores = np.stack([_scores(values)[:, v] for values in nearness], axis=1)
        ranks.append(doubled_midranks(scores))
        kinds.append(kind)
    blocks = np.repeat(np.arange(len(videos)), [len(kind) for kind in kinds])
    of_all = np.concatenate(ranks).astype(np.float64)
    pooled = []
    for i, name in enumerate(MEASURES):
        mean = float(np.mean([report.leaks[i].preference for report in reports]))
        counted = np.stack([of_all[:, i], np.zeros(len(of_all))], axis=1)  # the ranks of near keys alone
        pooled.append(PooledLeak(name, mean, relabelling_p_value(counted, np.concatenate(kinds), blocks)))
    return PooledReport(tuple(reports), tuple(pooled))


@dataclass(frozen=True, slots=True)
class Measure:
    """feature: what is kept of a video; compare: of two features; sign: 1 if near is large, -1 if near is small."""

    unit: str
    feature: Callable[[Pixels], FloatArray]
    compare: Callable[[FloatArray, FloatArray], float]
    sign: int


def _found(p_values: Sequence[tuple[str, float]], level: float) -> tuple[str, ...]:
    adjusted = holm([p_value for _, p_value in p_values])
    return tuple(name for (name, _), p_value in zip(p_values, adjusted, strict=True) if p_value <= level)


def _check_lists(videos: Clips, outputs: Sequence[Clips]) -> None:
    counts = {len(clips) for clips in outputs}
    if len(videos) < 2 or len(outputs) != len(videos) or len(counts) != 1 or 0 in counts:
        raise UsageError("leaks are compared over at least two videos, with as many outputs, one or more, for each")


def _nearness(outputs: Clips, videos: Clips) -> FloatArray:
    """(measures, outputs, videos): how near they are, times the measure's sign, so that near is large."""
    pixels = [_pixels(video) for video in videos]
    measures = MEASURES.values()
    known = [[measure.feature(video) for video in pixels] for measure in measures]
    nearness = np.empty((len(measures), len(outputs), len(videos)))
    for j, output in enumerate(outputs):
        shown = _pixels(output)
        for video in pixels:
            _check_same(video.shape, shown.shape)
        for i, measure in enumerate(measures):
            feature = measure.feature(shown)
            nearness[i, j] = [measure.sign * measure.compare(feature, of_video) for of_video in known[i]]
    return nearness


def _scores(nearness: FloatArray) -> FloatArray:
    """(outputs, videos): how much nearer an output is to a video than to the others on average."""
    count = nearness.shape[1]
    return np.asarray((nearness - nearness.mean(axis=1, keepdims=True)) * (count / (count - 1)))


def _report(nearness: FloatArray, truth: int, imposters: NDArray[np.bool_]) -> LeakReport:
    leaks = []
    for (name, measure), values in zip(MEASURES.items(), nearness, strict=True):
        scores = _scores(values)[:, truth]
        preferred, p_value = rank_sum(scores[imposters].tolist(), scores[~imposters].tolist())
        medians = np.median(values[imposters], axis=0)
        leaks.append(
            Leak(
                name=name,
                unit=measure.unit,
                to_truth=float(measure.sign * medians[truth]),
                to_others=tuple((measure.sign * np.delete(medians, truth)).tolist()),
                strangers=float(measure.sign * np.median(values[~imposters, truth])),
                rank=1 + int((medians > medians[truth]).sum()),
                preference=preferred,
                p_value=p_value,
            )
        )
    return LeakReport(tuple(leaks), int(imposters.sum()), int((~imposters).sum()))


def _pixels(frames: ArrayLike) -> Pixels:
    pixels = np.asarray(frames)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.size:
        raise ShapeError("frames must be uint8 of shape (N, 3, H, W) with N >= 1")
    return pixels


def _check_same(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    if a != b:
        raise ShapeError(f"videos to compare must have one shape, not {a} and {b}")


def _palette(frames: Pixels) -> FloatArray:
    """(3, 256): the share of values at or below each grey level."""
    counts = [np.bincount(frames[:, channel].ravel(), minlength=_LEVELS) for channel in range(3)]
    return np.cumsum(counts, axis=1) / (frames.size / 3)


def _area_between(a: FloatArray, b: FloatArray) -> float:
    return float(np.abs(a - b).sum(axis=1).mean())


def _texture(frames: Pixels) -> FloatArray:
    """Power in dB of each ring of frequencies, above one squared grey level."""
    height, width = frames.shape[2:]
    short = min(height, width)
    if short < _SMALLEST_SIDE:
        raise ShapeError(f"the texture of frames below {_SMALLEST_SIDE} pixels cannot be measured")
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    power = np.zeros((height, width // 2 + 1))
    for frame in frames:
        luma = np.tensordot(_LUMA, frame, axes=1)
        power += np.abs(np.fft.rfft2(window * (luma - luma.mean()))) ** 2
    power /= len(frames) * (window**2).sum()
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.rint(radius * short).astype(np.int64).ravel()
    # Columns strictly inside the half plane stand for their mirror images too.
    twice = np.ones(width // 2 + 1)
    twice[1 : (width + 1) // 2] = 2
    weight = np.broadcast_to(twice, power.shape).ravel()
    rings = slice(1, short // 2 + 1)
    mean = np.bincount(ring, weight * power.ravel())[rings] / np.bincount(ring, weight)[rings]
    return np.asarray(10 * np.log10(mean + _ROUNDING_POWER))


def _rms(a: FloatArray, b: FloatArray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def _mean_frame(frames: NDArray[np.uint8]) -> FloatArray:
    return np.asarray(frames.mean(axis=0, keepdims=True))


def _details(frames: Pixels | FloatArray) -> FloatArray:
    """(N, 3 * H * W): each frame without the means of its channels, of length 1, or 0 where nothing is left."""
    values = frames - frames.mean(axis=(2, 3), keepdims=True)
    values = values.reshape(len(frames), -1)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 1e-9))


def _product(a: FloatArray, b: FloatArray) -> float:
    return float((a * b).sum(axis=1).mean())


def _strength(a: FloatArray, b: FloatArray) -> float:
    """Of a correlation: a negative of the video tells as much as a positive."""
    return abs(_product(a, b))


MEASURES = {
    "palette": Measure("grey levels", _palette, _area_between, -1),
    "texture": Measure("dB", _texture, _rms, -1),
    "correlation": Measure("absolute r", _details, _strength, 1),
    "mean frame": Measure("absolute r", lambda frames: _details(_mean_frame(frames)), _strength, 1),
}
"""The measures of a `LeakReport`, by name: correlations by their absolute value."""
