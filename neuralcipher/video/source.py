"""Decoding frame by frame what the user named, without a raw PyAV error leaving here. Runs in the child.

FFmpeg reads through the one file that is open already, and is told to open nothing else.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import av.error
from av.container import InputContainer
from av.stream import Disposition

from neuralcipher.errors import NeuralCipherError, UsageError, VideoError
from neuralcipher.video.inputs import images_in
from neuralcipher.video.metadata import MAX_PIXELS, MAX_SIDE
from neuralcipher.video.pixels import ratio

# What people keep videos in. The rest of FFmpeg's 350 readers call any text a picture, follow playlists, open devices,
# or are so old that nobody looks after them.
_VIDEO_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,live_flv,ogg,asf,gif,apng,ivf,obu,av1,h261,"
    "h263,h264,hevc,vvc,vc1,dirac,mjpeg,yuv4mpegpipe,mxf,gxf,nut,dv,rm,wtv,swf"
)
_IMAGE_FORMATS = "png_pipe,apng,jpeg_pipe,mjpeg,webp_pipe,bmp_pipe,gif,gif_pipe,tiff_pipe"
# Streams that number time from anywhere: their clock is set to start at zero.
_FREE_CLOCK_FORMATS = {"mpegts", "mpeg"}
# Every thread of a decoder holds pictures; together they hold as much as one of the largest.
_PIXELS_IN_FLIGHT = MAX_PIXELS
_MAX_THREADS = 16


class Feed:
    """A file that is opened once, for all that is asked about it; or the folder that stands for a video.

    Has the methods by which PyAV reads. progress: called for bytes that were never read before, and by decoders for
    frames.
    """

    def __init__(self, path: Path, progress: Callable[[], None] = lambda: None) -> None:
        self.path = path
        self.folder = path.is_dir()
        # FFmpeg may guess the format from the suffix, where the bytes leave it open.
        suffix = path.suffix
        self.name = "video" + (suffix if suffix.isascii() and suffix[1:].isalnum() else "")
        self.progress = progress
        self._reached = 0
        self._file: BinaryIO | None = None
        if not self.folder:
            with video_errors(path):
                self._file = cast(BinaryIO, path.open("rb", buffering=0))

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        if self._file is None:
            return b""
        data = self._file.read(size)
        at = self._file.tell()
        if at > self._reached:
            self._reached = at
            self.progress()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as a file does."""
        return 0 if self._file is None else self._file.seek(offset, whence)

    def tell(self) -> int:
        """The place in the file, in bytes."""
        return 0 if self._file is None else self._file.tell()


@contextmanager
def video_errors(path: Path) -> Iterator[None]:
    """Turn whatever PyAV raises into VideoError or UsageError, naming the file. MemoryError passes through."""
    try:
        yield
    except NeuralCipherError:
        raise
    except MemoryError:
        raise
    except PermissionError:
        raise UsageError(f"{path.name} cannot be read", hint="check its permissions") from None
    except (av.error.FFmpegError, OSError, ValueError, OverflowError) as error:
        raise VideoError(
            f"{path.name} is not a video that can be decoded",
            hint=f"FFmpeg says: {_reason(error)}; check that it plays elsewhere",
        ) from None


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or type(error).__name__
    return str(text).lower()


@contextmanager
def opened(feed: Feed) -> Iterator[InputContainer]:
    """Open a media file for reading, from its start. Raises VideoError, UsageError; never anything of PyAV's."""
    feed.seek(0)
    with video_errors(feed.path), av.open(feed, mode="r", options=_options(_VIDEO_FORMATS)) as container:
        yield container


@contextmanager
def _opened_image(path: Path) -> Iterator[InputContainer]:
    """Open one picture, which FFmpeg must tell by its bytes: by its name, it takes it for a series of files."""
    with (
        video_errors(path),
        path.open("rb") as file,
        av.open(_Nameless(file), options=_options(_IMAGE_FORMATS)) as container,
    ):
        yield container


class _Nameless:
    """An open file as PyAV reads it, without the name that PyAV would pass on."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _options(formats: str) -> dict[str, str]:
    # No protocol is called "none": a reader that wants a second file is refused, whatever it names.
    return {"protocol_whitelist": "none", "format_whitelist": formats, "max_pixels": str(MAX_PIXELS)}


def video_stream(container: InputContainer, path: Path) -> Any:
    """The first stream that moves: a cover picture does not count. Raises VideoError if there is none, or too large."""
    for stream in container.streams.video:
        context = stream.codec_context
        if context is None or Disposition.attached_pic in stream.disposition:
            continue
        check_size(context.width, context.height, path)
        if not context.is_open:
            context.options = {"max_pixels": str(MAX_PIXELS)}
            pixels = max(1, context.width * context.height)
            if pixels * _MAX_THREADS > _PIXELS_IN_FLIGHT:
                context.thread_count = max(1, _PIXELS_IN_FLIGHT // pixels)
        return stream
    if container.streams.video or container.streams.audio:
        raise VideoError(f"{path.name} holds sound but no video", hint="pass a file with moving pictures")
    raise VideoError(f"{path.name} holds no video", hint="pass a file with moving pictures")


class _TooLargeError(VideoError):
    """A picture that no bundle can hold."""


def check_size(width: int, height: int, path: Path) -> None:
    """Raise VideoError if a picture is larger than a bundle can hold."""
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise _TooLargeError(
            f"the picture of {path.name} is {width}x{height}, larger than {MAX_SIDE} a side or {MAX_PIXELS} pixels",
            hint="shrink it first",
        )


def clock_shift(container: InputContainer) -> Fraction:
    """Seconds to subtract from every timestamp of the container: its start, where time starts anywhere."""
    names = set(container.format.name.split(","))
    if names & _FREE_CLOCK_FORMATS and container.start_time:
        return Fraction(container.start_time, 1_000_000)
    return Fraction(0)


class Decoder:
    """Decodes the frames of a file or folder, one at a time, skipping what cannot be decoded.

    broken: packets or frames skipped so far. starved: whether one of them wanted more memory than there is.
    end_s: the latest time any packet reached. cut_short: reading stopped with an error before the end.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.path = feed.path
        self.broken = 0
        self.starved = False
        self.end_s = Fraction(0)
        self.cut_short = False

    def frames(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Yield (frame, its stream) in order of display."""
        if self.feed.folder:
            yield from self._pictures()
            return
        with opened(self.feed) as container:
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
                except (av.error.FFmpegError, ValueError) as error:
                    self._skip(error)
                    continue
                for frame in frames:
                    if frame.is_corrupt or not frame.width or not frame.height:
                        self.broken += 1
                        continue
                    self.feed.progress()
                    yield frame, stream

    def _skip(self, error: Exception) -> None:
        self.broken += 1
        self.starved |= getattr(error, "errno", None) == errno.ENOMEM

    def _packets(self, container: InputContainer) -> Iterator[Any]:
        packets = container.demux()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.FFmpegError, ValueError) as error:
                self.cut_short = True
                self.starved |= getattr(error, "errno", None) == errno.ENOMEM
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
                with _opened_image(path) as container:
                    stream = video_stream(container, path)
                    frame = next(container.decode(stream))
                    frame.pts = number
                    self.feed.progress()
                    yield frame, stream
            except _TooLargeError:
                raise
            except (VideoError, StopIteration):
                self.broken += 1
