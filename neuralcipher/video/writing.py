"""Writing videos: near-lossless H.264 in MP4 or Matroska with the source's sound and timestamps, Y4M, PNG.

Frames are taken one at a time; memory stays bounded whatever their number. The caller gives a temporary path
and renames it afterwards: after an error, what was written so far is left there for the caller to remove.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import numpy as np
from av.codec.context import CodecContext
from av.container import OutputContainer

from neuralcipher.errors import NeuralCipherError, ShapeError, UsageError, WriteError
from neuralcipher.video.metadata import AudioPacket, AudioTrack, VideoInfo
from neuralcipher.video.pixels import RANGE_LIMITED, default_matrix, matrix_of
from neuralcipher.video.rgb import FromRgb, Picture
from neuralcipher.video.tracks import added_stream, check_fits, container_for, packet_for, with_short_end

__all__ = ["FORMATS", "container_for", "format_for", "write_errors", "write_video", "write_y4m"]

FORMATS = ("mp4", "mkv", "y4m", "png")
_SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mkv": "mkv", ".y4m": "y4m"}
_MUXERS = {"mp4": "mp4", "mkv": "matroska"}
# Measured over writing and reading again: independent noise at 40 dB loses at most 0.25 dB (yuv444p), a blur
# at 35.5 dB, whose error is like the coder's, 0.5 dB.
NEAR_LOSSLESS_CRF = 4
_DISK_FULL = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
_TIMESCALE_MAX = 2**31 - 1


def format_for(name: str | os.PathLike[str]) -> str:
    """The format that an output's name asks for; a folder (existing, or ending in "/") means PNG frames.

    Raises UsageError, listing the known ones, for any other suffix.
    """
    text = os.fspath(name)
    if text.endswith(("/", os.sep)) or os.path.isdir(text):
        return "png"
    suffix = Path(text).suffix.lower()
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    what = (
        f"a video cannot be written as {suffix}" if suffix else f"{Path(text).name} does not say which format to write"
    )
    raise UsageError(what, hint=f"end the name in {', '.join(sorted(_SUFFIXES))}, or in / for a folder of PNG frames")


def write_video(
    path: str | os.PathLike[str],
    info: VideoInfo,
    frames: Iterable[Picture],
    audio: AudioTrack | None = None,
    *,
    format: str,
    crf: int = NEAR_LOSSLESS_CRF,
    preset: str = "superfast",
) -> None:
    """Write frames, and the sound where the format has any, to a (temporary) path.

    frames: info.frames pictures, each (info.height, info.width, 3) uint8 full-range RGB.
    format: "mp4" or "mkv": H.264, yuv420p if the source was 4:2:0 (or grey) and the size is even, else
    yuv444p; tagged with, and converted by, the matrix and range in `info`; sound packets unchanged. MP4 keeps
    timestamps exactly; Matroska counts milliseconds, and starts at zero if the sound would start before.
    crf, preset: x264's rate factor, 0 (lossless) to 51, and effort. "y4m": see `write_y4m`.
    "png": path is a folder, made if need be: frame_000001.png and on.
    Raises UsageError (unknown format, sound that does not fit), ShapeError (a frame of another size, too many
    or too few), WriteError (disk full, I/O).
    """
    target = Path(path)
    if format not in FORMATS:
        raise UsageError(f"there is no output format {format!r}", hint=f"there are: {', '.join(FORMATS)}")
    if format == "y4m":
        with write_errors(target.name):
            file = target.open("wb")
        try:
            write_y4m(file, info, frames, name=target.name)
            with write_errors(target.name):
                file.flush()
        finally:
            with suppress(OSError):
                file.close()
    elif format == "png":
        _write_png(target, info, frames)
    else:
        encoder = {"crf": str(crf), "preset": preset}
        _write_coded(target, info, frames, audio, format=format, encoder=encoder)


def write_y4m(stream: BinaryIO, info: VideoInfo, frames: Iterable[Picture], *, name: str = "the output") -> None:
    """Write YUV4MPEG2 to a binary stream such as stdout.

    4:4:4, 8 bits, limited range, by the matrix that players assume for untagged video of this height (BT.709
    from 720 lines, BT.601 below). Y4M has no timestamps: every frame lasts 1 / info.average_rate. No sound.
    The header, and each frame, are flushed as they come: who reads a pipe need not wait for the next.
    Raises ShapeError, WriteError; `name` is what messages call the stream.
    """
    header = (
        f"YUV4MPEG2 W{info.width} H{info.height} F{info.average_rate[0]}:{info.average_rate[1]} Ip "
        f"A{info.sample_aspect[0]}:{info.sample_aspect[1]} C444 XCOLORRANGE=LIMITED\n"
    )
    from_rgb = FromRgb("yuv444p", default_matrix(info.height), RANGE_LIMITED)
    with write_errors(name):
        stream.write(header.encode("ascii"))
        stream.flush()
    for picture in _checked(frames, info):
        with write_errors(name):
            planes = from_rgb.convert(picture).to_ndarray()
            stream.write(b"FRAME\n")
            stream.write(planes.tobytes())
            stream.flush()


def _write_png(folder: Path, info: VideoInfo, frames: Iterable[Picture]) -> None:
    with write_errors(folder.name):
        folder.mkdir(parents=False, exist_ok=True)
    for number, picture in enumerate(_checked(frames, info), start=1):
        with write_errors(folder.name):
            (folder / f"frame_{number:06d}.png").write_bytes(_png(picture))


def _png(picture: Picture) -> bytes:
    height, width, _ = picture.shape
    encoder: Any = CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)


def _write_coded(
    path: Path,
    info: VideoInfo,
    frames: Iterable[Picture],
    audio: AudioTrack | None,
    *,
    format: str,
    encoder: dict[str, str],
) -> None:
    check_fits(audio, format)
    options = {"movflags": "+faststart", "movie_timescale": str(_movie_timescale(info, audio))}
    with write_errors(path.name):
        output = av.open(
            "file:" + os.path.abspath(path),
            "w",
            format=_MUXERS[format],
            container_options=options if format == "mp4" else {},
        )
    try:
        with write_errors(path.name), ExitStack() as stack:
            # The pictures' stream first: players take the first for the main one.
            video = _video_stream(output, info, encoder)
            sounds = _Sounds(output, None, None)
            if audio is not None and audio.packets:
                sounds = _Sounds(output, stack.enter_context(added_stream(output, audio)), audio)
        _mux(output, path.name, info, frames, video=video, sounds=sounds)
        with write_errors(path.name):
            output.close()
    except BaseException:
        # The first error is the one to tell; closing a broken output may fail again.
        with suppress(av.error.FFmpegError, OSError, ValueError):
            output.close()
        raise


def _video_stream(output: OutputContainer, info: VideoInfo, encoder: dict[str, str]) -> Any:
    # Without B-frames every dts is its pts: pictures need no edit list, and weak players stay in step.
    stream: Any = output.add_stream("libx264", rate=Fraction(*info.average_rate), options={**encoder, "bf": "0"})
    stream.width, stream.height = info.width, info.height
    stream.pix_fmt = pixel_format_for(info)
    context = stream.codec_context
    context.time_base = Fraction(*info.time_base)
    stream.time_base = Fraction(*info.time_base)
    context.sample_aspect_ratio = Fraction(*info.sample_aspect)
    context.color_primaries = info.primaries
    context.color_trc = info.transfer
    context.colorspace = matrix_of(info.space, info.height)
    context.color_range = info.color_range or RANGE_LIMITED
    return stream


def pixel_format_for(info: VideoInfo) -> str:
    """yuv420p where the source had no more chroma and the size is even, else yuv444p."""
    even = info.width % 2 == 0 and info.height % 2 == 0
    return "yuv420p" if even and info.pixel_family in {"420", "grey"} else "yuv444p"


def _movie_timescale(info: VideoInfo, audio: AudioTrack | None) -> int:
    """Edit lists count in this unit: fine enough for both tracks, so that a late start is kept exactly."""
    scale = info.time_base[1]
    if audio is not None and math.lcm(scale, audio.sample_rate) <= _TIMESCALE_MAX:
        scale = math.lcm(scale, audio.sample_rate)
    return scale


def _mux(
    output: OutputContainer,
    name: str,
    info: VideoInfo,
    frames: Iterable[Picture],
    *,
    video: Any,
    sounds: _Sounds,
) -> None:
    times = _increasing(info.pts)
    time_base = Fraction(*info.time_base)
    # A picture before time zero would be cut off by the edit list of an MP4: everything moves together.
    shift = max(0, -times[0])
    sounds.delay(shift * time_base)
    from_rgb = FromRgb(pixel_format_for(info), matrix_of(info.space, info.height), info.color_range or RANGE_LIMITED)
    written = 0

    def mux_video(packets: Iterable[Any]) -> None:
        nonlocal written
        for packet in packets:
            following = times[written + 1] if written + 1 < len(times) else times[written] + info.last_duration
            packet.duration = following - times[written]
            sounds.mux_until((times[written] + shift) * time_base)
            output.mux(packet)
            written += 1

    for number, picture in enumerate(_checked(frames, info)):
        with write_errors(name):
            frame = from_rgb.convert(picture)
            frame.pts = times[number] + shift
            frame.time_base = time_base
            mux_video(video.encode(frame))
    with write_errors(name):
        mux_video(video.encode(None))
        sounds.mux_until(None)


class _Sounds:
    """Hands sound packets to the output just before the pictures they belong to."""

    def __init__(self, output: OutputContainer, stream: Any, audio: AudioTrack | None) -> None:
        self._output = output
        self._stream = stream
        self._packets: tuple[AudioPacket, ...] = ()
        if audio is not None and stream is not None:
            self._packets = with_short_end(audio) if output.format.name == "mp4" else audio.packets
        self._time_base = Fraction(*audio.time_base) if audio is not None else Fraction(1)
        self._skip_end = audio.skip_end if audio is not None else 0
        self._shift = 0
        self._next = 0

    def delay(self, shift_s: Fraction) -> None:
        """Move every packet by `shift_s` seconds."""
        self._shift = round(shift_s / self._time_base)

    def mux_until(self, time_s: Fraction | None) -> None:
        """Write packets that start at or before `time_s` (in seconds on the output's clock); all if None."""
        while self._next < len(self._packets):
            packet = self._packets[self._next]
            skip_end = self._skip_end if self._next == len(self._packets) - 1 else 0
            if time_s is not None and (packet.dts + self._shift) * self._time_base > time_s:
                return
            self._output.mux(packet_for(self._stream, packet, self._time_base, self._shift, skip_end))
            self._next += 1


def _increasing(times: tuple[int, ...]) -> list[int]:
    """The timestamps, moved where they do not increase: an encoder refuses those."""
    result: list[int] = []
    for time in times:
        result.append(time if not result or time > result[-1] else result[-1] + 1)
    return result


def _checked(frames: Iterable[Picture], info: VideoInfo) -> Iterator[Picture]:
    """Pass frames on if they have the promised shape and number. Raises ShapeError."""
    count = 0
    for picture in frames:
        if picture.shape != (info.height, info.width, 3) or picture.dtype != np.uint8:
            raise ShapeError(
                f"frame {count} is {picture.dtype} {picture.shape}, not uint8 {(info.height, info.width, 3)}"
            )
        if count == info.frames:
            raise ShapeError(f"there are more frames than the {info.frames} timestamps")
        yield picture
        count += 1
    if count != info.frames:
        raise ShapeError(f"there are {count} frames for {info.frames} timestamps")


@contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Turn what the system or PyAV raises while writing into WriteError, naming the output."""
    try:
        yield
    except (NeuralCipherError, BrokenPipeError):
        # Whoever reads stdout may stop reading; the command line ends quietly then.
        raise
    except (OSError, av.error.FFmpegError) as error:
        if error.errno in _DISK_FULL:
            raise WriteError(
                f"{name} could not be written: the disk is full", hint="free some space or write elsewhere"
            ) from None
        raise WriteError(
            f"{name} could not be written: {str(error.strerror or 'I/O error').lower()}",
            hint="check the folder and its permissions",
        ) from None
    except (ValueError, OverflowError) as error:
        raise WriteError(
            f"{name} could not be written: {str(error).lower()}", hint="try .mkv or a folder of PNG"
        ) from None
