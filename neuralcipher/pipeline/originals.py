"""The video that a bundle was sealed from, found again: scaled, and cut, as sealing did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuralcipher.container import BundleReader
from neuralcipher.errors import UsageError
from neuralcipher.pipeline.origins import origins_of
from neuralcipher.video.metadata import VideoInfo
from neuralcipher.video.reading import Probe, probe, read_frames

# A copy in another container may count time in thousandths of a second.
_SAME_TIME_S = Fraction(2, 1000)


@dataclass(frozen=True, slots=True)
class Original:
    """The frames of a video that belong to a bundle. first: number of the first of them."""

    path: Path
    probed: Probe
    first: int


def matching_original(reader: BundleReader, info: VideoInfo, path: Path) -> Original:
    """The original of an unlocked bundle. info: what the bundle stores about its video.

    Raises UsageError if the video cannot be what was sealed: too few frames, another shape, other distances of time.
    Raises VideoError if it cannot be decoded.
    """
    first = _first_frame(reader, info)
    probed = probe(path, scale=(info.width, info.height), max_frames=first + info.frames)
    why = _misfit(info, probed.info, first, timed=not path.is_dir())
    if why:
        raise UsageError(
            f"{path.name} is not what {reader.name} was sealed from: {why}", hint="name the original video"
        )
    return Original(path, probed, first)


def original_frames(original: Original) -> Iterator[NDArray[np.uint8]]:
    """The frames of the bundle as they were before sealing, (H, W, 3) uint8; one is held at a time."""
    return islice(read_frames(original.path, original.probed), original.first, None)


def _first_frame(reader: BundleReader, info: VideoInfo) -> int:
    """Which frame of the original is the bundle's first: not 0 for what `ncipher cut` made."""
    origins = origins_of(reader, info.frames)
    if any(one.bundle != next_.bundle or one.stop != next_.start for one, next_ in pairwise(origins)):
        raise UsageError(
            f"{reader.name} was joined from several videos, so no single one is its original",
            hint="report on its parts, or leave out --video",
        )
    return origins[0].start


def _misfit(sealed: VideoInfo, found: VideoInfo, first: int, *, timed: bool) -> str:
    """What keeps a video from being the original, or ""."""
    if found.frames < first + sealed.frames:
        return f"it has {found.frames:,} frames, and the bundle shows frames {first:,} to {first + sealed.frames - 1:,}"
    if abs(_aspect(found) / _aspect(sealed) - 1) > max(Fraction(1, 50), Fraction(2, min(sealed.width, sealed.height))):
        return "its pictures have another shape"
    if timed:
        for number in range(sealed.frames):
            if abs(_time(found, first + number, first) - _time(sealed, number, 0)) > _SAME_TIME_S:
                return f"frame {number} is shown at another time"
    return ""


def _aspect(info: VideoInfo) -> Fraction:
    """Of one pixel. Sizes are rounded to whole, or even, pixels, so it may differ a little from what sealing stored."""
    return Fraction(*info.sample_aspect)


def _time(info: VideoInfo, number: int, since: int) -> Fraction:
    """Seconds from frame `since` to frame `number`."""
    return (info.pts[number] - info.pts[since]) * Fraction(*info.time_base)
