"""Descriptions of cut and joined videos: what must be equal, and when their frames are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from neuralcipher.container import BundleReader
from neuralcipher.errors import LimitError, PayloadDamagedError, UsageError
from neuralcipher.pipeline.sounds import checked_time, common_unit
from neuralcipher.video.metadata import MAX_FRAMES, VideoInfo
from neuralcipher.video.packing import INT64_MAX, INT64_MIN

FIELD = "last_duration"
_MAX_TERM = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Timeline:
    """A description, and how long its last frame is shown, in its time base: its timestamps alone do not say that."""

    info: VideoInfo
    last_duration: int

    @property
    def unit(self) -> Fraction:
        """Seconds per unit of its times."""
        return Fraction(*self.info.time_base)

    @property
    def begin_s(self) -> Fraction:
        """When the first frame is shown."""
        return self.info.pts[0] * self.unit

    @property
    def end_s(self) -> Fraction:
        """When the last frame stops being shown."""
        return (self.info.pts[-1] + self.last_duration) * self.unit

    def to_metadata(self) -> dict[str, Any]:
        """For the metadata of a bundle."""
        known = self.last_duration == self.info.last_duration
        return {"video": self.info.to_dict(), **({} if known else {FIELD: self.last_duration})}


def timeline_of(reader: BundleReader, info: VideoInfo) -> Timeline:
    """The timeline of a bundle. Raises PayloadDamagedError."""
    stored = reader.metadata.get(FIELD, info.last_duration)
    if type(stored) is not int or not INT64_MIN <= stored <= INT64_MAX:
        raise PayloadDamagedError(f"{reader.name} states wrongly how long its last frame is shown")
    return Timeline(info, stored)


def cut_timeline(whole: Timeline, frames: range) -> tuple[Timeline, Fraction]:
    """That of a part, and by how many seconds its clock moves back: what is not the beginning begins at 0."""
    pts = whole.info.pts
    shift = pts[frames.start] if frames.start else 0
    last = whole.last_duration if frames.stop == len(pts) else pts[frames.stop] - pts[frames.stop - 1]
    moved = tuple(checked_time(time - shift) for time in pts[frames.start : frames.stop])
    return Timeline(replace(whole.info, pts=moved), checked_time(last)), shift * whole.unit


def joined_timeline(names: Sequence[str], parts: Sequence[Timeline]) -> tuple[Timeline, list[Fraction]]:
    """The parts one after the other, and by how many seconds each clock moves on.

    Raises UsageError if the pictures differ in more than their times, LimitError if there are too many.
    """
    first = parts[0].info
    for name, part in zip(names[1:], parts[1:], strict=True):
        _check_same(names[0], first, name, part.info)
    if sum(part.info.frames for part in parts) > MAX_FRAMES:
        raise LimitError(
            f"together they have more than the {MAX_FRAMES} frames that a bundle can hold", hint="join fewer of them"
        )
    unit = common_unit([part.info.time_base for part in parts], "videos")
    pts: list[int] = []
    offsets: list[Fraction] = []
    end = parts[0].begin_s
    for part in parts:
        offset = end - part.begin_s
        pts += (checked_time(int((time * part.unit + offset) / unit)) for time in part.info.pts)
        end = part.end_s + offset
        offsets.append(offset)
    sources = dict.fromkeys((part.info.source_name, part.info.source_bytes) for part in parts)
    info = replace(
        first,
        pts=tuple(pts),
        time_base=(unit.numerator, unit.denominator),
        average_rate=_rate(parts, len(pts) / (end - pts[0] * unit) if end > pts[0] * unit else None),
        source_bytes=checked_time(sum(size for _, size in sources)),
    )
    return Timeline(info, checked_time(int(end / unit) - pts[-1])), offsets


def _rate(parts: Sequence[Timeline], mean: Fraction | None) -> tuple[int, int]:
    rates = {part.info.average_rate for part in parts}
    if len(rates) > 1 and mean is not None:
        rate = mean.limit_denominator(1_000_000)
        if rate > 0 and rate.numerator <= _MAX_TERM:
            return rate.numerator, rate.denominator
    return parts[0].info.average_rate


def _check_same(name: str, first: VideoInfo, other_name: str, other: VideoInfo) -> None:
    different = [
        f"{what} ({one} and {two})"
        for (what, one), (_, two) in zip(_facts(first), _facts(other), strict=True)
        if one != two
    ]
    if different:
        raise UsageError(
            f"{name} and {other_name} differ in {', '.join(different)}",
            hint="only videos with equal pictures can be joined without sealing them again",
        )


def _facts(info: VideoInfo) -> list[tuple[str, str]]:
    return [
        ("size", f"{info.width}x{info.height}"),
        ("pixel aspect", f"{info.sample_aspect[0]}:{info.sample_aspect[1]}"),
        ("colour primaries", str(info.primaries)),
        ("transfer", str(info.transfer)),
        ("colour matrix", str(info.space)),
        ("colour range", {1: "limited", 2: "full"}.get(info.color_range, "unknown")),
        ("chroma", info.pixel_family),
    ]
