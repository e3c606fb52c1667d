"""Reading videos: what a file holds, its frames as upright RGB, and its sound.

Everything is done one frame at a time; a video is never held. Rotation (the display matrix) is baked in:
sizes and frames are those of the upright picture. FFmpeg runs in a child process with limits (`session`, `child`);
what it sends is checked here. No ffmpeg program is needed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from neuralcipher.errors import BundleError, UsageError, VideoError
from neuralcipher.video.inputs import existing
from neuralcipher.video.metadata import (
    CODEC_NAME,
    MAX_AUDIO_BYTES,
    MAX_AUDIO_PACKETS,
    MAX_PACKET_BYTES,
    MAX_SIDE,
    AudioPacket,
    AudioTrack,
    VideoInfo,
)
from neuralcipher.video.packing import INT64_MAX, INT64_MIN
from neuralcipher.video.pixels import PIXEL_BYTES, SWS_MATRIX, Orientation, Plan
from neuralcipher.video.rgb import Picture, upright
from neuralcipher.video.scenes import scene_cuts
from neuralcipher.video.session import Session, session
from neuralcipher.video.wire import told

_MAX_WARNINGS = 32
_MAX_PADDING = 4096  # of a row; swscale aligns to 64 bytes at most


@dataclass(frozen=True, slots=True)
class Probe:
    """What a first pass over a video found.

    info: sizes, timestamps and tags of the frames that decode. warnings: sentences for the user.
    audio_codec: of the sound that can be carried, or None. audio_end: where to cut the sound, in seconds, if
    frames were cut; else None. plan: how frames become RGB, for `read_frames`. cuts: the frames that begin a scene, the
    first frame aside. version: what `version_of` said of the file before it was read.
    """

    info: VideoInfo
    warnings: tuple[str, ...]
    audio_codec: str | None
    audio_end: Fraction | None
    plan: Plan
    cuts: tuple[int, ...]
    version: tuple[int, int] | None = None


def version_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Size, and time of the last change, of a file: another answer later tells that it was changed. None: no file."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_size, facts.st_mtime_ns


def parse_size(text: str) -> tuple[int, int]:
    """Parse "WxH" in pixels; one of the two may be -1 to keep the aspect. Raises UsageError."""
    match = re.fullmatch(r"(-1|\d{1,5})[xX:](-1|\d{1,5})", text.strip(), re.ASCII)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if 0 in size or size == (-1, -1) or max(size) > MAX_SIDE:
        raise UsageError(
            f"{text!r} is not a size",
            hint=f"write WIDTHxHEIGHT, such as 320x180 or 320x-1, at most {MAX_SIDE}",
        )
    return size


def probe(
    path: str | os.PathLike[str],
    scale: str | tuple[int, int] | None = None,
    max_frames: int | None = None,
    strict: bool = False,
) -> Probe:
    """Decode a video once to learn which frames it really has.

    path: a video file, or a folder of PNG or JPEG frames (25 per second).
    scale: "WxH" or (W, H), see `parse_size`.
    max_frames: stop after so many. strict: refuse a damaged or cut-off video instead of warning.
    Raises UsageError (missing, no frames in the folder, bad option) and VideoError (cannot be decoded, or not within
    the limits on memory and time).
    """
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"{max_frames} is not a number of frames", hint="pass 1 or more")
    size = None if scale is None else parse_size(scale if isinstance(scale, str) else f"{scale[0]}x{scale[1]}")
    version = version_of(path)
    with session(existing(path)) as child:
        child.ask("probe", size, None if max_frames is None else min(max_frames, INT64_MAX), strict)
        _, parts = child.hear("found")
        found = _found(parts)
        if found is None:
            child.nonsense()
        return replace(found, version=version)


def read_frames(path: str | os.PathLike[str], probed: Probe) -> Iterator[Picture]:
    """Yield exactly the frames that `probe` counted, each (H, W, 3) uint8 full-range RGB, upright.

    The child works one frame ahead. Raises VideoError if the file changed since and has fewer.
    """
    source = existing(path)
    plan, wanted = probed.plan, probed.info.frames
    turn = plan.orientation
    with session(source) as child:
        turned = (turn.transpose, turn.mirror_x, turn.mirror_y)
        child.ask("frames", (plan.width, plan.height), turned, plan.matrix, wanted)
        for count in range(wanted):
            picture = _picture(child, plan)
            if picture is None:
                raise VideoError(
                    f"{source.name} has {count} frames now but had {wanted}", hint="do not change it while it is read"
                )
            yield picture
        if _picture(child, plan) is not None:
            child.nonsense()


def read_audio(path: str | os.PathLike[str], max_time: Fraction | None = None) -> AudioTrack | None:
    """Read the packets of the first sound stream, unchanged; None if there is none that can be carried.

    max_time: leave out packets that start at or after it, in seconds (see `Probe.audio_end`).
    """
    source = existing(path)
    if source.is_dir():
        return None
    packets: list[AudioPacket] = []
    total = 0
    with session(source) as child:
        child.ask("audio", None if max_time is None else str(max_time))
        while True:
            kind, parts = child.hear("packets", "track")
            if kind == "track":
                break
            batch = _packets(parts)
            total += sum(len(packet.data) for packet in batch or ())
            if batch is None or total > MAX_AUDIO_BYTES or len(packets) + len(batch) > MAX_AUDIO_PACKETS:
                child.nonsense()
            packets += batch
        if parts == [None] and not packets:
            return None
        track = _track(parts)
        if track is None or not packets:
            child.nonsense()
    return replace(track, packets=tuple(packets))


def _found(parts: list[Any]) -> Probe | None:
    """A probe from a child's answer; None if it is not what a child of ours says."""
    if len(parts) != 7:
        return None
    fields, warnings, codec, cut, turned, matrix, changes = parts
    right = (
        type(warnings) is list
        and len(warnings) <= _MAX_WARNINGS
        and all(type(text) is str for text in warnings)
        and (codec is None or (type(codec) is str and CODEC_NAME.fullmatch(codec) is not None))
        and type(turned) is list
        and [type(turn) for turn in [*turned, cut]] == [bool] * 4
        and type(matrix) is int
        and matrix in SWS_MATRIX
        and type(changes) is bytes
    )
    try:
        info = VideoInfo.from_dict(fields)
    except (BundleError, TypeError):
        return None
    if not right or info.space not in SWS_MATRIX or len(changes) != info.frames:
        return None
    plan = Plan(info.width, info.height, Orientation(*turned), matrix)
    return Probe(info, tuple(map(told, warnings)), codec, info.end_time if cut else None, plan, scene_cuts(changes))


def _picture(child: Session, plan: Plan) -> Picture | None:
    """The next picture, upright; None if there is none."""
    kind, parts = child.hear("picture", "end")
    if kind == "end":
        return None
    width, height = (plan.height, plan.width) if plan.orientation.transpose else (plan.width, plan.height)
    if [type(part) for part in parts] != [str, int, bool] or parts[0] not in PIXEL_BYTES:
        child.nonsense()
    layout, stride, full = parts
    row = width * PIXEL_BYTES[layout]
    if not row <= stride <= row + _MAX_PADDING:
        child.nonsense()
    pixels = np.empty((height, stride), np.uint8)
    child.fill(pixels.data.cast("B"))
    return upright(pixels[:, :row].reshape(height, width, -1), plan.orientation, full)


def _packets(parts: list[Any]) -> list[AudioPacket] | None:
    """Packets of sound from a child's answer; None if one of them cannot be."""
    rows = parts[0] if len(parts) == 1 else None
    if type(rows) is not list:
        return None
    packets = []
    for row in rows:
        if type(row) is not list or [type(part) for part in row] != [int, int, int, bool, bytes]:
            return None
        pts, dts, duration, key, data = row
        if max(pts, dts, duration) > INT64_MAX or min(pts, dts) < INT64_MIN or duration < 0:
            return None
        if len(data) > MAX_PACKET_BYTES:
            return None
        packets.append(AudioPacket(pts, dts, duration, key, data))
    return packets


def _track(parts: list[Any]) -> AudioTrack | None:
    """A track without packets from a child's answer; None if it is none."""
    if len(parts) != 1 or type(parts[0]) is not bytes:
        return None
    try:
        track = AudioTrack.from_bytes(parts[0])
    except BundleError:
        return None
    return None if track.packets else track
