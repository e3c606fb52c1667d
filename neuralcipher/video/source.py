"""Opening what the user names, and decoding it frame by frame, without a raw PyAV error leaving here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from neuralcipher.errors import NeuralCipherError, UsageError, VideoError
from neuralcipher.video.pixels import ratio

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg"}
FOLDER_RATE = Fraction(25)
# These formats call any text a picture, fetch other files, or open devices; none of them is a video file.
_REFUSED_FORMATS = {"tty", "ffmetadata", "concat", "hls", "dash", "lavfi", "sdp", "imf", "webm_dash_manifest"}
# A playlist must not make us open anything but the file that was named.
_OPEN_OPTIONS = {"protocol_whitelist": "file"}
# Streams that number time from anywhere: their clock is set to start at zero.
_FREE_CLOCK_FORMATS = {"mpegts", "mpeg"}


@contextmanager
def video_errors(path: Path) -> Iterator[None]:
    """Turn whatever PyAV raises into VideoError or UsageError, naming the file."""
    try:
        yield
    except NeuralCipherError:
        raise
    except PermissionError:
        raise UsageError(f"{path.name} cannot be read", hint="check its permissions") from None
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise VideoError(
            f"{path.name} is not a video that can be decoded",
            hint=f"FFmpeg says: {_reason(error)}; check that it plays elsewhere",
        ) from None


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text).lower()


def existing(path: str | os.PathLike[str]) -> Path:
    """Return the path if it is a readable, non-empty file or a folder. Raises UsageError, VideoError."""
    found = Path(path)
    name = found.name or str(found)
    try:
        if found.is_dir():
            return found
        if not found.exists():
            raise UsageError(f"there is no file {name}", hint="check the path")
        if not found.is_file():
            raise UsageError(f"{name} is not a regular file", hint="copy it to a file first")
        if found.stat().st_size == 0:
            raise VideoError(f"{name} is empty", hint="check that it was copied completely")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {_reason(error)}", hint="check the path") from None
    return found


def images_in(folder: Path) -> list[Path]:
    """The PNG and JPEG files of a folder, 2 before 10. Raises UsageError if there are none."""
    with video_errors(folder):
        found = [entry for entry in folder.iterdir() if entry.suffix.lower() in IMAGE_SUFFIXES and entry.is_file()]
    if not found:
        raise UsageError(
            f"the folder {folder.name or folder} holds no PNG or JPEG frames",
            hint="pass a video file, or put frames there",
        )
    return sorted(found, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, int, str]], str]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part], path.name


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """Open a media file for reading. Raises VideoError, UsageError; never anything of PyAV's."""
    # The prefix keeps a name such as "http:x.mp4" from being taken for an address.
    address = "file:" + os.path.abspath(path)
    with video_errors(path), av.open(address, options=dict(_OPEN_OPTIONS)) as container:
        if container.format.name in _REFUSED_FORMATS:
            raise VideoError(f"{path.name} is not a video file", hint="pass a file such as MP4, MKV, WebM or GIF")
        yield container


@contextmanager
def opened_image(path: Path) -> Iterator[InputContainer]:
    """Open one picture; from a file object, since FFmpeg reads patterns into the names of pictures."""
    with video_errors(path), path.open("rb") as file, av.open(file) as container:
        yield container


def video_stream(container: InputContainer, path: Path) -> Any:
    """The first stream that moves: a cover picture does not count. Raises VideoError if there is none."""
    for stream in container.streams.video:
        if stream.codec_context is None or Disposition.attached_pic in stream.disposition:
            continue
        return stream
    if container.streams.video or container.streams.audio:
        raise VideoError(f"{path.name} holds sound but no video", hint="pass a file with moving pictures")
    raise VideoError(f"{path.name} holds no video", hint="pass a file with moving pictures")


def clock_shift(container: InputContainer) -> Fraction:
    """Seconds to subtract from every timestamp of the container: its start, where time starts anywhere."""
    names = set(container.format.name.split(","))
    if names & _FREE_CLOCK_FORMATS and container.start_time:
        return Fraction(container.start_time, 1_000_000)
    return Fraction(0)


class Decoder:
    """Decodes the frames of a file or folder, one at a time, skipping what cannot be decoded.

    broken: packets or frames skipped so far. end_s: the latest time any packet reached.
    cut_short: reading stopped with an error before the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken = 0
        self.end_s = Fraction(0)
        self.cut_short = False

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield (frame, its stream) in order of display."""
        if self.path.is_dir():
            yield from self._pictures()
            return
        with opened(self.path) as container:
            stream = video_stream(container, self.path)
            stream.thread_type = "AUTO"
            for packet in self._packets(container):
                if packet.stream.index != stream.index:
                    continue
                if packet.is_corrupt:
                    self.broken += 1
                    continue
                try:
                    frames = packet.decode()
                except (av.error.FFmpegError, ValueError):
                    self.broken += 1
                    continue
                for frame in frames:
                    if frame.is_corrupt or not frame.width or not frame.height:
                        self.broken += 1
                        continue
                    yield frame, stream

    def _packets(self, container: InputContainer) -> Iterator[Any]:
        packets = container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, ValueError):
                self.cut_short = True
                break
            unit = ratio(packet.time_base)
            if packet.pts is not None and unit is not None:
                self.end_s = max(self.end_s, (packet.pts + (packet.duration or 0)) * unit)
            yield packet
        for stream in container.streams.video:  # what the decoder still holds
            if stream.codec_context is not None:
                flush = av.Packet()
                flush.stream = stream
                yield flush

    def _pictures(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        for number, path in enumerate(images_in(self.path)):
            try:
                with opened_image(path) as container:
                    stream = video_stream(container, path)
                    frame = next(container.decode(stream))
                    frame.pts = number
                    yield frame, stream
            except (VideoError, StopIteration):
                self.broken += 1
