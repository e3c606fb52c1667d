"""Parts of a video: which frames are meant, and what is stored about them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from neuralcipher.errors import UsageError
from neuralcipher.pipeline.stored import StoredSegment
from neuralcipher.video.metadata import AudioTrack, VideoInfo

Part = Callable[[VideoInfo, list[StoredSegment]], range]
"""Says which frames of a video are meant: one of those that this module makes. Raises UsageError if there are none."""

Piece = tuple[StoredSegment, int, int]
"""A segment, and which of its frames are meant: from, and up to but without."""

_FRAMES = re.compile(r"(\d{0,12}):(\d{0,12})", re.ASCII)
_TIME = re.compile(r"(?:(?:(\d{1,6}):)?(\d{1,9}):)?(\d{1,12}(?:\.\d{1,9})?)", re.ASCII)


def whole(info: VideoInfo, segments: list[StoredSegment]) -> range:
    """All frames."""
    return range(info.frames)


def frames_part(text: str) -> Part:
    """The frames that "A:B" means, half-open and from 0; either end may be left out."""
    return lambda info, segments: _frames_of(text, info)


def time_part(text: str) -> Part:
    """The frames that are shown within "HH:MM:SS-HH:MM:SS", counted from the first frame's start.

    Hours, and minutes, may be left out, and seconds have a fraction.
    """
    return lambda info, segments: _frames_within(text, info)


def segment_part(number: int) -> Part:
    """The frames of one segment, counted from 0."""
    return lambda info, segments: _frames_of_segment(number, segments)


def _frames_of(text: str, info: VideoInfo) -> range:
    match = _FRAMES.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is not a range of frames", hint="write A:B, such as 100:200, counted from 0")
    start, stop = int(match[1] or 0), int(match[2] or info.frames)
    if not start < stop <= info.frames:
        raise UsageError(
            f"there are no frames {start} to {stop} in a video of {info.frames}",
            hint=f"frames are counted from 0; A:B means A up to B-1, with B at most {info.frames}",
        )
    return range(start, stop)


def _frames_within(text: str, info: VideoInfo) -> range:
    ends = [_seconds(part) for part in text.split("-")]
    if len(ends) != 2 or ends[0] is None or ends[1] is None or not ends[0] < ends[1]:
        raise UsageError(f"{text!r} is not a span of time", hint="write FROM-TO, such as 00:01:10-00:01:20 or 70-80.5")
    unit = Fraction(*info.time_base)
    first, last = (info.pts[0] + seconds / unit for seconds in ends if seconds is not None)
    start = max(0, bisect_right(info.pts, first) - 1)  # the frame that is on the screen then
    stop = bisect_left(info.pts, last)
    if first >= info.pts[-1] + info.last_duration:
        raise UsageError(
            f"the video ends before {text.partition('-')[0]}", hint=f"it takes {float(info.duration_s):.3f} s"
        )
    return range(start, max(start + 1, stop))


def _frames_of_segment(number: int, segments: list[StoredSegment]) -> range:
    if not 0 <= number < len(segments):
        raise UsageError(f"there is no segment {number}", hint=f"the segments are 0..{len(segments) - 1}")
    start = sum(segment.frames for segment in segments[:number])
    return range(start, start + segments[number].frames)


def _seconds(text: str) -> Fraction | None:
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3])


def pieces_of(segments: Sequence[StoredSegment], frames: range) -> list[Piece]:
    """What of which segment holds these frames of the video."""
    pieces, first = [], 0
    for segment in segments:
        start, stop = max(frames.start - first, 0), min(frames.stop - first, segment.frames)
        if start < stop:
            pieces.append((segment, start, stop))
        first += segment.frames
    return pieces


def part_of(info: VideoInfo, frames: range) -> VideoInfo:
    """The description of these frames alone; they keep their timestamps."""
    return replace(info, pts=info.pts[frames.start : frames.stop])


def sound_of(audio: AudioTrack, info: VideoInfo, part: VideoInfo) -> AudioTrack | None:
    """The packets of sound that begin while a part is shown, or None; cut between packets, at most one short."""
    if part.pts == info.pts:
        return audio
    unit, clock = Fraction(*audio.time_base), Fraction(*part.time_base)
    begin, end = part.pts[0] * clock, part.end_time
    chosen = [packet for packet in audio.packets if begin <= packet.pts * unit < end]
    while chosen and not chosen[0].key:
        chosen.pop(0)
    if not chosen:
        return None
    first, last = chosen[0] is audio.packets[0], chosen[-1] is audio.packets[-1]
    return replace(
        audio,
        packets=tuple(chosen),
        skip_start=audio.skip_start if first else 0,
        skip_end=audio.skip_end if last else 0,
    )
